package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"strings"
)

// help prints the manual page of a verb, or the list of all, or of those that begin
// with a word.
func (sh *shell) help(args []string) error {
	if len(args) == 0 || args[0] == "help" {
		return sh.printPage(sh.printVerbs)
	}
	if of := verbsOf(args[0]); len(args) == 1 && of != nil {
		return sh.printPage(func(w io.Writer) {
			for _, v := range of {
				fmt.Fprintf(w, "lockd %-17s %s\n", v.name, v.brief)
			}
			fmt.Fprintf(w, "\nlockd help %s VERB says more.\n", args[0])
		})
	}
	v, rest, err := findVerb(args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return failf(exitUsage, "help: unexpected argument %q", rest[0])
	}
	return sh.printPage(func(w io.Writer) { sh.printVerb(w, v) })
}

// printPage prints a page at once.
func (sh *shell) printPage(print func(io.Writer)) error {
	var page bytes.Buffer
	print(&page)
	_, err := sh.out.Write(page.Bytes())
	return err
}

// verbsOf lists the verbs of two words the first of which is given.
func verbsOf(first string) []verb {
	var of []verb
	for _, v := range verbs() {
		if strings.HasPrefix(v.name, first+" ") {
			of = append(of, v)
		}
	}
	return of
}

func (sh *shell) printVerbs(w io.Writer) {
	fmt.Fprintf(w, "lockd %s: locks that survive the loss of a node\n\nlockd VERB …\n", build())
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-17s %s\n", v.name, v.brief)
	}
	fmt.Fprint(w, "  help VERB         what a verb does and which flags it has\n\n"+
		"Verbs that talk to a cluster find it by --addr HOST:PORT,… or LOCKD_ADDR.\n\nExit codes:\n")
	for _, x := range exitMeanings() {
		for i, line := range wrap(x.text, 70) {
			fmt.Fprintf(w, "  %5s  %s\n", []string{x.code, ""}[min(i, 1)], line)
		}
	}
}

func (sh *shell) printVerb(w io.Writer, v verb) {
	flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
	v.begin(flags)
	fmt.Fprintf(w, "lockd %s: %s\n\n", v.name, v.brief)
	fmt.Fprintln(w, strings.TrimSpace("lockd "+v.name+" [flags] "+v.args))
	if v.help != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(v.help))
	}
	first := true
	flags.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprint(w, "\nflags:\n")
			first = false
		}
		printFlag(w, f)
	})
}

// printFlag prints one flag with its default, the text indented below it.
func printFlag(w io.Writer, f *flag.Flag) {
	value, usage := flag.UnquoteUsage(f)
	line := "  " + dashed(f.Name)
	switch f.Value.(type) {
	case *span:
		value = "time"
	case *number:
		if value == "many" {
			value = "n"
		}
	}
	if value != "" {
		line += " " + strings.ToUpper(value)
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" {
		line += "  (default " + f.DefValue + ")"
	}
	fmt.Fprintln(w, line)
	for _, text := range wrap(usage, 72) {
		fmt.Fprintln(w, "        "+text)
	}
}

// wrap breaks a text into lines of at most width bytes, where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

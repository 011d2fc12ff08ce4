package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"lockd/lockd/config"
)

// shell is what a verb may touch of the world outside: its streams and its
// environment.
type shell struct {
	in       *os.File
	out, err io.Writer
	env      []string
	// last, if it is set, follows everything that is said.
	last func()
}

// verb is one thing lockd can do.
type verb struct {
	// name is what is typed, one or two words.
	name string
	// args is what follows the flags, for the help.
	args string
	// brief is one line, help the rest of the manual page.
	brief, help string
	// begin declares the flags of one call and returns what carries it out.
	begin func(*flag.FlagSet) action
}

// action carries out a verb with what is left of the command line after its
// flags.
type action func(sh *shell, args []string) error

// verbs lists everything in the order of the help.
func verbs() []verb {
	all := []verb{
		serveVerb(), devVerb(), runVerb(), lockVerb(), tryVerb(), renewVerb(), releaseVerb(),
		getVerb(), listVerb(), historyVerb(), watchVerb(), whyVerb(), waitersVerb(),
		topVerb(), checkTokenVerb(), valueGetVerb(), valueSetVerb(), electionRunVerb(),
		electionObserveVerb(), benchVerb(), verifyVerb(), statusVerb(),
		addVerb(), removeVerb(), replaceVerb(), moveVerb(), drainVerb(), dumpVerb(), configCheckVerb(),
		completionVerb(), versionVerb(),
	}
	at := slices.IndexFunc(all, func(v verb) bool { return v.name == "bench" })
	return slices.Insert(all, at, gateVerbs()...)
}

// run carries out one command line and returns the exit code.
func (sh *shell) run(args []string) int {
	err := sh.dispatch(args)
	if sh.last != nil {
		afterLastWord(sh.last)
		defer sh.last()
	}
	var f *failure
	if readerGone(err) {
		return exitSignal + int(syscall.SIGPIPE)
	}
	if err != nil && !(errors.As(err, &f) && f.err == nil) {
		fmt.Fprintf(sh.err, "lockd: %v\n", err)
	}
	return exitCode(err)
}

// readerGone says whether what a verb prints is read no more: that is no news to
// whoever has stopped to read, and the exit code is that of other tools.
func readerGone(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Path == os.Stdout.Name() && errors.Is(err, syscall.EPIPE)
}

func (sh *shell) dispatch(args []string) error {
	if len(args) == 0 {
		sh.printVerbs(sh.err)
		return &failure{code: exitUsage}
	}
	if args[0] == "help" || asksForHelp(args[0]) {
		return sh.help(args[1:])
	}
	switch args[0] {
	case "-v", "-version", "--version":
		return printVersion(sh)
	}
	if len(args) == 2 && asksForHelp(args[1]) && verbsOf(args[0]) != nil {
		return sh.help(args[:1])
	}
	v, rest, err := findVerb(args)
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	act := v.begin(flags)
	args, err = parseFlags(flags, rest)
	if errors.Is(err, flag.ErrHelp) {
		return sh.printPage(func(w io.Writer) { sh.printVerb(w, v) })
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", v.name, err)
		if v.runsCommand() && !slices.Contains(rest, "--") {
			err = fmt.Errorf("%w; a command and its flags go behind --: lockd %s NAME -- CMD", err, v.name)
		}
		return &failure{code: exitUsage, err: err}
	}
	if !v.runsCommand() {
		args = withoutDashes(args)
	}
	return act(sh, args)
}

// asksForHelp says whether a word is the flag by which help is asked for.
func asksForHelp(word string) bool {
	return word == "-h" || word == "-help" || word == "--help"
}

// runsCommand says whether a lone "--" begins a command, and does not only end the
// flags.
func (v *verb) runsCommand() bool { return strings.Contains(v.args, " -- ") }

// withoutDashes leaves out the lone "--" that ends the flags.
func withoutDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return slices.Delete(args, i, i+1)
	}
	return args
}

// findVerb finds the verb at the start of a command line, two words before one.
func findVerb(args []string) (verb, []string, error) {
	all := verbs()
	var names []string
	for _, v := range all {
		words := strings.Fields(v.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == v.name {
			return v, args[len(words):], nil
		}
		names = append(names, v.name)
	}
	return verb{}, nil, unknownVerb(args, names)
}

// unknownVerb says what may have been meant by a command line that begins with no verb.
func unknownVerb(args, names []string) error {
	typed := args[0]
	var firsts, seconds []string
	for _, name := range names {
		first, second, two := strings.Cut(name, " ")
		firsts = append(firsts, first)
		if two && first == typed {
			seconds = append(seconds, second)
		}
	}
	second := ""
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		second = args[1]
	}
	switch there := orList(seconds); {
	case seconds == nil:
		near := ""
		if second != "" {
			near = config.Nearest(typed+" "+second, names)
		}
		if near == "" {
			near = config.Nearest(typed, append(firsts, "help"))
		}
		if near != "" {
			return failf(exitUsage, "unknown verb %q; did you mean %q?", typed, near)
		}
		return failf(exitUsage, "unknown verb %q; lockd help lists all", typed)
	case second == "":
		return failf(exitUsage, "%s what? There is: lockd %s %s", typed, typed, there)
	default:
		typed += " " + second
		if near := config.Nearest(second, seconds); near != "" {
			return failf(exitUsage, "unknown verb %q; did you mean %q?", typed, args[0]+" "+near)
		}
		return failf(exitUsage, "unknown verb %q; there is: lockd %s %s", typed, args[0], there)
	}
}

// parseFlags parses flags wherever they stand, up to a lone "--". What follows
// that, and the lone "--" itself, is left in args.
func parseFlags(flags *flag.FlagSet, args []string) ([]string, error) {
	var command []string
	for i, arg := range args {
		if arg == "--" {
			args, command = args[:i], args[i:]
			break
		}
	}
	var plain []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, betterFlagError(flags, err)
		}
		if flags.NArg() == 0 {
			return append(plain, command...), nil
		}
		plain = append(plain, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// betterFlagError adds the nearest flag to the complaint about an unknown one.
func betterFlagError(flags *flag.FlagSet, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if text, ok := betterValueError(err.Error()); ok {
		return errors.New(text)
	}
	if missing, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("%s needs a value", dashed(missing))
	}
	if !unknown {
		return err
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	// Of one letter nothing is near.
	if near := config.Nearest(name, names); near != "" && len(name) > 1 {
		return fmt.Errorf("unknown flag %s; did you mean %s?", dashed(name), dashed(near))
	}
	return fmt.Errorf("unknown flag %s; lockd help %s lists all", dashed(name), flags.Name())
}

// needArgs checks the number of arguments against the names of what is needed.
func needArgs(args []string, names ...string) error {
	if len(args) == len(names) {
		return nil
	}
	if len(args) > len(names) {
		return failf(exitUsage, "unexpected argument %q", args[len(names)])
	}
	return failf(exitUsage, "%s is missing", names[len(args)])
}

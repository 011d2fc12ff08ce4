package main

import (
	"flag"
	"strconv"
	"strings"

	"lockd/client"
)

// wantFlags are the flags of what is asked of a name: a mode, or permits.
type wantFlags struct {
	shared   bool
	modeName string
	permits  string // N/MAX, or empty for a lock
	take, of int    // the two numbers of permits
	mode     client.Mode
}

func (w *wantFlags) declare(flags *flag.FlagSet) {
	flags.BoolVar(&w.shared, "s", false, "share the lock with others who use -s")
	declareChoice(flags, choice{to: &w.modeName, words: modeWords()}, "mode", "",
		"hold the lock in this `mode`: "+orList(modeWords())+"; exclusive is EX, -s is PR")
	flags.StringVar(&w.permits, "permits", "",
		"take `N/MAX` permits: at most MAX are held by all together")
}

// modeWords are the modes as they are typed.
func modeWords() []string { return []string{"EX", "PW", "PR", "CW", "CR", "NL"} }

func modeOf(word string) client.Mode {
	switch word {
	case "PW":
		return client.Update
	case "PR":
		return client.Shared
	case "CW":
		return client.ConcurrentWrite
	case "CR":
		return client.ConcurrentRead
	case "NL":
		return client.Null
	default:
		return client.Exclusive
	}
}

// check takes the flags of a verb apart.
func (w *wantFlags) check(verb string) error {
	w.mode = modeOf(w.modeName)
	if w.shared {
		w.mode = client.Shared
	}
	switch {
	case w.shared && w.modeName != "":
		return failf(exitUsage, "%s: -s and --mode exclude each other", verb)
	case w.permits == "":
		return nil
	case w.shared:
		return failf(exitUsage, "%s: -s and --permits exclude each other", verb)
	case w.modeName != "":
		return failf(exitUsage, "%s: --mode and --permits exclude each other", verb)
	}
	n, all, ok := strings.Cut(w.permits, "/")
	take, err := strconv.ParseUint(n, 10, 31)
	of, err2 := strconv.ParseUint(all, 10, 31)
	if !ok || err != nil || err2 != nil || take < 1 || take > of {
		return failf(exitUsage, "%s: --permits is %q, must be N/MAX with N from 1 to MAX, as 1/8",
			verb, w.permits)
	}
	w.take, w.of = int(take), int(of)
	return nil
}

package main

import (
	"flag"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// complete asks bash what comes after some words, the last of which is unfinished.
func complete(t *testing.T, words ...string) []string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NOT RUN: there is no bash")
	}
	_, script, _ := call("completion", "bash")
	script += `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lockd; printf '%s\n' "${COMPREPLY[@]}"`
	out, err := exec.Command(bash, append([]string{"-c", script, "bash"}, words...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// completeZsh asks zsh, which calls the script as its bashcompinit does.
func completeZsh(t *testing.T, words ...string) []string {
	t.Helper()
	zsh, err := exec.LookPath("zsh")
	if err != nil {
		t.Skip("NOT RUN: there is no zsh; apt-get install zsh")
	}
	_, script, _ := call("completion", "zsh")
	script = "compdef() { :; }\n" + script + ` # for compinit takes half a second
		ask() {
			emulate -L sh
			setopt kshglob noshglob braceexpand nokshautoload
			COMP_WORDS=("$@")
			COMP_CWORD=$(($# - 1))
			_lockd
			print -rl -- "${COMPREPLY[@]}"
		}
		ask "$@"`
	cmd := exec.Command(zsh, append([]string{"-f", "-c", script, "zsh"}, words...)...)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil || problems.Len() > 0 {
		t.Fatalf("%v, %s", err, &problems)
	}
	return strings.Fields(string(out))
}

// completeFish asks fish.
func completeFish(t *testing.T, words ...string) (got []string) {
	t.Helper()
	fish, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("NOT RUN: there is no fish; apt-get install fish")
	}
	_, script, _ := call("completion", "fish")
	script += "complete -C $argv[1]"
	out, err := exec.Command(fish, "--no-config", "-c", script, strings.Join(words, " ")).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		got = append(got, word)
	}
	return got
}

// Fish is offered what bash is.
func TestFishCompletion(t *testing.T) {
	for _, x := range [][]string{
		{"lockd", "ru", "run"},
		{"lockd", "cluster", "rem", "remove"},
		{"lockd", "cluster", "drain", "--un", "--undo"},
		{"lockd", "run", "-n", "name", "--on", "--on-lost"},
		{"lockd", "help", "cluster", "sta", "status"},
		{"lockd", "get", "name", "-o", "ta", "table"},
		{"lockd", "run", "--on-lost", "w", "warn"},
		{"lockd", "completion", "f", "fish"},
	} {
		typed, want := x[:len(x)-1], x[len(x)-1]
		if got := completeFish(t, typed...); len(got) != 1 || got[0] != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
	for _, verb := range []string{"run", "election run"} {
		if got := completeFish(t, "lockd", verb, "name", "--", "tru"); !slices.Contains(got, "true") {
			t.Errorf("%s: got %q, want commands", verb, got)
		}
	}
}

// Every verb is offered, and behind it each of its flags and each word of a flag that
// takes one of a few: nothing of the command line is left out of the scripts.
func TestCompletionOfEverything(t *testing.T) {
	for name, ask := range map[string]func(*testing.T, ...string) []string{"bash": complete,
		"zsh": completeZsh, "fish": completeFish} {
		t.Run(name, func(t *testing.T) {
			for _, v := range verbs() {
				words := append([]string{"lockd"}, strings.Fields(v.name)...)
				if got, last := ask(t, words...), words[len(words)-1]; !slices.Contains(got, last) {
					t.Errorf("%q: got %q, want %q among them", words, got, last)
				}
				flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
				v.begin(flags)
				flags.VisitAll(func(f *flag.Flag) {
					if c, ok := f.Value.(*choice); ok {
						got := ask(t, append(slices.Clone(words), dashed(f.Name), "")...)
						if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(c.words))) {
							t.Errorf("%s %s: got %q, want %q", v.name, dashed(f.Name), got, c.words)
						}
					}
				})
				if v.runsCommand() {
					got := ask(t, append(slices.Clone(words), "name", "--", "tru")...)
					if !slices.Contains(got, "true") {
						t.Errorf("%s: got %q behind --, want commands", v.name, got)
					}
				}
				got := ask(t, append(words, "-")...)
				flags.VisitAll(func(f *flag.Flag) {
					if !slices.Contains(got, dashed(f.Name)) {
						t.Errorf("%s: got %q, want %s among them", v.name, got, dashed(f.Name))
					}
				})
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	for _, x := range []struct {
		words []string
		want  string
	}{
		{[]string{"lockd", "ru"}, "run"},
		{[]string{"lockd", "he"}, "help"},
		{[]string{"lockd", "cluster", "rem"}, "remove"},
		{[]string{"lockd", "cluster", "mo"}, "move"},
		{[]string{"lockd", "cluster", "drain", "--un"}, "--undo"},
		{[]string{"lockd", "cluster", "status", "--add"}, "--addr"},
		{[]string{"lockd", "run", "--prio"}, "--priority"},
		{[]string{"lockd", "run", "-n", "name", "--on"}, "--on-lost"},
		{[]string{"lockd", "serve", "--data"}, "--data"},
		{[]string{"lockd", "help", "wai"}, "waiters"},
		{[]string{"lockd", "help", "cluster", "sta"}, "status"},
		{[]string{"lockd", "get", "-o", "j"}, "json"},
		{[]string{"lockd", "get", "name", "-o", "ta"}, "table"},
		{[]string{"lockd", "lock", "-o", "s"}, "shell"},
		{[]string{"lockd", "cluster", "status", "-o", "js"}, "json"},
		{[]string{"lockd", "run", "--on-lost", "w"}, "warn"},
		{[]string{"lockd", "dev", "--log-level", "d"}, "debug"},
		{[]string{"lockd", "completion", "z"}, "zsh"},
	} {
		if got := complete(t, x.words...); len(got) != 1 || got[0] != x.want {
			t.Errorf("%q: got %q, want %q", x.words, got, x.want)
		}
	}
	if got := complete(t, "lockd", "help", ""); len(got) < 10 {
		t.Errorf("help: got %q, want the verbs", got)
	}
	for _, verb := range [][]string{{"run"}, {"election", "run"}} {
		words := append(append([]string{"lockd"}, verb...), "name", "--", "tru")
		if got := complete(t, words...); !slices.Contains(got, "true") {
			t.Errorf("%q: got %q, want commands", words, got)
		}
	}
	if code, out, _ := call("completion", "zsh"); code != 0 || !strings.Contains(out, "bashcompinit") {
		t.Errorf("zsh: got exit code %d", code)
	}
	for _, args := range [][]string{{"completion"}, {"completion", "cmd"}} {
		if code, _, _ := call(args...); code != exitUsage {
			t.Errorf("%q: got exit code %d, want %d", args, code, exitUsage)
		}
	}
}

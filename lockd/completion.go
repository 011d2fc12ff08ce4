package main

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func completionVerb() verb {
	return verb{
		name:  "completion",
		args:  "bash|zsh|fish",
		brief: "print a script that completes verbs and flags in a shell",
		help: `
bash:  lockd completion bash > /etc/bash_completion.d/lockd
zsh:   lockd completion zsh > ~/.lockd.zsh, and in ~/.zshrc: source ~/.lockd.zsh
fish:  lockd completion fish > ~/.config/fish/completions/lockd.fish`,
		begin: func(*flag.FlagSet) action {
			return func(sh *shell, args []string) error {
				if len(args) != 1 {
					return failf(exitUsage, "completion: which shell? lockd completion bash, zsh, or fish")
				}
				var script string
				switch args[0] {
				case "bash":
					script = bashCompletion()
				case "zsh":
					script = zshPrelude + bashCompletion()
				case "fish":
					script = fishCompletion()
				default:
					return failf(exitUsage, "completion: shell %q is not known; bash, zsh and fish are",
						args[0])
				}
				_, err := fmt.Fprint(sh.out, script)
				return err
			}
		},
	}
}

// completed says what may come after a command line without its first word. The line
// ends with a space; in a pattern * stands for anything.
type completed struct {
	patterns []string
	words    []string
}

// completions is what may come after what, the first that fits counts: the word after a
// flag that takes one of a few, then those of each verb, longer names first.
func completions() []completed {
	all := verbs()
	slices.SortFunc(all, func(a, b verb) int { return strings.Compare(b.name, a.name) })
	var values, cases []completed
	firsts, seconds := []string{"help"}, map[string][]string{}
	for _, v := range all {
		flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
		v.begin(flags)
		var words []string
		flags.VisitAll(func(f *flag.Flag) {
			words = append(words, dashed(f.Name))
			if c, ok := f.Value.(*choice); ok {
				values = append(values,
					completed{[]string{v.name + "* " + dashed(f.Name) + " "}, c.words})
			}
		})
		if words == nil && strings.Contains(v.args, "|") {
			words = strings.Split(v.args, "|")
		}
		cases = append(cases, completed{[]string{v.name + " *"}, words})
		first, second, two := strings.Cut(v.name, " ")
		firsts = append(firsts, first)
		if two {
			seconds[first] = append(seconds[first], second)
		}
	}
	slices.Sort(firsts)
	firsts = slices.Compact(firsts)
	for _, first := range firsts {
		if words := seconds[first]; words != nil {
			slices.Sort(words)
			cases = append(cases, completed{[]string{first + " ", "help " + first + " "}, words})
		}
	}
	return slices.Concat(values, cases, []completed{{[]string{" ", "help "}, firsts}})
}

// zshPrelude has zsh understand a script for bash, in a shell too in which nothing is
// completed yet.
const zshPrelude = `(( $+functions[compdef] )) || { autoload -U +X compinit && compinit }
autoload -U +X bashcompinit && bashcompinit
`

// bashCompletion is the script for bash, and by way of zshPrelude for zsh; it leaves
// what comes after lockd run … -- to the shell, as the others do.
func bashCompletion() string {
	var cases strings.Builder
	for _, c := range completions() {
		var patterns []string
		for _, p := range c.patterns {
			quoted := strings.Split(p, "*")
			for i, part := range quoted {
				if part != "" {
					quoted[i] = strconv.Quote(part)
				}
			}
			patterns = append(patterns, strings.Join(quoted, "*"))
		}
		fmt.Fprintf(&cases, "    %s) words=%q ;;\n", strings.Join(patterns, "|"),
			strings.Join(c.words, " "))
	}
	return fmt.Sprintf(`_lockd() {
  local cur="${COMP_WORDS[COMP_CWORD]}" words=""
  local line="${COMP_WORDS[*]:1:$((COMP_CWORD - 1))} "
  case "$line" in
    "run "*" -- "|"election run "*" -- ") COMPREPLY=($(compgen -c -- "$cur")); return ;;
    "run "*" -- "*|"election run "*" -- "*) COMPREPLY=($(compgen -f -- "$cur")); return ;;
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _lockd lockd
`, cases.String())
}

// fishCompletion is the script for fish. Where lockd has nothing to offer, files are.
func fishCompletion() string {
	var cases strings.Builder
	for _, c := range completions() {
		fmt.Fprintf(&cases, "        case '%s'\n            set offered %s\n",
			strings.Join(c.patterns, "' '"), strings.Join(c.words, " "))
	}
	return fmt.Sprintf(`function __lockd_offers
    set -l before (commandline -opc)
    set -e before[1]
    set -l line "$before "
    set -l offered
    switch "$line"
        case 'run * -- *' 'election run * -- *'
            set -l command $before[(math (contains -i -- -- $before) + 1)..-1]
            complete -C (string join ' ' -- (string escape -- $command) (commandline -ct))
            return
%s    end
    if test (count $offered) -gt 0
        string join \n -- $offered
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c lockd -f -a '(__lockd_offers)'
`, cases.String())
}

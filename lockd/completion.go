package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

func completionVerb() verb {
	return verb{
		name:  "completion",
		args:  "bash|zsh",
		brief: "print a script that completes verbs and flags in a shell",
		help: `
bash:  lockd completion bash > /etc/bash_completion.d/lockd
zsh:   lockd completion zsh > ~/.lockd.zsh, and in ~/.zshrc: source ~/.lockd.zsh`,
		begin: func(*flag.FlagSet) action {
			return func(sh *shell, args []string) error {
				if len(args) != 1 {
					return failf(exitUsage, "completion: which shell? lockd completion bash, or zsh")
				}
				switch args[0] {
				case "bash":
				case "zsh":
					fmt.Fprint(sh.out, "autoload -U +X bashcompinit && bashcompinit\n")
				default:
					return failf(exitUsage, "completion: shell %q is not known; bash and zsh are", args[0])
				}
				_, err := fmt.Fprint(sh.out, completion())
				return err
			}
		},
	}
}

// completion is the script: a case for each verb, longer names first, and the rest
// of a command after lockd run … -- as the shell completes commands. The word after a
// flag that takes one of a few is completed too.
func completion() string {
	all := verbs()
	slices.SortFunc(all, func(a, b verb) int { return strings.Compare(b.name, a.name) })
	var values, cases strings.Builder
	firsts, seconds := []string{"help"}, map[string][]string{}
	for _, v := range all {
		flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
		v.begin(flags)
		var words []string
		flags.VisitAll(func(f *flag.Flag) {
			words = append(words, dashed(f.Name))
			if c, ok := f.Value.(*choice); ok {
				fmt.Fprintf(&values, "    %q*%q) words=%q ;;\n", v.name, " "+dashed(f.Name)+" ",
					strings.Join(c.words, " "))
			}
		})
		if words == nil && strings.Contains(v.args, "|") {
			words = strings.Split(v.args, "|")
		}
		fmt.Fprintf(&cases, "    %q*) words=%q ;;\n", v.name+" ", strings.Join(words, " "))
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
			fmt.Fprintf(&cases, "    %q|%q) words=%q ;;\n", first+" ", "help "+first+" ",
				strings.Join(words, " "))
		}
	}
	return fmt.Sprintf(`_lockd() {
  local cur="${COMP_WORDS[COMP_CWORD]}" words=""
  local line="${COMP_WORDS[*]:1:COMP_CWORD-1} "
  case "$line" in
    "run "*" -- "|"election run "*" -- ") COMPREPLY=($(compgen -c -- "$cur")); return ;;
    "run "*" -- "*|"election run "*" -- "*) COMPREPLY=($(compgen -f -- "$cur")); return ;;
%s%s    " "|"help ") words=%q ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _lockd lockd
`, values.String(), cases.String(), strings.Join(firsts, " "))
}

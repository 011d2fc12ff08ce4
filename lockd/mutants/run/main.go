// Command run takes the rules of lockd/mutants out of the product one by one,
// and prints which test noticed. It exits with 1 if one did not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"lockd/lockd/mutants"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	root := flag.String("root", ".", "the module")
	only := flag.String("row", "", "only these rows, by commas: F-D1,F-D2")
	tests := flag.String("test", "", "only mutants whose tests these are, by commas")
	fault := flag.Bool("fault", false, "those too that need real processes, and minutes")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("mutants: unexpected argument %q", flag.Arg(0))
	}
	text, err := os.ReadFile(*root + "/lockd/mutants/rules.txt")
	if err != nil {
		return fmt.Errorf("mutants: run me in the root of the module: %w", err)
	}
	list, err := mutants.Parse(string(text))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Println("| row | rule taken out | where | test that failed | what it said |\n" +
		"|---|---|---|---|---|")
	tried, survived := 0, 0
	for i := range list {
		m := &list[i]
		if !listed(*only, m.Row) || !listed(*tests, m.Test) || m.Tags != "" && !*fault {
			continue
		}
		noticed, err := try(ctx, *root, m)
		if err != nil {
			return err
		}
		tried++
		if !noticed {
			survived++
		}
	}
	fmt.Fprintf(os.Stderr, "%d mutants, %d not noticed\n", tried, survived)
	if survived > 0 {
		return fmt.Errorf("mutants: %d of %d were not noticed", survived, tried)
	}
	return nil
}

// listed reports whether name is in a list, which may be empty for all.
func listed(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

// try prints the row of one mutant and reports whether its test noticed.
func try(ctx context.Context, root string, m *mutants.Mutant) (bool, error) {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	v, err := mutants.Try(ctx, root, dir, m)
	if err != nil {
		return false, err
	}
	by := strings.ReplaceAll(v.By, "|", "/")
	const most = 80
	if len(by) > most {
		by = by[:most] + "…"
	}
	if !v.Noticed {
		by = "NOT NOTICED"
	}
	where := ""
	for _, e := range m.Edits {
		where += fmt.Sprintf(", `%s` %s", e.File, e.Place)
	}
	fmt.Printf("| %s | %s | %s | `%s` | %s |\n", m.Row, m.Rule, where[2:], m.Test, by)
	return v.Noticed, nil
}

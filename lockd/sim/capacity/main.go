// Command capacity shows how much a cluster carries by how many nodes it has,
// and what clients notice while nodes are added. It runs the nodes and clients
// of production in one goroutine on a clock of its own, where work takes the
// time that was measured (costs.go). Nothing fails here and nothing is drawn but
// small differences in waits: the same seed prints the same figures.
//
//	time.go    what happens when
//	cores.go   the processors of a machine
//	costs.go   what work takes
//	site.go    a node and what it touches; log.go, store.go
//	client.go  a process of clients with its workers
//	world.go   all of them; what was seen in a while
//	grow.go    nodes that are added under load
//	tables.go  what is printed; lockd/doc/scaling.md explains it
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	seed := flag.Uint64("seed", 1, "what is drawn")
	only := flag.String("only", "", "print one table: sizes, shapes, growth or measured")
	verbose := flag.Bool("v", false, "print what the nodes say to standard error")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	debug.SetGCPercent(400)
	base := Options{Seed: *seed, Groups: 64, Lease: 10 * second, Costs: Measured(), Cores: 1}
	if *verbose {
		base.Log = os.Stderr
	}
	tables := []struct {
		name  string
		print func(io.Writer, Options) error
	}{{"sizes", sizes}, {"shapes", shapes}, {"growth", growth}, {"measured", measured}}
	for _, t := range tables {
		if *only != "" && *only != t.name {
			continue
		}
		if err := t.print(out, base); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

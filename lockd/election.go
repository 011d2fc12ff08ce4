package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
)

func electionRunVerb() verb {
	return verb{
		name:  "election run",
		args:  "NAME -- CMD [ARG…]",
		brief: "run a command while leading an election",
		help: `
Waits until this process leads, runs the command, and lets the next one lead when it
ends. The leader holds the lock of the name with its value as the payload, so one who
dies is followed within its lease, and lockd get shows who waits to lead. The command
is run, and stopped when the lead is lost, as by lockd run, with the same environment
and exit codes: LOCKD_TOKEN is larger for every later leader. It leads once: let what
starts it start it again.`,
		begin: func(flags *flag.FlagSet) action {
			r := &runner{verb: "election run", noun: "lead", kind: "election"}
			r.declareCommand(flags)
			flags.StringVar(&r.terms.payload, "value", "",
				"`text` for observers to read, such as an address, at most 4096 bytes")
			return r.run
		},
	}
}

func electionObserveVerb() verb {
	return verb{
		name:  "election observe",
		args:  "NAME",
		brief: "print who leads an election, and who does next",
		help: `
The first line says who leads now; then comes a line whenever that is another, or has
another value. A line with - says that nobody leads. Of what changes faster than it
can be told only the last is. It ends with a signal.`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declare(flags)
			var count int
			declareNumber(flags, number{to: &count, least: 0, most: math.MaxInt32}, "events", 0,
				"end after so `many` lines; 0 is never")
			return func(sh *shell, args []string) error {
				if err := needArgs(args, "NAME"); err != nil {
					return err
				}
				ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT,
					syscall.SIGTERM)
				defer cancel()
				c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
				if err != nil && ctx.Err() != nil {
					return nil // by a signal, as it is meant to end
				}
				if err != nil {
					return err
				}
				defer closeClient(c)
				silence := newSilence(sh, fmt.Sprintf("election %q", args[0]), cluster.timeout,
					watchable(c, args[0], false))
				_, heard := silence.begin()
				defer heard()
				for l, err := range c.Election(args[0], nil).Observe(ctx) {
					if ctx.Err() != nil {
						return nil // by a signal, as it is meant to end
					}
					heard()
					if err != nil {
						return clientFailure(err)
					}
					if err := printLeader(sh, out, &l); err != nil {
						return err
					}
					if count--; count == 0 {
						return nil
					}
				}
				return nil
			}
		},
	}
}

// printLeader prints a line; the zero Leader is nobody.
func printLeader(sh *shell, out format, l *client.Leader) error {
	if out == "json" {
		_, err := sh.out.Write(admin.AppendLeader(nil, l, time.Now()))
		return err
	}
	cells := []string{time.Now().Format("15:04:05.000"), "-", "-", ""}
	if l.Token != 0 {
		cells[1], cells[2] = printable(l.Client), strconv.FormatUint(l.Token, 10)
		cells[3] = printable(string(l.Value))
	}
	if !isTerminal(sh.out) {
		_, err := fmt.Fprintln(sh.out, strings.Join(cells, "\t"))
		return err
	}
	_, err := fmt.Fprintf(sh.out, "%-12s  %-32s  %8s  %s\n", cells[0], cells[1], cells[2], cells[3])
	return err
}

package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
)

func watchVerb() verb {
	return verb{
		name:  "watch",
		args:  "NAME",
		brief: "print what becomes of a lock, or of all that begin so",
		help: `
The first line says how the lock stands, or with --prefix each lock that is in use;
then comes a line for each change. Of what changes faster than it can be told only
the last is. A node that dies or is restarted does not show. The version of a line
can be given to --from later, to go on from there: of one lock. Of a prefix, what was
printed with -o json can be given to --known: then each lock that is not as its last
line says comes at first, those that are free now too, and what is so does not. It may
go on in the same file (>>): a line that was cut off counts as not there.
HOLDER is the newest: "nobody (stays taken)" is a lock whose holder is gone and which is
kept for its min hold or lock delay, "nobody (stands)" a latch that has a count or an
event that is set. It ends with a signal.`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declare(flags)
			prefix := flags.Bool("prefix", false, "watch all locks whose names begin with NAME")
			from := flags.String("from", "", "leave out what is known at this `version`")
			known := flags.String("known", "", "with --prefix, leave out what stands in this `file`")
			var count int
			declareNumber(flags, number{to: &count, least: 0, most: math.MaxInt32}, "events", 0,
				"end after so `many` lines; 0 is never")
			return func(sh *shell, args []string) error {
				if *prefix && len(args) == 0 {
					args = []string{""}
				}
				if err := needArgs(args, "NAME"); err != nil {
					return err
				}
				opts := client.WatchOptions{}
				if *prefix {
					opts.Prefix = client.NamePrefix
				}
				if err := checkPrefix("NAME", args[0]); err != nil {
					return err
				}
				if err := goOn(&opts, *from, *known); err != nil {
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
				w := watchPrinter{sh: sh, json: out == "json", left: count}
				silence := newSilence(sh, fmt.Sprintf("watch of %q", args[0]), cluster.timeout,
					watchable(c, args[0], truth(*prefix)))
				_, heard := silence.begin()
				defer heard()
				w.heard = heard
				return w.print(ctx, c, args[0], opts)
			}
		},
	}
}

// watchable returns a question that is answered if a watch can be told something.
func watchable(c *client.Client, name string, prefix truth) func(context.Context) error {
	return func(ctx context.Context) error {
		if prefix {
			_, err := c.List(ctx, name, client.ListOptions{Limit: 1})
			return err
		}
		_, err := c.Why(ctx, name)
		return err
	}
}

// goOn reads what is known already.
func goOn(opts *client.WatchOptions, from, known string) (err error) {
	prefix := opts.Prefix == client.NamePrefix
	switch {
	case prefix && from != "":
		return failf(exitUsage, "watch: --prefix and --from exclude each other: a version is of one "+
			"lock; --known is for many")
	case !prefix && known != "":
		return failf(exitUsage, "watch: --known is for --prefix; --from is for one lock")
	case from != "":
		if opts.From, err = client.ParseVersion(from); err != nil {
			return clientFailure(err)
		}
	case known != "":
		f, err := os.Open(known)
		if err != nil {
			return failf(exitUsage, "watch: --known: %v", err)
		}
		defer f.Close()
		if opts.Known, err = admin.ReadKnown(f); err != nil {
			return failf(exitUsage, "watch: --known %s: %v", known, err)
		}
	}
	return nil
}

// watchPrinter prints events as they come.
type watchPrinter struct {
	sh   *shell
	json bool
	left int // events to print; zero is no bound
	// heard is called when there is an event.
	heard func()

	headed bool // the header is printed: with the first event, not before an error
}

func (p *watchPrinter) print(ctx context.Context, c *client.Client, name string,
	opts client.WatchOptions) error {
	for e, err := range c.Watch(ctx, name, opts) {
		if ctx.Err() != nil {
			return nil // by a signal, as it is meant to end
		}
		p.heard()
		if err != nil {
			return clientFailure(err)
		}
		if err := p.event(&e); err != nil {
			return err
		}
		if p.left--; p.left == 0 {
			return nil
		}
	}
	return nil
}

func (p *watchPrinter) event(e *client.WatchEvent) error {
	if p.json {
		_, err := p.sh.out.Write(admin.AppendEvent(nil, e, time.Now()))
		return err
	}
	if !p.headed {
		p.headed = true
		if err := p.row([]string{"TIME", "CHANGE", "NAME", "HOLDERS", "WAITERS", "TOKEN", "VERSION",
			"HOLDER"}); err != nil {
			return err
		}
	}
	holder := holderCell{client: e.Client, kept: e.Kept, detached: e.Detached,
		stands: e.Stands}.String()
	if e.Free() {
		holder = "-"
	}
	return p.row([]string{time.Now().Format("15:04:05.000"), e.Change.String(), printable(e.Name),
		strconv.Itoa(e.Holders), strconv.Itoa(e.Waiters), strconv.FormatUint(e.Token, 10),
		e.Version.String(), printable(holder)})
}

// row prints one line: under the header on a terminal, as far as that can be known
// beforehand, and separated by tabs in a pipe.
func (p *watchPrinter) row(cells []string) error {
	if !isTerminal(p.sh.out) {
		_, err := fmt.Fprintln(p.sh.out, strings.Join(cells, "\t"))
		return err
	}
	_, err := fmt.Fprintf(p.sh.out, "%-12s  %-8s  %-24s  %7s  %7s  %8s  %-24s  %s\n", cells[0],
		cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7])
	return err
}

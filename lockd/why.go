package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
)

func whyVerb() verb {
	return verb{
		name:  "why",
		args:  "NAME",
		brief: "say what a request for a lock would wait for, and how long",
		help: `
Says who is in the way and since when, who waits, and what a request for the lock in
exclusive mode would be if it came now; of a semaphore, one for a permit; of a latch, an
event or a barrier, what it opens for. The estimate goes by how long holds of this lock
took of late, as far as its leader knows; it is a guess, unless the holder is gone and
the lock only stays taken for a while.`,
		begin: func(flags *flag.FlagSet) action {
			return askWhy(flags, func(sh *shell, w *client.WhyInfo) error {
				return printWhy(sh.out, w)
			})
		},
	}
}

func waitersVerb() verb {
	return verb{
		name:  "waiters",
		args:  "NAME",
		brief: "show who waits for a lock, in order",
		help: `
Shows the queue of a lock, first in line first. A lock that nobody waits for has no
lines.`,
		begin: func(flags *flag.FlagSet) action {
			return askWhy(flags, func(sh *shell, w *client.WhyInfo) error {
				return waiterTable(w).print(sh)
			})
		},
	}
}

// askWhy is a verb that asks why a lock is waited for and shows the answer.
func askWhy(flags *flag.FlagSet, show func(*shell, *client.WhyInfo) error) action {
	return askAbout(flags, func(sh *shell, c *client.Client, name string, out format) error {
		w, err := c.Why(context.Background(), name)
		if err != nil {
			return clientFailure(err)
		}
		if out == "json" {
			_, err := sh.out.Write(admin.AppendWhy(nil, w))
			return err
		}
		return show(sh, w)
	})
}

// askAbout is a verb that asks the cluster one question about a name.
func askAbout(flags *flag.FlagSet,
	ask func(*shell, *client.Client, string, format) error) action {
	var cluster clusterFlags
	var out format
	cluster.declare(flags)
	out.declare(flags)
	return func(sh *shell, args []string) error {
		if err := needArgs(args, "NAME"); err != nil {
			return err
		}
		c, err := cluster.dial(context.Background(), sh, client.Options{Name: clientName()})
		if err != nil {
			return err
		}
		defer closeClient(c)
		return ask(sh, c, args[0], out)
	}
}

// printWhy says it in a few lines.
func printWhy(out io.Writer, w *client.WhyInfo) error {
	var err error
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(out, format+"\n", args...)
		}
	}
	name := strconv.Quote(w.Name)
	if w.Gate != 0 {
		line("%s", gateWait(w))
		return err
	}
	if w.Position == 0 {
		line("lock %s would be granted at once: nobody is in the way", name)
		return err
	}
	held := &client.HeldError{Name: w.Name, Position: w.Position, Info: &w.LockInfo}
	line("%s", held.Error())
	switch {
	case allKept(w):
		line("  kept   : for its min hold or lock delay; its holder is gone, and it comes free by itself")
		if w.Estimate >= 0 {
			line("  grant  : in %s", w.Estimate.Round(100*time.Millisecond))
		}
	case w.Samples == 0:
		line("  usual  : unknown, no hold has ended since its leader counts")
	case w.Estimate < 0:
		line("  usual  : held for %s (middle of %d)", age(w.Usual), w.Samples)
	default:
		line("  usual  : held for %s (middle of %d)   estimated grant: in %s", age(w.Usual),
			w.Samples, w.Estimate.Round(100*time.Millisecond))
	}
	return err
}

// allKept reports whether nobody is in the way but what stays taken.
func allKept(w *client.WhyInfo) bool {
	for i := range w.Holders {
		if !w.Holders[i].Kept {
			return false
		}
	}
	return len(w.Holders) > 0 && w.HolderCount == len(w.Holders)
}

// gateWait says what whoever comes to wait at a latch, an event or a barrier meets.
func gateWait(w *client.WhyInfo) string {
	name := strconv.Quote(w.Name)
	switch w.Gate {
	case client.GateEvent:
		if w.Position == 0 {
			return "event " + name + " is set: whoever comes goes through at once"
		}
		return fmt.Sprintf("event %s is not set: %d waiting", name, w.WaiterCount)
	case client.GateLatch:
		return fmt.Sprintf("latch %s has %d left to count: %d waiting", name, w.Number, w.WaiterCount)
	default:
		if w.Position == 0 {
			return fmt.Sprintf("barrier %s wants %d parties, %d wait: with the next all go through",
				name, w.Number, w.WaiterCount)
		}
		return fmt.Sprintf("barrier %s wants %d parties, %d wait: %d more must come", name, w.Number,
			w.WaiterCount, w.Number-w.WaiterCount)
	}
}

func waiterTable(w *client.WhyInfo) *table {
	t := &table{header: []string{"PLACE", "CLIENT", "MODE", "WEIGHT", "FOR", "SESSION"}}
	for i := range w.Waiters {
		x := &w.Waiters[i]
		t.add(strconv.Itoa(i+1), x.Client, kindName(x.Mode, &x.ClaimKind),
			strconv.Itoa(int(x.Weight)), age(x.Waited), sessionText(x.Session))
	}
	if more := w.WaiterCount - len(w.Waiters); more > 0 {
		t.add(fmt.Sprintf("%d more", more), "", "", "", "", "")
	}
	return t
}

func topVerb() verb {
	return verb{
		name:  "top",
		brief: "show the names that are waited for most",
		help: `
Asks every node for the names of its groups that requests waited for or were refused
of late: the score counts them and is halved every minute. What a leader knows of this
is lost when it stops leading.`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declare(flags)
			var limit int
			declareNumber(flags, number{to: &limit, least: 1, most: math.MaxInt32}, "limit", 20,
				"show at most so `many`")
			return func(sh *shell, args []string) error {
				if err := needArgs(args); err != nil {
					return err
				}
				ctx := context.Background()
				c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
				if err != nil {
					return err
				}
				defer closeClient(c)
				top, err := c.Top(ctx, limit)
				if err != nil {
					return clientFailure(err)
				}
				if out == "json" {
					_, err := sh.out.Write(admin.AppendTop(nil, top))
					return err
				}
				return topTable(top).print(sh)
			}
		},
	}
}

func topTable(top []client.TopEntry) *table {
	t := &table{header: []string{"NAME", "SCORE", "WAITS", "REFUSALS", "USUAL HOLD", "NODE"}}
	for i := range top {
		e := &top[i]
		usual := "-"
		if e.Usual >= 0 {
			usual = age(e.Usual)
		}
		t.add(e.Name, strconv.Itoa(e.Score), strconv.FormatUint(e.Waits, 10),
			strconv.FormatUint(e.Refusals, 10), usual, strconv.Itoa(int(e.Node)))
	}
	return t
}

package main

import (
	"context"
	"errors"
	"flag"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
)

// gateHelp is what the verbs of latches, events and barriers have in common.
const gateHelp = `
Nobody holds a latch, an event or a barrier: one waits there, and all who do are let
through at one moment. They outlive whoever made them; lockd get shows how they stand
and who waits. A name in use as one of them cannot be a lock, and the other way round.

Exit codes:
    1  refused or in vain: the wait of -w is over, the latch has a count already, it
       was reset or ran out while one waited, or the name is in use as something else
    2  the command line is wrong
   69  no node answers for the name, or not before the session is over: set, down, reset
       and barrier wait may have had their effect, or have it yet
   74  it had its effect, but what it prints could not be printed: do not repeat it
   77  ` + notPermitted + `
  128+N  signal N ended the wait`

// gateCall is one call of a verb of a latch, an event or a barrier.
type gateCall struct {
	cluster  clusterFlags
	patience patience
	ttl      time.Duration
	parties  int
	waits    bool // the verb has -w
	meets    bool // and --parties
	out      format
}

// gateUse is what a verb does there, and the number it prints, if it has one.
type gateUse func(ctx context.Context, c *client.Client, name string, n int) (gateNumber, error)

// gateNumber is what a verb has to tell: what is left of a latch, or the round of a
// barrier, by the name that JSON has for it. Without a name it is nothing.
type gateNumber struct {
	name  string
	value uint64
}

// gateVerb is a verb that takes a name, and a count too if args names one.
func (g *gateCall) verb(name, args, brief, help string, declare func(*flag.FlagSet),
	use gateUse) verb {
	return verb{name: name, args: args, brief: brief, help: help + gateHelp,
		begin: func(flags *flag.FlagSet) action {
			*g = gateCall{patience: patience{wait: waitsForEver, conflictCode: exitFailure}}
			g.cluster.declare(flags)
			if declare != nil {
				declare(flags)
			}
			return func(sh *shell, given []string) error { return g.run(sh, name, args, given, use) }
		}}
}

func (g *gateCall) run(sh *shell, verb, args string, given []string, use gateUse) error {
	n := 1
	if args == "NAME [N]" && len(given) == 1 {
		given = append(given, "1")
	}
	needs := []string{"NAME"}
	if args != "NAME" {
		needs = append(needs, "N")
	}
	if err := needArgs(given, needs...); err != nil {
		return err
	}
	if len(needs) > 1 {
		var err error
		if n, err = strconv.Atoi(given[1]); err != nil || n < 1 || n > math.MaxInt32 {
			return failf(exitUsage, "%s: N is %q, must be a whole number above 0 and at most %d", verb,
				given[1], math.MaxInt32)
		}
	}
	if g.meets && g.parties == 0 {
		return failf(exitUsage, "--parties is missing: how many have to arrive, 1 to %d", math.MaxInt32)
	}
	g.patience.timeout = g.cluster.timeout
	defer g.patience.listen(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)()
	c, err := g.patience.dial(&g.cluster, sh, client.Options{Name: clientName()})
	if err != nil {
		return err
	}
	defer closeClient(c)
	if g.waits {
		kind, _, _ := strings.Cut(verb, " ")
		g.patience.notice = newNotice(sh, c, awaited{kind, given[:1]}, g.cluster.timeout)
	}
	said, err := acquire(&g.patience, func(ctx context.Context) (gateNumber, error) {
		return use(ctx, c, given[0], n)
	})
	if err != nil {
		return g.failure(verb, given[0], err)
	}
	if err := g.print(sh, given[0], said); err != nil {
		return failf(exitUnprinted, "%s %q had its effect, but %d could not be printed: %w", verb,
			given[0], said.value, err)
	}
	return nil
}

// print prints what a verb has to tell.
func (g *gateCall) print(sh *shell, name string, said gateNumber) error {
	if said.name == "" {
		return nil
	}
	text := strconv.AppendUint(nil, said.value, 10)
	if text = append(text, '\n'); g.out == "json" {
		text = admin.AppendGate(nil, name, said.name, said.value)
	}
	_, err := sh.out.Write(text)
	return err
}

// failure gives what kept us from going on its exit code. Who repeats what has failed
// must know whether it may have counted.
func (g *gateCall) failure(verb, name string, err error) error {
	switch {
	case errors.Is(err, errWaited) && !errors.Is(err, client.ErrUnavailable):
		return failf(exitFailure, "waited %s for %q in vain", spanText(g.patience.wait), name)
	case errors.Is(err, client.ErrSessionEnded), errors.Is(err, client.ErrProtocol):
		return failf(exitUnavailable, "%s %q may have counted: %w", verb, name, oneLine{err})
	}
	return clientFailure(err)
}

func (g *gateCall) declareTTL(flags *flag.FlagSet) {
	declareSpan(flags, span{to: &g.ttl, least: leastHold, most: mostHold, zero: zeroIsNone}, "ttl", 0,
		"how `long` it stands at most, by the clock of the cluster; 0s is until it is reset")
}

func (g *gateCall) declareWait(flags *flag.FlagSet) {
	g.waits = true
	declareSpan(flags, span{to: &g.patience.wait, least: time.Millisecond}, "w", waitsForEver,
		"wait at most this `long`")
}

func (g *gateCall) declareOut(flags *flag.FlagSet) {
	g.out.declareFor(flags, "text", "the number alone")
}

func (g *gateCall) declareMeeting(flags *flag.FlagSet) {
	g.declareWait(flags)
	g.declareOut(flags)
	g.meets = true
	declareNumber(flags, number{to: &g.parties, least: 1, most: math.MaxInt32}, "parties", 0,
		"how `many` have to arrive: required, and the same for all who use the name")
}

// gateVerbs lists the verbs of latches, events and barriers.
func gateVerbs() []verb {
	g := func() *gateCall { return &gateCall{} }
	set, down, event, latch, up, meet := g(), g(), g(), g(), g(), g()
	none := gateNumber{}
	return []verb{
		set.verb("latch set", "NAME N", "give a latch a count, which it must not have", "",
			set.declareTTL, func(ctx context.Context, c *client.Client, name string, n int) (
				gateNumber, error) {
				return none, c.Latch(name).SetWith(ctx, n, client.GateOptions{TTL: set.ttl})
			}),
		down.verb("latch down", "NAME [N]", "count a latch down, and print what is left", `
Takes N, or 1, from the count. At zero all who wait are let through. If no answer
comes it may have counted, or count yet: do not repeat it then.
`, down.declareOut, func(ctx context.Context, c *client.Client, name string, n int) (
			gateNumber, error) {
			left, err := c.Latch(name).CountDown(ctx, n)
			return gateNumber{"left", uint64(left)}, err
		}),
		latch.verb("latch wait", "NAME", "wait until the count of a latch is zero", `
A latch that nobody has set is at zero: who comes too early is let through.
`, latch.declareWait, func(ctx context.Context, c *client.Client, name string, _ int) (
			gateNumber, error) {
			return none, c.Latch(name).Wait(ctx)
		}),
		g().verb("latch reset", "NAME", "take the count of a latch away; who waits is told", "", nil,
			func(ctx context.Context, c *client.Client, name string, _ int) (
				gateNumber, error) {
				return none, c.Latch(name).Reset(ctx)
			}),
		event.verb("event set", "NAME", "let through all who wait for an event, and who comes", "",
			event.declareTTL, func(ctx context.Context, c *client.Client, name string, _ int) (
				gateNumber, error) {
				return none, c.Event(name).SetWith(ctx, client.GateOptions{TTL: event.ttl})
			}),
		up.verb("event wait", "NAME", "wait until an event is set", "", up.declareWait,
			func(ctx context.Context, c *client.Client, name string, _ int) (
				gateNumber, error) {
				return none, c.Event(name).Wait(ctx)
			}),
		g().verb("event reset", "NAME", "have who comes from now on wait for an event", "", nil,
			func(ctx context.Context, c *client.Client, name string, _ int) (
				gateNumber, error) {
				return none, c.Event(name).Reset(ctx)
			}),
		meet.verb("barrier wait", "NAME", "wait until all parties have arrived, print the round", "",
			meet.declareMeeting, func(ctx context.Context, c *client.Client, name string, _ int) (
				gateNumber, error) {
				round, err := c.Barrier(name, meet.parties).Wait(ctx)
				return gateNumber{"round", round}, err
			}),
		g().verb("barrier reset", "NAME", "break the round that waits at a barrier", "", nil,
			func(ctx context.Context, c *client.Client, name string, _ int) (
				gateNumber, error) {
				return none, c.Barrier(name, 1).Reset(ctx)
			}),
	}
}

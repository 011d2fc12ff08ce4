package verify

import (
	"context"
	"fmt"
	"time"
)

// Injected is one fault that was injected.
type Injected struct {
	Kind, What string
	// Began, Healed and Well are moments since the load began: when it was injected,
	// when what ends it was done, and when the cluster was well again.
	Began, Healed, Well time.Duration
	// Waits is how long each group has kept callers waiting at most.
	Waits []time.Duration
	// Err is what went wrong with injecting or healing it, nil if nothing did.
	Err error
}

// wellWithin is how long a cluster may take to get well after a fault.
const wellWithin = 90 * time.Second

// baseline is the kind under which it is noted what nothing costs.
const baseline = "none"

// inject has faults happen in turn until the time is over, or one cannot be healed.
// ctx ends it early.
func (r *run) inject(ctx context.Context) {
	until := r.began.Add(r.opts.For)
	r.measure(ctx, baseline, min(2*r.opts.Rest, r.opts.For/2))
	for i := 0; len(r.opts.Faults) > 0 && ctx.Err() == nil; i++ {
		kind := r.opts.Faults[i%len(r.opts.Faults)]
		length := r.lengthOf(kind)
		r.awaitHome(ctx, until)
		if time.Until(until) < length+r.opts.Rest {
			break
		}
		if !r.one(ctx, kind, i, length) {
			break
		}
		rest(ctx, r.opts.Rest)
	}
	rest(ctx, time.Until(until))
}

// measure notes how long groups keep callers waiting while nothing is injected.
func (r *run) measure(ctx context.Context, kind string, d time.Duration) {
	r.probes.watch()
	rest(ctx, d)
	r.injected = append(r.injected, Injected{Kind: kind, What: "nothing", Waits: r.probes.waits(),
		Healed: time.Since(r.began), Well: time.Since(r.began)})
}

// lengthOf is how long a fault lasts.
func (r *run) lengthOf(kind string) time.Duration {
	if kind == KindPause {
		return max(r.opts.Length, r.lease*3/2)
	}
	return r.opts.Length
}

// one injects a fault, heals it and waits until the cluster is well. It reports
// whether another may follow.
func (r *run) one(ctx context.Context, kind string, i int, length time.Duration) bool {
	f := r.opts.Outside[kind]
	if f == nil {
		f = &ownFault{run: r, kind: kind, number: i}
	}
	e := Injected{Kind: kind, Began: time.Since(r.began)}
	r.probes.watch()
	e.What, e.Err = f.Begin(ctx)
	r.tell("%s: %s", kind, e.What)
	if e.Err == nil {
		rest(ctx, length)
	}
	if err := r.heal(ctx, f); err != nil && e.Err == nil {
		e.Err = err
	}
	e.Healed = time.Since(r.began)
	unwell := r.awaitHealth(context.WithoutCancel(ctx), wellWithin)
	e.Well = time.Since(r.began)
	e.Waits = r.probes.waits()
	if e.Err == nil {
		e.Err = unwell
	}
	r.injected = append(r.injected, e)
	if e.Err != nil {
		r.tell("%s: %v", kind, e.Err)
	}
	return unwell == nil
}

// heal ends a fault, whatever becomes of the run meanwhile. It is tried a few times: a
// node may be busy with getting well.
func (r *run) heal(ctx context.Context, f Fault) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), wellWithin)
	defer cancel()
	for {
		err := f.Heal(bounded)
		if err == nil || bounded.Err() != nil {
			return err
		}
		rest(bounded, time.Second)
	}
}

// ownFault is done to the clients of the run itself.
type ownFault struct {
	run    *run
	kind   string
	number int
	paused *line
}

// Begin makes it a Fault.
func (f *ownFault) Begin(context.Context) (string, error) {
	if f.kind == KindConns {
		n := 0
		for _, l := range f.run.lines {
			n += l.cut()
		}
		return fmt.Sprintf("%d conns of %d clients cut", n, len(f.run.lines)), nil
	}
	if f.kind == KindForce {
		f.run.forcing.Store(true)
		return "holds are ended by force", nil
	}
	// The last line is the probes'.
	i := f.number % (len(f.run.lines) - 1)
	f.paused = f.run.lines[i]
	f.paused.pause()
	return fmt.Sprintf("client %d neither hears nor is heard", i), nil
}

// Heal makes it a Fault.
func (f *ownFault) Heal(context.Context) error {
	f.run.forcing.Store(false)
	if f.paused != nil {
		f.paused.resume()
	}
	return nil
}

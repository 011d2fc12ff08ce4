package lockfsm

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"
)

// twinWait is a wait that was come to from another, in whose way a hold of its owner
// is.
type twinWait struct {
	c, hold *twinClaim
	from    *twinWait
}

// circle refuses a wait that closes a circle of waits whose owners give nothing
// back. It reports the shortest that leads back to the whole request, the first of equal
// ones by token and queue; if there is none, such a one of those that lead from the
// first of its parts to the turn of that alone.
func (t *twin) circle(cl *twinClaim, res *Result) bool {
	if t.circleFrom(cl, cl.parts(), nil, res) {
		return true
	}
	for _, p := range cl.parts() {
		if cl.all != nil && t.circleFrom(cl, []*twinClaim{p}, p, res) {
			t.throughOneTurn++
			return true
		}
	}
	return false
}

// circleFrom looks for a circle from some parts of a request to all of it, or to the turn
// of one.
func (t *twin) circleFrom(cl *twinClaim, from []*twinClaim, turn *twinClaim, res *Result) bool {
	var reached []*twinWait
	for _, p := range from {
		reached = append(reached, &twinWait{c: p})
	}
	owner := cl.promiser()
	add := func(w twinWait) {
		known := slices.ContainsFunc(reached, func(o *twinWait) bool { return o.c == w.c })
		if w.c.detects && !w.c.s.ending && !known {
			reached = append(reached, &w)
		}
	}
	for i := 0; i < len(reached); i++ {
		at := reached[i]
		l := at.c.lock
		for _, h := range l.holders {
			switch {
			case h.detached || h.kept || h.s.ending || h == at.c.hold || !bars(h, at.c):
			case h.s == cl.s && h.owner == owner:
				t.report(at, h.stamp, res)
				return true
			default:
				for _, c := range t.claimsOf(h.s) {
					if c.promiser() == h.owner && c.on == nil && !c.holds() {
						add(twinWait{c: c, hold: h, from: at})
					}
				}
			}
		}
		for _, w := range l.waiters[:slices.Index(l.waiters, at.c)] {
			near := w.all != nil && w.mode.Compatible(at.c.mode)
			if slices.Contains(cl.parts(), w) && (!near || w == turn) {
				t.report(at, 0, res)
				return true
			}
			if near {
				add(twinWait{c: w, from: at})
				continue
			}
			for _, p := range w.parts() {
				add(twinWait{c: p, from: at})
			}
		}
	}
	return false
}

// promiser is the owner who waits with a claim.
func (c *twinClaim) promiser() Owner {
	if c.hold != nil {
		return c.hold.owner
	}
	return c.owner
}

// bars reports whether w cannot hold a lock beside h, whoever else does or does not.
func bars(h, w *twinClaim) bool {
	return !h.mode.Compatible(w.mode) || uint64(h.permits)+uint64(w.permits) > uint64(w.lock.capacity)
}

// report writes a circle down, which ends with a wait for the hold with that token.
func (t *twin) report(at *twinWait, token Token, res *Result) {
	var steps []Step
	for ; at != nil; at = at.from {
		if at.c.hold != nil {
			t.throughTurns++
		}
		if at.c.all != nil {
			t.throughParts++
		}
		steps = append(steps, Step{at.c.s.id, at.c.promiser(), token, []byte(at.c.lock.name)})
		if token = 0; at.hold != nil {
			token = at.hold.stamp
		}
	}
	slices.Reverse(steps)
	res.Code, res.Steps, res.StepsAt = CodeDeadlock, uint32(len(steps)), uint32(len(t.out.Steps))
	res.Holder, res.HolderToken = steps[1%len(steps)].Session, steps[0].Token
	t.out.Steps = append(t.out.Steps, steps...)
}

// A circle of as many owners as there may be is found, whoever closes it; one wait
// that does not say that its owner keeps what it has, and nothing is certain.
func TestDeadlockAmongOwners(t *testing.T) {
	for n := 2; n <= 8; n++ {
		for open := range n + 1 { // who does not say so, n for nobody
			m, err := New(DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			var batch BatchBuilder
			var out Outcome
			for i := range n {
				batch.Append(&Command{Op: OpOpenSession, Nonce: Nonce{byte(i + 1)}, Lease: 10_000})
			}
			enter := func(i, name int, request RequestID, flags Flags) {
				batch.Append(&Command{Op: OpEnter, Session: SessionID(i + 1), Owner: Owner(i + 1),
					Request: request, Mode: ModeEX, Name: []byte{'a' + byte(name)}, Flags: flags})
			}
			for i := range n {
				enter(i, i, 1, 0)
			}
			for i := range n {
				flags := Wait | Detect
				if i == open {
					flags = Wait
				}
				enter(i, (i+1)%n, 2, flags)
			}
			if err := m.Apply(1, batch.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
			last := out.Results[3*n-1]
			if want := open == n; (last.Code == CodeDeadlock) != want || want && len(out.Steps) != n {
				t.Fatalf("%d owners, open %d: got %v with %d steps", n, open, last.Code, len(out.Steps))
			}
			for i, s := range out.Steps {
				at := (n - 1 + i) % n
				if s.Session != SessionID(at+1) || s.Owner != Owner(at+1) ||
					s.Token != Token((at+1)%n+1) || s.Name[0] != 'a'+byte((at+1)%n) {
					t.Errorf("%d owners, step %d: got %+v", n, i, s)
				}
			}
		}
	}
}

// finishDetect lets an owner who holds something ask for what another holds, who
// perhaps waits for that.
func (w *world) finishDetect(c Command) Command {
	held := slices.DeleteFunc(w.twin.claims(), func(cl *twinClaim) bool {
		return cl.detached || cl.kept || !cl.holds() || cl.on != nil || cl.lock.gate != 0
	})
	if len(held) < 2 {
		return c
	}
	x, y := held[w.rng.IntN(len(held))], held[w.rng.IntN(len(held))]
	for _, v := range w.twin.claims() {
		if !v.detects || w.rng.IntN(2) == 0 {
			continue
		}
		for _, h := range held {
			switch {
			case h.lock == v.lock:
				x = h
			case h.s == v.s && h.owner == v.owner:
				y = h
			}
		}
	}
	c.Session, c.Epoch, c.Owner = x.s.id, x.s.epoch, x.owner
	c.Name, c.Mode = []byte(y.lock.name), ModeEX
	switch {
	case y.lock.capacity > 0:
		c.Op, c.Capacity = OpTake, y.lock.capacity
		c.Permits = y.lock.capacity - Permits(w.rng.IntN(2))
	case x.owner == 0:
		c.Op = OpAcquire
	}
	return c
}

// finishParts gives an acquire of several names what it needs, and mostly lets it say
// Detect, mostly for a session that holds something, and for a name that another holds.
func (w *world) finishParts(c Command) Command {
	r := w.rng
	if c.Name, c.Parts = nil, w.drawParts(); r.IntN(40) == 0 {
		c.Flags |= Detached
	}
	c.Terms = Terms{}
	if r.IntN(3) == 0 {
		c.Terms = w.terms()
		c.Terms.Owner = 0
		if c.Terms.Fields &^= TermOwner; r.IntN(30) > 0 {
			c.Terms.Fields &^= TermValue
		}
	}
	own := func(o Owner) {
		if o != 0 {
			c.Terms.Fields, c.Terms.Owner = c.Terms.Fields|TermOwner, o
		}
	}
	if r.IntN(3) == 0 {
		own(Owner(r.IntN(3)))
		return c
	}
	c.Flags |= Wait | Detect
	one := w.finishDetect(Command{Op: OpAcquire, Name: []byte("a"), Session: c.Session,
		Epoch: c.Epoch})
	c.Session, c.Epoch = one.Session, one.Epoch
	own(one.Owner)
	var all Parts
	added := false
	add := func() {
		if !added {
			all, added = all.AppendPart(Part{ModeEX, one.Name}), true
		}
	}
	for rest := c.Parts; len(rest) > 0; {
		var p Part
		p, rest = rest.Next()
		if bytes.Compare(p.Name, one.Name) >= 0 {
			add()
		}
		if !bytes.Equal(p.Name, one.Name) {
			all = all.AppendPart(p)
		}
	}
	add()
	c.Parts = all
	return c
}

// finishPlain lets a request of a session say Detect, for all of the session that
// names no owner.
func (w *world) finishPlain(c Command) Command {
	if (c.Op != OpAcquire && c.Op != OpTake) || c.Flags&(Wait|Detached) != Wait || w.rng.IntN(4) > 0 {
		return c
	}
	c.Flags |= Detect
	if w.rng.IntN(2) > 0 {
		return w.finishDetect(c)
	}
	return c
}

// finishEnter gives an OpEnter what it needs.
func (w *world) finishEnter(c Command) Command {
	r := w.rng
	if c.Flags&Wait != 0 && r.IntN(3) > 0 {
		c.Flags |= Detect
		c.Owner = 1 + c.Owner%2
	}
	if r.IntN(40) == 0 {
		c.Flags |= Detached
	}
	if r.IntN(3) > 0 { // somewhere the owner may be already
		c.Mode, c.Name = ModeEX, []byte("g")
	}
	if c.Flags&Detect != 0 && r.IntN(2) > 0 {
		return w.finishDetect(c)
	}
	return c
}

// compareFlows asks a machine what every owner waits for, and wants what the twin says.
func (t *twin) compareFlows(m *Machine) error {
	want, calls := map[Flow][]string{}, 0
	for _, c := range t.claims() {
		if c.detects && !c.holds() && c.part < 2 {
			calls++
		}
		if c.detects && !c.s.ending && !c.holds() {
			if w := t.flowWait(c); w != "" {
				want[c.flow()] = append(want[c.flow()], w)
			}
		}
	}
	for f, waits := range want { // order: any one that differs will do
		var got []string
		for at, more := 0, true; more; { // a few at a time
			found, walk := m.FlowWaits(nil, f, FlowSpan{Skip: at, Most: 2})
			for _, w := range found {
				got = append(got, fmt.Sprintf("s%d r%d w%d %s %q %+v %d", w.Session, w.Request, w.Weight,
					w.Client, w.Name, w.Blockers, w.Near))
			}
			if walk.Looked < min(at, walk.Passed) {
				return fmt.Errorf("flow %+v waits: got %d looks past %d names", f, walk.Looked, at)
			}
			if more = walk.More; more && walk.Passed <= at {
				return fmt.Errorf("flow %+v waits: got past %d names from %d on", f, walk.Passed, at)
			}
			at = walk.Passed
		}
		slices.Sort(got)
		slices.Sort(waits)
		missing := len(waits) - len(got)
		full := m.byFlow.n < calls // there was no room in the index, be it that there is now
		if missing != 0 && !full || missing == 0 && !slices.Equal(got, waits) {
			return fmt.Errorf("flow %+v waits: got %q, want %q", f, got, waits)
		}
	}
	return nil
}

func (c *twinClaim) flow() Flow { return Flow{c.s.nonce.Client(), c.promiser()} }

// flowWait writes down what a wait with detect waits for, of a part that waits for
// nothing nothing.
func (t *twin) flowWait(c *twinClaim) string {
	var all, last []Blocker
	for _, h := range c.lock.holders {
		if !h.detached && !h.kept && !h.s.ending && h != c.hold && bars(h, c) {
			all = append(all, Blocker{h.flow(), h.s.id, h.request, h.stamp})
		}
	}
	for _, w := range c.lock.waiters[:slices.Index(c.lock.waiters, c)] {
		more := cmp.Compare(w.permits, c.permits) > 0
		for mode := ModeNL; mode <= ModeEX; mode++ {
			more = more || !mode.Compatible(w.mode) && mode.Compatible(c.mode)
		}
		near := w.all != nil && w.mode.Compatible(c.mode)
		switch {
		case !w.detects || w.s.ending || w.s.parked:
		case near && more:
			last = append(last, Blocker{w.flow(), w.s.id, w.request, 0})
		case !near && (more || w.all != nil):
			all = append(all, Blocker{w.flow(), w.s.id, w.request, 0})
		}
	}
	if len(all)+len(last) == 0 && c.all != nil {
		return ""
	}
	n := len(all)
	all = append(all, last...)
	all = all[:min(len(all), MaxBlockers)]
	return fmt.Sprintf("s%d r%d w%d %s %q %+v %d", c.s.id, c.request, c.weight, c.s.name, c.lock.name,
		all, max(0, len(all)-n))
}

package lockfsm

import (
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
// back, and reports the shortest, the first of equal ones by token and queue.
func (t *twin) circle(cl *twinClaim, res *Result) bool {
	reached := []*twinWait{{c: cl}}
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
			full := len(l.holders) >= int(t.l.HoldersPerLock)
			switch {
			case h.owner == 0 || h.mode.Compatible(at.c.mode) && !full:
			case h.s == cl.s && h.owner == cl.owner:
				t.report(at, h.stamp, res)
				return true
			default:
				for _, c := range t.claimsOf(h.s) {
					if c.owner == h.owner && c.on == nil && !c.holds() {
						add(twinWait{c, h, at})
					}
				}
			}
		}
		for _, w := range l.waiters[:slices.Index(l.waiters, at.c)] {
			if w == cl {
				t.report(at, 0, res)
				return true
			}
			add(twinWait{c: w, from: at})
		}
	}
	return false
}

// report writes a circle down, which ends with a wait for the hold with that token.
func (t *twin) report(at *twinWait, token Token, res *Result) {
	var steps []Step
	for ; at != nil; at = at.from {
		steps = append(steps, Step{at.c.s.id, at.c.owner, token, []byte(at.c.lock.name)})
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
		return cl.owner == 0 || !cl.holds() || cl.on != nil
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

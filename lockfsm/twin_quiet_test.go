package lockfsm

import (
	"fmt"
	"slices"
	"testing"
)

// newQuiet returns a world in which many who wait are parked, conversions are refused
// beside them, and what sessions leave behind goes little by little.
func newQuiet(seed uint64) (*world, error) {
	w, err := newWorld(seed)
	if err != nil {
		return nil, err
	}
	w.draw = w.quietCommand
	w.l.Sessions, w.l.Locks, w.l.Claims, w.l.ClaimsPerSession = 9, 5, 80, 20
	w.l.WaitersPerLock, w.l.HoldersPerLock = 30, 12
	w.l.LeaseMax, w.l.WorkPerApply = 5000, 1+uint32(seed%2)
	return w, w.start(seed)
}

// crowd has sessions hold one lock together, some in a mode that they want to convert, and
// others wait behind those. Of those who wait most are parked, and some come to an end.
func (w *world) crowd() error {
	r := w.rng
	var open, turn, ask, park, leave, try []Command
	held := Token(0)
	for i := range w.l.Sessions {
		id := SessionID(i + 1)
		open = append(open, Command{Op: OpOpenSession, Nonce: Nonce{byte(id)}, Lease: 5000, Epoch: 1})
		c := Command{Op: OpAcquire, Session: id, Epoch: 1, Request: 1, Flags: Wait, Name: []byte("a")}
		switch {
		case i == 0:
			c.Mode = ModePR
			open = append(open, c)
			held++
		case r.IntN(3) > 0:
			open = append(open, c) // in NL
			held++
			c.Op, c.Request, c.Target, c.Token = OpConvert, 2, 1, held
			if c.Mode = []Mode{ModePW, ModeEX}[r.IntN(2)]; r.IntN(3) > 0 {
				turn = append(turn, c)
				park = append(park, Command{Op: OpPark, Session: id, Epoch: 1})
			} else {
				c.Flags = Flags(r.IntN(3)/2) * Wait
				try = append(try, c)
			}
		default:
			c.Mode = []Mode{ModePR, ModeEX}[r.IntN(2)]
			ask = append(ask, c)
			if r.IntN(2) > 0 {
				leave = append(leave, Command{Op: OpCloseSession, Session: id, Epoch: 1})
			}
		}
	}
	return w.run(slices.Concat(open, turn, ask, park, leave, try))
}

// quietCommand draws a command of such a world.
func (w *world) quietCommand() Command {
	r := w.rng
	c := Command{Mode: []Mode{ModeNL, ModePR, ModeEX}[r.IntN(3)], Session: w.session(),
		Request: RequestID(3 + r.IntN(300)), Name: []byte("a"), Flags: Flags(r.IntN(2)) * Wait}
	if s := w.twin.sessions[c.Session]; s != nil {
		c.Epoch = s.epoch + Epoch(r.IntN(60)/59)
	}
	switch n := r.IntN(100); {
	case n < 10:
		c.Op = OpAcquire
		return c
	case n < 70:
		c.Op, c.Mode = OpConvert, []Mode{ModePR, ModeEX, ModeEX}[r.IntN(3)]
		return w.finish(c)
	case n < 80:
		c.Op = OpRelease
		return w.finish(c)
	case n < 85:
		c.Op = OpCancel
		return w.finish(c)
	case n < 93:
		c.Op, c.Flags = OpPark, 0
		return c
	default:
		c.Op, c.Flags = OpCloseSession, 0
		return c
	}
}

// TestTwinQuiet compares the machine with the twin where a lock whose waiters are mostly
// parked is pumped for somebody who does not stay in its queue, while a session that has
// ended waits there yet (I13, I17).
func TestTwinQuiet(t *testing.T) {
	const want = 100
	quiet, refused := 0, 0
	for seed := uint64(1); seed <= 600; seed++ {
		w, err := newQuiet(seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.crowd(); err != nil {
			t.Fatal(fmt.Errorf("seed %d: %w", seed, err))
		}
		for i := range 8 {
			ending := w.a.Pending()
			if err := w.step(); err != nil {
				t.Error(fmt.Errorf("seed %d step %d: %w", seed, i, err))
				break
			}
			for _, r := range w.outA.Results {
				if ending && r.Op == OpConvert && r.Code == CodeHeld {
					refused++
				}
			}
			quiet += len(w.a.quiet)
		}
	}
	t.Logf("%d quiet locks seen, %d conversions refused while a session ends", quiet, refused)
	if min(quiet, refused) < want {
		t.Errorf("got %d quiet locks, %d conversions refused, want %d of each", quiet, refused, want)
	}
}

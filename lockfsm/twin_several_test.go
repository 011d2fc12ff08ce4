package lockfsm

import (
	"slices"
	"testing"
)

// newSeveral returns a world in which many wait for several names each, and few of
// those may be passed.
func newSeveral(seed uint64) (*world, error) {
	w, err := newWorld(seed)
	if err != nil {
		return nil, err
	}
	w.draw = w.severalCommand
	w.l.Locks, w.l.Claims, w.l.ClaimsPerSession = 7, 80, 30
	w.l.WaitersPerLock, w.l.HoldersPerLock = 40, 8
	w.l.LeaseMax = 5000
	if err := w.start(seed); err != nil {
		return nil, err
	}
	w.twin.passMost = 1 + int(seed%4)
	w.a.passMost, w.b.passMost = w.twin.passMost, w.twin.passMost
	return w, nil
}

// severalCommand draws a command of such a world.
func (w *world) severalCommand() Command {
	r := w.rng
	c := Command{Mode: []Mode{ModeCR, ModePR, ModePR, ModeEX}[r.IntN(4)],
		Weight: uint8(r.IntN(10) / 8), Session: w.session(), Request: RequestID(r.IntN(400)),
		Name: []byte(worldNames[r.IntN(len(worldNames))])}
	if r.IntN(8) > 0 {
		c.Flags = Wait
	}
	if s := w.twin.sessions[c.Session]; s != nil {
		c.Epoch = s.epoch + Epoch(r.IntN(20)/19)
	}
	switch n := r.IntN(100); {
	case n < 6:
		c.Op = OpOpenSession
		c = w.finish(c)
		c.Lease = 5000
		return c
	case n < 50:
		c.Op, c.Name, c.Parts = OpAcquireAll, nil, w.drawSeveral()
		return c
	case n < 64:
		c.Op = OpAcquire
		return c
	case n < 90:
		c.Op = OpRelease
	case n < 95:
		c.Op = OpCancel
	case n < 99:
		c.Op, c.Flags = OpPark, 0
		return c
	default:
		c.Op, c.Flags = OpCloseSession, 0
		return c
	}
	return w.finish(c)
}

// drawSeveral draws names of which one is asked for by few.
func (w *world) drawSeveral() Parts {
	r := w.rng
	names := slices.Clone(worldNames)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	few := names[0]
	names = names[:2+r.IntN(3)]
	slices.Sort(names)
	var all Parts
	for _, n := range names {
		mode := []Mode{ModeCR, ModePR}[r.IntN(2)]
		if n == few && r.IntN(3) > 0 {
			mode = ModeEX
		}
		all = all.AppendPart(Part{Mode: mode, Name: []byte(n)})
	}
	return all
}

// TestTwinSeveral compares the machine with the twin where those who may be passed
// are met often.
func TestTwinSeveral(t *testing.T) {
	shorter := 0
	for seed := uint64(1); seed <= 12; seed++ {
		w, err := newSeveral(seed)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, i, err)
			}
		}
		shorter += w.twin.shortened
	}
	t.Logf("%d waiters were let in as another lock granted", shorter)
	if shorter < 10 {
		t.Errorf("got %d waiters let in as another lock granted, want at least 10", shorter)
	}
}

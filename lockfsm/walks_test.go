package lockfsm

import "testing"

// deep is a lock, and what else a test of its walks needs.
type deep struct {
	*bench
	name []byte
	next RequestID
}

func newDeep(t *testing.T, name string) *deep {
	d := &deep{bench: newBench(t, massLimits()), name: []byte(name)}
	d.open(2)
	return d
}

// ask sends a command of a session with a request of its own.
func (d *deep) ask(c Command, want Code) Result {
	d.tb.Helper()
	d.next++
	c.Request, c.Name = d.next, d.name
	d.one(&c, want)
	return d.out.Results[0]
}

// looks wants that nearly nobody is gone past for a command.
func (d *deep) looks(what string, do func()) {
	d.tb.Helper()
	before := d.m.looks
	do()
	if n := d.m.looks - before; n > 4 && !checkInvariants {
		d.tb.Errorf("%s: got %d claims gone past, want 4 at most", what, n)
	}
}

// TestFN5FullQueueIsNotWalked: who would be one too many in a queue, and has a weight with
// which others go before him, is refused without his place there (I22).
func TestFN5FullQueueIsNotWalked(t *testing.T) {
	d := newDeep(t, "a")
	d.m.limits.WaitersPerLock = 400
	d.ask(Command{Op: OpAcquire, Session: 1, Mode: ModePR}, CodeOK)
	d.ask(Command{Op: OpAcquire, Session: 1, Mode: ModeEX, Weight: 200, Flags: Wait}, CodeQueued)
	for range 399 {
		d.ask(Command{Op: OpAcquire, Session: 1, Mode: ModeEX, Flags: Wait}, CodeQueued)
	}
	stamps := d.m.stamps
	d.looks("wait", func() {
		d.ask(Command{Op: OpAcquire, Session: 2, Mode: ModeEX, Weight: 100, Flags: Wait},
			CodeTooManyWaiters)
	})
	if d.m.stamps != stamps+1 {
		t.Errorf("got %d stamps taken, want one for the place in the queue", d.m.stamps-stamps)
	}
	// Who is let in, and goes before all others, is not one too many.
	d.ask(Command{Op: OpAcquire, Session: 2, Mode: ModePR, Weight: 255, Flags: Wait}, CodeOK)
}

// TestFN5FullSemaphoreIsNotWalked: who finds no permit left is told the oldest hold, and none
// is looked for that keeps him out more (I22).
func TestFN5FullSemaphoreIsNotWalked(t *testing.T) {
	d := newDeep(t, "s")
	take := func(s SessionID, want Code) Result {
		t.Helper()
		return d.ask(Command{Op: OpTake, Session: s, Permits: 1, Capacity: 500}, want)
	}
	oldest := take(1, CodeOK).Token
	for range 499 {
		take(1, CodeOK)
	}
	d.looks("try", func() {
		if r := take(2, CodeHeld); r.HolderToken != oldest {
			t.Errorf("got holder %d, want the oldest, %d", r.HolderToken, oldest)
		}
	})
	d.looks("force of one before all", func() {
		d.ask(Command{Op: OpForce, Token: oldest - 1, Value: []byte("x")}, CodeNotHolder)
	})
	d.looks("force of the oldest", func() {
		d.ask(Command{Op: OpForce, Token: oldest, Value: []byte("x")}, CodeOK)
	})
	d.looks("force of the newest", func() {
		d.ask(Command{Op: OpForce, Token: d.m.stamps, Value: []byte("x")}, CodeOK)
	})
	detached := d.ask(Command{Op: OpTake, Session: 77, Permits: 1, Capacity: 500, Flags: Detached,
		Lease: d.m.limits.HoldMax}, CodeOK).Token
	for range 250 {
		d.ask(Command{Op: OpForce, Token: d.m.claims.at(d.m.locks.at(1).holders).stamp,
			Value: []byte("x")}, CodeOK)
		take(2, CodeOK)
	}
	d.looks("force of a detached one in the middle", func() {
		d.ask(Command{Op: OpForce, Token: detached, Value: []byte("x")}, CodeOK)
	})
	if err := d.m.Validate(); err != nil {
		t.Error(err)
	}
}

// TestFN5ManyConvertsAreNotWalked: a conversion finds its place behind those that wait, and
// that none of them waits for its hold, without going past all of them (I22).
func TestFN5ManyConvertsAreNotWalked(t *testing.T) {
	const n = 500
	d := newDeep(t, "c")
	var holds []Result
	for range n {
		holds = append(holds, d.ask(Command{Op: OpAcquire, Session: 1, Mode: ModeCR}, CodeOK))
	}
	d.ask(Command{Op: OpAcquire, Session: 2, Mode: ModePR}, CodeOK)
	d.ask(Command{Op: OpAcquire, Session: 2, Mode: ModeEX, Flags: Wait}, CodeQueued)
	convert := func(h Result, to Mode, f Flags, want Code) {
		t.Helper()
		d.ask(Command{Op: OpConvert, Session: 1, Target: h.Request, Token: h.Token, Mode: to,
			Flags: f}, want)
	}
	for _, h := range holds[2:] {
		d.looks("convert", func() { convert(h, ModePW, Wait, CodeQueued) })
	}
	// It would wait for all others, and no other may wait for it then.
	convert(holds[0], ModeEX, Wait, CodeQueued)
	convert(holds[1], ModePW, Wait, CodeDeadlock)
	if err := d.m.Validate(); err != nil {
		t.Error(err)
	}
}

// TestFN5HoldOfASessionIsFoundFromBothEnds: a release goes past those few of the holders of a
// lock, or of the holds of its session, that are on the shorter side of its token in the
// shorter of the two lists (I22).
func TestFN5HoldOfASessionIsFoundFromBothEnds(t *testing.T) {
	const n = 500
	d := newDeep(t, "a")
	var holds [2][]Token
	for range n {
		for i := range holds {
			r := d.ask(Command{Op: OpAcquire, Session: SessionID(i + 1), Mode: ModePR}, CodeOK)
			holds[i] = append(holds[i], r.Token)
		}
	}
	d.name = []byte("b")
	beside := d.ask(Command{Op: OpAcquire, Session: 1, Mode: ModePR}, CodeOK).Token
	d.name = []byte("a")
	give := func(what string, s SessionID, token Token, want Code) {
		t.Helper()
		d.looks(what, func() {
			d.one(&Command{Op: OpRelease, Session: s, Token: token, Name: d.name}, want)
		})
	}
	for i := range SessionID(2) {
		own := holds[i]
		give("the oldest", i+1, own[0], CodeOK)
		give("again", i+1, own[0], CodeNotHolder)
		give("the newest", i+1, own[n-1], CodeOK)
		give("before all", i+1, 1, CodeNotHolder)
		give("after all", i+1, 1<<60, CodeNotHolder)
		give("of the other", i+1, holds[1-i][1], CodeNotHolder)
		give("of the other, the last", i+1, holds[1-i][n-2], CodeNotHolder)
	}
	give("of another lock", 1, beside, CodeNotHolder)
	before := d.m.Walked()
	release := Command{Op: OpRelease, Session: 1, Token: holds[0][n/2], Name: d.name}
	d.m.Foresee(&release)
	foreseen := d.m.Walked() - before
	d.one(&release, CodeOK)
	if took := d.m.Walked() - before - foreseen; foreseen != took || took < n/2-10 || took > n/2+10 {
		t.Errorf("one in the middle: got %d claims gone past and %d foreseen, want half of %d", took,
			foreseen, n)
	}
	if err := d.m.Validate(); err != nil {
		t.Error(err)
	}
}

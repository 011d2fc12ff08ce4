package lockfsm

import (
	"fmt"
	"testing"
)

// massLimits are those of production with room for one session to hold much.
func massLimits() Limits {
	l := DefaultLimits()
	l.ClaimsPerSession = l.Claims
	l.WorkPerApply = 1000
	return l
}

// ticks applies ticks of 200 ms until nothing is pending, and checks that no
// Apply does more than its share (I22). It returns how many it took.
func (b *bench) ticks(until func() bool) int {
	b.tb.Helper()
	n := 0
	for ; !until() || b.m.Pending(); n++ {
		if n > 5000 {
			b.tb.Fatalf("got 5000 ticks, want an end")
		}
		b.batch.Reset()
		b.batch.Tick(200, nil)
		b.apply()
		// One claim may overshoot by the waiters it lets in; here that is one.
		if got, most := len(b.out.Events), int(b.m.limits.WorkPerApply)+1; got > most {
			b.tb.Fatalf("events of one Apply: got %d, want at most %d", got, most)
		}
	}
	return n
}

// TestManyWantSeveral: of many who wait for the same names, all kept by one of them or each
// by one of its own, it is cheap that one gives up, that somebody tries for one of the names,
// and that their client comes back (I22).
func TestManyWantSeveral(t *testing.T) {
	for _, last := range []string{"z", "z%02d"} {
		t.Run(last, func(t *testing.T) { manyWantSeveral(t, last) })
	}
}

func manyWantSeveral(t *testing.T, last string) {
	b := newBench(t, massLimits())
	b.one(&Command{Op: OpOpenSession, Nonce: Nonce{200}, Lease: b.m.limits.LeaseMax}, CodeOK)
	var common Parts
	for i := range MaxParts - 1 {
		common = common.AppendPart(Part{ModePR, fmt.Appendf(nil, "n%02d", i)})
	}
	for i := range passMost {
		z := []byte(last)
		if len(last) > 1 {
			z = fmt.Appendf(nil, last, i)
		}
		if i == 0 || len(last) > 1 {
			b.one(&Command{Op: OpAcquire, Session: 2, Request: RequestID(i + 1), Name: z,
				Mode: ModeEX}, CodeOK)
		}
		parts := append(Parts{}, common...).AppendPart(Part{ModePR, z})
		b.one(&Command{Op: OpAcquireAll, Session: 1, Request: RequestID(i + 1), Parts: parts,
			Flags: Wait}, CodeQueued)
	}
	looks := func(what string, c Command, want Code) {
		before := b.m.looks
		b.one(&c, want)
		if n := b.m.looks - before; n > 3*MaxParts*passMost && !checkInvariants {
			t.Errorf("%s: got %d looks at parts, want one of each lock at each acquire", what, n)
		}
	}
	looks("try", Command{Op: OpAcquire, Session: 2, Request: 100, Name: []byte("n00"), Mode: ModeEX},
		CodeHeld)
	looks("cancel", Command{Op: OpCancel, Session: 1, Request: 1, Name: []byte("n00")}, CodeCancelled)
	looks("park", Command{Op: OpPark, Session: 1}, CodeOK)
	looks("come back", Command{Op: OpRelease, Session: 1, Epoch: 1, Token: 1 << 40,
		Name: []byte("x")}, CodeNotHolder)
	b.one(&Command{Op: OpCloseSession, Session: 2}, CodeOK)
	events := len(b.out.Events)
	for b.m.Pending() {
		b.batch.Reset()
		b.batch.Tick(0, nil)
		b.apply()
		events += len(b.out.Events)
	}
	if want := 1 + (passMost-1)*MaxParts; events < want {
		t.Errorf("freed: got %d events, want %d", events, want)
	}
}

// TestPassedByOneMore: who waits behind as many parts as may be passed and one more
// gets in when one of those is granted by another lock.
func TestPassedByOneMore(t *testing.T) {
	b := newBench(t, massLimits())
	b.one(&Command{Op: OpOpenSession, Nonce: Nonce{200}, Lease: b.m.limits.LeaseMax}, CodeOK)
	for i := range passMost + 1 {
		z := fmt.Appendf(nil, "z%02d", i)
		b.one(&Command{Op: OpAcquire, Session: 2, Request: RequestID(i + 1), Name: z,
			Mode: ModeEX}, CodeOK)
		var parts Parts
		parts = parts.AppendPart(Part{ModePR, []byte("a")}).AppendPart(Part{ModePR, z})
		b.one(&Command{Op: OpAcquireAll, Session: 1, Request: RequestID(i + 1), Parts: parts,
			Flags: Wait}, CodeQueued)
	}
	b.one(&Command{Op: OpAcquire, Session: 1, Request: 1000, Name: []byte("a"), Mode: ModePR,
		Flags: Wait}, CodeQueued)
	var info LockInfo
	b.m.Lock([]byte("z00"), &info, All)
	b.one(&Command{Op: OpRelease, Session: 2, Token: info.Holders[0].Token,
		Name: []byte("z00")}, CodeOK)
	if err := b.m.Validate(); err != nil {
		t.Error(err)
	}
	if n := len(b.out.Events); n != 3 {
		t.Errorf("got %d events, want one for each of three grants", n)
	}
}

// TestNamesInAnyOrder: a page has the first names behind its cursor, in order, in
// whatever order the locks were taken.
func TestNamesInAnyOrder(t *testing.T) {
	const n = 100
	for _, step := range []int{1, n - 1, 37} {
		b := newBench(t, massLimits())
		for i := range n {
			b.acquire(RequestID(i+1), fmt.Appendf(nil, "n%02d", (i+1)*step%n), ModeEX)
		}
		for _, limit := range []int{1, 7, 49, 50, 99, 100, 200} {
			page, covered := searched(b.m, "n", "n19", limit)
			if got, want := len(page), min(limit, 80); got != want || (covered == nil) != (limit >= 80) {
				t.Fatalf("step %d: got %d names up to %q, want %d", step, got, covered, want)
			}
			for i, name := range page {
				if want := fmt.Sprintf("n%02d", 20+i); string(name) != want {
					t.Fatalf("step %d, limit %d: got %q, want %q", step, limit, name, want)
				}
			}
		}
	}
}

// TestFK3OneSessionManyHolds: the end of a session with 100,000 holds, each
// waited for by another, takes many Applies and hands every lock over.
func TestFK3OneSessionManyHolds(t *testing.T) {
	n := 100_000
	if checkInvariants {
		n = 2_000
	}
	b := newBench(t, massLimits())
	b.fill(n)
	l := b.m.limits
	other := Command{Op: OpOpenSession, Nonce: Nonce{200}, Lease: l.LeaseMax}
	b.one(&other, CodeOK)
	name := make([]byte, 24)
	for i := 0; i < n; {
		b.batch.Reset()
		for ; i < n && b.batch.Len() < 1000; i++ {
			benchName(name, uint64(i))
			b.batch.Append(&Command{Op: OpAcquire, Session: 2, Request: RequestID(i + 1),
				Name: name, Mode: ModeEX, Flags: Wait})
		}
		b.apply()
	}
	took := b.ticks(func() bool { return !b.m.Session(1, &SessionInfo{}) })
	if least := 2 * n / int(l.WorkPerApply); took < least {
		t.Errorf("got %d ticks, want at least %d", took, least)
	}
	var info SessionInfo
	if !b.m.Session(2, &info) || int(info.Claims) != n {
		t.Fatalf("the other session: got %d claims, want %d", info.Claims, n)
	}
	held := 0
	b.m.ForEachLock(func(l *LockInfo) bool {
		held += len(l.Holders)
		return len(l.Waiters) == 0
	})
	if held != n {
		t.Errorf("locks handed over: got %d, want %d", held, n)
	}
	if err := b.m.Validate(); err != nil {
		t.Error(err)
	}
}

// TestFK3ManySessionsEnd: sessions that end at the same moment end in the order
// of their ids, a bounded number in each Apply.
func TestFK3ManySessionsEnd(t *testing.T) {
	n := 100_000
	if checkInvariants {
		n = 1_500
	}
	b := newBench(t, massLimits())
	for i := range n {
		b.open(uint64(i + 2))
	}
	last, ended := SessionID(0), 0
	b.ticks(func() bool {
		for _, e := range b.out.Events {
			if e.Kind != EventSessionEnded || e.Session <= last {
				t.Fatalf("event: got %v of session %d after %d", e.Kind, e.Session, last)
			}
			last = e.Session
			ended++
		}
		return ended == n+1
	})
	if got := b.m.Stats().Sessions; got != 0 {
		t.Errorf("sessions: got %d, want none", got)
	}
	if err := b.m.Validate(); err != nil {
		t.Error(err)
	}
}

// TestFK3ManyWaiters: 10,000 readers behind a writer are granted by its release,
// together and in order; as many writers one by one, in order.
func TestFK3ManyWaiters(t *testing.T) {
	for _, mode := range []Mode{ModePR, ModeEX} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			n := 10_000
			if checkInvariants {
				n = 500
			}
			b := newBench(t, massLimits())
			b.acquire(1, []byte("hot"), ModeEX)
			token := b.out.Results[0].Token
			for i := range n {
				b.one(&Command{Op: OpAcquire, Session: 1, Request: RequestID(i + 2),
					Name: []byte("hot"), Mode: mode, Flags: Wait}, CodeQueued)
			}
			next := RequestID(2)
			for int(next) < n+2 {
				b.one(&Command{Op: OpRelease, Session: 1, Token: token, Name: []byte("hot")}, CodeOK)
				for _, e := range b.out.Events {
					if e.Kind != EventGranted || e.Request != next || e.Token <= token {
						t.Fatalf("event: got %v of request %d token %d, want request %d above %d",
							e.Kind, e.Request, e.Token, next, token)
					}
					token = e.Token
					next++
				}
			}
		})
	}
}

// TestFK3WaitsOfOneSession: a session with 10,000 waits for one lock is parked,
// comes back and ends. Each of these passes the queue a few times over, not once
// for every wait: a million steps, not a hundred million.
func TestFK3WaitsOfOneSession(t *testing.T) {
	n := 10_000
	if checkInvariants {
		n = 500
	}
	b := newBench(t, massLimits())
	b.open(2)
	b.acquire(1, []byte("hot"), ModeEX)
	token := b.out.Results[0].Token
	for i := range n {
		b.one(&Command{Op: OpAcquire, Session: 2, Request: RequestID(i + 1), Name: []byte("hot"),
			Mode: ModeEX, Flags: Wait}, CodeQueued)
	}
	steps := func(what string, do func()) {
		t.Helper()
		before := b.m.passed
		do()
		if got, most := b.m.passed-before, uint64(20*n); got > most {
			t.Errorf("%s: got %d waiters passed over, want at most %d", what, got, most)
		}
	}
	steps("park", func() { b.one(&Command{Op: OpPark, Session: 2}, CodeOK) })
	steps("come back", func() {
		b.one(&Command{Op: OpCancel, Session: 2, Epoch: 1, Request: 1,
			Name: []byte("hot")}, CodeCancelled)
	})
	steps("end", func() {
		b.one(&Command{Op: OpCloseSession, Session: 2, Epoch: 1}, CodeOK)
		b.ticks(func() bool { return !b.m.Session(2, &SessionInfo{}) })
	})
	b.one(&Command{Op: OpRelease, Session: 1, Token: token, Name: []byte("hot")}, CodeOK)
	if got := b.m.Stats().Claims; got != 0 {
		t.Errorf("claims left: got %d, want none", got)
	}
	if err := b.m.Validate(); err != nil {
		t.Error(err)
	}
}

// TestFN5DetachedHoldIsFoundByItsToken: who names a detached hold, which needs no session,
// has nobody go through all who hold the lock with it (I22).
func TestFN5DetachedHoldIsFoundByItsToken(t *testing.T) {
	const holders = 500
	b := newBench(t, massLimits())
	name, other := []byte("a"), []byte("b")
	for i := range holders {
		b.one(&Command{Op: OpAcquire, Session: 1, Request: RequestID(i + 1), Name: name,
			Mode: ModePR}, CodeOK)
	}
	const owner = SessionID(77)
	token := make([]Token, 3)
	for i := range token {
		b.one(&Command{Op: OpAcquire, Session: owner, Request: RequestID(i + 1), Name: name,
			Mode: ModePR, Flags: Detached, Lease: b.m.limits.HoldMax}, CodeOK)
		token[i] = b.out.Results[0].Token
	}
	before := b.m.looks
	give := func(who SessionID, name []byte, token Token, want Code) {
		t.Helper()
		b.one(&Command{Op: OpRelease, Session: who, Name: name, Token: token, Flags: Detached}, want)
	}
	give(owner, name, 1<<60, CodeNotHolder)
	give(owner, name, token[2]-4, CodeNotHolder) // of the session
	give(owner+1, name, token[1], CodeNotHolder)
	give(owner, other, token[1], CodeNotHolder)
	b.one(&Command{Op: OpRenewHold, Session: owner + 1, Name: name, Token: token[1],
		Lease: b.m.limits.HoldMax}, CodeNotHolder)
	b.one(&Command{Op: OpRenewHold, Session: owner, Name: name, Token: token[1],
		Lease: b.m.limits.HoldMax}, CodeOK)
	give(owner, name, token[1], CodeOK)
	give(owner, name, token[1], CodeNotHolder)
	give(owner, name, token[2], CodeOK)
	if n := b.m.looks - before; n > 8 {
		t.Errorf("got %d looks at holders, want no more than there are commands", n)
	}
	if got := b.m.Summary(name); got.Holders != holders+1 || got.Token != token[0] {
		t.Errorf("got %+v, want the %d others and the first detached one", got, holders)
	}
	if err := b.m.Validate(); err != nil {
		t.Error(err)
	}
}

package client

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

func lost(h *Held) bool {
	select {
	case <-h.Lost():
		return true
	default:
		return false
	}
}

// TestForceRelease proves that a hold is ended by its token and no other, that its
// holder is told why, and that the next has the lock.
func TestForceRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b, ops := n.client(t, Options{}), n.client(t, Options{}), n.client(t, Options{Name: "ops"})
		h := lock(t, a, "a")
		next := make(chan *Held, 1)
		go func() {
			two, _ := b.Lock(t.Context(), "a")
			next <- two
		}()
		synctest.Wait()
		err := ops.ForceRelease(t.Context(), "a", h.Token()+100, "host dead")
		var stale *StaleTokenError
		if !errors.As(err, &stale) || !errors.Is(err, ErrStaleToken) || stale.Present != h.Token() {
			t.Errorf("stale: got %v, want the present token %d", err, h.Token())
		}
		if lost(h) {
			t.Error("lost by another token")
		}
		if err := ops.ForceRelease(t.Context(), "a", h.Token(), "host dead"); err != nil {
			t.Fatal(err)
		}
		two := <-next
		synctest.Wait()
		err = h.Unlock(t.Context())
		var why *LostError
		if !lost(h) || !errors.As(err, &why) || !errors.Is(err, ErrForced) || why.Token != h.Token() ||
			!strings.Contains(err.Error(), "by force") {
			t.Errorf("holder: got %v, want it forced", err)
		}
		if two == nil || two.Token() <= h.Token() {
			t.Errorf("next: got %v", two)
		}
		err = ops.ForceRelease(t.Context(), "free", 7, "x")
		if !errors.As(err, &stale) || stale.Present != 0 {
			t.Errorf("nobody holds it: got %v", err)
		}
		unlock(t, two)
		free(t, n, "a")
	})
}

// TestForceReleaseNeedsAReason proves what is refused without being sent.
func TestForceReleaseNeedsAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		c := n.client(t, Options{})
		for _, why := range []string{"", strings.Repeat("x", MaxReason+1), "\xff"} {
			if err := c.ForceRelease(t.Context(), "a", 1, why); !errors.Is(err, ErrOptions) {
				t.Errorf("%.10q: got %v, want ErrOptions", why, err)
			}
		}
		if err := c.ForceRelease(t.Context(), "a", 0, "x"); !errors.Is(err, ErrOptions) {
			t.Errorf("no token: got %v, want ErrOptions", err)
		}
	})
}

// TestForceReleaseRetried proves that a force whose answer was lost is certain: the
// hold is over. One that was refused for lack of room is as one that was not sent.
func TestForceReleaseRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		a, ops := n.client(t, Options{}), n.client(t, Options{})
		h := lock(t, a, "a")
		n.with(func(d *dumbCluster) {
			d.delay = func() Instant { return Instant(50 * time.Millisecond) }
		})
		moved := make(chan error, 1)
		go func() { moved <- ops.ForceRelease(t.Context(), "a", h.Token(), "x") }()
		<-time.After(10 * time.Millisecond)
		n.with(func(d *dumbCluster) { d.lead(0, d.groups[0].leader%3+1) }) // nobody is answered
		if err := <-moved; err != nil {
			t.Errorf("answered twice: got %v, want none", err)
		}
		busy := 2
		n.with(func(d *dumbCluster) {
			d.filter = func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
				if h.Kind == wire.KindForce && busy > 0 {
					busy--
					return wire.StatusBusy
				}
				return 0
			}
		})
		if err := ops.ForceRelease(t.Context(), "a", 999, "x"); !errors.Is(err, ErrStaleToken) {
			t.Errorf("busy first: got %v, want ErrStaleToken", err)
		}
	})
}

// TestForcedWhileAway proves that a holder that was cut off, so that nobody could
// tell it, knows when it is back, and keeps what was not forced.
func TestForcedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a := n.client(t, Options{})
		h, other := lock(t, a, "a"), lock(t, a, "b")
		rest := lock(t, a, sameGroup("a"))
		n.with(func(d *dumbCluster) {
			d.groups[groupOf("a")].lock("a").holds = nil // and the push was lost with the conn
			for g := range d.groups {
				d.lead(g, d.groups[g].leader%3+1)
			}
		})
		<-time.After(time.Second)
		if !lost(h) || !errors.Is(h.Unlock(t.Context()), ErrForced) {
			t.Errorf("forced: got lost %t, %v", lost(h), h.Unlock(t.Context()))
		}
		for _, x := range []*Held{other, rest} {
			if lost(x) || !x.Valid() {
				t.Errorf("hold of %q: got it lost", x.Name())
			}
			unlock(t, x)
		}
	})
}

// TestForcedBeforeTheFirstRenewal proves that a hold is lost which was forced when its
// client had asked the new leader what still stands, and had not renewed its session
// there yet: no conn is the session's then, so nobody is told.
func TestForcedBeforeTheFirstRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, ops := n.client(t, Options{Lease: 9 * time.Second}), n.client(t, Options{Name: "ops"})
		h, other := lock(t, a, "a"), lock(t, a, sameGroup("a"))
		n.with(func(d *dumbCluster) {
			g := groupOf("a")
			d.lead(g, d.groups[g].leader%3+1)
		})
		synctest.Wait()
		if err := ops.ForceRelease(t.Context(), "a", h.Token(), "host dead"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if lost(h) {
			t.Fatal("the holder was told: this test shows nothing")
		}
		<-time.After(4 * time.Second) // a third of the lease, and a question
		if !lost(h) || !errors.Is(h.Unlock(t.Context()), ErrForced) {
			t.Errorf("forced: got lost %t, %v", lost(h), h.Unlock(t.Context()))
		}
		if lost(other) || !other.Valid() {
			t.Error("the other is lost as well")
		}
	})
}

// sameGroup is another name of the group of one.
func sameGroup(name string) string {
	other := name + "'"
	for groupOf(other) != groupOf(name) {
		other += "'"
	}
	return other
}

// TestForceOneOfSeveral proves that a hold of several names is lost with one, and
// that the others are given back.
func TestForceOneOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, ops := n.client(t, Options{}), n.client(t, Options{})
		one, two := "a", sameGroup("a")
		all, err := a.LockAll(t.Context(), one, two)
		if err != nil {
			t.Fatal(err)
		}
		if err := ops.ForceRelease(t.Context(), two, all.Token(two), "stuck"); err != nil {
			t.Fatal(err)
		}
		<-all.Lost()
		<-time.After(time.Second)
		free(t, n, one)
		var why *LostError
		if err := all.Unlock(t.Context()); !errors.As(err, &why) || why.Name != two ||
			why.Token != all.Token(two) || !errors.Is(err, ErrForced) {
			t.Errorf("got %v, want %q forced", err, two)
		}
	})
}

// TestForcedBeforeARetryOfSeveral proves that who asked for several names, was granted
// them without an answer, and lost one by force before it asked again, hears that it has
// not got them all: the answer tells of those that are left (I25).
func TestForcedBeforeARetryOfSeveral(t *testing.T) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.Version
	}
	x := &Call{Kind: wire.KindAcquireAll, Flags: wire.FlagWait, Name: "a"}
	for _, name := range []string{"a", "b"} {
		x.Wants = x.Wants.Append(wire.Want{Mode: wire.ModeEX, Name: []byte(name)})
	}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	b.one(1, wire.KindAcquireAll)
	b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	b.respond(2, b.one(2, wire.KindAcquireAll), wire.Response{Status: wire.StatusOK, Token: 5})
	b.stale(b.one(2, wire.KindCheckTokens), 2)
	if x.state != StateLost || !errors.Is(x.lost, ErrForced) {
		t.Errorf("got state %v, %v, want it lost by force", x.state, x.lost)
	}
}

// TestForceWhileConverting proves that who waits for another mode hears that the
// hold was forced.
func TestForceWhileConverting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b, ops := n.client(t, Options{}), n.client(t, Options{}), n.client(t, Options{})
		one, two := lockShared(t, a, "a"), lockShared(t, b, "a")
		up := make(chan error, 1)
		go func() { up <- one.Convert(t.Context(), Exclusive) }()
		synctest.Wait()
		if err := ops.ForceRelease(t.Context(), "a", one.Token(), "stuck"); err != nil {
			t.Fatal(err)
		}
		if err := <-up; !errors.Is(err, ErrForced) || !errors.Is(err, ErrLost) {
			t.Errorf("convert: got %v, want ErrForced", err)
		}
		unlock(t, two)
		free(t, n, "a")
	})
}

// TestMovedWhileConverting proves that a hold whose Convert was granted while no
// answer could come is not taken for one that was forced.
func TestMovedWhileConverting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a := n.client(t, Options{})
		h := lockShared(t, a, "a")
		n.with(func(d *dumbCluster) {
			d.delay = func() Instant { return Instant(50 * time.Millisecond) }
		})
		up := make(chan error, 1)
		go func() { up <- h.Convert(t.Context(), Exclusive) }()
		<-time.After(10 * time.Millisecond)
		n.with(func(d *dumbCluster) { d.lead(int(groupOf("a")), d.groups[groupOf("a")].leader%3+1) })
		if err := <-up; err != nil || lost(h) || h.Mode() != Exclusive {
			t.Errorf("got %v, lost %t, %v, want exclusive", err, lost(h), h.Mode())
		}
		unlock(t, h)
		free(t, n, "a")
	})
}

// forcedUnseen returns a bench with entries of one owner, all with token 1, that were
// forced while the group moved to node 2, and the question there whether they stand.
func forcedUnseen(t *testing.T, entries int) (b *bench, holds []*Call, recheck wire.Header) {
	t.Helper()
	b = newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.Version
	}
	for range entries {
		x := b.enter()
		if b.core.groups[0].session.state != sessionOpen {
			b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
		}
		b.respond(1, b.one(1, wire.KindEnter), wire.Response{Status: wire.StatusOK, Token: 1})
		holds = append(holds, x)
	}
	b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	return b, holds, b.one(2, wire.KindCheckTokens)
}

func (b *bench) enter() *Call {
	x := &Call{Kind: wire.KindEnter, Flags: wire.FlagWait, Name: "a", Mode: wire.ModeEX, Owner: 7}
	b.core.Start(x)
	return x
}

func (b *bench) convert(h *Call, mode wire.Mode) *Call {
	x := &Call{Kind: wire.KindConvert, Flags: wire.FlagWait, Name: h.Name, Mode: mode, Hold: h}
	b.core.Start(x)
	return x
}

// stale answers a question about so many tokens: none stands.
func (b *bench) stale(question wire.Header, n int) {
	b.t.Helper()
	b.respond(2, question, wire.Response{Status: wire.StatusOK,
		Payload: wire.AppendTokenStates(nil, &wire.TokenStates{States: make([]wire.TokenState, n)})})
}

// TestForcedUnseenBeforeConvert proves that what an owner entered before his hold was
// ended by force does not pass for part of the next one when that is converted, be it
// that the first answer about it comes meanwhile (I25).
func TestForcedUnseenBeforeConvert(t *testing.T) {
	b, holds, recheck := forcedUnseen(t, 1)
	old, next := holds[0], b.enter()
	b.respond(2, b.one(2, wire.KindEnter), wire.Response{Status: wire.StatusOK, Token: 5})
	b.convert(next, wire.ModePR)
	convert := b.one(2, wire.KindConvert)
	b.stale(recheck, 1)
	b.respond(2, convert, wire.Response{Status: wire.StatusOK, Token: 5})
	if old.Token != 1 || next.Token != 5 || next.Mode != wire.ModePR {
		t.Errorf("got tokens %d and %d, %v, want 1 and 5 in mode PR", old.Token, next.Token, next.Mode)
	}
	b.respond(2, b.one(2, wire.KindCheckTokens), wire.Response{Status: wire.StatusOK,
		Payload: wire.AppendTokenStates(nil, &wire.TokenStates{States: []wire.TokenState{
			{Newest: 5}, {Newest: 5, Standing: wire.TokenCurrent}}})})
	if old.State() != StateLost || !errors.Is(old.lost, ErrForced) || next.State() != StateHeld {
		t.Errorf("got states %d and %d, want lost and held", old.State(), next.State())
	}
}

// TestForcedUnseenConvertOfOld proves that a Convert of what was ended by force leaves
// the mode of the next hold of its owner alone.
func TestForcedUnseenConvertOfOld(t *testing.T) {
	b, holds, _ := forcedUnseen(t, 1)
	old, next := holds[0], b.enter()
	b.respond(2, b.one(2, wire.KindEnter), wire.Response{Status: wire.StatusOK, Token: 5})
	old.Mode = wire.ModeCR // it was converted before
	b.convert(old, wire.ModeNL)
	b.respond(2, b.one(2, wire.KindConvert), wire.Response{Status: wire.StatusNotHolder})
	if old.State() != StateLost || next.State() != StateHeld || next.Mode != wire.ModeEX {
		t.Errorf("got states %d and %d, mode %v, want lost and held in EX", old.State(), next.State(),
			next.Mode)
	}
}

// TestForcedWhileTurning proves that a hold which was being converted when its client
// heard that it does not stand is lost when the conversion has ended, with all that its
// owner entered, be it that the caller has given the conversion up (I25).
func TestForcedWhileTurning(t *testing.T) {
	for _, up := range []string{"answered", "given up"} {
		t.Run(up, func(t *testing.T) {
			b, holds, recheck := forcedUnseen(t, 2)
			for _, h := range holds {
				h.Mode = wire.ModePR
			}
			x := b.convert(holds[0], wire.ModeEX)
			convert, left := b.one(2, wire.KindConvert), 1
			if up == "given up" {
				b.core.Abandon(x, errors.New("gave up"))
				cancel := b.one(2, wire.KindCancel)
				b.stale(recheck, 2)
				b.respond(2, cancel, wire.Response{Status: wire.StatusCancelled})
				left = 2
			} else {
				b.stale(recheck, 2)
				b.respond(2, convert, wire.Response{Status: wire.StatusNotHolder})
			}
			b.stale(b.one(2, wire.KindCheckTokens), left)
			for i, h := range holds {
				if h.State() != StateLost || !errors.Is(h.lost, ErrForced) {
					t.Errorf("entry %d: got state %d, %v, want it lost by force", i, h.State(), h.lost)
				}
			}
		})
	}
}

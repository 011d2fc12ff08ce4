package client

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// TestMaxHold proves that a hold with a max hold is lost at its end, before the next
// who waits is granted the lock, although the session is renewed; that the end says
// why; and that it counts from the grant for one who waited longer than that.
func TestMaxHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		c := n.client(t, Options{})
		most := LockOptions{MaxHold: 30 * time.Second}
		start := time.Now()
		h, err := c.LockWith(t.Context(), "a", most)
		if err != nil {
			t.Fatal(err)
		}
		if until := h.SafeUntil(); until.Sub(start) > 10*time.Second {
			t.Errorf("got safe for %v, want as long as the session at most", until.Sub(start))
		}
		if most := h.MaxUntil().Sub(start); most < 28*time.Second || most > 30*time.Second {
			t.Errorf("got %v at most, want the max hold", most)
		}
		other := n.client(t, Options{})
		var second Held
		granted := make(chan error, 1)
		other.LockAsync(&second, "a", LockOptions{MaxHold: 12 * time.Second},
			func(_ *Held, err error) { granted <- err })
		<-h.Lost()
		if !h.MaxUntil().IsZero() {
			t.Errorf("lost: got %v at most, want the zero time", h.MaxUntil())
		}
		if held := time.Since(start); held < 28*time.Second || held >= 30*time.Second {
			t.Errorf("got lost after %v, want a little before 30 s", held)
		}
		var lost *LostError
		if err := h.Unlock(t.Context()); !errors.As(err, &lost) || !errors.Is(err, ErrMaxHold) {
			t.Errorf("unlock: got %v, want a LostError for ErrMaxHold", err)
		}
		select {
		case err := <-granted:
			t.Fatalf("got granted, %v, want later than lost", err)
		default:
		}
		if err := <-granted; err != nil {
			t.Fatal(err)
		}
		again := time.Now()
		if !second.Valid() {
			t.Error("got a hold that is not valid, want one that has its time before it")
		}
		<-second.Lost()
		if held := time.Since(again); held < 11*time.Second || held >= 12*time.Second {
			t.Errorf("got lost after %v, want a little before 12 s", held)
		}
		if n := len(c.mu.core.capped) + len(other.mu.core.capped); n != 0 {
			t.Errorf("got %d holds left in order, want none", n)
		}
	})
}

// TestMaxHoldSafeUntil proves that the shorter of session and max hold is what a hold
// goes by, and that a hold that is given back earlier leaves nothing behind.
func TestMaxHoldSafeUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		c := n.client(t, Options{Lease: time.Minute})
		for range 3 {
			start := time.Now()
			h, err := c.LockWith(t.Context(), "a", LockOptions{MaxHold: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if safe := h.SafeUntil().Sub(start); safe < 4*time.Second || safe >= 5*time.Second {
				t.Errorf("got safe for %v, want a little less than 5 s", safe)
			}
			unlock(t, h)
		}
		if n := len(c.mu.core.capped); n != 0 {
			t.Errorf("got %d holds left in order, want none", n)
		}
		d, err := c.TryDetachedWith(t.Context(), "d", time.Minute,
			LockOptions{MaxHold: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Renew(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		<-d.Lost()
		if err := d.Unlock(t.Context()); !errors.Is(err, ErrMaxHold) {
			t.Errorf("detached: got %v, want ErrMaxHold", err)
		}
		for _, o := range []LockOptions{{MaxHold: -1}, {MaxHold: 1, MinHold: 2}} {
			if _, err := c.LockWith(t.Context(), "a", o); !errors.Is(err, ErrOptions) {
				t.Errorf("%+v: got %v, want ErrOptions", o, err)
			}
		}
	})
}

// TestMaxHoldOfOwner proves that all that an owner has entered ends together, by the
// first, and that another max hold is refused.
func TestMaxHoldOfOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		c := n.client(t, Options{})
		o := LockOptions{Owner: 3, MaxHold: 20 * time.Second}
		first, err := c.LockWith(t.Context(), "a", o)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(15 * time.Second)
		second, err := c.LockWith(t.Context(), "a", o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.LockWith(t.Context(), "a", LockOptions{Owner: 3})
		if !errors.Is(err, ErrOtherMode) {
			t.Errorf("without a max hold: got %v, want ErrOtherMode", err)
		}
		if until := second.SafeUntil(); !until.Equal(first.SafeUntil()) {
			t.Errorf("got safe until %v, want %v as the first", until, first.SafeUntil())
		}
		unlock(t, first)
		<-second.Lost()
		n.until(t, "over at the nodes", func() bool { holds, _ := n.holder("a"); return holds == 0 })
	})
}

// TestMaxHoldAsked proves that a grant after a wait is handed out when the nodes have
// said how long it lasts, over lost conns; that it is given back if nobody wants it
// any more by then; and that one that is over by then is lost.
func TestMaxHoldAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		silent := false
		n.setFilter(func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
			if h.Kind == wire.KindCheckTokens && silent {
				return wire.StatusQueued
			}
			return 0
		})
		c, other := n.client(t, Options{Lease: time.Hour}), n.client(t, Options{})
		busy := lock(t, other, "a")
		var h Held
		granted := make(chan error, 1)
		ask := func() {
			c.LockAsync(&h, "a", LockOptions{MaxHold: 8 * time.Second},
				func(_ *Held, err error) { granted <- err })
			<-time.After(10 * time.Second)
		}
		ask()
		silent = true
		unlock(t, busy)
		<-time.After(100 * time.Millisecond)
		silent = false
		for node := range uint16(3) {
			n.resetNode(node + 1)
		}
		if err := <-granted; err != nil {
			t.Fatal(err)
		}
		if safe := time.Until(h.SafeUntil()); safe < 6*time.Second || safe > 8*time.Second {
			t.Errorf("got safe for %v, want nearly 8 s", safe)
		}
		unlock(t, &h)

		busy = lock(t, other, "a")
		ask()
		silent = true
		unlock(t, busy)
		<-time.After(9 * time.Second)
		silent = false
		for node := range uint16(3) {
			n.resetNode(node + 1)
		}
		if err := <-granted; err != nil && !errors.Is(err, ErrLost) {
			t.Errorf("over before it was known: got %v, want it lost or granted anew", err)
		}
	})
}

// TestMaxHoldResumed proves that a client that is started again goes by the max holds
// of the one before.
func TestMaxHoldResumed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		opts := Options{Name: "one", SessionFile: file, Lease: time.Minute}
		c := started(t, n, opts)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			if _, err := c.LockWith(t.Context(), name,
				LockOptions{MaxHold: 20 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		free := lock(t, c, "free")
		<-time.After(10 * time.Second)
		n.kill(c)
		c = started(t, n, opts)
		if len(c.Resumed()) != 6 {
			t.Errorf("got %d holds, want 6", len(c.Resumed()))
		}
		for _, h := range c.Resumed() {
			safe := time.Until(h.SafeUntil())
			if h.Name() == free.Name() {
				continue
			}
			if safe < 8*time.Second || safe > 10*time.Second {
				t.Errorf("%s: got safe for %v, want nearly 10 s", h.Name(), safe)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// grantedLate starts a call with a max hold in session 9, and has it granted two seconds
// later. It returns the question how long the hold may last still.
func (b *bench) grantedLate(x *Call, token uint64) (left wire.Header) {
	b.t.Helper()
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	asked := b.one(1, wire.KindAsk)
	b.after(2 * time.Second)
	b.respond(1, asked, wire.Response{Status: wire.StatusOK, Token: token})
	return b.one(1, wire.KindCheckTokens)
}

// TestSessionEndsBeforeItsTimeIsKnown proves that a lock whose session ends while the
// nodes are asked how long it may last is asked for anew.
func TestSessionEndsBeforeItsTimeIsKnown(t *testing.T) {
	b := newBench(t)
	b.core.endpoints[0].version = wire.VersionWhole
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagWait, Name: "a", Mode: wire.ModeEX,
		Terms: &wire.Terms{Fields: wire.TermMaxHold, MaxHoldMillis: 16_000}}
	left := b.grantedLate(x, 1)
	b.receive(1, wire.AppendSessionLost(nil, wire.Header{},
		&wire.SessionLost{Session: 9, Reason: wire.ReasonExpired}))
	b.respond(1, left, wire.Response{Status: wire.StatusOK,
		Payload: wire.AppendTokensLeft(nil, &wire.TokenStates{States: make([]wire.TokenState, 1)})})
	if x.State() != StateOpen {
		t.Fatalf("got state %d and %v, want it asked for anew", x.State(), x.Err)
	}
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 10})
	b.respond(1, b.one(1, wire.KindAsk), wire.Response{Status: wire.StatusOK, Token: 2})
}

// TestForcedBeforeSeveralAreHandedOut proves that who was granted several names with a max
// hold long ago, and lost one by force while he asked how long they may last, hears of it:
// the push of the loss came before he had them, and the answer is about the first (I25).
func TestForcedBeforeSeveralAreHandedOut(t *testing.T) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.Version
	}
	x := &Call{Kind: wire.KindAcquireAll, Flags: wire.FlagWait, Name: "a",
		Terms: &wire.Terms{Fields: wire.TermMaxHold, MaxHoldMillis: 4000}}
	for _, name := range []string{"a", "b"} {
		x.Wants = x.Wants.Append(wire.Want{Mode: wire.ModeEX, Name: []byte(name)})
	}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	asked := b.one(1, wire.KindAcquireAll)
	b.after(time.Second)
	b.respond(1, asked, wire.Response{Status: wire.StatusOK, Token: 5})
	left := b.one(1, wire.KindCheckTokens)
	b.receive(1, wire.AppendLost(nil, wire.Header{},
		&wire.Lost{Session: 9, Token: 6, Reason: wire.ReasonForced}))
	b.respond(1, left, wire.Response{Status: wire.StatusOK, Payload: wire.AppendTokensLeft(nil,
		&wire.TokenStates{States: []wire.TokenState{{Standing: wire.TokenCurrent, LeftMillis: 3500}}})})
	b.respond(1, b.one(1, wire.KindCheckTokens), wire.Response{Status: wire.StatusOK,
		Payload: wire.AppendTokenStates(nil, &wire.TokenStates{States: []wire.TokenState{
			{Standing: wire.TokenCurrent}, {Standing: wire.TokenStale}}})})
	if x.state != StateLost || !errors.Is(x.lost, ErrForced) {
		t.Errorf("got state %v, %v, want it lost by force", x.state, x.lost)
	}
}

// TestForcedBeforeItIsHandedOut proves that who was granted a lock with a max hold long
// ago, and lost it by force while he asked how long it may last, hears that, by the push
// or, if that was lost with a conn, because the max hold cannot be over (I25).
func TestForcedBeforeItIsHandedOut(t *testing.T) {
	for _, pushed := range []wire.Reason{wire.ReasonForced, 0} {
		b := newBench(t)
		for _, e := range b.core.endpoints {
			e.version = wire.Version
		}
		x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagWait, Name: "a",
			Terms: &wire.Terms{Fields: wire.TermMaxHold, MaxHoldMillis: 4000}}
		left := b.grantedLate(x, 5)
		if pushed != 0 {
			b.receive(1, wire.AppendLost(nil, wire.Header{},
				&wire.Lost{Session: 9, Token: 5, Reason: pushed}))
			b.after(3 * time.Second)
		}
		b.respond(1, left, wire.Response{Status: wire.StatusOK,
			Payload: wire.AppendTokensLeft(nil, &wire.TokenStates{States: make([]wire.TokenState, 1)})})
		var lost *LostError
		if !errors.As(x.Err, &lost) || !errors.Is(x.Err, ErrForced) {
			t.Errorf("pushed %d: got %v, want it lost by force", pushed, x.Err)
		}
	}
}

// TestRefusedSeveralAreNotDoubted proves that a grant of several names is not asked about
// if all that was sent before is known to have done nothing: overload would have each
// such grant ask about all that the session holds.
func TestRefusedSeveralAreNotDoubted(t *testing.T) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.Version
	}
	x := &Call{Kind: wire.KindAcquireAll, Name: "a",
		Wants: wire.Wants(nil).Append(wire.Want{Mode: wire.ModeEX, Name: []byte("a")})}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	b.respond(1, b.one(1, wire.KindAcquireAll), wire.Response{Status: wire.StatusBusy,
		RetryMillis: 20})
	b.after(time.Second)
	b.respond(1, b.one(1, wire.KindAcquireAll), wire.Response{Status: wire.StatusOK, Token: 5})
	if got := len(b.sent(1, wire.KindCheckTokens)); x.state != StateHeld || got > 0 {
		t.Errorf("got state %v and %d questions, want it held and none", x.state, got)
	}
}

package client

import (
	"errors"
	"testing"
	"time"

	"lockd/netio/wire"
)

// detached starts a detached try of that time to live.
func (b *bench) detached(ttl time.Duration) *Call {
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagDetached, Name: "a", Mode: wire.ModeEX,
		Session: wire.DetachedOwner | 7, TTL: ttl}
	b.core.Start(x)
	return x
}

// renew starts a renewal of a detached hold.
func (b *bench) renew(hold *Call, ttl time.Duration) *Call {
	x := &Call{Kind: wire.KindRenewHold, Flags: wire.FlagDetached, Name: "a",
		Session: hold.Session, Token: hold.Token, TTL: ttl, Hold: hold}
	b.core.Start(x)
	return x
}

// renewed is a renewal that a conn answers.
func (b *bench) renewed(conn ConnID, hold *Call, ttl time.Duration) {
	b.t.Helper()
	b.renew(hold, ttl)
	b.respond(conn, b.one(conn, wire.KindRenewHold), wire.Response{Status: wire.StatusOK})
}

// TestRenewalThatMayComeLate proves that a detached hold counts for no more than a
// renewal gives it whose frame may yet be executed: one on a conn that was left, sent
// again since or given up (I25). On one conn the later renewal is the later.
func TestRenewalThatMayComeLate(t *testing.T) {
	const short, long = 10 * time.Second, time.Hour
	left := func(b *bench) {
		b.core.Disconnected(b.now, 1, errSilent)
		b.after(100 * time.Millisecond)
	}
	for _, x := range []struct {
		name string
		late bool
		play func(b *bench, hold *Call) ConnID
	}{
		{"sent again", true, func(b *bench, hold *Call) ConnID {
			b.renew(hold, short)
			b.one(1, wire.KindRenewHold)
			left(b)
			b.respond(2, b.one(2, wire.KindRenewHold), wire.Response{Status: wire.StatusOK})
			return 2
		}},
		{"given up", true, func(b *bench, hold *Call) ConnID {
			y := b.renew(hold, short)
			b.one(1, wire.KindRenewHold)
			b.core.Abandon(y, ErrUnavailable)
			left(b)
			return 2
		}},
		{"given up, and another behind it", true, func(b *bench, hold *Call) ConnID {
			for _, ttl := range []time.Duration{short, long} {
				y := b.renew(hold, ttl)
				b.one(1, wire.KindRenewHold)
				b.core.Abandon(y, ErrUnavailable)
			}
			left(b)
			return 2
		}},
		{"given up, and the one before it answered", true, func(b *bench, hold *Call) ConnID {
			b.renew(hold, long)
			longer := b.one(1, wire.KindRenewHold)
			y := b.renew(hold, short)
			b.one(1, wire.KindRenewHold)
			b.core.Abandon(y, ErrUnavailable)
			b.respond(1, longer, wire.Response{Status: wire.StatusOK})
			left(b)
			return 2
		}},
		{"given up, and one after it answered", false, func(b *bench, hold *Call) ConnID {
			y := b.renew(hold, short)
			b.one(1, wire.KindRenewHold)
			b.core.Abandon(y, ErrUnavailable)
			b.renewed(1, hold, long)
			left(b)
			return 2
		}},
		{"given up on the same conn", false, func(b *bench, hold *Call) ConnID {
			y := b.renew(hold, short)
			b.one(1, wire.KindRenewHold)
			b.core.Abandon(y, ErrUnavailable)
			return 1
		}},
		{"refused as busy", false, func(b *bench, hold *Call) ConnID {
			y := b.renew(hold, short)
			b.respond(1, b.one(1, wire.KindRenewHold),
				wire.Response{Status: wire.StatusBusy, RetryMillis: 1000})
			b.core.Abandon(y, ErrUnavailable)
			left(b)
			return 2
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t)
			hold := b.detached(long)
			b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
			conn := x.play(b, hold)
			for range 2 {
				b.renewed(conn, hold, long)
			}
			got := b.core.ValidUntil(hold).Sub(b.now)
			if late := got <= short; got <= 0 || late != x.late {
				t.Errorf("renewed for %s: got %s left; a frame may be late that gives %s: %v", long, got,
					short, x.late)
			}
		})
	}
}

// TestRefusedByWhoDoesNotLeadCountsAnew proves that a detached hold counts from the
// send that was executed, not from one that a node refused that does not lead.
func TestRefusedByWhoDoesNotLeadCountsAnew(t *testing.T) {
	const ttl = 300 * time.Millisecond
	b := newBench(t)
	x := b.detached(ttl)
	asked := b.now
	for b.now.Sub(asked) < 2*ttl {
		for conn := ConnID(1); conn <= 2; conn++ {
			for _, h := range b.sent(conn, wire.KindAcquire) {
				b.respond(conn, h, wire.Response{Status: wire.StatusNotLeader})
			}
		}
		b.after(10 * time.Millisecond)
	}
	for conn := ConnID(1); conn <= 2; conn++ {
		for _, h := range b.sent(conn, wire.KindAcquire) {
			b.respond(conn, h, wire.Response{Status: wire.StatusOK, Token: 1})
		}
	}
	for i := 0; x.State() == StateOpen && i < 100; i++ {
		b.after(10 * time.Millisecond)
		for conn := ConnID(1); conn <= 2; conn++ {
			for _, h := range b.sent(conn, wire.KindAcquire) {
				b.respond(conn, h, wire.Response{Status: wire.StatusOK, Token: 1})
			}
		}
	}
	if got := b.core.ValidUntil(x).Sub(b.now); got <= 0 || got > ttl {
		t.Errorf("granted at this moment for %s: got state %d with %s left", ttl, x.State(), got)
	}
}

// TestGrantThatComesTooLate proves that a detached hold whose time may be over by when
// its grant is heard of is given back: nobody else would.
func TestGrantThatComesTooLate(t *testing.T) {
	for _, most := range []uint32{0, 200} {
		b := newBench(t)
		b.core.endpoints[0].version = wire.VersionWhole
		x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagDetached, Name: "a", Mode: wire.ModeEX,
			Session: wire.DetachedOwner | 7, TTL: 300 * time.Millisecond}
		kind, cause := wire.KindAcquire, error(nil)
		if most > 0 {
			x.Terms = &wire.Terms{Fields: wire.TermMaxHold, MaxHoldMillis: most}
			kind, cause = wire.KindAsk, ErrMaxHold
		}
		b.core.Start(x)
		h := b.one(1, kind)
		b.after(400 * time.Millisecond)
		b.core.Take(&b.ready)
		b.respond(1, h, wire.Response{Status: wire.StatusOK, Token: 1})
		b.core.Take(&b.ready)
		if x.State() != StateDone || !errors.Is(x.Err, ErrLost) || len(b.ready.Done) != 1 {
			t.Errorf("got state %d, %v and %d calls that ended, want it lost", x.State(), x.Err,
				len(b.ready.Done))
		}
		if cause != nil && !errors.Is(x.Err, cause) {
			t.Errorf("got %v, want %v", x.Err, cause)
		}
		if got := len(b.sent(1, wire.KindRelease)); got != 1 {
			t.Errorf("got %d frames that give it back, want 1", got)
		}
	}
}

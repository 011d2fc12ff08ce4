package client

import (
	"errors"
	"testing"
	"time"

	"lockd/netio/wire"
)

// held has a bench hold a lock in session 9. It returns the Call and until when the session
// is believed in.
func (b *bench) held(name string) (x *Call, until Instant) {
	b.t.Helper()
	x = b.acquire(name)
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	if x.State() != StateHeld {
		b.t.Fatalf("got state %d, want held", x.State())
	}
	return x, b.core.ValidUntil(x)
}

// TestRenewalsCountForWhatTheyName proves that a renewal counts for the session that it
// names, and from the send of the keepalive that it answers, or not at all.
func TestRenewalsCountForWhatTheyName(t *testing.T) {
	b := newBench(t)
	x, until := b.held("a")
	b.after(benchLease / 3)
	beat := b.one(1, wire.KindKeepalive)
	ack := func(request, session uint64) {
		b.receive(1, wire.AppendKeepaliveAck(nil, wire.Header{Request: request},
			[]wire.Renewal{{Session: session, Code: wire.CodeRenewed}}))
	}
	ack(beat.Request, 8)
	if got := b.core.ValidUntil(x); got != until {
		t.Errorf("renewed by %v through another session", got.Sub(until))
	}
	ack(beat.Request+99, 9)
	if got := b.core.ValidUntil(x); got != until {
		t.Errorf("renewed by %v by an answer to nothing", got.Sub(until))
	}
	ack(beat.Request, 9)
	if got := b.core.ValidUntil(x); got <= until {
		t.Error("not renewed by the answer to its keepalive")
	}
}

// TestSessionLostNamesItsSession proves that the end of an earlier session, told late, is
// not taken for that of the present one.
func TestSessionLostNamesItsSession(t *testing.T) {
	b := newBench(t)
	x, _ := b.held("a")
	lost := func(session uint64) {
		b.receive(1, wire.AppendSessionLost(nil, wire.Header{},
			&wire.SessionLost{Session: session, Reason: wire.ReasonExpired}))
	}
	if lost(8); x.State() != StateHeld {
		t.Errorf("got state %d by the end of another session, want held", x.State())
	}
	if lost(9); x.State() != StateLost {
		t.Errorf("got state %d by the end of its session, want lost", x.State())
	}
}

// TestLeaseEndsBeforeAnswersCount proves that a hold whose time is over is lost, whatever
// comes at that moment: who looked before must not be told otherwise after.
func TestLeaseEndsBeforeAnswersCount(t *testing.T) {
	b := newBench(t)
	x, until := b.held("a")
	b.after(benchLease / 3)
	beat := b.one(1, wire.KindKeepalive)
	b.now = until
	_, _ = b.core.Receive(b.now, 1, wire.AppendKeepaliveAck(nil,
		wire.Header{Request: beat.Request}, []wire.Renewal{{Session: 9, Code: wire.CodeRenewed}}))
	if x.State() != StateLost {
		t.Errorf("got state %d, want lost", x.State())
	}
}

// TestSessionOpenedTooLateIsClosed proves that a session is not used whose lease may have
// run out before its first renewal: the nodes are told, and asked for another.
func TestSessionOpenedTooLateIsClosed(t *testing.T) {
	b := newBench(t)
	x := &Call{Kind: wire.KindAcquire, Name: "a"}
	b.core.Start(x)
	open := b.one(1, wire.KindOpenSession)
	b.after(benchLease)
	b.respond(1, open, wire.Response{Status: wire.StatusOK, Token: 9})
	if s := &b.core.groups[0].session; s.state == sessionOpen {
		t.Errorf("session %d is open %v after it was asked for, want none", s.id, benchLease)
	}
	b.one(1, wire.KindCloseSession)
}

// TestGrantWithoutTokenIsNone proves that a grant that names no token ends the conn.
func TestGrantWithoutTokenIsNone(t *testing.T) {
	b := newBench(t)
	x := b.acquire("a")
	h := b.one(1, wire.KindAcquire)
	r := wire.AppendResponse(nil, wire.Header{Request: h.Request},
		&wire.Response{Status: wire.StatusOK})
	if _, err := b.core.Receive(b.now, 1, r); !errors.Is(err, ErrProtocol) || x.State() == StateHeld {
		t.Errorf("got %v, state %d, want ErrProtocol and no hold", err, x.State())
	}
}

// TestMarginOfATimeToLive proves that the margin is taken off a time to live as well, but
// no more than a tenth of it.
func TestMarginOfATimeToLive(t *testing.T) {
	c := NewCore(CoreConfig{Lease: benchLease, Drift: 0.01, Margin: time.Second}, 1)
	for ttl, want := range map[time.Duration]time.Duration{
		20 * time.Second: 18600 * time.Millisecond,
		5 * time.Second:  4400 * time.Millisecond,
	} {
		if got := c.ttlSpan(ttl); got != want {
			t.Errorf("%v: got %v, want %v", ttl, got, want)
		}
	}
}

package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"lockd/netio/wire"
)

// TestGrantsBesideManyCalls grants many locks of one group that are all asked for at a
// time. What one costs must not grow with how many calls are open: it all took a hundred
// times as long then.
func TestGrantsBesideManyCalls(t *testing.T) {
	const calls = 16_000
	b := newBench(t)
	b.core.cfg.MaxInFlight = calls + 1
	b.acquire("first")
	began := time.Now()
	for i := range calls {
		b.core.Start(&Call{Kind: wire.KindAcquire, Name: fmt.Sprintf("a%d", i), Mode: wire.ModeEX})
	}
	frames := b.sent(1, wire.KindAcquire)
	if len(frames) < calls {
		t.Fatalf("got %d frames, want %d", len(frames), calls)
	}
	for i, h := range frames {
		b.respond(1, h, wire.Response{Status: wire.StatusOK, Token: uint64(i + 10)})
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("%d grants took %v, want them within 1 s", calls, took)
	}
}

// many starts a Call for each of so many names, and has them answered after that.
func (b *bench) many(calls []*Call) {
	b.t.Helper()
	for _, x := range calls {
		b.core.Start(x)
	}
	b.core.Tick(b.now)
	for i, x := range calls {
		b.respond(1, wire.Header{Request: x.request}, wire.Response{Status: wire.StatusOK,
			Token: uint64(i + 1)})
		if x.Err != nil || x.state == StateOpen {
			b.t.Fatalf("%s %q: got state %d, %v, want it done", x.Kind, x.Name, x.state, x.Err)
		}
	}
	b.core.Take(&b.ready)
}

// TestChangesBesideManyCalls renews, converts and amends many holds of one group at a
// time. What one costs must not grow with how many calls are open: each kind took
// seconds then.
func TestChangesBesideManyCalls(t *testing.T) {
	const count = 8_000
	of := func(kind wire.Kind, x Call) func(h *Call) *Call {
		return func(h *Call) *Call {
			y := x
			y.Kind, y.Name, y.Hold, y.Flags = kind, h.Name, h, h.Flags&wire.FlagDetached
			y.Session, y.Token = h.Session, h.Token
			return &y
		}
	}
	note := &wire.Terms{Fields: wire.TermPayload, Payload: []byte("x")}
	for _, x := range []struct {
		name   string
		hold   Call
		change func(h *Call) *Call
	}{
		{"renewals", Call{Kind: wire.KindAcquire, Flags: wire.FlagDetached, TTL: time.Hour},
			of(wire.KindRenewHold, Call{TTL: time.Hour})},
		{"conversions", Call{Kind: wire.KindAcquire}, of(wire.KindConvert, Call{Mode: wire.ModePR})},
		{"data", Call{Kind: wire.KindAcquire}, of(wire.KindAmend, Call{Terms: note})},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t)
			b.core.endpoints[0].version = wire.Version
			b.acquire("first")
			b.core.cfg.MaxInFlight, b.core.limits.InFlight = 2*count, 2*count
			var holds, changes []*Call
			for i := range count {
				y := x.hold
				y.Name, y.Mode = fmt.Sprint("a", i), wire.ModeEX
				if y.detached() {
					y.Session = b.core.NewOwner()
				}
				holds = append(holds, &y)
			}
			b.many(holds)
			for _, h := range holds {
				changes = append(changes, x.change(h))
			}
			began := time.Now()
			b.many(changes)
			if took := time.Since(began); took > time.Second {
				t.Errorf("%d %s took %v, want them within 1 s", count, x.name, took)
			}
		})
	}
}

// TestChangeOfAHoldThatIsReused has the Call of a hold that is over used in another Core
// while a renewal of it is open, and then in this one again: what is left of the renewal is
// of neither.
func TestChangeOfAHoldThatIsReused(t *testing.T) {
	b := newBench(t)
	hold := b.detached(time.Second)
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	renewal := b.renew(hold, time.Second)
	frame := b.one(1, wire.KindRenewHold)
	b.core.lose(hold, ErrUnlocked)
	b.core.disown(hold)
	g := &b.core.groups[0]
	if x := g.lastChange(hold); x != nil {
		t.Errorf("got a %s of the hold that is over, want none", x.Kind)
	}
	b.respond(1, frame, wire.Response{Status: wire.StatusOK})
	if renewal.State() != StateDone || !errors.Is(renewal.Err, ErrLost) {
		t.Errorf("the renewal: got state %d, %v, want that the hold is lost", renewal.State(),
			renewal.Err)
	}
	if len(g.changes) != 0 {
		t.Errorf("got %d holds with changes, want none", len(g.changes))
	}
}

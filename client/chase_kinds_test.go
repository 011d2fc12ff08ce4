package client

import (
	"errors"
	"testing"
	"time"

	"lockd/netio/wire"
)

// several returns a bench on which a request for the names a and b, with the word,
// waits, and is about to be chased.
func several(t *testing.T) (*bench, *Call) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.Version
	}
	x := &Call{Kind: wire.KindAcquireAll, Flags: wire.FlagWait | wire.FlagDetect, Name: "a", Weight: 1}
	for _, name := range []string{"a", "b"} {
		x.Wants = x.Wants.Append(wire.Want{Mode: wire.ModePR, Name: []byte(name)})
	}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	b.one(1, wire.KindAcquireAll)
	return b, x
}

// chased answers all questions of a chase that are open, that of node 1 with these waits,
// and returns how many there were.
func (b *bench) chased(waits ...wire.ChasedWait) int {
	b.t.Helper()
	n := 0
	for conn := ConnID(1); conn <= 2; conn++ {
		for _, h := range b.sent(conn, wire.KindChase) {
			var some wire.Chased
			if conn == 1 {
				some.Waits = waits
			}
			b.respond(conn, h, wire.Response{Status: wire.StatusOK,
				Payload: wire.AppendChased(nil, &some)})
			n++
		}
	}
	return n
}

// TestChaseOfSeveral proves that a request for several names is looked after at each of
// them, and that who stands behind one of its names, which it would let pass, closes a
// circle only with what keeps the request at that name.
func TestChaseOfSeveral(t *testing.T) {
	for _, at := range []string{"a", "b"} {
		t.Run(at, func(t *testing.T) {
			b, x := several(t)
			other := wire.Flow{Client: 77}
			hold := wire.Blocker{Flow: other, Session: 4, Request: 1, Token: 5}
			own := b.core.flow(x)
			us := wire.Blocker{Flow: own, Session: 9, Request: x.request}
			ask := func(name string, in ...wire.Blocker) wire.ChasedWait {
				return wire.ChasedWait{Flow: own, Session: 9, Request: x.request, Weight: 1,
					Client: []byte("us"), Name: []byte(name), Blockers: in}
			}
			behind := wire.ChasedWait{Flow: other, Session: 4, Request: 2, Weight: 9,
				Client: []byte("them"), Name: []byte(at), Blockers: []wire.Blocker{us}, Near: 1}
			first := []wire.ChasedWait{ask("a", wire.Blocker{Flow: wire.Flow{Client: 78}, Session: 5,
				Request: 3, Token: 6}), ask("b", hold)}
			b.after(100 * time.Millisecond)
			b.chased(first...)
			b.chased(behind)
			again := b.chased(append(first, behind)...)
			if at == "a" {
				if again != 0 || len(b.sent(1, wire.KindCancel)) != 0 {
					t.Errorf("got it looked at again in %d questions, want no circle", again)
				}
				return
			}
			if again != 2 {
				t.Fatalf("got %d questions about the circle, want two", again)
			}
			cancel := b.one(1, wire.KindCancel)
			b.respond(1, cancel, wire.Response{Status: wire.StatusCancelled})
			var circle *DeadlockError
			if !errors.As(x.Err, &circle) || circle.Name != "b" || circle.Token != 5 || circle.Count != 2 ||
				circle.Steps[1].Name != "b" || circle.Steps[1].Token != 0 {
				t.Errorf("got %v, want a circle of two at the second name", x.Err)
			}
		})
	}
}

// ownWait is what a node says of a request that is chased, at one of its names.
func (b *bench) ownWait(x *Call, name string, in ...wire.Blocker) wire.ChasedWait {
	return wire.ChasedWait{Flow: b.core.flow(x), Session: 9, Request: x.request, Weight: 1,
		Client: []byte("us"), Name: []byte(name), Blockers: in}
}

// TestChaseToOneTurn proves that a circle is found that leads back only to the turn of the
// request at one of its names, and to that past a wait which the way from another of its
// names, or a turn at another of them, comes to too.
func TestChaseToOneTurn(t *testing.T) {
	for _, how := range []string{"from another name", "through two turns", "to another name"} {
		t.Run(how, func(t *testing.T) {
			b, x := several(t)
			us := wire.Blocker{Flow: b.core.flow(x), Session: 9, Request: x.request}
			hold := func(flow, token uint64) wire.Blocker {
				return wire.Blocker{Flow: wire.Flow{Client: flow}, Session: flow, Request: 1, Token: token}
			}
			wait := func(flow uint64, name string, near uint8, in wire.Blocker) wire.ChasedWait {
				return wire.ChasedWait{Flow: wire.Flow{Client: flow}, Session: flow, Request: 2, Weight: 9,
					Client: []byte("them"), Name: []byte(name), Blockers: []wire.Blocker{in}, Near: near}
			}
			first := []wire.ChasedWait{b.ownWait(x, "a", hold(77, 5)), b.ownWait(x, "b", hold(78, 6))}
			then := []wire.ChasedWait{wait(77, "b", 1, us), wait(78, "e", 0, hold(77, 7))}
			name, token, steps := "b", uint64(6), 3
			switch how {
			case "through two turns":
				then[1] = wait(78, "a", 1, us)
				name, token, steps = "a", 5, 4
			case "to another name":
				then[1] = wait(78, "a", 1, wire.Blocker{Flow: us.Flow, Session: 9, Request: 1})
			}
			b.after(100 * time.Millisecond)
			b.chased(first...)
			b.chased(then...)
			again := b.chased(append(first, then...)...)
			if how == "to another name" {
				if again != 0 || len(b.sent(1, wire.KindCancel)) != 0 {
					t.Errorf("got it looked at again in %d questions, want no circle", again)
				}
				return
			}
			if again != steps {
				t.Fatalf("got %d questions about the circle, want %d", again, steps)
			}
			cancel := b.one(1, wire.KindCancel)
			b.respond(1, cancel, wire.Response{Status: wire.StatusCancelled})
			var circle *DeadlockError
			if !errors.As(x.Err, &circle) || circle.Name != name || circle.Token != token ||
				circle.Count != steps {
				t.Errorf("got %v, want a circle of %d at %q", x.Err, steps, name)
			}
		})
	}
}

// TestChaseThroughAllNames proves that of a call for several names, to whose turn at one
// the search has come, the others are followed too when it comes to the whole call later.
func TestChaseThroughAllNames(t *testing.T) {
	b, x := several(t)
	mine := &Call{Kind: wire.KindAcquire, Flags: wire.FlagWait, Name: "c", Mode: wire.ModeEX}
	b.core.Start(mine)
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 4})
	theirs := wire.Flow{Client: 77}
	of := func(name string, in wire.Blocker) wire.ChasedWait {
		return wire.ChasedWait{Flow: theirs, Session: 77, Request: 3, Weight: 9, Name: []byte(name),
			Blockers: []wire.Blocker{in}}
	}
	own := b.ownWait(x, "a", wire.Blocker{Flow: theirs, Session: 77, Request: 3})
	own.Near = 1
	other := wire.Flow{Client: 78}
	call := []wire.ChasedWait{of("a", wire.Blocker{Flow: other, Session: 78, Request: 1, Token: 5}),
		of("z", wire.Blocker{Flow: b.core.flow(x), Session: 9, Request: mine.request, Token: 4})}
	last := wire.ChasedWait{Flow: other, Session: 78, Request: 2, Weight: 9, Name: []byte("y"),
		Blockers: []wire.Blocker{{Flow: theirs, Session: 77, Request: 1, Token: 6}}}
	b.after(100 * time.Millisecond)
	b.chased(own)
	b.chased(call...)
	b.chased(last)
	if n := b.chased(own, call[0], call[1], last); n != 4 {
		t.Fatalf("got %d questions about the circle, want four", n)
	}
	b.respond(1, b.one(1, wire.KindCancel), wire.Response{Status: wire.StatusCancelled})
	var circle *DeadlockError
	if !errors.As(x.Err, &circle) || circle.Name != "a" || circle.Count != 4 ||
		circle.Steps[3].Name != "z" || circle.Steps[3].Token != 4 {
		t.Errorf("got %v, want a circle of four through all names of the other call", x.Err)
	}
}

// TestChaseAsksForWhatHadNoRoom proves that a question is gone on with if there was no
// room in the answer, of the first look and of the second.
func TestChaseAsksForWhatHadNoRoom(t *testing.T) {
	b, x := several(t)
	theirs := wire.Flow{Client: 77}
	hold := wire.Blocker{Flow: theirs, Session: 4, Request: 1, Token: 5}
	us := wire.Blocker{Flow: b.core.flow(x), Session: 9, Request: x.request}
	behind := wire.ChasedWait{Flow: theirs, Session: 4, Request: 2, Weight: 9, Name: []byte("b"),
		Blockers: []wire.Blocker{us}, Near: 1}
	pages := map[wire.Flow][]wire.Chased{
		us.Flow: {{Next: 40, Waits: []wire.ChasedWait{b.ownWait(x, "a",
			wire.Blocker{Flow: wire.Flow{Client: 78}, Session: 5, Request: 3, Token: 6})}},
			{Waits: []wire.ChasedWait{b.ownWait(x, "b", hold)}}},
		theirs: {{Next: 40}, {Waits: []wire.ChasedWait{behind}}},
	}
	b.after(100 * time.Millisecond)
	asked := 0
	answers := func(conn ConnID, h wire.Header, body []byte) {
		y := wire.Chased{}
		q, err := wire.DecodeChase(body)
		if err != nil {
			t.Fatal(err)
		}
		if of := pages[q.Flows[len(q.Flows)-1]]; conn == 1 && len(of) > 0 {
			y = of[min(q.After, 1)]
		}
		asked++
		b.respond(conn, h, wire.Response{Status: wire.StatusOK, Payload: wire.AppendChased(nil, &y)})
	}
	for range 8 {
		b.core.Tick(b.now)
		b.answerPings()
		for conn := ConnID(1); conn <= 2; conn++ {
			out := b.written[conn]
			delete(b.written, conn)
			b.eachFrame(out, func(h wire.Header, body []byte) {
				switch h.Kind {
				case wire.KindChase:
					answers(conn, h, body)
				case wire.KindCancel:
					b.respond(conn, h, wire.Response{Status: wire.StatusCancelled})
				}
			})
		}
	}
	var circle *DeadlockError
	if !errors.As(x.Err, &circle) || circle.Name != "b" || circle.Count != 2 {
		t.Errorf("got %v after %d questions, want a circle of two", x.Err, asked)
	}
}

// TestConvertInACircle proves that a conversion that is chased is cancelled, and that its
// hold is as it was then.
func TestConvertInACircle(t *testing.T) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.Version
	}
	h := &Call{Kind: wire.KindAcquire, Flags: wire.FlagWait, Name: "a", Mode: wire.ModePR}
	b.core.Start(h)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 5})
	x := &Call{Kind: wire.KindConvert, Flags: wire.FlagWait | wire.FlagDetect, Name: "a",
		Mode: wire.ModeCW, Hold: h} // while that waits, the hold is good for CR
	b.core.Start(x)
	if sent := b.one(1, wire.KindConvert); sent.Flags&wire.FlagDetect == 0 {
		t.Errorf("got flags %#x, want the word among them", sent.Flags)
	}
	b.after(100 * time.Millisecond)
	theirs := wire.Blocker{Flow: wire.Flow{Client: 77}, Session: 4, Request: 1, Token: 6}
	ours := wire.Blocker{Flow: b.core.flow(x), Session: 9, Request: h.request, Token: 5}
	first := wire.ChasedWait{Flow: b.core.flow(x), Session: 9, Request: x.request, Name: []byte("a"),
		Blockers: []wire.Blocker{theirs}}
	second := wire.ChasedWait{Flow: theirs.Flow, Session: 4, Request: 2, Weight: 1, Name: []byte("b"),
		Blockers: []wire.Blocker{ours}}
	b.chased(first)
	b.chased(second)
	b.chased(first, second)
	b.respond(1, b.one(1, wire.KindCancel), wire.Response{Status: wire.StatusCancelled})
	var circle *DeadlockError
	if !errors.As(x.Err, &circle) || circle.Name != "a" || circle.Token != 6 {
		t.Errorf("got %v, want a circle", x.Err)
	}
	if h.State() != StateHeld || h.Mode != wire.ModePR || h.Token != 5 {
		t.Errorf("hold: got state %d in mode %d with token %d, want it as it was", h.State(), h.Mode,
			h.Token)
	}
}

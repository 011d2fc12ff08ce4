package client

import (
	"testing"

	"lockd/netio/wire"
)

// twoSent returns a bench with two waiting calls sent to node 1, and the frames.
func twoSent(t *testing.T) (b *bench, x [2]*Call, sent []wire.Header) {
	t.Helper()
	b = newBench(t)
	x = [2]*Call{b.acquire("a"), b.acquire("b")}
	sent = b.two(1)
	b.core.Take(&b.ready)
	return b, x, sent
}

func (b *bench) two(conn ConnID) []wire.Header {
	b.t.Helper()
	all := b.sent(conn, wire.KindAcquire)
	if len(all) != 2 {
		b.t.Fatalf("got %d Acquires on conn %d, want two", len(all), conn)
	}
	return all
}

func notLeader(hint uint16) wire.Response {
	return wire.Response{Status: wire.StatusNotLeader, Leader: hint}
}

// TestAnswerOfEarlierSend proves that a group which comes back to a conn that
// still owes it an answer does so on a new conn: on the old one the answer to
// the first send of a call would count as that to the second, and a caller be
// told that a lock is held which the second send then gets him (I19).
func TestAnswerOfEarlierSend(t *testing.T) {
	b, x, sent := twoSent(t)
	b.respond(1, sent[0], notLeader(2))
	again := b.two(2)
	b.respond(2, again[0], notLeader(1))
	b.respond(1, sent[1], wire.Response{Status: wire.StatusHeld, Token: 3})
	if x[1].State() != StateOpen {
		t.Fatalf("the answer to the first send counted: %v", x[1].Err)
	}
	b.core.Take(&b.ready)
	if len(b.ready.Closes) != 1 || b.ready.Closes[0] != 1 {
		t.Errorf("got closes %v, want conn 1", b.ready.Closes)
	}
	if len(b.ready.Dials) != 1 || b.ready.Dials[0].Address != "one" {
		t.Fatalf("got dials %v, want one of address one", b.ready.Dials)
	}
	conn := b.ready.Dials[0].Conn
	b.welcome(conn, 1)
	for i, h := range b.two(conn) {
		b.respond(conn, h, wire.Response{Status: wire.StatusOK, Token: uint64(5 + i)})
		if x[i].State() != StateHeld {
			t.Errorf("call %d: got state %d, want held", i, x[i].State())
		}
	}
}

// TestMovedAnswersNothing proves that Moved does not take a debt back: a request
// that crossed it may be executed by a node that is elected again.
func TestMovedAnswersNothing(t *testing.T) {
	b, x, first := twoSent(t)
	b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	second := b.two(2)
	b.respond(2, second[0], notLeader(1))
	b.respond(1, first[1], wire.Response{Status: wire.StatusHeld, Token: 3})
	if x[1].State() != StateOpen {
		t.Fatalf("the answer to the first send counted: %v", x[1].Err)
	}
	b.core.Take(&b.ready)
	if len(b.ready.Closes) != 1 || b.ready.Closes[0] != 1 {
		t.Errorf("got closes %v, want conn 1", b.ready.Closes)
	}
}

// TestConnKept proves that a group comes back to a conn that cannot mistake it:
// all it owed was answered, or is of no call that is open.
func TestConnKept(t *testing.T) {
	for _, c := range []struct {
		name string
		left int // Acquires to be sent again
		pay  func(b *bench, x [2]*Call, first, second []wire.Header)
	}{
		{"answered late", 2, func(b *bench, _ [2]*Call, first, _ []wire.Header) {
			b.respond(1, first[1], notLeader(2))
		}},
		{"ended elsewhere", 1, func(b *bench, x [2]*Call, _, second []wire.Header) {
			b.respond(2, second[1], wire.Response{Status: wire.StatusTooManyWaiters})
			if x[1].State() != StateDone {
				b.t.Errorf("got state %d, want done", x[1].State())
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, x, first := twoSent(t)
			b.respond(1, first[0], notLeader(2))
			second := b.two(2)
			c.pay(b, x, first, second)
			b.respond(2, second[0], notLeader(1))
			b.core.Take(&b.ready)
			if len(b.ready.Closes) != 0 {
				t.Errorf("got closes %v, want none", b.ready.Closes)
			}
			if n := len(b.sent(1, wire.KindAcquire)); n != c.left {
				t.Errorf("got %d Acquires on conn 1 again, want %d", n, c.left)
			}
			for _, d := range b.core.groups[0].debts {
				if d.conn == 1 {
					t.Errorf("got debt %v of the conn the group is on, want none", d)
				}
			}
		})
	}
}

// TestOthersOfReplacedConn proves that the other groups of a conn that is
// replaced lose nothing: they wait for the new conn, send there what is open
// with a raised epoch, and keep and renew what they hold.
func TestOthersOfReplacedConn(t *testing.T) {
	b := newBenchOf(t, 2)
	var names [2][]string
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		group := wire.GroupOf("", name, 2)
		names[group] = append(names[group], name)
	}
	b.acquire(names[0][0])
	b.acquire(names[0][1])
	sent := b.two(1)
	held := b.acquire(names[1][0])
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	waits := b.acquire(names[1][1])
	b.one(1, wire.KindAcquire)
	b.respond(1, sent[0], notLeader(2))
	second := b.two(2)
	b.core.Take(&b.ready)
	epoch := b.core.groups[1].epoch
	b.respond(2, second[0], notLeader(1))
	b.core.Take(&b.ready)
	if len(b.ready.Closes) != 1 || len(b.ready.Dials) != 1 || len(b.ready.Lost) != 0 {
		t.Fatalf("got %+v, want conn 1 replaced and nothing lost", b.ready)
	}
	conn := b.ready.Dials[0].Conn
	b.welcome(conn, 1)
	if n := len(b.sent(conn, wire.KindAcquire)); n != 3 {
		t.Errorf("got %d Acquires on the new conn, want 3", n)
	}
	if got := b.core.groups[1].epoch; got != epoch+1 {
		t.Errorf("got epoch %d of the other group, want %d", got, epoch+1)
	}
	if held.State() != StateHeld || waits.State() != StateOpen {
		t.Errorf("got states %d and %d, want held and open", held.State(), waits.State())
	}
	b.after(benchLease / 3)
	b.one(conn, wire.KindKeepalive)
}

// TestDebtsEndWithConn proves that what is remembered of a conn goes with it
// (I22), and that an epoch left for want of renewals owes too.
func TestDebtsEndWithConn(t *testing.T) {
	b, _, _ := twoSent(t)
	b.after(benchLease / 3)
	beat := b.one(1, wire.KindKeepalive)
	ack := []wire.Renewal{{Session: 9, Code: wire.CodeNotLeader}}
	b.receive(1, wire.AppendKeepaliveAck(nil, wire.Header{Request: beat.Request}, ack))
	g := &b.core.groups[0]
	if len(g.debts) != 1 || g.debts[0].conn != 1 || len(g.debts[0].requests) != 2 {
		t.Fatalf("got debts %v, want two answers of conn 1", g.debts)
	}
	b.core.Disconnected(b.now, 1, errGone)
	if len(g.debts) != 0 {
		t.Errorf("after the end of conn 1: got debts %v, want none", g.debts)
	}
}

package node

import (
	"reflect"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// letGo says that the session is to end so long after its conn.
func (u *user) letGo(graceMillis uint32) {
	u.w.t.Helper()
	h := u.header(wire.KindLetGo)
	u.send(wire.AppendLetGo(nil, h, &wire.LetGo{Session: u.session, Epoch: u.epoch,
		GraceMillis: graceMillis}))
	u.want(h.Request, wire.StatusOK)
}

// free returns after how long nobody holds a lock, and whether that is at all.
func (u *user) free(name []byte, within Nanos) (Nanos, bool) {
	for d := Nanos(0); d < within; d += 20 * Millisecond {
		var info lockfsm.LockInfo
		if !u.w.leaderOf(u.group).node.groups[0].machine.Lock(name, &info, lockfsm.All) {
			return d, true
		}
		u.w.run(20 * Millisecond)
	}
	return within, false
}

// A session that wants it ends its grace after its conn, not its lease after that; one
// that does not want it lives on, and so does one that is there again in time, by a
// keepalive or by a request with a higher epoch.
func TestLetGo(t *testing.T) {
	w := raisedWorld(t, testOptions())
	stays, goes := w.lasting(1, 0, 20_000), w.lasting(2, 0, 20_000)
	back, again := w.lasting(3, 0, 20_000), w.lasting(4, 0, 20_000)
	for i, u := range []*user{stays, goes, back, again} {
		u.lock(w.nameIn(0, i))
		if u != stays {
			u.letGo(1000)
		}
	}
	for _, u := range []*user{stays, goes, back, again} {
		w.leaderOf(0).inbox.ConnClosed(u.conn)
	}
	w.run(500 * Millisecond)
	back.conn = 13
	back.keepalive()
	again.conn, again.epoch = 14, 2
	again.lock(w.nameIn(0, 9))
	if took, ok := goes.free(w.nameIn(0, 1), 5*Second); !ok || took < 300*Millisecond ||
		took > Second {
		t.Errorf("got free %d ms after half the grace, %v, want the other half",
			took/Millisecond, ok)
	}
	w.run(Second / 2)
	if _, ok := stays.free(w.nameIn(0, 0), Second); ok {
		t.Error("a session that did not ask for it was let go")
	}
	if _, ok := back.free(w.nameIn(0, 2), Second); ok {
		t.Error("a session that was renewed in time was let go")
	}
	// A request renews nothing: it is let go unless a keepalive comes.
	if _, ok := again.free(w.nameIn(0, 3), 100*Millisecond); !ok {
		t.Error("a session that was not renewed was not let go")
	}
}

// A client that has gone to another conn loses nothing by the end of the first, and
// what a change of leaders took the conns of lives for its lease.
func TestLetGoNeedsTheConnAndTheLeader(t *testing.T) {
	w := raisedWorld(t, testOptions())
	a, b := w.lasting(1, 0, 20_000), w.lasting(2, 0, 20_000)
	first, second := w.nameIn(0, 0), w.nameIn(0, 1)
	a.lock(first)
	b.lock(second)
	a.letGo(500)
	b.letGo(500)
	old := a.conn
	a.conn, a.epoch = 11, 2
	a.letGo(500)
	w.leaderOf(0).inbox.ConnClosed(old)
	if _, ok := a.free(first, 2*Second); ok {
		t.Error("a session was let go by the end of a conn that its client had left")
	}
	w.kill(w.leaderOf(0).id)
	w.run(300 * Millisecond)
	w.leaderOf(0).inbox.ConnClosed(b.conn)
	if _, ok := b.free(second, 3*Second); ok {
		t.Error("a session was let go by a change of leaders")
	}
	b.conn, b.epoch = 12, 2
	b.letGo(500)
	w.leaderOf(0).inbox.ConnClosed(b.conn)
	if _, ok := b.free(second, 3*Second); !ok {
		t.Error("a session was not let go by the next leader, which was told")
	}
}

// What was said on one conn does not go with the session to another: whoever took the
// session over has not said it, and counts on the lease.
func TestLetGoStaysWithItsConn(t *testing.T) {
	w := raisedWorld(t, testOptions())
	u := w.lasting(1, 0, 20_000)
	name := w.nameIn(0, 0)
	u.lock(name)
	u.letGo(500)
	u.conn = 11
	u.keepalive()
	w.run(200 * Millisecond)
	u.epoch = 2
	u.lock(w.nameIn(0, 1))
	w.leaderOf(0).inbox.ConnClosed(u.conn)
	if took, ok := u.free(name, 3*Second); ok {
		t.Errorf("got let go %d ms after the end of a conn on which nobody asked for it",
			took/Millisecond)
	}
}

// While a node of the cluster may not know it, nobody is let go.
func TestFP3LetGoNeedsAllNodes(t *testing.T) {
	o := testOptions()
	o.Format = lockfsm.FormatKinds
	w := newWorld(t, o)
	u := w.user(1, 0)
	h := u.header(wire.KindLetGo)
	u.send(wire.AppendLetGo(nil, h, &wire.LetGo{Session: u.session, Epoch: u.epoch}))
	u.want(h.Request, wire.StatusUnsupported)
}

// Any number can be named in a request. What says that sessions which are not there are
// to be let go is answered as always, since only the log can say that there is none, and
// leaves nothing: neither while its conn stands nor when that goes (I22).
func TestLetGoOfStrangersLeavesNothing(t *testing.T) {
	w := raisedWorld(t, testOptions())
	n := w.leaderOf(0)
	g := n.node.groups[0]
	for i := range uint64(maxStrangers) {
		h := wire.Header{Kind: wire.KindLetGo, Request: i + 1}
		n.inbox.Request(7, wire.AppendLetGo(nil, h, &wire.LetGo{Session: 1<<40 + i, Epoch: 1}))
	}
	w.run(20 * Millisecond)
	answers := n.statuses(7)
	for i := range uint64(maxStrangers) {
		if got, ok := answers[i+1]; !ok || got != wire.StatusOK {
			t.Fatalf("request %d: got %v, answered %t; want OK", i+1, got, ok)
		}
	}
	if bound, of := len(g.bound), len(n.node.conns.find(7).sessions); bound+of != 0 {
		t.Errorf("got %d bound in the group and %d at the conn, want none", bound, of)
	}
	// One that was bound while it was there, and is not any more.
	n.node.letGo(g, 1<<40, binding{conn: 7, epoch: 1, letsGo: true})
	if got := len(g.parks); got != 0 {
		t.Errorf("got %d sessions to be let go that are not there, want none", got)
	}
}

// What many conns that went at once took is given back when that has been dealt with,
// be it that nothing is asked of the group afterwards (I22).
func TestRoomOfConnsThatWentIsGivenBack(t *testing.T) {
	const count = 4096
	w := raisedWorld(t, testOptions())
	w.lasting(1, 0, 60_000).lock(w.nameIn(0, 0))
	n := w.leaderOf(0)
	g := n.node.groups[0]
	for range count {
		n.node.park(g, 1, 1)
	}
	if got := reflect.TypeFor[parked]().Size() * uintptr(len(g.parks)); got > 24*count {
		t.Errorf("%d sessions to be parked take %d bytes, want %d", len(g.parks), got, 24*count)
	}
	w.until("all are dealt with", func() bool {
		return len(g.parks) == 0 && len(g.flights) == 0
	})
	if got := cap(g.parks); got > keepParked {
		t.Errorf("got room for %d that are to be parked, want %d at most", got, keepParked)
	}
	if len(g.idle) == 0 {
		t.Error("no flight is kept for its memory: the test shows nothing")
	}
	for i := range g.idle {
		if got := cap(g.idle[i].origins); got > keepOrigins {
			t.Errorf("a spent flight has room for %d commands, want %d at most", got, keepOrigins)
		}
	}
	g.recycle(flight{renewals: make([]renewal, 0, count)})
	if got := cap(g.idle[len(g.idle)-1].renewals); got > keepOrigins {
		t.Errorf("a spent flight has room for %d renewals, want %d at most", got, keepOrigins)
	}
}

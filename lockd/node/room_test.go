package node

import (
	"testing"

	"lockd/netio/wire"
)

// Whatever conns were once answered with, all that they keep of it for the next time has
// one bound, and is given back with them (I22).
func TestRoomOfAnswersHasOneBound_FN5(t *testing.T) {
	const conns = 100
	w := newWorld(t, testOptions())
	n := w.leaderOf(0).node
	name := w.nameIn(0, 0)
	w.deepLock(name, 1, 64, 64)
	ask := func(id ConnID, count int) {
		u := &user{w: w, conn: id, group: 0}
		for range count {
			u.send(wire.AppendGet(nil, u.header(wire.KindGet), &wire.Get{Name: name}))
		}
		w.run(20 * Millisecond)
	}
	check := func(when string) {
		kept := 0
		for _, c := range n.conns.conns {
			if cap(c.out) != c.kept {
				t.Fatalf("%s: conn %d keeps %d bytes, counted as %d", when, c.id, cap(c.out), c.kept)
			}
			kept += cap(c.out)
		}
		if kept != n.conns.room.bytes || kept > maxKeptRoom {
			t.Fatalf("%s: conns keep %d bytes, counted as %d, bound %d", when, kept,
				n.conns.room.bytes, maxKeptRoom)
		}
	}
	for i := range ConnID(conns) {
		ask(100+i, 100)
		check("after a burst")
	}
	if got := n.conns.room.bytes; got < maxKeptRoom/2 {
		t.Fatalf("got %d bytes kept: the test shows nothing", got)
	}
	last := n.conns.find(100 + conns - 1)
	if before := cap(last.out); before == 0 {
		t.Error("who was answered last has kept nothing")
	}
	for i := range ConnID(conns) {
		ask(100+i, 1)
		n.inbox.ConnClosed(100 + i)
		w.run(Millisecond)
		check("after a close")
	}
	if got := n.conns.room; got.bytes > 1<<10 || len(got.conns) > 2 {
		t.Errorf("got %d bytes of %d conns kept after all have gone", got.bytes, len(got.conns))
	}
}

// A conn that is answered in the turn in which it ends leaves nothing behind, and one
// whose buffer is given to another sends what is in it first.
func TestRoomOfAConnThatEnds(t *testing.T) {
	var r keptRoom
	conns := make([]*conn, 8)
	for i := range conns {
		conns[i] = &conn{id: ConnID(i), out: make([]byte, 0, maxConnRoom)}
		r.keep(conns[i])
	}
	if r.bytes > maxKeptRoom || len(r.conns) != maxKeptRoom/maxConnRoom {
		t.Fatalf("got %d bytes of %d conns", r.bytes, len(r.conns))
	}
	held := r.conns[r.hand%len(r.conns)]
	held.out = append(held.out, "answer"...)
	fresh := &conn{out: make([]byte, 0, maxConnRoom)}
	r.keep(fresh)
	if string(held.out) != "answer" || held.keptAt != 0 || fresh.keptAt == 0 {
		t.Errorf("got %q at place %d, and place %d for who came", held.out, held.keptAt, fresh.keptAt)
	}
	r.keep(held)
	if r.bytes > maxKeptRoom || held.keptAt == 0 || len(held.out) != 0 {
		t.Errorf("kept again: got %d bytes, place %d, %q", r.bytes, held.keptAt, held.out)
	}
	large := &conn{out: make([]byte, 0, 2*maxConnRoom)}
	if r.keep(large); large.out != nil || large.keptAt != 0 {
		t.Errorf("a buffer of %d bytes is kept", cap(large.out))
	}
	if got := testing.AllocsPerRun(10, func() {
		held.out = append(held.out, 1)
		r.keep(held)
	}); got != 0 {
		t.Errorf("a conn that is answered again: got %.0f allocations, want none", got)
	}
	for _, c := range append(conns, held, fresh) {
		r.give(c)
	}
	if r.bytes != 0 || len(r.conns) != 0 {
		t.Errorf("got %d bytes of %d conns after all were given", r.bytes, len(r.conns))
	}
}

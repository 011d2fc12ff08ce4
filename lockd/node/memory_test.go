package node

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// copyOf returns what a copy of a stopped node's directory would hold.
func copyOf(n *testNode) (records []wal.Record, stored []byte) {
	return slices.Clone(n.records), bytes.Clone(n.stored)
}

// refusals returns what was said to a node that tries to come back.
func (w *world) refusals(n *testNode) (codes []wire.Refusal) {
	h := n.node.PeerHello()
	h.From = n.id
	for _, p := range w.opts.Nodes {
		other := w.nodes[p.ID]
		if other == n || other.node == nil {
			continue
		}
		if r := other.node.CheckPeer(&h); r != nil {
			codes = append(codes, r.Code)
		}
	}
	return codes
}

// A directory restored from a copy is refused by everybody who has heard of
// what came after it, and the node on it stops (I7, F-D7).
func TestFD7RolledBackDirectoryIsRefused(t *testing.T) {
	w := newWorld(t, testOptions())
	to := w.nodes[3]
	w.kill(3)
	records, stored := copyOf(to)
	to.start()
	w.link(3)
	u := w.user(1, 0)
	u.lock(w.nameIn(0, 1))
	w.run(Second)
	w.kill(3)
	to.records, to.stored, to.lsn = records, stored, wal.LSN(len(records))
	to.start()
	if got := w.refusals(to); len(got) != 2 || got[0] != wire.RefusedRollback {
		t.Fatalf("refusals: got %v, want two of %v", got, wire.RefusedRollback)
	}
	w.link(3)
	err := to.node.Turn(w.now)
	if !errors.Is(err, ErrRolledBack) {
		t.Errorf("the node goes on: got %v, want ErrRolledBack", err)
	}
}

// Two processes on copies of one directory count the same start.
func TestFD7CopiedDirectoryIsRefused(t *testing.T) {
	w := newWorld(t, testOptions())
	to := w.nodes[3]
	w.kill(3)
	records, stored := copyOf(to)
	to.start()
	w.link(3)
	w.run(2 * Millisecond)
	w.opts.Seed++ // another process draws another mark
	twin := &testNode{w: w, id: 3, records: records, stored: stored, lsn: wal.LSN(len(records)),
		sent: map[ConnID][]byte{}, saved: to.saved, slots: to.slots}
	twin.start()
	if got := w.refusals(twin); len(got) == 0 || got[0] != wire.RefusedRollback {
		t.Errorf("refusals of the copy: got %v, want %v", got, wire.RefusedRollback)
	}
	if got := w.refusals(to); len(got) != 0 {
		t.Errorf("refusals of the original: got %v, want none", got)
	}
	// Its handshake may have come before the original's, and its link comes up after.
	one, h := w.nodes[1], twin.node.PeerHello()
	one.inbox.PeerDown(3, DownClosed)
	one.inbox.PeerUp(3, &h)
	if err := one.node.Turn(w.now); err != nil {
		t.Fatal(err)
	}
	if one.node.peer(3).up {
		t.Error("the copy is linked, which shows a mark that is not the one that was met")
	}
}

// What a peer shows is compared with all that it ever showed, and said.
func TestFD7WhatAPeerHasForgotten(t *testing.T) {
	var m memories
	m.init(nil)
	m.meet(2, memory{disk: 20, starts: 3, start: 33, position: 7})
	m.hear(2, 20, 12)
	m.hear(2, 20, 9) // overtaken
	compare := func() {
		t.Helper()
		for _, c := range []struct {
			what  string
			seen  memory
			fails bool
		}{
			{"as it was", memory{disk: 20, starts: 3, start: 33, position: 12}, false},
			{"another start", memory{disk: 20, starts: 4, start: 44, position: 12}, false},
			{"a shorter log", memory{disk: 20, starts: 4, start: 44, position: 11}, true},
			{"an earlier start", memory{disk: 20, starts: 2, start: 22, position: 12}, true},
			{"another mark", memory{disk: 20, starts: 3, start: 34, position: 12}, true},
			{"another disk", memory{disk: 21, starts: 1, start: 1}, false},
		} {
			if got := m.forgets(2, c.seen); (got != "") != c.fails {
				t.Errorf("%s: got %q, want it refused: %t", c.what, got, c.fails)
			}
		}
	}
	compare()
	m.meet(2, memory{disk: 20, starts: 3, start: 33, position: 5})
	compare()
}

// What is remembered survives a restart of those who remember.
func TestFD7MemoryOfPeersIsDurable(t *testing.T) {
	w := newWorld(t, testOptions())
	to := w.nodes[3]
	w.kill(3)
	records, stored := copyOf(to)
	to.start()
	w.link(3)
	w.user(1, 0).lock(w.nameIn(0, 1))
	w.run(2 * Second)
	for id := range uint16(3) {
		w.kill(id + 1)
	}
	to.records, to.stored, to.lsn = records, stored, wal.LSN(len(records))
	for id := range uint16(3) {
		w.nodes[id+1].start()
	}
	if got := w.refusals(to); len(got) != 2 {
		t.Errorf("refusals after all have restarted: got %v, want two", got)
	}
}

// An ordinary restart shows all it ever synced.
func TestRestartIsNoRollback(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	for i := range 5 {
		u.lock(w.nameIn(0, i))
		w.kill(3)
		w.nodes[3].start()
		if got := w.refusals(w.nodes[3]); len(got) != 0 {
			t.Fatalf("restart %d: got refusals %v, want none", i, got)
		}
		w.link(3)
		w.run(100 * Millisecond)
		u.keepalive()
	}
}

// Nodes at rest write nothing about each other.
func TestIdlePeersHaveNoNews(t *testing.T) {
	w := newWorld(t, testOptions())
	w.run(3 * Second)
	before := len(w.nodes[1].records)
	w.run(10 * Second)
	if got := len(w.nodes[1].records) - before; got != 0 {
		t.Errorf("records of an idle node in ten seconds: got %d, want none", got)
	}
}

func TestMemoriesDecode(t *testing.T) {
	var m memories
	m.init(nil)
	m.meet(2, memory{disk: 20, starts: 3, start: 33, position: 7})
	m.meet(3, memory{disk: 30, starts: 1, start: 11, position: 9})
	m.hear(3, 30, 12)
	m.hear(3, 31, 99) // of another disk
	b := m.appendTo(nil, []paxos.NodeID{2, 3})
	got, err := decodeMemories(b)
	if err != nil {
		t.Fatal(err)
	}
	if got[3] != (memory{disk: 30, starts: 1, start: 11, position: 12}) || len(got) != 2 {
		t.Errorf("got %+v", got)
	}
	if _, err := decodeMemories(b[:len(b)-1]); err == nil {
		t.Error("a record that was cut decodes")
	}
}

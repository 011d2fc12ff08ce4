package node

import (
	"testing"

	"lockd/netio/wire"
)

// flooder sends so many questions on a conn.
func flooder(n *testNode, c ConnID, questions int) {
	for i := range questions {
		n.inbox.Request(c, wire.AppendStatus(nil, wire.Header{Request: uint64(i + 1)}))
	}
}

// answered counts the answers of a conn.
func answered(n *testNode, c ConnID) (count int) {
	n.frames(c, func(h wire.Header, _ []byte) {
		if h.Kind == wire.KindResponse {
			count++
		}
	})
	return count
}

// TestFN5PoliteConnIsServedBesideFloods: conns that ask for far more than a turn
// serves wait for their turn; one that asks a single question is answered in the
// turn that takes it, and in the end everybody is answered, in order (I33).
func TestFN5PoliteConnIsServedBesideFloods(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	const flooders, questions, polite = 8, 2 * turnCost, 99
	for c := ConnID(1); c <= flooders; c++ {
		flooder(n, c, questions)
	}
	turn := func() {
		if err := n.node.Turn(w.now); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	if got := answered(n, 1); got == 0 || got >= questions {
		t.Errorf("one turn: got %d of %d questions of a flood answered, want some", got, questions)
	}
	flooder(n, polite, 1)
	turn()
	if got := answered(n, polite); got != 1 {
		t.Errorf("got %d answers to the polite conn after a turn, want 1", got)
	}
	turns := 0
	for ; len(n.node.turnstile.ring) > 0; turns++ {
		if spent := n.node.turnstile.spent; spent > 4*turnCost {
			t.Fatalf("turn %d cost %d, want at most %d", turns, spent, 4*turnCost)
		}
		turn()
	}
	t.Logf("%d conns of %d questions took %d turns", flooders, questions, turns+2)
	for c := ConnID(1); c <= flooders; c++ {
		var last uint64
		n.frames(c, func(h wire.Header, _ []byte) {
			if h.Request != last+1 {
				t.Fatalf("conn %d: answer %d after %d", c, h.Request, last)
			}
			last = h.Request
		})
		if last != questions {
			t.Errorf("conn %d: got %d answers, want %d", c, last, questions)
		}
	}
	if got := n.node.turnstile.bytes; got != 0 {
		t.Errorf("%d bytes wait in the end, want none", got)
	}
}

// TestFN5ConnThatAskedEnoughIsNotRead: the inbox says when to stop reading, and
// the node says when to go on: when all of it has been served.
func TestFN5ConnThatAskedEnoughIsNotRead(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	frame := wire.AppendStatus(nil, wire.Header{Request: 1})
	offered := 0
	for took, enough := n.inbox.Offer(7, frame); !enough; took, enough = n.inbox.Offer(7, frame) {
		if offered++; !took {
			t.Fatal("refused before it was told that it is enough")
		}
	}
	got, want := offered*(len(frame)+itemBytes), sharedBytes+enoughBytes
	if got < want-enoughBytes || got > want+enoughBytes {
		t.Errorf("enough after a weight of %d, want about %d", got, want)
	}
	if _, enough := n.inbox.Offer(8, frame); enough {
		t.Error("another conn was stopped too")
	}
	for turns := 0; len(n.resumed) == 0; turns++ {
		if err := n.node.Turn(w.now); err != nil || turns > 100 {
			t.Fatalf("not read again after %d turns: %v", turns, err)
		}
	}
	if got := answered(n, 7); got <= offered || n.resumed[0] != 7 {
		t.Errorf("conns %v are read again after %d answers, want 7 after %d", n.resumed, got,
			offered+1)
	}
}

// TestFN5ConnThatIsReadAllTheSameIsListedOnce: where reading cannot be stopped, a
// conn asks for too much in turn after turn. It is still one conn (I22).
func TestFN5ConnThatIsReadAllTheSameIsListedOnce(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	frame := wire.AppendStatus(nil, wire.Header{Request: 1})
	for range 20 {
		for enough := false; !enough; {
			_, enough = n.inbox.Offer(7, frame)
		}
		if err := n.node.Turn(w.now); err != nil {
			t.Fatal(err)
		}
		if got := len(n.node.turnstile.paused); got > 1 {
			t.Fatalf("conns that are not read: got %d, want at most the one there is", got)
		}
	}
}

// TestFN5SessionsThatAreNotThereAreBounded: naming sessions that do not exist
// fills neither the node's tables nor its log (I22).
func TestFN5SessionsThatAreNotThereAreBounded(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	refs := make([]wire.SessionRef, wire.MaxGroups)
	next := uint64(1 << 40)
	for round := range 20 {
		for i := range refs {
			next++
			refs[i] = wire.SessionRef{Group: 0, Session: next}
		}
		n.inbox.Request(5, wire.AppendKeepalive(nil, wire.Header{Request: uint64(round + 1)}, refs))
	}
	if err := n.node.Turn(w.now); err != nil {
		t.Fatal(err)
	}
	g := n.node.groups[0]
	if got := len(g.bound); got > maxStrangers {
		t.Errorf("bound sessions: got %d, want at most %d", got, maxStrangers)
	}
	if g.strangers > mostStrangers || len(g.renewals) > mostStrangers {
		t.Errorf("renewals: got %d, want at most %d", len(g.renewals), mostStrangers)
	}
}

// TestFN5WhatWaitsIsNotMoved: a turn takes what it serves of a conn off the front of
// what waits and leaves the rest where it is. To move all that waits of all conns would
// take a turn many times what it may.
func TestFN5WhatWaitsIsNotMoved(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	flooder(n, 1, 8*turnCost)
	turn := func() []byte {
		if err := n.node.Turn(w.now); err != nil {
			t.Fatal(err)
		}
		return n.node.conns.find(1).waiting
	}
	before := turn()
	after := turn()
	if done := len(before) - len(after); done <= 0 || len(after) == 0 || &after[0] != &before[done] {
		t.Errorf("%d bytes of %d were served, and the rest was moved", done, len(before))
	}
}

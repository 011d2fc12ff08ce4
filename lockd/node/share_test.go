package node

import (
	"slices"
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

// askFlood asks so many questions about a lock on each of the conns 1 to flooders.
func askFlood(w *world, n *testNode, flooders ConnID, questions int) {
	name := w.nameIn(0, 0)
	for c := ConnID(1); c <= flooders; c++ {
		for i := range questions {
			h := wire.Header{Group: 0, Request: uint64(i + 1)}
			n.inbox.Request(c, wire.AppendGet(nil, h, &wire.Get{Name: name}))
		}
	}
}

// TestFN5QuestionsOfAFloodWaitTheirTurn: while nobody confirms the leader, conns that
// ask without end have a bounded number of questions waiting for that, and the rest
// of what they want waits for its turn. Somebody else's request is served in the
// turn that takes it, and his question among the first when they are answered
// (I22, I33).
func TestFN5QuestionsOfAFloodWaitTheirTurn(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	const flooders, questions, polite = 8, 2500, 99
	w.drop = func(f testFrame) bool { return f.to == n.id }
	askFlood(w, n, flooders, questions)
	for range 50 {
		w.step()
	}
	if got, most := len(n.node.groups[0].reads), mostOwed+flooders*leastQuantum; got > most {
		t.Errorf("questions that wait to be confirmed: got %d, want at most %d", got, most)
	}
	if n.inbox.hasNews() {
		t.Error("another turn is asked for, though none could serve anybody")
	}
	w.drop = nil
	flooder(n, polite, 1)
	asked := wire.AppendGet(nil, wire.Header{Group: 0, Request: 2}, &wire.Get{Name: w.nameIn(0, 1)})
	n.inbox.Request(polite, asked)
	w.step()
	if got := answered(n, polite); got != 1 {
		t.Errorf("got %d answers to the polite conn in the turn that took it, want the one", got)
	}
	for turns := 1; answered(n, polite) < 2; turns++ {
		if turns > 6 {
			t.Fatalf("the polite conn's question is not answered after %d turns", turns)
		}
		w.step()
	}
	if x, _ := n.response(polite, 2); x.Status != wire.StatusNotFound {
		t.Errorf("the polite conn's question: got %v, want %v", x.Status, wire.StatusNotFound)
	}
	for turns := 0; answered(n, flooders) < questions; turns++ {
		if w.step(); turns > 200 {
			t.Fatalf("%d of %d questions of a flood are answered after %d turns",
				answered(n, flooders), questions, turns)
		}
	}
	for c := ConnID(1); c <= flooders; c++ {
		if got := n.node.conns.find(c).asked; got != 0 || n.node.turnstile.owed != 0 {
			t.Errorf("conn %d: %d questions of %d are still counted", c, got, n.node.turnstile.owed)
		}
	}
}

// TestFN5RenewalsPassQuestionsThatWait: what a conn renews does not wait behind what it
// has asked of a leader that is not confirmed. Its sessions may be of other groups,
// whose log time goes on (I33).
func TestFN5RenewalsPassQuestionsThatWait(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	w.drop = func(f testFrame) bool { return f.to == n.id }
	const flooders, questions = 8, 2500
	askFlood(w, n, flooders, questions)
	for range 10 {
		w.step()
	}
	c := n.node.conns.find(1)
	if len(c.waiting) == 0 || !n.node.turnstile.owesEnough(c) {
		t.Fatalf("%d bytes wait of a conn that asked %d questions, want it to wait for answers",
			len(c.waiting), c.asked)
	}
	n.inbox.Request(1, wire.AppendKeepalive(nil, wire.Header{Request: 9999}, nil))
	w.step()
	acks := 0
	n.frames(1, func(h wire.Header, _ []byte) {
		if h.Kind == wire.KindKeepaliveAck && h.Request == 9999 {
			acks++
		}
	})
	if acks != 1 {
		t.Errorf("got %d answers to a keepalive in the turn that took it, want one", acks)
	}
	if len(c.waiting) == 0 {
		t.Error("the questions do not wait any more, want them to")
	}
}

// TestFN5FloodOfRenewalsStarvesNobody: what passes leaves most of a turn to those who
// wait, however many sign their lives without end (I33).
func TestFN5FloodOfRenewalsStarvesNobody(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1]
	const polite, rounds = 99, 20
	for round := range rounds {
		for i := range 1600 {
			c := ConnID(1 + i%8)
			n.inbox.Request(c, wire.AppendKeepalive(nil, wire.Header{Request: uint64(i + 1)}, nil))
		}
		flooder(n, polite, 1)
		for range 3 {
			if err := n.node.Turn(w.now); err != nil {
				t.Fatal(err)
			}
			for i := range 1600 {
				c := ConnID(1 + i%8)
				n.inbox.Request(c, wire.AppendKeepalive(nil, wire.Header{Request: uint64(i + 1)}, nil))
			}
		}
		if got := answered(n, polite); got != round+1 {
			t.Fatalf("round %d: got %d answers to the polite conn in three turns, want %d", round, got,
				round+1)
		}
	}
}

// TestFN5ConnThatIsBehindIsNotRead: of a conn that asks for a little in each turn, and
// is served less, enough waits in the end. It is not read then until all of that has
// been served, however little comes at a time (I22).
func TestFN5ConnThatIsBehindIsNotRead(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	w.drop = func(f testFrame) bool { return f.to == n.id }
	frame := wire.AppendGet(nil, wire.Header{Group: 0, Request: 1}, &wire.Get{Name: w.nameIn(0, 0)})
	const each = 100
	offered := 0
	for enough := false; !enough; w.step() {
		for i := 0; i < each && !enough; i++ {
			offered++
			_, enough = n.inbox.Offer(7, frame)
		}
		if got, most := offered*len(frame), 4*enoughBytes; got > most {
			t.Fatalf("%d bytes of a conn were taken, and it is still read", got)
		}
	}
	if _, enough := n.inbox.Offer(8, frame); enough {
		t.Error("another conn was stopped too")
	}
	w.drop = nil
	for turns := 0; len(n.resumed) == 0; turns++ {
		if w.step(); turns > 100 {
			t.Fatal("it is not read again")
		}
	}
	if got := answered(n, 7) + n.node.conns.find(7).asked; got != offered {
		t.Errorf("it is read again after %d of its %d questions were taken, want all", got, offered)
	}
	if _, enough := n.inbox.Offer(7, frame); enough {
		t.Error("it is stopped again at its next question")
	}
}

// TestFN5ConnThatFindsNoRoomIsNotRead: who finds the inbox full is not read until a turn
// has made room, and is read then, whether anything of it was taken or not. To read on
// would be to refuse all that it sends, frame by frame.
func TestFN5ConnThatFindsNoRoomIsNotRead(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	const flooder, known, fresh = 7, 8, 9
	frame := wire.AppendGet(nil, wire.Header{Group: 0, Request: 1}, &wire.Get{Name: w.nameIn(0, 0)})
	if took, _ := n.inbox.Offer(known, frame); !took {
		t.Fatal("an empty inbox has no room")
	}
	for n.inbox.Request(flooder, frame) {
	}
	n.inbox.maxBytes = 1
	for _, c := range []ConnID{known, fresh, known, fresh} {
		if took, enough := n.inbox.Offer(c, frame); took || !enough {
			t.Errorf("conn %d found room: %v, is to be read no more: %v; want false and true", c, took,
				enough)
		}
	}
	for turns := 0; len(n.resumed) < 3; turns++ {
		if w.step(); turns > 1000 {
			t.Fatalf("only conns %v are read again", n.resumed)
		}
	}
	slices.Sort(n.resumed)
	if want := []ConnID{flooder, known, fresh}; !slices.Equal(n.resumed, want) {
		t.Errorf("got conns %v read again, want each of %v once", n.resumed, want)
	}
}

// TestFN5AnswersToAFloodLeaveRoom: costly answers that are due to a flood do not keep
// somebody else's request from being served in the turn that takes it (I33).
func TestFN5AnswersToAFloodLeaveRoom(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	const flooders, polite = 8, 99
	for c := ConnID(1); c <= flooders; c++ {
		for i := range 16 {
			h := wire.Header{Group: 0, Request: uint64(i + 1)}
			n.inbox.Request(c, wire.AppendList(nil, h, &wire.List{Limit: wire.MaxPage}))
		}
	}
	askFlood(w, n, flooders, 200)
	for late := 0; late == 0; {
		before := answered(n, polite)
		if before > 20 {
			t.Fatal("no answer is left for a later turn: the test shows nothing")
		}
		late = len(n.node.turnstile.late)
		flooder(n, polite, 1)
		w.step()
		if got := answered(n, polite) - before; got != 1 {
			t.Fatalf("got %d answers to the polite conn in the turn that took it, want 1", got)
		}
	}
}

// TestFN5AbandonedQuestionsAreNotCounted: questions that a leader can no longer
// answer make room for those who wait (I22, I32).
func TestFN5AbandonedQuestionsAreNotCounted(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	const flooders, questions = 2, 2500
	w.drop = func(f testFrame) bool { return f.to == n.id }
	askFlood(w, n, flooders, questions)
	w.run(5 * Second)
	if n.node.groups[0].leading {
		t.Fatal("it still leads")
	}
	if got := n.node.turnstile.owed; got != 0 {
		t.Errorf("%d questions are still counted, want none", got)
	}
	if got := len(n.node.turnstile.ring); got != 0 {
		t.Errorf("%d conns still wait to be served, want none", got)
	}
}

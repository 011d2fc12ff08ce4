package node

import (
	"reflect"
	"testing"

	"lockd/netio/wire"
)

// However many groups a node leads, the questions that wait for a confirmation have
// one bound, and it is given back when they are answered or left (I22).
func TestQuestionsOfAllGroupsHaveOneBound(t *testing.T) {
	if got := reflect.TypeFor[read]().Size(); got > questionBytes {
		t.Errorf("a question takes %d bytes, counted as %d", got, questionBytes)
	}
	o := testOptions()
	o.Groups = 12
	w := newWorld(t, o)
	led := w.leaderOf(0)
	waiting := func() (all int) {
		for _, g := range led.node.hosted {
			all += len(g.reads)
		}
		return all
	}
	w.drop = func(f testFrame) bool { return f.to == led.id }
	request := uint64(0)
	for g := range uint16(12) {
		name := w.nameIn(g, 0)
		for range maxReads {
			if !led.node.group(g).leading {
				break
			}
			request++
			h := wire.Header{Kind: wire.KindGet, Group: g, Request: request}
			c := led.node.conns.open(ConnID(1 + request/4096))
			led.node.onRequest(c, wire.AppendGet(nil, h, &wire.Get{Name: name}))
		}
	}
	most := waiting()
	if room := askedBytes / questionBytes; most > room || most < room/2 {
		t.Errorf("questions that wait: got %d of %d, want %d at most", most, request, room)
	}
	w.drop = nil
	w.until("all are answered", func() bool { return waiting() == 0 })
	if got := led.node.asked; got != 0 {
		t.Errorf("counted after all were answered: got %d, want 0", got)
	}
	for _, g := range led.node.hosted {
		if got := cap(g.reads); got > keepReads {
			t.Errorf("group %d keeps room for %d questions after all were answered", g.id, got)
		}
	}
}

// What a group had room for in a flood is given back when few questions are left, be it
// that the group is asked something all the time: floods of one group after the other
// would else keep room in each (I22).
func TestRoomOfAFloodIsGivenBackBesideAQuestion(t *testing.T) {
	n, g := &Node{}, &group{}
	for range 4096 {
		g.reads = append(g.reads, read{})
	}
	g.reads[0].request = 7
	n.keepReads(g, 1)
	if got := cap(g.reads); got > keepReads || len(g.reads) != 1 || g.reads[0].request != 7 {
		t.Errorf("got room for %d questions beside the %d that are left", got, len(g.reads))
	}
}

// A group with no question keeps room for few, and one that is asked takes what another
// has left: each of a thousand groups would else keep room for hundreds, and each
// burst of questions need new memory.
func TestGroupsShareTheRoomForQuestions(t *testing.T) {
	n := &Node{}
	groups := make([]group, 3*spareReads)
	fill := func(g *group) {
		n.roomForReads(g)
		for range mostSpareReads / 2 {
			g.reads = append(g.reads, read{name: []byte("x")})
		}
	}
	for i := range groups {
		fill(&groups[i])
	}
	for i := range groups {
		clear(groups[i].reads)
		n.keepReads(&groups[i], 0)
		if got := cap(groups[i].reads); got > keepReads {
			t.Fatalf("group %d: got room for %d without a question, want %d", i, got, keepReads)
		}
	}
	if got := len(n.spareReads); got != spareReads {
		t.Fatalf("got %d spare, want %d", got, spareReads)
	}
	for _, s := range n.spareReads {
		if cap(s) > mostSpareReads {
			t.Errorf("a spare one has room for %d, want %d at most", cap(s), mostSpareReads)
		}
	}
	if got := testing.AllocsPerRun(10, func() {
		n.roomForReads(&groups[0])
		groups[0].reads = append(groups[0].reads, make([]read, mostSpareReads/4)...)
		n.keepReads(&groups[0], 0)
	}); got != 0 {
		t.Errorf("a burst: got %.0f allocations, want none", got)
	}
	g := &group{reads: make([]read, 0, 2*mostSpareReads)}
	n.spareReads = nil
	if n.keepReads(g, 0); g.reads != nil || len(n.spareReads) != 0 {
		t.Error("the room of a flood is kept as a spare one")
	}
}

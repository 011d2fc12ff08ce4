package node

import (
	"testing"

	"lockd/netio/wire"
	"lockd/paxos"
)

// holdGets has a node that knows of no leader hold questions of a group, as long as
// it takes them and count at most. It returns how many were sent.
func (n *testNode) holdGets(g uint16, conn ConnID, count int) int {
	for i := range count {
		h := wire.Header{Kind: wire.KindGet, Group: g, Request: uint64(i + 1)}
		frame := wire.AppendGet(nil, h, &wire.Get{Name: n.w.nameIn(g, 0)})
		before := len(n.node.groups[g].early)
		n.node.onRequest(n.node.conns.open(conn), frame)
		if len(n.node.groups[g].early) != before+1 {
			return i + 1
		}
	}
	return count
}

// What is held for groups without a leader has one bound for the node, in which what
// each takes beside its bytes counts; each is in flight until it is answered (I22).
func TestHeldRequestsOfAllGroupsHaveOneBound(t *testing.T) {
	o := testOptions()
	o.Groups, o.MaxInFlight = 40, 2000
	w := newWorld(t, o)
	n := w.leaderless()
	held, bytes := 0, 0
	for g := range uint16(o.Groups) {
		for c := range ConnID(4) {
			n.holdGets(g, 100+4*ConnID(g)+c, 500)
		}
		early := n.node.groups[g].early
		held += len(early)
		for _, e := range early {
			bytes += len(e.frame) + earlyItemBytes
		}
		if got := len(early) * earlyItemBytes; got > maxGroupEarlyBytes {
			t.Fatalf("group %d holds %d requests, which is %d bytes at least", g, len(early), got)
		}
	}
	if bytes > maxEarlyBytes || bytes < maxEarlyBytes/2 || bytes != n.node.earlyBytes {
		t.Errorf("%d held requests take %d bytes, counted as %d; want %d at most and not much less",
			held, bytes, n.node.earlyBytes, maxEarlyBytes)
	}
	w.run(2 * Second)
	if got := n.node.earlyBytes; got != 0 {
		t.Errorf("after all were refused: got %d bytes, want none", got)
	}
	for _, c := range n.node.conns.conns {
		if c.inFlight != 0 || len(c.early) != 0 {
			t.Fatalf("after all were refused: conn %d has %d in flight, and held in %v", c.id,
				c.inFlight, c.early)
		}
	}
	if got := n.holdGets(0, 7, 2001); got != 2001 {
		t.Fatalf("got %d requests held, want 2000", got-1)
	}
	if got := n.statuses(7)[2001]; n.node.conns.find(7).inFlight != 2000 {
		t.Errorf("got %d in flight, and %v for one more", n.node.conns.find(7).inFlight, got)
	}
}

// What was held is served a part in each turn, and what its conn asks for meanwhile comes
// after it: thousands at once would keep a leader from its peers just when it
// begins.
func TestHeldRequestsAreServedInTurnsAndInOrder(t *testing.T) {
	const count = 1500
	w := newWorld(t, testOptions())
	w.kill(w.leaderOf(0).id)
	for _, x := range w.nodes {
		if x.node != nil {
			w.until("it knows of no leader", func() bool {
				return x.node.groups[0].replica.Leader() == paxos.NoNode
			})
			if got := x.holdGets(0, 7, count); got != count {
				t.Fatalf("got %d held, want %d", got, count)
			}
		}
	}
	var n *testNode
	w.until("one of them leads", func() bool {
		for _, x := range w.nodes {
			if x.node != nil && x.node.groups[0].leading {
				n = x
			}
		}
		return n != nil
	})
	g := n.node.groups[0]
	last, later, most := count, uint64(count), 0
	w.until("all are answered", func() bool {
		most, last = max(most, last-len(g.early)), len(g.early)
		if g.leading && len(g.early) > 0 {
			later++
			h := wire.Header{Kind: wire.KindGet, Request: later}
			n.inbox.Request(7, wire.AppendGet(nil, h, &wire.Get{Name: w.nameIn(0, 0)}))
		}
		return uint64(len(n.statuses(7))) == later && len(g.early) == 0
	})
	if later == count {
		t.Error("nothing was asked for meanwhile: the test shows nothing")
	}
	if most > earlyCost {
		t.Errorf("got %d served in one turn, want %d at most", most, earlyCost)
	}
	next := uint64(0)
	n.frames(7, func(h wire.Header, body []byte) {
		x, err := wire.DecodeResponse(body)
		if next++; h.Request != next || err != nil || x.Status != wire.StatusNotFound {
			t.Fatalf("answer %d: got request %d and %v, %v", next, h.Request, x.Status, err)
		}
	})
	if c := n.node.conns.find(7); c.inFlight != 0 || len(c.early) != 0 || n.node.earlyBytes != 0 {
		t.Errorf("got %d in flight, held in %v, %d bytes; want none", c.inFlight, c.early,
			n.node.earlyBytes)
	}
}

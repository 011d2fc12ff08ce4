package node

import (
	"fmt"
	"testing"

	"lockd/netio/wire"
)

// topFrame asks for the first names of those that are wanted most.
func topFrame(request uint64, limit uint16) []byte {
	h := wire.Header{Kind: wire.KindTop, Request: request}
	return wire.AppendTop(nil, h, &wire.Top{Limit: limit})
}

// All names are looked at once in a while, however often and for how many of them
// they are asked, and that counts: a few kilobytes of questions would else keep a leader
// for longer than an election timeout.
func TestTopIsFoundOnceForAllWhoAsk(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	for i := range maxContended {
		n.node.contention.refused(0, fmt.Appendf(nil, "name %04d", i*1013%maxContended), w.now)
	}
	c := n.node.conns.open(7)
	n.node.turnstile.spent = 0
	n.node.serve(c, topFrame(1, 1))
	if got := n.node.turnstile.spent; got < maxContended/4 {
		t.Errorf("a look at %d names: counted as %d units, want %d at least", maxContended, got,
			maxContended/4)
	}
	h, body, err := wire.Parse(topFrame(2, 1))
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(100, func() {
		c.out = c.out[:0]
		n.node.onTop(c, h, body)
	})
	if allocs > 1 {
		t.Errorf("the next who asks: got %.0f allocations, want at most one", allocs)
	}
	if all, one := n.node.top(wire.MaxPage), n.node.top(1); len(all) != wire.MaxPage ||
		len(one) != 1 || string(one[0].Name) != "name 0000" {
		t.Errorf("got %d names of %d and %d of one", len(all), wire.MaxPage, len(one))
	}
	// The picture is as old as others that are given of a node, at most.
	n.node.contention.refused(0, []byte("name 0007"), w.now)
	w.run(statusEvery)
	if got := n.node.top(1); len(got) != 1 || string(got[0].Name) != "name 0007" {
		t.Errorf("a while later: got %+v", got)
	}
}

// What was found while the node led a group is not told after that.
func TestTopForgetsWhatTheNodeDoesNotLead(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	n.node.contention.refused(0, []byte("busy"), w.now)
	n.inbox.Drain(DrainToStop, nil)
	asked := 0
	w.until("it leads group 0 no more", func() bool {
		if n.node.groups[0].leading {
			asked += len(n.node.top(10))
		}
		return !n.node.groups[0].leading
	})
	if got := n.node.top(10); len(got) != 0 || asked == 0 {
		t.Errorf("got %+v, want none of a group that it does not lead (%d before)", got, asked)
	}
}

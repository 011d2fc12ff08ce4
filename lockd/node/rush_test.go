package node

import (
	"testing"

	"lockd/lockd/placement"
)

// A group that takes many slots between two heartbeats, without a pause, is moved to a
// node that is added all the same: by what it has said the newcomer is never near the
// end, but it keeps up (Ongaro, §4.2.1).
func TestFM1NodeIsAddedInARush(t *testing.T) {
	o := testOptions()
	o.HeartbeatTicks, o.ElectionTicks = 10, 100
	w := newWorld(t, o)
	w.settle("all at home", w.atHome)
	users := make([]*user, o.Groups)
	taken := 0
	for g := range users {
		users[g] = w.lasting(ConnID(g+1), uint16(g), 60_000)
	}
	rush := func() {
		taken++
		for _, u := range users {
			if w.led(u.group) {
				u.acquire(w.nameIn(u.group, taken), 0)
			}
		}
		w.relink()
		w.run(Millisecond)
	}
	for range 2000 {
		rush()
	}
	n4 := w.addNode(4).node
	before := w.leaderOf(0).node.group(0).replica.Chosen()
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
	w.nodes[1].inbox.Change(add, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	for range 20_000 {
		rush()
		if n4.birth == nil && len(n4.hosted) == 3 && w.atHome() {
			break
		}
	}
	if got := w.leaderOf(0).node.group(0).replica.Chosen() - before; got < 4*maxTransferGap {
		t.Errorf("slots chosen meanwhile: got %d, want a rush", got)
	}
	if !w.atHome() {
		for g := range o.Groups {
			t.Logf("group %d: %+v", g, w.leaderOf(uint16(g)).node.group(uint16(g)).seats.Now)
		}
		t.Error("node 4 has not taken its place in 20 s")
	}
}

func (w *world) led(g uint16) bool {
	for _, n := range w.nodes {
		if n.node != nil && n.node.group(g) != nil && n.node.group(g).leading {
			return true
		}
	}
	return false
}

package node

import (
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// TestHandshakesAreJudged: what a peer shows of itself against what is known of it, and why
// it is refused, each reason by itself (I7). Zero stands for admitted.
func TestHandshakesAreJudged(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	born, good := n.admitted.Load(), w.nodes[3].node.PeerHello()
	good.From = 3
	awaited := func(x *placement.Node, h *wire.PeerHello) { x.Disk, h.Roster, h.Record = 0, 0, 0 }
	for _, c := range []struct {
		what   string
		want   wire.Refusal
		change func(id *Identity, x *placement.Node, h *wire.PeerHello)
	}{
		{"as it is", 0, func(*Identity, *placement.Node, *wire.PeerHello) {}},
		{"other settings", wire.RefusedCluster,
			func(_ *Identity, _ *placement.Node, h *wire.PeerHello) { h.Settings++ }},
		{"a node that was removed", wire.RefusedRemoved,
			func(_ *Identity, x *placement.Node, _ *wire.PeerHello) { x.State = placement.Gone }},
		{"another disk", wire.RefusedDisk,
			func(_ *Identity, _ *placement.Node, h *wire.PeerHello) { h.Disk++ }},
		{"another disk, and a newer record", 0,
			func(id *Identity, _ *placement.Node, h *wire.PeerHello) {
				h.Disk, h.Record = h.Disk+1, id.Version+2
			}},
		{"awaited, on a new disk", 0,
			func(_ *Identity, x *placement.Node, h *wire.PeerHello) { awaited(x, h) }},
		{"awaited, on the disk that was given up", wire.RefusedDisk,
			func(_ *Identity, x *placement.Node, h *wire.PeerHello) {
				x.Retired = []paxos.DiskID{x.Disk}
				awaited(x, h)
			}},
		{"awaited, with the birth of a cluster", wire.RefusedDisk,
			func(_ *Identity, x *placement.Node, h *wire.PeerHello) {
				roster := h.Roster
				awaited(x, h)
				h.Roster = roster
			}},
		{"of another birth", wire.RefusedDisk,
			func(_ *Identity, _ *placement.Node, h *wire.PeerHello) { h.Roster++ }},
		{"while the cluster is being born", 0,
			func(id *Identity, _ *placement.Node, h *wire.PeerHello) { id.Born, h.Record = false, 0 }},
		{"unborn, another disk than was recorded", wire.RefusedDisk,
			func(id *Identity, _ *placement.Node, h *wire.PeerHello) {
				id.Born, h.Record, h.Disk = false, 0, h.Disk+1
			}},
		{"unborn, another roster", wire.RefusedDisk,
			func(id *Identity, _ *placement.Node, h *wire.PeerHello) {
				id.Born, h.Record, h.Roster = false, 0, h.Roster+1
			}},
		{"unborn, nobody who is named", wire.RefusedNode,
			func(id *Identity, _ *placement.Node, h *wire.PeerHello) {
				id.Born, h.Record, h.From = false, 0, 9
			}},
	} {
		id, h := *born, good
		r := born.Record.Clone()
		id.Record = &r
		c.change(&id, r.Node(3), &h)
		n.admitted.Store(&id)
		var got wire.Refusal
		if refused := n.CheckPeer(&h); refused != nil {
			got = refused.Code
		}
		if got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

package node

import (
	"encoding/binary"
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// leftBehind returns a world in which node 3, which does not run, missed that node 4
// was added and node 2 removed. Nodes 1 and 4 run.
func leftBehind(t *testing.T) *world {
	t.Helper()
	o := testOptions()
	o.Groups = 1
	w := newWorld(t, o)
	w.user(1, 0).lock(w.nameIn(0, 1))
	w.settle("nothing moves", func() bool { return w.nodes[1].node.moving() == 0 })
	w.kill(3)
	w.run(2 * Second)
	w.addNode(4)
	add := placement.Change{Kind: placement.Add, Node: 4, Peer: "h:1", Client: "h:2"}
	if err := w.change(1, add); err != nil {
		t.Fatal(err)
	}
	w.settle("node 4 has its share", func() bool {
		return w.nodes[4].node.birth == nil && w.nodes[1].node.moving() == 0
	})
	if err := w.change(1, placement.Change{Kind: placement.Remove, Node: 2}); err != nil {
		t.Fatal(err)
	}
	w.nodes[2].wantStop = ErrRemoved
	w.settle("node 2 is let go", func() bool { return w.nodes[2].stopped != nil })
	w.nodes[2].node = nil
	w.settle("nothing moves", func() bool { return w.nodes[1].node.moving() == 0 })
	return w
}

// Nodes 3 and 4 are a majority of every group, with sound disks, and node 3 has never
// heard of node 4; whoever could tell it is gone. Node 4 tells it, and they serve
// (G8).
func TestFM1NodeHearsOfTheClusterFromAStranger(t *testing.T) {
	w := leftBehind(t)
	w.kill(1) // for good
	w.nodes[3].start()
	if w.nodes[3].node.listed(4) != nil {
		t.Fatal("node 3 knows node 4: the test shows nothing")
	}
	w.settle("every group is led", w.atHome)
	w.user(20, 0).lock(w.nameIn(0, 2))
	told := 0
	for _, e := range w.nodes[3].events {
		if e.Kind == EventTold && e.Node == 4 {
			told++
		}
	}
	if n := w.nodes[3].node; told != 1 || n.peer(4) == nil || !n.peer(4).up || len(n.strangers) != 0 {
		t.Errorf("node 3 was told %d times, node 4 is peer %v, strangers %v; want once, a linked "+
			"peer, none", told, n.peer(4), n.strangers)
	}
}

// strangerTells has a stranger that shows a disk and a version tell node 3 a record.
// It returns node 3, alone and with the record it began with.
func strangerTells(
	t *testing.T, hello wire.PeerHello, r *placement.Record, version uint64,
) *testNode {
	t.Helper()
	w := newWorld(t, testOptions())
	w.settle("all at home", w.atHome)
	w.kill(1)
	w.kill(2)
	n := w.nodes[3]
	h := n.node.PeerHello()
	h.From, h.To, h.Disk, h.Record, h.Roster = hello.From, 3, hello.Disk, hello.Record, 0
	if refused := n.node.CheckStranger(&h); refused != nil {
		t.Fatalf("got refusal %q, want a stranger that may speak", refused.Text)
	}
	n.inbox.PeerUp(h.From, &h)
	b := binary.LittleEndian.AppendUint64(nil, version)
	n.inbox.PeerFrame(h.From, uint8(wire.PeerKindRecord), r.Append(b))
	n.inbox.PeerFrame(h.From, uint8(wire.PeerKindRecord), r.Append(b))
	w.run(100 * Millisecond) // fails the test if the node stops
	return n
}

// toldRecord is a record that node 3 is to believe when node 4 tells it on disk 4444.
func toldRecord() placement.Record {
	r := placement.Record{Replicas: 3, Format: 1}
	for id := paxos.NodeID(1); id <= 4; id++ {
		r.Nodes = append(r.Nodes, placement.Node{ID: id, State: placement.Member,
			Disk: paxos.DiskID(id) * 1111, Peer: "h:1", Client: "h:2"})
	}
	for range 4 {
		r.Homes = append(r.Homes, []paxos.NodeID{3, 4, 1})
	}
	return r
}

// A stranger's record is believed if it proves that it is of this cluster and the
// stranger's own, and changes nothing else: the node goes on with what it knew (I7).
func TestFN6StrangersRecordProvesItself(t *testing.T) {
	for _, x := range []struct {
		name    string
		spoil   func(r *placement.Record)
		disk    uint64
		version uint64
		want    bool
	}{
		{"right", func(*placement.Record) {}, 4444, 1000, true},
		{"older than ours", func(*placement.Record) {}, 4444, 0, false},
		{"another disk of this node", func(r *placement.Record) { r.Node(3).Disk++ }, 4444, 1000, false},
		{"this node on no disk", func(r *placement.Record) { r.Node(3).Disk = 0 }, 4444, 1000, false},
		{"this node gone", func(r *placement.Record) { r.Node(3).State = placement.Gone }, 4444, 1000,
			false},
		{"without this node", func(r *placement.Record) {
			r.Nodes = slices.Delete(r.Nodes, 2, 3)
			for g := range r.Homes {
				r.Homes[g] = []paxos.NodeID{4, 1, 2}
			}
		}, 4444, 1000, false},
		{"another disk of the teller", func(*placement.Record) {}, 4445, 1000, false},
		{"the teller on no disk", func(r *placement.Record) { r.Node(4).Disk = 0 }, 4444, 1000, false},
		{"no disk shown", func(r *placement.Record) { r.Node(4).Disk = 0 }, 0, 1000, false},
		{"the teller gone", func(r *placement.Record) { r.Node(4).State = placement.Gone }, 4444, 1000,
			false},
		{"without the teller", func(r *placement.Record) {
			r.Nodes = r.Nodes[:3]
			for g := range r.Homes {
				r.Homes[g] = []paxos.NodeID{3, 1, 2}
			}
		}, 4444, 1000, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := toldRecord()
			x.spoil(&r)
			n := strangerTells(t, wire.PeerHello{From: 4, Disk: x.disk, Record: 1001}, &r, x.version)
			noted := 0
			for _, e := range n.events {
				if e.Kind == EventDisbelieved {
					noted++
				}
			}
			believed := n.node.identity.Version == 1000
			if p := n.node.peer(4); believed != x.want || (p != nil && p.up) != x.want {
				t.Errorf("believed: got %t, node 4 is peer %v; want %t", believed, p, x.want)
			}
			if doubts := n.node.stats.Disbelieved; !x.want && (doubts != 2 || noted != 1) {
				t.Errorf("got %d records not believed, noted %d times; want 2, noted once", doubts, noted)
			}
		})
	}
}

// Only its record is heard of a stranger, and of few strangers at a time.
func TestFN6StrangersAreBounded(t *testing.T) {
	w := newWorld(t, testOptions())
	w.settle("all at home", w.atHome)
	n := w.nodes[3]
	w.kill(1)
	w.kill(2)
	w.run(Millisecond)
	const last = 4 + maxTellers + 6
	for id := uint16(4); id < last; id++ {
		n.inbox.PeerUp(id, &wire.PeerHello{From: id, Disk: uint64(id) * 1111, Record: 1001})
		for kind := range wire.PeerKind(64) {
			if kind != wire.PeerKindRecord {
				n.inbox.PeerFrame(id, uint8(kind), make([]byte, 64))
			}
		}
	}
	before, bad := n.node.stats.MessagesIn, n.node.stats.BadFrames
	w.run(100 * Millisecond)
	if got := len(n.node.strangers); got != maxTellers {
		t.Errorf("strangers: got %d, want %d", got, maxTellers)
	}
	if s := n.node.stats; s.MessagesIn != before || s.BadFrames != bad {
		t.Errorf("got %d messages and %d bad frames, want none", s.MessagesIn-before, s.BadFrames-bad)
	}
	for id := uint16(4); id < last; id++ {
		n.inbox.PeerDown(id, DownReset)
	}
	w.run(100 * Millisecond)
	if got := len(n.node.strangers); got != 0 {
		t.Errorf("strangers after their links: got %d, want none", got)
	}
}

// A node of another cluster that answers where a new one is awaited is not bound: its
// hello shows that it is born, and a disk that the record names would prove to it that
// the record is its own.
func TestFN6BornNodeIsNotBound(t *testing.T) {
	w := newWorld(t, testOptions())
	w.user(1, 0).lock(w.nameIn(0, 1))
	n := w.leaderOf(0)
	add := placement.Change{Kind: placement.Add, Node: 9, Peer: "h:1", Client: "h:2"}
	if err := w.change(n.id, add); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ record, disk uint64 }{{7, 0}, {0, 999}} {
		n.inbox.PeerUp(9, &wire.PeerHello{From: 9, Disk: 999, Record: c.record})
		w.run(Second)
		if got := uint64(n.node.listed(9).Disk); got != c.disk {
			t.Errorf("disk of node 9, which shows record %d: got %d, want %d", c.record, got, c.disk)
		}
		n.inbox.PeerDown(9, DownReset)
		w.run(Millisecond)
	}
}

// Who may not speak: a stranger without news, a node that was let go, a peer, and
// anybody while this node waits to be taken in.
func TestFN6WhoIsNoStranger(t *testing.T) {
	w := leftBehind(t)
	one := w.nodes[1].node
	check := func(what string, n *Node, from uint16, record uint64, want wire.Refusal) {
		t.Helper()
		h := n.PeerHello()
		h.From, h.Disk, h.Record, h.Roster = from, uint64(from)*1111, record, 0
		if r := n.CheckStranger(&h); r == nil || r.Code != want {
			t.Errorf("%s: got %v, want %v", what, r, want)
		}
	}
	version := one.identity.Version
	check("no news", one, 9, version+1, wire.RefusedNode)
	check("gone", one, 2, version+2, wire.RefusedRemoved)
	check("a peer", one, 4, version+2, wire.RefusedNode)
	check("not born", w.addNode(5).node, 9, version+2, wire.RefusedNode)
	h := one.PeerHello()
	h.From, h.Disk, h.Record, h.Roster = 9, 9999, version+2, 0
	if r := one.CheckStranger(&h); r != nil {
		t.Errorf("a stranger with news: got refusal %q", r.Text)
	}
}

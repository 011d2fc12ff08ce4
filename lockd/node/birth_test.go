package node

import (
	"testing"

	"lockd/netio/wire"
	"lockd/paxos"
)

// A lost announcement must not keep a cluster from being born.
func TestLostAnnouncementIsRepeated(t *testing.T) {
	w := strangers(t, testOptions())
	w.drop = func(f testFrame) bool {
		kind, _, _ := wire.ParsePeer(f.frame)
		return (kind == wire.PeerKindRoster || kind == wire.PeerKindRecord) && f.to == 3
	}
	w.run(500 * Millisecond)
	if w.nodes[3].node.birth == nil {
		t.Fatal("born without having heard anybody")
	}
	if w.nodes[1].node.birth != nil {
		t.Fatal("node 1 heard everybody and is not born")
	}
	w.drop = nil
	w.run(3 * Second)
	if w.nodes[3].node.birth != nil {
		t.Error("the announcements that were lost never came again")
	}
}

func TestAnnouncementOfAnotherDiskIsForgotten(t *testing.T) {
	b := newBirth(paxos.Acceptor{Node: 1, Disk: 10}, []paxos.NodeID{1, 2}, nil)
	b.meet(2, 20)
	b.hear(2, 77)
	b.meet(2, 20)
	if b.announced[2] != 77 {
		t.Error("the announcement was forgotten with a new link of the same disk")
	}
	b.meet(2, 21)
	if b.announced[2] != 0 {
		t.Error("what the wiped disk announced still counts")
	}
}

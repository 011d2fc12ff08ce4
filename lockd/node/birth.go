package node

import (
	"encoding/binary"
	"fmt"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

// birth brings a new cluster to life. A quorum must never contain a node whose
// disk may have been swapped since it first spoke, so before any promise is
// made every node must know the disk of every other, and know that all know:
//
//  1. seen: each node remembers the disk that each peer shows at the handshake.
//  2. recorded: a node that has seen all of them stores the roster and only then
//     announces it.
//  3. born: a node to which all have announced the same roster stores that
//     fact and starts its groups.
//
// A directory wiped after step 2 anywhere is refused by every node that has
// recorded the old disk, and no group can have started before that. All nodes
// of a new cluster must therefore be up together once; afterwards any quorum
// will do.
//
// birth is pure; the node acts on what advance reports.
type birth struct {
	self  paxos.Acceptor
	nodes []paxos.NodeID
	seen  map[paxos.NodeID]paxos.DiskID
	// announced is what each node said it recorded.
	announced map[paxos.NodeID]uint64
	// recorded is what this node recorded, nil before.
	recorded *placement.Record
}

func newBirth(self paxos.Acceptor, nodes []paxos.NodeID, recorded *placement.Record) *birth {
	b := &birth{
		self:      self,
		nodes:     nodes,
		seen:      map[paxos.NodeID]paxos.DiskID{self.Node: self.Disk},
		announced: map[paxos.NodeID]uint64{},
		recorded:  recorded,
	}
	if recorded != nil {
		b.announced[self.Node] = birthHash(recorded)
	}
	return b
}

// meet remembers the disk a peer showed at the handshake. A peer that shows
// another disk before anything was recorded has simply been formatted again.
func (b *birth) meet(n paxos.NodeID, d paxos.DiskID) {
	if old, ok := b.seen[n]; ok && old != d {
		delete(b.announced, n) // the old disk said it
	}
	b.seen[n] = d
}

// hear remembers what a peer says it recorded.
func (b *birth) hear(n paxos.NodeID, hash uint64) { b.announced[n] = hash }

// complete returns the nodes with their disks once every one has been seen, in
// node order. Addresses stay with the configuration files, which may spell them
// differently.
func (b *birth) complete() []placement.Node {
	nodes := make([]placement.Node, 0, len(b.nodes))
	for _, n := range b.nodes {
		d, ok := b.seen[n]
		if !ok {
			return nil
		}
		nodes = append(nodes, placement.Node{ID: n, Disk: d, State: placement.Member})
	}
	return nodes
}

// unanimous reports whether every node announced the record this one has.
func (b *birth) unanimous() bool {
	if b.recorded == nil {
		return false
	}
	want := birthHash(b.recorded)
	for _, n := range b.nodes {
		if b.announced[n] != want {
			return false
		}
	}
	return true
}

// waiting names the nodes that have not been seen, for people.
func (b *birth) waiting() []paxos.NodeID {
	var missing []paxos.NodeID
	for _, n := range b.nodes {
		if _, ok := b.seen[n]; !ok {
			missing = append(missing, n)
		}
	}
	return missing
}

// advanceBirth records the roster when it is complete and starts the groups
// when all nodes have recorded the same one.
func (n *Node) advanceBirth() {
	b := n.birth
	if b == nil {
		return
	}
	if b.recorded == nil {
		nodes := b.complete()
		if nodes == nil {
			return
		}
		r := placement.Birth(nodes, n.opts.Groups, uint8(n.opts.Replicas), 1)
		n.identity.Birth = &r
		if !n.storeIdentity() {
			return
		}
		b.recorded = &r
		b.announced[b.self.Node] = birthHash(&r)
		n.announceRoster()
	}
	if !b.unanimous() {
		return
	}
	n.identity.Born, n.identity.Record = true, n.identity.Birth
	if !n.storeIdentity() {
		return
	}
	n.birth = nil
	n.announceRoster()
	n.startGroups()
	n.observe(Event{Kind: EventBorn})
}

// storeIdentity makes the identity durable. A node that cannot must stop: what
// it announces next would not be true after a crash.
func (n *Node) storeIdentity() bool {
	if err := n.deps.Superblock.Store(AppendIdentity(nil, &n.identity)); err != nil {
		n.fail(fmt.Errorf("node: storing the identity: %w", err))
		return false
	}
	n.publishIdentity()
	return true
}

// announceRoster tells every peer the fingerprint of the recorded roster.
func (n *Node) announceRoster() {
	for _, p := range n.peers {
		n.announceRosterTo(p)
	}
}

// announceRosterTo sends one peer the fingerprint of the recorded roster, zero
// if there is none, and whether this node drains or its disk stands still:
//
//	PeerRoster  roster hash u64 | flags u8, bit 0: leaving, bit 1: unborn,
//	            bit 2: draining
func (n *Node) announceRosterTo(p *peer) {
	body := binary.LittleEndian.AppendUint64(nil, birthHash(n.identity.Birth))
	flags := byte(0)
	if n.wantsNone() {
		flags |= noticeLeaving
	}
	if n.draining != NotDraining {
		flags |= noticeDraining
	}
	if n.birth != nil {
		flags |= noticeUnborn
	}
	n.sendFrame(p, wire.PeerKindRoster, append(body, flags))
}

// noticeLeaving says that the sender gives its leaderships away and wants none.
const noticeLeaving = 1

// noticeUnborn says that the sender waits for announcements.
const noticeUnborn = 2

// noticeDraining says why the sender is leaving: it was told to, and is well.
const noticeDraining = 4

// announceEvery is how often each notice is repeated, because a frame that finds an
// inbox full is dropped: a cluster that missed one would not be born, and a node of
// whose peers one missed the end of its draining would not lead again.
const announceEvery = Second

// onRoster hears what a peer recorded, and whether it wants no leaderships.
func (n *Node) onRoster(from *peer, payload []byte) {
	if len(payload) != 9 {
		n.stats.BadFrames++
		return
	}
	leaving := payload[8]&noticeLeaving != 0
	if from.leaving && !leaving {
		from.upSince = n.now // let it prove itself like one that came back
	}
	if from.leaving != leaving {
		from.leaving = leaving
		n.rankSuccessors()
	}
	if payload[8]&noticeDraining != 0 {
		from.draining = true
	} else {
		n.drainOver(from)
	}
	if n.birth == nil && payload[8]&noticeUnborn != 0 {
		n.announceRosterTo(from)
	}
	hash := binary.LittleEndian.Uint64(payload)
	if n.birth == nil || hash == 0 {
		return
	}
	n.birth.hear(from.id, hash)
	if n.birth.recorded != nil && hash != birthHash(n.birth.recorded) {
		n.observe(Event{Kind: EventRosterConflict, Node: from.id})
	}
	n.advanceBirth()
}

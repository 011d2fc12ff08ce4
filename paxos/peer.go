package paxos

import (
	"cmp"
	"slices"

	"lockd/paxos/quorum"
)

// next returns t one beat later; it stops at the largest Ticks.
func (t Ticks) next() Ticks {
	if t+1 == 0 {
		return t
	}
	return t + 1
}

// peer is what a replica knows of one other node. All of it belongs to the disk
// the peer last spoke from, and is forgotten when that changes (I7).
type peer struct {
	node NodeID
	disk DiskID
	// down is the caller's hint that its process died, cut that no conn to it stands.
	down, cut bool
	// heard is how long ago it said anything.
	heard Ticks
	// chosen is the chosen watermark it last named.
	chosen Slot
	// durable is the one it named when it accepted, which leaves after a sync.
	durable Slot
	// answered says that it has answered a heartbeat on the conn that stands, and
	// unsynced is the first slot that it has not said, as one who only learns, to
	// have synced with all before; zero if it does not say.
	answered bool
	unsynced Slot
	// barred says that it has no conns to a quorum itself, by its last answer to a
	// heartbeat.
	barred bool

	// welcome and unwelcome are its answer to the running pre-prepare round.
	welcome, unwelcome bool

	// promised says that its promise of the replica's ballot is complete for
	// all slots ≥ first; through is the last slot covered so far.
	promised       bool
	first, through Slot

	// beat is how long ago it answered a heartbeat of our ballot, and seq the
	// highest round it answered. Accepting does not count: a node whose disk
	// stalls sends no heartbeats and is to lose its leaderships (I30), while
	// its peers may still choose what it proposes.
	beat Ticks
	seq  uint64
	// refused says that it promised above our ballot, refusedFor for how long.
	refused    bool
	refusedFor Ticks

	// match is the last slot up to which it needs no Accept; sent the last one
	// up to which it was sent. Invariant: match ≤ sent.
	match, sent Slot
	// inflight are the bytes of the entries in (match, sent].
	inflight int
	// stalled is how long match < sent without match moving.
	stalled Ticks
}

func (p *peer) tick() {
	p.heard = p.heard.next()
	p.beat = p.beat.next()
	if p.refused {
		p.refusedFor = p.refusedFor.next()
	}
	if p.match < p.sent {
		p.stalled = p.stalled.next()
	}
}

// forgetPromise forgets what belongs to a ballot of ours.
func (p *peer) forgetPromise() {
	p.promised, p.first, p.through = false, 0, 0
	p.refused, p.refusedFor = false, 0
	p.seq = 0
}

// peer returns what is known of node, or nil if no configuration names it.
func (r *Replica) peer(node NodeID) *peer {
	for i := range r.peers {
		if r.peers[i].node == node {
			return &r.peers[i]
		}
	}
	return nil
}

func (r *Replica) addPeer(node NodeID) {
	if node == r.cfg.Self || r.peer(node) != nil {
		return
	}
	r.peers = append(r.peers, peer{node: node, heard: r.cfg.ElectionTicks, beat: ^Ticks(0)})
	slices.SortFunc(r.peers, func(a, b peer) int { return cmp.Compare(a.node, b.node) })
}

// heardPeer notes that m came.
func (r *Replica) heardPeer(p *peer, m *Message) {
	if p.disk != m.Disk {
		*p = peer{node: p.node, disk: m.Disk, beat: ^Ticks(0), heard: r.cfg.ElectionTicks}
	}
	if p.heard >= r.cfg.ElectionTicks || p.down {
		r.rewind(p)
	}
	p.heard, p.down, p.cut = 0, false, false
	p.chosen = max(p.chosen, m.Chosen)
}

// withSelf returns the acceptors of c for which has is true, and this replica
// if it is one.
func (r *Replica) withSelf(c *config, has func(*peer) bool) quorum.Set {
	s := r.others(c, has)
	if place := c.place(r.cfg.Self, r.cfg.Disk); place >= 0 {
		s = s.Add(place)
	}
	return s
}

// others returns the acceptors of c, but for this replica, for which has is
// true.
func (r *Replica) others(c *config, has func(*peer) bool) quorum.Set {
	var s quorum.Set
	for place, a := range c.Acceptors {
		if p := r.peer(a.Node); p != nil && p.disk == a.Disk && has(p) {
			s = s.Add(place)
		}
	}
	return s
}

// reaches reports whether conns stand to a quorum of the next slot's acceptors, as far
// as the caller has said. On which disks they are, those who only follow do not know.
func (r *Replica) reaches() bool {
	c := r.configOf(r.log.chosen + 1)
	var s quorum.Set
	for place, a := range c.Acceptors {
		if p := r.peer(a.Node); p == nil || !p.cut {
			s = s.Add(place)
		}
	}
	return c.quorums.Prepare(s) && c.quorums.Accept(s)
}

// rank is how many nodes take over before this one: those before it in the
// order of succession that are not down and did not lead last.
func (r *Replica) rank() int {
	rank := 0
	for _, n := range r.cfg.Successors {
		if n == r.cfg.Self {
			break
		}
		if p := r.peer(n); p != nil && !p.down && n != r.leader {
			rank++
		}
	}
	return rank
}

// rewind makes a leader send p again all it did not say it accepted. Chosen
// slots are left to Learn.
func (r *Replica) rewind(p *peer) {
	p.match = max(p.match, r.log.chosen)
	p.sent, p.inflight, p.stalled = p.match, 0, 0
}

package paxos

// Status is a copy of a replica's state, for people, metrics and scripts.
type Status struct {
	Group GroupID
	Self  NodeID
	Role  Role
	// Ballot is the ballot this replica asks for, prepares or leads; the last
	// such one while it is passive.
	Ballot Ballot
	// Leader is the node last heard leading, NoNode if none was heard for an
	// election timeout.
	Leader NodeID
	// LeaderBallot is the ballot Leader was heard in.
	LeaderBallot Ballot
	Promised     Ballot
	// Chosen is the last slot of the unbroken run of chosen slots; Applied the
	// last one handed out in Ready.Chosen; Last the highest slot with an
	// accepted entry; Lowest the lowest slot still held, which may be Last+1.
	Chosen, Applied, Last, Lowest Slot
	// Serving reports whether the leader takes new values at all, that is
	// whether everything it took over is chosen and it does not hand over.
	Serving bool
	// Transfer is the node that leadership is being handed to, or NoNode.
	Transfer NodeID
	// ReadsPending counts heartbeat rounds asked for and not yet confirmed.
	ReadsPending uint64
	// Peers are in rising order of Node.
	Peers []PeerStatus
}

// PeerStatus is what a replica knows of one peer.
type PeerStatus struct {
	Node NodeID
	// Down is set by PeerDown and cleared by PeerUp or any message.
	Down bool
	// Cut is set by PeerCut and PeerDown, and cleared in the same way.
	Cut bool
	// HeardTicks is how long ago a message came from it.
	HeardTicks Ticks
	// Chosen is the chosen watermark it last named.
	Chosen Slot
	// Accepted and Sent mean something on a leader only: all slots up to
	// Accepted need no further Accept to this peer, and all up to Sent had one.
	Accepted, Sent Slot
	// InflightBytes are the values sent and not yet accepted.
	InflightBytes int
}

// Status returns a copy of the replica's state.
func (r *Replica) Status() Status {
	s := Status{
		Group: r.cfg.Group, Self: r.cfg.Self, Role: r.role, Ballot: r.ballot,
		Leader: r.leader, LeaderBallot: r.leaderBallot, Promised: r.promised,
		Chosen: r.log.chosen, Applied: r.log.applied, Last: r.log.last,
		Lowest: r.log.released + 1, Serving: r.serving(), Transfer: r.transfer.to,
		ReadsPending: r.reads.pending(),
		Peers:        make([]PeerStatus, 0, len(r.peers)),
	}
	for i := range r.peers {
		p := &r.peers[i]
		s.Peers = append(s.Peers, PeerStatus{
			Node: p.node, Down: p.down, Cut: p.cut, HeardTicks: p.heard, Chosen: p.chosen,
			Accepted: p.match, Sent: p.sent, InflightBytes: p.inflight,
		})
	}
	return s
}

// Role returns what the replica is doing beside accepting and learning.
func (r *Replica) Role() Role { return r.role }

// Leader returns the node last heard leading, this one included, or NoNode.
func (r *Replica) Leader() NodeID { return r.leader }

// TookOver reports whether this replica leads, and everything that earlier leaders may
// have had chosen was handed out in Ready.Chosen.
func (r *Replica) TookOver() bool {
	return r.role == RoleLeading && r.ownChosen() && r.log.applied >= r.lead.opened
}

// Chosen returns the last slot of the unbroken run of chosen slots.
func (r *Replica) Chosen() Slot { return r.log.chosen }

// Ballot returns the ballot this replica asks for, prepares or leads; the last
// such one while it is passive.
func (r *Replica) Ballot() Ballot { return r.ballot }

// Promised returns the promised ballot.
func (r *Replica) Promised() Ballot { return r.promised }

// Recorded returns the highest promise that Ready has handed out a record of, or
// that the replica began with. One above it was told to nobody, and is void if the
// replica goes no further.
func (r *Replica) Recorded() Ballot { return r.recorded }

// PeerChosen returns the chosen watermark a peer last named, and false for a
// node that takes no part in the group, or was not heard in it for an election
// timeout.
func (r *Replica) PeerChosen(node NodeID) (Slot, bool) {
	p := r.peer(node)
	if p == nil || p.heard >= r.cfg.ElectionTicks {
		return 0, false
	}
	return p.chosen, true
}

// PeerBarred reports whether a peer could not lead the group, because it has no conns to
// a quorum: it said so when it last answered a heartbeat of this replica. One of an
// earlier version does not say it.
func (r *Replica) PeerBarred(node NodeID) bool {
	p := r.peer(node)
	return p != nil && p.barred
}

// PeerHolds is PeerChosen, but for slots that a peer which only learns has not
// said to be synced, and false until it has answered a heartbeat on its conn. One of an
// earlier version does not say what is synced.
func (r *Replica) PeerHolds(node NodeID) (Slot, bool) {
	chosen, ok := r.PeerChosen(node)
	p := r.peer(node)
	if !ok || !p.answered {
		return 0, false
	}
	if p.unsynced > 0 {
		chosen = min(chosen, p.unsynced-1)
	}
	return chosen, true
}

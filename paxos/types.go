package paxos

import (
	"strconv"
)

// NodeID names a node of the cluster for ever; ids are not given out twice.
type NodeID uint16

// NoNode is the zero NodeID: no node has it.
const NoNode NodeID = 0

// DiskID is the random identity of one formatted directory. A node that lost
// its disk comes back with another DiskID, and what the old one promised no
// longer counts for it (I7).
type DiskID uint64

// GroupID names one group, that is one log.
type GroupID uint16

// Slot is a position of a group's log. The first slot is 1; zero stands for
// "before the first" in every watermark.
type Slot uint64

// Ticks is a length in beats of a replica's clock, one beat per Tick.
type Ticks uint32

// Ballot is a (round, node) pair. Ballots are ordered by round and then by
// node, so that two nodes never share one. The zero Ballot is below all others
// and belongs to nobody.
type Ballot struct {
	Round uint64
	Node  NodeID
}

// Less reports whether b is ordered before c.
func (b Ballot) Less(c Ballot) bool {
	if b.Round != c.Round {
		return b.Round < c.Round
	}
	return b.Node < c.Node
}

// IsZero reports whether b is the zero Ballot.
func (b Ballot) IsZero() bool { return b == Ballot{} }

// String writes b as round.node, for example 7.2.
func (b Ballot) String() string {
	return strconv.FormatUint(b.Round, 10) + "." + strconv.FormatUint(uint64(b.Node), 10)
}

// Entry is a value in a slot at the ballot it was proposed in. An empty Value
// is a no-op.
type Entry struct {
	Slot   Slot
	Ballot Ballot
	Value  []byte
}

// Role says what a replica is doing beside accepting and learning, which it
// always does.
type Role uint8

const (
	// RolePassive accepts and learns, and waits for its turn to lead.
	RolePassive Role = iota
	// RoleAsking has a pre-prepare round running: nothing is promised yet.
	RoleAsking
	// RolePreparing has phase 1 of its ballot running.
	RolePreparing
	// RoleLeading holds the promises of a prepare quorum for its ballot.
	RoleLeading
)

// String returns the word used in logs and scripts.
func (r Role) String() string {
	switch r {
	case RolePassive:
		return "passive"
	case RoleAsking:
		return "asking"
	case RolePreparing:
		return "preparing"
	case RoleLeading:
		return "leading"
	default:
		return "role(" + strconv.Itoa(int(r)) + ")"
	}
}

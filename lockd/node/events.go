package node

import "lockd/paxos"

// EventKind says what happened. Logs, metrics and scripts read events; none is
// written per request.
type EventKind uint8

// The kinds. Which fields of the Event are set stands beside each.
const (
	EventBorn              EventKind = iota // all nodes recorded the roster
	EventPeerUp                             // Node
	EventPeerDown                           // Node, Cause
	EventRefusedUs                          // Node, Text: a peer does not admit us
	EventRosterConflict                     // Node: recorded another roster
	EventLeader                             // Group, Node: the group's leader as known here
	EventLeading                            // Group: this node serves the group
	EventDeposed                            // Group: this node serves it no more
	EventTransfer                           // Group: leadership is being moved, to Node if it is said
	EventCheckpoint                         // Group, Slot
	EventCheckpointFailed                   // Group, Slot, Text
	EventSnapshotSent                       // Group, Node, Slot
	EventSnapshotResumed                    // Group, Node, Slot: the peer has a part of it
	EventSnapshotInstalled                  // Group, Node, Slot
	EventSnapshotFailed                     // Group, Node, Text
	EventDrained                            // every leadership has been given away
	EventDiskStalled                        // the running sync exceeds half an election timeout
	EventDiskMoves                          // it does no more
	EventMalformed                          // Group, Slot, Text: a chosen batch does not decode
	EventFailed                             // Text: the node stops
	EventRecord                             // Slot: the cluster's record changed
	EventSeats                              // Group, Slot, Text: acceptors from a slot on
	EventOpened                             // Group: this node begins to keep it
	EventRetired                            // Group: this node keeps it no more
	EventChangeFailed                       // Node, Text
	EventForced                             // Group, Slot, Forced: a hold was ended by force
	EventTold                               // Node, Slot: a stranger told us a newer record
	EventDisbelieved                        // Node, Text: a stranger's record proved nothing
)

// String returns the name under which logs show the kind.
func (k EventKind) String() string {
	names := [...]string{"born", "peer up", "peer down", "refused by peer", "roster conflict",
		"leader changed", "leading", "deposed", "transferring leadership", "checkpoint saved",
		"checkpoint failed", "snapshot sent", "snapshot resumed", "snapshot installed",
		"snapshot failed", "drained", "disk stalled",
		"disk moves again", "malformed batch", "node failed", "cluster record changed",
		"acceptors changed", "group taken in", "group has left", "change of the cluster failed",
		"lock released by force", "cluster record told by a stranger",
		"record of a stranger not believed"}
	if int(k) >= len(names) {
		return "unknown event"
	}
	return names[k]
}

// Event is one thing worth a line in a log.
type Event struct {
	Kind  EventKind
	Group paxos.GroupID
	Node  paxos.NodeID
	Slot  paxos.Slot
	Cause DownCause
	Text  string
	// Forced is of an EventForced, nil of all others. It is the observer's.
	Forced *Forced
}

// Forced is a hold that was ended by force.
type Forced struct {
	Name   string
	Token  uint64
	Mode   string
	Held   Nanos  // how long it was held, in log time
	Holder uint64 // session, or owner id, or of one that was kept a number of no meaning
	Client string // the name that the holder's client gave
	Who    string // the name that the client which asked for it gave
	Reason string
}

func (n *Node) observe(e Event) {
	if n.deps.Observe != nil {
		n.deps.Observe(e)
	}
}

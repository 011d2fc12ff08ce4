package paxos

import "strconv"

// Kind says what a Message means. The numbers stand on the wire: append only.
type Kind uint8

const (
	// KindPrePrepare asks whether Prepare would be welcome. Changes no state.
	KindPrePrepare Kind = iota + 1
	// KindPreAnswer answers PrePrepare; FlagRefused says no.
	KindPreAnswer
	// KindPrepare opens or continues phase 1 at Ballot for slots ≥ Slot.
	KindPrepare
	// KindPromise answers Prepare with what was accepted in [Slot, Last].
	KindPromise
	// KindAccept proposes Entries at Ballot.
	KindAccept
	// KindAccepted says that all of [Slot, Last] is accepted at Ballot.
	KindAccepted
	// KindHeartbeat says that the leader of Ballot lives.
	KindHeartbeat
	// KindHeartbeatAck answers Heartbeat: nothing above Ballot is promised here.
	KindHeartbeatAck
	// KindLearn asks for the chosen entries from Slot on.
	KindLearn
	// KindLearned answers Learn with chosen entries.
	KindLearned
	// KindRefuse answers Prepare, Accept or Heartbeat below Promised.
	KindRefuse
	// KindTakeOver hands the leadership of Ballot to its receiver.
	KindTakeOver

	kindEnd
)

// String returns the word used in doc.go's table.
func (k Kind) String() string {
	switch k {
	case KindPrePrepare:
		return "PrePrepare"
	case KindPreAnswer:
		return "PreAnswer"
	case KindPrepare:
		return "Prepare"
	case KindPromise:
		return "Promise"
	case KindAccept:
		return "Accept"
	case KindAccepted:
		return "Accepted"
	case KindHeartbeat:
		return "Heartbeat"
	case KindHeartbeatAck:
		return "HeartbeatAck"
	case KindLearn:
		return "Learn"
	case KindLearned:
		return "Learned"
	case KindRefuse:
		return "Refuse"
	case KindTakeOver:
		return "TakeOver"
	default:
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
}

// Flags qualify a Message.
type Flags uint8

const (
	// FlagRefused marks a PreAnswer that says no, and a HeartbeatAck of one that could
	// not lead in the leader's place, because it has no conns to a quorum.
	FlagRefused Flags = 1 << iota
	// FlagMore marks a Promise that is continued above Last: the proposer asks
	// for the rest with another Prepare of the same ballot.
	FlagMore
	// FlagReleased marks a Learned whose sender no longer has the slots that
	// were asked for; Slot is the lowest it still has, and a snapshot follows.
	FlagReleased

	flagsEnd
)

// Has reports whether all of g is set in f.
func (f Flags) Has(g Flags) bool { return f&g == g }

// Message is what one replica says to another of its group. Which fields a kind
// carries stands in the table of the package comment; the others are zero.
//
// A Message handed out in Ready, its Entries and their values are borrowed, and
// so is one handed to Step: Step copies what it keeps.
type Message struct {
	Kind  Kind
	Flags Flags
	Group GroupID
	From  NodeID
	To    NodeID
	// Disk is the disk id the sender proved in its link's handshake. It is not
	// on the wire: the receiver sets it before Step. Promises and accepts count
	// by (From, Disk) only (I5).
	Disk DiskID
	// Ballot is the ballot the message belongs to.
	Ballot Ballot
	// Promised is the sender's promised ballot.
	Promised Ballot
	// Slot and Last are the ends, both included, of a range of slots.
	Slot Slot
	Last Slot
	// Chosen is the sender's chosen watermark.
	Chosen Slot
	// Seq numbers heartbeat rounds; read confirmation rests on it.
	Seq uint64
	// Entries are in rising slot order.
	Entries []Entry
}

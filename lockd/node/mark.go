package node

import (
	"encoding/binary"
	"fmt"

	"lockd/paxos"
	"lockd/wal"
)

// savedMark, added to a group's id, makes the group under which the WAL keeps
// that group's mark. Group ids are below it; it is no larger than that because
// the WAL keeps a table by group.
const savedMark = 1 << 10

// mark is what the WAL says of a group as a whole; the newest one counts. Its
// record names the slot of the newest checkpoint, and its data are
//
//	nothing                           kept, and never left
//	kind u8 | forgotten u64           left, or kept again
type mark struct {
	kind      markKind
	saved     paxos.Slot
	forgotten paxos.Slot // as in departure
}

// markKind says whether the node keeps the group. The numbers stand in the WAL:
// append only.
type markKind uint8

const (
	markLeft markKind = 1
	markKept markKind = 2
)

const markBytes = 9

// mark writes a mark of a group.
func (n *Node) mark(id paxos.GroupID, m mark) {
	var data []byte
	if m.kind != markKept || m.forgotten > 0 {
		data = append(make([]byte, 0, markBytes), byte(m.kind))
		data = binary.LittleEndian.AppendUint64(data, uint64(m.forgotten))
	}
	n.lastLSN = n.deps.Log.Append(wal.Record{
		Group: savedMark | uint16(id), Kind: wal.KindState, Slot: uint64(m.saved), Data: data,
	})
	n.flushWAL = true
}

// decodeMark reads a mark. The error is paxos.ErrMalformed or paxos.ErrTooNew.
func decodeMark(r *wal.Record) (mark, error) {
	m := mark{kind: markKept, saved: paxos.Slot(r.Slot)}
	if len(r.Data) == 0 {
		return m, nil
	}
	switch m.kind = markKind(r.Data[0]); {
	case m.kind != markLeft && m.kind != markKept:
		return m, fmt.Errorf("%w: mark of kind %d, want at most %d", paxos.ErrTooNew, m.kind, markKept)
	case len(r.Data) != markBytes:
		return m, fmt.Errorf("%w: mark of %d bytes, want %d", paxos.ErrMalformed, len(r.Data), markBytes)
	}
	m.forgotten = paxos.Slot(binary.LittleEndian.Uint64(r.Data[1:]))
	return m, nil
}

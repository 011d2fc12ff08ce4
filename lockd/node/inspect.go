package node

import (
	"fmt"
	"maps"
	"slices"

	"lockd/paxos"
	"lockd/wal"
)

// PaxosRecord is the replica's record inside a record of the WAL, for tools
// that show a log. It borrows the data.
func PaxosRecord(r *wal.Record) paxos.Record { return recordOf(r) }

// IsMark reports whether a record of the WAL is not a replica's but the mark of a
// group, and of which.
func IsMark(r *wal.Record) (group uint16, ok bool) {
	return r.Group &^ savedMark, r.Group&savedMark != 0
}

// MarkText describes such a record to people.
func MarkText(r *wal.Record) (string, error) {
	m, err := decodeMark(r)
	switch {
	case err != nil:
		return "", err
	case m.kind == markLeft:
		return fmt.Sprintf("has left, accepts from slot %d on if it comes back", m.forgotten), nil
	case m.forgotten > 0:
		return fmt.Sprintf("checkpoint of slot %d, accepts from slot %d on", m.saved,
			m.forgotten), nil
	}
	return fmt.Sprintf("checkpoint of slot %d", m.saved), nil
}

// IsMemory reports whether a record of the WAL is not a replica's but says what
// the node remembers of its peers' disks.
func IsMemory(r *wal.Record) bool { return r.Group == memoryMark }

// MemoryText describes such a record to people.
func MemoryText(r *wal.Record) (string, error) {
	of, err := decodeMemories(r.Data)
	if err != nil {
		return "", err
	}
	if len(of) == 0 {
		return "remembers nobody", nil
	}
	text := "remembers"
	for _, id := range slices.Sorted(maps.Keys(of)) {
		m := of[id]
		text += fmt.Sprintf(" node %d on disk %016x synced to %d in start %d;", id, uint64(m.disk),
			m.position, m.starts)
	}
	return text[:len(text)-1], nil
}

// Stats returns what the node has counted so far. Requires: called between two
// Turns, on their goroutine.
func (n *Node) Stats() Stats { return n.stats }

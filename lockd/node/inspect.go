package node

import (
	"lockd/paxos"
	"lockd/wal"
)

// PaxosRecord is the replica's record inside a record of the WAL, for tools
// that show a log. It borrows the data.
func PaxosRecord(r *wal.Record) paxos.Record { return recordOf(r) }

// SavedMark reports whether a record of the WAL is not a replica's but names the
// slot up to which the WAL relied on a group's checkpoint, and which group's.
func SavedMark(r *wal.Record) (group uint16, ok bool) {
	return r.Group &^ savedMark, r.Group&savedMark != 0
}

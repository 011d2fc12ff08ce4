package node

import (
	"lockd/paxos"
	"lockd/wal"
)

// PaxosRecord is the replica's record inside a record of the WAL, for tools
// that show a log. It borrows the data.
func PaxosRecord(r *wal.Record) paxos.Record { return recordOf(r) }

// Package wal keeps the write-ahead log of one node: what its replicas must
// not forget, for all groups in one sequence of records, made durable by one
// vectored write and one sync for everything that waits.
//
// A record is a Kind, a group, a slot and bytes the log does not look into.
// The kind says how long the record is live:
//
//	KindState  until a newer KindState record of its group
//	KindEntry  until a newer record of its (group, slot), or its slot is released
//	KindHint   until a newer KindHint record of its group, or its slot is released
//
// Records are numbered by LSN, without gaps, in the order they were appended.
// They lie in segments of fixed size. When there are more segments than wanted,
// the live records of the oldest one are appended again (a copy keeps kind,
// group, slot and data, and gets an LSN of its own), and once the copies are
// durable the segment becomes a spare. A replay may therefore meet an entry
// after a hint that was appended later than it; hints are to be judged when
// the replay is over.
//
// What Open gives back is
//
//	I8   every synced record, perhaps some unsynced ones, none invented, none
//	     out of order (copies aside, which repeat the newest of their key);
//	I9   or ErrCorrupt, if a record that was synced does not read back;
//	I10  among them the newest live record of each key, whatever was removed;
//	I11  and after a failed write or sync nothing is called durable any more.
//
// FORMAT.md beside this file has the beliefs about disks, the byte tables and
// each operation with its recovery.
//
// Writer is steppable: it does I/O only when called, a bounded amount per call,
// and belongs to one goroutine. Syncer is the loop around a Writer, for a
// caller that goes on appending while a sync runs. Inspect reads without
// changing. Nothing in here reads a clock; a caller that wants syncs timed
// hands one in.
package wal

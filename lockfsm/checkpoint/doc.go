// Package checkpoint keeps the machines of all groups of a node at rest, in one
// Pebble store, and turns them into snapshots for peers and back. It is the
// only door to Pebble and to compression.
//
// A checkpoint of a group is a set of records (see lockfsm) and the slot after
// whose batch they are the machine's state. Save changes it incrementally: the
// records touched since the last one, in one synced batch together with the
// group's marker, so that a crash leaves the old or the new one, whole (I12).
// A snapshot is written beside the old content under a generation of its own,
// with a note how far it has come, and one synced marker switches over; what has
// arrived of one outlives a restart, so that it goes on where it was.
//
//	key                                      value
//	00                                       format u8 = 1
//	01 | group u16                           format u8 = 1 | slot u64 | generation u64 |
//	                                         records u64 | hash u64
//	02 | group u16 | generation u64 | key    value, as lockfsm wrote it
//	03 | group u16                           format u8 = 1 | slot u64 | records u64 |
//	                                         hash u64, of the snapshot that arrives |
//	                                         generation u64 | chunks u32 | records u64 |
//	                                         hash u64 | last key, of what has arrived
//
// Numbers in keys are big-endian, in values little-endian. The hash is the sum
// of lockfsm.RecordHash over all records, which is Machine.Digest; Load and
// Commit compare it and the count, so damage that slips through Pebble's own
// checksums, and records lost or left over, are found.
//
// # What is not found here
//
// Damage to Pebble's own log can look like a torn write; Pebble then drops what
// follows it, and the store opens at an older checkpoint, whole, or without the
// group. That is harmless while the caller's log reaches back to it. The caller
// must therefore compare the slot with the first slot its log still has, and
// refuse to start over a gap.
//
// # Failure
//
// What Pebble cannot go on after, such as a failed sync of its log, it reports
// through Logger.Fatalf, which calls Options.Fatal and never returns. A flush or
// compaction that failed is tried again, for ever if all that is missing is space,
// else ten times in a row; these and the rest come through Options.Report. After
// damage was reported the store refuses everything with ErrDamaged.
//
// A Store may be used from several goroutines, but each group by one at a time.
package checkpoint

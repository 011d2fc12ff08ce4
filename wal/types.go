package wal

import (
	"errors"
	"fmt"

	"lockd/wal/disk"
)

// LSN is the position of a record in the log of one node. The first record has
// LSN 1; there are no gaps. Zero means "before the first record".
type LSN uint64

// Kind says how long a record is live. The numbers are part of the format.
type Kind uint8

const (
	// KindState is a whole state of its group (its promise, say); only the
	// newest of the group is live.
	KindState Kind = 1
	// KindEntry belongs to a slot; the newest of each slot is live until the
	// slot is released.
	KindEntry Kind = 2
	// KindHint says something of its group up to its slot; the newest of the
	// group is live until that slot is released.
	KindHint Kind = 3
)

// String names the kind as lockd dump prints it.
func (k Kind) String() string {
	switch k {
	case KindState:
		return "state"
	case KindEntry:
		return "entry"
	case KindHint:
		return "hint"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// Record is one thing to remember.
type Record struct {
	// Group is the group the record belongs to.
	Group uint16
	// Kind says how long the record is live.
	Kind Kind
	// Slot is the slot of a KindEntry; the log only keeps it for other kinds.
	Slot uint64
	// Data is opaque. At most MaxDataBytes.
	Data []byte
}

// Options of a Writer. The zero value of each field but Stamp means its
// default. Limits relate as
//
//	MaxBatchBytes + 3·4096 ≤ SegmentBytes
//	TargetSegments < MaxSegments
//	disk used ≤ (MaxSegments + Spares) · SegmentBytes
//
// but for records that are longer than MaxRecordBytes: each has a batch of its own
// and, if no segment of this size has room for that, a segment of its own.
type Options struct {
	// Stamp ties every byte of the log to one disk: the node's random disk id.
	// A log with another stamp is refused with ErrStamp. Zero is allowed.
	Stamp uint64

	// SegmentBytes is the size of a segment file, a multiple of 4096. Default
	// 64 MiB. Larger ones are changed less often and hold more dead records.
	SegmentBytes int64
	// MaxBatchBytes bounds what one write carries, records and headers.
	// Default 4 MiB, or less if the segment is small.
	MaxBatchBytes int
	// TargetSegments is how many segments the log uses before it copies live
	// records forward to free the oldest. Default 4.
	TargetSegments int
	// MaxSegments bounds the segments in use. The last one is a reserve that
	// Room does not count. At the bound Flush fails with ErrFull, unless what it
	// writes makes the oldest one free: then there are up to Spares more until it
	// is synced. Default 16.
	MaxSegments int
	// Spares is how many ready segments are kept beyond those in use. Default 2.
	Spares int

	// Clock gives nanoseconds that only rise; it stamps the start and the
	// length of each sync for Stats and SyncStarted. May be nil.
	Clock func() int64
}

// MaxBatchBytes is the default of Options.MaxBatchBytes.
const MaxBatchBytes = 4 << 20

const (
	defaultSegmentBytes   = 64 << 20
	defaultTargetSegments = 4
	defaultMaxSegments    = 16
	defaultSpares         = 2
)

// minSegmentBytes leaves room for the header, a batch of one chunk and the two
// chunks kept for seals.
const minSegmentBytes = 4 * disk.AlignBytes

// maxSegmentBytes keeps byte counts within a batch in 32 bits.
const maxSegmentBytes = 1 << 31

// withDefaults returns o with defaults filled in, or says what is wrong.
func (o Options) withDefaults() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes ||
		o.SegmentBytes%disk.AlignBytes != 0 {
		return o, fmt.Errorf("wal: SegmentBytes is %d, must be a multiple of %d from %d to %d",
			o.SegmentBytes, disk.AlignBytes, minSegmentBytes, maxSegmentBytes)
	}
	largest := int(o.SegmentBytes) - chunkBytes - reservedBytes
	if o.MaxBatchBytes == 0 {
		o.MaxBatchBytes = min(MaxBatchBytes, largest)
	}
	if o.MaxBatchBytes < disk.AlignBytes || o.MaxBatchBytes > largest {
		return o, fmt.Errorf("wal: MaxBatchBytes is %d, must be from %d to %d (a segment less %d)",
			o.MaxBatchBytes, disk.AlignBytes, largest, chunkBytes+reservedBytes)
	}
	if o.TargetSegments == 0 {
		o.TargetSegments = defaultTargetSegments
	}
	if o.MaxSegments == 0 {
		o.MaxSegments = max(defaultMaxSegments, o.TargetSegments+2)
	}
	if o.TargetSegments < 2 || o.TargetSegments >= o.MaxSegments {
		return o, fmt.Errorf("wal: TargetSegments is %d, must be from 2 to MaxSegments−1 (%d)",
			o.TargetSegments, o.MaxSegments-1)
	}
	if o.Spares == 0 {
		o.Spares = defaultSpares
	}
	if o.Spares < 1 {
		return o, fmt.Errorf("wal: Spares is %d, must be at least 1", o.Spares)
	}
	return o, nil
}

// MaxDataBytes is the longest Record.Data that a Writer takes, whatever its options.
const MaxDataBytes = 1 << 30

// MaxRecordBytes is the longest Record.Data that shares its batch and segment with
// others, zero if the options are not valid. A longer one costs a file that is made,
// written and removed for it alone, which the flush has to wait for.
func (o Options) MaxRecordBytes() int {
	o, err := o.withDefaults()
	if err != nil {
		return 0
	}
	return o.maxRecordBytes()
}

func (o *Options) maxRecordBytes() int {
	whole := o.MaxBatchBytes &^ (disk.AlignBytes - 1)
	return whole - batchHeaderBytes - recordHeaderBytes
}

// Stats is a picture of a Writer. Counters run from Open.
type Stats struct {
	// Segments in use, the current one included, and Spares ready beside them.
	Segments, Spares int
	// Oldest and Current are the numbers of the first and last segment in use.
	Oldest, Current uint64
	// Durable is the last synced LSN.
	Durable LSN
	// Pending is the number of records appended but not yet durable.
	Pending int
	// LiveRecords and LiveBytes are what a removal would have to copy.
	LiveRecords, LiveBytes int64
	// RoomBytes is what Room says. Near zero means: admit nothing new.
	RoomBytes int64
	// Records, Batches, Syncs, WrittenBytes and CopiedRecords count work done.
	// WrittenBytes includes headers and padding.
	Records, Batches, Syncs, WrittenBytes, CopiedRecords uint64
	// Recycled counts segments that became spares or were removed.
	Recycled uint64
	// LastSyncNanos is how long the last write and sync took together, zero
	// without a clock.
	LastSyncNanos int64
}

// Errors of Open, Flush and Inspect that a caller can react to.
var (
	// ErrCorrupt means that a record which was once synced does not read back
	// as it was written. The caller must not repair, truncate or skip: the
	// acceptor may have promised or accepted something in the lost bytes, and
	// a node that forgets a promise can make a quorum choose two values. The
	// node stops and is replaced under a new disk id. A torn end is not an
	// error; Open drops it, because nothing in it was ever answered for.
	ErrCorrupt = errors.New("wal: synced record damaged")

	// ErrVersion means that the log was written by a newer lockd. Nothing is
	// damaged; start the newer binary.
	ErrVersion = errors.New("wal: log format is newer than this binary")

	// ErrStamp means that the log belongs to another disk id: a directory was
	// copied or swapped.
	ErrStamp = errors.New("wal: log belongs to another disk")

	// ErrLocked means that another process has the directory open.
	ErrLocked = disk.ErrLocked

	// ErrFull means that MaxSegments are in use and what is appended does not
	// fit. It is final like a failed write. After a restart, releasing slots
	// that a checkpoint covers makes room.
	ErrFull = errors.New("wal: all segments are in use")

	// ErrClosed means use after Close.
	ErrClosed = errors.New("wal: already closed")
)

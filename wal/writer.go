package wal

import (
	"fmt"
	"sync/atomic"

	"lockd/wal/disk"
)

// Writer appends to the log. It is steppable and belongs to one goroutine,
// except SyncStarted, which any may call.
//
// Its fields fall into two halves, so that a Syncer can let one goroutine
// append while another flushes. The steps of a flush alternate between them:
//
//	gather   back   read old records that may have to be copied forward
//	forward  front  append those that are still live
//	cut      front  choose a batch, plan its place
//	perform  back   rotate if planned, write, sync
//	finish   front  move durable, choose what to recycle
//	recycle  back   rename dead segments
type Writer struct {
	opts Options

	front struct {
		live liveness
		// next is the LSN of the next record; durable the last synced one.
		next, durable LSN
		// filling takes records; full waits in order; idle is for reuse.
		filling *batch
		full    []*batch
		idle    []*batch
		// oldest and current are the first and last segment in use. offset is
		// where the next batch goes in current, which is currentSize long.
		oldest, current     uint64
		offset, currentSize int64
		// spares are names of files ready to become segments.
		spares []string
		// fresh numbers the spares that were made rather than recycled.
		fresh uint64
		// sealed says that nothing was written since the last seal.
		sealed bool
		// failed is the first failure; ErrClosed after Close.
		failed error
		stats  Stats
	}

	back struct {
		dir  disk.Dir
		sums *sums
		// files are the open segments, oldest first.
		files []segmentFile
		// vector is the argument of WriteAt, kept to be reused.
		vector [1][]byte
		// victim is the segment being emptied, zero if there is none.
		victim uint64
		copier copier
	}

	// syncStarted is the clock's reading since when the disk is waited for, zero
	// if it is not. The flushing goroutine writes it.
	syncStarted atomic.Int64
}

// segmentFile is an open segment.
type segmentFile struct {
	number uint64
	size   int64
	// first is the LSN of its first record.
	first LSN
	file  disk.File
}

// batch is records on their way to the disk.
type batch struct {
	// buf begins with room for the header and is aligned.
	buf   []byte
	first LSN
	count int
}

// job is one batch with its planned place, handed from cut to perform.
type job struct {
	batch *batch
	// segment and offset are the place.
	segment uint64
	offset  int64
	// rotation says where the segment comes from if it has to be made first,
	// and spare is the name of the file it is made of.
	rotation rotation
	spare    string
	// size is that of the segment, if it has to be made.
	size int64
	// durable and oldest go into the header.
	durable LSN
	oldest  uint64
	// keep is how many segments may become spares when the job is done.
	keep int
	// nanos is how long perform took; zero without a clock.
	nanos int64
}

// rotation is what has to be done before a batch can be written.
type rotation uint8

const (
	rotateNot   rotation = iota // the segment is there
	rotateSpare                 // a spare becomes the segment
	rotateFresh                 // a file has to be made first
)

// Append adds a record to what the next Flush writes and returns its LSN. It
// copies Data and does no I/O. After a failure it still counts, but nothing it
// is given becomes durable.
//
// Requires: len(r.Data) ≤ MaxDataBytes and a Kind of this package.
func (w *Writer) Append(r Record) LSN {
	if r.Kind < KindState || r.Kind > KindHint {
		panic(fmt.Sprintf("wal: unknown record kind: have %d, want 1 to 3", r.Kind))
	}
	if len(r.Data) > MaxDataBytes {
		panic(fmt.Sprintf("wal: record too long: have %d bytes, limit %d", len(r.Data), MaxDataBytes))
	}
	return w.add(&r, 0)
}

// add appends r to the filling batch.
func (w *Writer) add(r *Record, flags uint8) LSN {
	f := &w.front
	need := recordBytes(len(r.Data))
	if f.filling.count > 0 && len(f.filling.buf)+need > w.opts.MaxBatchBytes&^(chunkBytes-1) {
		f.full = append(f.full, f.filling)
		w.newBatch()
	}
	b := f.filling
	b.reserve(need)
	b.buf = appendRecord(b.buf, r, flags)
	b.count++
	lsn := f.next
	f.next++
	f.live.appended(r, lsn)
	return lsn
}

// newBatch makes an empty batch the filling one.
func (w *Writer) newBatch() {
	f := &w.front
	f.filling = w.takeIdle()
	f.filling.first = f.next
	f.live.stretches = append(f.live.stretches, stretch{first: f.next})
}

// takeIdle returns an empty batch, an old one if there is any.
func (w *Writer) takeIdle() *batch {
	f := &w.front
	n := len(f.idle)
	if n == 0 {
		return &batch{buf: disk.AlignedBuffer(chunkBytes)[:batchHeaderBytes]}
	}
	b := f.idle[n-1]
	f.idle = f.idle[:n-1]
	b.buf, b.count = b.buf[:batchHeaderBytes], 0
	return b
}

// reserve makes room for n more bytes.
func (b *batch) reserve(n int) {
	if len(b.buf)+n <= cap(b.buf) {
		return
	}
	grown := disk.AlignedBuffer(max(2*cap(b.buf), len(b.buf)+n))
	b.buf = grown[:copy(grown, b.buf)]
}

// Release says that the entries of group up to slot need not survive: a
// checkpoint that covers them is durable. It does no I/O. Releases are not
// recorded; after Open the caller repeats what its checkpoint says.
func (w *Writer) Release(group uint16, slot uint64) {
	w.front.live.release(group, slot)
}

// Reopen takes back every Release of group, for a log that begins anew.
func (w *Writer) Reopen(group uint16) { w.front.live.reopen(group) }

// Flush writes what was appended, makes it durable, and returns the last
// durable LSN. What fits in one batch takes one write and one sync. It also
// copies a bounded number of old records forward when there are too many
// segments. Any error is final: it is returned by every later call.
func (w *Writer) Flush() (LSN, error) {
	if w.front.failed != nil {
		return w.front.durable, w.front.failed
	}
	for again := true; again; again = w.behind() {
		found, err := w.gather()
		if err != nil {
			return w.fail(err)
		}
		w.forward(found)
		if err := w.writeAll(); err != nil {
			return w.fail(err)
		}
	}
	return w.front.durable, nil
}

// writeAll writes and syncs what waits, batch by batch.
func (w *Writer) writeAll() error {
	for {
		j, ok, err := w.cut()
		if err == nil && ok {
			err = w.carryOut(&j)
		}
		if err != nil || !ok {
			return err
		}
	}
}

// FlushPlain is Flush if what waits is one batch that fits where the log stands, with no
// segment to be begun, freed or copied from, as Syncer.FlushHere does it. Else it reports
// false and has done nothing.
func (w *Writer) FlushPlain() (LSN, bool, error) {
	if !w.Plain() {
		return w.front.durable, false, w.front.failed
	}
	j, ok, err := w.cut()
	if err == nil && ok {
		err = w.carryOut(&j)
	}
	if err != nil {
		_, err = w.fail(err)
	}
	return w.front.durable, err == nil, err
}

// Seal writes an empty batch that tells a later Open what was durable, unless
// the last thing written was one and no segment waits to be recycled. Without
// it, damage to the last batch could not be told from a torn write. Call it
// when nothing was appended for a while; Close calls it too. It flushes first.
func (w *Writer) Seal() error {
	if _, err := w.Flush(); err != nil {
		return err
	}
	j, ok := w.cutSeal()
	if !ok {
		return nil
	}
	if err := w.carryOut(&j); err != nil {
		_, err = w.fail(err)
		return err
	}
	return nil
}

// carryOut runs the steps of a flush after cut.
func (w *Writer) carryOut(j *job) error {
	if err := w.perform(j); err != nil {
		return err
	}
	w.finish(j)
	made, err := w.recycle(j)
	w.front.spares = append(w.front.spares, made...)
	return err
}

// fail keeps the first failure.
func (w *Writer) fail(err error) (LSN, error) {
	if w.front.failed == nil {
		w.front.failed = err
	}
	return w.front.durable, w.front.failed
}

// Close flushes, seals and closes the files. After a failure it only closes
// them, and returns the failure.
func (w *Writer) Close() error {
	if w.front.failed == ErrClosed {
		return ErrClosed
	}
	err := w.Seal()
	for _, f := range w.back.files {
		if e := f.file.Close(); e != nil && err == nil {
			err = fmt.Errorf("wal: close segment: %w", e)
		}
	}
	w.back.files = nil
	w.front.failed = ErrClosed
	return err
}

// Durable is the last synced LSN.
func (w *Writer) Durable() LSN { return w.front.durable }

// SyncStarted is the clock's reading since when a flush waits for the disk: for its
// write and sync, to read what it copies forward, or to recycle a segment. It is
// zero if none does or there is no clock. Any goroutine may call it.
func (w *Writer) SyncStarted() int64 { return w.syncStarted.Load() }

// wait notes that the disk is waited for, until waited is called with the result.
func (w *Writer) wait() (start int64) {
	if w.opts.Clock != nil {
		start = w.opts.Clock()
		w.syncStarted.Store(start)
	}
	return start
}

// waited returns how many nanoseconds the wait took; zero without a clock.
func (w *Writer) waited(start int64) int64 {
	if w.opts.Clock == nil {
		return 0
	}
	w.syncStarted.Store(0)
	return w.opts.Clock() - start
}

// Stats describes the Writer as it is.
func (w *Writer) Stats() Stats {
	f := &w.front
	s := f.stats
	s.Segments = w.segments()
	s.Spares = len(f.spares)
	s.Oldest, s.Current = f.oldest, f.current
	s.Durable = f.durable
	s.Pending = int(f.next - 1 - f.durable)
	s.LiveRecords, s.LiveBytes = f.live.records, f.live.bytes
	s.RoomBytes = w.Room()
	return s
}

// Room is how many bytes can be written before a file has to be made, the reserve
// has to be used, or so much stays that copying it forward frees nothing. Records
// take their length plus 32 bytes at most, and each flush rounds up to 4 KiB. A
// caller that admits nothing new when Room is near zero never meets ErrFull or a
// full disk in the middle of a flush, but for records that no segment has room for:
// each takes one of MaxSegments for itself.
func (w *Writer) Room() int64 {
	f := &w.front
	room := max(0, f.currentSize-reservedBytes-f.offset) // seals go into the reserve
	spares := min(len(f.spares), w.opts.MaxSegments-1-w.segments())
	if spares > 0 {
		room += int64(spares) * (w.opts.SegmentBytes - chunkBytes - reservedBytes)
	}
	for _, b := range f.full {
		room -= int64(disk.RoundUp(len(b.buf)))
	}
	room -= int64(disk.RoundUp(len(f.filling.buf)))
	return max(0, min(room, w.roomToStay()))
}

// roomToStay is how many bytes more may stay until they are released. What stays is
// copied forward for ever: if it were all that there is, each copy would take as much
// as it frees. So it may fill all segments but three, one of which is being filled,
// one is copied from, and one is the reserve.
func (w *Writer) roomToStay() int64 {
	segments := max(1, w.opts.MaxSegments-3)
	return int64(segments)*(w.opts.SegmentBytes-chunkBytes-reservedBytes) - w.front.live.bytes
}

// segments is how many segments are in use.
func (w *Writer) segments() int { return int(w.front.current - w.front.oldest + 1) }

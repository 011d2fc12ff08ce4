package wal

import (
	"fmt"

	"lockd/wal/disk"
)

// reservedBytes at the end of each segment are kept free for seals.
const reservedBytes = 2 * chunkBytes

// idleBatches is how many batches are kept to be used again. One is filled while one
// is written; a backlog, when it is written, leaves many.
const idleBatches = 4

// forward appends those of the records found in the oldest segment that are
// the newest of their key. Being appended last, they stay the newest.
func (w *Writer) forward(found []foundRecord) {
	f := &w.front
	for i := range found {
		r := &found[i]
		if f.live.isLive(&r.record, r.lsn) {
			w.add(&r.record, flagCopy)
			f.stats.CopiedRecords++
		}
	}
}

// cut takes the next batch and plans its place. It reports false if nothing
// waits. If there is no room for the batch but there are dead segments, the job
// is a seal that says so, and the batch comes after it.
func (w *Writer) cut() (job, bool, error) {
	f := &w.front
	b := f.filling
	if len(f.full) > 0 {
		b = f.full[0]
	}
	if b.count == 0 {
		return job{}, false, nil
	}
	bytes := int64(disk.RoundUp(len(b.buf)))
	fits := f.offset+bytes <= f.currentSize-reservedBytes
	if !fits && w.starved(bytes) {
		return w.planSeal(), true, nil
	}
	if len(f.full) > 0 {
		f.full = append(f.full[:0], f.full[1:]...)
	} else {
		w.newBatch()
	}
	j := w.plan(b)
	if fits {
		f.live.merge(w.segments() - 1)
	} else if err := w.planRotation(&j); err != nil {
		return job{}, false, err
	}
	j.offset = f.offset
	f.offset += bytes
	return j, true, nil
}

// Plain reports whether FlushPlain would flush.
func (w *Writer) Plain() bool {
	return w.front.failed == nil && w.back.victim == 0 && w.plain()
}

// plain says that what waits is at most one batch, that it fits into the current
// segment, and that no segment can be freed behind it.
func (w *Writer) plain() bool {
	f := &w.front
	bytes := int64(disk.RoundUp(len(f.filling.buf)))
	return len(f.full) == 0 && f.offset+bytes <= f.currentSize-reservedBytes &&
		w.firstNeeded() == f.oldest
}

// starved says that a rotation for a batch of so many bytes would fail or need a
// file, although a segment can be recycled as soon as a batch has said so.
func (w *Writer) starved(bytes int64) bool {
	f := &w.front
	full := len(f.spares) == 0 || w.segments() >= w.opts.MaxSegments ||
		w.segmentFor(bytes) > w.opts.SegmentBytes
	return full && w.firstNeeded() > f.oldest && f.offset < f.currentSize
}

// cutSeal plans a seal. It reports false if records wait, or if there is
// nothing that a seal would tell a later Open.
func (w *Writer) cutSeal() (job, bool) {
	f := &w.front
	if len(f.full) > 0 || f.filling.count > 0 {
		return job{}, false
	}
	if f.sealed && (w.firstNeeded() == f.oldest || f.offset == f.currentSize) {
		return job{}, false
	}
	return w.planSeal(), true
}

// planSeal makes the job of an empty batch in the current segment. The chunks
// that other batches leave free have room for two: one that covers the last
// batch, and one that frees segments when there is no room to rotate.
func (w *Writer) planSeal() job {
	f := &w.front
	b := w.takeIdle()
	b.first = f.durable + 1
	j := w.plan(b)
	j.offset = f.offset
	f.offset += chunkBytes
	return j
}

// plan makes the job of b in the current segment.
func (w *Writer) plan(b *batch) job {
	f := &w.front
	return job{batch: b, segment: f.current, durable: f.durable, oldest: w.firstNeeded()}
}

// planRotation moves the job to the segment after the current one. At the bound,
// if all of the oldest segment is dead and only what waits to be written has to be
// synced for it to be free, there may be as many more as there are spares: a
// backlog must not stand in its own way.
func (w *Writer) planRotation(j *job) error {
	f := &w.front
	bound := w.opts.MaxSegments
	if f.live.stretches[0].records == 0 {
		bound += w.opts.Spares
	}
	if w.segments() >= bound {
		return fmt.Errorf("%w: %d of %d, oldest %d with %d live records",
			ErrFull, w.segments(), w.opts.MaxSegments, f.oldest, f.live.stretches[0].records)
	}
	j.size = w.segmentFor(int64(disk.RoundUp(len(j.batch.buf))))
	if n := len(f.spares); n > 0 && j.size == w.opts.SegmentBytes {
		j.rotation = rotateSpare
		j.spare, f.spares = f.spares[n-1], f.spares[:n-1]
	} else {
		j.rotation = rotateFresh
		j.spare = w.freshName()
	}
	f.current++
	f.offset, f.currentSize = chunkBytes, j.size
	j.segment = f.current
	return nil
}

// segmentFor is the size of a new segment for a batch of so many bytes: that of all
// segments or, if none has room for it, what it needs. Such a one is removed later on.
func (w *Writer) segmentFor(bytes int64) int64 {
	return max(w.opts.SegmentBytes, chunkBytes+bytes+reservedBytes)
}

// firstNeeded is the number of the oldest segment that a crash at this moment
// would need: all before it hold no live record, and what made the last of
// them dead is durable itself (I10).
func (w *Writer) firstNeeded() uint64 {
	f := &w.front
	n := 0
	for n < w.segments()-1 {
		s := &f.live.stretches[n]
		if s.records != 0 || s.killer > f.durable && !plantedIs("wal-removal-before-sync") {
			break
		}
		n++
	}
	return f.oldest + uint64(n)
}

// perform writes and syncs the batch of a job.
func (w *Writer) perform(j *job) error {
	start := w.wait()
	defer func() { j.nanos = w.waited(start) }()
	if j.rotation != rotateNot {
		if err := w.rotate(j); err != nil {
			return err
		}
	}
	b := j.batch
	records := b.buf[batchHeaderBytes:]
	sealRecords(records, w.back.sums, j.segment, b.first)
	putBatchHeader(b.buf, w.back.sums, &batchHeader{
		segment: j.segment,
		first:   b.first,
		durable: j.durable,
		oldest:  j.oldest,
		chunk:   uint32(j.offset / chunkBytes),
		count:   uint32(b.count),
		bytes:   uint32(len(records)),
	})
	used := len(b.buf)
	b.buf = b.buf[:disk.RoundUp(used)]
	clear(b.buf[used:])

	file := w.back.files[len(w.back.files)-1].file
	w.back.vector[0] = b.buf
	if err := file.WriteAt(w.back.vector[:], j.offset); err != nil {
		return fmt.Errorf("wal: write %d records to segment %d: %w", b.count, j.segment, err)
	}
	if plantedIs("wal-durable-before-sync") {
		return nil
	}
	if err := file.Sync(); err != nil && !plantedIs("wal-answer-after-failed-sync") {
		return fmt.Errorf("wal: sync segment %d: %w", j.segment, err)
	}
	return nil
}

// finish takes note of a synced job and decides about the oldest segment.
func (w *Writer) finish(j *job) {
	f := &w.front
	b := j.batch
	f.durable = b.first + LSN(b.count) - 1
	f.sealed = b.count == 0
	f.stats.Records += uint64(b.count)
	f.stats.Batches++
	f.stats.Syncs++
	f.stats.WrittenBytes += uint64(len(b.buf))
	f.stats.LastSyncNanos = j.nanos
	if len(f.idle) < idleBatches && cap(b.buf) <= 2*w.opts.MaxBatchBytes+chunkBytes {
		f.idle = append(f.idle, b)
	}

	if n := int(j.oldest - f.oldest); n > 0 {
		f.live.drop(n)
		f.oldest = j.oldest
		f.stats.Recycled += uint64(n)
		j.keep = w.opts.Spares - len(f.spares)
	}
	w.back.victim = w.chooseVictim()
}

// chooseVictim returns the segment to copy forward from, or zero. Copying a
// segment that is mostly live gains little; it is left to checkpoints until
// only the reserve is left.
func (w *Writer) chooseVictim() uint64 {
	f := &w.front
	if w.segments() <= w.opts.TargetSegments || f.live.stretches[0].records == 0 {
		return 0
	}
	if f.live.stretches[0].bytes > w.opts.SegmentBytes/2 && !w.pressed() {
		return 0
	}
	return f.oldest
}

// pressed says that only the reserve is left.
func (w *Writer) pressed() bool { return w.segments() >= w.opts.MaxSegments-1 }

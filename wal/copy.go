package wal

import "fmt"

// copyStepBytes is how much of the oldest segment one flush reads at least, to
// find what has to be copied forward. It also reads twice what it writes, so
// that a segment is emptied before half a new one is full. When only the reserve is
// left a flush reads the segment to its end, step by step.
const copyStepBytes = 64 << 10

// copier walks the oldest segment, a step at a time.
type copier struct {
	// segment is what reader reads; zero if it reads nothing.
	segment uint64
	reader  *segmentReader
	offset  int64
	next    LSN
	// found and bytes are what the last step read; bytes holds the data.
	found []foundRecord
	bytes []byte
}

// foundRecord is a record of the oldest segment, live or not. Its Data belongs
// to the copier and is valid until its next step.
type foundRecord struct {
	record Record
	lsn    LSN
}

// gather reads the next step of the victim. It returns nothing if there is no
// victim or it has been read to its end.
func (w *Writer) gather() ([]foundRecord, error) {
	b := &w.back
	c := &b.copier
	c.trim(2 * max(copyStepBytes, w.opts.MaxBatchBytes))
	if b.victim == 0 {
		return nil, nil
	}
	defer w.waited(w.wait())
	if c.segment != b.victim {
		reader, err := w.victimReader()
		if err != nil {
			return nil, err
		}
		c.segment, c.reader = b.victim, reader
		c.offset, c.next = chunkBytes, reader.header.first
	}
	return c.step(w.copyBudget(), b.files[1].first)
}

// victimReader returns a reader of the victim that shares its open file.
func (w *Writer) victimReader() (*segmentReader, error) {
	oldest := w.back.files[0]
	if oldest.number != w.back.victim {
		panic(fmt.Sprintf("wal: copying from a segment that is not the oldest: have %d, want %d",
			w.back.victim, oldest.number))
	}
	r := &segmentReader{file: oldest.file, name: segmentName(oldest.number), sums: w.back.sums}
	if last := w.back.copier.reader; last != nil {
		r.buf = last.buf // the copier reads one segment at a time
	}
	if err := r.readHeader(oldest.number, w.opts.Stamp); err != nil {
		return nil, err
	}
	return r, nil
}

// copyBudget is how many bytes of the victim the next step reads.
func (w *Writer) copyBudget() int64 {
	if w.onReserve() {
		return max(copyStepBytes, int64(w.opts.MaxBatchBytes))
	}
	return max(copyStepBytes, 2*int64(len(w.back.vector[0])))
}

// onReserve is pressed, as the back half knows it.
func (w *Writer) onReserve() bool {
	oldest, last := w.back.files[0], w.back.files[len(w.back.files)-1]
	return int(last.number-oldest.number)+1 >= w.opts.MaxSegments-1
}

// behind says that a flush has to take another step, because there is no room for
// the next one to go on where it stopped.
func (w *Writer) behind() bool {
	b := &w.back
	return b.victim != 0 && b.victim == b.copier.segment && w.onReserve() &&
		b.copier.next < b.files[1].first
}

// trim gives up buffers that a large record has made large.
func (c *copier) trim(keep int) {
	if cap(c.bytes) > keep {
		c.found, c.bytes = nil, nil
	}
	if c.reader != nil && cap(c.reader.buf) > keep {
		c.reader.buf, c.reader.window = nil, nil
	}
}

// step reads up to budget bytes of batches, at least one, and returns their
// records. The segment ends where the next one begins, at LSN end. A batch that
// does not read back was synced long ago, so that is ErrCorrupt.
func (c *copier) step(budget int64, end LSN) ([]foundRecord, error) {
	c.found, c.bytes = c.found[:0], c.bytes[:0]
	for limit := c.offset + budget; c.next < end && c.offset < limit; {
		h, records, _, f, err := c.reader.batch(c.offset, c.next)
		if err != nil {
			return nil, err
		}
		if f != faultNone {
			return nil, fmt.Errorf("%w: segment %s at %d: %s, reading it for removal",
				ErrCorrupt, c.reader.name, c.offset, f)
		}
		c.take(&h, records)
		c.offset += h.extent()
		c.next += LSN(h.count)
	}
	return c.found, nil
}

// take keeps the records of a verified batch.
func (c *copier) take(h *batchHeader, records []byte) {
	at := len(c.bytes)
	c.bytes = append(c.bytes, records...)
	for rest := c.bytes[at:]; len(rest) > 0; {
		r, _, size, _ := parseRecord(rest)
		c.found = append(c.found, foundRecord{record: r, lsn: h.first})
		h.first++
		rest = rest[size:]
	}
}

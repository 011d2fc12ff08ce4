package wal

import "fmt"

// recovery replays the segments of a log.
type recovery struct {
	writer  *Writer
	replay  func(LSN, Record) error
	readers []*segmentReader
	// next is the LSN of the next record to read.
	next LSN
	// oldest is the largest announcement of the oldest needed segment.
	oldest uint64
}

// run replays the segments with these numbers and fills the Writer.
func (r *recovery) run(numbers []uint64) error {
	w := r.writer
	if err := r.openAll(numbers); err != nil {
		return err
	}
	r.next = r.readers[0].header.first
	var shared []byte
	for i, reader := range r.readers {
		reader.buf = shared
		w.front.live.stretches = append(w.front.live.stretches,
			stretch{first: reader.header.first})
		var err error
		if i < len(r.readers)-1 {
			err = r.replayFull(reader, r.readers[i+1].header.first)
		} else {
			err = r.replayLast(reader)
		}
		if err != nil {
			return err
		}
		shared, reader.buf, reader.window = reader.buf, nil, nil
	}
	if r.oldest < numbers[0] {
		return fmt.Errorf("%w: segment %s is missing, the first one found is %s",
			ErrCorrupt, segmentName(r.oldest), segmentName(numbers[0]))
	}
	last := r.readers[len(r.readers)-1]
	w.front.next, w.front.durable = r.next, r.next-1
	w.front.oldest, w.front.current = numbers[0], numbers[len(numbers)-1]
	w.front.currentSize = last.header.size
	if n := int(min(r.oldest, w.front.current) - numbers[0]); n > 0 {
		// A batch called these segments not needed, and the crash came before
		// they were recycled.
		w.front.live.forget(w.back.files[n].first)
		w.front.live.drop(n)
		w.front.oldest += uint64(n)
	}
	return nil
}

// openAll opens the segments, checks that there is no gap between them, and
// makes the last one durable. The others were synced before their successor
// got its name.
func (r *recovery) openAll(numbers []uint64) error {
	w := r.writer
	for i, number := range numbers {
		if want := numbers[0] + uint64(i); number != want {
			return fmt.Errorf("%w: segment %s is missing, found %s after %s", ErrCorrupt,
				segmentName(want), segmentName(number), segmentName(want-1))
		}
		reader, err := openSegment(w.back.dir, number, w.back.sums, w.opts.Stamp)
		if err != nil {
			return err
		}
		r.readers = append(r.readers, reader)
		h := &reader.header
		r.oldest = max(r.oldest, h.oldest)
		w.back.files = append(w.back.files, segmentFile{
			number: number, size: h.size, first: h.first, file: reader.file,
		})
	}
	if err := w.back.files[len(numbers)-1].file.Sync(); err != nil {
		return fmt.Errorf("wal: sync the last segment: %w", err)
	}
	return nil
}

// replayFull replays a segment that has a successor. All of it was synced
// before the successor was made, so it has to read up to there: LSN end.
func (r *recovery) replayFull(reader *segmentReader, end LSN) error {
	for off := int64(chunkBytes); r.next < end; {
		h, records, bad, f, err := reader.batch(off, r.next)
		if err != nil {
			return err
		}
		if f != faultNone {
			return fmt.Errorf("%w: segment %s at %d: %s at LSN %d, but the next segment follows",
				ErrCorrupt, reader.name, off, f, r.next+LSN(bad))
		}
		if err := r.deliver(&h, records); err != nil {
			return err
		}
		off += h.extent()
	}
	if r.next != end {
		return fmt.Errorf("%w: segment %s ends before LSN %d, the next segment begins at %d",
			ErrCorrupt, reader.name, r.next, end)
	}
	return nil
}

// replayLast replays the segment that has no successor, up to the first batch
// that is not whole. If anything later shows that the batch was synced, it is
// damaged (I9); else it is the torn end of the last write, or no batch at all.
func (r *recovery) replayLast(reader *segmentReader) error {
	front := &r.writer.front
	// The header says that all before the first record was durable.
	front.sealed = true
	off := int64(chunkBytes)
	for {
		h, records, bad, f, err := reader.batch(off, r.next)
		if err != nil {
			return err
		}
		if f != faultNone {
			from := off
			if f == faultRecord {
				from += h.extent()
			}
			at, found, err := reader.laterBatch(from, r.next)
			if err != nil {
				return err
			}
			if found && !plantedIs("wal-damage-cut-as-torn") {
				return fmt.Errorf("%w: segment %s at %d: %s at LSN %d, but a later batch at %d",
					ErrCorrupt, reader.name, off, f, r.next+LSN(bad), at)
			}
			front.offset = off
			return nil
		}
		if err := r.deliver(&h, records); err != nil {
			return err
		}
		front.sealed = h.count == 0
		off += h.extent()
	}
}

// deliver hands the records of a verified batch to replay.
func (r *recovery) deliver(h *batchHeader, records []byte) error {
	r.oldest = max(r.oldest, h.oldest)
	for range h.count {
		record, _, size, _ := parseRecord(records)
		if record.Kind < KindState || record.Kind > KindHint {
			return fmt.Errorf("%w: record at LSN %d has kind %d", ErrCorrupt, r.next, record.Kind)
		}
		r.writer.front.live.appended(&record, r.next)
		if err := r.replay(r.next, record); err != nil {
			return fmt.Errorf("wal: replay record at LSN %d: %w", r.next, err)
		}
		records = records[size:]
		r.next++
	}
	return nil
}

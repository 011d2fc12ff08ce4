package history

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// segmentMagic is how segments begin.
const segmentMagic = "LKHIST01"

// Write writes the blocks that wait. One that fails waits on, and is written by the
// next Write, over what was written of it.
func (s *Store) Write() error {
	for {
		s.mu.Lock()
		if len(s.mu.queue) == 0 {
			s.mu.Unlock()
			return nil
		}
		next := s.mu.queue[0]
		s.mu.Unlock()
		if err := s.append(next); err != nil {
			return s.failed(err)
		}
	}
}

// Sync makes all durable that was noted before.
func (s *Store) Sync() error {
	s.mu.Lock()
	if !s.mu.open.empty() {
		s.seal()
	}
	s.mu.Unlock()
	if err := s.Write(); err != nil {
		return err
	}
	if !s.writer.dirty {
		return nil
	}
	if err := s.newest().file.Sync(); err != nil {
		return fmt.Errorf("history: syncing: %w", err)
	}
	s.writer.dirty = false
	return nil
}

// Keep writes what waits, and behind it the block that is being made, as far as it is: one
// that is longer will be written over it. A process that is killed loses no more than
// came since; who loses power may lose the block.
func (s *Store) Keep() error {
	if err := s.Write(); err != nil {
		return err
	}
	return s.keepOpen()
}

// keepOpen writes the block that is being made, unless one that has become full since waits to
// be written where it would be.
func (s *Store) keepOpen() error {
	s.mu.Lock()
	made := int(s.mu.open.holds) + len(s.mu.open.clocks)
	same := s.writer.kept == s.mu.open.number && s.writer.made == made
	if same || made == 0 || len(s.mu.queue) > 0 {
		s.mu.Unlock()
		return nil
	}
	number := s.mu.open.number
	bytes, _ := s.mu.open.seal(kindHolds)
	s.mu.Unlock()
	if err := s.room(number); err != nil {
		return s.failed(err)
	}
	if err := s.trim(int64(len(bytes))); err != nil {
		return s.failed(err)
	}
	at := s.newest()
	if _, err := at.file.WriteAt(bytes, at.bytes); err != nil {
		return s.failed(fmt.Errorf("history: writing segment %016x: %w", at.number, err))
	}
	s.writer.kept, s.writer.made, s.writer.dirty = number, made, true
	return nil
}

// failed counts a write that failed.
func (s *Store) failed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.stats.Failed++
	return err
}

// room begins a segment for the block of a number if there is none, or it is full. So a
// block that was kept is written again where it was.
func (s *Store) room(number uint64) error {
	s.mu.Lock()
	none := len(s.mu.segments) == 0
	s.mu.Unlock()
	if none || s.newest().bytes >= segmentLength(s.opts.Bytes) {
		return s.begin(number)
	}
	return nil
}

// Close makes all durable and ends the Store. What is noted after it is dropped.
func (s *Store) Close() error {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	return errors.Join(s.Sync(), s.closeFiles())
}

func (s *Store) closeFiles() error {
	var problems []error
	for i := range s.mu.segments {
		problems = append(problems, s.mu.segments[i].file.Close())
	}
	return errors.Join(problems...)
}

// newest is the segment that is written to. Requires: there is one.
func (s *Store) newest() segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.segments[len(s.mu.segments)-1]
}

// append writes the first block of the queue, which is next, and takes it out.
func (s *Store) append(next sealed) error {
	if err := s.room(next.info.number); err != nil {
		return err
	}
	if err := s.trim(int64(len(next.bytes))); err != nil {
		return err
	}
	at := s.newest()
	if _, err := at.file.WriteAt(next.bytes, at.bytes); err != nil {
		return fmt.Errorf("history: writing segment %016x: %w", at.number, err)
	}
	s.writer.dirty = true
	h, err := decodeHead(next.bytes[:headerBytes+next.info.head])
	if err != nil {
		panic(fmt.Sprintf("history: block %d: %v", next.info.number, err))
	}
	s.writer.index.take(&h)
	next.info.segment, next.info.offset = at.number, at.bytes
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.segments[len(s.mu.segments)-1].bytes += int64(len(next.bytes))
	s.mu.blocks = append(s.mu.blocks, next.info)
	s.mu.queue = append(s.mu.queue[:0], s.mu.queue[1:]...)
	s.mu.queued -= len(next.bytes)
	return nil
}

// begin begins a segment: with a carry that has the number of the block after it, less
// one, which the block before it in the queue may have too; carries are not asked.
func (s *Store) begin(block uint64) error {
	number := uint64(1)
	s.mu.Lock()
	n := len(s.mu.segments)
	s.mu.Unlock()
	if n > 0 {
		last := s.newest()
		number = last.number + 1
		if s.writer.dirty {
			if err := last.file.Sync(); err != nil {
				return fmt.Errorf("history: syncing segment %016x: %w", last.number, err)
			}
		}
	}
	file, err := s.files.Open(number)
	if err != nil {
		return err
	}
	d := make([]byte, alignBytes)
	copy(d, segmentMagic)
	binary.LittleEndian.PutUint64(d[len(segmentMagic):], number)
	carry, spans := s.carry(block)
	d = append(d, carry...)
	if _, err := file.WriteAt(d, 0); err != nil {
		return errors.Join(fmt.Errorf("history: beginning segment %016x: %w", number, err),
			file.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.segments = append(s.mu.segments,
		segment{number: number, file: file, bytes: int64(len(d)), carry: spans})
	s.writer.index = index{}
	return nil
}

// carry makes the first block of a segment: where each group stood before the blocks that
// wait, and what the segment before has.
func (s *Store) carry(number uint64) ([]byte, []span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b builder
	b.reset(number)
	first := map[uint16]span{}
	for i := range s.mu.queue {
		h, err := decodeHead(s.mu.queue[i].bytes[:headerBytes+s.mu.queue[i].info.head])
		if err != nil {
			panic(fmt.Sprintf("history: block %d of the queue: %v", s.mu.queue[i].info.number, err))
		}
		noteFirst(first, h.spans)
	}
	noteFirst(first, s.mu.open.spans)
	for id := range s.mu.groups {
		g := &s.mu.groups[id]
		slot, at, any := g.known()
		if x, waits := first[uint16(id)]; waits {
			slot, at = x.after, x.before
		}
		if any {
			b.addSpan(span{group: uint16(id), after: slot, to: slot, before: at, at: at})
		}
		b.clocks = append(b.clocks, g.clocks.carried()...)
	}
	b.body = s.closedIndex()
	d, _ := b.seal(kindCarry)
	return d, b.spans
}

// noteFirst remembers the first span of each group.
func noteFirst(first map[uint16]span, spans []span) {
	for _, x := range spans {
		if _, ok := first[x.group]; !ok {
			first[x.group] = x
		}
	}
}

// trim removes the oldest segments until there is room for so much.
func (s *Store) trim(room int64) error {
	for {
		s.mu.Lock()
		total := room
		for i := range s.mu.segments {
			total += s.mu.segments[i].bytes
		}
		if total <= s.opts.Bytes || len(s.mu.segments) < 2 {
			s.mu.Unlock()
			return nil
		}
		oldest := s.mu.segments[0]
		s.mu.segments = append(s.mu.segments[:0], s.mu.segments[1:]...)
		k := 0
		for k < len(s.mu.blocks) && s.mu.blocks[k].segment == oldest.number {
			k++
		}
		s.mu.blocks = append(s.mu.blocks[:0], s.mu.blocks[k:]...)
		for _, x := range s.mu.segments[0].carry {
			s.group(x.group).forget(x)
		}
		s.mu.Unlock()
		if err := errors.Join(oldest.file.Close(), s.files.Remove(oldest.number)); err != nil {
			return err
		}
	}
}

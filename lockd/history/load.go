package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// load finds out what there is, and cuts a torn end of the last segment. It reads one block
// of each segment, and all of the last; of one that nothing is said of in the next, because
// a build of before wrote that, the heads of all blocks.
func (s *Store) load() error {
	numbers, err := s.files.List()
	if err != nil {
		return err
	}
	for _, number := range numbers {
		file, err := s.files.Open(number)
		if err != nil {
			return err
		}
		s.mu.segments = append(s.mu.segments, segment{number: number, file: file, bytes: alignBytes})
	}
	for i := range s.mu.segments {
		if !s.loadIndexed(i) {
			if err := s.loadSegment(i); err != nil {
				return err
			}
		}
	}
	return s.dropEmpty()
}

// dropEmpty removes the newest segment if it has nothing yet, be it because its first write
// was torn.
func (s *Store) dropEmpty() error {
	n := len(s.mu.segments) - 1
	if n < 0 || s.mu.segments[n].carry != nil || s.mu.segments[n].bytes != alignBytes {
		return nil
	}
	seg := s.mu.segments[n]
	s.mu.segments = s.mu.segments[:n]
	s.writer.index = index{}
	return errors.Join(seg.file.Close(), s.files.Remove(seg.number))
}

// checkStart reports whether a segment begins as it was begun, by errDamaged if not.
func (s *Store) checkStart(seg *segment) error {
	start := make([]byte, len(segmentMagic)+8)
	if _, err := seg.file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("history: reading segment %016x: %w", seg.number, err)
	}
	if string(start[:len(segmentMagic)]) != segmentMagic ||
		binary.LittleEndian.Uint64(start[len(segmentMagic):]) != seg.number {
		return errDamaged
	}
	return nil
}

// loadSegment reads the heads of a segment, and says up to where it is whole. Of the newest
// segment, whose end may be torn, it reads all; what is damaged of others is found when it
// is asked for.
func (s *Store) loadSegment(i int) error {
	seg, newest := &s.mu.segments[i], s.mu.segments[len(s.mu.segments)-1].number
	size, err := seg.file.Size()
	if err != nil {
		return err
	}
	switch err := s.checkStart(seg); {
	case err == errDamaged && size > 0:
		s.damaged(seg.number, 0)
	case err != nil && err != errDamaged:
		return err
	}
	s.writer.index = index{}
	stood := s.standing()
	bad := int64(-1) // where what cannot be read begins
	var lost []span  // where the groups stood then of which nothing was read since
	for at := int64(alignBytes); at+headerBytes <= size; {
		info, h, err := s.readHead(seg.file, at)
		switch {
		case errors.Is(err, ErrTooNew):
			return fmt.Errorf("history: segment %016x at %d: %w", seg.number, at, err)
		case err == nil && at+headerBytes+int64(info.head+info.body) > size:
			err = errDamaged
		case err == nil && seg.number == newest:
			_, err = s.readBody(seg.file, at, &info)
		}
		if err != nil && !errors.Is(err, errDamaged) {
			return err
		}
		if err != nil {
			if bad < 0 {
				bad = at
			}
			at += alignBytes
			continue
		}
		if bad >= 0 {
			s.damaged(seg.number, bad)
			bad, s.writer.index.unfit = -1, true
			lost = s.standing()
		}
		info.segment, info.offset = seg.number, at
		lost = s.doubt(lost, &info, &h)
		s.take(seg, &info, &h)
		at += info.bytes()
		seg.bytes = at
	}
	if bad >= 0 && seg.number != newest {
		s.damaged(seg.number, bad)
	}
	if seg.carry == nil && (seg.number != newest || seg.bytes > alignBytes) {
		seg.carry = stood // it is damaged; what is forgotten with the segment before is known
	}
	if seg.number != newest {
		seg.bytes = size
	}
	return nil
}

// doubt has the clocks be uncertain of the groups of a block that comes after one which
// could not be read: that may have had clocks of those of which it had slots. It returns
// the groups of which nothing was read yet. A carry repeats the last clocks.
func (s *Store) doubt(lost []span, info *blockInfo, h *head) []span {
	if len(lost) == 0 || info.kind == kindCarry {
		return nil
	}
	return slices.DeleteFunc(lost, func(was span) bool {
		i := slices.IndexFunc(h.spans, func(x span) bool { return x.group == was.group })
		if i >= 0 && h.spans[i].after > was.to {
			s.group(was.group).clocks.doubt(was.at)
		}
		return i >= 0
	})
}

// standing is where each group stands: what the carry of a segment says that begins here.
func (s *Store) standing() []span {
	all := []span{}
	for id := range s.mu.groups {
		if slot, at, any := s.mu.groups[id].known(); any {
			all = append(all, span{group: uint16(id), after: slot, to: slot, before: at, at: at})
		}
	}
	return all
}

// take takes a block in that is read.
func (s *Store) take(seg *segment, info *blockInfo, h *head) {
	for _, x := range h.spans {
		s.group(x.group).add(x)
	}
	for _, c := range h.clocks {
		s.group(c.group).clocks.add(c)
	}
	if info.kind == kindCarry {
		if seg.carry = h.spans; seg.carry == nil {
			seg.carry = []span{}
		}
		return
	}
	s.writer.index.take(h)
	s.mu.number = max(s.mu.number, info.number)
	s.mu.blocks = append(s.mu.blocks, *info)
}

// readHead reads the header and the head of a block. The error is errDamaged, ErrTooNew
// or that of the file.
func (s *Store) readHead(file File, at int64) (blockInfo, head, error) {
	b := make([]byte, headerBytes)
	if err := readFull(file, b, at); err != nil {
		return blockInfo{}, head{}, err
	}
	info, err := decodeHeader(b)
	if err != nil {
		return info, head{}, err
	}
	size, err := file.Size()
	if err != nil {
		return info, head{}, err
	}
	if at+headerBytes+int64(info.head) > size {
		return info, head{}, errDamaged
	}
	b = append(b, make([]byte, info.head)...)
	if err := readFull(file, b[headerBytes:], at+headerBytes); err != nil {
		return info, head{}, err
	}
	h, err := decodeHead(b)
	return info, h, err
}

// readBody reads the holds of a block.
func (s *Store) readBody(file File, at int64, info *blockInfo) ([]byte, error) {
	b := make([]byte, info.body)
	if err := readFull(file, b, at+headerBytes+int64(info.head)); err != nil {
		return nil, err
	}
	if checksum(b) != info.sum {
		return nil, errDamaged
	}
	return b, nil
}

// oldest is the number of the oldest segment, zero if there is none.
func (s *Store) oldest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.segments) == 0 {
		return 0
	}
	return s.mu.segments[0].number
}

// clocksOf returns the clocks of a group that a segment has: those that its carry repeats, and
// behind them those of its blocks. If the next segment does not say which these are, their
// heads do, maxHeads of them at most: then the last is unsure if there is more that was not,
// or cannot be, read.
func (s *Store) clocksOf(number uint64, group uint16) []clock {
	if all, ok := s.indexedClocks(number, group); ok {
		return all
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.mu.segments, func(g segment) bool { return g.number == number })
	if i < 0 {
		s.mu.Unlock()
		return nil
	}
	seg := s.mu.segments[i]
	s.mu.Unlock()
	var all []clock
	heads := 0
	at := int64(alignBytes)
	for ; at+headerBytes <= seg.bytes && heads < maxHeads; heads++ {
		info, h, err := s.readHead(seg.file, at)
		if err != nil {
			break
		}
		all = ascending(all, h.clocks, group)
		at += info.bytes()
	}
	if n := len(all); n > 0 && at+headerBytes <= seg.bytes {
		all[n-1].unsure = true
	}
	return all
}

// readFull fills b. What is missing at the end of the file is damage.
func readFull(file File, b []byte, at int64) error {
	switch _, err := file.ReadAt(b, at); {
	case errors.Is(err, io.EOF):
		return errDamaged
	case err != nil:
		return fmt.Errorf("history: reading: %w", err)
	default:
		return nil
	}
}

package history

import (
	"encoding/binary"
	"slices"

	"lockd/lockfsm"
)

// index says of a segment what the heads of its blocks do, but for the names: it is the
// body of the carry of the next one, so that a start reads one block of each segment.
type index struct {
	number uint64 // of the segment
	bytes  int64  // how long it was
	blocks []blockInfo
	spans  []span // what goes on is one
	clocks []clock
	// newest is the place in spans of the last of each group, plus one.
	newest []int
	// unfit says that a block of it cannot be read, so that who starts has to look for what
	// is uncertain because of that; or that it has too much.
	unfit bool
}

// maxIndexed bounds the spans and clocks of an index together. A segment with more, which
// has a clock for each few holds, is of locks that are hardly used: few of those come soon.
const maxIndexed = 16 << 10

// indexBytes is what a span or a clock takes.
const indexBytes = 40

// take takes in the head of the next block.
func (x *index) take(h *head) {
	if len(x.spans)+len(x.clocks)+len(h.spans)+len(h.clocks) > maxIndexed {
		*x = index{unfit: true}
	}
	if x.unfit {
		return
	}
	for _, s := range h.spans {
		if k := int(s.group) + 1 - len(x.newest); k > 0 {
			x.newest = append(x.newest, make([]int, k)...)
		}
		if at := x.newest[s.group]; at > 0 && s.after <= x.spans[at-1].to {
			if was := &x.spans[at-1]; s.to > was.to {
				was.to, was.at = s.to, s.at
			}
			continue
		}
		x.spans = append(x.spans, s)
		x.newest[s.group] = len(x.spans)
	}
	x.clocks = append(x.clocks, h.clocks...)
}

// append appends what is told of a segment.
func (x *index) append(d []byte) []byte {
	d = binary.AppendUvarint(d, x.number)
	d = binary.AppendUvarint(d, uint64(x.bytes/alignBytes))
	d = binary.AppendUvarint(d, uint64(len(x.blocks)))
	at, number, when := int64(alignBytes), uint64(0), int64(0)
	for i := range x.blocks {
		b := &x.blocks[i]
		d = binary.AppendUvarint(d, uint64((b.offset-at)/alignBytes))
		d = binary.AppendUvarint(d, b.number-number)
		d = binary.AppendUvarint(d, uint64(b.head))
		d = binary.AppendUvarint(d, uint64(b.body))
		d = binary.AppendUvarint(d, uint64(b.holds))
		d = binary.AppendVarint(d, b.last-when)
		d = binary.AppendVarint(d, b.last-b.least)
		d = binary.LittleEndian.AppendUint32(d, b.sum)
		at, number, when = b.offset+b.bytes(), b.number, b.last
	}
	d = appendSpans(d, x.spans)
	d = appendClocks(d, x.clocks)
	return binary.AppendUvarint(d, 0) // names
}

// parseIndex reads what append wrote.
func parseIndex(d []byte) (x index, ok bool) {
	r := varints{b: d}
	x.number, x.bytes = r.uint(), int64(r.uint())*alignBytes
	at, number, when := int64(alignBytes), uint64(0), int64(0)
	for n := r.count(11); n > 0 && !r.bad; n-- {
		b := blockInfo{segment: x.number, kind: kindHolds}
		b.offset = at + int64(r.uint())*alignBytes
		b.number = number + r.uint()
		b.head, b.body = int(min(r.uint(), maxBlockBytes+1)), int(min(r.uint(), maxBlockBytes+1))
		b.holds = uint32(r.uint())
		b.last = when + r.int()
		b.least = b.last - r.int()
		if sum := r.take(4); sum != nil {
			b.sum = binary.LittleEndian.Uint32(sum)
		}
		at, number, when = b.offset+b.bytes(), b.number, b.last
		if b.head > maxBlockBytes || b.body > maxBlockBytes || b.offset < alignBytes || at > x.bytes {
			return x, false
		}
		x.blocks = append(x.blocks, b)
	}
	if r.bad {
		return x, false
	}
	h, ok := parseHead(r.b)
	x.spans, x.clocks = h.spans, h.clocks
	return x, ok
}

// appendSpans and appendClocks write two parts of a head.
func appendSpans(d []byte, spans []span) []byte {
	d = binary.AppendUvarint(d, uint64(len(spans)))
	for i := range spans {
		s := &spans[i]
		d = binary.AppendUvarint(d, uint64(s.group))
		d = binary.AppendUvarint(d, s.after)
		d = binary.AppendUvarint(d, s.to-s.after)
		d = binary.AppendUvarint(d, uint64(s.before))
		d = binary.AppendUvarint(d, uint64(s.at-s.before))
	}
	return d
}

func appendClocks(d []byte, clocks []clock) []byte {
	d = binary.AppendUvarint(d, uint64(len(clocks)))
	for i := range clocks {
		c := &clocks[i]
		d = binary.AppendUvarint(d, uint64(c.group))
		d = binary.AppendUvarint(d, uint64(c.at))
		d = binary.AppendVarint(d, c.offset)
		seen := c.seen
		if c.unsure {
			seen = c.at + lockfsm.Time(1)
		}
		d = binary.AppendUvarint(d, uint64(seen))
	}
	return d
}

// closedIndex is what is said of the newest segment in the next, nothing if it is unfit.
// Requires: mu is held.
func (s *Store) closedIndex() []byte {
	n, x := len(s.mu.segments), &s.writer.index
	if n == 0 || x.unfit {
		return nil
	}
	seg := &s.mu.segments[n-1]
	x.number, x.bytes = seg.number, seg.bytes
	from := len(s.mu.blocks)
	for from > 0 && s.mu.blocks[from-1].segment == seg.number {
		from--
	}
	x.blocks = s.mu.blocks[from:]
	return x.append(nil)
}

// readIndex reads what the segment behind says of a segment. It has nothing to say if a
// build of before began it, or it is damaged; then what the segment itself says counts.
func (s *Store) readIndex(number uint64, behind File) (index, bool) {
	info, _, err := s.readHead(behind, alignBytes)
	if err != nil || info.kind != kindCarry || info.body == 0 {
		return index{}, false
	}
	body, err := s.readBody(behind, alignBytes, &info)
	if err != nil {
		return index{}, false
	}
	x, ok := parseIndex(body)
	return x, ok && x.number == number
}

// loadIndexed takes a segment in by its carry and what the next says of it, and reports
// whether it could. What is damaged of it is found when it is asked for.
func (s *Store) loadIndexed(i int) bool {
	if i+1 == len(s.mu.segments) {
		return false // its end may be torn
	}
	seg := &s.mu.segments[i]
	size, err := seg.file.Size()
	if err != nil || s.checkStart(seg) != nil {
		return false
	}
	info, carry, err := s.readHead(seg.file, alignBytes)
	if err != nil || info.kind != kindCarry {
		return false
	}
	x, ok := s.readIndex(seg.number, s.mu.segments[i+1].file)
	if !ok || x.bytes > size {
		return false
	}
	s.take(seg, &info, &carry)
	for _, c := range x.spans {
		s.group(c.group).add(c)
	}
	for _, c := range x.clocks {
		s.group(c.group).clocks.add(c)
	}
	for j := range x.blocks {
		s.mu.number = max(s.mu.number, x.blocks[j].number)
	}
	s.mu.blocks = append(s.mu.blocks, x.blocks...)
	seg.bytes = size
	return true
}

// indexedClocks are the clocks of a group that a segment has, by what the next says of it.
func (s *Store) indexedClocks(number uint64, group uint16) (all []clock, ok bool) {
	s.mu.Lock()
	i := slices.IndexFunc(s.mu.segments, func(g segment) bool { return g.number == number })
	if i < 0 || i+1 == len(s.mu.segments) {
		s.mu.Unlock()
		return nil, false
	}
	own, behind := s.mu.segments[i].file, s.mu.segments[i+1].file
	s.mu.Unlock()
	x, ok := s.readIndex(number, behind)
	if !ok {
		return nil, false
	}
	if info, carry, err := s.readHead(own, alignBytes); err == nil && info.kind == kindCarry {
		all = ascending(all, carry.clocks, group)
	}
	return ascending(all, x.clocks, group), true
}

// ascending appends the clocks of a group that come after the last.
func ascending(all, more []clock, group uint16) []clock {
	for _, c := range more {
		if n := len(all); c.group == group && (n == 0 || all[n-1].at < c.at) {
			all = append(all, c)
		}
	}
	return all
}

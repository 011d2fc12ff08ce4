package lockfsm

import (
	"fmt"
	"math/bits"
)

// ref is the index of an entry in an arena. Zero is no entry.
type ref uint32

// slot is one place of a table: the entry and its hash. An empty slot has ref
// zero.
type slot struct {
	hash uint32
	ref  ref
}

const (
	tableMinSlots = 16
	// tableChunk is how many slots are allocated, and freed, at a time: 2 KiB.
	tableChunk = 256
	// A table doubles while it is small; from growGently slots on it grows by a
	// quarter, so that it is never less than six tenths full.
	growGently = 4096
	// migrateSteps is how much of the old table an insert moves. A table of n
	// slots grows at 4n/5 entries; emptying it takes less than 2n steps, so the
	// part that is still to be moved never becomes more than nine tenths full.
	migrateSteps = 32
)

// table finds entries by hash: open addressing, linear probing, backward-shift
// deletion, so that no amount of churn slows it down. It holds refs only; the
// owner compares keys.
//
// The home of an entry is its hash times the size, so entries stand about in the
// order of their hashes, and a larger table has them in the same order. Growing
// moves them over from the front, a few with each insert: no insert waits for
// it, and both tables together are hardly larger than one, because what has been
// moved is freed and what has not been reached is not allocated yet.
type table struct {
	now layout
	// old is the smaller table while there is one. Invariant: an entry whose home
	// in old is at cursor or behind stands in old, all others in now.
	old    layout
	cursor uint32
	n      int // entries in both
}

// layout is a row of slots with so many homes. Runs do not wrap: they may go on
// behind the last home. Chunks that are not there, behind the last or before
// the cursor of a table, are empty.
type layout struct {
	chunks []*[tableChunk]slot
	size   uint32
}

func (l *layout) home(hash uint32) uint32 { return uint32(uint64(hash) * uint64(l.size) >> 32) }

func (l *layout) at(i uint32) slot {
	if c := i / tableChunk; c < uint32(len(l.chunks)) {
		return l.chunks[c][i%tableChunk]
	}
	return slot{}
}

// set fills a slot. Requires: it has been there before, or is next to one.
func (l *layout) set(i uint32, s slot) { l.chunks[i/tableChunk][i%tableChunk] = s }

// place puts an entry into the first free slot from its home on.
func (l *layout) place(s slot) {
	i := l.home(s.hash)
	for l.at(i).ref != 0 {
		i++
	}
	for i/tableChunk >= uint32(len(l.chunks)) {
		l.chunks = append(l.chunks, new([tableChunk]slot))
	}
	l.set(i, s)
}

// cut removes an entry and reports whether it was there.
func (l *layout) cut(hash uint32, r ref) bool {
	for i := l.home(hash); ; i++ {
		switch s := l.at(i); {
		case s.ref == 0:
			return false
		case s.ref == r && s.hash == hash:
			l.shiftBack(i)
			return true
		}
	}
}

// free lets go of a chunk that is empty.
func (l *layout) free(c uint32) {
	if c < uint32(len(l.chunks)) {
		l.chunks[c] = nil
	}
}

// shiftBack empties the slot at i and closes the gap: each later entry of the
// run moves into it unless that would put it before its home.
func (l *layout) shiftBack(i uint32) {
	for j := i + 1; ; j++ {
		s := l.at(j)
		if s.ref == 0 {
			break
		}
		if l.home(s.hash) <= i {
			l.set(i, s)
			i = j
		}
	}
	l.set(i, slot{})
}

// layoutOf returns where entries of a hash stand.
func (t *table) layoutOf(hash uint32) *layout {
	if t.old.size > 0 && t.old.home(hash) >= t.cursor {
		return &t.old
	}
	return &t.now
}

// probe walks the entries whose hash equals the one sought.
type probe struct {
	in   *layout
	at   uint32
	hash uint32
}

func (t *table) probe(hash uint32) probe {
	in := t.layoutOf(hash)
	return probe{in: in, at: in.home(hash), hash: hash}
}

// next returns the next candidate, or zero when there is none.
func (p *probe) next() ref {
	for {
		s := p.in.at(p.at)
		p.at++
		if s.ref == 0 || s.hash == p.hash {
			return s.ref
		}
	}
}

// insert adds an entry. Requires: it is not in the table.
func (t *table) insert(hash uint32, r ref) {
	if t.old.size > 0 {
		t.migrate(migrateSteps)
	}
	if (t.n+1)*5 > int(t.now.size)*4 {
		t.grow()
	}
	t.n++
	t.layoutOf(hash).place(slot{hash, r})
}

// remove deletes an entry. Requires: it is in the table under that hash.
func (t *table) remove(hash uint32, r ref) {
	if !t.layoutOf(hash).cut(hash, r) {
		panic(fmt.Sprintf("lockfsm: table entry %d with hash %#x is missing", r, hash))
	}
	t.n--
}

// reserve makes room for n entries. Requires: the table is empty.
func (t *table) reserve(n uint32) {
	t.now = layout{size: max(tableMinSlots, n+n/4+1)}
}

// fill puts all entries of a table that is empty into it. It shows those with equal
// hashes to clash, and when that reports true it returns the later one, having
// left out the rest. It is fast if they come about in the order of their hashes.
func (t *table) fill(all []slot, clash func(a, b ref) bool) ref {
	t.reserve(uint32(len(all)))
	l := &t.now
	l.chunks = make([]*[tableChunk]slot, 0, l.size/tableChunk+2)
	for _, s := range all {
		i := l.home(s.hash)
		for {
			for i/tableChunk >= uint32(len(l.chunks)) {
				l.chunks = append(l.chunks, new([tableChunk]slot))
			}
			at := &l.chunks[i/tableChunk][i%tableChunk]
			if at.ref == 0 {
				*at = s
				break
			}
			if at.hash == s.hash && clash(at.ref, s.ref) {
				return s.ref
			}
			i++
		}
		t.n++
	}
	return 0
}

// memoryBytes is what the slots of both tables occupy.
func (t *table) memoryBytes() uint64 {
	freed := min(int(t.cursor/tableChunk), len(t.old.chunks))
	return uint64(len(t.now.chunks)+len(t.old.chunks)-freed) * tableChunk * slotBytes
}

func (t *table) grow() {
	if t.old.size > 0 {
		t.migrate(2*int(t.old.size) + t.n)
	}
	size := t.now.size + t.now.size/4
	if t.now.size < growGently {
		size = max(tableMinSlots, 2*t.now.size)
	}
	t.old, t.cursor = t.now, 0
	t.now = layout{size: size, chunks: make([]*[tableChunk]slot, 0, size/tableChunk+2)}
}

// migrate moves or passes about so many entries and slots of old, all of one home
// together. What stands at the cursor has its home there: those before it are
// gone, and nothing stands before its home.
func (t *table) migrate(steps int) {
	for ; steps > 0 && t.cursor < t.old.size; steps-- {
		for s := t.old.at(t.cursor); s.ref != 0; s = t.old.at(t.cursor) {
			t.old.shiftBack(t.cursor)
			t.now.place(s)
			steps--
		}
		t.cursor++
		if t.cursor%tableChunk == 0 {
			t.old.free(t.cursor/tableChunk - 1)
		}
	}
	if t.cursor == t.old.size {
		t.old, t.cursor = layout{}, 0
	}
}

// hashBytes mixes b with a seed. It is not cryptographic; the seed keeps names
// that collide from being found by trying.
func hashBytes(seed uint64, b []byte) uint64 {
	h := mix(seed^0x9e3779b97f4a7c15, uint64(len(b))^0xe7037ed1a0b428db)
	for ; len(b) >= 16; b = b[16:] {
		h = mix(load64(b)^h, load64(b[8:])^0x8ebc6af09c88c6e3)
	}
	if len(b) >= 8 {
		h = mix(load64(b)^h, 0x589965cc75374cc3)
		b = b[8:]
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	return mix(tail^h, 0x1d8e4e27c47d124f)
}

// hashPair mixes two numbers with a seed.
func hashPair(seed, a, b uint64) uint32 {
	return uint32(mix(mix(seed^0x9e3779b97f4a7c15, a^0xe7037ed1a0b428db), b^0x8ebc6af09c88c6e3))
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func load64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

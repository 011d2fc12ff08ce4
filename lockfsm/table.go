package lockfsm

import (
	"fmt"
	"math/bits"
)

// ref is the index of an entry in an arena. Zero is no entry.
type ref uint32

// slot is one place of a table: the entry and as much of its hash as finds its
// home. An empty slot has ref zero.
type slot struct {
	hash uint32
	ref  ref
}

const (
	tableMinSlots = 16
	// migrateSteps is how much of the old table an insert moves. A table of n
	// slots doubles at 7n/8 entries and is full again after as many inserts;
	// emptying the old one takes n + 7n/8 steps, less than three per insert.
	migrateSteps = 4
)

// table finds entries by hash: open addressing, linear probing, backward-shift
// deletion, so that no amount of churn slows it down. It holds refs only; the
// owner compares keys. It doubles without a stall: while old is not empty,
// every insert moves a few entries over and lookups look in both.
type table struct {
	slots []slot
	old   []slot
	// cursor is the first slot of old that may be in use. Invariant: all before
	// it are empty.
	cursor int
	n      int // entries in both
}

// probe walks the entries whose hash equals the one sought.
type probe struct {
	t    *table
	now  []slot
	at   uint32
	hash uint32
	last bool // now is the last table to look in
}

func (t *table) probe(hash uint32) probe {
	p := probe{t: t, now: t.slots, at: hash, hash: hash, last: len(t.old) == 0}
	return p
}

// next returns the next candidate, or zero when there is none.
func (p *probe) next() ref {
	for {
		if len(p.now) > 0 {
			mask := uint32(len(p.now) - 1)
			for {
				s := p.now[p.at&mask]
				if s.ref == 0 {
					break
				}
				p.at++
				if s.hash == p.hash {
					return s.ref
				}
			}
		}
		if p.last {
			return 0
		}
		p.now, p.at, p.last = p.t.old, p.hash, true
	}
}

// insert adds an entry. Requires: it is not in the table.
func (t *table) insert(hash uint32, r ref) {
	if len(t.old) > 0 {
		t.migrate(migrateSteps)
	}
	if (t.n+1)*8 > len(t.slots)*7 {
		t.grow()
	}
	t.n++
	place(t.slots, slot{hash, r})
}

// remove deletes an entry. Requires: it is in the table under that hash.
func (t *table) remove(hash uint32, r ref) {
	if !cut(t.slots, hash, r) && !cut(t.old, hash, r) {
		panic(fmt.Sprintf("lockfsm: table entry %d with hash %#x is missing", r, hash))
	}
	t.n--
}

// reserveMost bounds what reserve believes: the number comes from a record whose
// damage shows only when all have been read.
const reserveMost = 1 << 20

// reserve makes room for n entries. Requires: the table is empty.
func (t *table) reserve(n uint32) {
	size := tableMinSlots
	for size*7 < int(min(n, reserveMost))*8 {
		size *= 2
	}
	t.slots = make([]slot, size)
}

func (t *table) grow() {
	if len(t.old) > 0 {
		t.migrate(len(t.old) * 2)
	}
	t.old, t.cursor = t.slots, 0
	t.slots = make([]slot, max(tableMinSlots, 2*len(t.slots)))
}

// migrate moves or passes up to steps slots of old.
func (t *table) migrate(steps int) {
	for ; steps > 0 && t.cursor < len(t.old); steps-- {
		s := t.old[t.cursor]
		if s.ref == 0 {
			t.cursor++
			continue
		}
		shiftBack(t.old, uint32(t.cursor))
		place(t.slots, s)
	}
	if t.cursor == len(t.old) {
		t.old, t.cursor = nil, 0
	}
}

func place(slots []slot, s slot) {
	mask := uint32(len(slots) - 1)
	i := s.hash & mask
	for slots[i].ref != 0 {
		i = (i + 1) & mask
	}
	slots[i] = s
}

func cut(slots []slot, hash uint32, r ref) bool {
	if len(slots) == 0 {
		return false
	}
	mask := uint32(len(slots) - 1)
	for i := hash & mask; slots[i].ref != 0; i = (i + 1) & mask {
		if slots[i].ref == r && slots[i].hash == hash {
			shiftBack(slots, i)
			return true
		}
	}
	return false
}

// shiftBack empties the slot at i and closes the gap: each later entry of the
// run moves into it unless that would put it before its home.
func shiftBack(slots []slot, i uint32) {
	mask := uint32(len(slots) - 1)
	for j := (i + 1) & mask; slots[j].ref != 0; j = (j + 1) & mask {
		home := slots[j].hash & mask
		if (j-home)&mask >= (j-i)&mask {
			slots[i] = slots[j]
			i = j
		}
	}
	slots[i] = slot{}
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

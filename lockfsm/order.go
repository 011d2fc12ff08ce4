package lockfsm

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// keyed is an entry with the part of its key by which it is being sorted. The
// arenas are far larger than any cache: a sort that looked a key up for every
// comparison would wait for memory most of its time.
type keyed struct {
	key uint64
	ref ref
}

func byKey(a, b keyed) int { return cmp.Compare(a.key, b.key) }

// keepKeyed bounds the scratch memory of sorting that outlives a call: every
// group has a machine, and they do not sort much at the same time.
const keepKeyed = 4096

// takeKeyed returns scratch for n entries.
func (m *Machine) takeKeyed(n int) []keyed {
	if cap(m.keyed) < n {
		m.keyed = make([]keyed, n)
	}
	return m.keyed[:n]
}

// giveKeyed ends the use of what takeKeyed returned.
func (m *Machine) giveKeyed() {
	if cap(m.keyed) > keepKeyed {
		m.keyed = nil
	}
}

// sortBy sorts refs by a number that no two of them share.
func (m *Machine) sortBy(refs []ref, number func(ref) uint64) {
	all := m.takeKeyed(len(refs))
	for i, r := range refs {
		all[i] = keyed{number(r), r}
	}
	sortKeyed(all)
	for i := range all {
		refs[i] = all[i].ref
	}
	m.giveKeyed()
}

const (
	// digitBits is how much of a number one pass of a sort by digits looks at.
	digitBits = 11
	// Below digitLeast entries, or above digitMost passes, comparing is faster.
	digitLeast = 4096
	digitMost  = 4
)

// sortKeyed sorts by key. Numbers that lie close together, as the stamps of a
// machine do, take a few passes by digits, the last digit first, which for a
// hundred thousand of them is a fraction of what comparing them costs.
func sortKeyed(all []keyed) {
	if len(all) < digitLeast {
		slices.SortFunc(all, byKey)
		return
	}
	least, most := all[0].key, all[0].key
	for i := range all {
		least, most = min(least, all[i].key), max(most, all[i].key)
	}
	width := bits.Len64(most - least)
	if width > digitMost*digitBits {
		slices.SortFunc(all, byKey)
		return
	}
	from, to := all, make([]keyed, len(all))
	for shift := 0; shift < width; shift += digitBits {
		sortDigit(to, from, digit{least, shift})
		from, to = to, from
	}
	if &from[0] != &all[0] {
		copy(all, from)
	}
}

// digit chooses the digit of a key, above the least, by which one pass sorts.
type digit struct {
	least uint64
	shift int
}

func (d digit) of(k keyed) uint64 { return (k.key - d.least) >> d.shift & (1<<digitBits - 1) }

// sortDigit puts the entries of from into to, in the order of one digit; those
// in which it is equal stay in the order they have.
func sortDigit(to, from []keyed, d digit) {
	var places [1 << digitBits]uint32
	for _, k := range from {
		places[d.of(k)]++
	}
	next := uint32(0)
	for i, n := range places {
		places[i] = next
		next += n
	}
	for _, k := range from {
		at := &places[d.of(k)]
		to[*at] = k
		*at++
	}
}

// sortSlots sorts slots by hash, in one of two rows of equal length, which it
// returns.
func sortSlots(all, spare []slot) []slot {
	least, most := ^uint32(0), uint32(0)
	for _, s := range all {
		least, most = min(least, s.hash), max(most, s.hash)
	}
	if len(all) < digitLeast {
		slices.SortFunc(all, func(a, b slot) int { return cmp.Compare(a.hash, b.hash) })
		return all
	}
	for shift := 0; (most-least)>>shift > 0; shift += digitBits {
		spread(spare, all, least, shift)
		all, spare = spare, all
	}
	return all
}

// byHome returns slots by the leading digit of their hashes, in one of two rows.
func byHome(all, spare []slot) []slot {
	if len(all) < digitLeast {
		return all
	}
	spread(spare[:len(all)], all, 0, 32-digitBits)
	return spare[:len(all)]
}

// spread is sortDigit for slots.
func spread(to, from []slot, least uint32, shift int) {
	var places [1 << digitBits]uint32
	for _, s := range from {
		places[(s.hash-least)>>shift&(1<<digitBits-1)]++
	}
	next := uint32(0)
	for i, n := range places {
		places[i] = next
		next += n
	}
	for _, s := range from {
		at := &places[(s.hash-least)>>shift&(1<<digitBits-1)]
		to[*at] = s
		*at++
	}
}

// sortLocks sorts locks by the bytes of their names.
func (m *Machine) sortLocks(refs []ref) {
	all := m.takeKeyed(len(refs))
	for i, r := range refs {
		all[i].ref = r
	}
	m.sortNames(all, 0)
	for i := range all {
		refs[i] = all[i].ref
	}
	m.giveKeyed()
}

// sortNames sorts locks whose names are equal before the byte at: by the next
// eight bytes in which they may differ, and then each run in which these are
// equal too. A name that ends there sorts as if zeros followed, which puts it
// before all that go on. It calls itself at most once for eight bytes of name.
func (m *Machine) sortNames(all []keyed, at int) {
	if len(all) < 2 {
		return
	}
	at = m.commonPrefix(all, at)
	for i := range all {
		all[i].key = nameKey(m.lockName(m.locks.at(all[i].ref)), at)
	}
	slices.SortFunc(all, byKey)
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].key == all[from].key {
			to++
		}
		m.sortRun(all[from:to], at+8)
		from = to
	}
}

// sortRun sorts locks whose names are equal before the byte at, as far as they
// reach. Those that end before it differ in their length alone.
func (m *Machine) sortRun(run []keyed, at int) {
	if len(run) < 2 {
		return
	}
	rest := run[:0]
	for i := range run {
		if n := len(m.lockName(m.locks.at(run[i].ref))); n <= at {
			run[i].key = uint64(n)
			run[i], run[len(rest)] = run[len(rest)], run[i]
			rest = run[:len(rest)+1]
		}
	}
	slices.SortFunc(rest, byKey)
	m.sortNames(run[len(rest):], at)
}

// commonPrefix returns how many bytes the names share, of which at are known.
func (m *Machine) commonPrefix(all []keyed, at int) int {
	first := m.lockName(m.locks.at(all[0].ref))
	shared := len(first)
	for i := 1; i < len(all) && shared > at; i++ {
		name := m.lockName(m.locks.at(all[i].ref))
		shared = min(shared, len(name))
		for k := at; k < shared; k++ {
			if name[k] != first[k] {
				shared = k
			}
		}
	}
	return max(shared, at)
}

// nameKey returns the eight bytes of a name from at on, zeros behind its end.
func nameKey(name []byte, at int) uint64 {
	if len(name) >= at+8 {
		return binary.BigEndian.Uint64(name[at:])
	}
	var b [8]byte
	if at < len(name) {
		copy(b[:], name[at:])
	}
	return binary.BigEndian.Uint64(b[:])
}

package lockfsm

import "fmt"

// bulk is scratch for the end of loading: two rows as long as the longest table.
// The tables of a loaded machine are filled once all is there, by the leading
// digit of their hashes: a million inserts in any other order would each wait
// for memory several times.
type bulk struct{ all, spare []keyed }

func (m *Machine) newBulk() bulk {
	n := max(m.lockCount, m.claimCount)
	return bulk{make([]keyed, n), make([]keyed, n)}
}

// byHash returns n entries by the leading digit of their hashes. It is borrowed
// until the next use of b. Requires: entries 1 to n of the arena are in use.
func (b *bulk) byHash(n uint32, hash func(ref) uint32) []keyed {
	all := b.all[:n]
	for i := range all {
		r := ref(i + 1)
		all[i] = keyed{uint64(hash(r)), r}
	}
	if n < digitLeast {
		return all
	}
	sorted := b.spare[:n]
	sortDigit(sorted, all, digit{least: 0, shift: 32 - digitBits})
	return sorted
}

// indexLocks fills the table of names. Requires: no lock was ever freed. Names
// differ, because records come in ascending order of key.
func (m *Machine) indexLocks(b *bulk) {
	m.byName.reserve(m.lockCount)
	for _, k := range b.byHash(m.lockCount, func(r ref) uint32 {
		return m.hashName(m.lockName(m.locks.at(r)))
	}) {
		m.byName.insert(uint32(k.key), k.ref)
	}
}

// indexClaims fills the table of requests, and fails if two claims of a session
// that are not parts of one acquire have one. Requires: no claim was ever freed.
func (m *Machine) indexClaims(b *bulk) error {
	m.byRequest.reserve(m.claimCount)
	for _, k := range b.byHash(m.claimCount, func(r ref) uint32 {
		c := m.claims.at(r)
		return m.hashRequest(m.sessions.at(c.session), c.request)
	}) {
		hash := uint32(k.key)
		if c := m.claims.at(k.ref); c.isPart() {
			if !m.joinsParts(k.ref) {
				return fmt.Errorf("%w: part %d of session %d, request %d", ErrDamaged, c.extra,
					m.sessions.at(c.session).id, c.request)
			}
			if m.partBefore(k.ref) != 0 {
				continue // the first stands for it
			}
		}
		p := m.byRequest.probe(hash)
		for r := p.next(); r != 0 && !plantedIs("dedup-off"); r = p.next() {
			if m.sameRequest(r, k.ref) {
				c := m.claims.at(r)
				return fmt.Errorf("%w: second claim of session %d, request %d", ErrDamaged,
					m.sessions.at(c.session).id, c.request)
			}
		}
		m.byRequest.insert(hash, k.ref)
	}
	return nil
}

// joinsParts reports whether a part belongs where it stands: behind the one before
// it, or first. Of those that wait none is missing.
func (m *Machine) joinsParts(r ref) bool {
	c, br := m.claims.at(r), m.partBefore(r)
	if br == 0 {
		return c.state == claimHolds || c.extra == 1
	}
	before := m.claims.at(br)
	return before.extra < c.extra && before.token() == c.token() && before.state == c.state &&
		before.weight == c.weight && before.flags&claimDetects == c.flags&claimDetects &&
		(c.state == claimHolds || before.extra+1 == c.extra)
}

// sameRequest reports whether a retry could not tell two claims apart: detached
// holds of one owner have a session each.
func (m *Machine) sameRequest(a, b ref) bool {
	x, y := m.claims.at(a), m.claims.at(b)
	of, s := m.sessions.at(x.session), m.sessions.at(y.session)
	return x.request == y.request && of.id == s.id && of.kind == s.kind
}

// linkClaims fills the sessions' lists in the order of the stamps. Requires: no
// claim was ever freed.
func (m *Machine) linkClaims(b *bulk) error {
	all := b.all[:m.claimCount]
	for i := range all {
		r := ref(i + 1)
		all[i] = keyed{uint64(m.claims.at(r).stamp), r}
	}
	if !plantedIs("claims-in-order-of-table") {
		sortWith(all, b.spare)
	}
	var last uint64
	for _, k := range all {
		if k.key == last {
			return fmt.Errorf("%w: stamp %d given twice", ErrDamaged, last)
		}
		last = k.key
		m.linkOwn(m.sessions.at(m.claims.at(k.ref).session), k.ref)
	}
	return nil
}

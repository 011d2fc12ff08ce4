package lockfsm

import "fmt"

// The tables of a loaded machine are filled once all is there, by the leading
// digit of their hashes: a million inserts in any other order would each wait for
// memory several times. All that this takes of the entries was noted when they
// were loaded.

// wideStamps stands for all stamps that are so many or more below the last one
// given out.
const wideStamps = 1<<32 - 1

// indexLocks fills the table of names. Names differ, because records come in
// ascending order of key.
func (m *Machine) indexLocks(spare []slot) {
	m.byName.fill(byHome(m.loading.names, spare), func(_, _ ref) bool { return false })
}

// indexClaims fills the table of requests, and fails if two claims of a session
// that are not parts of one acquire have one.
func (m *Machine) indexClaims(spare []slot) error {
	all := byHome(m.loading.requests, spare)
	if m.partCount > 0 {
		var err error
		if all, err = m.firstParts(all); err != nil {
			return err
		}
	}
	twice := m.byRequest.fill(all, func(a, b ref) bool {
		return m.sameRequest(a, b) && !plantedIs("dedup-off")
	})
	if twice != 0 {
		c := m.claims.at(twice)
		return fmt.Errorf("%w: second claim of session %d, request %d", ErrDamaged,
			m.sessions.at(c.session).id, c.request)
	}
	return nil
}

// firstParts drops from all the parts behind the first, which stands for them.
func (m *Machine) firstParts(all []slot) ([]slot, error) {
	kept := all[:0]
	for _, s := range all {
		if c := m.claims.at(s.ref); c.isPart() {
			if !m.joinsParts(s.ref) {
				return nil, fmt.Errorf("%w: part %d of session %d, request %d", ErrDamaged, c.part(),
					m.sessions.at(c.session).id, c.request)
			}
			if m.partBefore(s.ref) != 0 {
				continue
			}
		}
		kept = append(kept, s)
	}
	return kept, nil
}

// joinsParts reports whether a part belongs where it stands: behind the one before
// it, or first. Of those that wait none is missing.
func (m *Machine) joinsParts(r ref) bool {
	c, br := m.claims.at(r), m.partBefore(r)
	if br == 0 {
		return c.state == claimHolds || c.part() == 1
	}
	before := m.claims.at(br)
	return before.part() < c.part() && before.token() == c.token() && before.state == c.state &&
		before.weight == c.weight && m.ownerOf(br) == m.ownerOf(r) &&
		before.flags&claimDetects == c.flags&claimDetects &&
		(c.state == claimHolds || before.part()+1 == c.part())
}

// sameRequest reports whether a retry could not tell two claims apart: detached
// holds of one owner have a session each.
func (m *Machine) sameRequest(a, b ref) bool {
	x, y := m.claims.at(a), m.claims.at(b)
	of, s := m.sessions.at(x.session), m.sessions.at(y.session)
	return x.request == y.request && of.id == s.id && of.kind == s.kind
}

// linkClaims fills the sessions' lists in the order of the stamps, and counts
// what each session has.
func (m *Machine) linkClaims(spare []slot) error {
	all := m.loading.stamps
	if !plantedIs("claims-in-order-of-table") {
		all = m.byStamp(all, spare)
	}
	last := Token(0)
	for len(all) > 0 {
		// The claims stand anywhere. To look at some of them first, one look not
		// waiting for the other, costs less than to wait for each while it is linked.
		var near [claimsNear]struct {
			stamp   Token
			session ref
		}
		some := all[:min(len(all), claimsNear)]
		for i, s := range some {
			c := m.claims.at(s.ref)
			near[i].stamp, near[i].session = c.stamp, c.session
		}
		for i, s := range some {
			if near[i].stamp == last {
				return fmt.Errorf("%w: stamp %d given twice", ErrDamaged, last)
			}
			last = near[i].stamp
			of := m.sessions.at(near[i].session)
			if of.kind == kindSession {
				of.count++
			}
			m.linkOwn(of, s.ref)
		}
		all = all[len(some):]
	}
	return nil
}

// claimsNear is how many claims linkClaims looks at before it links them.
const claimsNear = 32

// byStamp returns the claims in the order of their stamps, in one of the two
// rows.
func (m *Machine) byStamp(all, spare []slot) []slot {
	wide := false
	for i := range all {
		wide = wide || all[i].hash == wideStamps
		all[i].hash = ^all[i].hash // the later, the larger
	}
	if !wide {
		return sortSlots(all, spare[:len(all)])
	}
	stamps := make([]keyed, len(all))
	for i, s := range all {
		stamps[i] = keyed{uint64(m.claims.at(s.ref).stamp), s.ref}
	}
	sortKeyed(stamps)
	for i, k := range stamps {
		all[i].ref = k.ref
	}
	return all
}

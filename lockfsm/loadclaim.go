package lockfsm

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// stamped reports whether a claim has a request and a stamp, as all do.
func (m *Machine) stamped(c *claim) bool {
	return c.request != 0 && c.stamp != 0 && c.stamp <= m.stamps
}

// noteClaim counts a claim and notes what it is found by.
func (m *Machine) noteClaim(n ref, c *claim, hash uint32) {
	m.claimCount++
	m.loading.requests = append(m.loading.requests, slot{hash, n})
	m.loading.stamps = append(m.loading.stamps,
		slot{uint32(min(m.stamps-c.stamp, wideStamps)), n})
}

// loadClaim reads a claim, joins it to its session and puts it into its place.
func (m *Machine) loadClaim(lr ref, state claimState, r *reader) error {
	l := m.locks.at(lr)
	n := m.allocClaim()
	c := m.claims.at(n)
	*c = claim{lock: lr, state: state}
	flags := r.u8()
	c.mode, c.weight = Mode(r.u8()), r.u8()
	id := SessionID(r.u64())
	m.loadStamps(c, r)
	if !claimFlagsFit(flags, state, r.version) || !c.mode.Valid() {
		return fmt.Errorf("%w: claim of session %d, request %d", ErrDamaged, id, c.request)
	}
	if l.semaphore() {
		c.extra = r.u32()
		if c.mode != ModeNL || c.extra == 0 || Permits(c.extra) > l.capacity() ||
			flags&claimOwned != 0 {
			return fmt.Errorf("%w: claim of session %d on %d of %d permits",
				ErrDamaged, id, c.extra, l.capacity())
		}
	}
	if flags&claimPartBit != 0 {
		if c.extra = uint32(r.u8()); c.extra == 0 || c.extra > MaxParts || l.semaphore() {
			return fmt.Errorf("%w: claim of session %d is part %d", ErrDamaged, id, c.extra)
		}
		c.flags |= claimPart
		m.partCount++
	}
	if l.gate() != 0 && (flags&^claimDetached != 0 || c.mode != ModeNL) ||
		(id == 0) != (l.gate() != 0 && state == claimHolds) {
		return fmt.Errorf("%w: claim of session %d, request %d, at a gate", ErrDamaged, id, c.request)
	}
	if flags&claimDetached != 0 {
		c.session = m.loadedDetached(c.stamp)
	} else {
		c.session = m.loadedSession(id)
	}
	if err := m.loadJoin(n, id, r); err != nil {
		return err
	}
	if flags&claimOwned != 0 {
		if err := m.loadStack(n, id, r); err != nil {
			return err
		}
	}
	if flags&claimMovedBit != 0 {
		m.mark(c, c.flags|claimMoved)
	}
	if flags&claimTurnsBit != 0 {
		if err := m.loadConversion(n, id, r); err != nil {
			return err
		}
	}
	if flags&claimTermsBit != 0 {
		if err := m.loadTerms(n, r); err != nil {
			return err
		}
	}
	if flags&claimDetectsBit != 0 { // with its owner
		m.detect(n)
	}
	return m.loadPlace(l, n)
}

// claimFlagsFit reports whether a claim in that state may have these flags in a
// record of that version.
func claimFlagsFit(flags byte, state claimState, version uint8) bool {
	known := byte(claimDetached)
	if version >= FormatKinds {
		known |= claimOwned
	}
	if version >= FormatWhole {
		known |= claimTermsBit
	}
	if version >= FormatWhole && state == claimHolds {
		known |= claimMovedBit | claimTurnsBit
	}
	if version >= FormatWhole && state == claimWaits {
		known |= claimDetectsBit
	}
	if version >= FormatWhole && flags&claimPartBit != 0 {
		return flags&^(known&(claimTermsBit|claimDetectsBit)) == claimPartBit
	}
	return flags&^known == 0 && flags&(claimDetached|claimOwned) != claimDetached|claimOwned &&
		flags&(claimDetached|claimTurnsBit) != claimDetached|claimTurnsBit
}

// loadConversion reads the conversion of a hold.
func (m *Machine) loadConversion(hold ref, id SessionID, r *reader) error {
	n := m.allocClaim()
	c, h := m.claims.at(n), m.claims.at(hold)
	*c = claim{lock: h.lock, session: h.session, weight: h.weight, state: claimConverted}
	m.loadStamps(c, r)
	c.mode = Mode(r.u8())
	state := r.u8()
	if err := m.loadJoin(n, id, r); err != nil {
		return err
	}
	m.attach(hold, n)
	switch {
	case !c.mode.Valid() || m.locks.at(h.lock).semaphore():
	case state == conversionGranted && h.flags&claimMoved != 0:
		return nil
	case (state == conversionWaits || state == conversionDetects) && !h.mode.noStronger(c.mode):
		c.state = claimConverts
		if state == conversionDetects {
			m.detect(n)
		}
		m.loading.turns = append(m.loading.turns, n)
		return nil
	}
	return fmt.Errorf("%w: conversion of session %d, request %d", ErrDamaged, id, c.request)
}

// loadTurns puts the waiting conversions of a lock into its queue, which is empty.
func (m *Machine) loadTurns(l *lock) {
	slices.SortFunc(m.loading.turns, func(a, b ref) int {
		return cmp.Compare(m.claims.at(a).stamp, m.claims.at(b).stamp)
	})
	for _, r := range m.loading.turns {
		m.link(&l.waiters, r, 0)
		l.waiting++
	}
}

// loadStamps reads what a claim and a level have in common.
func (m *Machine) loadStamps(c *claim, r *reader) {
	c.request = RequestID(r.u64())
	c.stamp = Token(r.u64())
	c.since = Time(r.u64())
}

// loadJoin joins a claim to its session, which has id. Of a session that is done
// when all claims are there: they come in an order in which memory would have to
// be waited for.
func (m *Machine) loadJoin(n ref, id SessionID, r *reader) error {
	c := m.claims.at(n)
	if r.failed || !m.stamped(c) {
		return fmt.Errorf("%w: claim of session %d, request %d, stamp %d",
			ErrDamaged, id, c.request, c.stamp)
	}
	if c.session == 0 {
		return fmt.Errorf("%w: claim of unknown session %d", ErrDamaged, id)
	}
	k := kindSession
	if int(c.session) > len(m.loading.ids) {
		s := m.sessions.at(c.session)
		if s.id != id || s.count != 0 || c.state != claimHolds {
			return fmt.Errorf("%w: second claim of session %d, request %d", ErrDamaged, id, c.request)
		}
		k = s.kind
		s.count++
	}
	m.noteClaim(n, c, m.hashOf(k, id, c.request))
	return nil
}

// loadStack reads the owner and the levels of a claim.
func (m *Machine) loadStack(n ref, id SessionID, r *reader) error {
	c := m.claims.at(n)
	o, levels := Owner(r.u64()), r.u32()
	if o == 0 || m.findOwned(c.lock, c.session, o) != 0 {
		return fmt.Errorf("%w: second claim of owner %d in session %d", ErrDamaged, o, id)
	}
	if have := (len(r.b) - r.at) / levelRecordBytes; r.failed || uint64(levels) > uint64(have) {
		return fmt.Errorf("%w: %d levels in %d bytes", ErrDamaged, levels, len(r.b))
	}
	m.own(n, o)
	last := Token(0)
	for range levels {
		up := m.allocClaim()
		l := m.claims.at(up)
		*l = claim{lock: c.lock, session: c.session, extra: uint32(n), mode: c.mode,
			weight: c.weight, state: claimEnters}
		m.loadStamps(l, r)
		if err := m.loadJoin(up, id, r); err != nil {
			return err
		}
		if l.stamp <= last {
			return fmt.Errorf("%w: levels out of order at stamp %d", ErrDamaged, l.stamp)
		}
		last = l.stamp
		m.linkLevel(n, up)
	}
	return nil
}

// loadedSession returns the session with an id, or zero. Where no session has ended
// between the first and the last it is the first place where it looks.
func (m *Machine) loadedSession(id SessionID) ref {
	ids := m.loading.ids
	if len(ids) == 0 || id < ids[0] || id > ids[len(ids)-1] {
		return 0
	}
	most, wide := uint64(len(ids)-1), uint64(ids[len(ids)-1]-ids[0])
	i := uint64(id - ids[0])
	if wide > most {
		hi, lo := bits.Mul64(i, most)
		i, _ = bits.Div64(hi, lo, wide)
	}
	if ids[i] == id {
		return ref(i + 1)
	}
	return m.findSession(id)
}

func (m *Machine) loadedDetached(token Token) ref {
	i, ok := slices.BinarySearchFunc(m.loading.detached, uint64(token), func(r ref, t uint64) int {
		return cmp.Compare(m.sessions.at(r).order, t)
	})
	if !ok {
		return 0
	}
	m.loading.claimed++
	return m.loading.detached[i]
}

// loadPlace puts a claim at the end of its list of l.
func (m *Machine) loadPlace(l *lock, n ref) error {
	c := m.claims.at(n)
	head := &l.waiters
	if c.state == claimHolds {
		head = &l.holders
	}
	if *head != 0 {
		last := m.claims.at(m.claims.at(*head).prev)
		// Those of unequal weight stand as the limits say that they were queued by.
		ordered := last.stamp < c.stamp
		if c.state == claimWaits {
			ordered = ordered || last.state == claimConverts || last.weight != c.weight
		}
		if !ordered {
			return fmt.Errorf("%w: claims out of order at stamp %d", ErrDamaged, c.stamp)
		}
	}
	if c.state == claimHolds {
		if l.held&^c.mode.compatible() != 0 || !l.has(l.permits(c)) {
			return fmt.Errorf("%w: incompatible holders at token %d", ErrDamaged, c.stamp)
		}
		m.hold(l, n)
		return nil
	}
	l.waiting++
	m.link(&l.waiters, n, 0)
	return nil
}

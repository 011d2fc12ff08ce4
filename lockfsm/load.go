package lockfsm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// loading is what a machine keeps between Load and Loaded.
type loading struct {
	lastKey  []byte
	detached []ref // in the order of their tokens
	ending   []ref
	claimed  int // of detached
	// turns are the waiting conversions of the lock being loaded.
	turns []ref
	// want are the counts that the meta record promises.
	wantLocks, wantClaims, wantSessions, wantDetached, wantRegisters uint32
}

// Load adds one record of a checkpoint or snapshot to a new machine. It copies
// what it keeps. It fails with ErrDamaged or ErrTooNew, and the machine must
// then be thrown away.
//
// Requires: records come in ascending order of key, and Apply is not called
// before Loaded has returned nil.
func (m *Machine) Load(key, value []byte) error {
	if len(key) == 0 || (m.loading.lastKey == nil) != (key[0] == keyMeta) {
		return fmt.Errorf("%w: record %x, want the meta record once and first", ErrDamaged, key)
	}
	if bytes.Compare(key, m.loading.lastKey) <= 0 {
		return fmt.Errorf("%w: record %x comes after %x", ErrDamaged, key, m.loading.lastKey)
	}
	m.loading.lastKey = append(m.loading.lastKey[:0], key...)
	r, err := openValue(key, value, m.limits.format())
	if err != nil {
		return err
	}
	switch key[0] {
	case keyMeta:
		err = m.loadMeta(key[1:], &r)
	case keySession:
		err = m.loadSession(key[1:], &r)
	case keyDetached:
		err = m.loadDetached(key[1:], &r)
	case keyLock:
		err = m.loadLock(key[1:], &r)
	case keyRegister:
		err = m.loadRegister(key[1:], &r)
	default:
		// A record kind of a later version, beside records of this one.
		return fmt.Errorf("%w: record kind %d", ErrTooNew, key[0])
	}
	if err == nil && (r.failed || r.at != len(r.b)) {
		err = fmt.Errorf("%w: length %d", ErrDamaged, len(value))
	}
	if err != nil {
		return fmt.Errorf("record %x: %w", key, err)
	}
	return nil
}

func (m *Machine) loadMeta(rest []byte, r *reader) error {
	if len(rest) != 0 || m.applied != 0 {
		return fmt.Errorf("%w: meta record of a machine at slot %d", ErrDamaged, m.applied)
	}
	if r.version == FormatKinds {
		return fmt.Errorf("%w: meta record of version %d", ErrDamaged, r.version)
	}
	m.applied = r.u64()
	m.logTime = Time(r.u64())
	m.stamps = Token(r.u64())
	if plantedIs("token-counter-not-in-checkpoint") {
		m.stamps = 0
	}
	m.lastSession = SessionID(r.u64())
	m.endings = r.u64()
	want := &m.loading
	want.wantLocks, want.wantClaims = r.u32(), r.u32()
	want.wantSessions, want.wantDetached = r.u32(), r.u32()
	want.wantRegisters = r.u32()
	if r.version >= FormatWhole {
		m.clock = r.clock()
	}
	sessions := min(want.wantSessions, m.limits.Sessions, believed)
	m.byID.reserve(sessions)
	m.byNonce.reserve(sessions)
	return nil
}

// believed bounds what tables are made of a count in the meta record, whose
// damage shows only when all records have been read.
const believed = 1 << 20

func (m *Machine) loadSession(rest []byte, r *reader) error {
	if len(rest) != 8 {
		return fmt.Errorf("%w: session key", ErrDamaged)
	}
	n := m.newSession(kindSession)
	s := m.sessions.at(n)
	s.id = SessionID(binary.BigEndian.Uint64(rest))
	s.deadline = Time(r.u64())
	s.lease = Millis(r.u32())
	s.epoch = Epoch(r.u32())
	s.order = r.u64()
	state := r.u8()
	copy(s.nonce[:], r.take(len(s.nonce)))
	answers := r.answers()
	name := r.rest()
	ending := state&stateEnding != 0
	switch {
	case r.failed || s.id == 0 || s.id > m.lastSession || len(name) > maxSessionNameBytes:
		return fmt.Errorf("%w: session %d, last id %d", ErrDamaged, s.id, m.lastSession)
	case state&^(stateParked|stateEnding) != 0 || ending != (s.order != 0) || s.order > m.endings:
		return fmt.Errorf("%w: session %d state %d order %d", ErrDamaged, s.id, state, s.order)
	case r.version == FormatKinds || r.version >= FormatWhole && len(answers) == 0 &&
		!plantedIs("answers-not-in-checkpoint"):
		return fmt.Errorf("%w: session %d: version %d says nothing that needs it", ErrDamaged, s.id,
			r.version)
	case !ending && m.findNonce(&s.nonce) != 0:
		return fmt.Errorf("%w: session %d shares its nonce", ErrDamaged, s.id)
	}
	if len(name) > 0 {
		s.name, s.nameBytes = m.names.put(name), uint16(len(name))
	}
	s.flags |= entryStored
	if state&stateParked != 0 {
		s.flags |= entryParked
	}
	m.sessionCount++
	m.byID.insert(m.hashID(s.id), n)
	if ending {
		s.flags |= entryEnding
	}
	if err := m.loadAnswers(n, answers); err != nil {
		return err
	}
	if ending {
		m.loading.ending = append(m.loading.ending, n)
		return nil
	}
	m.due.push(n)
	if !plantedIs("dedup-not-in-checkpoint") {
		m.byNonce.insert(m.hashNonce(&s.nonce), n)
	}
	return nil
}

// answers reads what a session record says of answers, undecoded.
func (r *reader) answers() []byte {
	if r.version < FormatWhole {
		return nil
	}
	n := uint64(r.u32())
	if n*answerRecordBytes > uint64(len(r.b)) {
		r.failed = true
		return nil
	}
	return r.take(int(n) * answerRecordBytes)
}

// loadAnswers keeps the answers of a loaded session.
func (m *Machine) loadAnswers(sr ref, b []byte) error {
	r := reader{b: b}
	for r.at < len(b) {
		a := answer{request: RequestID(r.u64()), value: r.u64(), op: Op(r.u8()), code: Code(r.u8())}
		known := a.op == OpAwait || a.op == OpCountDown || a.op == OpSet || a.op == OpReset
		if a.request == 0 || !known || a.code != CodeOK && (a.code != CodeBroken || a.op != OpAwait) ||
			m.findAnswer(sr, a.request) != 0 {
			return fmt.Errorf("%w: answer to request %d of session %d", ErrDamaged, a.request,
				m.sessions.at(sr).id)
		}
		m.keep(sr, a)
	}
	return nil
}

func (m *Machine) loadDetached(rest []byte, r *reader) error {
	if len(rest) != 8 {
		return fmt.Errorf("%w: detached key", ErrDamaged)
	}
	n := m.newSession(kindDetached)
	s := m.sessions.at(n)
	s.order = binary.BigEndian.Uint64(rest)
	s.id = SessionID(r.u64())
	s.deadline = Time(r.u64())
	s.lease = Millis(r.u32())
	stands := s.id == 0
	if s.order == 0 || Token(s.order) > m.stamps || stands != (r.version >= FormatWhole) ||
		r.version == FormatKinds || s.timeless() && (!stands || s.deadline != forever) {
		return fmt.Errorf("%w: detached hold of owner %d, token %d", ErrDamaged, s.id, s.order)
	}
	s.flags |= entryStored
	m.detachedCount++
	if !s.timeless() {
		m.due.push(n)
	}
	m.loading.detached = append(m.loading.detached, n)
	return nil
}

func (m *Machine) loadLock(name []byte, r *reader) error {
	if len(name) == 0 || len(name) > maxNameBytes {
		return fmt.Errorf("%w: lock name of %d bytes", ErrDamaged, len(name))
	}
	holders, waiters := r.u32(), r.u32()
	var gate GateKind
	valued := false
	if r.version >= FormatWhole && holders>>16&0xff < gateEnd && holders>>24 <= lockValued {
		gate, valued, holders = GateKind(holders>>16), holders>>24 == lockValued, holders&0xffff
	}
	var capacity Permits
	if r.version >= FormatKinds {
		capacity = Permits(r.u32())
	}
	have := uint64(len(r.b)-r.at) / claimRecordBytes
	all := uint64(holders) + uint64(waiters)
	empty := all == 0 && !valued || valued && (gate != 0 || capacity != 0)
	if all > have || empty || holders > maxHoldersPerLock {
		return fmt.Errorf("%w: %d holders and %d waiters in %d bytes",
			ErrDamaged, holders, waiters, len(r.b))
	}
	if capacity > 0 && gate == 0 && plantedIs("capacity-forgotten-in-checkpoint") {
		capacity = 1<<32 - 1
	}
	lr := m.addLock(name)
	l := m.locks.at(lr)
	l.flags |= entryStored
	l.become(capacity)
	if gate != 0 {
		l.becomeGate(gate, uint32(capacity))
	}
	m.lockCount++
	m.loading.turns = m.loading.turns[:0]
	for i := range holders + waiters {
		state := claimHolds
		if i >= holders {
			state = claimWaits
		}
		if i == holders {
			m.loadTurns(l)
		}
		if err := m.loadClaim(lr, state, r); err != nil {
			return err
		}
	}
	if waiters == 0 {
		m.loadTurns(l)
	}
	if valued {
		if err := m.loadValue(lr, r); err != nil {
			return err
		}
	}
	if gate != 0 {
		if err := m.validateGate(l); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if m.lockFormat(l) != r.version {
		return fmt.Errorf("%w: version %d says nothing that needs it", ErrDamaged, r.version)
	}
	return nil
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
		c.session = m.findSession(id)
	}
	if err := m.loadJoin(n, id, r); err != nil {
		return err
	}
	if flags&claimOwned != 0 {
		if err := m.loadStack(n, id, r); err != nil {
			return err
		}
	}
	if flags&claimDetectsBit != 0 {
		m.detect(n)
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

// loadJoin joins a claim to its session, which has id.
func (m *Machine) loadJoin(n ref, id SessionID, r *reader) error {
	c := m.claims.at(n)
	if r.failed || c.request == 0 || c.stamp == 0 || c.stamp > m.stamps {
		return fmt.Errorf("%w: claim of session %d, request %d, stamp %d",
			ErrDamaged, id, c.request, c.stamp)
	}
	if c.session == 0 {
		return fmt.Errorf("%w: claim of unknown session %d", ErrDamaged, id)
	}
	s := m.sessions.at(c.session)
	alone := s.kind == kindSession || s.count == 0 && c.state == claimHolds
	if s.id != id || !alone {
		return fmt.Errorf("%w: second claim of session %d, request %d", ErrDamaged, id, c.request)
	}
	s.count++
	m.claimCount++
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

// Loaded ends loading: it compares counts with the meta record, joins claims to
// their sessions in order and fills the tables by name and by request. It fails
// with ErrDamaged, or with ErrLimits if the content is above the machine's
// limits. A machine into which nothing was loaded is as New made it.
func (m *Machine) Loaded() error {
	want := &m.loading
	if got := uint32(len(m.registers)); got != want.wantRegisters {
		return fmt.Errorf("%w: %d registers; meta record says %d", ErrDamaged, got,
			want.wantRegisters)
	}
	have := [...]uint32{m.lockCount, m.claimCount, m.sessionCount, m.detachedCount}
	meta := [...]uint32{want.wantLocks, want.wantClaims, want.wantSessions, want.wantDetached}
	if have != meta || int(m.detachedCount) != want.claimed {
		return fmt.Errorf("%w: %d locks, claims, sessions, detached holds; meta record says %d",
			ErrDamaged, have, meta)
	}
	limits := [...]uint32{m.limits.Locks, m.limits.Claims, m.limits.Sessions, m.limits.Detached}
	for i := range have {
		if have[i] > limits[i] {
			return fmt.Errorf("%w: %d locks, claims, sessions, detached holds stored, "+
				"limits are %d; raise them", ErrLimits, have, limits)
		}
	}
	if m.dataBytes > uint64(m.limits.DataBytes) {
		return fmt.Errorf("%w: %d bytes of data stored, the limit is %d; raise it", ErrLimits,
			m.dataBytes, m.limits.DataBytes)
	}
	b := m.newBulk()
	if err := m.linkClaims(&b); err != nil {
		return err
	}
	m.indexLocks(&b)
	if err := m.indexClaims(&b); err != nil {
		return err
	}
	if err := m.linkEnding(); err != nil {
		return err
	}
	m.loading = loading{}
	if checkInvariants {
		if err := m.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return nil
}

// linkEnding queues the sessions that were ending.
func (m *Machine) linkEnding() error {
	slices.SortFunc(m.loading.ending, func(a, b ref) int {
		return cmp.Compare(m.sessions.at(a).order, m.sessions.at(b).order)
	})
	var last uint64
	for _, r := range m.loading.ending {
		s := m.sessions.at(r)
		if s.order == last {
			return fmt.Errorf("%w: ending %d given twice", ErrDamaged, last)
		}
		last = s.order
		m.queueEnding(r)
	}
	return nil
}

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
	// ids are those of the sessions, ascending: the i-th is entry i+1.
	ids []SessionID
	// names and requests are what the tables of names and of requests are to hold,
	// and stamps the claims by how many stamps were given out after theirs, in the
	// order of the records. They are noted while each entry is at hand.
	names, requests, stamps []slot
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
	if plantedIs("clock-not-in-checkpoint") {
		m.clock = Clock{}
	}
	sessions := min(want.wantSessions, m.limits.Sessions, believed)
	m.byID.reserve(sessions)
	m.byNonce.reserve(sessions)
	want.ids = make([]SessionID, 0, sessions)
	want.names = make([]slot, 0, min(want.wantLocks, m.limits.Locks, believed))
	claims := min(want.wantClaims, m.limits.Claims, believed)
	want.requests, want.stamps = make([]slot, 0, claims), make([]slot, 0, claims)
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
	m.loading.ids = append(m.loading.ids, s.id)
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
	m.addDetached(n, Token(s.order))
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
	if m.loadPlain(name, r) {
		return nil
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
	lr, l := m.loadName(name)
	l.become(capacity)
	if gate != 0 {
		l.becomeGate(gate, uint32(capacity))
	}
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

// loadName makes the lock of a record.
func (m *Machine) loadName(name []byte) (ref, *lock) {
	lr := m.addLock(name)
	l := m.locks.at(lr)
	l.flags |= entryStored
	m.lockCount++
	m.loading.names = append(m.loading.names, slot{m.hashName(name), lr})
	return lr, l
}

// plainBytes is the length of the value of a plain lock.
const plainBytes = 1 + 4 + 4 + claimRecordBytes

// loadPlain loads a lock of which there is no more to say than that a session
// holds it, as most are. Any other it leaves alone, damage included, and reports
// that it did.
func (m *Machine) loadPlain(name []byte, r *reader) bool {
	b := r.b
	if r.version != FormatFirst || len(b) != plainBytes {
		return false
	}
	le := binary.LittleEndian
	holders, waiters, flags := le.Uint32(b[1:]), le.Uint32(b[5:]), b[9]
	c := claim{state: claimHolds, mode: Mode(b[10]), weight: b[11],
		request: RequestID(le.Uint64(b[20:])), stamp: Token(le.Uint64(b[28:])),
		since: Time(le.Uint64(b[36:]))}
	if holders != 1 || waiters != 0 || flags != 0 || !c.mode.Valid() || !m.stamped(&c) {
		return false
	}
	id := SessionID(le.Uint64(b[12:]))
	if c.session = m.loadedSession(id); c.session == 0 {
		return false
	}
	n := m.allocClaim()
	lr, l := m.loadName(name)
	l.held, l.counts[c.mode], l.holders = 1<<c.mode, 1, n
	c.lock, c.prev = lr, n
	*m.claims.at(n) = c
	m.noteClaim(n, &c, m.hashOf(kindSession, id, c.request))
	r.at = len(b)
	return true
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
	spare := make([]slot, max(m.lockCount, m.claimCount))
	if err := m.linkClaims(spare); err != nil {
		return err
	}
	m.indexLocks(spare)
	if err := m.indexClaims(spare); err != nil {
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

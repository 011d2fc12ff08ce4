package lockfsm

import "math"

// ClaimInfo describes one hold or wait.
type ClaimInfo struct {
	Session  SessionID
	Detached bool // Session is the owner of a detached hold
	Kept     bool // the hold is over and stays taken until Deadline
	Parked   bool // the session's waits are set aside
	Request  RequestID
	Token    Token // zero for a waiter
	Mode     Mode
	Permits  Permits // of a semaphore
	Owner    Owner   // who may enter again, zero if nobody
	Depth    uint32  // acquires of the owner that stand here, 1 without one
	// Converts is, for a waiter that holds already, the token of its hold.
	Converts Token
	// Conversion is, for a hold, the request to convert it that waits or was
	// granted last, zero if there is none. Moved tells whether the hold has been
	// converted at all.
	Conversion RequestID
	Moved      bool
	// Part is the number of the name in an acquire of several, from 1, else zero.
	Part     uint8
	Detects  bool // it waits, and its owner gives nothing back meanwhile
	Weight   uint8
	Since    Time // of the grant, or of joining the queue
	Deadline Time // when session or hold end unless renewed; of a max hold, whatever comes
	// Payload and Labels are the data of the claim, borrowed from the machine until
	// its next Apply.
	Payload, Labels []byte
}

// LockInfo describes one lock. The caller reuses one: its slices keep their
// memory. Name is borrowed from the machine until its next Apply or Dirty.
type LockInfo struct {
	Name []byte
	// Capacity is that of a semaphore, zero for a lock with modes; Taken is how
	// many of its permits are held.
	Capacity, Taken Permits
	// Gate says that the name is a gate, of which Number is what is left to count of
	// a latch or how many a barrier wants. What stands of it is a detached holder of
	// owner zero.
	Gate   GateKind
	Number uint32
	// Value is that of the lock, which it may have without being held.
	Value LockValue

	// HolderCount and WaiterCount are how many there are, Holders and Waiters the first
	// of them: all, unless who asks wants fewer.
	HolderCount, WaiterCount int

	Holders []ClaimInfo // in the order of their tokens
	Waiters []ClaimInfo // in queue order
}

// All has Lock look at every holder and waiter.
const All = math.MaxInt

// Lock fills info with the lock of that name and reports whether it is in use. It looks
// at so many holders and so many waiters at most, which is what it costs.
func (m *Machine) Lock(name []byte, info *LockInfo, most int) bool {
	r := m.findLock(name, m.hashName(name))
	if r == 0 || m.locks.at(r).ghost() {
		return false
	}
	m.describe(r, info, most)
	return true
}

func (m *Machine) describe(r ref, info *LockInfo, most int) {
	l := m.locks.at(r)
	info.Value = m.lockValue(r)
	info.Name = m.lockName(l)
	info.Capacity, info.Taken = l.capacity(), 0
	info.Gate, info.Number = l.gate(), 0
	if l.gate() != 0 {
		info.Number = l.number()
	}
	if l.semaphore() {
		info.Taken = l.taken()
	}
	info.HolderCount, info.WaiterCount = int(l.holderCount()), int(l.waiting)
	info.Holders = m.appendInfos(info.Holders[:0], l, l.holders, most)
	info.Waiters = m.appendInfos(info.Waiters[:0], l, l.waiters, most)
}

// appendInfos appends the first claims of a list.
func (m *Machine) appendInfos(dst []ClaimInfo, l *lock, head ref, most int) []ClaimInfo {
	for r := head; r != 0 && most > 0; r, most = m.claims.at(r).next, most-1 {
		c := m.claims.at(r)
		s := m.sessions.at(c.session)
		i := ClaimInfo{Session: s.id, Detached: s.kind == kindDetached, Kept: s.id.kept(),
			Parked: s.flags&entryParked != 0, Request: c.request, Mode: c.mode,
			Permits: l.permits(c), Owner: m.ownerOf(r), Depth: 1 + m.depth(l, c),
			Part:    c.part(),
			Detects: c.flags&claimDetects != 0, Weight: c.weight, Since: c.since,
			Deadline: min(s.deadline, m.cappedFrom(r))}
		switch c.state {
		case claimHolds:
			i.Token, i.Moved = c.stamp, c.flags&claimMoved != 0
			if cv := m.conversionOf(r); cv != 0 {
				i.Conversion = m.claims.at(cv).request
			}
		case claimConverts:
			i.Converts = m.claims.at(ref(c.extra)).stamp
		}
		if x := m.termsOf(r); x != nil {
			i.Payload, i.Labels = x.payload, x.labels
		}
		dst = append(dst, i)
	}
	return dst
}

// TokenState is where one token of one lock stands.
type TokenState struct {
	// Current says that a present hold has the token: one whose session has not
	// ended.
	Current bool
	// Newest is the largest token of a present hold, zero if there is none.
	Newest Token
	// Left is for how much longer the hold with the token may last, if it is current
	// and Capped says that it has a max hold. It ends a tick later.
	Left   Millis
	Capped bool
	// Looked is how many holds were looked at, which is what the answer costs.
	Looked int
}

// CheckToken says where a token of a lock stands. It looks at the holds from the
// newest to the one with the token, HoldersPerLock at most.
func (m *Machine) CheckToken(name []byte, token Token) TokenState {
	var x TokenState
	lr := m.findLock(name, m.hashName(name))
	if lr == 0 || m.locks.at(lr).holders == 0 || m.locks.at(lr).gate() != 0 {
		return x
	}
	first := m.locks.at(lr).holders
	for r := m.claims.at(first).prev; ; r = m.claims.at(r).prev {
		c := m.claims.at(r)
		x.Looked++
		if s := m.sessions.at(c.session); s.flags&entryEnding == 0 && !s.id.kept() {
			x.Newest = max(x.Newest, c.stamp)
			x.Current = c.stamp == token || plantedIs("any-token-current")
			x.Left, x.Capped = m.leftOf(r)
		}
		if x.Current || r == first || x.Newest > 0 && c.stamp <= token {
			return x
		}
	}
}

// ForEachLock calls fn with every lock in use, by name, until it returns false.
// It sorts all names first; for some of them use Search. info is reused.
func (m *Machine) ForEachLock(fn func(info *LockInfo) bool) {
	m.orderLocks()
	var info LockInfo
	for _, r := range m.order {
		m.describe(r, &info, All)
		if !fn(&info) {
			return
		}
	}
}

// SessionInfo describes one session. Name is borrowed from the machine until
// its next Apply or Dirty.
type SessionInfo struct {
	ID       SessionID
	Name     []byte
	Nonce    Nonce
	Lease    Millis
	Deadline Time
	Epoch    Epoch
	Claims   uint32 // holds and waits
	Parked   bool
	Ending   bool // it has ended and its claims are being released
}

// Session fills info with a session and reports whether it is known.
func (m *Machine) Session(id SessionID, info *SessionInfo) bool {
	r := m.findSession(id)
	if r == 0 {
		return false
	}
	s := m.sessions.at(r)
	*info = SessionInfo{ID: s.id, Name: m.sessionName(s), Nonce: s.nonce, Lease: s.lease,
		Deadline: s.deadline, Epoch: s.epoch, Claims: s.count,
		Parked: s.flags&entryParked != 0, Ending: s.flags&entryEnding != 0}
	return true
}

// SessionClaim is one hold or wait of a session, with the name it is about, which
// is borrowed from the machine until its next Apply or Dirty.
type SessionClaim struct {
	Name     []byte
	Request  RequestID
	Token    Token // zero for a wait
	Owner    Owner
	Permits  Permits
	Capacity Permits
	Mode     Mode
	Capped   bool // the hold has a max hold
	Part     bool // it was asked for with others, and keeps its mode
}

// FindSession returns the session that was opened with a nonce, zero if there is
// none that has not ended.
func (m *Machine) FindSession(nonce Nonce) SessionID {
	r := m.findNonce(&nonce)
	if r == 0 || m.sessions.at(r).flags&entryEnding != 0 {
		return 0
	}
	return m.sessions.at(r).id
}

// SessionClaims appends claims of a session to dst in the order of their stamps:
// those after the ones of a request, or from the first if the request is zero or has
// no claim. It ends after limit claims, or with the last part of the same acquire.
// What an acquire of several names waits with is one claim; conversions that were
// granted are none, those that wait are. Walked counts them all.
func (m *Machine) SessionClaims(dst []SessionClaim, id SessionID, after RequestID,
	limit int) []SessionClaim {
	sr := m.findSession(id)
	if sr == 0 {
		return dst
	}
	s := m.sessions.at(sr)
	r := s.claims
	if last := m.findClaim(s, after); last != 0 {
		for r = last; r != 0 && m.claims.at(r).request == after; {
			r = m.claims.at(r).ownNext // over all parts
		}
	}
	for ; r != 0; r = m.claims.at(r).ownNext {
		m.looks++
		c := m.claims.at(r)
		if limit <= 0 && c.request != after {
			break
		}
		if c.state == claimConverted || !m.holds(c) && m.findClaim(s, c.request) != r {
			continue
		}
		b, l := m.base(c), m.locks.at(c.lock)
		x := SessionClaim{Name: m.lockName(l), Request: c.request, Owner: m.enterer(r),
			Permits: l.permits(c), Capacity: l.capacity(), Mode: b.mode, Part: c.isPart()}
		if m.holds(c) {
			x.Token = b.stamp
			x.Capped = m.maxHold(m.baseOf(r)) > 0
		}
		dst = append(dst, x)
		limit, after = limit-1, c.request
	}
	return dst
}

// enterer is the owner of a claim who may enter it again: of a part nobody.
func (m *Machine) enterer(r ref) Owner {
	if m.claims.at(r).isPart() {
		return 0
	}
	return m.ownerOf(r)
}

// ForEachSession calls fn with every session, by id, until it returns false.
// info is reused.
func (m *Machine) ForEachSession(fn func(info *SessionInfo) bool) {
	m.order = m.order[:0]
	for r := ref(1); r <= m.sessions.used; r++ {
		if s := m.sessions.at(r); s.live() && s.kind == kindSession {
			m.order = append(m.order, r)
		}
	}
	m.sortSessions(m.order)
	var info SessionInfo
	for _, r := range m.order {
		m.Session(m.sessions.at(r).id, &info)
		if !fn(&info) {
			return
		}
	}
}

// Stats counts what is in use.
type Stats struct {
	Locks, Claims, Sessions, Detached uint32
	// DataBytes is what payloads, labels and other terms count for.
	DataBytes uint64
	// MemoryBytes is what the tables occupy, free places included.
	MemoryBytes uint64
}

// Stats returns the counts and the size of the tables.
func (m *Machine) Stats() Stats {
	const chunk = arenaChunk
	bytes := uint64(len(m.locks.chunks))*chunk*lockBytes +
		uint64(len(m.claims.chunks))*chunk*claimBytes +
		uint64(len(m.stacks.chunks))*chunk*stackBytes +
		uint64(len(m.answers.chunks))*chunk*answerBytes +
		uint64(len(m.sessions.chunks))*chunk*sessionBytes +
		uint64(len(m.names.chunks))*nameChunk*nameUnit +
		uint64(cap(m.due.items))*heapBytes +
		uint64(cap(m.dirtyLocks)+cap(m.dirtySessions)+cap(m.order)+cap(m.shorter))*4
	for _, t := range [...]*table{&m.byName, &m.byRequest, &m.byOwner, &m.byHold, &m.byAnswer,
		&m.byID, &m.byNonce, &m.byFlow, &m.byToken} {
		bytes += t.memoryBytes()
	}
	return Stats{Locks: m.lockCount, Claims: m.claimCount, Sessions: m.sessionCount,
		Detached: m.detachedCount, DataBytes: m.dataBytes, MemoryBytes: bytes + 2*m.dataBytes}
}

// Timed reports whether anything lives by log time, so that the leader must
// move it.
func (m *Machine) Timed() bool {
	return len(m.due.items) > 0 || m.Pending()
}

package lockfsm

import "bytes"

// Sizes of the table entries in bytes, used by Limits.MemoryBytes and held to
// by a test.
const (
	lockBytes    = 32
	claimBytes   = 56
	stackBytes   = 16
	answerBytes  = 32
	sessionBytes = 72
	heapBytes    = 16
	slotBytes    = 8
)

// entryFlags say where an entry of the lock or session table stands.
type entryFlags uint8

const (
	// entryStored: the last checkpoint has a record of it.
	entryStored entryFlags = 1 << iota
	// entryListed: it is in the list of what Dirty must write. The flag belongs
	// to the place in the arena and survives its being freed and used again.
	entryListed
	// entryUsed: the place is in use, be it by a ghost.
	entryUsed
	// entryParked: a session whose waits are set aside.
	entryParked
	// entryGhost: a session or hold that is gone, but not its record.
	entryGhost
	// entryEnding: a session that has ended and still has claims.
	entryEnding
	// entrySemaphore: a lock whose claims have no mode: a semaphore or a gate.
	entrySemaphore
	// entryQuiet: a lock that needs no pump when a dormant waiter goes, see quiet.
	entryQuiet

	// entryValued: a lock, which is never parked, that has a value.
	entryValued = entryParked
	// entryPumped: a lock, which never ends, that pumpWaits has pumped.
	entryPumped = entryEnding
	// entryShorter: a lock, whose ghost has no flag, that stands in shorter.
	entryShorter = entryGhost
)

// lock is one name in use. An entry exists while the lock is held or waited
// for or has a value, and as a ghost (no claims) from then until a checkpoint has deleted its
// record.
//
// Both lists are circular backwards and open forwards: the head's prev is the
// tail, the tail's next is zero. Holders stand in the order of their tokens,
// waiters in queue order.
type lock struct {
	name      nameRef
	nameBytes uint16
	flags     entryFlags
	held      modeSet // modes with a holder
	// counts are the holders by mode. Those of a semaphore all count as ModeNL,
	// and permits.go keeps its capacity in the places of the other modes, gate.go
	// what a gate is.
	counts  [modeCount]uint16
	holders ref // claims; in a free entry the next free one
	waiters ref
	waiting uint32 // length of the queue
}

func (l *lock) ghost() bool {
	return l.holders == 0 && l.waiters == 0 && l.flags&entryValued == 0
}

func (l *lock) holderCount() uint32 {
	if l.flags&entrySemaphore != 0 {
		return uint32(l.counts[ModeNL])
	}
	var n uint32
	for _, c := range l.counts {
		n += uint32(c)
	}
	return n
}

// claimState tells whether a claim waits or holds.
type claimState uint8

const (
	claimFree claimState = iota
	claimWaits
	claimHolds
	// claimEnters: a level on another claim of the same owner. It holds when
	// that one does.
	claimEnters
	// claimConverts: a hold of the same session waits for another mode.
	claimConverts
	// claimConverted: a hold of the same session has got that mode.
	claimConverted
)

// claim is one acquire that holds or waits for a lock, or one conversion of a
// hold. It stands in two lists: its lock's holders or waiters, or its claim's
// levels (next, prev), and all claims of its session in the order of their stamps
// (ownNext, ownPrev). A conversion that was granted stands in the second only.
type claim struct {
	request RequestID
	// stamp is the token of a holder, and the place in time of a waiter. Both
	// come from the machine's one counter.
	stamp   Token
	since   Time // log time of the grant, or of joining the queue
	lock    ref
	session ref
	next    ref // in a free entry, the next free one
	prev    ref
	ownNext ref
	ownPrev ref
	// extra is what only some have: the permits of a claim on a semaphore, the
	// stack of one with an owner, for a level the claim it is on, for a conversion
	// the hold, and for a part its number, see isPart.
	extra  uint32
	mode   Mode // for a conversion the one asked for
	weight uint8
	state  claimState
	flags  claimFlags
}

func (m *Machine) lockName(l *lock) []byte {
	return m.names.block(l.name, int(l.nameBytes))
}

func (m *Machine) hashName(name []byte) uint32 { return uint32(hashBytes(m.limits.Seed, name)) }

// findLock returns the entry of name, which may be a ghost, or zero.
func (m *Machine) findLock(name []byte, hash uint32) ref {
	p := m.byName.probe(hash)
	for r := p.next(); r != 0; r = p.next() {
		if bytes.Equal(m.lockName(m.locks.at(r)), name) {
			return r
		}
	}
	return 0
}

// newLock makes an entry for a name. Requires: it has none.
func (m *Machine) newLock(name []byte, hash uint32) ref {
	r := m.addLock(name)
	m.byName.insert(hash, r)
	return r
}

// addLock is newLock without a place in the table of names.
func (m *Machine) addLock(name []byte) ref {
	r := m.freeLock
	if r != 0 {
		m.freeLock = m.locks.at(r).holders
	} else {
		r = m.locks.grow()
	}
	l := m.locks.at(r)
	*l = lock{flags: l.flags&entryListed | entryUsed, name: m.names.put(name),
		nameBytes: uint16(len(name))}
	return r
}

// packNames moves all names together. What is borrowed from the machine ends with
// it, as it does with the Apply that asks for it.
func (m *Machine) packNames() {
	var names []placedName
	for r := ref(1); r <= m.locks.used; r++ {
		if l := m.locks.at(r); l.flags&entryUsed != 0 {
			names = append(names, placedName{&l.name, int(l.nameBytes)})
		}
	}
	for r := ref(1); r <= m.sessions.used; r++ {
		if s := m.sessions.at(r); s.nameBytes > 0 {
			names = append(names, placedName{&s.name, int(s.nameBytes)})
		}
	}
	m.names.pack(names)
	m.packs++
}

// dropLock frees an entry. Requires: it is a ghost with no record.
func (m *Machine) dropLock(r ref) {
	l := m.locks.at(r)
	m.byName.remove(m.hashName(m.lockName(l)), r)
	m.names.drop(l.name, int(l.nameBytes))
	*l = lock{flags: l.flags & entryListed, holders: m.freeLock}
	m.freeLock = r
}

// touchLock notes that the record of r must be written.
func (m *Machine) touchLock(r ref) {
	m.noteTouch(r)
	l := m.locks.at(r)
	if l.flags&entryListed == 0 {
		l.flags |= entryListed
		m.dirtyLocks = append(m.dirtyLocks, r)
	}
}

// settle is called when claims of r have gone. An unused lock vanishes, unless
// a checkpoint has its record: then the ghost stays until that is deleted.
func (m *Machine) settle(r ref) {
	l := m.locks.at(r)
	m.touchLock(r)
	if !l.ghost() {
		return
	}
	m.lockCount--
	if l.flags&entryStored == 0 {
		m.dropLock(r)
	}
}

// hold puts a claim at the end of the holders and counts it.
func (m *Machine) hold(l *lock, r ref) {
	c := m.claims.at(r)
	m.link(&l.holders, r, 0)
	m.noteHold(r, ChangedGrant)
	l.counts[c.mode]++
	l.held |= 1 << c.mode
	if l.semaphore() {
		l.setTaken(l.taken() + l.permits(c))
	}
}

func (m *Machine) unhold(l *lock, r ref) {
	c := m.claims.at(r)
	m.noteHold(r, ChangedRelease)
	m.unlink(&l.holders, r)
	l.counts[c.mode]--
	if l.counts[c.mode] == 0 {
		l.held &^= 1 << c.mode
	}
	if l.semaphore() {
		l.setTaken(l.taken() - l.permits(c))
	}
}

// link puts claim r into a list of its lock, before the claim at, or at the end
// if at is zero.
func (m *Machine) link(head *ref, r, at ref) {
	c := m.claims.at(r)
	switch {
	case *head == 0:
		*head, c.prev, c.next = r, r, 0
	case at == 0:
		first := m.claims.at(*head)
		c.prev, c.next = first.prev, 0
		m.claims.at(first.prev).next = r
		first.prev = r
	default:
		after := m.claims.at(at)
		c.prev, c.next = after.prev, at
		if at == *head {
			*head = r
		} else {
			m.claims.at(after.prev).next = r
		}
		after.prev = r
	}
}

func (m *Machine) unlink(head *ref, r ref) {
	c := m.claims.at(r)
	if *head == r {
		*head = c.next
	} else {
		m.claims.at(c.prev).next = c.next
	}
	switch {
	case c.next != 0:
		m.claims.at(c.next).prev = c.prev
	case *head != 0:
		m.claims.at(*head).prev = c.prev
	}
	c.next, c.prev = 0, 0
}

// linkOwn puts claim r at the end of its session's list.
func (m *Machine) linkOwn(s *session, r ref) {
	c := m.claims.at(r)
	c.ownNext = 0
	if s.claims == 0 {
		s.claims, c.ownPrev = r, r
		return
	}
	first := m.claims.at(s.claims)
	c.ownPrev = first.ownPrev
	m.claims.at(first.ownPrev).ownNext = r
	first.ownPrev = r
}

func (m *Machine) unlinkOwn(s *session, r ref) {
	c := m.claims.at(r)
	if s.claims == r {
		s.claims = c.ownNext
	} else {
		m.claims.at(c.ownPrev).ownNext = c.ownNext
	}
	switch {
	case c.ownNext != 0:
		m.claims.at(c.ownNext).ownPrev = c.ownPrev
	case s.claims != 0:
		m.claims.at(s.claims).ownPrev = c.ownPrev
	}
	c.ownNext, c.ownPrev = 0, 0
}

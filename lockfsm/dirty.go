package lockfsm

// Dirty calls fn with a record of everything that changed since the last call,
// or since the machine was made or loaded: value is nil where the record must
// be deleted. Keys ascend; the first is the meta record, written always. A lock
// taken and released in between costs nothing. key and value are borrowed until
// fn returns; AddsRecord tells more about the record until then.
//
// The caller must make all of it durable together, or throw the machine away:
// it believes from here on that the records are stored.
func (m *Machine) Dirty(fn func(key, value []byte)) {
	m.emitMeta(fn)
	m.order = m.order[:0]
	for _, r := range m.dirtySessions {
		if m.unlistSession(r) {
			m.order = append(m.order, r)
		}
	}
	m.dirtySessions = m.dirtySessions[:0]
	m.sortSessions(m.order)
	for _, r := range m.order {
		m.emitChangedSession(r, fn)
	}

	m.order = m.order[:0]
	for _, r := range m.dirtyLocks {
		if m.unlistLock(r) {
			m.order = append(m.order, r)
		}
	}
	m.dirtyLocks = m.dirtyLocks[:0]
	m.sortLocks(m.order)
	for _, r := range m.order {
		m.emitChangedLock(r, fn)
	}
	m.emitRegisters(registersWritten, fn)
}

// AddsRecord reports, for the record that Dirty or DirtySome hands out at this
// moment, that it is the first of its key since the key's last deletion: a store
// that has all that was handed out before it has nothing under the key. Of a
// record that it does not report it, the store may have nothing either.
// Requires: fn has not returned.
func (m *Machine) AddsRecord() bool { return m.adds }

// Changed returns how many records Dirty would hand out, or a few more.
func (m *Machine) Changed() int {
	return 1 + len(m.dirtySessions) + len(m.dirtyLocks) + len(m.registers)
}

// DirtySome hands out a part of what Dirty would: records that changed, in no
// order, but for those of which there are few, until fn returns false.
// Apply may be called before the rest is asked for. What changes after it was
// handed out is handed out again, so all parts and the Dirty that ends them,
// the last word on each key counting, are the change set at the slot of that
// Dirty. Nobody waits while a large one is collected.
func (m *Machine) DirtySome(fn func(key, value []byte) bool) {
	more := true
	emit := func(key, value []byte) { more = fn(key, value) }
	for last := len(m.dirtySessions) - 1; more && last >= 0; last-- {
		r := m.dirtySessions[last]
		m.dirtySessions = m.dirtySessions[:last]
		if m.unlistSession(r) {
			m.emitChangedSession(r, emit)
		}
	}
	for last := len(m.dirtyLocks) - 1; more && last >= 0; last-- {
		r := m.dirtyLocks[last]
		m.dirtyLocks = m.dirtyLocks[:last]
		if m.unlistLock(r) {
			m.emitChangedLock(r, emit)
		}
	}
}

// unlistSession takes a session off the list of what changed and reports whether
// there is something to say about it.
func (m *Machine) unlistSession(r ref) bool {
	s := m.sessions.at(r)
	s.flags &^= entryListed
	return s.flags&entryUsed != 0
}

// unlistLock is unlistSession for a lock.
func (m *Machine) unlistLock(r ref) bool {
	l := m.locks.at(r)
	l.flags &^= entryListed
	return l.flags&entryUsed != 0
}

// emitChangedSession hands out the record of a session, or its deletion, after
// which nothing is left of it.
func (m *Machine) emitChangedSession(r ref, fn func(key, value []byte)) {
	s := m.sessions.at(r)
	if s.flags&entryGhost != 0 {
		m.scratch = s.appendKey(m.scratch[:0])
		fn(m.scratch, nil)
		m.freeEntry(r)
		return
	}
	m.adds = s.flags&entryStored == 0
	m.emitSession(s, fn)
	m.adds = false
	s.flags |= entryStored
}

// emitChangedLock is emitChangedSession for a lock.
func (m *Machine) emitChangedLock(r ref, fn func(key, value []byte)) {
	l := m.locks.at(r)
	if l.ghost() {
		m.scratch = append(append(m.scratch[:0], keyLock), m.lockName(l)...)
		fn(m.scratch, nil)
		m.dropLock(r)
		return
	}
	m.adds = l.flags&entryStored == 0
	m.emitLock(r, fn)
	m.adds = false
	l.flags |= entryStored
}

// All calls fn with every record of the machine, keys ascending. key and value
// are borrowed until fn returns. It does not change what Dirty will report.
func (m *Machine) All(fn func(key, value []byte)) {
	m.emitMeta(fn)
	m.order = m.order[:0]
	for r := ref(1); r <= m.sessions.used; r++ {
		if m.sessions.at(r).live() {
			m.order = append(m.order, r)
		}
	}
	m.sortSessions(m.order)
	for _, r := range m.order {
		m.emitSession(m.sessions.at(r), fn)
	}
	m.orderLocks()
	for _, r := range m.order {
		m.emitLock(r, fn)
	}
	m.emitRegisters(registersAll, fn)
}

// Digest hashes the logical content: it is equal on two replicas at the same
// slot (I13), whatever the layout of their tables. It walks everything.
func (m *Machine) Digest() uint64 {
	var sum uint64
	add := func(key, value []byte) { sum += RecordHash(key, value) }
	m.emitMeta(add)
	for r := ref(1); r <= m.sessions.used; r++ {
		if s := m.sessions.at(r); s.live() {
			m.emitSession(s, add)
		}
	}
	for r := ref(1); r <= m.locks.used; r++ {
		if l := m.locks.at(r); !l.ghost() && l.flags&entryUsed != 0 {
			m.emitLock(r, add)
		}
	}
	m.emitRegisters(registersAll, add)
	return sum
}

func (s *session) live() bool { return s.flags&(entryUsed|entryGhost) == entryUsed }

// orderLocks fills m.order with all locks in use, by name.
func (m *Machine) orderLocks() {
	m.order = m.order[:0]
	for r := ref(1); r <= m.locks.used; r++ {
		if l := m.locks.at(r); l.flags&entryUsed != 0 && !l.ghost() {
			m.order = append(m.order, r)
		}
	}
	if !plantedIs("checkpoint-order-from-table") {
		m.sortLocks(m.order)
	}
}

// sortSessions sorts sessions by id, and detached holds behind them by token.
func (m *Machine) sortSessions(refs []ref) {
	sessions := 0
	for i, r := range refs {
		if m.sessions.at(r).kind == kindSession {
			refs[i], refs[sessions] = refs[sessions], refs[i]
			sessions++
		}
	}
	id := func(r ref) uint64 { return m.sessions.at(r).expiryID() }
	m.sortBy(refs[:sessions], id)
	m.sortBy(refs[sessions:], id)
}

func (m *Machine) emitMeta(fn func(key, value []byte)) {
	m.scratch = append(m.scratch[:0], keyMeta)
	m.emit(1, m.appendMeta(m.scratch), fn)
}

func (m *Machine) emitSession(s *session, fn func(key, value []byte)) {
	m.scratch = s.appendKey(m.scratch[:0])
	m.emit(len(m.scratch), m.appendSession(m.scratch, s), fn)
}

func (m *Machine) emitLock(r ref, fn func(key, value []byte)) {
	m.scratch = append(append(m.scratch[:0], keyLock), m.lockName(m.locks.at(r))...)
	m.emit(len(m.scratch), m.appendLock(m.scratch, r), fn)
}

// emit hands out a record that stands in b, the key first.
func (m *Machine) emit(keyBytes int, b []byte, fn func(key, value []byte)) {
	m.scratch = b
	fn(b[:keyBytes:keyBytes], b[keyBytes:len(b):len(b)])
}

package lockfsm

// LockSummary says of a lock what can be said at once, however many hold it or
// wait for it.
type LockSummary struct {
	Holders, Waiters uint32
	// Capacity is that of a semaphore, zero for a lock with modes; Taken is how
	// many of its permits are held.
	Capacity, Taken Permits

	// The rest is of the newest hold, zero if there is none.
	Session  SessionID
	Detached bool // Session is the owner of a detached hold
	Token    Token
	Mode     Mode
	Since    Time
	// Data is a hash of payload and labels, zero if it has neither.
	Data uint64
}

// Summary returns the summary of a lock, zero if it is not in use.
func (m *Machine) Summary(name []byte) LockSummary {
	r := m.findLock(name, m.hashName(name))
	if r == 0 || m.locks.at(r).ghost() {
		return LockSummary{}
	}
	l := m.locks.at(r)
	x := LockSummary{Holders: l.holderCount(), Waiters: l.waiting, Capacity: l.capacity()}
	if l.semaphore() {
		x.Taken = l.taken()
	}
	if l.holders == 0 {
		return x
	}
	newest := m.claims.at(l.holders).prev
	c := m.claims.at(newest)
	s := m.sessions.at(c.session)
	x.Session, x.Detached = s.id, s.kind == kindDetached
	x.Token, x.Mode, x.Since = c.stamp, c.mode, c.since
	if t := m.termsOf(newest); t != nil {
		x.Data = hashData(t.payload, t.labels)
	}
	return x
}

// hashData is the same on every replica.
func hashData(payload, labels []byte) uint64 {
	if len(payload)+len(labels) == 0 {
		return 0
	}
	return hashBytes(hashBytes(0, payload), labels) | 1
}

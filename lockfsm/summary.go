package lockfsm

// LockSummary says of a lock what can be said at once, however many hold it or
// wait for it.
type LockSummary struct {
	Holders, Waiters uint32
	// Capacity is that of a semaphore, zero for a lock with modes; Taken is how
	// many of its permits are held.
	Capacity, Taken Permits

	// The rest is of the newest hold, zero if there is none, but for Data.
	Session  SessionID
	Detached bool // Session is the owner of a detached hold
	Token    Token
	Mode     Mode
	Since    Time
	// Data is a hash of the payload and labels of the newest hold and the value of the
	// lock, zero if there are none of them.
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
	v := m.lockValue(r)
	if l.holders == 0 {
		x.Data = hashData(nil, nil, &v)
		return x
	}
	newest := m.claims.at(l.holders).prev
	c := m.claims.at(newest)
	s := m.sessions.at(c.session)
	x.Session, x.Detached = s.id, s.kind == kindDetached
	x.Token, x.Mode, x.Since = c.stamp, c.mode, c.since
	t := m.termsOf(newest)
	if t == nil {
		t = &termed{}
	}
	x.Data = hashData(t.payload, t.labels, &v)
	return x
}

// hashData is the same on every replica.
func hashData(payload, labels []byte, v *LockValue) uint64 {
	if len(payload)+len(labels)+len(v.Data) == 0 {
		return 0
	}
	h := hashBytes(hashBytes(0, payload), labels)
	if len(v.Data) > 0 {
		h = hashBytes(h^uint64(v.Token), v.Data)
		if v.Doubtful {
			h = ^h
		}
	}
	return h | 1
}

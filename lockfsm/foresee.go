package lockfsm

// Walked counts the claims that the machine has gone past so far, to find one or its place in
// a queue. What it grew by is what something cost beyond a few microseconds. It may
// differ between replicas: no result depends on it.
func (m *Machine) Walked() uint64 { return m.looks }

// Foresee walks past all that a command would have its machine walk past to find a hold, or
// a place in a queue, if it were applied to the machine as it stands: Walked grows by that,
// and nothing else changes. A leader learns by it what a command will cost every
// replica, before it is in the log.
func (m *Machine) Foresee(c *Command) {
	switch c.Op {
	case OpRelease:
		if sr := m.findSession(c.Session); sr != 0 && c.Flags&Detached == 0 {
			m.findHold(c, m.sessions.at(sr))
		}
	case OpForce:
		if lr := m.findLock(c.Name, m.hashName(c.Name)); lr != 0 && m.locks.at(lr).gate() == 0 {
			m.holdWith(m.locks.at(lr), c.Token)
		}
	case OpAcquire, OpTake, OpEnter:
		m.foreseePlace(c, c.Name)
	case OpAcquireAll:
		for rest := c.Parts; len(rest) > 0 && c.Weight > 0; {
			var p Part
			p, rest = rest.Next()
			m.foreseePlace(c, p.Name)
		}
	}
}

// foreseePlace walks to the place that an acquire would have in the queue of a name. Without
// a weight it is at the end, or near it.
func (m *Machine) foreseePlace(c *Command, name []byte) {
	if c.Weight == 0 {
		return
	}
	lr := m.findLock(name, m.hashName(name))
	if lr == 0 || c.Op != OpAcquireAll && m.crowded(m.locks.at(lr), c) {
		return
	}
	m.placeOf(m.locks.at(lr), &claim{weight: c.Weight, since: m.logTime})
}

package lockfsm

// The capacity of a semaphore is named by every request and fixed while
// anybody holds a permit or waits for one. It stands in the lock's entry, in
// the places of counts that a lock without modes has no use for, low half
// first: [2] and [3] the capacity, [4] and [5] the permits taken.

// semaphore reports whether the lock counts permits.
func (l *lock) semaphore() bool { return l.flags&entrySemaphore != 0 && l.counts[ModeCR] == 0 }

// capacity is the number of permits there are, zero for a lock with modes.
func (l *lock) capacity() Permits {
	if !l.semaphore() {
		return 0
	}
	return Permits(l.number())
}

// taken is the number of permits held. Invariant: taken ≤ capacity.
// Requires: l is a semaphore.
func (l *lock) taken() Permits { return Permits(l.counts[4]) | Permits(l.counts[5])<<16 }

func (l *lock) setTaken(n Permits) { l.counts[4], l.counts[5] = uint16(n), uint16(n>>16) }

// become makes an unused entry a semaphore of a capacity, or, with zero, a lock
// with modes.
func (l *lock) become(capacity Permits) {
	l.flags &^= entrySemaphore
	l.counts = [modeCount]uint16{}
	if capacity > 0 {
		l.flags |= entrySemaphore
		l.setNumber(uint32(capacity))
	}
}

// permits is how many permits a claim on l takes.
func (l *lock) permits(c *claim) Permits {
	if !l.semaphore() {
		return 0
	}
	return Permits(c.extra)
}

// has reports whether n more permits are there. A lock with modes has them.
func (l *lock) has(n Permits) bool {
	if plantedIs("permits-over-capacity") {
		return n <= l.capacity()
	}
	return !l.semaphore() || n <= l.capacity()-l.taken()
}

// capacity is what an acquire takes the lock for: a semaphore of that capacity,
// or, zero, a lock with modes.
func (c *Command) capacity() Permits {
	if c.Op != OpTake {
		return 0
	}
	return c.Capacity
}

// permits is how many permits an acquire asks for.
func (c *Command) permits() Permits {
	if c.Op != OpTake {
		return 0
	}
	return c.Permits
}

// mode is the mode of an acquire. Permits get along with each other.
func (c *Command) mode() Mode {
	if c.Op == OpTake {
		return ModeNL
	}
	return c.Mode
}

// otherKind refuses what takes a lock for what it is not.
func (l *lock) otherKind(res Result) Result {
	res.Gate, res.Capacity = l.gate(), Permits(l.number())
	return res.with(CodeOtherKind)
}

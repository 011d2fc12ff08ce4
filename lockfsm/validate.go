package lockfsm

import "fmt"

// Validate walks the whole machine and returns the first broken invariant, nil
// in a correct program: exclusion (I14), the order of tokens (I15), that every
// claim belongs to a session that is there (I16), that nobody waits who could
// hold (I17), bounds (I22), and every link, index and count. It costs about a
// microsecond per lock and session.
func (m *Machine) Validate() error {
	claims, locks := uint32(0), uint32(0)
	for r := ref(1); r <= m.locks.used; r++ {
		l := m.locks.at(r)
		if l.flags&entryUsed == 0 {
			continue
		}
		if got := m.findLock(m.lockName(l), m.hashName(m.lockName(l))); got != r {
			return fmt.Errorf("lock %q: index has entry %d, want %d", m.lockName(l), got, r)
		}
		if l.ghost() {
			if l.flags&(entryStored|entryListed) != entryStored|entryListed {
				return fmt.Errorf("lock %q: ghost with flags %#x", m.lockName(l), l.flags)
			}
			continue
		}
		locks++
		n, err := m.validateLock(r)
		if err == nil && l.gate() != 0 {
			err = m.validateGate(l)
		}
		if err != nil {
			return fmt.Errorf("lock %q: %w", m.lockName(l), err)
		}
		claims += n
	}
	if locks != m.lockCount || claims != m.claimCount {
		return fmt.Errorf("counts: have %d locks and %d claims, counted %d and %d",
			m.lockCount, m.claimCount, locks, claims)
	}
	if err := m.validateSessions(); err != nil {
		return err
	}
	if err := m.validateEnding(); err != nil {
		return err
	}
	if err := m.validateAnswers(); err != nil {
		return err
	}
	if err := m.validateRegisters(); err != nil {
		return err
	}
	if err := m.validateTerms(m.countTermed()); err != nil {
		return err
	}
	if err := m.validateCapped(); err != nil {
		return err
	}
	if err := m.validateFlows(); err != nil {
		return err
	}
	if err := m.validateQuiet(); err != nil {
		return err
	}
	return m.validateBounds()
}

// validateQuiet checks that disturb will find every lock that is noted as quiet.
func (m *Machine) validateQuiet() error {
	listed := make(map[ref]bool, len(m.quiet))
	for _, r := range m.quiet {
		listed[r] = true
	}
	for r := ref(1); r <= m.locks.used; r++ {
		if m.locks.at(r).flags&entryQuiet != 0 && !listed[r] {
			return fmt.Errorf("lock %q: quiet, and not among those that are", m.lockName(m.locks.at(r)))
		}
	}
	return nil
}

func (m *Machine) validateLock(lr ref) (uint32, error) {
	l := m.locks.at(lr)
	var counts [modeCount]uint16
	var held modeSet
	var n uint32
	var taken uint64
	last := ref(0)
	for r := l.holders; r != 0; r = m.claims.at(r).next {
		c := m.claims.at(r)
		if err := m.validateClaim(r, lr, claimHolds); err != nil {
			return 0, err
		}
		if last != 0 && (c.prev != last || m.claims.at(last).stamp >= c.stamp) {
			return 0, fmt.Errorf("holder %d: not after token %d", c.stamp, m.claims.at(last).stamp)
		}
		if held&^c.mode.compatible() != 0 {
			return 0, fmt.Errorf("holder %d: mode %v beside modes %#x", c.stamp, c.mode, held)
		}
		held |= 1 << c.mode
		counts[c.mode]++
		taken += uint64(l.permits(c))
		n += 1 + m.depth(l, c)
		receipt, err := m.validateConverted(r)
		if err != nil {
			return 0, err
		}
		n += receipt
		last = r
	}
	if l.semaphore() {
		if taken != uint64(l.taken()) || taken > uint64(l.capacity()) {
			return 0, fmt.Errorf("permits: have %d of %d taken, counted %d",
				l.taken(), l.capacity(), taken)
		}
	}
	if l.flags&entrySemaphore != 0 {
		copy(counts[1:], l.counts[1:])
	}
	tailOK := l.holders == 0 || m.claims.at(l.holders).prev == last
	if counts != l.counts || held != l.held || !tailOK {
		return 0, fmt.Errorf("holders: have %v, counted %v", l.counts, counts)
	}
	waiting, levels, err := m.validateQueue(lr)
	if err != nil {
		return 0, err
	}
	n += waiting + levels
	if waiting != l.waiting {
		return 0, fmt.Errorf("waiters: have %d, counted %d", l.waiting, waiting)
	}
	if l.gate() != 0 {
		return n, nil
	}
	return n, m.validatePumped(l)
}

// validateQueue checks the queue of a lock and counts those who wait and their
// levels.
func (m *Machine) validateQueue(lr ref) (waiting, levels uint32, err error) {
	l := m.locks.at(lr)
	last := ref(0)
	for r := l.waiters; r != 0; r = m.claims.at(r).next {
		c := m.claims.at(r)
		want := claimWaits
		if c.state == claimConverts {
			want = claimConverts
		}
		if err := m.validateClaim(r, lr, want); err != nil {
			return 0, 0, err
		}
		if last != 0 {
			p := m.claims.at(last)
			if c.prev != last || !m.before(p, c) {
				return 0, 0, fmt.Errorf("waiter %d: not after %d", c.stamp, p.stamp)
			}
		}
		waiting++
		levels += m.depth(l, c)
		last = r
	}
	if l.waiters != 0 && m.claims.at(l.waiters).prev != last {
		return 0, 0, fmt.Errorf("waiters: the tail is not %d", last)
	}
	return waiting, levels, m.validateConversions(l)
}

// validatePumped checks that no waiter who is in turn could be granted. While an
// ended session still has a wait here, its release will pump; unless the lock is
// noted as quiet, so that nothing may be left for a pump.
func (m *Machine) validatePumped(l *lock) error {
	quiet := l.flags&entryQuiet != 0
	if !quiet && m.awaitsEnding(l) {
		return nil
	}
	for r := l.waiters; r != 0; r = m.claims.at(r).next {
		c := m.claims.at(r)
		if m.sessions.at(c.session).dormant() {
			continue
		}
		if !m.inTurn(r) {
			return nil
		}
		if !c.isPart() || m.othersInTurn(r) && (quiet || !m.awaitsEndings(r)) {
			return fmt.Errorf("waiter %d waits for nothing; the lock is quiet: %t", c.stamp, quiet)
		}
	}
	return nil
}

// awaitsEnding reports whether an ended session still has a wait on l.
func (m *Machine) awaitsEnding(l *lock) bool {
	for r := l.waiters; r != 0; r = m.claims.at(r).next {
		if m.sessions.at(m.claims.at(r).session).flags&entryEnding != 0 {
			return true
		}
	}
	return false
}

// awaitsEndings reports whether it has one on the lock of any part.
func (m *Machine) awaitsEndings(r ref) bool {
	for at := m.firstPart(r); at != 0; at = m.partAfter(at) {
		if m.awaitsEnding(m.locks.at(m.claims.at(at).lock)) {
			return true
		}
	}
	return false
}

func (m *Machine) validateClaim(r, lr ref, state claimState) error {
	c := m.claims.at(r)
	s := m.sessions.at(c.session)
	switch {
	case c.lock != lr || c.state != state:
		return fmt.Errorf("claim %d: lock %d state %d, want %d and %d",
			r, c.lock, c.state, lr, state)
	case c.stamp == 0 || c.stamp > m.stamps:
		return fmt.Errorf("claim %d: stamp %d, last is %d", r, c.stamp, m.stamps)
	case !s.live():
		return fmt.Errorf("claim %d: its session is gone", r)
	case s.kind == kindDetached && state == claimWaits:
		return fmt.Errorf("claim %d: a detached claim waits", r)
	case s.kind == kindDetached && s.order != uint64(c.stamp):
		return fmt.Errorf("claim %d: token %d, its hold has %d", r, c.stamp, s.order)
	case s.kind == kindDetached && m.findDetached(c.stamp) != c.session:
		return fmt.Errorf("claim %d: not found by token %d", r, c.stamp)
	case c.flags&claimDetects != 0 && (!c.queued() || s.kind == kindDetached):
		return fmt.Errorf("claim %d: in state %d it gives nothing back while it waits", r, state)
	case c.isPart():
		return m.validatePart(r)
	case s.id != 0 && m.findClaim(s, c.request) != r && !plantedIs("dedup-off"):
		return fmt.Errorf("claim %d: not found by request %d", r, c.request)
	case m.locks.at(lr).semaphore():
		if l := m.locks.at(lr); c.mode != ModeNL || c.extra == 0 || l.permits(c) > l.capacity() {
			return fmt.Errorf("claim %d: mode %v, permits %d of %d", r, c.mode, c.extra, l.capacity())
		}
		return nil
	default:
		return m.validateStack(r, lr)
	}
}

// validatePart checks a part and its place among those of its acquire.
func (m *Machine) validatePart(r ref) error {
	c := m.claims.at(r)
	first := m.firstPart(r)
	switch {
	case m.locks.at(c.lock).semaphore() || c.part() == 0 || c.part() > MaxParts ||
		c.lateNumber() > MaxParts || c.lateNumber() != 0 && c.state != claimWaits:
		return fmt.Errorf("claim %d: part %#x, on a semaphore or above %d", r, c.extra, MaxParts)
	case !m.joinsParts(r):
		return fmt.Errorf("claim %d: part %d with stamp %d stands out of order", r, c.part(), c.stamp)
	case m.findClaim(m.sessions.at(c.session), c.request) != first && !plantedIs("dedup-off"):
		return fmt.Errorf("claim %d: part %d not found by request %d", r, c.part(), c.request)
	}
	return nil
}

// validateStack checks the owner and the levels of a claim that may have them.
func (m *Machine) validateStack(r, lr ref) error {
	c := m.claims.at(r)
	k := m.stack(m.locks.at(lr), c)
	if k == nil {
		return nil
	}
	if k.owner == 0 || m.findOwned(lr, c.session, k.owner) != r {
		return fmt.Errorf("claim %d: not found by owner %d", r, k.owner)
	}
	last, n := ref(0), uint32(0)
	for up := k.levels; up != 0; up = m.claims.at(up).next {
		e := m.claims.at(up)
		if ref(e.extra) != r || e.session != c.session {
			return fmt.Errorf("level %d: on claim %d, want %d", up, e.extra, r)
		}
		if last != 0 && (e.prev != last || m.claims.at(last).stamp >= e.stamp) {
			return fmt.Errorf("level %d: not after stamp %d", up, m.claims.at(last).stamp)
		}
		if m.findClaim(m.sessions.at(e.session), e.request) != up && !plantedIs("dedup-off") {
			return fmt.Errorf("level %d: not found by request %d", up, e.request)
		}
		last, n = up, n+1
	}
	if n != k.count || k.levels != 0 && m.claims.at(k.levels).prev != last {
		return fmt.Errorf("levels of claim %d: have %d, counted %d", r, k.count, n)
	}
	return nil
}

// depth is the number of levels of a claim.
func (m *Machine) depth(l *lock, c *claim) uint32 {
	if k := m.stack(l, c); k != nil {
		return k.count
	}
	return 0
}

func (m *Machine) validateSessions() error {
	var sessions, detached, claims, heaped uint32
	for r := ref(1); r <= m.sessions.used; r++ {
		s := m.sessions.at(r)
		if !s.live() {
			continue
		}
		if s.kind == kindDetached {
			detached++
		} else {
			sessions++
		}
		if s.flags&entryEnding == 0 && !s.timeless() {
			heaped++
		}
		n, err := m.validateOwn(s, r)
		if err == nil {
			err = m.validateDue(s, r)
		}
		if err != nil {
			return fmt.Errorf("session %d: %w", s.id, err)
		}
		claims += n
	}
	if sessions != m.sessionCount || detached != m.detachedCount || claims != m.claimCount {
		return fmt.Errorf("counts: have %d sessions, %d detached, %d claims, counted %d, %d, %d",
			m.sessionCount, m.detachedCount, m.claimCount, sessions, detached, claims)
	}
	if int(heaped) != len(m.due.items) {
		return fmt.Errorf("expiry heap: have %d entries, want %d", len(m.due.items), heaped)
	}
	return nil
}

// validateOwn checks a session's list of claims and its indexes.
func (m *Machine) validateOwn(s *session, r ref) (uint32, error) {
	var n uint32
	last := ref(0)
	for cr := s.claims; cr != 0; cr = m.claims.at(cr).ownNext {
		c := m.claims.at(cr)
		if c.session != r {
			return 0, fmt.Errorf("claim %d belongs to entry %d, want %d", cr, c.session, r)
		}
		if last != 0 && (c.ownPrev != last || m.claims.at(last).stamp >= c.stamp) {
			return 0, fmt.Errorf("claim %d: stamp %d not after %d", cr, c.stamp,
				m.claims.at(last).stamp)
		}
		last = cr
		n++
	}
	switch {
	case n != s.count:
		return 0, fmt.Errorf("claims: have %d, counted %d", s.count, n)
	case s.kind == kindDetached:
		if n != 1 {
			return 0, fmt.Errorf("detached hold with %d claims", n)
		}
	case s.id == 0 || s.id > m.lastSession && !plantedIs("unknown-session-recreated"):
		return 0, fmt.Errorf("id above the last given out, %d", m.lastSession)
	case m.findSession(s.id) != r:
		return 0, fmt.Errorf("not found by id")
	case s.flags&entryEnding == 0 && m.findNonce(&s.nonce) != r:
		return 0, fmt.Errorf("not found by nonce")
	}
	return n, nil
}

// validateDue checks a session's place in the expiry heap.
func (m *Machine) validateDue(s *session, r ref) error {
	if s.flags&entryEnding != 0 || s.timeless() {
		return nil
	}
	i := int(s.heapAt)
	if i >= len(m.due.items) || m.due.items[i].ref != r {
		return fmt.Errorf("not at %d of the expiry heap", i)
	}
	d := m.due.items[i]
	if d.at > s.deadline {
		return fmt.Errorf("due at %d, after its deadline %d", d.at, s.deadline)
	}
	if i > 0 && m.due.less(d, m.due.items[(i-1)/4]) {
		return fmt.Errorf("due before its parent in the expiry heap")
	}
	return nil
}

func (m *Machine) validateEnding() error {
	var last uint64
	n := 0
	for r := m.endingHead; r != 0; r = m.sessions.at(r).endNext {
		s := m.sessions.at(r)
		if s.flags&entryEnding == 0 || s.order <= last || s.order > m.endings {
			return fmt.Errorf("ending session %d: order %d after %d", s.id, s.order, last)
		}
		if s.endNext == 0 && r != m.endingTail {
			return fmt.Errorf("ending session %d: last but not the tail", s.id)
		}
		last = s.order
		n++
	}
	if want := int(m.sessionCount) - m.byNonce.n; n != want {
		return fmt.Errorf("ending sessions: have %d, want %d", n, want)
	}
	return nil
}

func (m *Machine) validateBounds() error {
	l := &m.limits
	for _, b := range [...]struct {
		name        string
		have, limit int
	}{
		{"locks", int(m.lockCount), int(l.Locks)},
		{"claims", int(m.claimCount), int(l.Claims)},
		{"sessions", int(m.sessionCount), int(l.Sessions)},
		{"detached holds", int(m.detachedCount), int(l.Detached)},
		{"lock entries", int(m.locks.used), 2 * int(l.Locks)},
		{"claim entries", int(m.claims.used), int(l.Claims)},
		{"session entries", int(m.sessions.used), 2 * (int(l.Sessions) + int(l.Detached))},
		{"claim index", m.byRequest.n, int(m.claimCount)},
		{"session index", m.byID.n, int(m.sessionCount)},
		{"detached index", m.byToken.n, int(m.detachedCount)},
		{"stack entries", int(m.stacks.used), int(l.Claims)},
		{"owner index", m.byOwner.n, int(m.stackCount)},
		{"flow index", m.byFlow.n, l.flowsMost()},
		{"conversion index", m.byHold.n, int(m.convertedCount)},
		{"answers", int(m.answerCount), int(l.Claims)},
		{"answer entries", int(m.answers.used), int(l.Claims)},
	} {
		if b.have > b.limit {
			return fmt.Errorf("bound: have %d %s, limit is %d", b.have, b.name, b.limit)
		}
	}
	return nil
}

// validateFlows counts the waits that say Detect, and those in the index.
func (m *Machine) validateFlows() error {
	detects, found := uint32(0), 0
	for r := ref(1); r <= m.claims.used; r++ {
		if m.claims.at(r).flags&claimDetects == 0 {
			continue
		}
		detects++
		if _, ok := m.flowPlace(r); ok {
			found++
		}
	}
	if detects != m.detectCount || found != m.byFlow.n {
		return fmt.Errorf("waits with detect: have %d and %d in the index, counted %d and %d",
			m.detectCount, m.byFlow.n, detects, found)
	}
	return nil
}

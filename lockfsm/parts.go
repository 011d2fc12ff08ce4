package lockfsm

import "bytes"

// An acquire of several names is one claim on each of them, a part, all with the
// request of the acquire. The parts wait in the queues of their locks and are
// granted together or not at all. Once they hold, each is a hold like any other,
// which a release may name by its token; what they still have in common is the
// request, which finds them again, and by which OpReleaseAll gives back what is
// left.
//
// The stamps of parts are consecutive, as places in queues and again as tokens, so
// the token of part number n is that of the first plus n-1, and one number tells
// all. For the same reason parts are neighbours among the claims of their session,
// in the order of their numbers. The first that is left stands in the table of
// requests for all.
//
// A part is in turn when it would be granted if it were alone. All waits for the
// same names come in one order, of rank and then arrival, in every queue, so
// no two acquires of several names wait for each other. A part that is let in by
// its lock but must wait for the others keeps back only whom it does not get
// along with: the others pass it, passMost such parts at most. Who stands behind
// more of them is let in as soon as those become fewer, also if one is granted by
// another of its locks. No released format has these acquires, so that this came
// later needs no gate.
//
// An acquire may be asked for by an owner. Then it is the owner who waits with it, and
// who has its parts as long as they hold: that is who is meant where circles are looked
// for. It enters nothing, be it that the owner has a lock already or asks for one of these
// again. A part is no level, and has none: its token would be that of another grant, and
// if one was left before the other (see succeed) the rest would have a gap. Nor does an
// owner's one place in a queue go together with the one order of all queues.
//
// The other terms of an acquire are those of each part, which has a copy of its own. All
// are granted in one Apply, so a max hold ends all at one moment. A part that is kept
// after its end (kept.go) is none any more.

const (
	// MaxParts is how many names one acquire may ask for.
	MaxParts = 64
	// passMost is how many parts that wait for their others may be passed in one
	// queue. It bounds the work of a pump to so many looks at all of a request.
	passMost = 64
)

// Part is one name of an acquire of several.
type Part struct {
	Mode Mode
	Name []byte
}

// Parts are the names of an acquire of several, as they stand in a batch: mode,
// then length and bytes of the name, one after another. They are borrowed.
type Parts []byte

// AppendPart adds a name. Requires: it is at most 65535 bytes.
func (p Parts) AppendPart(x Part) Parts {
	p = append(p, byte(x.Mode), byte(len(x.Name)), byte(len(x.Name)>>8))
	return append(p, x.Name...)
}

// Next splits off the first. Requires: there is one.
func (p Parts) Next() (Part, Parts) {
	end := partFixedBytes + int(p[1]) + int(p[2])<<8
	return Part{Mode: Mode(p[0]), Name: p[partFixedBytes:end:end]}, p[end:]
}

// At returns the i-th, counted from 0. Requires: there are more than i.
func (p Parts) At(i int) Part {
	x, rest := p.Next()
	for ; i > 0; i-- {
		x, rest = rest.Next()
	}
	return x
}

// Len counts them.
func (p Parts) Len() int {
	n := 0
	for ; len(p) > 0; n++ {
		_, p = p.Next()
	}
	return n
}

const partFixedBytes = 3

// acquireAll puts a claim into the queue of each name and grants all if all are in
// turn. If they are not, and the acquire does not want to wait, they are taken
// out again.
func (m *Machine) acquireAll(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request}
	sr, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	s := m.sessions.at(sr)
	if s.flags&entryParked != 0 {
		return res.with(CodeStaleEpoch)
	}
	if code := m.checkAcquireAll(c); code != CodeOK {
		return res.with(code)
	}
	if r := m.findClaim(s, c.Request); r != 0 {
		return m.acquireAllAgain(r, c, res)
	}
	if res = m.roomForAll(c, s, res); res.Code != CodeOK {
		return res
	}
	first := m.newParts(c, sr)
	return m.placeAll(first, c, res, out)
}

// checkAcquireAll judges the fields of an acquire of several names by themselves.
func (m *Machine) checkAcquireAll(c *Command) Code {
	t := &c.Terms
	switch {
	case c.Request == 0 || c.Flags&Detached != 0 || t.Fields&TermValue != 0 || !t.valid() ||
		(t.Fields&TermOwner != 0) != (t.Owner != 0):
		return CodeBadRequest
	case !t.timely(&m.limits):
		return CodeBadLease
	}
	n := 0
	var last []byte
	for rest := c.Parts; len(rest) > 0; n++ {
		var p Part
		p, rest = rest.Next()
		switch {
		case !p.Mode.Valid():
			return CodeBadMode
		case len(p.Name) == 0:
			return CodeBadName
		case len(p.Name) > int(m.limits.NameBytes):
			return CodeNameTooLong
		case n > 0 && bytes.Compare(last, p.Name) >= 0:
			return CodeBadRequest
		}
		last = p.Name
	}
	if n == 0 || n > MaxParts {
		return CodeBadRequest
	}
	return CodeOK
}

// roomForAll checks the limits that the claims of an acquire could break, and that
// no name is in use as a semaphore or a gate.
func (m *Machine) roomForAll(c *Command, s *session, res Result) Result {
	n, fresh := uint32(0), uint32(0)
	for rest := c.Parts; len(rest) > 0; n++ {
		var p Part
		p, rest = rest.Next()
		lr := m.findLock(p.Name, m.hashName(p.Name))
		if lr == 0 || m.locks.at(lr).ghost() {
			fresh++
		} else if l := m.locks.at(lr); l.semaphore() || l.gate() != 0 {
			res.Part = uint8(n)
			return l.otherKind(res)
		}
	}
	switch {
	case m.claimCount+n > m.limits.Claims:
		return res.with(CodeTooManyClaims)
	case s.count+n > m.limits.ClaimsPerSession:
		return res.with(CodeTooManySessionClaims)
	case m.lockCount+fresh > m.limits.Locks:
		return res.with(CodeTooManyLocks)
	default:
		return res.with(m.roomForTerms(c, n))
	}
}

// newParts makes the claims of an acquire and puts each into its queue. It returns
// the first.
func (m *Machine) newParts(c *Command, sr ref) ref {
	first, n := ref(0), uint32(0)
	for rest := c.Parts; len(rest) > 0; {
		var p Part
		p, rest = rest.Next()
		n++
		hash := m.hashName(p.Name)
		lr := m.findLock(p.Name, hash)
		if lr == 0 {
			lr = m.newLock(p.Name, hash)
		}
		if l := m.locks.at(lr); l.ghost() {
			m.lockCount++
			l.become(0)
		}
		r := m.allocClaim()
		*m.claims.at(r) = claim{request: c.Request, lock: lr, session: sr, mode: p.Mode,
			weight: c.Weight, since: m.logTime, extra: n,
			flags: claimPart}
		m.partCount++
		if first == 0 {
			first = r
		}
		m.joinSession(r)
		if c.Terms.Fields != 0 {
			none := termed{}
			m.setTerms(r, none.after(&c.Terms))
		}
		m.enqueue(r)
		m.touchLock(lr)
	}
	return first
}

// placeAll gives new parts what they are due.
func (m *Machine) placeAll(first ref, c *Command, res Result, out *Outcome) Result {
	late := first
	for late != 0 && m.inTurn(late) {
		late = m.partAfter(late)
	}
	if late == 0 {
		m.grantAll(first, first, nil)
		res.Token = m.claims.at(first).stamp
		return res.with(CodeOK)
	}
	if c.Flags&Wait == 0 {
		at := m.claims.at(late)
		res.Part = at.part() - 1
		res = m.refuse(m.locks.at(at.lock), at.mode, res)
		m.removeParts(first, nil)
		return res
	}
	if c.Flags&Detect != 0 {
		for r := first; r != 0; r = m.partAfter(r) {
			m.detect(r)
		}
		if circle := m.circleOf(first, out); circle > 0 {
			res = m.deadlock(circle, res, out)
			for r := first; string(m.lockName(m.locks.at(m.claims.at(r).lock))) !=
				string(out.Steps[res.StepsAt].Name); r = m.partAfter(r) {
				res.Part++
			}
			m.removeParts(first, nil)
			return res
		}
	}
	for r := first; r != 0; r = m.partAfter(r) {
		x := m.claims.at(r)
		l := m.locks.at(x.lock)
		if l.waiting > m.limits.WaitersPerLock {
			res.Part = x.part() - 1
			m.removeParts(first, nil)
			return res.with(CodeTooManyWaiters)
		}
		res.Waiting = max(res.Waiting, l.waiting)
	}
	m.rememberLate(first, late)
	for r := late; r != 0; r = m.partAfter(r) {
		if !m.inTurn(r) { // the others wait for these
			m.noteQueue(m.locks.at(m.claims.at(r).lock), out)
		}
	}
	return res.with(CodeQueued)
}

// acquireAllAgain answers a request that has its claims, or one of another kind,
// already. What its owner gave back since, name by name, it does not get again.
func (m *Machine) acquireAllAgain(first ref, c *Command, res Result) Result {
	n, last := c.Parts.Len(), uint32(0)
	for r := first; r != 0; r = m.partAfter(r) {
		cl := m.claims.at(r)
		if !cl.isPart() || int(cl.part()) > n {
			return res.with(CodeRequestReused)
		}
		l, p := m.locks.at(cl.lock), c.Parts.At(int(cl.part())-1)
		if cl.mode != p.Mode || !bytes.Equal(m.lockName(l), p.Name) ||
			m.ownerOf(r) != c.Terms.Owner {
			return res.with(CodeRequestReused)
		}
		res.Waiting, last = max(res.Waiting, l.waiting), uint32(cl.part())
	}
	switch cl := m.claims.at(first); {
	case cl.state == claimHolds:
		res.Token, res.Waiting = cl.token(), 0
		return res.with(CodeOK)
	case int(last) != n:
		return res.with(CodeRequestReused)
	default:
		return res.with(CodeQueued)
	}
}

// isPart reports whether the claim is one of several of an acquire. Its extra is
// then its number, from 1, in the lowest eight bits, and what lateNumber returns in those
// above.
func (c *claim) isPart() bool { return c.flags&claimPart != 0 }

// part returns the number of a part, zero of any other claim.
func (c *claim) part() uint8 {
	if !c.isPart() {
		return 0
	}
	return uint8(c.extra)
}

// token is what a claim that holds is known by to its client: that of the first
// part where it is one.
func (c *claim) token() Token {
	if !c.isPart() {
		return c.stamp
	}
	return c.stamp - Token(c.part()-1)
}

// lateNumber is the number of that part of the acquire which was last found not to be in
// turn, zero if none was. Every part of a waiting acquire has it. It is where one looks
// first, it ends with the wait, no result depends on it, and no record has it.
// Requires: c is a part.
func (c *claim) lateNumber() uint8 { return uint8(c.extra >> 8) }

func (c *claim) setLate(n uint8) { c.extra = uint32(c.part()) | uint32(n)<<8 }

// releaseAll gives back what is left of an acquire of several names.
func (m *Machine) releaseAll(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request, Token: c.Token}
	sr, code := m.enter(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	s := m.sessions.at(sr)
	r := m.findClaim(s, c.Request)
	if r == 0 {
		return res.with(CodeNotHolder)
	}
	cl := m.claims.at(r)
	switch {
	case !cl.isPart():
		return res.with(CodeBadRequest)
	case cl.state != claimHolds || cl.token() != c.Token:
		return res.with(CodeNotHolder)
	}
	for r != 0 {
		next := m.partAfter(r)
		m.dropClaim(r, endReleased, out)
		r = next
	}
	return res.with(CodeOK)
}

// partAfter returns the next part of the acquire of r, zero if r is the last.
// Requires: r is a part.
func (m *Machine) partAfter(r ref) ref {
	c := m.claims.at(r)
	if next := c.ownNext; next != 0 && m.claims.at(next).isPart() &&
		m.claims.at(next).request == c.request {
		return next
	}
	return 0
}

// partNamed returns the part of the acquire of r, or one after it, that has a name, zero
// if none has. Requires: r is a part.
func (m *Machine) partNamed(r ref, name []byte) ref {
	for r != 0 && !bytes.Equal(m.lockName(m.locks.at(m.claims.at(r).lock)), name) {
		r = m.partAfter(r)
	}
	return r
}

// partBefore is partAfter the other way.
func (m *Machine) partBefore(r ref) ref {
	c := m.claims.at(r)
	if r == m.sessions.at(c.session).claims {
		return 0
	}
	if before := c.ownPrev; m.claims.at(before).isPart() &&
		m.claims.at(before).request == c.request {
		return before
	}
	return 0
}

// leaveParts makes a hold that is a part one like any other: it does not go with the rest
// of its acquire any more. It stays in the index. Requires: it is in its session's list.
func (m *Machine) leaveParts(r ref) {
	c := m.claims.at(r)
	hash, next := m.hashRequest(m.sessions.at(c.session), c.request), m.partAfter(r)
	switch {
	case m.partBefore(r) != 0:
		m.byRequest.insert(hash, r)
	case next != 0:
		m.byRequest.insert(hash, next)
	}
	c.flags &^= claimPart
	c.extra = 0
	m.partCount--
}

// firstPart returns the first part that is left of the acquire of r.
func (m *Machine) firstPart(r ref) ref {
	for before := m.partBefore(r); before != 0; before = m.partBefore(r) {
		r = before
	}
	return r
}

// inTurn reports whether a waiting claim is let in by its lock: by all who hold,
// and by all who wait before it and count.
func (m *Machine) inTurn(r ref) bool {
	m.looks++
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	if !m.grantable(l, c) {
		return false
	}
	line := m.newLine()
	for w := l.waiters; w != r; w = m.claims.at(w).next {
		before := m.claims.at(w)
		if m.sessions.at(before.session).dormant() {
			continue
		}
		if !before.isPart() || !line.lets(before.mode) ||
			!m.admits(l, before.mode, 0) || !line.pass(before.mode) {
			return false
		}
	}
	return line.lets(c.mode)
}

// line is what a look at a queue from its head on has passed so far: parts that
// wait for their others.
type line struct {
	open         modeSet
	passed, most int
}

func (m *Machine) newLine() line { return line{open: ModeNL.compatible(), most: m.passMost} }

// lets reports whether a claim of a mode keeps none of those passed waiting.
func (q *line) lets(m Mode) bool {
	return q.open&(1<<m) != 0 || plantedIs("parts-passed-by-all")
}

// pass goes past a part of a mode, if there were not too many before it.
func (q *line) pass(m Mode) bool {
	q.open &= m.compatible()
	q.passed++
	return q.passed <= q.most
}

// waitingParts returns the first part of an acquire of several names that waits, zero if
// the request is none.
func (m *Machine) waitingParts(id SessionID, q RequestID) ref {
	sr := m.findSession(id)
	if sr == 0 {
		return 0
	}
	r := m.findClaim(m.sessions.at(sr), q)
	if r == 0 || !m.claims.at(r).isPart() || m.claims.at(r).state != claimWaits {
		return 0
	}
	return r
}

// Late returns the name at which an acquire of several is stopped: the first at which it
// is not in turn, or the first of all if only endings that go on are in its way. It is nil
// if no such request waits, and borrowed from the machine until its next Apply or Dirty.
func (m *Machine) Late(id SessionID, q RequestID) []byte {
	first := m.waitingParts(id, q)
	if first == 0 {
		return nil
	}
	late := first
	for r := first; r != 0; r = m.partAfter(r) {
		if !m.inTurn(r) {
			late = r
			break
		}
	}
	return m.lockName(m.locks.at(m.claims.at(late).lock))
}

// AppendNames appends the names for which an acquire of several waits, in their order;
// none if no such request waits. They are borrowed as what Late returns.
func (m *Machine) AppendNames(dst [][]byte, id SessionID, q RequestID) [][]byte {
	for r := m.waitingParts(id, q); r != 0; r = m.partAfter(r) {
		dst = append(dst, m.lockName(m.locks.at(m.claims.at(r).lock)))
	}
	return dst
}

// othersInTurn reports whether all other parts of the acquire of r are in turn
// too. The part that kept the acquire waiting when it was last asked for is looked at
// first: mostly it does so still, and then the others, of which there may be MaxParts in
// a queue of as many such acquires, need not be looked at.
func (m *Machine) othersInTurn(r ref) bool {
	if at := m.latePart(r); at != 0 && at != r && !m.inTurn(at) {
		return plantedIs("parts-granted-early")
	}
	first := m.firstPart(r)
	for at := first; at != 0; at = m.partAfter(at) {
		if at != r && !m.inTurn(at) {
			m.rememberLate(first, at)
			return plantedIs("parts-granted-early")
		}
	}
	return true
}

// rememberLate notes which part keeps a waiting acquire waiting, at all of them.
func (m *Machine) rememberLate(first, late ref) {
	n := m.claims.at(late).part()
	for at := first; at != 0; at = m.partAfter(at) {
		m.claims.at(at).setLate(n)
	}
}

// latePart returns the part of the acquire of r that was last found not to be in turn,
// zero if none was. Those of one that waits are neighbours, and none is missing.
func (m *Machine) latePart(r ref) ref {
	late := m.claims.at(r).lateNumber()
	if late == 0 {
		return 0
	}
	for r != 0 && m.claims.at(r).part() > late {
		r = m.partBefore(r)
	}
	for r != 0 && m.claims.at(r).part() < late {
		r = m.partAfter(r)
	}
	return r
}

// grantAll makes holds of all parts of a waiting acquire, of which r is looked at.
// It returns how many. Where each part stood, it now holds, so that lets in
// only who stood behind too many parts to be passed: shorter remembers the locks
// other than that of r where somebody may. One who asks now changes no queue.
func (m *Machine) grantAll(r, asking ref, out *Outcome) int {
	var parts [MaxParts]ref // a grant moves a claim within the session's list
	n := 0
	for at := m.firstPart(r); at != 0; at = m.partAfter(at) {
		parts[n] = at
		n++
	}
	for _, at := range parts[:n] {
		c := m.claims.at(at)
		l := m.locks.at(c.lock)
		m.unlink(&l.waiters, at)
		l.waiting--
		c.setLate(0)
		m.grant(at)
		m.touchLock(c.lock)
		if parts[0] == asking {
			continue
		}
		m.tell(l, at, out)
		if at != r && int(l.waiting) > m.passMost && l.flags&entryShorter == 0 {
			l.flags |= entryShorter
			m.shorter = append(m.shorter, c.lock)
		}
	}
	return n
}

// removeParts takes all parts of a waiting acquire out, and then pumps their
// locks if out is not nil. It returns how many waiters that let in, and one for
// each part after the first.
func (m *Machine) removeParts(r ref, out *Outcome) int {
	var locks [MaxParts]ref
	var quiet [MaxParts]bool
	n := 0
	for r = m.firstPart(r); r != 0; n++ {
		c := m.claims.at(r)
		l := m.locks.at(c.lock)
		locks[n] = c.lock
		quiet[n] = l.flags&entryQuiet != 0 && m.sessions.at(c.session).dormant()
		next := m.partAfter(r)
		m.undetect(r)
		m.unlink(&l.waiters, r)
		l.waiting--
		m.leaveSession(r)
		r = next
	}
	work := n - 1
	for i, lr := range locks[:n] {
		if out != nil && !quiet[i] {
			work += m.pump(lr, 0, out)
		}
		m.settle(lr)
	}
	return work
}

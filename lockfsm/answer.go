package lockfsm

// What a gate lets through is gone from it, and what was counted leaves no claim:
// nothing is left in which a retry could find itself. So the answer of such a
// request is kept, with its session, until the client says that it has it: every
// command at a gate carries the number below which all requests of its session
// have been answered. What a client never confirms goes with its session.

// answer is one answer that is kept.
type answer struct {
	request RequestID
	value   uint64
	session ref
	// next is the answer given after this one. The last is followed by the oldest;
	// in a free entry, the next free one.
	next  ref
	count uint32 // in the last: how many there are
	op    Op
	code  Code
}

// lastAnswer is the newest answer kept for a session, zero if there is none. It
// stands in a field that is of no use meanwhile: the order of ending of a session
// that lives, the place in the expiry heap of one that does not.
func (s *session) lastAnswer() ref {
	if s.flags&entryEnding != 0 {
		return ref(s.heapAt)
	}
	return s.endNext
}

func (s *session) setLastAnswer(r ref) {
	if s.flags&entryEnding != 0 {
		s.heapAt = uint32(r)
		return
	}
	s.endNext = r
}

// answers is the number of answers kept for a session.
func (m *Machine) answersOf(s *session) uint32 {
	if last := s.lastAnswer(); last != 0 {
		return m.answers.at(last).count
	}
	return 0
}

func (m *Machine) hashAnswer(s *session, q RequestID) uint32 {
	return hashPair(m.limits.Seed+uint64(s.kind), uint64(s.id), uint64(q))
}

// findAnswer returns the answer kept for a request, or zero.
func (m *Machine) findAnswer(sr ref, q RequestID) ref {
	if plantedIs("gate-dedup-off") {
		return 0
	}
	p := m.byAnswer.probe(m.hashAnswer(m.sessions.at(sr), q))
	for r := p.next(); r != 0; r = p.next() {
		if a := m.answers.at(r); a.session == sr && a.request == q {
			return r
		}
	}
	return 0
}

// keep keeps an answer. Requires: none is kept for the request.
func (m *Machine) keep(sr ref, a answer) {
	r := m.freeAnswer
	if r != 0 {
		m.freeAnswer = m.answers.at(r).next
	} else {
		r = m.answers.grow()
	}
	s := m.sessions.at(sr)
	a.session, a.next, a.count = sr, r, 1
	if last := s.lastAnswer(); last != 0 {
		l := m.answers.at(last)
		a.next, a.count = l.next, l.count+1
		l.next = r
	}
	*m.answers.at(r) = a
	s.setLastAnswer(r)
	m.answerCount++
	m.byAnswer.insert(m.hashAnswer(s, a.request), r)
	m.touchSession(sr)
}

// dropAnswer forgets the oldest answer of a session. Requires: there is one.
func (m *Machine) dropAnswer(sr ref) {
	s := m.sessions.at(sr)
	last := m.answers.at(s.lastAnswer())
	r := last.next
	a := m.answers.at(r)
	m.byAnswer.remove(m.hashAnswer(s, a.request), r)
	last.count--
	last.next = a.next
	if last.count == 0 {
		s.setLastAnswer(0)
	}
	*a = answer{next: m.freeAnswer}
	m.freeAnswer = r
	m.answerCount--
	m.touchSession(sr)
}

// confirm forgets the answers that a client has: those to requests below done,
// as far as no later answer stands before them.
func (m *Machine) confirm(sr ref, done RequestID) {
	s := m.sessions.at(sr)
	for last := s.lastAnswer(); last != 0; last = s.lastAnswer() {
		if m.answers.at(m.answers.at(last).next).request >= done {
			return
		}
		m.dropAnswer(sr)
	}
}

// dropAnswers forgets answers of an ended session while there is work left, and
// reports whether all are gone.
func (m *Machine) dropAnswers(sr ref) bool {
	s := m.sessions.at(sr)
	for s.lastAnswer() != 0 {
		if m.work <= 0 {
			return false
		}
		m.work--
		m.dropAnswer(sr)
	}
	return true
}

// roomForAnswer checks the limits that one more wait at a gate, or answer, could
// break: the two count together, because the one becomes the other.
func (m *Machine) roomForAnswer(s *session) Code {
	switch {
	case m.claimCount+m.answerCount >= m.limits.Claims:
		return CodeTooManyClaims
	case s.count+m.answersOf(s) >= m.limits.ClaimsPerSession:
		return CodeTooManySessionClaims
	default:
		return CodeOK
	}
}

package lockfsm

import "fmt"

// validateGate checks what stands of a gate and who waits there: nobody at one
// that is open, and nothing but what its kind knows.
func (m *Machine) validateGate(l *lock) error {
	holders := uint32(0)
	for r := l.holders; r != 0; r = m.claims.at(r).next {
		s := m.sessions.at(m.claims.at(r).session)
		if s.kind != kindDetached || s.id != 0 {
			return fmt.Errorf("%v: session %d holds it", l.gate(), s.id)
		}
		holders++
	}
	ok := false
	switch l.gate() {
	case GateLatch:
		ok = holders == 1 && l.number() > 0
	case GateEvent:
		ok = l.number() == 0 && (holders == 1 && l.waiting == 0 || holders == 0 && l.waiting > 0)
	case GateBarrier:
		ok = holders == 0 && m.arrived(l) < l.number()
	}
	if !ok {
		return fmt.Errorf("%v of %d: have %d holds and %d waiters", l.gate(), l.number(), holders,
			l.waiting)
	}
	return nil
}

// validateAnswers checks the lists of kept answers and their index.
func (m *Machine) validateAnswers() error {
	total := uint32(0)
	for sr := ref(1); sr <= m.sessions.used; sr++ {
		s := m.sessions.at(sr)
		if !s.live() || s.kind != kindSession || s.lastAnswer() == 0 {
			continue
		}
		last := s.lastAnswer()
		n := m.answers.at(last).count
		for r, k := last, uint32(0); k < n; k++ {
			r = m.answers.at(r).next
			a := m.answers.at(r)
			if a.session != sr || m.findAnswer(sr, a.request) != r && !plantedIs("gate-dedup-off") {
				return fmt.Errorf("session %d: answer to request %d is not found", s.id, a.request)
			}
			if c := m.findClaim(s, a.request); c != 0 && m.locks.at(m.claims.at(c).lock).gate() != 0 {
				return fmt.Errorf("session %d: request %d is answered and waits", s.id, a.request)
			}
			if (r == last) != (k == n-1) {
				return fmt.Errorf("session %d: answers: have %d, want %d", s.id, k+1, n)
			}
		}
		total += n
	}
	if total != m.answerCount || m.byAnswer.n != int(total) {
		return fmt.Errorf("answers: have %d and %d in the index, counted %d", m.answerCount,
			m.byAnswer.n, total)
	}
	return nil
}

package check

import (
	"slices"

	"lockd/lockfsm"
)

// A hold with a max hold ends when it is that old and a tick more, whatever is
// renewed, with all that entered it.

// overstays reports whether the time of a hold is over.
func (s *step) overstays(c *Claim) bool {
	return c.token != 0 && c.terms.maxHold > 0 &&
		c.since+c.terms.maxHold+uint64(s.limits.TickCap) <= s.logTime
}

// over is when the max hold of a hold has lasted, zero if it has none.
func (c *Claim) over() uint64 {
	if c.terms.maxHold == 0 {
		return 0
	}
	return c.since + c.terms.maxHold
}

// overstayed takes the end of such a hold. Its requests were answered, or nobody has
// heard of them: one that comes again asks anew.
func (s *step) overstayed(e *lockfsm.Event) bool {
	l := s.locks[string(e.Name)]
	if l == nil {
		return false
	}
	i := slices.IndexFunc(l.holders, func(h *Claim) bool {
		return h.token == e.Token && h.key.session == e.Session && h.key.request == e.Request
	})
	if i < 0 || !s.overstays(l.holders[i]) {
		return false
	}
	c := l.holders[i]
	if c.session != nil && c.session.ended {
		return false
	}
	for _, up := range slices.Clone(c.levels) {
		delete(s.granted, up.key)
		s.drop(up)
	}
	delete(s.granted, c.key)
	s.Overstayed++
	s.part(c, isLost)
	return true
}

// Has reports whether a present hold of a lock has the token.
func (m *Model) Has(name string, t lockfsm.Token) bool {
	return slices.Contains(m.At(name, m.slot).Live, t)
}

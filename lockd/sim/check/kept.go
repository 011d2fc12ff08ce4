package check

import (
	"slices"

	"lockd/lockfsm"
)

// A hold with a min hold or a delay may stay taken after its end. The machine says
// when that begins of those that are lost, and when it is over of all; whether it
// must begin follows from the log.

// gone reports whether the machine may have released a claim without a word. A
// hold with a delay is kept first, and that is said.
func (c *Claim) gone() bool {
	if c.session == nil || !c.session.ended {
		return false
	}
	h := c.root()
	return h.token == 0 || h.terms.delay == 0
}

// live reports whether its holder may still go by a hold.
func (c *Claim) live() bool { return !c.kept && (c.session == nil || !c.session.ended) }

// keptUntil returns until when a hold stays taken that ends now, or zero.
func (s *step) keptUntil(c *Claim, lost lostOr) uint64 {
	until, tick := uint64(0), uint64(s.limits.TickCap)
	if c.terms.minHold > 0 {
		until = c.since + c.terms.minHold + tick
	}
	if c.terms.delay > 0 && lost == isLost {
		until = max(until, s.logTime+c.terms.delay+tick)
	}
	if until <= s.logTime {
		return 0
	}
	return until
}

// lostOr tells how a hold ends.
type lostOr uint8

const (
	isReleased lostOr = iota
	isLost
)

// part ends a hold, or keeps it.
func (s *step) part(c *Claim, how lostOr) {
	h := c.root()
	if how == isLost {
		s.doubt(h)
	}
	if c.base == nil && len(c.levels) == 0 {
		if until := s.keptUntil(h, how); until > 0 {
			s.keep(h, h.key.request, until)
			return
		}
	}
	s.drop(c)
}

// keep makes a hold one that is kept.
func (s *step) keep(c *Claim, request lockfsm.RequestID, until uint64) {
	s.touch(c.name)
	for _, up := range slices.Clone(c.levels) {
		s.drop(up)
	}
	s.dropTurn(c)
	delete(s.claims, c.key)
	if c.all != nil {
		s.leaveParts(c)
	}
	if c.session != nil {
		c.session.claims--
	}
	c.key = claimKey{1<<62 | lockfsm.SessionID(c.token), request, true}
	s.claims[c.key] = c
	c.session, c.owner, c.moved, c.deadline = nil, 0, false, until
	c.kept, c.keptIn = true, s.slot
	c.terms.minHold, c.terms.delay, c.terms.maxHold = 0, 0, 0
}

// eventKept takes the word of the machine that a hold is kept from now on.
func (s *step) eventKept(e *lockfsm.Event) bool {
	l := s.locks[string(e.Name)]
	if l == nil {
		return false
	}
	i := slices.IndexFunc(l.holders, func(h *Claim) bool { return h.token == e.Token })
	if i < 0 {
		return false
	}
	c := l.holders[i]
	switch {
	case c.kept:
		return c.keptIn == s.slot && c.key.request == e.Request
	case c.session == nil || !c.session.ended:
		return false
	}
	until := s.keptUntil(c, isLost)
	if until > 0 {
		s.doubt(c)
		s.keep(c, e.Request, until)
	}
	return until > 0
}

// lost takes the end of a detached hold, or of one that was kept.
func (s *step) lost(e *lockfsm.Event) bool {
	if e.Reason == lockfsm.ReasonMaxHold {
		return s.overstayed(e)
	}
	c := s.claims[claimKey{e.Session, e.Request, true}]
	if c == nil || c.token != e.Token || c.deadline > s.logTime || c.name != string(e.Name) ||
		c.kept != (e.Kind == lockfsm.EventFreed) {
		return false
	}
	s.part(c, isLost)
	return true
}

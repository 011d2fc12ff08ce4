package check

import (
	"slices"

	"lockd/lockfsm"
)

// A hold may be converted. What waits for another mode is a claim that stands in
// the queue before all who hold nothing, and once granted stays known by its
// request. The model says by pairs of modes what a mode that is no stronger is, and
// which waiting conversions wait for each other.

// noStronger reports whether whatever gets along with a hold in from does so with
// one in to.
func noStronger(from, to lockfsm.Mode) bool {
	for m := lockfsm.ModeNL; m <= lockfsm.ModeEX; m++ {
		if compatible(from, m) && !compatible(to, m) {
			return false
		}
	}
	return true
}

// knows reports whether a hold may go by a token: its own, or, since it was
// converted, a smaller one.
func (c *Claim) knows(t lockfsm.Token) bool {
	return t == c.token || c.moved && 0 < t && t < c.token
}

// named finds the hold or level that came of a request, if the command knows it by
// name and token.
func (s *step) named(c *lockfsm.Command, request lockfsm.RequestID) *Claim {
	k := s.claims[claimKey{c.Session, request, isDetached(c)}]
	if k != nil && c.Op == lockfsm.OpAmend {
		for _, p := range k.parts() { // each has data of its own
			if p.name == string(c.Name) {
				k = p
			}
		}
	}
	if k == nil || k.hold != nil || k.name != string(c.Name) {
		return nil
	}
	if h := k.root(); h.token == 0 || !h.knows(c.Token) {
		return nil
	}
	return k
}

func (s *step) convert(c *lockfsm.Command, r *lockfsm.Result) error {
	key := claimKey{c.Session, c.Request, isDetached(c)}
	if old := s.claims[key]; old != nil {
		return s.convertAgain(c, r, old)
	}
	k := s.named(c, c.Target)
	if k == nil {
		if r.Code != lockfsm.CodeNotHolder {
			return s.bad("I18: conversion of %q by session %d, which does not hold it by request %d and "+
				"token %d, answered %v", c.Name, c.Session, c.Target, c.Token, r.Code)
		}
		return nil
	}
	h := k.root()
	want := lockfsm.CodeOK
	switch {
	case r.Code == lockfsm.CodeNotHolder && max(h.eventSlot, k.eventSlot) == s.slot:
		return nil // granted later in the slot
	case h.capacity > 0:
		want = lockfsm.CodeOtherKind
	case h.turn != nil && !h.turn.done:
		want = lockfsm.CodeOtherMode
	case r.Code == lockfsm.CodeOtherMode && h.turn != nil && h.turn.eventSlot == s.slot:
		return nil // the turn before was granted later in the slot
	case !noStronger(h.mode, c.Mode):
		return s.await(key, c, r, h)
	}
	if r.Code != want || want == lockfsm.CodeOK && r.Token != h.token {
		return s.bad("I18: conversion of %q from %v to %v by session %d answered %v token %d, want %v %d",
			c.Name, h.mode, c.Mode, c.Session, r.Code, r.Token, want, h.token)
	}
	if want == lockfsm.CodeOK {
		s.touch(h.name)
		s.dropTurn(h)
		h.moved = h.moved || h.mode != c.Mode
		h.mode = c.Mode
	}
	return nil
}

// convertAgain judges a request that came before.
func (s *step) convertAgain(c *lockfsm.Command, r *lockfsm.Result, old *Claim) error {
	fits := old.hold != nil && old.mode == c.Mode && old.name == string(c.Name)
	switch {
	case fits && old.done && r.Code == lockfsm.CodeOK && r.Token == old.hold.token,
		fits && r.Code == lockfsm.CodeQueued && (!old.done || old.eventSlot == s.slot):
		return nil
	}
	return s.bad("I19: conversion %d of session %d again: answered %v token %d", c.Request, c.Session,
		r.Code, r.Token)
}

// await judges a conversion that may have to wait.
func (s *step) await(key claimKey, c *lockfsm.Command, r *lockfsm.Result, h *Claim) error {
	k := &Claim{key: key, name: h.name, mode: c.Mode, session: h.session, hold: h, weight: h.weight,
		detects: c.Flags&lockfsm.Detect != 0, since: s.logTime}
	l := s.touch(h.name)
	place, ahead, circle, vague := 0, false, false, s.pending
	for ; place < len(l.waiters) && l.waiters[place].hold != nil; place++ {
		w := l.waiters[place]
		ahead = ahead || !w.session.parked && !w.session.ended
		circle = circle || !w.session.ended && !compatible(w.mode, h.mode)
	}
	vague = vague && place > 0
	for _, o := range l.holders {
		vague = vague || o != h && !compatible(o.mode, k.mode)
	}
	waits, told := c.Flags&lockfsm.Wait != 0, r.Code == lockfsm.CodeDeadlock && r.Steps > 0
	switch r.Code {
	case lockfsm.CodeOK:
		if ahead || !s.admits(l, k) {
			return s.bad("I14: %q converted to %v for session %d past %d holders, %d waiters", k.name,
				k.mode, c.Session, len(l.holders), len(l.waiters))
		}
		if r.Token <= s.results {
			return s.bad("I15: token %d of a conversion after %d", r.Token, s.results)
		}
		s.results = r.Token
	case lockfsm.CodeQueued, lockfsm.CodeHeld, lockfsm.CodeDeadlock:
		if !ahead && !vague {
			return s.bad("I17: %q is not converted to %v for session %d with nobody in the way: %v",
				k.name, k.mode, c.Session, r.Code)
		}
		if waits == (r.Code == lockfsm.CodeHeld) ||
			waits && circle != (r.Code == lockfsm.CodeDeadlock && !told) {
			return s.bad("conversion of %q from %v to %v by session %d with flags %d, in a circle: %v, "+
				"answered %v", k.name, h.mode, k.mode, c.Session, c.Flags, circle, r.Code)
		}
		if told {
			if err := s.detected(k, c, r); err != nil {
				return err
			}
		}
	default:
		return s.bad("conversion answered %v", r.Code)
	}
	s.dropTurn(h)
	switch r.Code {
	case lockfsm.CodeOK:
		s.attach(k)
		return s.turn(k, r.Token)
	case lockfsm.CodeQueued:
		if _, before := s.granted[key]; before {
			return s.bad("I19: conversion %d of session %d queued again after its grant", c.Request,
				c.Session)
		}
		s.attach(k)
		l.waiters = slices.Insert(l.waiters, place, k)
		return s.mayWait(k)
	}
	return nil
}

func (s *step) attach(k *Claim) {
	k.hold.turn = k
	s.claims[k.key] = k
	k.session.claims++
}

// turn grants a conversion.
func (s *step) turn(k *Claim, t lockfsm.Token) error {
	if before, ok := s.granted[k.key]; ok {
		return s.bad("I19: conversion %d of session %d granted again: token %d, before %d",
			k.key.request, k.key.session, t, before)
	}
	h := k.hold
	l := s.touch(k.name)
	for _, o := range slices.Clone(l.holders) {
		if o != h && o.gone() && !compatible(o.mode, k.mode) {
			s.purge(o)
		}
	}
	l.waiters = without(l.waiters, k)
	l.holders = append(without(l.holders, h), h)
	h.was = append(h.was, h.token)
	h.token, h.mode, h.moved, k.done = t, k.mode, true, true
	s.granted[k.key] = t
	s.Grants = append(s.Grants, Grant{Session: k.key.session, Request: k.key.request, Token: t,
		Name: k.name, Mode: k.mode, Was: h.was})
	return nil
}

// eventTurns takes the event of a conversion that waited.
func (s *step) eventTurns(k *Claim, e *lockfsm.Event) (bool, error) {
	if k.done || k.name != string(e.Name) || !s.mayGrant(k) {
		return false, nil
	}
	if e.Token <= s.events {
		return false, s.bad("I15: token %d granted after %d", e.Token, s.events)
	}
	s.events, k.eventSlot = e.Token, s.slot
	return true, s.turn(k, e.Token)
}

// dropTurn takes the conversion of a hold out, or, of a conversion, that it is its
// hold's. What waits when a hold is given back is told; what belongs to an ended
// session was, before its hold went.
func (s *step) dropTurn(c *Claim) {
	if c.hold != nil {
		c.hold.turn = nil
		return
	}
	k := c.turn
	if k == nil || !k.done && k.session.ended {
		return
	}
	if !k.done {
		s.owed = append(s.owed, k.key)
	}
	c.turn = nil
	l := s.touch(k.name)
	l.waiters = without(l.waiters, k)
	delete(s.claims, k.key)
	k.session.claims--
}

// conversionEnded takes the event of a conversion whose hold was given back.
func (s *step) conversionEnded(e *lockfsm.Event) bool {
	i := slices.Index(s.owed, claimKey{e.Session, e.Request, false})
	if i < 0 {
		return false
	}
	s.owed = slices.Delete(s.owed, i, i+1)
	return true
}

// giveBack judges the end of what came of one acquire, converted or not.
func (s *step) giveBack(c *lockfsm.Command, r *lockfsm.Result) error {
	k := s.named(c, c.Target)
	switch {
	case r.Code == lockfsm.CodeNotHolder && k != nil && max(k.eventSlot, k.root().eventSlot) == s.slot:
	case (k != nil) != (r.Code == lockfsm.CodeOK):
		return s.bad("I18: request %d of session %d gives %q back with token %d: answered %v, it "+
			"holds: %v", c.Target, c.Session, c.Name, c.Token, r.Code, k != nil)
	case k != nil:
		s.part(k, isReleased)
	}
	return nil
}

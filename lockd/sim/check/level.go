package check

import (
	"slices"

	"lockd/lockfsm"
)

// A claim with an owner may have levels: further acquires of the same owner.
// They stand in no list of the lock and have no token of their own; each ends by
// itself, and the place is free when the last has ended. The model counts them by
// name, so that a machine which raises or lowers a count twice soon grants or
// refuses a lock that the model says otherwise of.

// root is the claim that stands in the lists of the lock for c.
func (c *Claim) root() *Claim {
	switch {
	case c.base != nil:
		return c.base
	case c.done:
		return c.hold
	default:
		return c
	}
}

// owned finds the claim that a session has on a lock for an owner, and he may enter.
func (l *lockModel) owned(p *Session, o lockfsm.Owner) *Claim {
	for _, c := range slices.Concat(l.holders, l.waiters) {
		if c.session == p && c.owner == o && c.all == nil {
			return c
		}
	}
	return nil
}

// deepen judges an acquire of an owner that has the claim b already.
func (s *step) deepen(b *Claim, k *Claim, c *lockfsm.Command, r *lockfsm.Result) error {
	want := lockfsm.CodeQueued
	switch {
	case b.mode != k.mode || b.terms.maxHold != k.terms.maxHold:
		want = lockfsm.CodeOtherMode
	case b.token != 0:
		want = lockfsm.CodeOK
	case c.Flags&lockfsm.Wait == 0:
		want = lockfsm.CodeHeld
	}
	// The grant of b may have come later in the slot than this.
	early := b.eventSlot == s.slot && want == lockfsm.CodeOK &&
		(r.Code == lockfsm.CodeQueued || r.Code == lockfsm.CodeHeld)
	if r.Code != want && !early || r.Code == lockfsm.CodeOK && r.Token != b.token {
		return s.bad("I18: request %d of session %d enters %q, which its owner %d has with token %d: "+
			"answered %v token %d", c.Request, c.Session, k.name, k.owner, b.token, r.Code, r.Token)
	}
	if r.Code != lockfsm.CodeOK && r.Code != lockfsm.CodeQueued {
		return nil
	}
	if t, before := s.granted[k.key]; before {
		return s.bad("I19: request %d of session %d enters %q again, which it was granted with token %d",
			c.Request, c.Session, k.name, t)
	}
	k.base, k.untold = b, r.Code == lockfsm.CodeQueued
	b.levels = append(b.levels, k)
	s.levels++
	s.claims[k.key] = k
	s.own(k)
	if r.Code == lockfsm.CodeOK {
		s.enters(k)
	}
	return nil
}

// enters notes that a level was granted.
func (s *step) enters(k *Claim) {
	s.granted[k.key], k.untold = k.base.token, false
	s.Grants = append(s.Grants, Grant{Session: k.key.session, Request: k.key.request,
		Token: k.base.token, Name: k.name, Mode: k.base.mode, Again: true, Was: k.base.was})
}

// eventEnters takes the event that tells a level of the grant of its claim.
func (s *step) eventEnters(k *Claim, e *lockfsm.Event) bool {
	if !k.untold || k.base.token == 0 || k.base.token != e.Token || k.name != string(e.Name) {
		return false
	}
	k.eventSlot = s.slot
	s.enters(k)
	return true
}

// allTold checks that no level of a hold was left without its event.
func (s *step) allTold() error {
	if len(s.owed) > 0 {
		return s.bad("I17: request %d of session %d is not told that its hold has ended",
			s.owed[0].request, s.owed[0].session)
	}
	if len(s.toTell) > 0 {
		return s.bad("I18: session %d is not told that its hold of %q was forced", s.toTell[0].Session,
			s.toTell[0].Name)
	}
	if s.levels == 0 {
		return nil
	}
	for _, k := range s.claims { // order: any one is enough
		if k.untold && k.base.token != 0 && !k.gone() {
			return s.bad("I17: request %d of session %d is not told that %q was granted", k.key.request,
				k.key.session, k.name)
		}
	}
	return nil
}

// leave judges the end of one acquire of an owner.
func (s *step) leave(c *lockfsm.Command, r *lockfsm.Result) error {
	k := s.named(c, c.Request)
	holds := k != nil
	if holds != (r.Code == lockfsm.CodeOK) {
		return s.bad("I18: leave of %q by request %d of session %d with token %d answered %v, it "+
			"holds: %v", c.Name, c.Request, c.Session, c.Token, r.Code, holds)
	}
	if holds {
		s.part(k, isReleased)
	}
	return nil
}

// dropLevel takes a level out, or the first claim from under its levels: the
// oldest of them takes its place, and nothing else changes.
func (s *step) dropLevel(c *Claim) {
	b := c.root()
	delete(s.claims, c.key)
	if c == b {
		c = b.levels[0]
		b.key, b.eventSlot = c.key, max(b.eventSlot, c.eventSlot)
		s.claims[b.key] = b
	}
	b.levels = without(b.levels, c)
	s.levels--
	b.session.claims--
}

// purge takes a claim that was not given back out with its levels.
func (s *step) purge(c *Claim) {
	s.doubt(c.root())
	for _, up := range slices.Clone(c.root().levels) {
		s.drop(up)
	}
	s.drop(c.root())
}

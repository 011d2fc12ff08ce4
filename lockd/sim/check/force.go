package check

import (
	"slices"

	"lockd/lockfsm"
)

// Force is one hold that was ended by force.
type Force struct {
	Name string
	// Tokens are those that the hold had, one after the other.
	Tokens []lockfsm.Token
}

// force judges the end of a hold by somebody who has no part in it.
func (s *step) force(c *lockfsm.Command, r *lockfsm.Result) error {
	name := string(c.Name)
	if s.gates.byName[name].inUse() {
		if r.Code != lockfsm.CodeOtherKind {
			return s.bad("I14: gate %q answered %v to a force", name, r.Code)
		}
		return nil
	}
	l := s.locks[name]
	if l == nil {
		l = &lockModel{}
	}
	var h *Claim
	vague, newest := false, lockfsm.Token(0)
	for _, o := range l.holders {
		// Those of the slot may have been granted, or converted, by a later command.
		late := o.eventSlot == s.slot || o.turn != nil && o.turn.eventSlot == s.slot
		vague = vague || late || o.gone()
		if newest = max(newest, o.token); o.token == c.Token {
			h = o
		}
	}
	switch r.Code {
	case lockfsm.CodeNotHolder:
		if !vague && (h != nil || r.HolderToken != newest) {
			return s.bad("I18: force of %q with token %d is refused, it is held: %v; the present token is "+
				"said to be %d, it is %d", name, c.Token, h != nil, r.HolderToken, newest)
		}
		return nil
	case lockfsm.CodeOK:
		if h == nil || r.Session != h.key.session || r.Detached != h.key.detached {
			return s.bad("I18: force of %q with token %d ended a hold of session %d, have %v", name,
				c.Token, r.Session, h)
		}
	default:
		return s.bad("force answered %v", r.Code)
	}
	s.toTell = append(s.toTell, lockfsm.Event{Kind: lockfsm.EventForced, Session: h.key.session,
		Request: h.key.request, Token: h.token, Name: []byte(name)})
	s.Forced = append(s.Forced, Force{Name: name, Tokens: append(slices.Clone(h.was), h.token)})
	// Whoever had not heard of the grant yet asks as if anew.
	for _, k := range append(slices.Clone(h.levels), h) {
		if len(k.parts()) == 1 {
			delete(s.granted, k.key)
		}
	}
	s.purge(h)
	return nil
}

// eventForced takes the word of the machine that a hold was forced.
func (s *step) eventForced(e *lockfsm.Event) bool {
	i := slices.IndexFunc(s.toTell, func(o lockfsm.Event) bool {
		return o.Session == e.Session && o.Token == e.Token && string(o.Name) == string(e.Name)
	})
	if i < 0 {
		return false
	}
	s.toTell = slices.Delete(s.toTell, i, i+1)
	return true
}

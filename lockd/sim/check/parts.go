package check

import (
	"slices"

	"lockd/lockfsm"
)

// An acquire of several names is one claim on each, a part. The model holds the
// machine to it that all parts are granted in one go, with tokens that follow each
// other, and that nobody passes a waiting part but those who get along with it.

// mostPassed is how many parts that wait for their others may be passed.
const mostPassed = 64

// parts are all claims that came of one request with c and are left.
func (c *Claim) parts() []*Claim {
	if c.all == nil {
		return []*Claim{c}
	}
	return *c.all
}

// issued is the token that the client of c was given: that of the first part.
func (c *Claim) issued() lockfsm.Token {
	if c.part == 0 || c.token == 0 {
		return c.root().token
	}
	return c.token - lockfsm.Token(c.part-1)
}

// touchAll notes that the locks of a request may change.
func (s *step) touchAll(c *Claim) {
	for _, p := range c.parts() {
		s.touch(p.name)
	}
}

// lets reports whether a claim would be let in by its lock, if room says who is
// by those who hold, and by those who stand before it and count.
func (s *step) lets(l *lockModel, before []*Claim, c *Claim,
	room func(*lockModel, *Claim) bool) bool {
	var passed []*Claim
	clash := func(c *Claim) bool {
		return slices.ContainsFunc(passed, func(p *Claim) bool { return !compatible(p.mode, c.mode) })
	}
	for _, w := range before {
		if w.session.parked || w.session.ended {
			continue
		}
		if w.all == nil || len(passed) == mostPassed || !room(l, w) || clash(w) {
			return false
		}
		passed = append(passed, w)
	}
	return room(l, c) && !clash(c)
}

// free is the strict form of admits: whoever may still be there counts.
func (s *step) free(l *lockModel, c *Claim) bool { return !s.blocked(l, c) }

// place is where a claim that comes now stands in a queue. It passes those who hold
// nothing, have less weight and came less than the difference times the step of
// ageing before it, or at any time if there is no ageing.
func (s *step) place(l *lockModel, c *Claim) int {
	at, age := len(l.waiters), uint64(s.limits.AgeStep)
	c.since = s.logTime
	for at > 0 {
		w := l.waiters[at-1]
		if w.hold != nil || w.weight >= c.weight {
			break
		}
		if age > 0 && c.since-w.since >= uint64(c.weight-w.weight)*age {
			s.Aged++
			break
		}
		at--
	}
	return at
}

// newParts makes the claims that an acquire asks for.
func (s *step) newParts(c *lockfsm.Command, p *Session) []*Claim {
	all := &[]*Claim{}
	for rest := c.Parts; len(rest) > 0; {
		var x lockfsm.Part
		x, rest = rest.Next()
		*all = append(*all, &Claim{key: claimKey{c.Session, c.Request, false}, name: string(x.Name),
			mode: x.Mode, weight: c.Weight, session: p, owner: c.Terms.Owner, part: len(*all) + 1, all: all,
			detects: c.Flags&lockfsm.Detect != 0})
		(*all)[len(*all)-1].terms.take(&c.Terms)
	}
	return *all
}

// acquireAll judges an acquire of several names.
func (s *step) acquireAll(c *lockfsm.Command, r *lockfsm.Result, p *Session) error {
	if old := s.claims[claimKey{c.Session, c.Request, false}]; old != nil {
		return s.acquireAllAgain(c, r, old)
	}
	parts := s.newParts(c, p)
	gate := slices.IndexFunc(parts, func(k *Claim) bool { return s.gates.byName[k.name].inUse() })
	if gate >= 0 && r.Code != lockfsm.CodeOtherKind {
		return s.bad("I14: gate %q answered %v to an acquire of several", parts[gate].name, r.Code)
	}
	if r.Code == lockfsm.CodeOtherKind {
		k := parts[r.Part]
		if other, surely := s.touch(k.name).otherKind(k); !other && surely && int(r.Part) != gate {
			return s.bad("I14: %q is refused as a semaphore, and is none", k.name)
		}
		return nil
	}
	surely, maybe, late := true, false, false
	for i, k := range parts {
		l := s.touch(k.name)
		before := l.waiters[:s.place(l, k)]
		surely = surely && s.lets(l, before, k, s.admits)
		in := !s.lets(l, before, k, s.free) || len(before) > 0 && s.pending
		maybe = maybe || in
		late = late || in && i == int(r.Part)
	}
	switch r.Code {
	case lockfsm.CodeOK:
		if !surely {
			return s.bad("I14: request %d of session %d is granted %d names, not all of which are in "+
				"turn", c.Request, c.Session, len(parts))
		}
		if r.Token <= s.results {
			return s.bad("I15: token %d granted after %d", r.Token, s.results)
		}
		s.results = r.Token + lockfsm.Token(len(parts)-1)
		return s.grantAll(parts, r.Token)
	case lockfsm.CodeQueued, lockfsm.CodeHeld, lockfsm.CodeDeadlock:
		if !maybe && !p.parked || r.Code == lockfsm.CodeHeld && !late && !p.parked {
			return s.bad("I17: request %d of session %d for %d names, with nobody in the way of number "+
				"%d, answered %v", c.Request, c.Session, len(parts), r.Part, r.Code)
		}
		if r.Code == lockfsm.CodeDeadlock {
			return s.detected(parts[0], c, r)
		}
		if waits := c.Flags&lockfsm.Wait != 0; waits != (r.Code == lockfsm.CodeQueued) {
			return s.bad("acquire of several with flags %d answered %v", c.Flags, r.Code)
		}
	default:
		return s.bad("acquire of several answered %v", r.Code)
	}
	if r.Code == lockfsm.CodeQueued {
		return s.queueAll(parts)
	}
	return nil
}

// queueAll puts new parts into the queues of their locks.
func (s *step) queueAll(parts []*Claim) error {
	first := parts[0]
	if _, before := s.granted[first.key]; before {
		return s.bad("I19: request %d of session %d queued again after its grant", first.key.request,
			first.key.session)
	}
	s.claims[first.key] = first
	for _, k := range parts {
		l := s.touch(k.name)
		l.waiters = slices.Insert(l.waiters, s.place(l, k), k)
		s.own(k)
	}
	return s.mayWait(first)
}

// grantAll makes holds of all parts. Those that waited are counted already.
func (s *step) grantAll(parts []*Claim, t lockfsm.Token) error {
	first := parts[0]
	if before, ok := s.granted[first.key]; ok {
		return s.bad("I19: request %d of session %d granted again: token %d, before %d",
			first.key.request, first.key.session, t, before)
	}
	fresh := s.claims[first.key] == nil
	for i, k := range parts {
		if fresh {
			s.own(k)
		}
		s.seat(k, t+lockfsm.Token(i))
	}
	s.claims[first.key], s.granted[first.key] = first, t
	return nil
}

// eventGrantAll takes the events that tell a waiting request of its grant: one for
// each part, side by side.
func (s *step) eventGrantAll(c *Claim, e *lockfsm.Event) (bool, error) {
	parts := c.parts()
	if c.token != 0 || c.name != string(e.Name) ||
		slices.ContainsFunc(parts, func(p *Claim) bool { return !s.mayGrant(p) }) {
		return false, nil
	}
	told := s.out.Events[s.event:]
	for i, p := range parts {
		if i >= len(told) || told[i].Kind != lockfsm.EventGranted || told[i].Session != e.Session ||
			told[i].Request != e.Request || string(told[i].Name) != p.name ||
			told[i].Token != e.Token+lockfsm.Token(i) {
			return false, s.bad("I14: request %d of session %d is granted %q, but not with it %q, "+
				"which is number %d of %d", e.Request, e.Session, e.Name, p.name, i, len(parts))
		}
		p.eventSlot = s.slot
	}
	if e.Token <= s.events {
		return false, s.bad("I15: token %d granted after %d", e.Token, s.events)
	}
	s.event += len(parts) - 1
	s.events = e.Token + lockfsm.Token(len(parts)-1)
	return true, s.grantAll(parts, e.Token)
}

// acquireAllAgain judges a request that came before.
func (s *step) acquireAllAgain(c *lockfsm.Command, r *lockfsm.Result, old *Claim) error {
	fits := old.all != nil
	asked := s.newParts(c, old.session)
	for _, p := range old.parts() {
		fits = fits && p.part <= len(asked) && asked[p.part-1].name == p.name &&
			asked[p.part-1].mode == p.mode && c.Terms.Owner == p.owner
	}
	switch {
	case fits && old.token != 0 && r.Code == lockfsm.CodeOK && r.Token == old.issued(),
		fits && r.Code == lockfsm.CodeQueued && (old.token == 0 || old.eventSlot == s.slot):
		return nil
	}
	return s.bad("I19: request %d of session %d for %d names again: answered %v token %d", c.Request,
		c.Session, len(asked), r.Code, r.Token)
}

// releaseAll judges the end of all that is left of an acquire.
func (s *step) releaseAll(c *lockfsm.Command, r *lockfsm.Result) error {
	k := s.claims[claimKey{c.Session, c.Request, false}]
	holds := k != nil && k.all != nil && k.token != 0 && k.issued() == c.Token
	switch {
	case holds && r.Code == lockfsm.CodeNotHolder && k.eventSlot == s.slot:
		return nil // granted later in the slot
	case holds != (r.Code == lockfsm.CodeOK):
		return s.bad("I18: release of all of request %d of session %d with token %d answered %v, it "+
			"holds: %v", c.Request, c.Session, c.Token, r.Code, holds)
	case holds:
		for _, p := range slices.Clone(k.parts()) {
			s.part(p, isReleased)
		}
	}
	return nil
}

// leaveParts makes a part that is kept after its end one no more.
func (s *step) leaveParts(c *Claim) {
	*c.all = without(*c.all, c)
	if len(*c.all) > 0 {
		s.claims[c.key] = (*c.all)[0]
	}
	c.all, c.part = nil, 0
}

// dropPart takes a part out that holds, or all of those that wait.
func (s *step) dropPart(c *Claim) {
	if c.token == 0 {
		for _, p := range c.parts() {
			l := s.touch(p.name)
			l.waiters = without(l.waiters, p)
			p.session.claims--
		}
		delete(s.claims, c.key)
		return
	}
	l := s.touch(c.name)
	l.holders = without(l.holders, c)
	c.session.claims--
	*c.all = without(*c.all, c)
	if len(*c.all) == 0 {
		delete(s.claims, c.key)
		return
	}
	s.claims[c.key] = (*c.all)[0]
}

// pumped checks that nobody who counts is kept waiting in vain.
func (s *step) pumped(name string, l *lockModel) error {
	for i, w := range l.waiters {
		if w.session.parked {
			continue
		}
		if !s.lets(l, l.waiters[:i], w, s.admits) {
			return nil
		}
		if !slices.ContainsFunc(w.parts(), func(p *Claim) bool { return !s.mayGrant(p) }) {
			return s.bad("I17: request %d of session %d waits for %q in %v for nobody",
				w.key.request, w.key.session, name, w.mode)
		}
	}
	return nil
}

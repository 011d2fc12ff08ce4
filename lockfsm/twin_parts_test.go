package lockfsm

import (
	"bytes"
	"fmt"
	"slices"
)

// acquireAll asks for several names, for all or none.
func (t *twin) acquireAll(c *Command, s *twinSession, res Result) Result {
	var parts []Part
	for rest := c.Parts; len(rest) > 0; {
		var p Part
		p, rest = rest.Next()
		parts = append(parts, p)
	}
	owned := c.Terms.Fields&TermOwner != 0
	switch {
	case c.Request == 0 || c.Flags&Detached != 0 || c.Terms.Fields&TermValue != 0 ||
		!fitting(&c.Terms) || owned != (c.Terms.Owner != 0):
		return res.with(CodeBadRequest)
	case !timely(&c.Terms, &t.l):
		return res.with(CodeBadLease)
	}
	for i, p := range parts {
		switch {
		case p.Mode > ModeEX:
			return res.with(CodeBadMode)
		case len(p.Name) == 0:
			return res.with(CodeBadName)
		case len(p.Name) > int(t.l.NameBytes):
			return res.with(CodeNameTooLong)
		case i > 0 && bytes.Compare(parts[i-1].Name, p.Name) >= 0:
			return res.with(CodeBadRequest)
		}
	}
	if len(parts) == 0 || len(parts) > 64 {
		return res.with(CodeBadRequest)
	}
	if cl := t.find(c.Session, c.Request, false); cl != nil {
		return t.acquireAllAgain(parts, c.Terms.Owner, cl, res)
	}
	fresh := 0
	for i, p := range parts {
		l := t.locks[string(p.Name)]
		if l == nil {
			fresh++
		} else if l.capacity > 0 || l.gate != 0 {
			res.Part, res.Capacity, res.Gate = uint8(i), l.capacity, l.gate
			return res.with(CodeOtherKind)
		}
	}
	switch {
	case len(t.claims())+len(parts) > int(t.l.Claims):
		return res.with(CodeTooManyClaims)
	case len(t.claimsOf(s))+len(parts) > int(t.l.ClaimsPerSession):
		return res.with(CodeTooManySessionClaims)
	case len(t.locks)+fresh > int(t.l.Locks):
		return res.with(CodeTooManyLocks)
	case c.Terms.Fields != 0 &&
		t.dataBytes()+newTerms(&c.Terms).bytes()*len(parts) > int(t.l.DataBytes):
		return res.with(CodeTooMuchData)
	case newTerms(&c.Terms).lingers() &&
		len(t.detached)+t.lingering()+len(parts) > int(t.l.Detached):
		return res.with(CodeTooManyDetached)
	}
	return t.placeAll(c, s, parts, res)
}

func (t *twin) placeAll(c *Command, s *twinSession, parts []Part, res Result) Result {
	all := &[]*twinClaim{}
	for i, p := range parts {
		l := t.locks[string(p.Name)]
		if l == nil {
			l = &twinLock{name: string(p.Name)}
			t.locks[l.name] = l
		}
		t.stamps++
		cl := &twinClaim{s: s, request: c.Request, stamp: t.stamps, since: t.now, mode: p.Mode,
			weight: c.Weight, lock: l, part: uint8(i + 1), all: all,
			detects: c.Flags&(Wait|Detect) == Wait|Detect}
		if cl.owner = c.Terms.Owner; c.Terms.Fields != 0 {
			cl.terms = newTerms(&c.Terms)
		}
		*all = append(*all, cl)
		at := 0
		for at < len(l.waiters) && t.ahead(l.waiters[at], cl) {
			at++
		}
		l.waiters = slices.Insert(l.waiters, at, cl)
	}
	first := (*all)[0]
	late := slices.IndexFunc(*all, func(p *twinClaim) bool { return !t.inTurn(p) })
	full := slices.IndexFunc(*all, func(p *twinClaim) bool {
		return len(p.lock.waiters) > int(t.l.WaitersPerLock)
	})
	switch {
	case late < 0:
		t.grant(first, first)
		res.Token = first.stamp
		return res.with(CodeOK)
	case c.Flags&Wait == 0:
		res.Part = uint8(late)
		res = t.held((*all)[late].lock, (*all)[late].mode, res)
	case first.detects && t.circle(first, &res):
		name := string(t.out.Steps[res.StepsAt].Name)
		res.Part = uint8(slices.IndexFunc(*all, func(p *twinClaim) bool { return p.lock.name == name }))
	case full >= 0:
		res.Part, res.Code = uint8(full), CodeTooManyWaiters
		for _, p := range (*all)[:full] {
			res.Waiting = max(res.Waiting, uint32(len(p.lock.waiters)))
		}
	default:
		for _, p := range *all {
			res.Waiting = max(res.Waiting, uint32(len(p.lock.waiters)))
		}
		return res.with(CodeQueued)
	}
	for _, p := range *all { // which changes nothing for the others
		p.lock.waiters = slices.DeleteFunc(p.lock.waiters, func(x *twinClaim) bool { return x == p })
		t.unuse(p.lock)
	}
	return res
}

// inTurn says whether a waiter would be granted if it stood alone: walking from
// the head of its queue, everybody who counts can be passed.
func (t *twin) inTurn(c *twinClaim) bool {
	var passed []*twinClaim
	for _, w := range c.lock.waiters {
		if (w.s.parked || w.s.ending) && w != c {
			continue
		}
		if !t.admits(c.lock, w) || slices.ContainsFunc(passed, func(p *twinClaim) bool {
			return !p.mode.Compatible(w.mode)
		}) {
			return false
		}
		if w == c {
			return true
		}
		if passed = append(passed, w); w.all == nil || len(passed) > t.passMost {
			return false
		}
	}
	return false
}

// compareLate asks a machine at which name each acquire of several is stopped.
func (t *twin) compareLate(m *Machine) error {
	for _, c := range t.claims() {
		late := m.Late(c.s.id, c.request)
		if c.all == nil || c.holds() {
			if late != nil && t.find(c.s.id, c.request, false) == c {
				return fmt.Errorf("late: got %q of request %d of session %d, which does not wait for "+
					"several", late, c.request, c.s.id)
			}
			continue
		}
		i := max(0, slices.IndexFunc(*c.all, func(p *twinClaim) bool { return !t.inTurn(p) }))
		if want := (*c.all)[i].lock.name; string(late) != want {
			return fmt.Errorf("late: got %q of request %d of session %d, want %q", late, c.request,
				c.s.id, want)
		}
		names := m.AppendNames(nil, c.s.id, c.request)
		if len(names) != len(*c.all) || string(names[c.part-1]) != c.lock.name {
			return fmt.Errorf("names: got %q of request %d of session %d, want %d", names, c.request,
				c.s.id, len(*c.all))
		}
	}
	return nil
}

// ready says whether a waiter that is in turn may be granted: a part with its others.
func (t *twin) ready(c *twinClaim) bool {
	return c.all == nil || !slices.ContainsFunc(*c.all, func(p *twinClaim) bool {
		return !t.inTurn(p)
	})
}

// grant makes a waiter, with all its parts, a holder. It returns how many were
// granted that had been waiting.
func (t *twin) grant(w, asking *twinClaim) int {
	n := 0
	if w.hold != nil {
		w.lock.waiters = slices.DeleteFunc(w.lock.waiters, func(x *twinClaim) bool { return x == w })
		t.turn(w)
		if w != asking {
			t.event(EventGranted, w, w.hold.stamp)
		}
		return 1
	}
	for _, p := range w.parts() {
		p.lock.waiters = slices.DeleteFunc(p.lock.waiters, func(x *twinClaim) bool { return x == p })
		p.lock.holders = append(p.lock.holders, p)
		t.stamps++
		p.stamp, p.since, p.detects = t.stamps, t.now, false
		n++
		if w.parts()[0] != asking {
			t.event(EventGranted, p, p.stamp)
			if p != w && len(p.lock.waiters) > t.passMost && !slices.Contains(t.shorter, p.lock) {
				t.shorter = append(t.shorter, p.lock)
			}
		}
		for _, up := range p.levels {
			t.event(EventGranted, up, p.stamp)
			n++
		}
	}
	return n
}

// parts are all claims of a waiter's acquire.
func (c *twinClaim) parts() []*twinClaim {
	if c.all == nil {
		return []*twinClaim{c}
	}
	return *c.all
}

// token is that of the first part.
func (c *twinClaim) token() Token { return c.place().stamp - Token(max(c.part, 1)-1) }

func (t *twin) acquireAllAgain(parts []Part, owner Owner, cl *twinClaim, res Result) Result {
	if cl.all == nil {
		return res.with(CodeRequestReused)
	}
	for _, p := range *cl.all {
		if int(p.part) > len(parts) || parts[p.part-1].Mode != p.mode ||
			string(parts[p.part-1].Name) != p.lock.name || p.owner != owner {
			return res.with(CodeRequestReused)
		}
		res.Waiting = max(res.Waiting, uint32(len(p.lock.waiters)))
	}
	switch {
	case cl.holds():
		res.Waiting, res.Token = 0, cl.token()
		return res.with(CodeOK)
	case len(*cl.all) != len(parts):
		return res.with(CodeRequestReused)
	}
	return res.with(CodeQueued)
}

// releaseAll gives back what is left of an acquire of several names.
func (t *twin) releaseAll(c *Command, res Result) Result {
	cl := t.find(c.Session, c.Request, false)
	switch {
	case cl == nil:
		return res.with(CodeNotHolder)
	case cl.all == nil:
		return res.with(CodeBadRequest)
	case !cl.holds() || cl.token() != c.Token:
		return res.with(CodeNotHolder)
	}
	for _, p := range slices.Clone(*cl.all) {
		t.part(p, endReleased)
	}
	return res.with(CodeOK)
}

// dropAll takes all parts of a wait out, and pumps their locks. It returns how
// many that let in, and one for each part after the first.
func (t *twin) dropAll(all []*twinClaim) int {
	n := len(all) - 1
	for _, p := range all {
		p.lock.waiters = slices.DeleteFunc(p.lock.waiters, func(x *twinClaim) bool { return x == p })
	}
	for _, p := range all {
		n += t.pump(p.lock, nil)
		t.unuse(p.lock)
	}
	return n
}

// unuse forgets a lock that nobody holds or waits for.
func (t *twin) unuse(l *twinLock) {
	if len(l.holders)+len(l.waiters) == 0 && l.value.data == "" {
		delete(t.locks, l.name)
	}
}

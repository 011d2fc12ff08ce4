package check

import (
	"slices"

	"lockd/lockfsm"
)

// command judges one result. Refusals of malformed fields change nothing and are
// taken as they are; everything else must follow from the state.
func (s *step) command(c *lockfsm.Command, r *lockfsm.Result) error {
	s.closing = 0
	if r.Op != c.Op {
		return s.bad("result of %v for %v", r.Op, c.Op)
	}
	if c.Op == lockfsm.OpOpenSession {
		return s.open(c, r)
	}
	var p *Session
	if !isDetached(c) && c.Op != lockfsm.OpWrite && c.Op != lockfsm.OpForce {
		var done bool
		var err error
		if p, done, err = s.enter(c, r); done || err != nil {
			return err
		}
	}
	if r.Code >= lockfsm.CodeBadRequest {
		return s.refused(c, r)
	}
	if !mayAnswer(c.Op, r.Code) {
		return s.bad("%v of session %d answered %v", c.Op, c.Session, r.Code)
	}
	switch c.Op {
	case lockfsm.OpCloseSession:
		s.closing = c.Session
		return nil
	case lockfsm.OpPark:
		p.parked = true
		for _, k := range s.claims { // order: a set is built
			if k.session == p {
				s.touchAll(k)
			}
		}
		return nil
	case lockfsm.OpLetGo:
		if soon := s.logTime + uint64(c.Lease); soon < p.deadline {
			p.deadline, p.letGo = soon, true
		}
		return nil
	case lockfsm.OpAcquire, lockfsm.OpTake, lockfsm.OpEnter:
		return s.acquire(c, r, p)
	case lockfsm.OpRelease:
		return s.release(c, r)
	case lockfsm.OpLeave:
		return s.leave(c, r)
	case lockfsm.OpAcquireAll:
		return s.acquireAll(c, r, p)
	case lockfsm.OpReleaseAll:
		return s.releaseAll(c, r)
	case lockfsm.OpConvert:
		return s.convert(c, r)
	case lockfsm.OpGiveBack:
		return s.giveBack(c, r)
	case lockfsm.OpAmend:
		return s.amend(c, r)
	case lockfsm.OpForce:
		return s.force(c, r)
	case lockfsm.OpCancel:
		return s.cancel(c, r)
	case lockfsm.OpRenewHold:
		return s.renew(c, r)
	case lockfsm.OpWrite:
		return s.write(c, r)
	case lockfsm.OpAwait, lockfsm.OpCountDown, lockfsm.OpSet, lockfsm.OpReset:
		return s.gate(c, r, p)
	default:
		return s.bad("opcode %v", c.Op)
	}
}

// mayAnswer reports whether a command may have a result, which is no refusal, at all;
// of those that are not listed it is judged with the rest.
func mayAnswer(op lockfsm.Op, code lockfsm.Code) bool {
	switch op {
	case lockfsm.OpCloseSession, lockfsm.OpPark, lockfsm.OpLetGo:
		return code == lockfsm.CodeOK
	case lockfsm.OpRelease, lockfsm.OpLeave, lockfsm.OpReleaseAll, lockfsm.OpGiveBack,
		lockfsm.OpRenewHold:
		return code == lockfsm.CodeOK || code == lockfsm.CodeNotHolder
	case lockfsm.OpWrite:
		return code == lockfsm.CodeOK || code == lockfsm.CodeConflict
	default:
		return true
	}
}

func (s *step) acquire(c *lockfsm.Command, r *lockfsm.Result, p *Session) error {
	key := claimKey{c.Session, c.Request, p == nil}
	if old := s.claims[key]; old != nil {
		return s.acquireAgain(c, r, old)
	}
	k := &Claim{key: key, name: string(c.Name), mode: c.Mode, weight: c.Weight, session: p,
		permits: c.Permits, capacity: c.Capacity, owner: c.Owner, deadline: s.logTime + uint64(c.Lease)}
	k.terms.take(&c.Terms)
	k.detects = c.Flags&lockfsm.Detect != 0
	l := s.touch(k.name)
	if s.gates.byName[k.name].inUse() {
		if r.Code != lockfsm.CodeOtherKind {
			return s.bad("I14: gate %q answered %v to an acquire", k.name, r.Code)
		}
		return nil
	}
	if other, surely := l.otherKind(k); other != (r.Code == lockfsm.CodeOtherKind) && surely {
		return s.bad("I14: %q with capacity %d answered %v to request %d of session %d", k.name,
			k.capacity, r.Code, c.Request, c.Session)
	} else if r.Code == lockfsm.CodeOtherKind {
		return nil
	}
	if k.owner != 0 {
		if b := l.owned(p, k.owner); b != nil {
			return s.deepen(b, k, c, r)
		}
	}
	place := s.place(l, k)
	before := l.waiters[:place]
	switch r.Code {
	case lockfsm.CodeOK:
		if !s.lets(l, before, k, s.admits) {
			return s.bad("I14: %q granted in %v to request %d of session %d past %d holders, %d waiters",
				k.name, k.mode, c.Request, c.Session, len(l.holders), len(l.waiters))
		}
		if r.Token <= s.results {
			return s.bad("I15: token %d granted after %d", r.Token, s.results)
		}
		s.results = r.Token
		s.own(k)
		return s.grant(k, r.Token)
	case lockfsm.CodeQueued, lockfsm.CodeHeld, lockfsm.CodeDeadlock:
		blocked := !s.lets(l, before, k, s.free) || len(before) > 0 && s.pending ||
			p != nil && p.parked
		if !blocked {
			return s.bad("I17: %q in %v answered %v to request %d of session %d with nobody in the way",
				k.name, k.mode, r.Code, c.Request, c.Session)
		}
		if r.Code == lockfsm.CodeDeadlock {
			return s.detected(k, c, r)
		}
		if waits := c.Flags&lockfsm.Wait != 0; waits != (r.Code == lockfsm.CodeQueued) {
			return s.bad("acquire with flags %d answered %v", c.Flags, r.Code)
		}
		if r.Code == lockfsm.CodeQueued {
			if _, before := s.granted[key]; before {
				return s.bad("I19: request %d of session %d queued again after its grant",
					c.Request, c.Session)
			}
			l.waiters = slices.Insert(l.waiters, place, k)
			s.claims[key] = k
			s.own(k)
			return s.queued(l, k, r)
		}
		return s.held(l, k, r)
	default:
		return s.bad("acquire answered %v", r.Code)
	}
}

func (s *step) own(k *Claim) {
	if k.session != nil {
		k.session.claims++
	}
}

// blocked reports whether a holder, those that may be gone included, is in the
// way of a claim, or the lock takes no more holders.
func (s *step) blocked(l *lockModel, k *Claim) bool {
	taken := k.permits
	for _, h := range l.holders {
		taken += h.permits
	}
	return len(l.holders) >= int(s.limits.HoldersPerLock) || taken > k.capacity ||
		slices.ContainsFunc(l.holders, func(h *Claim) bool { return !compatible(h.mode, k.mode) })
}

// otherKind reports whether a lock is in use as another kind than a claim takes
// it for, and whether that is sure: what claims of ended sessions make of it is
// not.
func (l *lockModel) otherKind(k *Claim) (other, surely bool) {
	surely = true
	for _, c := range slices.Concat(l.holders, l.waiters) {
		switch {
		case !c.gone():
			return c.capacity != k.capacity, true
		case c.capacity != k.capacity:
			surely = false
		}
	}
	return l.value.data != "" && k.capacity > 0, surely
}

func (s *step) acquireAgain(c *lockfsm.Command, r *lockfsm.Result, old *Claim) error {
	want, token := lockfsm.CodeQueued, old.root().token
	if token != 0 {
		want = lockfsm.CodeOK
	}
	root := old.root()
	if old.name != string(c.Name) || old.hold != nil ||
		old.all != nil || root.mode != c.Mode && !root.moved ||
		old.permits != c.Permits ||
		old.capacity != c.Capacity || old.root().owner != c.Owner {
		want = lockfsm.CodeRequestReused
	}
	if r.Code == lockfsm.CodeQueued && want == lockfsm.CodeOK && old.eventSlot == s.slot {
		return nil
	}
	if r.Code != want || want == lockfsm.CodeOK && r.Token != token {
		return s.bad("I19: request %d of session %d again: answered %v token %d, it has token %d",
			c.Request, c.Session, r.Code, r.Token, token)
	}
	return nil
}

// isDetached reports whether a command is about a detached hold.
func isDetached(c *lockfsm.Command) bool {
	return c.Flags&lockfsm.Detached != 0 || c.Op == lockfsm.OpRenewHold
}

// holder finds the hold that a command names.
func (s *step) holder(c *lockfsm.Command) *Claim {
	l := s.locks[string(c.Name)]
	if l == nil {
		return nil
	}
	for _, h := range l.holders {
		if h.token == c.Token && h.key.session == c.Session && h.key.detached == isDetached(c) {
			return h
		}
	}
	return nil
}

func (s *step) release(c *lockfsm.Command, r *lockfsm.Result) error {
	h := s.holder(c)
	switch {
	case r.Code == lockfsm.CodeOK && h == nil:
		return s.bad("I18: release of %q by session %d with token %d, which it does not hold, is ok",
			c.Name, c.Session, c.Token)
	case r.Code == lockfsm.CodeNotHolder && h != nil:
		return s.bad("I18: release of %q by session %d with token %d, which it holds, is refused",
			c.Name, c.Session, c.Token)
	case r.Code == lockfsm.CodeOK:
		s.part(h, isReleased)
	}
	return nil
}

func (s *step) cancel(c *lockfsm.Command, r *lockfsm.Result) error {
	if judged, err := s.gateCancel(c, r); judged {
		return err
	}
	k := s.claims[claimKey{c.Session, c.Request, false}]
	switch {
	case k == nil && r.Code == lockfsm.CodeCancelled:
	case k != nil && k.root().token == 0 && r.Code == lockfsm.CodeCancelled:
		s.drop(k)
	case k != nil && k.root().token != 0 && r.Code == lockfsm.CodeAlreadyGranted &&
		r.Token == k.issued():
	default:
		return s.bad("I19: cancel of request %d of session %d answered %v token %d",
			c.Request, c.Session, r.Code, r.Token)
	}
	return nil
}

// write replaces a register if its version is the one named.
func (s *step) write(c *lockfsm.Command, r *lockfsm.Result) error {
	have := s.written[string(c.Name)]
	fits := have == c.Token && have != lockfsm.Token(s.slot)
	if (r.Code == lockfsm.CodeOK) != fits {
		return s.bad("write of %q over version %d, which is %d, answered %v", c.Name, c.Token, have,
			r.Code)
	}
	if fits {
		s.written[string(c.Name)] = lockfsm.Token(s.slot)
	}
	return nil
}

func (s *step) renew(c *lockfsm.Command, r *lockfsm.Result) error {
	h := s.holder(c)
	switch {
	case (r.Code == lockfsm.CodeOK) != (h != nil):
		return s.bad("I18: renewal of %q token %d answered %v", c.Name, c.Token, r.Code)
	case h != nil:
		h.deadline = s.logTime + uint64(c.Lease)
	}
	return nil
}

package check

import "lockd/lockfsm"

// A machine that counts wrong refuses for ever what there is room for, and nothing
// else shows it. So a refusal for want of room is held against what the model counts,
// as the limit is documented: there must be as much at least. Bytes of data are not
// counted here.

// refused judges a refusal for want of room, or of a request that was used before.
func (s *step) refused(c *lockfsm.Command, r *lockfsm.Result) error {
	if s.wellFormed(c, r.Code) {
		s.confirmed(c)
	}
	if r.Code == lockfsm.CodeRequestReused {
		return s.reused(c)
	}
	if s.unsettled() {
		return nil // what ended sessions still take is not known
	}
	have, limit := s.taken(c, r)
	if have <= limit {
		return s.bad("I22: %v of request %d of session %d refused: %v, with %d of %d", c.Op, c.Request,
			c.Session, r.Code, have, limit)
	}
	return nil
}

// wellFormed reports whether a command that is refused is so for another reason than
// what it says.
func (s *step) wellFormed(c *lockfsm.Command, code lockfsm.Code) bool {
	switch code {
	case lockfsm.CodeBadRequest, lockfsm.CodeBadMode, lockfsm.CodeBadLease, lockfsm.CodeBadName,
		lockfsm.CodeNameTooLong:
		return false
	}
	return c.Op != lockfsm.OpAwait || c.Count <= s.limits.WaitersPerLock
}

// reused checks that something is known of the request of a command.
func (s *step) reused(c *lockfsm.Command) error {
	key := claimKey{c.Session, c.Request, isDetached(c)}
	_, answered := s.gates.kept[key]
	if s.claims[key] == nil && s.gates.waits[key] == nil && !answered {
		return s.bad("I19: %v of request %d of session %d is said to be used, and is new", c.Op,
			c.Request, c.Session)
	}
	return nil
}

// unsettled reports whether some session that has ended may still have something.
func (s *step) unsettled() bool {
	for _, p := range s.sessions { // order: any one is enough
		if p.ended {
			return true
		}
	}
	return s.pending
}

// taken returns how many there would be at most, with what a command asks for, and how
// many there may be, of what it is refused for.
func (s *step) taken(c *lockfsm.Command, r *lockfsm.Result) (have, limit int) {
	asks := max(1, c.Parts.Len())
	if c.Op == lockfsm.OpSet {
		asks = 2 // what stands, and the answer
	}
	switch l := &s.limits; r.Code {
	case lockfsm.CodeTooManySessions:
		return len(s.sessions) + 1, int(l.Sessions)
	case lockfsm.CodeTooManyClaims:
		return s.claimed(0, c.Gate) + asks, int(l.Claims)
	case lockfsm.CodeTooManySessionClaims:
		return s.claimed(c.Session, c.Gate) + asks, int(l.ClaimsPerSession)
	case lockfsm.CodeTooManyWaiters:
		return s.waitersOf(c, r), int(l.WaitersPerLock)
	case lockfsm.CodeTooManyDetached:
		return s.detached() + max(1, c.Parts.Len()), int(l.Detached)
	case lockfsm.CodeTooManyLocks:
		return s.inUse() + asks, int(l.Locks)
	}
	return 1, 0 // nothing that is counted
}

// claimed counts holds and waits, and at gates kept answers: of one session, or of
// all and with what stands for session zero.
func (s *step) claimed(of lockfsm.SessionID, gate lockfsm.GateKind) int {
	n := 0
	for key, c := range s.claims { // order: counts
		if of == 0 || key.session == of && !key.detached {
			n += len(c.parts())
		}
	}
	for key := range s.gates.waits { // order: counts
		if of == 0 || key.session == of {
			n++
		}
	}
	if of == 0 {
		n += s.Standing()
	}
	if gate == 0 {
		return n
	}
	for id, unread := range s.gates.unread { // order: counts
		if s.sessions[id] != nil && (of == 0 || id == of) {
			n += len(unread)
		}
	}
	return n
}

// waitersOf counts who would wait in the queue for which a command is refused.
func (s *step) waitersOf(c *lockfsm.Command, r *lockfsm.Result) int {
	if c.Gate != 0 {
		n := 1
		if g := s.gates.byName[string(c.Name)]; g != nil {
			n += len(g.waiters)
		}
		return max(n, int(c.Count)) // so many are to come
	}
	name := string(c.Name)
	if int(r.Part) < c.Parts.Len() {
		name = string(c.Parts.At(int(r.Part)).Name)
	}
	if l := s.locks[name]; l != nil {
		return len(l.waiters) + 1
	}
	return 1
}

// detached counts the holds without a session, those that may become such, and what
// stands.
func (s *step) detached() int {
	n := s.Standing()
	for _, c := range s.claims { // order: counts
		if c.session == nil || c.terms.minHold > 0 || c.terms.delay > 0 {
			n += len(c.parts())
		}
	}
	return n
}

// inUse counts the names that are held or waited for, have a value or are gates.
func (s *step) inUse() int {
	n := 0
	for _, l := range s.locks { // order: counts
		if len(l.holders) > 0 || len(l.waiters) > 0 || l.value.data != "" {
			n++
		}
	}
	for _, g := range s.gates.byName { // order: counts
		if g.inUse() {
			n++
		}
	}
	return n
}

// endsInTime checks that a machine which has endings left to do comes to an end with
// them: each time step does a part of the work, and all that there is makes three times
// as much at most, its end and what that lets in.
func (s *step) endsInTime(b *Batch) error {
	if !s.pending {
		s.endless = 0
		return nil
	}
	if s.endless == 0 {
		s.couldEnd = len(s.sessions) + s.claimed(0, lockfsm.GateLatch)
	}
	for i := range b.Commands {
		s.couldEnd += 1 + b.Commands[i].Parts.Len()
	}
	if b.Ticked {
		s.endless++
	}
	if s.endless*int(s.limits.WorkPerApply) > 3*s.couldEnd+10 {
		return s.bad("I31: endings are left to do after %d steps of %d, %d things could end", s.endless,
			s.limits.WorkPerApply, s.couldEnd)
	}
	return nil
}

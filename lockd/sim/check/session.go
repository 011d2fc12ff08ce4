package check

import "lockd/lockfsm"

// Session is a session of the model.
type Session struct {
	ID       lockfsm.SessionID
	Nonce    lockfsm.Nonce
	lease    uint64
	deadline uint64
	epoch    lockfsm.Epoch
	parked   bool
	ended    bool
	letGo    bool // it is to end before its lease
	claims   int
	name     string  // that its client gave it
	epochs   []epoch // that it has had, in order
	// began is the slot that opened it, over the one that ended it, zero if none did.
	began, over uint64
}

// epoch is what a session had seen from a slot on.
type epoch struct {
	slot uint64
	at   lockfsm.Epoch
}

// raise notes an epoch that is newer.
func (p *Session) raise(e lockfsm.Epoch, slot uint64) {
	p.epoch, p.parked = e, false
	p.epochs = append(p.epochs, epoch{slot, e})
}

// epochAt is the epoch that the session had seen after a slot.
func (p *Session) epochAt(slot uint64) (at lockfsm.Epoch) {
	for _, e := range p.epochs {
		if e.slot <= slot {
			at = e.at
		}
	}
	return at
}

// stood reports whether the session was alive after a slot.
func (p *Session) stood(slot uint64) bool {
	return p.began <= slot && (p.over == 0 || slot < p.over)
}

// open judges the opening of a session, or of one that was opened before.
func (s *step) open(c *lockfsm.Command, r *lockfsm.Result) error {
	if r.Code != lockfsm.CodeOK {
		if r.Code < lockfsm.CodeBadRequest {
			return s.bad("open answered %v", r.Code)
		}
		return s.refused(c, r)
	}
	s.Opens = append(s.Opens, Opening{r.Session, c.Nonce})
	if p := s.nonces[c.Nonce]; p != nil {
		if p.ID != r.Session {
			return s.bad("I19: session %d opened for the nonce of %d", r.Session, p.ID)
		}
		p.deadline, p.letGo = s.logTime+p.lease, false
		if c.Epoch > p.epoch {
			p.raise(c.Epoch, s.slot)
		}
		return nil
	}
	if r.Session <= s.lastSession {
		return s.bad("I19: session id %d given out after %d", r.Session, s.lastSession)
	}
	s.lastSession = r.Session
	p := &Session{ID: r.Session, Nonce: c.Nonce, lease: uint64(c.Lease), epoch: c.Epoch,
		deadline: s.logTime + uint64(c.Lease), began: s.slot, name: string(c.Name),
		epochs: []epoch{{s.slot, c.Epoch}}}
	s.sessions[p.ID], s.nonces[c.Nonce] = p, p
	return nil
}

// enter judges the session and epoch of a command, and reports whether that
// decides its result.
func (s *step) enter(c *lockfsm.Command, r *lockfsm.Result) (*Session, bool, error) {
	p := s.sessions[c.Session]
	switch {
	case p == nil || p.ended:
		if r.Code != lockfsm.CodeSessionUnknown && r.Code != lockfsm.CodeSessionEnded {
			return nil, true, s.bad("I19: %v of session %d, which is not alive, answered %v",
				c.Op, c.Session, r.Code)
		}
		return nil, true, nil
	case c.Epoch < p.epoch || c.Op == lockfsm.OpPark && c.Epoch > p.epoch:
		if r.Code != lockfsm.CodeStaleEpoch {
			return nil, true, s.bad("I19: %v of session %d at epoch %d, it is at %d, answered %v",
				c.Op, c.Session, c.Epoch, p.epoch, r.Code)
		}
		return nil, true, nil
	case (c.Op.Acquires() || c.Op == lockfsm.OpConvert || c.Op == lockfsm.OpAwait) && p.parked &&
		c.Epoch == p.epoch:
		// Its conn is gone, so nobody would hear of a grant.
		if r.Code != lockfsm.CodeStaleEpoch {
			return nil, true, s.bad("I16: acquire of parked session %d at its epoch %d answered %v",
				c.Session, c.Epoch, r.Code)
		}
		return nil, true, nil
	case r.Code == lockfsm.CodeStaleEpoch, r.Code == lockfsm.CodeSessionUnknown,
		r.Code == lockfsm.CodeSessionEnded:
		return nil, true, s.bad("%v of live session %d at epoch %d, it is at %d, answered %v",
			c.Op, c.Session, c.Epoch, p.epoch, r.Code)
	}
	if c.Epoch > p.epoch && c.Op != lockfsm.OpLetGo {
		p.raise(c.Epoch, s.slot)
		for _, k := range s.claims { // order: a set is built
			if k.session == p {
				s.touchAll(k)
			}
		}
		if err := s.follow(); err != nil {
			return nil, true, err
		}
	}
	return p, false, nil
}

// closed checks that a session which was closed has ended, and was said to.
func (s *step) closed() error {
	if p := s.sessions[s.closing]; s.closing != 0 && p != nil && !p.ended {
		return s.bad("I16: session %d is closed and goes on", s.closing)
	}
	return nil
}

// sessionEnded takes the word of the machine that a session has ended, if it may have.
func (s *step) sessionEnded(e *lockfsm.Event) bool {
	p := s.sessions[e.Session]
	if p == nil || p.ended {
		return false
	}
	switch e.Reason {
	case lockfsm.ReasonExpired:
		if p.deadline > s.logTime {
			return false
		}
	case lockfsm.ReasonClosed:
		if s.closing != e.Session {
			return false
		}
	default:
		return false
	}
	s.end(p, e.Reason)
	return true
}

func (s *step) end(p *Session, why lockfsm.Reason) {
	p.ended, p.over = true, s.slot
	delete(s.nonces, p.Nonce)
	s.Ends = append(s.Ends, Ending{p, why, p.letGo && why == lockfsm.ReasonExpired})
	for _, c := range s.claims { // order: a set is built
		if c.session == p {
			s.touchAll(c)
		}
	}
}

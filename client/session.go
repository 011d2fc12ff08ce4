package client

import (
	"fmt"

	"lockd/netio/wire"
)

type sessionState uint8

const (
	sessionNone sessionState = iota
	sessionOpening
	sessionOpen
)

// session is the client's session in one group. It is opened when a lock of the
// group is first asked for, and again after it was lost.
type session struct {
	state      sessionState
	id         uint64
	nonce      wire.Nonce
	validUntil Instant  // when the client stops believing in it
	renewedAt  Instant  // when the newest answered renewal was sent
	askedAt    Instant  // when the oldest unanswered renewal was sent; zero if none
	holds      callList // granted in it
	told       bool     // the nodes know that it is to be let go with its conn
	telling    *Call    // that says so, nil if none is open
}

var errLease = fmt.Errorf("%w: no renewal was answered within the lease", ErrSessionEnded)

// startOpen asks for a session. Requires: c.now is fresh, for the lease counts
// from here.
func (c *Core) startOpen(g *group, number uint16) {
	g.opens++
	if g.opens > 1 {
		c.keptChange++
	}
	g.session = session{state: sessionOpening, nonce: nonceAfter(c.cfg.Nonce, g.opens)}
	x := &Call{Kind: wire.KindOpenSession, Group: number}
	c.startBackground(x)
	if g.barren > 1 {
		x.notBefore = c.now.Add(c.backoff(backoffLeast, backoffMost, g.barren-2))
	}
	if g.live && x.notBefore <= c.now {
		c.send(x)
	}
}

// opened takes the answer to an OpenSession.
func (c *Core) opened(x *Call, g *group, r *wire.Response) {
	sent := x.firstSent
	c.end(x, nil)
	valid := sent.Add(c.leaseSpan)
	if c.closed || valid <= c.now {
		// Too late: the lease may run out before a renewal arrives. The
		// nodes are told, and those who wait get another one.
		g.session = session{}
		c.startClose(r.Token, x.Group)
		g.dirty = true
		c.schedule(0)
		return
	}
	s := &g.session
	s.state, s.id, s.validUntil, s.renewedAt = sessionOpen, r.Token, valid, sent
	g.heard = true
	e := c.endpoints[g.via]
	e.renewAt = min(e.renewAt, sent.Add(c.beat))
	c.schedule(min(e.renewAt, valid))
	c.tellGrace(g)
	c.sendAll(g)
}

// notOpened ends what waits for a session that is refused.
func (c *Core) notOpened(x *Call, g *group, status wire.Status) {
	c.end(x, nil)
	g.session = session{}
	for y := g.calls.head; y != nil; {
		next := y.next
		if y.needsSession() {
			c.end(y, c.statusError(y, status))
		}
		y = next
	}
}

// startClose tells the nodes, in the background, that a session is over.
func (c *Core) startClose(id uint64, number uint16) {
	c.startBackground(&Call{
		Kind: wire.KindCloseSession, Group: number, Session: id, Timeout: c.cfg.Lease,
	})
}

// tickSession expires the session and leaves a leader that does not renew it.
func (c *Core) tickSession(g *group, number uint16) {
	s := &g.session
	if s.state != sessionOpen {
		return
	}
	if s.validUntil <= c.now {
		id := s.id
		c.margins.note(c.now, 0)
		c.endSession(g, errLease)
		c.startClose(id, number)
		return
	}
	c.schedule(s.validUntil)
	if s.askedAt == 0 || !g.live {
		return
	}
	limit := s.askedAt.Add(c.beat * 3 / 4)
	if limit <= c.now {
		if e := c.endpoints[g.via]; e.heard < s.askedAt {
			c.shut(g.via, errSilent)
		} else {
			c.leave(g, 0)
		}
		return
	}
	c.schedule(limit)
}

// endSession ends all holds of the session. Who waits in it waits anew in the
// next one: its place is lost, and nothing else.
func (c *Core) endSession(g *group, cause error) {
	id := g.session.id
	c.endRecheck(g)
	for g.session.holds.head != nil {
		c.lose(g.session.holds.head, cause)
	}
	g.session = session{}
	for x := g.calls.head; x != nil; {
		next := x.next
		switch {
		case x.Session != id || x.detached():
		case x.Kind == wire.KindLetGo:
			c.end(x, nil)
		case x.Kind.AtGate():
			c.endGateCall(g, x, cause)
		case x.Kind == wire.KindConvert:
			c.end(x, &LostError{Name: x.Name, Token: x.Token, Cause: cause})
		case x.background && x.Kind.Acquires():
			c.end(x, nil)
		case x.Kind.Acquires():
			c.leavePlace(x)
			c.calls.drop(x)
			x.sentEpoch, x.sends, x.Session, x.left = 0, 0, 0, nil
			c.acquit(x) // the verdict was of the wait that is over
		case x.Kind.Releases() && !x.background:
			c.lose(x, cause)
		case x.Kind.Releases() || x.Kind == wire.KindCancel:
			c.end(x, nil)
		case x.Kind == wire.KindAmend:
			c.end(x, &LostError{Name: x.Name, Token: x.Token, Cause: cause})
		}
		x = next
	}
	g.dirty = true
	c.schedule(0)
}

// keepalive renews all sessions whose groups are attached to an endpoint.
func (c *Core) keepalive(i int) {
	e := c.endpoints[i]
	e.renewAt = never
	c.refs = c.refs[:0]
	again := c.beat
	for j := range c.groups {
		g := &c.groups[j]
		if !g.live || g.via != i || g.session.state != sessionOpen {
			continue
		}
		c.refs = append(c.refs, wire.SessionRef{Group: uint16(j), Session: g.session.id})
		if g.session.askedAt == 0 {
			g.session.askedAt = c.now
		}
		if c.cfg.Beat > 0 && g.tries > 0 {
			again = c.beat / 4 // the last was not answered: the next that can be, must be
		}
	}
	if len(c.refs) == 0 {
		return
	}
	e.renewAt = c.now.Add(again)
	h := wire.Header{Request: c.calls.newID()}
	e.renewals[e.renewed%len(e.renewals)] = renewal{request: h.Request, sent: c.now}
	e.renewed++
	e.out = wire.AppendKeepalive(e.out, h, c.refs)
	c.wrote(e)
}

// onKeepaliveAck takes renewals: each counts from when its keepalive was sent.
func (c *Core) onKeepaliveAck(i int, h wire.Header, body []byte) error {
	ack, err := wire.DecodeKeepaliveAck(body)
	if err != nil {
		return err
	}
	if ack.Len() == 0 {
		return nil // the answer to a ping: that bytes came is all there is to it
	}
	e := c.endpoints[i]
	var sent Instant
	for _, r := range e.renewals {
		if r.request == h.Request {
			sent = r.sent
		}
	}
	if sent == 0 {
		return nil // of a keepalive before the last eight
	}
	for n := range ack.Len() {
		r := ack.At(n)
		if int(r.Group) >= len(c.groups) {
			return fmt.Errorf("%w: group %d of %d", wire.ErrField, r.Group, len(c.groups))
		}
		c.onRenewal(i, &c.groups[r.Group], r, sent)
	}
	return nil
}

func (c *Core) onRenewal(i int, g *group, r wire.Renewal, sent Instant) {
	s := &g.session
	if s.state != sessionOpen || s.id != r.Session {
		return
	}
	switch r.Code {
	case wire.CodeRenewed:
		if plantedIs("lease-counted-from-answer") {
			sent = c.now
		}
		c.margins.note(c.now, s.validUntil.Sub(c.now))
		s.validUntil = max(s.validUntil, sent.Add(c.leaseSpan))
		s.renewedAt = max(s.renewedAt, sent)
		if s.askedAt <= sent {
			s.askedAt = 0
		}
		g.tries = 0
		if g.live && g.via == i {
			c.recheckOnceHeard(g)
		}
	case wire.CodeUnknown:
		c.endSession(g, fmt.Errorf("%w: group %d does not know session %d",
			ErrSessionEnded, r.Group, r.Session))
	case wire.CodeNotLeader:
		if g.live && g.via == i {
			c.leave(g, 0)
		}
	}
}

// onSessionLost takes the push that a session is over.
func (c *Core) onSessionLost(h wire.Header, body []byte) error {
	x, err := wire.DecodeSessionLost(body)
	if err != nil {
		return err
	}
	g := &c.groups[h.Group]
	if g.session.state == sessionOpen && g.session.id == x.Session {
		c.endSession(g, fmt.Errorf("%w: %s", ErrSessionEnded, x.Reason))
	}
	return nil
}

// onTaken takes the answer that a session has seen a higher epoch than the newest
// of this client: another process has taken it over. Nothing that is said in it
// any more has an effect; who holds nothing else in it has lost nothing else.
func (c *Core) onTaken(g *group, x *Call) {
	if g.session.state == sessionOpen && g.session.id == x.Session {
		g.barren++
		c.endSession(g, errTaken)
	}
	if x.state != StateOpen || x.needsSession() {
		return
	}
	switch {
	case x.Kind.Releases() && !x.background:
		c.lose(x, errTaken)
	case x.Kind == wire.KindOpenSession:
		c.notOpened(x, g, wire.StatusStaleEpoch)
	case x.background:
		c.end(x, nil)
	default:
		c.end(x, c.statusError(x, wire.StatusStaleEpoch))
	}
}

// onSessionGone takes the answer that the session of a call is over.
func (c *Core) onSessionGone(g *group, x *Call, r *wire.Response) {
	if g.session.state == sessionOpen && g.session.id == x.Session {
		g.barren++
		c.endSession(g, fmt.Errorf("%w: %s", ErrSessionEnded, r.Status))
	}
	if x.state != StateOpen || x.needsSession() {
		return // ended with the session, or asks anew in the next one
	}
	switch x.Kind {
	case wire.KindRelease, wire.KindLeave, wire.KindGiveBack, wire.KindReleaseAll:
		c.lose(x, fmt.Errorf("%w: %s", ErrSessionEnded, r.Status))
	case wire.KindOpenSession:
		c.notOpened(x, g, r.Status)
	case wire.KindCancel, wire.KindCloseSession:
		c.end(x, nil)
	default:
		c.end(x, c.statusError(x, r.Status))
	}
}

// atMost returns a moment, or when the max hold of a hold is over if that is before.
func (x *Call) atMost(until Instant) Instant {
	if x.cappedUntil != 0 {
		until = min(until, x.cappedUntil)
	}
	return until
}

// expireDetached ends the detached holds whose time is over.
func (c *Core) expireDetached() {
	for x := c.detached.head; x != nil; {
		next := x.next
		if x.cappedUntil != 0 && x.cappedUntil <= c.now {
			c.lose(x, ErrMaxHold)
		} else if x.validUntil <= c.now {
			c.lose(x, fmt.Errorf("not renewed within its time to live of %s", x.late.atMost(x.TTL)))
		} else {
			c.schedule(x.validUntil)
		}
		x = next
	}
}

// ValidUntil returns until when the hold of a Call cannot be another's, by
// what is known now; zero if it is not held.
func (c *Core) ValidUntil(x *Call) Instant {
	switch {
	case x.state != StateHeld:
		return 0
	case x.detached():
		return x.validUntil
	default:
		return x.atMost(c.groups[x.Group].session.validUntil)
	}
}

// cappedUntil returns when the max hold of the hold of a Call is over; zero if it has
// none or is not held.
func (c *Core) cappedUntil(x *Call) Instant {
	if x.state != StateHeld {
		return 0
	}
	return x.cappedUntil
}

// closeGroup ends what the group has, and its session in the background. What a
// try leaves behind when it is given up goes with the session too.
func (c *Core) closeGroup(g *group, number uint16) {
	for x := g.calls.head; x != nil; {
		next := x.next
		if !x.background {
			c.Abandon(x, ErrClosed)
		}
		x = next
	}
	for x := g.calls.head; x != nil; {
		next := x.next
		switch {
		case x.detached() || x.Kind == wire.KindCloseSession:
		case x.Kind == wire.KindOpenSession && x.sends > 0:
		default:
			c.end(x, ErrClosed)
		}
		x = next
	}
	for g.session.holds.head != nil {
		c.lose(g.session.holds.head, ErrClosed)
	}
	if g.session.state == sessionOpen {
		id := g.session.id
		g.session = session{}
		c.startClose(id, number)
	}
}

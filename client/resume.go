package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"lockd/netio/wire"
)

// epochLeap is how far above what a session has seen a client begins that takes it
// over. Another process that still uses the session raises its own by one for each
// conn and does not get there.
const epochLeap = 1 << 16

// epochMost is the highest epoch with which a session can be taken over: the epochs of
// another such client, and of its conns, are above it.
const epochMost = math.MaxUint32 - 2*epochLeap

// requestSpan is how many request ids one start of a client has.
const requestSpan = 1 << 40

var errTaken = fmt.Errorf("%w: another process has taken it over", ErrSessionEnded)

// Resume makes a session that an earlier start of this client has left the one of
// its group. Requires: the group has none, epoch is what the nodes say that the session
// has seen (see wire.KindFindSession), not above 2^32 - 2^17 - 1, and FirstRequest of the
// CoreConfig is above the ids of all requests of before. It is open when Resuming says no
// more; if it ended meanwhile, that is a new one.
func (c *Core) Resume(group uint16, nonce wire.Nonce, epoch uint32) {
	g := &c.groups[group]
	g.epoch = max(g.epoch, epoch+epochLeap)
	g.session = session{state: sessionOpening, nonce: nonce}
	c.startBackground(&Call{Kind: wire.KindOpenSession, Group: group})
}

// Resuming reports whether the session of a group is still being opened.
func (c *Core) Resuming(group uint16) bool {
	return c.groups[group].session.state == sessionOpening
}

// TakeHold takes a hold that the nodes say an open session has, asked after it was taken
// over. The caller has set what an Acquire, Take or Enter needs, Session, Token and Group;
// claim is what the nodes say of it, and until is when its max hold is over, as
// Lasting says, or the largest Instant if it has none. It reports whether the session is
// still that and the hold not over.
func (c *Core) TakeHold(x *Call, claim *wire.Claim, until Instant) bool {
	g := &c.groups[x.Group]
	if g.session.state != sessionOpen || g.session.id != x.Session || until <= c.now {
		return false
	}
	token := x.Token
	x.reset()
	x.Token, x.target, x.state = token, claim.Request, StateHeld
	x.part = claim.Flags&wire.ClaimPart != 0
	g.session.holds.push(x)
	c.capAt(x, until)
	return true
}

// GiveUp cancels, in the background, what an earlier start of this client waits for in an
// open session; GivingUp tells when that is over. What was granted before that is not
// given back: the nodes list it among what the session has, if they are asked after that.
// It reports whether the session is still that.
func (c *Core) GiveUp(group uint16, session uint64, claim *wire.Claim) bool {
	g := &c.groups[group]
	if g.session.state != sessionOpen || g.session.id != session {
		return false
	}
	g.givingUp++
	c.startBackground(&Call{Kind: wire.KindCancel, Name: string(claim.Name), Session: session,
		Group: group, target: claim.Request, stays: true, Timeout: c.cfg.Lease})
	return true
}

// GivingUp reports whether something of a group that GiveUp cancels may yet be granted.
func (c *Core) GivingUp(group uint16) bool { return c.groups[group].givingUp > 0 }

// Nonce returns the nonce of the session of a group, with which a later start finds it,
// and whether the group has one that is open.
func (c *Core) Nonce(group uint16) (n wire.Nonce, open bool) {
	s := &c.groups[group].session
	return s.nonce, s.state == sessionOpen
}

// namedSession is a session that cannot be found by the first nonce of its group.
type namedSession struct {
	group uint16
	nonce wire.Nonce
}

// kept returns the sessions that a file must name, and a number that changes with
// them.
func (c *Core) kept() (all []namedSession, change uint64) {
	for i := range c.groups {
		s := &c.groups[i].session
		if s.state != sessionNone && s.nonce != nonceAfter(c.cfg.Nonce, 1) {
			all = append(all, namedSession{uint16(i), s.nonce})
		}
	}
	return all, c.keptChange
}

// resume takes over what an earlier start has left, according to its file.
func (c *Client) resume(ctx context.Context, old *sessionFile) error {
	if ctx.Err() != nil {
		return fmt.Errorf("client: resume: %w", ended(ctx))
	}
	c.mu.Lock()
	groups, cluster := c.mu.core.Groups(), c.mu.core.cluster
	c.mu.Unlock()
	if old.Cluster != cluster {
		return fmt.Errorf("%w: %s is of cluster %x, and the nodes dialed are of cluster %x: dial the "+
			"cluster that it is of, or name another file", ErrSessionFile, c.opts.SessionFile, old.Cluster,
			cluster)
	}
	found := make([]*leftSession, groups)
	first := make([]*Call, groups)
	for g := range first { // all are asked at once
		first[g] = c.startFind(uint16(g), old.nonces(uint16(g))[0], 0)
	}
	var failures []error
	for g, x := range first {
		s, err := c.left(ctx, x)
		for _, nonce := range old.nonces(uint16(g))[1:] {
			if s == nil && err == nil {
				s, err = c.left(ctx, c.startFind(uint16(g), nonce, 0))
			}
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("resume in group %d: %w", g, err))
		}
		found[g] = s
	}
	if failures != nil {
		return errors.Join(failures...)
	}
	for g, s := range found {
		if s != nil && s.epoch > epochMost {
			c.opts.Logger.Warn("session was taken over too often: what it holds ends with its lease",
				"group", g, "session", s.id)
			found[g] = nil
			continue
		}
		if s != nil && s.leaseMillis != uint32(c.opts.Lease.Milliseconds()) {
			return fmt.Errorf("%w: Lease %s, the sessions of SessionFile have %d ms",
				ErrOptions, c.opts.Lease, s.leaseMillis)
		}
	}
	return c.takeOver(ctx, found)
}

// takeOver makes the sessions this client's, and their holds.
func (c *Client) takeOver(ctx context.Context, found []*leftSession) error {
	c.mu.Lock()
	c.mu.resuming = true
	for g, s := range found {
		if s != nil {
			c.mu.core.Resume(uint16(g), s.nonce, s.epoch)
		}
	}
	c.kick()
	c.mu.Unlock()
	err := c.until(ctx, func(core *Core) bool {
		for g, s := range found {
			if s != nil && core.Resuming(uint16(g)) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if err := c.settleLeft(ctx, found); err != nil {
		return err
	}
	lasts, err := c.lastsUntil(ctx, found)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.resuming = false
	for g, s := range found {
		if s == nil {
			continue
		}
		for i := range s.claims {
			claim := &s.claims[i]
			h := c.heldBefore(uint16(g), s.id, claim)
			until := never
			if claim.Flags&wire.ClaimMaxHold != 0 {
				until = lasts[grantOf{h.name, claim.Token}]
			}
			if c.mu.core.TakeHold(&h.call, claim, until) {
				c.mu.resumed = append(c.mu.resumed, h)
			}
		}
		c.mu.core.RecheckGroup(uint16(g))
	}
	c.kick()
	return nil
}

// grantOf names a grant.
type grantOf struct {
	name  string
	token uint64
}

// lastsUntil asks until when holds with a max hold may last. What the nodes say
// nothing about is over.
func (c *Client) lastsUntil(ctx context.Context, found []*leftSession) (map[grantOf]Instant,
	error) {
	lasts := map[grantOf]Instant{}
	for _, s := range found {
		var pairs []NameToken
		for i := 0; s != nil && i < len(s.claims); i++ {
			if claim := &s.claims[i]; claim.Flags&wire.ClaimMaxHold != 0 && claim.Token != 0 {
				pairs = append(pairs, NameToken{string(claim.Name), claim.Token})
			}
		}
		for len(pairs) > 0 {
			n, err := c.lastUntil(ctx, pairs, lasts)
			if err != nil {
				return nil, fmt.Errorf("resume: %w", err)
			}
			pairs = pairs[n:]
		}
	}
	return lasts, nil
}

// lastUntil asks about the first of several grants of one group, as many as a
// request has room for, and returns how many were answered about.
func (c *Client) lastUntil(ctx context.Context, pairs []NameToken,
	lasts map[grantOf]Instant) (int, error) {
	asked := make([]int, len(pairs))
	for i := range asked {
		asked[i] = i
	}
	c.mu.Lock()
	frameBytes := int(c.mu.core.limits.FrameBytes)
	c.mu.Unlock()
	x := c.newChecks(pairs, asked, frameBytes)
	x.Flags = wire.FlagDetails
	sent := c.clock()
	if err := c.call(ctx, x); err != nil {
		return 0, err
	}
	got, err := wire.DecodeTokensLeft(x.Response.Payload)
	if err == nil && (len(got.States) == 0 || len(got.States) > len(x.Checks)) {
		err = fmt.Errorf("%d answers about %d tokens", len(got.States), len(x.Checks))
	}
	if err != nil {
		return 0, fmt.Errorf("%w: max holds in group %d: %w", ErrProtocol, x.Group, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range got.States {
		if s.Standing == wire.TokenCurrent {
			until := c.mu.core.Lasting(sent, s.LeftMillis)
			lasts[grantOf{pairs[i].Name, pairs[i].Token}] = until
		}
	}
	return len(got.States), nil
}

// heldBefore is the Held of a claim that an earlier start was granted.
func (c *Client) heldBefore(group uint16, session uint64, claim *wire.Claim) *Held {
	h := &Held{c: c, name: string(claim.Name)}
	h.mu.state, h.mu.use = heldGranted, 1
	x := &h.call
	x.Kind, x.Name, x.Mode, x.Use, x.held = wire.KindAcquire, h.name, claim.Mode, 1, h
	x.Group, x.Session, x.Token = group, session, claim.Token
	x.Owner, x.Permits, x.Capacity = claim.Owner, claim.Permits, claim.Capacity
	switch {
	case x.Owner != 0:
		x.Kind = wire.KindEnter
	case x.Permits != 0:
		x.Kind = wire.KindTake
	}
	return h
}

// Resumed returns the holds that this client has from an earlier start, by
// Options.SessionFile: everything that start was granted, did not give back and
// has not lost. They are like any others; what nobody wants is to be unlocked.
// What it still waited for is given up, unless it was granted before that: then it is
// among them.
func (c *Client) Resumed() []*Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.resumed)
}

package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"lockd/netio/wire"
)

// leftSession is a session with what it has.
type leftSession struct {
	nonce       wire.Nonce
	id          uint64
	epoch       uint32
	leaseMillis uint32
	claims      []wire.Claim // own their names
	// seen is where in claims one is, for lists of several pages.
	seen  map[claimOf]int
	pages int
	// settled says that claims are all that the session has, and no waits.
	settled bool
}

// claimOf names a claim of a session.
type claimOf struct {
	request uint64
	name    string
}

// add takes one more page. What was granted since the page before is at the end, and if
// what that ended with is gone, the nodes begin again: so a claim may come twice, and is
// what it is told to be last.
func (s *leftSession) add(page *wire.SessionClaims) {
	s.id, s.epoch, s.leaseMillis = page.Session, page.Epoch, page.LeaseMillis
	s.pages++
	if s.seen == nil {
		s.seen = make(map[claimOf]int, len(page.Claims))
	}
	for _, claim := range page.Claims { // of a copy of the payload
		key := claimOf{claim.Request, string(claim.Name)}
		if at, again := s.seen[key]; again {
			s.claims[at] = claim
			continue
		}
		s.seen[key] = len(s.claims)
		s.claims = append(s.claims, claim)
	}
}

// waits takes the waits out of the claims.
func (s *leftSession) waits() (waits []wire.Claim) {
	s.claims = slices.DeleteFunc(s.claims, func(claim wire.Claim) bool {
		if claim.Token == 0 {
			waits = append(waits, claim)
		}
		return claim.Token == 0
	})
	return waits
}

// sameHolds reports whether two lists without waits say the same.
func (s *leftSession) sameHolds(other *leftSession) bool {
	return slices.EqualFunc(s.claims, other.claims, func(a, b wire.Claim) bool {
		return a.Request == b.Request && a.Token == b.Token && bytes.Equal(a.Name, b.Name)
	})
}

func (c *Client) startFind(group uint16, nonce wire.Nonce, after uint64) *Call {
	x := &Call{Kind: wire.KindFindSession, Group: group, Timeout: c.opts.RequestTimeout,
		Find: wire.FindSession{Nonce: nonce, After: after}}
	c.begin(x)
	return x
}

// left collects the pages of what a session has, the first of which was asked for.
// Nil if there is no such session.
func (c *Client) left(ctx context.Context, x *Call) (*leftSession, error) {
	s := &leftSession{nonce: x.Find.Nonce}
	for {
		c.wait(ctx, x)
		if errors.Is(x.Err, ErrNotFound) {
			return nil, nil
		}
		if x.Err != nil {
			return nil, x.Err
		}
		page, err := wire.DecodeSessionClaims(x.Response.Payload)
		if err != nil || page.More == wire.MorePages && len(page.Claims) == 0 {
			return nil, fmt.Errorf("%w: find session: %w", ErrProtocol, err)
		}
		s.add(&page)
		if page.More == wire.LastPage {
			return s, nil
		}
		x = c.startFind(x.Group, x.Find.Nonce, page.Claims[len(page.Claims)-1].Request)
	}
}

// settleLeft gives up what sessions wait for that are taken over by now, and asks again what
// they hold. What the process before had under way may have changed that since it was
// asked first; from now on the nodes refuse it, but they grant what was waited for. So
// what is taken is only what they list when nothing waits any more: what a session has
// been granted by then is a hold like the others.
func (c *Client) settleLeft(ctx context.Context, found []*leftSession) error {
	for _, s := range found {
		if s != nil {
			s.claims = nil
		}
	}
	for {
		done, err := c.findAgain(ctx, found)
		if err != nil || done {
			return err
		}
		err = c.until(ctx, func(core *Core) bool {
			for g := range found {
				if core.GivingUp(uint16(g)) {
					return false
				}
			}
			return true
		})
		if err != nil {
			return err
		}
	}
}

// findAgain asks what the sessions have that are not settled, and begins to give up what
// they wait for. It reports whether all are settled.
func (c *Client) findAgain(ctx context.Context, found []*leftSession) (done bool, err error) {
	asked := make([]*Call, len(found))
	for g, s := range found {
		if s != nil && !s.settled {
			asked[g] = c.startFind(uint16(g), s.nonce, 0)
		}
	}
	var failures []error
	done = true
	for g, s := range found {
		if asked[g] == nil {
			continue
		}
		now, err := c.left(ctx, asked[g])
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("resume in group %d: %w", g, err))
		case now == nil || now.id != s.id:
			s.claims, s.settled = nil, true
		default:
			c.settleOne(uint16(g), s, now)
			done = done && s.settled
		}
	}
	return done, errors.Join(failures...)
}

// settleOne takes what a session has by now. A list of several pages may lack something, if
// what a page ended with was granted or converted before the next, and so came to be last:
// it counts when the next says the same.
func (c *Client) settleOne(group uint16, s, now *leftSession) {
	waits := now.waits()
	s.settled = len(waits) == 0 && (now.pages == 1 || now.sameHolds(s))
	s.claims = now.claims
	if len(waits) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range waits {
		if !c.mu.core.GiveUp(group, s.id, &waits[i]) {
			s.claims, s.settled = nil, true // it has ended for this client
		}
	}
	c.kick()
}

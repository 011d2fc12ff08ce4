package sim

import (
	"errors"
	"maps"
	"math"
	"slices"

	lockclient "lockd/client"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// A client of production dies, as its process does, and is started again with what its
// session file says. It then does what Client.Dial does with that file, in its order:
// it finds its sessions, takes them over, asks again what they have, gives up what they
// wait for until they wait for nothing, asks how long what they hold may last, and goes on
// with it.

// revival is a start that goes on with what the last has left.
type revival struct {
	left  map[uint16]wire.Nonce // by group
	found map[uint16]*leftover
	step  revivalStep
	open  int // questions without an answer
}

// leftover is a session that was left, with what it has.
type leftover struct {
	id     uint64
	epoch  uint32
	claims []wire.Claim
	lasts  map[uint64]lockclient.Instant // until when a max hold lasts, by token
}

type revivalStep uint8

const (
	revivalDials   revivalStep = iota // no node has answered yet
	revivalFinds                      // sessions by their nonces
	revivalOpens                      // them anew
	revivalAgain                      // asks what they have now
	revivalGivesUp                    // what they wait for, and asks again
	revivalMeasure                    // asks how long that lasts
)

// able reports whether the client may be given something to do.
func (c *coreClient) able() bool {
	return c.away <= c.w.agenda.Now() && !c.leaving && c.revival == nil
}

// die ends the process of the client, and has it started again after a while. One that
// had not gone on with everything yet has not written the file anew.
func (c *coreClient) die() {
	c.w.covered["core died"]++
	r := &revival{left: map[uint16]wire.Nonce{}, found: map[uint16]*leftover{}}
	for g := range uint16(c.core.Groups()) {
		if n, open := c.core.Nonce(g); open && c.revival == nil {
			r.left[g] = n
		}
	}
	if c.revival != nil {
		r.left = c.revival.left
	}
	for _, id := range slices.Sorted(maps.Keys(c.conns)) {
		made := c.conns[id]
		c.unlink(id)
		made.giveUp()
	}
	for _, k := range c.calls {
		c.disbelieve(k)
	}
	c.calls = nil
	c.tick++ // what was planned is void
	c.starts++
	c.core = lockclient.NewCore(c.config(), c.now())
	c.revival = r
	lease := Time(c.w.opts.Lease) * millisecond
	c.away = c.w.agenda.Now() + c.dice.length(0, lease*3/2)
	core := c.core
	c.w.agenda.At(c.away, func() {
		if c.core == core {
			core.Reach(c.now())
			c.carryOut()
		}
	})
}

// revive goes on with a revival as far as it can.
func (c *coreClient) revive() {
	r := c.revival
	if r == nil || r.open > 0 {
		return
	}
	switch r.step {
	case revivalDials:
		if c.core.Groups() > 0 {
			r.step = revivalFinds
			c.findLeft(slices.Sorted(maps.Keys(r.left)))
		}
	case revivalFinds:
		for _, g := range slices.Sorted(maps.Keys(r.found)) {
			c.core.Resume(g, r.left[g], r.found[g].epoch)
		}
		r.step = revivalOpens
		c.w.agenda.After(0, c.carryOut)
	case revivalOpens:
		for g := range r.found { // order: all must be so
			if c.core.Resuming(g) {
				return
			}
		}
		c.askAgain(r)
	case revivalAgain:
		if r.step = revivalMeasure; c.giveUpLeft(r) {
			r.step = revivalGivesUp
			return
		}
		for _, g := range slices.Sorted(maps.Keys(r.found)) {
			c.measureLeft(g, r.found[g])
		}
	case revivalGivesUp:
		for g := range r.found { // order: all must have done so
			if c.core.GivingUp(g) {
				return
			}
		}
		c.askAgain(r)
	case revivalMeasure:
		c.goOn(r)
		c.revival = nil
	}
	if c.revival == r && r.open == 0 && !r.step.awaits() {
		c.revive()
	}
}

// awaits reports whether a step ends by what the core does, not by an answer to the client.
func (s revivalStep) awaits() bool {
	return s == revivalDials || s == revivalOpens || s == revivalGivesUp
}

// askAgain asks what the sessions have by now.
func (c *coreClient) askAgain(r *revival) {
	r.step = revivalAgain
	before := r.found
	r.found = map[uint16]*leftover{}
	c.findLeft(slices.Sorted(maps.Keys(before)))
}

// giveUpLeft gives up what the sessions wait for, and reports whether there was anything.
func (c *coreClient) giveUpLeft(r *revival) (gaveUp bool) {
	for _, g := range slices.Sorted(maps.Keys(r.found)) {
		s := r.found[g]
		s.claims = slices.DeleteFunc(s.claims, func(claim wire.Claim) bool {
			if claim.Token == 0 && c.core.GiveUp(g, s.id, &claim) {
				gaveUp = true
				c.w.covered["core gave up a wait"]++
			}
			return claim.Token == 0
		})
	}
	c.w.agenda.After(0, c.carryOut)
	return gaveUp
}

// reviving puts a question of the revival, whose answer then takes. If that reports false
// the start fails, and another follows.
func (c *coreClient) reviving(x lockclient.Call, then func(x *lockclient.Call) bool) {
	r := c.revival
	r.open++
	x.Timeout = 4 * c.timeout()
	c.start(&coreCall{Call: x, then: func(x *lockclient.Call) {
		if c.revival != r {
			return
		}
		r.open--
		if !then(x) {
			c.w.covered["core started in vain"]++
			c.w.agenda.After(0, func() {
				if c.revival == r {
					c.die()
					c.carryOut()
				}
			})
		}
	}})
}

// findLeft asks what sessions of these groups have.
func (c *coreClient) findLeft(groups []uint16) {
	for _, g := range groups {
		c.findPage(g, &leftover{}, 0)
	}
	c.w.agenda.After(0, c.carryOut)
}

func (c *coreClient) findPage(g uint16, s *leftover, after uint64) {
	r := c.revival
	c.reviving(lockclient.Call{Kind: wire.KindFindSession, Group: g,
		Find: wire.FindSession{Nonce: r.left[g], After: after}}, func(x *lockclient.Call) bool {
		if errors.Is(x.Err, lockclient.ErrNotFound) {
			return true
		}
		page, err := wire.DecodeSessionClaims(x.Response.Payload)
		if x.Err != nil || err != nil {
			return false
		}
		s.id, s.epoch = page.Session, page.Epoch
		s.claims = append(s.claims, page.Claims...)
		if page.More == wire.MorePages {
			c.findPage(g, s, page.Claims[len(page.Claims)-1].Request)
			c.w.agenda.After(0, c.carryOut)
			return true
		}
		r.found[g] = s
		return true
	})
}

// measureLeft asks how long holds with a max hold may last.
func (c *coreClient) measureLeft(g uint16, s *leftover) {
	s.lasts = map[uint64]lockclient.Instant{}
	x := lockclient.Call{Kind: wire.KindCheckTokens, Flags: wire.FlagDetails, Group: g}
	for i := range s.claims {
		if k := &s.claims[i]; k.Token != 0 && k.Flags&wire.ClaimMaxHold != 0 {
			x.Checks = append(x.Checks, lockclient.NameToken{Name: string(k.Name), Token: k.Token})
		}
	}
	if len(x.Checks) == 0 {
		return
	}
	sent := c.now()
	c.reviving(x, func(x *lockclient.Call) bool {
		got, err := wire.DecodeTokensLeft(x.Response.Payload)
		if x.Err != nil || err != nil {
			return false
		}
		for i, t := range got.States {
			if t.Standing == wire.TokenCurrent {
				s.lasts[x.Checks[i].Token] = c.core.Lasting(sent, t.LeftMillis)
			}
		}
		return true
	})
	c.w.agenda.After(0, c.carryOut)
}

// goOn takes the holds that were left.
func (c *coreClient) goOn(r *revival) {
	c.w.covered["core resumed"]++
	for _, g := range slices.Sorted(maps.Keys(r.found)) {
		s := r.found[g]
		for i := range s.claims {
			claim := &s.claims[i]
			k := &coreCall{Call: lockclient.Call{Kind: wire.KindAcquire, Name: string(claim.Name),
				Group: g, Mode: claim.Mode, Session: s.id, Token: claim.Token, Owner: claim.Owner,
				Permits: claim.Permits, Capacity: claim.Capacity}}
			switch {
			case k.Owner != 0:
				k.Kind = wire.KindEnter
			case k.Permits != 0:
				k.Kind = wire.KindTake
			}
			until := lockclient.Instant(math.MaxInt64)
			if claim.Flags&wire.ClaimMaxHold != 0 {
				until = s.lasts[claim.Token]
			}
			if c.core.TakeHold(&k.Call, claim, until) {
				c.w.covered["core resumed a hold"]++
				c.calls = append(c.calls, k)
				c.believe(k)
			}
		}
		c.core.RecheckGroup(g)
	}
	c.w.agenda.After(0, c.carryOut)
}

// disbelieve tells the checkers that a hold is not gone by any more.
func (c *coreClient) disbelieve(k *coreCall) {
	if !k.believed {
		return
	}
	k.held(func(name string, _ wire.Mode, token uint64) {
		c.w.leases.Forget(k.Group, name, lockfsm.Token(token))
	})
}

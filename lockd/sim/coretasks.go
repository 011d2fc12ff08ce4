package sim

import (
	"fmt"
	"slices"
	"time"

	lockclient "lockd/client"
	"lockd/lockd/sim/check"
	"lockd/netio/wire"
)

// onHold does something about what the client of production has, or another has: it
// changes data or a value, renews, or ends a hold by force. It reports whether it did.
func (c *coreClient) onHold() bool {
	if len(c.calls) >= maxCalls {
		return false
	}
	switch {
	case c.w.opts.Terms && c.dice.permille(150):
		return c.amend()
	case c.dice.permille(100):
		return c.renew()
	case c.w.opts.Forces && c.dice.permille(60):
		return c.force()
	}
	return false
}

// holding draws one of the holds that are not being given back, nil if there is none
// that fits.
func (c *coreClient) holding(fits func(k *coreCall) bool) *coreCall {
	var have []*coreCall
	for _, k := range c.calls {
		if k.State() == lockclient.StateHeld && !k.released && fits(k) {
			have = append(have, k)
		}
	}
	if len(have) == 0 {
		return nil
	}
	return have[c.dice.IntN(len(have))]
}

// amend changes the data of a hold, or the value of its lock. Of one hold one Amend is
// under way at a time, as a Held sees to.
func (c *coreClient) amend() bool {
	h := c.holding(func(k *coreCall) bool {
		return k.Wants == nil && !slices.ContainsFunc(c.calls, func(o *coreCall) bool {
			return o.Kind == wire.KindAmend && o.Hold == &k.Call
		})
	})
	if h == nil {
		return false
	}
	x := lockclient.Call{Kind: wire.KindAmend, Name: h.Name, Hold: &h.Call, Timeout: c.timeout()}
	x.Terms = c.terms()
	if h.Name == c.w.names[h.Group][0] {
		x.Terms.Fields |= wire.TermValue
		if c.dice.permille(700) {
			x.Terms.Value = fmt.Appendf(nil, "%d of core %d", c.dice.between(1, 1000), c.id)
		}
	}
	c.start(&coreCall{Call: x})
	return true
}

// renew gives a detached hold another time, which may be shorter.
func (c *coreClient) renew() bool {
	h := c.holding(func(k *coreCall) bool { return k.Flags&wire.FlagDetached != 0 })
	if h == nil {
		return false
	}
	c.start(&coreCall{Call: lockclient.Call{Kind: wire.KindRenewHold, Flags: wire.FlagDetached,
		Name: h.Name, Session: h.Session, Token: h.Token, Hold: &h.Call, Timeout: c.timeout(),
		TTL: time.Duration(c.dice.length(300*millisecond, 5*second))}})
	return true
}

// force ends a hold of a client of production, be it its own, or one that it had.
func (c *coreClient) force() bool {
	of := c.w.cores[c.dice.IntN(len(c.w.cores))]
	h := of.holding(func(*coreCall) bool { return true })
	if h == nil {
		return false
	}
	x := lockclient.Call{Kind: wire.KindForce, Name: h.Name, Token: h.Token,
		Reason: "simulated", Timeout: c.timeout()}
	if c.dice.permille(100) {
		x.Token--
	}
	c.start(&coreCall{Call: x})
	return true
}

// terms draws data for which every world has room in a batch.
func (c *coreClient) terms() *wire.Terms {
	t := c.dice.terms()
	t.Payload = t.Payload[:min(len(t.Payload), 600)]
	return t
}

// drawTerms adds to an acquire what others read of it, and how long it lasts.
func (c *coreClient) drawTerms(k *coreCall) {
	if !c.w.opts.Terms || !c.dice.permille(400) {
		return
	}
	k.Terms = c.terms()
	c.dice.times(k.Terms)
	if c.dice.permille(500) {
		k.Terms.Fields |= wire.TermMaxHold
		k.Terms.MaxHoldMillis = max(k.Terms.MinHoldMillis, uint32(c.dice.between(100, 4000)))
	}
}

// brought holds the value that came with a grant against the log.
func (c *coreClient) brought(q *check.Question, x *wire.Response) {
	got, err := wire.DecodeLockValue(x.Payload)
	if err != nil {
		c.w.failf("value of group %d with a grant does not decode: %v", q.Group, err)
		return
	}
	if v := c.w.models[q.Group].At(q.Name, x.Slot); !v.Vague {
		c.w.covered["core was brought a value"]++
		c.w.sawValue(q, x, &got, v.Value)
	}
}

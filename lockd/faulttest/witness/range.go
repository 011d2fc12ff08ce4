package witness

import (
	"cmp"
	"slices"

	"lockd/netio/wire"
)

// ranges works out between which slots each hold was granted and ended, and
// checks that there are such slots. Requires: holds stand in the order of their
// tokens, which is that of their grants.
func (c *checker) ranges() {
	var before *hold // the last whose slot is known
	for i := range c.holds {
		h := &c.holds[i]
		if before != nil {
			h.grantLow = before.grantLow
		}
		if !h.exact {
			continue
		}
		if before != nil && h.grantHigh < before.grantLow {
			c.bad("I15", "token %d was granted at slot %d, token %d at slot %d", before.token,
				before.grantLow, h.token, h.grantHigh)
		}
		h.grantLow = h.grantHigh
		before = h
	}
	after := never
	for i := len(c.holds) - 1; i >= 0; i-- {
		h := &c.holds[i]
		if h.exact {
			after = h.grantLow
		} else if h.grantHigh = min(h.grantHigh, after); h.grantHigh < h.grantLow {
			c.bad("I15", "token %d was granted after a smaller one at slot %d and before slot %d",
				h.token, h.grantLow, h.grantHigh)
		}
		c.endRange(h)
	}
}

// endRange works out when a hold ended.
func (c *checker) endRange(h *hold) {
	if at, ok := c.cancelled[requestKey{h.session, h.request}]; ok && h.origin == granted {
		if h.grantLow > at {
			c.bad("I19", "request %d of session %d was cancelled at slot %d and granted token %d at "+
				"slot %d", h.request, h.session, at, h.token, h.grantLow)
		}
		h.gone = min(h.gone, at)
	}
	if h.end == released {
		switch {
		case h.endLow < h.grantLow || h.exact && h.endLow == h.grantLow:
			c.bad("I18", "token %d of %q was given back at slot %d and granted at %d", h.token,
				c.nameOf(h.name), h.endLow, h.grantLow)
		case h.present > h.endHigh:
			c.bad("I23", "token %d of %q was given back at slot %d and is said to hold at slot %d",
				h.token, c.nameOf(h.name), h.endLow, h.present)
		case h.gone < h.endLow:
			c.bad("I18", "token %d of %q was refused as not holding at slot %d and given back at %d",
				h.token, c.nameOf(h.name), h.gone, h.endLow)
		}
		return
	}
	c.rep.Unasked++
	h.endHigh = h.gone
	h.endLow = never
	if cause := c.mayEnd(h); cause != Open {
		h.endLow = max(h.present, h.grantLow, c.timeline.before(cause)+1)
	}
	if h.gone != never && h.endLow > h.gone {
		c.bad("I18", "token %d of %q does not hold at slot %d, granted at slot %d, said to hold at "+
			"%d, and it may end from %s", h.token, c.nameOf(h.name), h.gone, h.grantLow, h.present,
			seconds(c.mayEnd(h)))
	}
}

// mayEnd returns the first moment from which a hold may end without a release
// that was answered.
func (c *checker) mayEnd(h *hold) int64 {
	if h.origin == inferred {
		return 0
	}
	if h.detached() {
		return min(h.cause, h.expires)
	}
	s, ok := c.Sessions[SessionKey{h.session, c.group}]
	if !ok {
		c.bad("I16", "token %d of %q belongs to session %d, which nobody opened", h.token,
			c.nameOf(h.name), h.session)
		return 0
	}
	return min(h.cause, s.End(c.opts.Drift))
}

// requests checks that no request of a session was granted twice.
func (c *checker) requests() {
	slices.SortFunc(c.holds, func(a, b hold) int {
		return cmp.Or(cmp.Compare(a.session, b.session), cmp.Compare(a.request, b.request))
	})
	for i := 1; i < len(c.holds); i++ {
		a, b := &c.holds[i-1], &c.holds[i]
		if a.origin == granted && b.origin == granted && !a.detached() &&
			a.session == b.session && a.request == b.request {
			c.bad("I19", "request %d of session %d was granted tokens %d and %d", a.request,
				a.session, a.token, b.token)
		}
	}
}

// excludes is the matrix of the lock modes, as the wire documents them.
func excludes(a, b wire.Mode) bool {
	if a > b {
		a, b = b, a
	}
	switch a {
	case wire.ModeNL:
		return false
	case wire.ModeCR:
		return b == wire.ModeEX
	case wire.ModeCW:
		return b > wire.ModeCW
	case wire.ModePR:
		return b > wire.ModePR
	default:
		return true
	}
}

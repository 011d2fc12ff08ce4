package witness

import (
	"lockd/netio/wire"
)

// never is beyond every slot.
const never = ^uint64(0)

// hold is what all answers together say of one token. Its slots are ranges,
// bounds included: the grant stands in one of [grantLow, grantHigh], the end in
// one of [endLow, endHigh], or nowhere if endLow is never.
type hold struct {
	token, session, request uint64
	grantLow, grantHigh     uint64
	endLow, endHigh         uint64
	// present is the highest slot at which somebody was told that it holds, gone
	// the lowest at which that it does not.
	present, gone uint64
	// cause is the first moment from which it may end unasked.
	cause   int64
	expires int64  // of a detached hold: by the newest renewal
	owner   uint64 // of a lock that was entered
	// permits and capacity are those of a semaphore; zero for a lock with modes.
	permits, capacity uint32
	name              uint32
	mode              wire.Mode
	origin            origin
	end               ending
	exact             bool // grantLow is grantHigh: the answer of its first send names it
}

// origin says how a hold is known.
type origin uint8

const (
	unknown  origin = iota
	inferred        // from refusals and reads
	granted         // its session was told
)

// ending says how a hold ended.
type ending uint8

const (
	unasked  ending = iota // or not at all
	released               // by an answered release
)

func (h *hold) detached() bool { return h.session&wire.DetachedOwner != 0 }

// gather makes one hold of all records about one token. Requires: all stand in
// the order of (token, slot).
func (c *checker) gather(all []Record) {
	c.holds = c.holds[:0]
	for len(all) > 0 {
		token, n := all[0].subject(), 1
		for n < len(all) && all[n].subject() == token {
			n++
		}
		if token != 0 {
			c.gatherOne(token, all[:n])
		}
		all = all[n:]
	}
}

func (c *checker) gatherOne(token uint64, run []Record) {
	h := hold{token: token, name: run[0].Name, grantHigh: never, endHigh: never, gone: never,
		cause: Open, expires: Open}
	// Whose it is comes first: what others say of it is judged by that.
	for i := range run {
		if r := &run[i]; r.Kind.Acquires() && r.Status == wire.StatusOK {
			c.granted(&h, r)
		}
	}
	for i := range run {
		if r := &run[i]; r.Kind == wire.KindCancel {
			c.foundGranted(&h, r)
		}
	}
	for i := range run {
		r := &run[i]
		if r.Name != h.name {
			c.bad("I15", "token %d of %q is said to be of %q: %s", token, c.nameOf(h.name),
				c.nameOf(r.Name), r.says())
			return
		}
		switch {
		case r.Kind == wire.KindRelease:
			c.released(&h, r)
		case r.Kind == wire.KindRenewHold:
			c.renewed(&h, r)
		case r.Kind == wire.KindGet || r.Status == wire.StatusHeld:
			c.seen(&h, r)
		}
	}
	if h.grantHigh == never {
		return // only sends without an answer: nothing is known
	}
	if h.owner != 0 {
		c.entered(&h, run)
	}
	c.rep.Holds++
	switch h.origin {
	case unknown:
		h.origin = inferred
		c.rep.Inferred++
	case granted:
		if !h.exact {
			c.rep.Resent++
		}
	}
	c.holds = append(c.holds, h)
}

// granted takes a grant that its session was told of.
func (c *checker) granted(h *hold, r *Record) {
	if h.origin == granted {
		if !h.sameAs(r) {
			c.bad("I15", "token %d of session %d request %d is granted again: %s", h.token, h.session,
				h.request, r.says())
		}
		c.seen(h, r)
		return
	}
	h.origin, h.session, h.request = granted, r.Session, r.Request
	h.claim(r)
	h.exact = r.Again == First
	h.grantHigh = min(h.grantHigh, r.Slot)
	if h.detached() {
		h.expires = r.Began + span(r.TTLMillis, c.opts.Drift)
		if !h.exact {
			h.expires = 0 // its time began with a send that may be long past
		}
	}
}

// claim takes over what a hold was asked for.
func (h *hold) claim(r *Record) {
	h.mode, h.owner, h.permits, h.capacity = r.Mode, r.Owner, r.Permits, r.Capacity
}

// sameAs reports whether a grant of the token is of the same request, or of the
// same owner, who entered again.
func (h *hold) sameAs(r *Record) bool {
	return h.session == r.Session && h.owner == r.Owner && (h.owner != 0 || h.request == r.Request)
}

// foundGranted takes a cancel that came too late.
func (c *checker) foundGranted(h *hold, r *Record) {
	if h.origin == granted {
		if h.owner == 0 && !h.sameAs(r) || h.session != r.Session {
			c.bad("I15", "token %d of session %d request %d is of another: %s", h.token, h.session,
				h.request, r.says())
		}
		c.seen(h, r)
		return
	}
	h.origin, h.session, h.request = granted, r.Session, r.Request
	if asked := c.unheard[requestKey{r.Session, r.Request}]; asked != nil {
		h.claim(asked)
	} else {
		c.bad("I19", "nobody asked for what was granted: %s", r.says())
	}
	c.seen(h, r)
}

// seen notes that somebody was told that the hold stands, at a slot or after it.
func (c *checker) seen(h *hold, r *Record) {
	if h.exact && r.Slot < h.grantHigh {
		c.bad("I23", "token %d was granted at slot %d and is said to hold before: %s", h.token,
			h.grantHigh, r.says())
		return
	}
	h.present, h.grantHigh = max(h.present, r.Slot), min(h.grantHigh, r.Slot)
}

// released takes a release of the token, whoever sent it.
func (c *checker) released(h *hold, r *Record) {
	stranger := h.origin == granted && r.Session != h.session
	switch {
	case !r.answered():
		if !stranger {
			h.cause = min(h.cause, r.Began)
		}
	case r.Status == wire.StatusOK:
		if stranger || h.origin != granted {
			c.bad("I18", "%q is given back by a session that does not hold it: %s", c.nameOf(h.name),
				r.says())
			return
		}
		if h.end == released {
			c.bad("I18", "%q is given back twice, at slot %d before: %s", c.nameOf(h.name), h.endLow,
				r.says())
			return
		}
		h.end, h.endLow, h.endHigh = released, r.Slot, r.Slot
	case r.Status == wire.StatusNotHolder && !stranger:
		h.gone = min(h.gone, r.Slot)
	}
}

// renewed takes a renewal of a detached hold.
func (c *checker) renewed(h *hold, r *Record) {
	until := r.Began + span(r.TTLMillis, c.opts.Drift)
	switch {
	case !r.answered():
		h.cause = min(h.cause, until) // it may have become shorter
	case r.Status == wire.StatusOK:
		c.seen(h, r)
		h.expires = until
	case r.Status == wire.StatusNotHolder:
		h.gone = min(h.gone, r.Slot)
	}
}

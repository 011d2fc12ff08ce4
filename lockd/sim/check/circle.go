package check

import (
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// Whose says who holds or waits for a lock, and how.
type Whose struct {
	Client  lockfsm.ClientID
	Session lockfsm.SessionID // zero for a detached or kept hold
	Owner   lockfsm.Owner
	Request lockfsm.RequestID
	Mode    lockfsm.Mode
	// Permits are taken of a semaphore of that Capacity.
	Permits, Capacity lockfsm.Permits
	// Of is, for a conversion, the request by which its hold goes; Part says that it is
	// one of several names.
	Of   lockfsm.RequestID
	Part bool

	// What is told of it besides: enters is who may enter it again, levels are the
	// requests that did; since is the log time of the grant or of joining the queue, and
	// name what the client of the session calls itself.
	enters                 lockfsm.Owner
	levels                 []lockfsm.RequestID
	since                  uint64
	name                   string
	weight                 uint8
	capped, kept, detached bool
	gone                   bool // the machine may have let go of it
}

// Bars reports whether w cannot hold a lock beside h, whoever else does or does not.
func (h *Whose) Bars(w *Whose) bool {
	own := w.Of != 0 && h.Session == w.Session && h.Request == w.Of
	return h.Session != 0 && !own && (!compatible(h.Mode, w.Mode) ||
		uint64(h.Permits)+uint64(w.Permits) > uint64(w.Capacity))
}

// whose describes a claim.
func (c *Claim) whose() Whose {
	x := Whose{Owner: c.promiser(), Request: c.key.request, Mode: c.mode, Permits: c.permits,
		Capacity: c.capacity, Part: c.all != nil}
	if c.hold != nil {
		x.Of = c.hold.key.request
	}
	if c.session != nil && !c.kept && !c.gone() {
		x.Client, x.Session = c.session.Nonce.Client(), c.session.ID
		x.name = c.session.name
	}
	if x.since, x.weight, x.capped = c.since, c.weight, c.terms.maxHold > 0; c.all == nil {
		x.enters = c.owner
	}
	x.kept, x.detached, x.gone = c.kept, c.session == nil, c.gone()
	for _, up := range c.levels {
		x.levels = append(x.levels, up.key.request)
	}
	return x
}

// History returns what a lock looked like, from the first slot on.
func (m *Model) History(name string) []Version {
	if l := m.locks[name]; l != nil {
		return l.history
	}
	return nil
}

// Names calls fn with every lock as it looks now.
func (m *Model) Names(fn func(name string, now *Version)) {
	for name, l := range m.locks { // order: fn builds a set
		if n := len(l.history); n > 0 {
			fn(name, &l.history[n-1])
		}
	}
}

// chased judges what a group says that owners wait for: each wait is one of the log at
// that slot, and what is in its way holds the lock.
func (h *History) chased(q *Question, x *wire.Response) error {
	got, err := wire.DecodeChased(x.Payload)
	if x.Status != wire.StatusOK || err != nil {
		return fmt.Errorf("I23: Chase of group %d is answered %v, %v", q.Group, x.Status, err)
	}
	for _, w := range got.Waits {
		v := h.models[q.Group].At(string(w.Name), x.Slot)
		known := v.Request(w.Session, w.Request)
		if known == nil || w.Group != q.Group || uint64(known.Owner) != w.Flow.Owner ||
			uint64(known.Client) != w.Flow.Client {
			return fmt.Errorf("I24: session %d of group %d is said to wait for %q at slot %d; the log "+
				"says %+v", w.Session, q.Group, w.Name, x.Slot, v.Detects)
		}
		for i, b := range w.Blockers {
			near := i >= len(w.Blockers)-int(w.Near)
			stands := !near && v.bars(&b, known)
			if b.Token == 0 {
				stands = v.precedes(&b, known) && near == v.Request(b.Session, b.Request).Lets(known)
			}
			if !stands {
				return fmt.Errorf("I24: token %d, request %d of session %d of group %d is said to be in the "+
					"way of %q at slot %d, near: %v; the log says %+v, %+v", b.Token, b.Request, b.Session,
					q.Group, w.Name, x.Slot, near, v.Whose, v.Detects)
			}
		}
	}
	return nil
}

// Request finds the wait with detect of a request of a session.
func (v *Version) Request(session, request uint64) *Whose {
	for i := range v.Detects {
		if x := &v.Detects[i]; uint64(x.Session) == session && uint64(x.Request) == request {
			return x
		}
	}
	return nil
}

// Lets reports whether w, which stands behind x, waits only until x is in turn.
func (x *Whose) Lets(w *Whose) bool { return x.Part && compatible(x.Mode, w.Mode) }

// precedes reports whether a wait stands before w, of whom it is said to be.
func (v *Version) precedes(b *wire.Blocker, w *Whose) bool {
	x := v.Request(b.Session, b.Request)
	if x == nil || uint64(x.Client) != b.Flow.Client || uint64(x.Owner) != b.Flow.Owner {
		return false
	}
	for i := range v.Detects { // in the order of the queue
		switch &v.Detects[i] {
		case x:
			return true
		case w:
			return false
		}
	}
	return false
}

// bars reports whether a hold is there, of whom it is said to be, and in the way.
func (v *Version) bars(b *wire.Blocker, w *Whose) bool {
	for i, t := range v.Tokens {
		if uint64(t) == b.Token && uint64(v.Whose[i].Session) == b.Session &&
			uint64(v.Whose[i].Owner) == b.Flow.Owner && uint64(v.Whose[i].Client) == b.Flow.Client {
			return v.Whose[i].Bars(w)
		}
	}
	return false
}

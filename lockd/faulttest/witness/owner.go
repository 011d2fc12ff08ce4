package witness

import (
	"slices"

	"lockd/netio/wire"
)

// entry is one Enter of a hold: since which slot it surely stands, and what is
// known of its Leave.
type entry struct {
	request uint64
	left    uint64 // the slot of the answered Leave, or never
	leaving int64  // when the first Leave was sent, or Open
}

// entered works out the end of a hold that its owner entered several times: it
// ends with the last Leave. Requires: the run is of the hold's token.
func (c *checker) entered(h *hold, run []Record) {
	var entries []entry
	find := func(request uint64) *entry {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.request == request })
		if i < 0 {
			return nil
		}
		return &entries[i]
	}
	for i := range run {
		r := &run[i]
		holds := r.Kind == wire.KindEnter && r.Status == wire.StatusOK || r.Kind == wire.KindCancel
		if holds && find(r.Request) == nil {
			entries = append(entries, entry{request: r.Request, left: never, leaving: Open})
		}
	}
	for i := range run {
		if r := &run[i]; r.Kind == wire.KindLeave {
			c.left(h, r, find(r.Request))
		}
	}
	last, leaving, open := uint64(0), int64(0), 0
	for _, e := range entries {
		if e.left != never {
			last = max(last, e.left)
			continue
		}
		open++
		leaving = max(leaving, e.leaving)
	}
	switch unheard := c.entering[enteredKey{h.session, h.owner, h.name}]; {
	case open > 0:
		h.present, h.cause = max(h.present, last), min(h.cause, leaving)
	case unheard > 0: // perhaps it was entered once more, and left in the background
		h.present, h.cause = max(h.present, last), 0
	default:
		h.end, h.endLow, h.endHigh = released, last, last
	}
}

// left takes one Leave of the hold.
func (c *checker) left(h *hold, r *Record, e *entry) {
	switch {
	case e != nil && r.Session == h.session && !r.answered():
		e.leaving = min(e.leaving, r.Began)
	case r.Status != wire.StatusOK:
	case e == nil || r.Session != h.session:
		c.bad("I18", "%q is left by who has not entered it: %s", c.nameOf(h.name), r.says())
	case e.left != never:
		c.bad("I18", "%q is left twice, at slot %d before: %s", c.nameOf(h.name), e.left, r.says())
	default:
		e.left = r.Slot
	}
}

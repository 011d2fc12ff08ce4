package client

import "lockd/netio/wire"

// Renewals, Converts and Amends change a hold. What there is to know of one of them often
// depends on others of the same hold, and never on all that is open: so the open ones are
// threaded through each other, hold by hold.

// changedBy names what is changed: a hold, or with an owner all that he holds of a name.
type changedBy struct {
	hold  *Call
	owner uint64
	name  string
}

// changes reports whether x is a change of a hold of this Core.
func (x *Call) changes() bool {
	return x.Hold != nil && (x.Kind == wire.KindRenewHold || x.Kind == wire.KindConvert ||
		x.Kind == wire.KindAmend)
}

// changed is what x, which changes it, is listed by.
func (x *Call) changed() changedBy {
	if x.Owner == 0 || x.Kind == wire.KindRenewHold || x.detached() {
		return changedBy{hold: x.Hold}
	}
	return changedBy{owner: x.Owner, name: x.Name}
}

// lastChange returns the last started of the open changes of a hold, nil if there is
// none. The others come by way of changeBefore.
func (g *group) lastChange(h *Call) *Call {
	switch {
	case len(g.changes) == 0:
		return nil // as nearly always: many grants come beside many calls
	case h.Owner == 0 || h.detached():
		return g.changes[changedBy{hold: h}]
	default:
		return g.changes[changedBy{owner: h.Owner, name: h.Name}]
	}
}

// listChange lists an open change behind the others of its hold.
func (g *group) listChange(x *Call) {
	key := x.changed()
	if g.changes == nil {
		g.changes = make(map[changedBy]*Call)
	}
	if last := g.changes[key]; last != nil {
		last.changeAfter, x.changeBefore = x, last
	}
	g.changes[key] = x
}

// unlistChange undoes listChange.
func (g *group) unlistChange(x *Call) {
	before, after := x.changeBefore, x.changeAfter
	x.changeBefore, x.changeAfter = nil, nil
	if before != nil {
		before.changeAfter = after
	}
	switch {
	case after != nil:
		after.changeBefore = before
	case before != nil:
		g.changes[x.changed()] = before
	default:
		delete(g.changes, x.changed())
	}
}

// disownChanges has the changes of a hold go by another Call.
func (g *group) disownChanges(x, last *Call) {
	if y := g.changes[changedBy{hold: x}]; y != nil {
		delete(g.changes, changedBy{hold: x})
		g.changes[changedBy{hold: last}] = y
	}
}

// endChange is at the end of a change.
func (c *Core) endChange(x *Call) {
	g := &c.groups[x.Group]
	for y := x.changeAfter; y != nil; y = y.changeAfter {
		if y.waitsFor(x) {
			g.dirty = true
			c.schedule(0)
			break
		}
	}
	g.unlistChange(x)
}

// waitsFor reports whether x is an Amend that is not sent before y, an earlier one of the
// same hold, has ended.
func (x *Call) waitsFor(y *Call) bool {
	return x.Kind == wire.KindAmend && y.Kind == wire.KindAmend && x.Name == y.Name &&
		x.Session == y.Session
}

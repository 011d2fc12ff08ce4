package check

import (
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// found judges what a node says that a session has: the session is the one that was
// opened with the nonce, at the epoch and with the lease that the log says, and its holds
// and waits are those of the log at that slot. That nothing is known of the nonce must be
// so, too.
func (h *History) found(q *Question, x *wire.Response) error {
	m := h.models[q.Group]
	lives := m.opened(lockfsm.Nonce(q.Nonce), x.Slot)
	if x.Status == wire.StatusNotFound {
		if lives != nil {
			return fmt.Errorf("I24: nonce %x is not found at slot %d of group %d; it is that of session %d",
				q.Nonce, x.Slot, q.Group, lives.ID)
		}
		return nil
	}
	got, err := wire.DecodeSessionClaims(x.Payload)
	if x.Status != wire.StatusOK || err != nil {
		return fmt.Errorf("I23: FindSession of group %d is answered %v, %v", q.Group, x.Status, err)
	}
	if lives == nil || lives.ID != lockfsm.SessionID(got.Session) {
		return fmt.Errorf("I19: nonce %x is said to be that of session %d of group %d", q.Nonce,
			got.Session, q.Group)
	}
	e := lives.epochAt(x.Slot)
	if lockfsm.Epoch(got.Epoch) != e || got.LeaseMillis != uint32(lives.lease) {
		return fmt.Errorf("I24: session %d of group %d is said to be at epoch %d with a lease of %d ms "+
			"at slot %d; the log says %d, %d", got.Session, q.Group, got.Epoch, got.LeaseMillis, x.Slot, e,
			lives.lease)
	}
	return m.foundClaims(q, x.Slot, &got)
}

// has is a claim as it is told.
type has struct {
	request           lockfsm.RequestID
	token             lockfsm.Token
	owner             lockfsm.Owner
	permits, capacity lockfsm.Permits
	mode              lockfsm.Mode
	flags             wire.ClaimFlags
	name              string
}

// foundClaims judges what a session is said to hold and to wait for: each claim is as the
// log has it, none is told twice, and none is left out of a whole answer. An acquire of
// several names that waits is one claim, told by any of them.
func (m *Model) foundClaims(q *Question, slot uint64, got *wire.SessionClaims) error {
	id := lockfsm.SessionID(got.Session)
	all := m.claimsOf(id, slot)
	for i := range got.Claims {
		c := &got.Claims[i]
		told := has{lockfsm.RequestID(c.Request), lockfsm.Token(c.Token), lockfsm.Owner(c.Owner),
			lockfsm.Permits(c.Permits), lockfsm.Permits(c.Capacity), lockfsm.Mode(c.Mode), c.Flags,
			string(c.Name)}
		if _, stands := all[told]; !stands {
			return fmt.Errorf("I24: session %d of group %d is said to have %+v at slot %d; the log says %v",
				id, q.Group, told, slot, all)
		}
		for each := range all { // order: those of the same go
			if each == told || told.waitsFor(each) {
				delete(all, each)
			}
		}
	}
	if got.More != 0 || q.Target != 0 {
		return nil // the rest is on other pages
	}
	if len(all) > 0 {
		return fmt.Errorf("I24: session %d of group %d has %v at slot %d, and is not said to", id,
			q.Group, all, slot)
	}
	return nil
}

// waitsFor reports whether both are parts of one acquire that waits.
func (x has) waitsFor(y has) bool {
	return x.token == 0 && y.token == 0 && x.request == y.request && x.flags&wire.ClaimPart != 0
}

// claimsOf lists what a session held and waited for after a slot.
func (m *Model) claimsOf(id lockfsm.SessionID, slot uint64) map[has]struct{} {
	all := make(map[has]struct{})
	for name := range m.locks { // order: a set is built
		v := m.At(name, slot)
		add := func(w *Whose, t lockfsm.Token) {
			if w.Session != id {
				return
			}
			x := has{w.Request, t, w.enters, w.Permits, w.Capacity, w.Mode, 0, name}
			if w.Part {
				x.flags |= wire.ClaimPart
			}
			if w.capped && t != 0 {
				x.flags |= wire.ClaimMaxHold
			}
			all[x] = struct{}{}
			for _, x.request = range w.levels {
				all[x] = struct{}{}
			}
		}
		for i := range v.Whose {
			add(&v.Whose[i], v.Tokens[i])
		}
		for i := range v.Line {
			add(&v.Line[i], 0)
		}
		for _, key := range v.at {
			if key.session == id {
				all[has{request: key.request, name: name}] = struct{}{}
			}
		}
	}
	return all
}

// opened is the session with a nonce that was alive after a slot, nil if none was.
func (m *Model) opened(n lockfsm.Nonce, slot uint64) *Session {
	for _, all := range []map[lockfsm.SessionID]*Session{m.sessions, m.past} {
		for _, p := range all { // order: a nonce has one at a time
			if p.Nonce == n && p.stood(slot) {
				return p
			}
		}
	}
	return nil
}

package check

import (
	"fmt"
	"slices"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// found judges what a node says that a session has: the session is the one that was
// opened with the nonce, each hold one of the log at that slot, and none is left out
// of a whole answer. That nothing is known of the nonce must be so, too.
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
	told := make(map[TokenRef]bool)
	for _, c := range got.Claims {
		ref := TokenRef{lockfsm.Token(c.Token), string(c.Name)}
		told[ref] = true
		v := m.At(ref.Name, x.Slot)
		if c.Token != 0 && !slices.Contains(v.Live, ref.Token) {
			return fmt.Errorf("I24: session %d of group %d is said to hold %q with token %d at slot %d; "+
				"the log says %v", got.Session, q.Group, c.Name, c.Token, x.Slot, v.Live)
		}
	}
	if got.More != 0 || q.Target != 0 {
		return nil // the rest is on other pages
	}
	for _, ref := range m.heldBy(lives.ID, x.Slot) {
		if !told[ref] {
			return fmt.Errorf("I24: session %d of group %d holds %q with token %d at slot %d, and is not "+
				"said to", got.Session, q.Group, ref.Name, ref.Token, x.Slot)
		}
	}
	return nil
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

// heldBy lists what a session held after a slot.
func (m *Model) heldBy(id lockfsm.SessionID, slot uint64) (all []TokenRef) {
	for name := range m.locks { // order: a set is built
		v := m.At(name, slot)
		for i, t := range v.Tokens {
			if v.Whose[i].Session == id && slices.Contains(v.Live, t) {
				all = append(all, TokenRef{t, name})
			}
		}
	}
	return all
}

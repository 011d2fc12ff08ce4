package check

import (
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// ToldOver judges the word of a node that a session is over. Before anybody can be told,
// the log says so, and a session that is over is never one again (I19, I21).
func (m *Model) ToldOver(session uint64) error {
	if !m.Alive(session) {
		return nil
	}
	return fmt.Errorf("I21: session %d of group %d is said to be over, and by the log it lives",
		session, m.group)
}

// shown judges the answer to a Get, in the version in which it was asked for.
func (h *History) shown(q *Question, x *wire.Response) error {
	info := wire.LockInfo{Name: []byte(q.Name)}
	if x.Status == wire.StatusOK {
		decode := wire.DecodeLockInfo
		switch {
		case q.Version >= wire.VersionWhole:
			decode = wire.DecodeLockInfo3
		case q.Version >= wire.VersionKinds:
			decode = wire.DecodeLockInfo2
		}
		var err error
		if info, err = decode(x.Payload); err != nil {
			return fmt.Errorf("I23: Get of group %d does not decode: %w", q.Group, err)
		}
	}
	if got := string(info.Name); got != q.Name {
		return fmt.Errorf("I23: Get of %q in group %d is answered about %q", q.Name, q.Group, got)
	}
	return h.models[q.Group].Shown(x.Slot, &info)
}

// Shown judges how a node shows a lock as of a slot: all holders and waiters that it
// lists, oldest first, as the log has them.
func (m *Model) Shown(slot uint64, x *wire.LockInfo) error {
	v := m.At(string(x.Name), slot)
	if v.Vague {
		return nil
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("I24: %q at slot %d of group %d is shown %s", x.Name, slot, m.group,
			fmt.Sprintf(format, args...))
	}
	if int(x.HolderCount) != v.Holders || int(x.WaiterCount) != v.Waiters {
		return bad("with %d holders and %d waiters; the log says %d, %d", x.HolderCount,
			x.WaiterCount, v.Holders, v.Waiters)
	}
	for i := range min(len(x.Holders), len(v.Tokens)) {
		h := &x.Holders[i]
		if h.Token != uint64(v.Tokens[i]) || lockfsm.Mode(h.Mode) != v.Modes[i] ||
			!v.Whose[i].is(h.Session) {
			return bad("held by session %x in %v with token %d, number %d; the log says %x, %v, %d",
				h.Session, h.Mode, h.Token, i, v.Whose[i].Session, v.Modes[i], v.Tokens[i])
		}
	}
	for i := range min(len(x.Waiters), len(v.Line)) {
		k := &x.Waiters[i]
		if lockfsm.Mode(k.Mode) != v.Line[i].Mode || !v.Line[i].is(k.Session) {
			return bad("waited for by session %x in %v, number %d; the log says %x, %v", k.Session,
				k.Mode, i, v.Line[i].Session, v.Line[i].Mode)
		}
	}
	return nil
}

// is reports whether a session on the wire is the one of w, or an owner's if w has none.
func (w *Whose) is(session uint64) bool {
	if w.Session == 0 {
		return session == 0 || session&wire.DetachedOwner != 0
	}
	return session == uint64(w.Session)
}

package sim

import (
	"fmt"

	"lockd/lockd/sim/check"
	"lockd/netio/wire"
)

// value adds what is to become the value of a lock, often nothing. It is done to one
// name of a group, for a name with a value can be nothing but a lock with modes.
func (c *client) value(m *membership, h *hold, t *wire.Terms) {
	if h.name != c.w.names[m.group][0] {
		return
	}
	t.Fields |= wire.TermValue
	if c.dice.permille(700) {
		t.Value = fmt.Appendf(nil, "%d of client %d", c.dice.between(1, 1000), c.id)
	}
}

// wantsValue has an acquire ask for the value of its lock at times, most of all where
// there may be one.
func (c *client) wantsValue(m *membership, k *call) {
	if k.q.Kind == wire.KindTake || !c.dice.permille(400) {
		return
	}
	k.flags |= wire.FlagVersion3 | wire.FlagValue
	if c.dice.permille(500) {
		k.q.Name = c.w.names[m.group][0]
	}
}

// writeOn writes the value of a lock that was granted with it, at times.
func (m *membership) writeOn(k *call) {
	if k.flags&wire.FlagValue == 0 || len(m.calls) >= maxCalls || m.c.dice.permille(400) {
		return
	}
	h := m.holds[len(m.holds)-1]
	if h.released {
		return
	}
	t := &wire.Terms{}
	if m.c.value(m, h, t); t.Fields != 0 {
		m.ask(&call{q: check.Question{Kind: wire.KindAmend, Name: h.name, Token: h.token,
			Target: h.request, Session: h.owner}, hold: h, terms: t})
	}
}

// grantedValue compares the value that came with a grant with what the log says.
func (m *membership) grantedValue(k *call, x *wire.Response) {
	if k.flags&wire.FlagValue == 0 {
		return
	}
	got, err := wire.DecodeLockValue(x.Payload)
	if err != nil {
		m.c.w.failf("value of group %d with a grant does not decode: %v", m.group, err)
		return
	}
	if v := m.c.w.models[m.group].At(k.q.Name, x.Slot); !v.Vague {
		m.c.w.sawValue(&k.q, x, &got, v.Value)
	}
}

// sawValue compares a value in an answer with what the log says.
func (w *World) sawValue(q *check.Question, x *wire.Response, got *wire.LockValue,
	want string) {
	if text := check.ValueText(got); text != want {
		w.failf("I24: %v of %q in group %d at slot %d shows the value %q, the log says %q",
			q.Kind, q.Name, q.Group, x.Slot, text, want)
		return
	}
	if len(got.Data) > 0 {
		w.covered["value read"]++
	}
	if len(got.Data) > 0 && q.Kind != wire.KindGet {
		w.covered["value with a grant"]++
	}
	if got.Flags&wire.ValueDoubtful != 0 {
		w.covered["value in doubt"]++
	}
}

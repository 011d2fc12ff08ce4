package sim

import (
	"slices"

	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// convert asks for another mode of a hold. All that one owner holds of a name is
// one hold, of which one conversion is under way at a time.
func (c *client) convert(m *membership) {
	var have []*hold
	for _, h := range m.holds {
		if !h.released && h.with == nil && !m.converts(h) {
			have = append(have, h)
		}
	}
	if len(have) == 0 {
		return
	}
	h := have[c.dice.IntN(len(have))]
	for _, o := range have { // one that it has twice: who converts that waits for himself
		if o.name == h.name && o != h && o.enters == h.enters {
			h = o
		}
	}
	k := &call{q: check.Question{Kind: wire.KindConvert, Name: h.name, Token: h.token,
		Session: h.owner, Target: h.request}, hold: h, mode: wire.Mode(c.dice.IntN(6))}
	if h.owner == 0 && c.dice.permille(650) {
		k.flags = wire.FlagWait
	}
	switch shared := h.mode == wire.ModePR && h.owner == 0; {
	case shared && c.dice.permille(700):
		k.mode, k.flags = wire.ModeEX, wire.FlagWait
	case !shared && c.dice.permille(400):
		k.mode = wire.ModePR // where two may want more
	}
	if k.flags == wire.FlagWait && c.w.opts.Owners && c.dice.permille(500) {
		k.flags |= wire.FlagDetect
	}
	k.q.Mode = lockfsm.Mode(k.mode)
	for _, o := range m.with(h) {
		o.moves, o.asked = true, append(o.asked, k.mode)
	}
	m.rebelieve(h)
	m.ask(k)
}

// with lists all that is one hold with h.
func (m *membership) with(h *hold) (all []*hold) {
	for _, o := range m.holds {
		if o == h || h.enters != 0 && o.enters == h.enters && o.name == h.name {
			all = append(all, o)
		}
	}
	return all
}

// underWay notes of a new hold what it may be converted to already.
func (m *membership) underWay(h *hold) {
	for _, k := range m.calls {
		if k.q.Kind == wire.KindConvert && h.enters != 0 && k.hold.enters == h.enters &&
			k.hold.name == h.name {
			h.asked, h.moves = append(h.asked, k.mode), true
		}
	}
}

// converts reports whether a conversion of a hold has no answer yet.
func (m *membership) converts(h *hold) bool {
	return slices.ContainsFunc(m.calls, func(k *call) bool {
		return k.q.Kind == wire.KindConvert && (k.hold == h ||
			h.enters != 0 && k.hold.enters == h.enters && k.hold.name == h.name)
	})
}

// surely is the mode of which the client may be sure: the weaker of those that the
// hold may have.
func (h *hold) surely() wire.Mode {
	mode := h.mode
	for _, a := range h.asked {
		switch {
		case stronger(mode, a):
			mode = a
		case !stronger(a, mode) && a != mode:
			mode = wire.ModeCR // protected read or concurrent write
		}
	}
	return mode
}

// stronger reports whether a excludes all that b does.
func stronger(a, b wire.Mode) bool {
	pair := a == wire.ModePR && b == wire.ModeCW
	return a > b && !pair
}

// rebelieve tells the checkers what is believed of a hold now.
func (m *membership) rebelieve(h *hold) {
	all := m.with(h)
	for _, o := range all {
		m.c.w.leases.Forget(m.group, o.name, lockfsm.Token(o.token))
	}
	for _, o := range all {
		m.believe(o)
	}
}

// converted takes the answer to a Convert. An Enter that has no answer yet may
// have come before it; its token tells. What the owner had with a smaller token than
// the hold is none of it: it was ended by force before, and not all take notice.
func (m *membership) converted(k *call, x *wire.Response) {
	h := k.hold
	since := h.token
	all := m.with(h) // none if it was given back meanwhile
	m.c.w.covered["convert "+x.Status.String()]++
	for _, o := range all {
		m.c.w.leases.Forget(m.group, o.name, lockfsm.Token(o.token))
	}
	for _, o := range all {
		// That the hold is gone says nothing of what an earlier send made of the others.
		if x.Status != wire.StatusNotHolder || k.sends == 1 {
			o.asked = nil
		}
		if x.Status == wire.StatusOK && o.token >= since {
			o.token, o.mode = x.Token, k.mode
		}
		m.believe(o)
	}
	if x.Status != wire.StatusOK {
		return
	}
	for _, o := range m.calls {
		if o.q.Kind == wire.KindEnter && o.owner == h.enters && o.q.Name == h.name {
			o.became, o.becameToken = k.mode, x.Token
		}
	}
	if slices.Contains(m.holds, h) && !h.released {
		m.act(h)
	}
}

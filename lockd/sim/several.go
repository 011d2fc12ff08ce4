package sim

import (
	"slices"

	"lockd/lockd/sim/check"
	"lockd/netio/wire"
)

// several asks for a few names of a group at once, for all or none.
func (c *client) several(m *membership) {
	names := slices.Clone(c.w.names[m.group])
	c.dice.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:min(len(names), c.dice.between(1, 5))]
	slices.Sort(names)
	k := &call{q: check.Question{Kind: wire.KindAcquireAll, Name: names[0]}}
	for _, name := range names {
		w := wire.Want{Mode: wire.ModeEX, Name: []byte(name)}
		if c.dice.permille(400) {
			w.Mode = wire.Mode(c.dice.IntN(6))
		}
		k.wants = append(k.wants, w)
	}
	if c.dice.permille(200) {
		k.weight = uint8(c.dice.IntN(3))
	}
	if c.w.opts.Owners && c.dice.permille(500) {
		k.owner = uint64(c.dice.between(1, 3))
	}
	if c.dice.permille(750) {
		k.flags = wire.FlagWait
		if c.w.opts.Owners && c.dice.permille(500) {
			k.flags |= wire.FlagDetect
		}
	} else if c.dice.permille(500) {
		k.flags = wire.FlagDetails
	}
	if c.w.opts.Terms && c.dice.permille(400) {
		k.terms = c.dice.terms()
		c.dice.times(k.terms)
		c.dice.maxHold(k.terms)
	}
	m.ask(k)
}

// acquireAll is the body of a request for several names.
func (k *call) acquireAll(epoch uint32) *wire.AcquireAll {
	x := wire.AcquireAll{Session: k.q.Session, Owner: k.owner, Epoch: epoch, Weight: k.weight}
	if k.terms != nil {
		x.Terms = *k.terms
	}
	for _, w := range k.wants {
		x.Wants = x.Wants.Append(w)
	}
	return &x
}

// holdAll takes the grant of several names: a hold of each, whose tokens follow
// each other.
func (m *membership) holdAll(k *call, token uint64) {
	var all []*hold
	for i, w := range k.wants {
		one := &call{q: k.q, mode: w.Mode, terms: k.terms, beganOn: k.beganOn}
		one.q.Name = string(w.Name)
		m.hold(one, token+uint64(i))
		all = append(all, m.holds[len(m.holds)-1])
	}
	for _, h := range all {
		h.with = all
	}
	m.c.w.covered["several held"]++
	if k.terms != nil {
		m.c.w.covered["several held with terms"]++
	}
}

// giveAllBack gives back at once what is left of several names, if all is; it
// reports whether it did.
func (m *membership) giveAllBack(h *hold) bool {
	if h.with == nil || slices.ContainsFunc(h.with, func(o *hold) bool { return o.released }) ||
		m.c.dice.permille(300) {
		return false
	}
	for _, o := range h.with {
		o.released = true
	}
	m.ask(&call{q: check.Question{Kind: wire.KindReleaseAll, Name: h.with[0].name,
		Token: h.with[0].token, Target: h.request}, hold: h})
	return true
}

// refusedAll looks at what a refusal says of the name in the way.
func (m *membership) refusedAll(k *call, x *wire.Response) {
	w := m.c.w
	if int(x.Position) >= len(k.wants) {
		w.failf("request for %d names refused for number %d", len(k.wants), x.Position)
		return
	}
	if x.Status != wire.StatusHeld {
		return
	}
	name := string(k.wants[x.Position].Name)
	if v := w.models[m.group].At(name, x.Slot); k.flags&wire.FlagDetails != 0 && !v.Vague {
		info, err := wire.DecodeLockInfo3(x.Payload)
		if err != nil || string(info.Name) != name || int(info.HolderCount) != v.Holders {
			w.failf("refusal for %q at slot %d shows %q with %d holders, %v; the log says %d", name,
				x.Slot, info.Name, info.HolderCount, err, v.Holders)
		}
	}
}

// appendWhole encodes a request for several names, or about a hold.
func (m *membership) appendWhole(h wire.Header, k *call) []byte {
	switch k.q.Kind {
	case wire.KindAcquireAll:
		return wire.AppendAcquireAll(nil, h, k.acquireAll(m.epoch))
	case wire.KindReleaseAll:
		return wire.AppendReleaseAll(nil, h, &wire.ReleaseAll{Session: k.q.Session,
			Token: k.q.Token, Target: k.q.Target, Epoch: m.epoch})
	case wire.KindForce:
		return k.appendForce(h)
	case wire.KindConvert:
		return wire.AppendConvert(nil, h, &wire.Convert{Session: k.q.Session, Token: k.q.Token,
			Target: k.q.Target, Epoch: m.epoch, Mode: k.mode, Name: []byte(k.q.Name)})
	default:
		return wire.AppendGiveBack(nil, h, &wire.GiveBack{Session: k.q.Session, Token: k.q.Token,
			Target: k.q.Target, Epoch: m.epoch, Name: []byte(k.q.Name)})
	}
}

// several makes an acquire of the client of production one of several names.
func (c *coreClient) several(k *coreCall) {
	names := slices.Clone(c.w.names[c.dice.IntN(len(c.w.names))])
	c.dice.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:min(len(names), c.dice.between(2, 5))]
	slices.Sort(names)
	k.Kind, k.Name, k.Wants = wire.KindAcquireAll, names[0], nil
	if c.w.opts.Owners && c.dice.permille(500) {
		k.For = 1 + uint64(c.dice.IntN(2))
	}
	for i, name := range names {
		mode := k.Mode
		if i > 0 {
			mode = wire.Mode(c.dice.IntN(6))
		}
		k.Wants = k.Wants.Append(wire.Want{Mode: mode, Name: []byte(name)})
	}
}

// held calls fn with every lock that a call holds.
func (k *coreCall) held(fn func(name string, mode wire.Mode, token uint64)) {
	if k.Wants == nil {
		fn(k.Name, k.Mode, k.told)
		return
	}
	k.Wants.Each(func(i int, w wire.Want) bool {
		fn(string(w.Name), w.Mode, k.told+uint64(i))
		return true
	})
}

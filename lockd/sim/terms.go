package sim

import (
	"bytes"
	"slices"

	lockclient "lockd/client"
	"lockd/lockd/node"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// terms draws what an acquire brings, or an amend changes.
func (d dice) terms() *wire.Terms {
	t := &wire.Terms{Fields: wire.TermFields(d.between(1, 3))}
	if t.Fields&wire.TermPayload != 0 {
		n := d.between(0, 40)
		if d.permille(50) {
			n = wire.MaxPayloadBytes
		}
		t.Payload = bytes.Repeat([]byte{byte(d.between('a', 'z'))}, n)
	}
	if t.Fields&wire.TermLabels != 0 && d.permille(800) {
		t.Labels = []byte{1, 1, 'k', 1, byte(d.between('a', 'z'))}
	}
	return t
}

// times adds for how long a lock is to stay taken.
func (d dice) times(t *wire.Terms) {
	if d.permille(150) {
		t.Fields |= wire.TermMinHold
		t.MinHoldMillis = uint32(d.between(100, 3000))
	}
	if d.permille(150) {
		t.Fields |= wire.TermDelay
		t.DelayMillis = uint32(d.between(100, 2000))
	}
}

// maxHold adds how long a lock may be held.
func (d dice) maxHold(t *wire.Terms) {
	if !d.permille(200) {
		return
	}
	t.Fields |= wire.TermMaxHold
	t.MaxHoldMillis = uint32(d.between(100, 5000))
	if t.Fields&wire.TermMinHold != 0 {
		t.MaxHoldMillis = max(t.MaxHoldMillis, t.MinHoldMillis)
	}
}

// most is until when a hold counts by its max hold: from the first send, for only the
// nodes know when it was granted. An owner may have it from an earlier request.
func (k *call) most() node.Nanos {
	switch {
	case k.terms == nil || k.terms.Fields&wire.TermMaxHold == 0:
		return 1<<63 - 1
	case k.owner != 0:
		return 0
	default:
		return k.beganOn + safe(lockfsm.Millis(k.terms.MaxHoldMillis))
	}
}

// lostOne takes the word that a hold is over: so it must be, by the log.
func (c *client) lostOne(h wire.Header, x *wire.Lost) {
	m := c.groups[h.Group]
	c.w.toldLost(h.Group, x)
	for _, o := range slices.Clone(m.holds) {
		if o.owner == 0 && o.token == x.Token && m.session == x.Session {
			m.forget(o)
		}
	}
}

// toldLost holds the word that a hold is over against the log.
func (w *World) toldLost(group uint16, x *wire.Lost) {
	w.covered["loss told: "+x.Reason.String()]++
	if w.models[group].Has(string(x.Name), lockfsm.Token(x.Token)) {
		w.failf("I23: session %d of group %d is told that it has lost %q, which it holds with token %d",
			x.Session, group, x.Name, x.Token)
	}
}

// appendTermed writes a call that has terms.
func (m *membership) appendTermed(k *call, h wire.Header, name []byte) []byte {
	switch k.q.Kind {
	case wire.KindAcquireAll:
		return wire.AppendAcquireAll(nil, h, k.acquireAll(m.epoch))
	case wire.KindAmend:
		return wire.AppendAmend(nil, h, &wire.Amend{Session: k.q.Session, Target: k.q.Target,
			Token: k.q.Token, Epoch: m.epoch, Terms: *k.terms, Name: name})
	}
	x := wire.Ask{Kind: k.q.Kind, Session: k.q.Session, Owner: k.owner, Epoch: m.epoch,
		TTLMillis: uint32(k.ttl), Permits: k.permits, Mode: k.mode, Weight: k.weight,
		Terms: *k.terms, Name: name}
	if k.q.Kind == wire.KindTake {
		x.Capacity = semaphoreCapacity
	}
	return wire.AppendAsk(nil, h, &x)
}

// amend changes the data of a hold, if the client has one.
func (c *client) amend(m *membership) bool {
	for _, h := range m.holds {
		if !h.released && c.dice.permille(500) {
			t := c.dice.terms()
			c.value(m, h, t)
			m.ask(&call{q: check.Question{Kind: wire.KindAmend, Name: h.name, Token: h.token,
				Target: h.request, Session: h.owner}, hold: h, terms: t})
			return true
		}
	}
	return false
}

// get asks about a lock, and for the data on it where there may be some.
func (c *client) get(m *membership) *call {
	k := &call{q: check.Question{Kind: wire.KindGet, Name: c.name(m)}}
	if c.w.opts.Terms {
		k.flags, k.q.Version = wire.FlagVersion3, wire.VersionWhole
		if c.dice.permille(200) {
			k.q.Name = c.w.names[m.group][0]
		}
	}
	return k
}

// countKept counts the holds that stay taken after their end, and those that did.
func (w *World) countKept(out *lockfsm.Outcome) {
	for i := range out.Events {
		switch out.Events[i].Kind {
		case lockfsm.EventKept:
			w.covered["hold kept"]++
		case lockfsm.EventFreed:
			w.covered["kept hold freed"]++
		}
	}
}

// sawData compares the data in an answer with what the log says.
func (m *membership) sawData(k *call, x *wire.LockInfo, want []string) {
	for i := range x.Holders {
		d := &x.Holders[i].Data
		if d.Flags&wire.HolderDataLeftOut != 0 || i >= len(want) { // what stands of a gate has none
			continue
		}
		if got := check.DataText(d.Payload, d.Labels); got != want[i] {
			m.c.w.failf("I24: read of %q in group %d shows %.40q with holder %d, the log says %.40q",
				k.q.Name, m.group, got, x.Holders[i].Token, want[i])
		}
		if len(d.Payload)+len(d.Labels) > 0 {
			m.c.w.covered["data read"]++
		}
		if d.Flags&wire.HolderKept != 0 {
			m.c.w.covered["kept hold seen"]++
		}
	}
}

// grantLate has a client of production hear late, at times, of a grant with a max hold,
// and keep it to the end, while another waits for the same.
func (w *World) grantLate(group uint16, g *check.Grant) {
	if g.Again || len(w.cores) == 0 || !w.faulty(FaultClog|FaultLossy|FaultReset) {
		return
	}
	client := w.clientOf(group, uint64(g.Session))
	id := client >> 8
	if byte(client) != coreFlow || id >= uint64(len(w.cores)) {
		return
	}
	c := w.cores[id]
	i := slices.IndexFunc(c.calls, func(k *coreCall) bool {
		return k.State() == lockclient.StateOpen && k.Kind == wire.KindAcquire && k.Name == g.Name &&
			k.Terms != nil && k.Terms.Fields&(wire.TermMaxHold|wire.TermDelay) == wire.TermMaxHold &&
			k.Timeout == 0
	})
	if i < 0 || c.dice.permille(200) {
		return
	}
	w.covered["core heard late of a max hold"]++
	late := w.agenda.Now() + Time(w.opts.Lease)*millisecond/2
	for made := range c.dials { // order: each by itself
		made.toClient.clog = late
	}
	c.calls[i].stays = late + Time(c.calls[i].Terms.MaxHoldMillis)*millisecond + second
	m := w.clients[c.dice.IntN(len(w.clients))].groups[group]
	if len(m.calls) < maxCalls && !m.c.dead() {
		m.ask(&call{q: check.Question{Kind: wire.KindAcquire, Name: g.Name, Mode: lockfsm.ModeEX},
			mode: wire.ModeEX, flags: wire.FlagWait})
		w.agenda.After(0, m.pump)
	}
}

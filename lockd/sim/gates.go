package sim

import (
	"fmt"
	"slices"
	"time"

	lockclient "lockd/client"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// barrierParties is how many a barrier of the simulation wants.
const barrierParties = 2

// drawGates finds a name of each group for each kind of gate.
func (w *World) drawGates() {
	w.gates = make([]map[wire.GateKind]string, w.opts.Groups)
	for g := range w.gates {
		w.gates[g] = make(map[wire.GateKind]string)
	}
	for k := wire.GateLatch; k <= wire.GateBarrier; k++ {
		for i, left := 0, w.opts.Groups; left > 0; i++ {
			name := fmt.Sprint(k, "/", i)
			g := wire.GroupOf("", []byte(name), uint16(w.opts.Groups))
			if w.gates[g][k] == "" {
				w.gates[g][k] = name
				left--
			}
		}
	}
}

// gate does something at a gate.
func (c *client) gate(m *membership) {
	if c.dice.permille(150) && c.leaveBarrier(m) {
		return
	}
	k := &call{}
	c.w.drawGateCall(c.dice, m.group, k)
	m.ask(k)
}

// leaveBarrier closes a session that waits at a barrier, and has another client come to it
// as that ends. It reports whether it did.
func (c *client) leaveBarrier(m *membership) bool {
	w, name := c.w, c.w.gates[m.group][wire.GateBarrier]
	waits := slices.ContainsFunc(m.calls, func(k *call) bool {
		return k.q.Kind == wire.KindAwait && k.q.Name == name && k.conn != nil
	})
	other := w.clients[c.dice.IntN(len(w.clients))].groups[m.group]
	if !waits || m.session == 0 || other == m || other.session == 0 {
		return false
	}
	c.close(m)
	w.covered["client left a barrier"]++
	w.agenda.After(c.dice.length(0, w.round()), func() {
		if len(other.calls) < maxCalls && !other.c.leaving && other.c.pausedUntil <= w.agenda.Now() {
			k := &call{gate: wire.GateBarrier, flags: wire.FlagWait, count: barrierParties}
			k.q.Kind, k.q.Name = wire.KindAwait, name
			other.ask(k)
			other.pump()
		}
	})
	return true
}

// drawGateCall draws a request at a gate of a group. Now and then the gate has the
// name of a lock.
func (w *World) drawGateCall(d dice, group uint16, k *call) {
	k.gate = pick(d, wire.GateLatch, wire.GateLatch, wire.GateEvent, wire.GateBarrier,
		wire.GateBarrier)
	k.q.Name = w.gates[group][k.gate]
	if d.permille(30) {
		k.q.Name = w.names[group][d.IntN(w.opts.Names)]
	}
	k.q.Kind = pick(d, wire.KindAwait, wire.KindAwait, wire.KindAwait, wire.KindAwait,
		wire.KindCountDown, wire.KindCountDown, wire.KindSetGate, wire.KindSetGate, wire.KindResetGate)
	switch k.q.Kind {
	case wire.KindCountDown:
		k.gate, k.q.Name = wire.GateLatch, w.gates[group][wire.GateLatch]
	case wire.KindSetGate, wire.KindResetGate:
		if k.gate == wire.GateBarrier && (k.q.Kind == wire.KindSetGate || !d.permille(300)) {
			k.q.Kind = wire.KindAwait
		}
		if k.gate == wire.GateLatch && k.q.Kind == wire.KindResetGate && !d.permille(300) {
			k.q.Kind = wire.KindCountDown
		}
	}
	switch {
	case k.q.Kind == wire.KindAwait && k.gate == wire.GateBarrier:
		k.flags, k.count = wire.FlagWait, barrierParties
	case k.q.Kind == wire.KindAwait && d.permille(900):
		k.flags = wire.FlagWait
	case k.q.Kind == wire.KindCountDown, k.q.Kind == wire.KindSetGate && k.gate == wire.GateLatch:
		k.count = uint32(d.between(1, 2))
	}
	if k.q.Kind == wire.KindSetGate && d.permille(300) {
		k.ttl = lockfsm.Millis(d.between(100, 3000))
	}
}

// gate does something at a gate.
func (c *coreClient) gate() {
	k, group := &call{}, uint16(c.dice.IntN(c.w.opts.Groups))
	c.w.drawGateCall(c.dice, group, k)
	x := &coreCall{Call: lockclient.Call{Kind: k.q.Kind, Flags: k.flags, Gate: k.gate, Count: k.count,
		Name: k.q.Name, TTL: time.Duration(k.ttl) * time.Millisecond}}
	if k.flags&wire.FlagWait == 0 {
		x.Timeout = c.timeout()
	}
	c.start(x)
}

// answered is the number below which no request at a gate is open.
func (m *membership) answered(k *call) uint64 {
	least := k.q.Request
	for _, o := range m.calls {
		if o.q.Kind.AtGate() {
			least = min(least, o.q.Request)
		}
	}
	return least
}

// appendGate writes a request at a gate.
func (m *membership) appendGate(h wire.Header, k *call) []byte {
	return wire.AppendGate(nil, k.q.Kind, h, &wire.Gate{Session: k.q.Session, Done: m.answered(k),
		Epoch: m.epoch, Count: k.count, TTLMillis: uint32(k.ttl), Kind: k.gate,
		Name: []byte(k.q.Name)})
}

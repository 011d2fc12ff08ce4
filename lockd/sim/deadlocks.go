package sim

import (
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// detects marks an Enter that waits as one whose owner gives nothing back meanwhile.
const detects = wire.FlagWait | wire.FlagVersion3 | wire.FlagDetect

// cross has two owners who hold a name each wait for that of the other: a circle. If
// there are none, two ask for a name each, so that there may be soon.
func (m *membership) cross() {
	for i, a := range m.holds {
		for _, b := range m.holds[i+1:] {
			if a.enters != 0 && b.enters != 0 && a.enters != b.enters && a.name != b.name &&
				!a.released && !b.released {
				m.crossTo(b.name, a.enters)
				m.crossTo(a.name, b.enters)
				return
			}
		}
	}
	m.enterEX(m.c.name(m), 1, wire.FlagWait)
	m.enterEX(m.c.name(m), 2, wire.FlagWait)
}

// crossTo waits for a name for an owner, who gives nothing back meanwhile, perhaps as one
// of several.
func (m *membership) crossTo(name string, owner uint64) {
	if !m.c.w.opts.Several || m.c.dice.permille(600) {
		m.enterEX(name, owner, detects)
		return
	}
	m.ask(&call{q: check.Question{Kind: wire.KindAcquireAll, Name: name}, owner: owner,
		flags: wire.FlagWait | wire.FlagDetect,
		wants: []wire.Want{{Mode: wire.ModeEX, Name: []byte(name)}}})
}

func (m *membership) enterEX(name string, owner uint64, f wire.Flags) {
	m.ask(&call{q: check.Question{Kind: wire.KindEnter, Name: name, Mode: lockfsm.ModeEX},
		mode: wire.ModeEX, owner: owner, flags: f})
}

// circle takes a refusal that names a circle, which is to begin with the request. A
// conversion may be refused for another of the same lock, without one.
func (m *membership) circle(k *call, x *wire.Response) {
	name, owner := k.q.Name, k.owner
	switch {
	case k.q.Kind == wire.KindConvert && len(x.Payload) == 0:
		return
	case k.q.Kind == wire.KindConvert:
		owner = k.hold.enters
	case int(x.Position) < len(k.wants):
		name = string(k.wants[x.Position].Name)
	}
	c, err := wire.DecodeCircle(x.Payload)
	if err != nil || len(c.Steps) == 0 || c.Steps[0].Session != m.session ||
		c.Steps[0].Owner != owner || string(c.Steps[0].Name) != name ||
		c.Steps[0].Token != x.Token || k.flags&wire.FlagDetect == 0 {
		m.c.w.failf("circle that %q closes in group %d: got %+v, %v", k.q.Name, m.group, c, err)
		return
	}
	m.c.w.covered["circle told"]++
	m.c.w.covered["circle told to "+k.q.Kind.String()]++
}

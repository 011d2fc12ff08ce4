package sim

import (
	"maps"
	"slices"

	lockclient "lockd/client"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// maxSeen is how many tokens that a client read somewhere it remembers in a group.
const maxSeen = 8

// saw remembers the tokens of a lock that the client asked about.
func (m *membership) saw(name string, info *wire.LockInfo) {
	for i := range info.Holders {
		m.seen = append(m.seen, check.TokenRef{Token: lockfsm.Token(info.Holders[i].Token), Name: name})
	}
	m.seen = m.seen[max(0, len(m.seen)-maxSeen):]
}

// force ends a hold that the client has read of, or had itself; it may be over.
func (c *client) force(m *membership) bool {
	from := m.seen
	if len(from) == 0 || c.dice.permille(200) {
		from = m.granted
	}
	if len(from) == 0 {
		return false
	}
	ref := from[c.dice.IntN(len(from))]
	if c.dice.permille(100) {
		ref.Token++
	}
	m.ask(&call{q: check.Question{Kind: wire.KindForce, Name: ref.Name, Token: uint64(ref.Token)}})
	return true
}

// appendForce encodes what force asks for.
func (k *call) appendForce(h wire.Header) []byte {
	return wire.AppendForce(nil, h, &wire.Force{Token: k.q.Token, Client: []byte("operator"),
		Reason: []byte("simulated"), Name: []byte(k.q.Name)})
}

// toldForced takes a push that a hold is over, which must be one that the log ended by
// force.
func (m *membership) toldForced(x *wire.Lost) {
	w := m.c.w
	w.toldLost(m.group, x)
	if _, ok := w.leases.ForcedAt(m.group, lockfsm.Token(x.Token)); !ok {
		w.failf("I18: client %d is told that its hold of %q in group %d with token %d is lost: %v, and "+
			"nobody forced it", m.c.id, x.Name, m.group, x.Token, x.Reason)
		return
	}
	w.covered["holder told of force"]++
	for _, h := range slices.Clone(m.holds) {
		// Some give it back all the same, and find nothing.
		if h.owner == 0 && h.token == x.Token && m.session == x.Session && m.c.dice.permille(500) {
			m.forget(h)
		}
	}
}

// noteForced tells the checkers what a slot ended by force: others may be granted
// it while its holder still believes in it.
func (w *World) noteForced(group uint16, m *check.Model) {
	for i := range m.Forced {
		f := &m.Forced[i]
		w.covered["hold forced"]++
		w.leases.Forced(group, f.Name, f.Tokens, int64(w.agenda.Now()))
		if w.faulty(FaultReset|FaultCut) && w.dice.faults.permille(700) {
			w.cutForced(group, f.Tokens)
		}
	}
}

// cutForced breaks the conns of a client of production that holds what was just
// ended by force, before it can be told. It goes on with the hold for longer than one
// may go by it that has heard of the force.
func (w *World) cutForced(group uint16, tokens []lockfsm.Token) {
	for _, c := range w.cores {
		i := slices.IndexFunc(c.calls, func(k *coreCall) bool {
			return k.believed && k.Group == group && slices.Contains(tokens, lockfsm.Token(k.Token))
		})
		if i < 0 {
			continue
		}
		c.calls[i].stays = w.agenda.Now() + Time(w.opts.Lease)*millisecond*3/2 + second
		w.covered["core cut off when forced"]++
		for _, id := range slices.Sorted(maps.Keys(c.conns)) {
			made := c.conns[id]
			w.agenda.After(0, made.closeClient)
			w.agenda.After(w.dice.network.around(5*w.opts.Latency), made.closeNode)
		}
	}
}

// stillHeld checks that the client of production does not go by a hold long after
// it was ended by force: it has been told, or has asked when it had a conn again, or
// its session is over.
func (c *coreClient) stillHeld() {
	now := c.w.agenda.Now()
	lease := Time(c.w.opts.Lease) * millisecond
	for _, k := range c.calls {
		if !k.believed || k.released || k.State() != lockclient.StateHeld || k.Session>>63 != 0 ||
			c.away > now || c.core.ValidUntil(&k.Call) <= c.now() || c.core.Rechecking(k.Group) {
			continue
		}
		k.held(func(name string, _ wire.Mode, token uint64) {
			at, forced := c.w.leases.ForcedAt(k.Group, lockfsm.Token(token))
			if forced && now-Time(at) > lease*5/4+500*millisecond {
				c.w.failf("I25: %s goes by its hold of %q in group %d with token %d, which was ended by "+
					"force %.1f s ago", c.name(), name, k.Group, token, float64(now-Time(at))/1e9)
			}
		})
	}
}

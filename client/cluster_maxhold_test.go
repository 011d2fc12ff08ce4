package client

import "lockd/netio/wire"

// The dumb cluster's max holds.

// cap begins the max hold of a claim that is granted.
func (x *dumbClaim) cap(now Instant) {
	if x.terms.Fields&wire.TermMaxHold != 0 {
		x.over = now + Instant(x.terms.MaxHoldMillis)*1e6
	}
}

func (x *dumbClaim) left(now Instant) uint32 {
	if x.over == 0 {
		return wire.NoMaxHold
	}
	return uint32(max(0, x.over-now) / 1e6)
}

func (x *dumbClaim) claimFlags() wire.ClaimFlags {
	if x.over != 0 {
		return wire.ClaimMaxHold
	}
	return 0
}

// endCapped ends the holds whose max hold is over, and tells their sessions.
func (d *dumbCluster) endCapped(g *dumbGroup, l *dumbLock) {
	kept := l.holds[:0]
	told := uint64(0)
	for _, x := range l.holds {
		if x.over == 0 || x.over > d.now {
			kept = append(kept, x)
			continue
		}
		s := g.sessions[x.session]
		if s == nil || d.conns[s.conn] == nil || told == x.token || d.silent {
			continue
		}
		told = x.token
		for number, each := range d.groups {
			if each == g {
				d.send(s.conn, wire.AppendLost(nil, wire.Header{Group: uint16(number)},
					&wire.Lost{Session: x.session, Token: x.token, Reason: wire.ReasonMaxHold}))
			}
		}
	}
	l.holds = kept
}

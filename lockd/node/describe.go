package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// describe encodes what the machine knows of a lock, and leaves it in n.found and
// n.lockInfo, in the form of a version of the protocol. Both are valid until the
// next call. A lock that is not in use comes out with no holder and no waiter. It
// looks at no more of them than are listed.
func (n *Node) describe(g *group, name []byte, version uint16) []byte {
	n.find(g, name, wire.MaxListed)
	x := &n.lockInfo
	switch {
	case version >= wire.VersionWhole:
		n.scratch = wire.AppendLockInfo3(n.scratch[:0], x)
	case version >= wire.VersionKinds:
		n.scratch = wire.AppendLockInfo2(n.scratch[:0], x)
	default:
		n.scratch = wire.AppendLockInfo(n.scratch[:0], x)
	}
	return n.scratch
}

// find does what describe does, but that it encodes nothing, and leaves as many holders
// and waiters in n.found as are asked for.
func (n *Node) find(g *group, name []byte, most int) {
	x := &n.lockInfo
	*x = wire.LockInfo{Name: name, Holders: x.Holders[:0], Waiters: x.Waiters[:0]}
	if !g.machine.Lock(name, &n.found, most) {
		n.found = lockfsm.LockInfo{Holders: n.found.Holders[:0], Waiters: n.found.Waiters[:0]}
	} else {
		x.HolderCount = uint32(n.found.HolderCount)
		x.WaiterCount = uint32(n.found.WaiterCount)
		x.Capacity, x.Taken = uint32(n.found.Capacity), uint32(n.found.Taken)
		x.Gate, x.Number = wire.GateKind(n.found.Gate), n.found.Number
		x.Value = valueOnWire(n.found.Value)
		for i := range min(len(n.found.Holders), wire.MaxListed) {
			c := &n.found.Holders[i]
			x.Holders = append(x.Holders, wire.Holder{
				Session:     sessionOnWire(c),
				Token:       uint64(c.Token),
				HeldMillis:  uint64(g.machine.LogTime() - c.Since),
				LeaseMillis: left(c.Deadline, g.machine.LogTime()),
				Mode:        wire.Mode(c.Mode),
				Client:      clientName(g.machine, c),
				Kind:        kindOnWire(c),
				Data:        dataOnWire(c),
			})
		}
		for i := range min(len(n.found.Waiters), wire.MaxListed) {
			c := &n.found.Waiters[i]
			x.Waiters = append(x.Waiters, wire.Waiter{
				Session:      sessionOnWire(c),
				WaitedMillis: uint64(g.machine.LogTime() - c.Since),
				Mode:         wire.Mode(c.Mode),
				Weight:       c.Weight,
				Client:       clientName(g.machine, c),
				Kind:         kindOnWire(c),
			})
		}
	}
	for i := range x.Holders {
		if plantedIs("holders-told-as-the-first") {
			x.Holders[i].Mode, x.Holders[i].Session = x.Holders[0].Mode, x.Holders[0].Session
		}
	}
}

// dataOnWire is what a hold lets others read, and whether it is over.
func dataOnWire(c *lockfsm.ClaimInfo) wire.HolderData {
	x := wire.HolderData{Payload: c.Payload, Labels: c.Labels}
	if c.Kept {
		x.Flags |= wire.HolderKept
	}
	return x
}

// kindOnWire says what a claim is beyond its mode.
func kindOnWire(c *lockfsm.ClaimInfo) wire.ClaimKind {
	return wire.ClaimKind{Permits: uint32(c.Permits), Depth: c.Depth, Owner: uint64(c.Owner)}
}

// sessionOnWire marks the owner of a detached hold as such.
func sessionOnWire(c *lockfsm.ClaimInfo) uint64 {
	if c.Detached {
		return uint64(c.Session) | wire.DetachedOwner
	}
	return uint64(c.Session)
}

// left is the length of log time up to a deadline, zero if it has passed.
func left(deadline, now lockfsm.Time) uint32 {
	if deadline <= now {
		return 0
	}
	return uint32(min(uint64(deadline-now), 1<<32-1))
}

// clientName is the name a session gave itself; the owner of a detached hold
// has none.
func clientName(m *lockfsm.Machine, c *lockfsm.ClaimInfo) []byte {
	var s lockfsm.SessionInfo
	if c.Detached || !m.Session(c.Session, &s) {
		return nil
	}
	return s.Name
}

// listPage encodes one page of a group's locks, as many as fit a frame. Requires: their
// names were found just now.
func (n *Node) listPage(g *group, r *read) []byte {
	page := wire.ListPage{}
	if n.moreNames {
		page.More = wire.MorePages
	}
	room := wire.MaxListBytes
	for _, name := range n.names {
		g.machine.Lock(name, &n.found, 1)
		e := wire.ListEntry{
			HolderCount: uint32(n.found.HolderCount),
			WaiterCount: uint32(n.found.WaiterCount),
			Name:        name,
			Capacity:    uint32(n.found.Capacity),
			Taken:       uint32(n.found.Taken),
			Gate:        wire.GateKind(n.found.Gate),
			Number:      n.found.Number,
		}
		if len(n.found.Holders) > 0 {
			first := &n.found.Holders[0]
			e.Token = uint64(first.Token)
			e.HeldMillis = uint64(g.machine.LogTime() - first.Since)
			e.Mode = wire.Mode(first.Mode)
			e.Client = clientName(g.machine, first)
			switch {
			case first.Kept && !plantedIs("kept-listed-as-held"):
				e.Flags = wire.HolderKept
			case first.Detached && e.Gate == 0:
				e.Flags = wire.HolderDetached
			}
		}
		if room -= e.Bytes(); room < 0 {
			page.More = wire.MorePages
			break
		}
		page.Entries = append(page.Entries, e)
	}
	switch version := r.header().Version(); {
	case version >= wire.VersionWhole:
		n.scratch = wire.AppendListPage3(n.scratch[:0], &page)
	case version >= wire.VersionKinds:
		n.scratch = wire.AppendListPage2(n.scratch[:0], &page)
	default:
		n.scratch = wire.AppendListPage(n.scratch[:0], &page)
	}
	return n.scratch
}

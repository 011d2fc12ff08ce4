package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// wantsValue reports whether a grant is to be answered with the value of the lock.
func wantsValue(h wire.Header) bool {
	return h.Flags&wire.FlagValue != 0 && h.Flags&wire.FlagVersion3 != 0 &&
		(h.Kind == wire.KindAcquire || h.Kind == wire.KindEnter || h.Kind == wire.KindAsk)
}

// noteWantsValue remembers what a queued acquire wants with its grant. Few do, so
// those have a table of their own.
func (g *group) noteWantsValue(key waitKey, o *origin) {
	if !wantsValue(wire.Header{Kind: o.kind, Flags: o.flags}) {
		return
	}
	if g.valued == nil {
		g.valued = make(map[waitKey]struct{})
	}
	g.valued[key] = struct{}{}
}

// fillValue gives the response to a grant the value of the lock as its payload,
// which is valid until the next one is built.
func (n *Node) fillValue(g *group, x *wire.Response, name []byte) {
	v := valueOnWire(g.machine.Value(name))
	n.scratch = wire.AppendLockValue(n.scratch[:0], &v)
	x.Payload = n.scratch
}

func valueOnWire(v lockfsm.LockValue) wire.LockValue {
	x := wire.LockValue{Data: v.Data, Token: uint64(v.Token)}
	if v.Doubtful {
		x.Flags |= wire.ValueDoubtful
	}
	return x
}

package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// acquireFlags translates the flags of a request for locks, or for another mode of one.
// Detect says something of those only that wait.
func acquireFlags(h wire.Header, session uint64) lockfsm.Flags {
	f := commandFlags(h, session)
	if h.Flags&wire.FlagDetect != 0 && f&lockfsm.Wait != 0 {
		f |= lockfsm.Detect
	}
	return f
}

// fillCircle says in a response whom the request would have waited for: the hold
// whose conversion is in the way, or the first of a circle of owners, which then
// is the payload. Valid until the next payload is built.
func (n *Node) fillCircle(g *group, x *wire.Response, r *lockfsm.Result) {
	x.Token = uint64(r.HolderToken)
	if r.Steps == 0 {
		return
	}
	steps := n.outcome.Steps[r.StepsAt : r.StepsAt+r.Steps]
	y := wire.Circle{Count: uint16(len(steps))} // the search finds no more than fit
	for i := range min(len(steps), wire.MaxSteps) {
		s := &steps[i]
		var of lockfsm.SessionInfo
		g.machine.Session(s.Session, &of)
		y.Steps = append(y.Steps, wire.CircleStep{Session: uint64(s.Session),
			Owner: uint64(s.Owner), Token: uint64(s.Token), Client: of.Name, Name: s.Name})
	}
	n.scratch = wire.AppendCircle(n.scratch[:0], &y)
	x.Payload = n.scratch
}

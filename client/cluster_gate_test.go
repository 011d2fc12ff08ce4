package client

import (
	"errors"
	"slices"

	"lockd/netio/wire"
)

// dumbGate is a latch, an event or a barrier.
type dumbGate struct {
	kind   wire.GateKind
	number uint32
	set    bool // an event; a latch is set while its number is not zero
	queue  []dumbClaim
}

// dumbAnswer is the answer to a request at a gate that had an effect.
type dumbAnswer struct {
	session, request uint64
	r                wire.Response
}

// decodeGate reads who asks at a gate, for once.
func decodeGate(body []byte) (session uint64, epoch uint32) {
	x, _ := wire.DecodeGate(body)
	return x.Session, x.Epoch
}

// gate executes a request at a gate.
func (d *dumbCluster) gate(g *dumbGroup, p proposal) (wire.Response, bool) {
	x, err := wire.DecodeGate(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}, true
	}
	if g.done[x.Session] > p.h.Request || x.Done > p.h.Request {
		d.fail("%s %d of session %d, which says that %d is answered", p.h.Kind, p.h.Request, x.Session,
			max(x.Done, g.done[x.Session]))
	}
	g.done[x.Session] = max(g.done[x.Session], x.Done)
	g.answers = slices.DeleteFunc(g.answers, func(a dumbAnswer) bool {
		return a.session == x.Session && a.request < x.Done
	})
	for _, a := range g.answers {
		if a.session == x.Session && a.request == p.h.Request {
			return a.r, true
		}
	}
	e := g.gates[string(x.Name)]
	if e == nil {
		e = &dumbGate{kind: x.Kind}
		g.gates[string(x.Name)] = e
	}
	same := func(y dumbClaim) bool { return y.session == x.Session && y.request == p.h.Request }
	if i := slices.IndexFunc(e.queue, same); i >= 0 {
		e.queue[i].conn = p.conn
		return wire.Response{}, false
	}
	if other := e.kind != x.Kind || p.h.Kind == wire.KindAwait && x.Kind == wire.GateBarrier &&
		len(e.queue) > 0 && e.number != x.Count; other {
		return wire.Response{Status: wire.StatusOtherKind,
			Token: wire.OtherKind{Gate: e.kind, Number: e.number}.Token()}, true
	}
	r, answer := d.atGate(g, e, &x, p)
	if answer && r.Status == wire.StatusOK && p.h.Kind != wire.KindAwait {
		g.answers = append(g.answers, dumbAnswer{x.Session, p.h.Request, r})
	}
	if !e.set && e.number == 0 && len(e.queue) == 0 {
		delete(g.gates, string(x.Name))
	}
	return r, answer
}

func (d *dumbCluster) atGate(g *dumbGroup, e *dumbGate, x *wire.Gate,
	p proposal) (wire.Response, bool) {
	r := wire.Response{Status: wire.StatusOK}
	switch {
	case p.h.Kind == wire.KindAwait:
		if e.kind == wire.GateLatch && e.number == 0 || e.kind == wire.GateEvent && e.set {
			return r, true
		}
		e.queue = append(e.queue, dumbClaim{session: x.Session, request: p.h.Request, conn: p.conn})
		if e.kind == wire.GateBarrier {
			if e.number = x.Count; len(e.queue) >= int(e.number) {
				d.openGate(g, e, wire.StatusOK)
				e.number = 0
			}
		}
		return r, false
	case p.h.Kind == wire.KindCountDown:
		e.number -= min(e.number, x.Count)
		r.Token = uint64(e.number)
		if e.number == 0 {
			d.openGate(g, e, wire.StatusOK)
		}
	case p.h.Kind == wire.KindSetGate && e.kind == wire.GateLatch && e.number > 0:
		return wire.Response{Status: wire.StatusAlreadySet, Token: uint64(e.number)}, true
	case p.h.Kind == wire.KindSetGate && e.kind == wire.GateLatch:
		e.number = x.Count
	case p.h.Kind == wire.KindSetGate:
		e.set = true
		d.openGate(g, e, wire.StatusOK)
	case e.kind == wire.GateEvent:
		e.set = false
	default:
		e.number = 0
		d.openGate(g, e, wire.StatusBroken)
	}
	return r, true
}

// openGate lets all who wait through, and keeps what they are told.
func (d *dumbCluster) openGate(g *dumbGroup, e *dumbGate, s wire.Status) {
	g.token++
	for _, y := range e.queue {
		r := wire.Response{Status: s, Token: g.token}
		g.answers = append(g.answers, dumbAnswer{y.session, y.request, r})
		if y.conn >= 0 {
			h := wire.Header{Group: uint16(slices.Index(d.groups, g)), Request: y.request}
			d.reply(y.conn, h, r)
		}
	}
	e.queue = nil
}

// cancelGate gives a wait up, and reports whether the request is one at a gate.
func (g *dumbGroup) cancelGate(x *wire.Cancel) (wire.Response, bool) {
	for _, a := range g.answers {
		if a.session == x.Session && a.request == x.Target && a.r.Status == wire.StatusOK {
			return wire.Response{Status: wire.StatusAlreadyGranted, Token: a.r.Token}, true
		}
	}
	if e := g.gates[string(x.Name)]; e != nil {
		e.queue = slices.DeleteFunc(e.queue, func(y dumbClaim) bool {
			return y.session == x.Session && y.request == x.Target
		})
		return wire.Response{Status: wire.StatusCancelled}, true
	}
	return wire.Response{}, false
}

// leaveGates takes a session that has ended from all gates.
func (g *dumbGroup) leaveGates(session uint64) {
	for _, e := range g.gates {
		e.queue = slices.DeleteFunc(e.queue, func(y dumbClaim) bool { return y.session == session })
	}
	g.answers = slices.DeleteFunc(g.answers, func(a dumbAnswer) bool { return a.session == session })
}

// gateInfo describes a gate, nil if there is none.
func (g *dumbGroup) gateInfo(name string) *wire.LockInfo {
	e := g.gates[name]
	if e == nil {
		return nil
	}
	x := &wire.LockInfo{Name: []byte(name), Gate: e.kind, Number: e.number,
		WaiterCount: uint32(len(e.queue))}
	if e.set || e.kind == wire.GateLatch {
		x.HolderCount = 1
		x.Holders = []wire.Holder{{Session: wire.DetachedOwner, Token: g.token}}
	}
	return x
}

// atGate makes a Call one at a gate.
func (s *simNet) atGate(x *Call) {
	*x = Call{Gate: wire.GateKind(1 + s.r.IntN(3))}
	x.Name = x.Gate.String()
	switch n := s.r.IntN(6); {
	case x.Gate == wire.GateBarrier && n < 5:
		x.Kind, x.Count = wire.KindAwait, 2
	case n < 2:
		x.Kind = wire.KindAwait
	case n < 4 && x.Gate == wire.GateLatch:
		x.Kind, x.Count = wire.KindCountDown, 1
	case n < 5:
		x.Kind = wire.KindSetGate
		if x.Gate == wire.GateLatch {
			x.Count = uint32(1 + s.r.IntN(3))
		}
	default:
		x.Kind = wire.KindResetGate
	}
}

// expectedAtGate reports whether a Call at a gate may end so.
func expectedAtGate(err error) bool {
	return errors.Is(err, ErrBroken) || errors.Is(err, ErrAlreadySet) ||
		errors.Is(err, ErrSessionEnded)
}

package client

import (
	"slices"

	"lockd/netio/wire"
)

// dumbTurn is a conversion that waits.
type dumbTurn struct {
	session, request, target uint64
	mode                     wire.Mode
	conn                     int
}

// excludes is the rule of a cluster that knows readers and writers only.
func excludes(a, b wire.Mode) bool { return a == wire.ModeEX || b == wire.ModeEX }

func (x *dumbClaim) knows(token uint64) bool {
	return token == x.token || x.moved && token < x.token
}

// hold finds what came of a request.
func (l *dumbLock) hold(session, request uint64) int {
	return slices.IndexFunc(l.holds, func(y dumbClaim) bool {
		return y.session == session && y.request == request
	})
}

func (d *dumbCluster) convert(g *dumbGroup, p proposal) (wire.Response, bool) {
	x, err := wire.DecodeConvert(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}, true
	}
	l := g.lock(string(x.Name))
	for i := range l.turns {
		if l.turns[i].session == x.Session && l.turns[i].request == p.h.Request {
			l.turns[i].conn = p.conn
			return wire.Response{}, false
		}
	}
	at := l.hold(x.Session, x.Target)
	if at < 0 || !l.holds[at].knows(x.Token) {
		return wire.Response{Status: wire.StatusNotHolder}, true
	}
	h := &l.holds[at]
	turn := dumbTurn{x.Session, p.h.Request, x.Target, x.Mode, p.conn}
	switch {
	case h.turned == p.h.Request:
		return wire.Response{Status: wire.StatusOK, Token: h.token}, true
	case noStronger(h.mode, x.Mode):
		l.each(h, func(y *dumbClaim) { y.mode, y.moved, y.turned = x.Mode, true, 0 })
		token := h.token
		d.pump(g, l)
		return wire.Response{Status: wire.StatusOK, Token: token}, true
	case len(l.turns) == 0 && l.turnFits(turn):
		return wire.Response{Status: wire.StatusOK, Token: d.turn(g, l, turn)}, true
	case p.h.Flags&wire.FlagWait == 0:
		return wire.Response{Status: wire.StatusHeld, Token: l.holds[0].token}, true
	}
	for _, y := range l.turns {
		if excludes(y.mode, h.mode) {
			in := l.holds[l.hold(y.session, y.target)]
			return wire.Response{Status: wire.StatusDeadlock, Token: in.token}, true
		}
	}
	l.turns = append(l.turns, turn)
	return wire.Response{}, false
}

// each calls fn with a hold and all else that its owner holds.
func (l *dumbLock) each(h *dumbClaim, fn func(*dumbClaim)) {
	first := *h
	for i := range l.holds {
		if y := &l.holds[i]; y.request == first.request && y.session == first.session ||
			first.entered(*y) {
			fn(y)
		}
	}
}

// turnFits reports whether nobody else excludes what a turn waits for.
func (l *dumbLock) turnFits(t dumbTurn) bool {
	h := l.holds[l.hold(t.session, t.target)]
	for _, y := range l.holds {
		same := y.session == h.session && y.request == h.request || h.entered(y)
		if !same && excludes(y.mode, t.mode) {
			return false
		}
	}
	return true
}

func (d *dumbCluster) turn(g *dumbGroup, l *dumbLock, t dumbTurn) uint64 {
	g.token++
	l.each(&l.holds[l.hold(t.session, t.target)], func(y *dumbClaim) {
		y.mode, y.moved, y.token, y.turned = t.mode, true, g.token, t.request
	})
	return g.token
}

// pumpTurns grants conversions in order, and ends those whose holds have.
func (d *dumbCluster) pumpTurns(g *dumbGroup, l *dumbLock) {
	group := uint16(slices.Index(d.groups, g))
	for len(l.turns) > 0 {
		t := l.turns[0]
		r := wire.Response{Status: wire.StatusNotHolder}
		if l.hold(t.session, t.target) >= 0 {
			if !l.turnFits(t) {
				break
			}
			r = wire.Response{Status: wire.StatusOK, Token: d.turn(g, l, t)}
		}
		l.turns = l.turns[1:]
		d.reply(t.conn, wire.Header{Group: group, Request: t.request}, r)
	}
}

// cancelTurn cancels a conversion, if there is one of that request.
func (l *dumbLock) cancelTurn(session, request uint64) (wire.Response, bool) {
	for _, y := range l.holds {
		if y.session == session && y.turned == request {
			return wire.Response{Status: wire.StatusAlreadyGranted, Token: y.token}, true
		}
	}
	n := len(l.turns)
	l.turns = slices.DeleteFunc(l.turns, func(t dumbTurn) bool {
		return t.session == session && t.request == request
	})
	return wire.Response{Status: wire.StatusCancelled}, len(l.turns) < n
}

package client

import (
	"slices"

	"lockd/netio/wire"
)

// force ends a hold and tells the conn of its session.
func (d *dumbCluster) force(g *dumbGroup, p proposal) wire.Response {
	x, err := wire.DecodeForce(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	l := g.lock(string(x.Name))
	i := slices.IndexFunc(l.holds, func(y dumbClaim) bool { return y.token == x.Token })
	if i < 0 {
		present := uint64(0)
		for _, y := range l.holds {
			present = max(present, y.token)
		}
		return wire.Response{Status: wire.StatusNotHolder, Token: present}
	}
	session := l.holds[i].session
	if s := g.sessions[session]; s != nil && d.conns[s.conn] != nil {
		d.send(s.conn, wire.AppendLost(nil, wire.Header{Group: p.h.Group}, &wire.Lost{
			Session: session, Token: x.Token, Reason: wire.ReasonForced, Name: x.Name}))
	}
	l.holds = slices.DeleteFunc(l.holds, func(y dumbClaim) bool { return y.token == x.Token })
	l.turns = slices.DeleteFunc(l.turns, func(y dumbTurn) bool {
		if y.session != session {
			return false
		}
		d.reply(y.conn, wire.Header{Group: p.h.Group, Request: y.request},
			wire.Response{Status: wire.StatusNotHolder})
		return true
	})
	d.pump(g, l)
	return wire.Response{Status: wire.StatusOK}
}

package sim

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// overhearRenewal remembers when a keepalive of the client went out.
func (c *coreClient) overhearRenewal(h wire.Header) {
	if _, again := c.renewing[h.Request]; !again {
		c.renewing[h.Request] = c.w.agenda.Now()
	}
}

// listenSessions holds what a node says of sessions against the log, whether the client
// goes by it or not: one that is renewed, or opened, lives for its lease from the send, or
// for its grace if it is to be let go, and one that is said to be over is.
func (c *coreClient) listenSessions(h wire.Header, body []byte) {
	w := c.w
	switch h.Kind {
	case wire.KindSessionLost:
		if x, err := wire.DecodeSessionLost(body); err == nil {
			w.check(w.models[h.Group].ToldOver(x.Session))
		}
	case wire.KindKeepaliveAck:
		x, err := wire.DecodeKeepaliveAck(body)
		if err != nil {
			return
		}
		for i := range x.Len() {
			switch r := x.At(i); r.Code {
			case wire.CodeUnknown:
				w.check(w.models[r.Group].ToldOver(r.Session))
			case wire.CodeRenewed:
				c.lives(r.Group, r.Session, h.Request)
			}
		}
	case wire.KindResponse:
		x, err := wire.DecodeResponse(body)
		q := c.asked[h.Request]
		if err == nil && q != nil && q.Kind == wire.KindOpenSession && x.Status == wire.StatusOK {
			c.lives(q.Group, x.Token, h.Request)
		}
	}
}

// lives notes that a session was renewed by what the client sent as a request.
func (c *coreClient) lives(group uint16, session, request uint64) {
	sent, known := c.renewing[request]
	if !known {
		return
	}
	c.w.covered["core renewed"]++
	c.w.check(c.w.leases.Renewed(group, lockfsm.SessionID(session), int64(sent), int64(c.counts)))
}

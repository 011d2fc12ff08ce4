package client

import "lockd/netio/wire"

// The dumb cluster's sessions that are let go when their conn ends.

// letGo remembers with which conn.
func (d *dumbCluster) letGo(g *dumbGroup, conn int, h wire.Header, body []byte) {
	x, err := wire.DecodeLetGo(body)
	if err != nil {
		d.fail("%v", err)
	}
	if d.filter != nil {
		if s := d.filter(d.conns[conn], h, body); s != 0 {
			d.reply(conn, h, wire.Response{Status: s, RetryMillis: 20})
			return
		}
	}
	if s := g.sessions[x.Session]; s != nil && s.epoch <= x.Epoch {
		s.letBy, s.grace = conn, Instant(x.GraceMillis)*1e6
	}
	d.reply(conn, h, wire.Response{Status: wire.StatusOK})
}

// forgetGrace is what a change of the leader does.
func (g *dumbGroup) forgetGrace() {
	for _, s := range g.sessions {
		s.letBy = 0
	}
}

// shorten has the sessions end soon that are to be let go with a conn.
func (d *dumbCluster) shorten(conn int) {
	for _, g := range d.groups {
		for _, s := range g.sessions {
			if s.letBy == conn {
				s.letBy, s.dueAt = 0, min(s.dueAt, d.now+s.grace)
			}
		}
	}
}

package client

import (
	"fmt"
	"time"

	"lockd/netio/wire"
)

// A client that wants to be let go when its conn ends says so on every conn to which
// it attaches a group with a session. The nodes then end the session its grace after
// the conn, unless it is renewed before. The client renews often enough for that, and
// counts no more than the grace from the send of a renewal that was answered: so it
// knows first, whichever side sees the end of the conn first.

// pulse returns the time between two keepalives.
func (cfg *CoreConfig) pulse() time.Duration {
	d := cfg.Lease / 3
	if cfg.Beat > 0 {
		d = cfg.Beat
	}
	if cfg.Grace > 0 {
		d = min(d, cfg.Grace/3)
	}
	return d
}

// span returns what a renewal is worth, counted from its send. The nodes are told whole
// milliseconds.
func (cfg *CoreConfig) span() time.Duration {
	lease, grace := cfg.Lease.Truncate(time.Millisecond), cfg.Grace.Truncate(time.Millisecond)
	d := lessDrift(lease, cfg.Drift) - cfg.Margin
	if grace > 0 {
		d = min(d, lessDrift(grace, cfg.Drift)-min(cfg.Margin, grace/10))
	}
	return d
}

// tellGrace says on the conn of a live group that its session is to be let go.
func (c *Core) tellGrace(g *group) {
	if c.cfg.Grace == 0 || g.session.state != sessionOpen || g.session.telling != nil {
		return
	}
	x := &Call{Kind: wire.KindLetGo, Group: g.number, Session: g.session.id}
	g.session.telling = x
	c.startBackground(x)
}

// untold reports whether locks of a session have to wait until it is certain that it
// will be let go.
func (c *Core) untold(s *session) bool { return c.cfg.Grace > 0 && !s.told }

// appendLetGo writes a LetGo.
func (c *Core) appendLetGo(dst []byte, h wire.Header, x *Call) []byte {
	return wire.AppendLetGo(dst, h, &wire.LetGo{Session: x.Session, Epoch: c.groups[x.Group].epoch,
		GraceMillis: uint32(c.cfg.Grace / time.Millisecond)})
}

// onLetGo takes the answer to one.
func (c *Core) onLetGo(g *group, x *Call, r *wire.Response) {
	if r.Status == wire.StatusOK {
		c.onTold(g, x, nil)
		return
	}
	c.onTold(g, x, c.statusError(x, r.Status))
}

// onTold takes the answer to a LetGo, or with an error that there will be none.
func (c *Core) onTold(g *group, x *Call, err error) {
	c.end(x, nil)
	if g.session.telling != x {
		return // of an earlier session
	}
	g.session.telling = nil
	if err == nil {
		g.session.told = true
		g.dirty = true
		c.schedule(c.now)
		return
	}
	if g.session.told {
		return
	}
	for y := g.calls.head; y != nil; {
		next := y.next
		if y.needsSession() {
			c.end(y, fmt.Errorf("%w: ReleaseOnDisconnect", err))
		}
		y = next
	}
}

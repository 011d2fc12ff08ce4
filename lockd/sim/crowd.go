package sim

import (
	"encoding/binary"
	"fmt"

	"lockd/netio/wire"
)

// crowd is a great many sessions of one group behind one conn, each with a hold
// or a wait, that all end together (F-K3).
type crowd struct {
	w    *World
	conn *conn
	size int
	// next is the session to be opened next, flying how many answers are due.
	next, flying int
	sessions     []uint64
	asked        int // acquires that were answered, or wait
	names        []string
	beat         Time
	over         bool
}

// crowdEnds: a crowd falls silent. Its sessions must end within their lease, and
// nobody else may suffer: no leader is deposed (I29), and who is alive goes on
// being renewed (I33).
func (w *World) crowdEnds(*site) {
	leader := w.leaderOf(0)
	l := &w.opts.Node.Limits
	if leader == nil || l.Sessions < 1<<16 || l.Claims < 1<<16 || w.opts.Node.MaxInFlight < 1<<12 {
		w.covered["no room for a crowd"]++
		return
	}
	// A time step names all its sessions: a link that cannot hold a few breaks, as
	// no link of production would, whose queue holds the largest frame.
	c := &crowd{w: w, size: min(pick(w.dice.episode, 300, 1000, 2500), w.opts.QueueBytes/32)}
	for i := 0; len(c.names) < 16; i++ {
		name := fmt.Sprint("crowd/", i)
		if wire.GroupOf("", name, uint16(w.opts.Groups)) == 0 {
			c.names = append(c.names, name)
		}
	}
	const ranOut = "lease ran out beside a crowd"
	began, ran := w.agenda.Now(), w.covered[ranOut]
	// Who was renewed last before that was late already: a client that looks for a
	// leader asks one node every third of its lease.
	w.crowded = began - Time(w.opts.Lease)*millisecond/2
	defer func() { w.crowded = 0 }()
	if c.conn = w.openConn(c, leader); c.conn == nil {
		return
	}
	c.step()
	moved := func() bool { return c.asked < c.size && w.leaderOf(0) != leader }
	w.await("F-K3: a crowd of sessions stands", 60*second, func() string {
		if c.asked < c.size && c.conn != nil && !moved() {
			return fmt.Sprintf("%d of %d sessions, %d acquires", len(c.sessions), c.size, c.asked)
		}
		return ""
	})
	c.over = true
	if moved() {
		// The group went home, as planned, and the crowd does not follow it.
		w.covered["crowd left behind"]++
		w.undisturbed(began, nil, "while a crowd of sessions came")
		return
	}
	before := w.models[0].Size()
	w.covered["crowd of sessions"] += uint64(len(c.sessions))
	work := max(1, w.opts.Node.Limits.WorkPerApply)
	limit := Time(w.opts.Lease)*millisecond*11/10 + 3*Time(w.opts.Node.LogTick) + w.slowest() +
		Time(3*before/int(work)+4)*w.round() + w.failover()
	w.await("I31: a crowd of sessions has ended", limit, func() string {
		for _, s := range c.sessions {
			if w.models[0].Alive(s) {
				return fmt.Sprintf("session %d lives", s)
			}
		}
		return ""
	})
	w.undisturbed(began, nil, fmt.Sprintf("when %d sessions ended together", len(c.sessions)))
	if now := w.covered[ranOut]; now != ran && w.failure == nil && w.timely(c.size) {
		w.failf("I33: %d leases of living clients ran out while a crowd of %d sessions came and went",
			now-ran, len(c.sessions))
	}
}

// timely reports whether the lease of this world is long enough for a renewal to be
// answered behind those of a crowd: a client asks every third of it, the answer
// comes with a step of log time, and a step names as many sessions as fit.
func (w *World) timely(size int) bool {
	lease := Time(w.opts.Lease) * millisecond
	steps := Time(size/(w.opts.Node.MaxBatchBytes/2/8) + 2)
	answered := lease/3 + 60*millisecond + Time(w.opts.Node.LogTick)*11/10 + steps*w.round()
	return answered < lease*Time(1_000_000-2*w.opts.Drift)/1_000_000
}

func (c *crowd) reaches(*site) bool { return true }
func (c *crowd) awayUntil() Time    { return 0 }
func (c *crowd) lost(*conn)         { c.conn = nil }

// step sends what there is room for, and renews what stands.
func (c *crowd) step() {
	if c.over || c.conn == nil {
		return
	}
	room := min(32, max(1, c.w.opts.Node.MaxInFlight-1))
	for ; c.flying < room && c.next < c.size; c.flying++ {
		c.open(c.next)
		c.next++
	}
	if c.w.agenda.Now() >= c.beat {
		c.beat = c.w.agenda.Now() + Time(c.w.opts.Lease)*millisecond/4
		c.renew()
	}
	c.w.agenda.After(5*millisecond, c.step)
}

// open asks for session i. Its request is twice i, that of its acquire one more.
func (c *crowd) open(i int) {
	x := wire.OpenSession{Epoch: 1, LeaseMillis: uint32(c.w.opts.Lease), Name: []byte("crowd")}
	binary.LittleEndian.PutUint64(x.Nonce[:], uint64(i)+1)
	x.Nonce[15] = 0xcc
	c.conn.request(wire.AppendOpenSession(nil, wire.Header{Request: 2 * uint64(i+1)}, &x))
}

// acquire holds one of a few names for the first sessions and waits for them for
// the others.
func (c *crowd) acquire(i int, session uint64) {
	x := wire.Acquire{Session: session, Epoch: 1, Mode: wire.ModeEX,
		Name: []byte(c.names[i%len(c.names)])}
	h := wire.Header{Request: 2*uint64(i+1) + 1}
	if i%3 == 0 {
		h.Flags = wire.FlagWait
		c.asked++ // it may never be answered
		c.flying--
	}
	c.conn.request(wire.AppendAcquire(nil, h, &x))
}

// renew names all sessions, as many in one frame as it takes.
func (c *crowd) renew() {
	const most = 500
	for from := 0; from < len(c.sessions); from += most {
		var refs []wire.SessionRef
		for _, s := range c.sessions[from:min(from+most, len(c.sessions))] {
			refs = append(refs, wire.SessionRef{Session: s})
		}
		c.conn.request(wire.AppendKeepalive(nil, wire.Header{Request: 1<<40 + uint64(from)}, refs))
	}
}

func (c *crowd) hear(from *conn, frames []byte) {
	from.eachFrame(frames, func(h wire.Header, body []byte) {
		x, err := wire.DecodeResponse(body)
		if h.Kind != wire.KindResponse || err != nil || c.over || h.Request >= 1<<40 {
			return
		}
		i := int(h.Request/2) - 1
		switch {
		case h.Request%2 == 1 && i%3 == 0:
			// A waiter was let in, or its session ended.
		case x.Status == wire.StatusBusy && h.Request%2 == 0:
			c.w.agenda.After(50*millisecond, func() {
				if !c.over && c.conn != nil {
					c.open(i)
				}
			})
		case h.Request%2 == 0 && x.Status == wire.StatusOK:
			c.sessions = append(c.sessions, x.Token)
			c.acquire(i, x.Token)
		default:
			c.asked++
			c.flying--
		}
	})
}

package sim

import (
	"errors"
	"fmt"
	"slices"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/paxos"
	"lockd/wal/disk/simdisk"
)

// planFaults lets one thing go wrong after the other, until the world heals.
func (w *World) planFaults() {
	if w.opts.Faults == 0 {
		return
	}
	w.agenda.After(w.dice.faults.around(w.opts.FaultEvery), func() {
		if !w.healing {
			w.breakOne()
			w.planFaults()
		}
	})
}

// breakOne draws one fault of the classes that are on.
func (w *World) breakOne() {
	var on []Fault
	for f := Fault(1); f < faultEnd; f <<= 1 {
		if w.faulty(f) {
			on = append(on, f)
		}
	}
	d := w.dice.faults
	f := on[d.IntN(len(on))]
	s := w.sites[d.IntN(len(w.sites))]
	c := w.clients[d.IntN(len(w.clients))]
	w.note("fault", uint64(f), uint64(s.id), uint64(c.id))
	w.say("fault %v, node %d, client %d", f, s.id, c.id)
	w.covered["fault "+f.String()]++
	switch f {
	case FaultPower:
		w.powerOff(s)
	case FaultCrash:
		s.crash("between two events")
		w.restart(s)
	case FaultCrashInner:
		if s.proc != nil {
			s.proc.doomed = d.IntN(6)
		}
		w.restart(s)
	case FaultPause, FaultFreeze:
		w.pause(s, f)
	case FaultCut:
		w.cut()
	case FaultReset:
		w.reset(c)
	case FaultClog:
		w.clog()
	case FaultStall:
		s.stall(pick(d, d.length(10*millisecond, 3*w.election()), d.length(second, 30*second)))
	case FaultHang:
		w.hang(s)
	case FaultSilence, FaultStale:
		w.silence(c)
	case FaultDrain:
		w.drain(s)
	case FaultWipe:
		w.wipe(s)
	case FaultAll:
		for _, each := range w.sites {
			each.crash("with all others")
			w.restart(each)
		}
	case FaultError:
		if s.proc != nil {
			s.plan(d.between(1, 12), simdisk.ErrIO)
		}
	case FaultDamage:
		w.damage(s)
	case FaultFull:
		w.fill(s)
	case FaultRollback:
		w.copyAndRestore(s)
	case FaultFlap:
		w.flap()
	case FaultDeath:
		w.bury(c)
	case FaultMixed:
		w.install(s)
	case FaultLossy, FaultStore, FaultStorm, FaultDrift, FaultMember:
		// These are always at work while they are on.
	}
}

// powerOff takes the power from a site: at once, or at some operation of its disk.
func (w *World) powerOff(s *site) {
	if s.proc != nil && w.dice.faults.permille(400) {
		s.plan(w.dice.faults.between(1, 60), simdisk.ErrCut)
		return
	}
	s.crash("between two events")
	w.restart(s)
}

// restart starts a site again after a while; at once if everything is being healed and it
// has only now been told what it ran into before.
func (w *World) restart(s *site) {
	d := w.dice.faults
	away := pick(d, d.around(100*millisecond), d.around(3*second))
	if w.healing {
		away = millisecond
	}
	w.agenda.After(away, func() {
		if !s.lost || !w.healing {
			s.start()
		}
	})
}

// pause keeps turns from a process. A frozen one does not see time pass.
func (w *World) pause(s *site, f Fault) {
	d := w.dice.faults
	apart := d.permille(500)
	if leader := w.leaderOf(paxos.GroupID(d.IntN(w.opts.Groups))); apart && leader != nil {
		s = leader
	}
	if s.proc == nil || s.pausedUntil > w.agenda.Now() {
		return
	}
	length := pick(d, d.around(200*millisecond), d.around(3*w.election()), d.around(10*second))
	if apart {
		length = d.length(3*w.election()/2, w.patience())
	}
	s.pausedUntil = w.agenda.Now() + length
	s.troubled = s.pausedUntil
	if f == FaultFreeze {
		s.clock.freeze(w.agenda.Now(), s.pausedUntil)
	}
	if apart {
		w.leaveApart(s)
	}
}

// leaveApart has some clients of a node that is paused go elsewhere meanwhile, and
// others not. These ask it something last, and it hears of that before it hears
// what its peers did.
func (w *World) leaveApart(s *site) {
	d := w.dice.faults
	w.covered["peers heard last after a pause"]++
	late := s.pausedUntil + d.around(w.election()/4)
	for _, l := range w.links {
		if l.a == s || l.b == s {
			l.clog(l.side(s), late)
		}
	}
	for _, c := range slices.Clone(s.proc.conns) {
		if d.permille(500) {
			c.reset()
		}
	}
	w.agenda.At(s.pausedUntil-d.length(0, 10*w.opts.Latency), func() {
		for _, c := range w.clients {
			c.askAt(s)
		}
	})
}

// clog lets a lane, or a conn of a client, stand still and then deliver all at
// once.
func (w *World) clog() {
	d := w.dice.faults
	if len(w.links) == 0 || d.permille(500) {
		w.clogConn()
		return
	}
	l, side := w.links[d.IntN(len(w.links))], d.IntN(2)
	l.clog(side, w.agenda.Now()+d.around(w.election()))
}

// clogConn lets a conn stand still, each way for a time of its own: what a client
// says may be late, or what it is told, and then count for less.
func (w *World) clogConn() {
	var conns []*conn
	for _, s := range w.sites {
		if s.proc != nil {
			conns = append(conns, s.proc.conns...)
		}
	}
	if len(conns) == 0 {
		return
	}
	conns[w.dice.faults.IntN(len(conns))].clog()
}

// reset breaks a link, or conns of a client.
func (w *World) reset(c *client) {
	d := w.dice.faults
	if len(w.links) > 0 && d.permille(500) {
		w.links[d.IntN(len(w.links))].breakOff(node.DownReset)
		return
	}
	for _, conn := range c.conns {
		if conn != nil && d.permille(700) {
			conn.reset()
		}
	}
}

// silence stops a client for longer than its lease, or lets it give up a conn
// on which frames are on their way.
func (w *World) silence(c *client) {
	d := w.dice.faults
	if c.dead() {
		return
	}
	if w.faulty(FaultSilence) && d.permille(500) {
		lease := Time(w.opts.Lease) * millisecond
		until := w.agenda.Now() + d.length(lease/4, 3*lease)
		if len(w.cores) > 0 && d.permille(500) {
			w.cores[d.IntN(len(w.cores))].away = until
			w.covered["core paused"]++
			return
		}
		c.pausedUntil = until
		return
	}
	for _, conn := range c.conns {
		if conn != nil && c.pausedUntil <= w.agenda.Now() {
			conn.giveUp()
			c.lost(conn)
		}
	}
}

// drain gives a node's leaderships away to stop it, and restarts it, as an upgrade does.
func (w *World) drain(s *site) {
	p := s.proc
	if p == nil {
		return
	}
	p.inbox.Drain(node.DrainToStop, nil)
	p.stopping = true // or soon
	p.wake()
	w.agenda.After(w.dice.faults.length(100*millisecond, 3*second), func() {
		if p.alive {
			s.crash("after draining")
			w.restart(s)
		}
	})
}

// bury ends a client for good, with all it holds and waits for. Its conns say
// nothing any more and are closed by nobody. One client is left.
func (w *World) bury(c *client) {
	alive := 0
	for _, other := range w.clients {
		if !other.dead() {
			alive++
		}
	}
	if alive > 1 && !c.dead() {
		c.pausedUntil = never
		w.covered["client died"]++
	}
}

// install puts a newer or an older build in the place of the one that runs at a
// site: neighbours one version apart work together (I27).
func (w *World) install(s *site) {
	s.build(w.dice.faults)
	s.crash("to be upgraded")
	w.restart(s)
}

// build draws which build a site has.
func (s *site) build(d dice) {
	s.format = lockfsm.FormatFirst + uint8(d.IntN(lockfsm.FormatLatest))
	s.w.covered[fmt.Sprint("build of format ", s.format)]++
}

// tooOld reports whether a node stopped because the cluster uses what its build
// does not know, as it does once all nodes have been seen to know it. Then it gets
// the newest.
func (s *site) tooOld(err error) bool {
	if s.format == 0 || !errors.Is(err, lockfsm.ErrTooNew) {
		return false
	}
	s.format = 0
	s.w.covered["older build stopped"]++
	return true
}

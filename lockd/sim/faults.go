package sim

import (
	"encoding/binary"
	"strconv"
	"strings"

	"lockd/lockd/node"
	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// planFaults lets one thing go wrong after the other, until the world heals.
func (w *World) planFaults() {
	if w.opts.Faults == 0 {
		return
	}
	w.agenda.after(w.dice.faults.around(w.opts.FaultEvery), func() {
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
	case FaultCrash, FaultPower:
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
		s.stalledUntil = w.agenda.now + d.length(10*millisecond, 3*w.election())
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
	case FaultLossy, FaultStore:
		// These are always at work while they are on.
	}
}

// restart starts a site again after a while.
func (w *World) restart(s *site) {
	d := w.dice.faults
	w.agenda.after(pick(d, d.around(100*millisecond), d.around(3*second)), func() {
		if !s.lost || !w.healing {
			s.start()
		}
	})
}

// pause keeps turns from a process. A frozen one does not see time pass.
func (w *World) pause(s *site, f Fault) {
	d := w.dice.faults
	if s.proc == nil || s.pausedUntil > w.agenda.now {
		return
	}
	length := pick(d, d.around(200*millisecond), d.around(3*w.election()), d.around(10*second))
	s.pausedUntil = w.agenda.now + length
	if f == FaultFreeze {
		s.clock.freeze(w.agenda.now, s.pausedUntil)
	}
}

// cut cuts lanes by one of the known shapes, and mends them later.
func (w *World) cut() {
	d := w.dice.faults
	if len(w.links) == 0 {
		return
	}
	lone := w.sites[d.IntN(len(w.sites))]
	var lanes []*lane
	shape := d.IntN(5)
	for _, l := range w.links {
		for side := range l.lanes {
			cut := false
			switch shape {
			case 0: // one node alone
				cut = l.a == lone || l.b == lone
			case 1: // one node hears nothing
				cut = l.site(side) == lone
			case 2: // one node is not heard
				cut = l.site(1-side) == lone
			case 3: // any directed graph
				cut = d.permille(400)
			default: // two halves, by number
				cut = (l.a.id%2 == 0) != (l.b.id%2 == 0)
			}
			if cut {
				lanes = append(lanes, &l.lanes[side])
				l.lanes[side].cut = true
			}
		}
	}
	w.agenda.after(pick(d, d.around(second), d.around(3*w.election()), d.around(8*second)), func() {
		for _, ln := range lanes {
			ln.cut = false
		}
		w.releaseAll()
	})
	// A link that carries nothing for long is given up by its ends.
	w.agenda.after(d.length(w.election(), 4*w.election()), func() {
		for _, l := range w.links {
			if l.lanes[0].cut || l.lanes[1].cut {
				l.breakOff(node.DownTimeout)
			}
		}
	})
	if d.permille(300) {
		c := w.clients[d.IntN(len(w.clients))]
		c.cutFrom = w.sites[d.IntN(len(w.sites))].id
		w.agenda.after(d.around(3*second), func() { c.cutFrom = 0 })
	}
}

func (w *World) releaseAll() {
	for _, l := range w.links {
		l.release(0)
		l.release(1)
	}
}

// clog lets a lane stand still, and then deliver all at once.
func (w *World) clog() {
	d := w.dice.faults
	if len(w.links) == 0 {
		return
	}
	l, side := w.links[d.IntN(len(w.links))], d.IntN(2)
	until := w.agenda.now + d.around(w.election())
	l.lanes[side].clog = until
	w.agenda.at(until, func() { l.release(side) })
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
	if w.faulty(FaultSilence) && d.permille(500) {
		lease := Time(w.opts.Lease) * millisecond
		c.pausedUntil = w.agenda.now + d.length(lease/4, 3*lease)
		return
	}
	for _, conn := range c.conns {
		if conn != nil && c.pausedUntil <= w.agenda.now {
			conn.giveUp()
			c.lost(conn)
		}
	}
}

// drain gives a node's leaderships away and restarts it, as an upgrade does.
func (w *World) drain(s *site) {
	p := s.proc
	if p == nil {
		return
	}
	p.inbox.Drain()
	p.wake()
	w.agenda.after(w.dice.faults.length(100*millisecond, 3*second), func() {
		if p.alive {
			s.crash("after draining")
			w.restart(s)
		}
	})
}

// wipe empties one directory, within what a cluster is to survive: one of three
// or more, and only once the cluster is born.
func (w *World) wipe(s *site) {
	if w.mayLoseOne() {
		s.crash("to be wiped")
		s.wipe()
		w.restart(s)
	}
}

// mayLoseOne reports whether the cluster is to survive the loss of a disk.
func (w *World) mayLoseOne() bool {
	if len(w.sites) < 3 {
		return false
	}
	for _, each := range w.sites {
		if each.lost || each.damaged || !each.born() {
			return false
		}
	}
	return true
}

// damage flips a bit in a batch that was synced long ago.
func (w *World) damage(s *site) {
	if !w.mayLoseOne() {
		return
	}
	var places []damagePlace
	for _, name := range s.drive.Names() {
		places = append(places, s.oldBatches(name)...)
	}
	if len(places) == 0 {
		return
	}
	place := places[w.dice.faults.IntN(len(places))]
	s.crash("to be damaged")
	s.damaged = true
	w.covered["batch damaged"]++
	place.data[place.off+w.dice.faults.IntN(88)] ^= 1 << w.dice.faults.IntN(8)
	w.restart(s)
}

// damagePlace is the start of a batch on a disk.
type damagePlace struct {
	data []byte
	off  int
}

// oldBatches finds the batches of a segment which a later batch of the same
// segment calls durable. Damage to others could pass for a torn write. It reads
// the format by its description, not by the code that writes it.
func (s *site) oldBatches(name string) (places []damagePlace) {
	hex, ok := strings.CutSuffix(name, ".wal")
	number, err := strconv.ParseUint(hex, 16, 64)
	if !ok || err != nil {
		return nil
	}
	le := binary.LittleEndian
	data := s.drive.Content(name)
	durable := uint64(0)
	for off := len(data) - disk.AlignBytes; off >= disk.AlignBytes; off -= disk.AlignBytes {
		b := data[off:]
		if string(b[:4]) != "LDBH" || le.Uint64(b[8:]) != number {
			continue
		}
		if last := le.Uint64(b[16:]) + uint64(le.Uint32(b[44:])); last <= durable+1 {
			places = append(places, damagePlace{data, off})
		}
		durable = max(durable, le.Uint64(b[24:]))
	}
	return places
}

// born reports whether the directory says that the cluster is born.
func (s *site) born() bool {
	id, err := node.DecodeIdentity(s.drive.Content(identityName))
	return err == nil && id.Born
}

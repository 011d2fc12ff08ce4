package sim

import (
	"fmt"

	"lockd/lockd/node"
	"lockd/paxos"
)

// shape is a way in which a network is cut: it says which lanes carry nothing.
type shape struct {
	name string
	cuts func(from, to *site) bool
}

// drawShape draws one of the known shapes. Those named in the literature leave
// one node at the hub to which all others still have a link: in the first it
// keeps all its links, in the second a node beside it has none at all, and in a
// chain everybody talks to the next one only.
func (w *World) drawShape(d dice) shape {
	lone, hub := w.sites[d.IntN(len(w.sites))], w.sites[d.IntN(len(w.sites))]
	switch d.IntN(9) {
	case 0:
		return shape{"alone", func(a, b *site) bool { return a == lone || b == lone }}
	case 1:
		return shape{"deaf", func(_, b *site) bool { return b == lone }}
	case 2:
		return shape{"mute", func(a, _ *site) bool { return a == lone }}
	case 3:
		return shape{"halves", func(a, b *site) bool { return a.id%2 != b.id%2 }}
	case 4:
		return shape{"quorum loss", func(a, b *site) bool { return a != hub && b != hub }}
	case 5:
		return shape{"constrained", func(a, b *site) bool {
			return a != hub && b != hub || a == lone || b == lone
		}}
	case 6:
		return shape{"chained", func(a, b *site) bool { return max(a.id, b.id)-min(a.id, b.id) > 1 }}
	case 7:
		return shape{"one link", func(a, b *site) bool {
			return a == lone && b == hub || a == hub && b == lone
		}}
	default:
		return w.graphShape(d.IntN(1 << 30))
	}
}

// graphShape is a directed graph by number. Three nodes have 64, by the six low
// bits; of larger clusters each lane is cut or not, by odds that differ.
func (w *World) graphShape(number int) shape {
	name := "graph"
	if len(w.sites) == 3 {
		number %= graphs
		name = fmt.Sprint("graph ", number)
	}
	return shape{name, func(a, b *site) bool {
		lane := (int(a.id)-1)*len(w.sites) + int(b.id) - 1
		if len(w.sites) == 3 {
			return number>>laneOfThree(a.id, b.id)&1 == 1
		}
		odds := 100 * (1 + number%5)
		return newDice(uint64(number), fmt.Sprint("lane ", lane)).permille(odds)
	}}
}

// graphs is the number of directed graphs of three nodes.
const graphs = 64

// laneOfThree numbers the six lanes between three nodes.
func laneOfThree(from, to uint16) int {
	n := 2*(int(from)-1) + int(to) - 1
	if to > from {
		n--
	}
	return n
}

// impose cuts the lanes of a shape and returns them.
func (w *World) impose(s shape) []*lane {
	w.say("the network takes the shape %q", s.name)
	w.covered["shape "+s.name]++
	var lanes []*lane
	for _, l := range w.links {
		for side := range l.lanes {
			if s.cuts(l.site(1-side), l.site(side)) {
				l.lanes[side].cut = true
				lanes = append(lanes, &l.lanes[side])
			}
		}
	}
	return lanes
}

// mend takes cuts back.
func (w *World) mend(lanes []*lane) {
	for _, ln := range lanes {
		ln.cut = false
	}
	w.releaseAll()
}

// breakCut breaks the links of which a lane is cut, as their ends do that hear
// nothing.
func (w *World) breakCut(why node.DownCause) {
	for _, l := range w.links {
		if l.lanes[0].cut || l.lanes[1].cut {
			l.breakOff(why)
		}
	}
}

// progresses reports whether some node of a group has working two-way links to a
// quorum of it (G8). Nodes that do not run count for nothing.
func (w *World) progresses(g paxos.GroupID) bool {
	var seats []*site
	for _, s := range w.sites {
		if w.accepts(g, s) {
			seats = append(seats, s)
		}
	}
	for _, s := range seats {
		heard := 0
		for _, other := range seats {
			if s.proc == nil || other.proc == nil {
				continue
			}
			if l := w.link(s.id, other.id); l == nil || !l.lanes[0].cut && !l.lanes[1].cut {
				heard++
			}
		}
		if heard >= len(seats)/2+1 {
			return true
		}
	}
	return false
}

// cut cuts the network in some shape, and mends it later.
func (w *World) cut() {
	d := w.dice.faults
	if len(w.links) == 0 {
		return
	}
	if d.permille(250) {
		w.isolate(d)
		return
	}
	lanes := w.impose(w.drawShape(d))
	w.agenda.After(pick(d, d.around(second), d.around(3*w.election()), d.around(8*second)), func() {
		w.mend(lanes)
	})
	// A link that carries nothing for long is given up by its ends.
	w.agenda.After(d.length(w.election(), 4*w.election()), func() { w.breakCut(node.DownTimeout) })
	if d.permille(300) {
		c := w.clients[d.IntN(len(w.clients))]
		c.cutFrom = w.sites[d.IntN(len(w.sites))].id
		w.agenda.After(d.around(3*second), func() { c.cutFrom = 0 })
	}
}

// isolate cuts the leader of a group off from its peers. Their links break at
// once, so that a successor need not wait, and the leader does not know yet, or
// stands still. Some clients still reach it, the others all nodes but this one.
func (w *World) isolate(d dice) {
	lone := w.leaderOf(paxos.GroupID(d.IntN(w.opts.Groups)))
	if lone == nil {
		return
	}
	lanes := w.impose(shape{"leader apart", func(a, b *site) bool { return a == lone || b == lone }})
	w.breakCut(node.DownReset)
	var apart []*client
	for _, c := range w.clients {
		if c.cutFrom != 0 || d.permille(500) {
			continue
		}
		apart = append(apart, c)
		c.cutFrom = lone.id
		if conn := c.conns[lone.id-1]; conn != nil {
			conn.reset()
		}
	}
	length := d.length(w.election()/2, 2*w.election())
	if d.permille(500) && lone.pausedUntil <= w.agenda.Now() {
		// It stands still meanwhile, and wakes before it hears of anything.
		lone.pausedUntil = w.agenda.Now() + length
		lone.troubled = lone.pausedUntil
	}
	w.agenda.After(length+d.length(0, w.election()), func() {
		w.mend(lanes)
		for _, c := range apart {
			c.cutFrom = 0
		}
	})
}

func (w *World) releaseAll() {
	for _, l := range w.links {
		l.release(0)
		l.release(1)
	}
}

// flap breaks one link again and again.
func (w *World) flap() {
	d := w.dice.faults
	if len(w.links) == 0 {
		return
	}
	l := w.links[d.IntN(len(w.links))]
	w.flapping(l, w.agenda.Now()+d.length(w.election(), 10*w.election()))
}

// flapping breaks a link until a moment, or until all is healed.
func (w *World) flapping(l *link, until Time) {
	l.flaps = until
	l.breakOff(pick(w.dice.faults, node.DownReset, node.DownTimeout))
	if w.agenda.Now() < until {
		w.agenda.After(w.dice.faults.length(20*millisecond, 600*millisecond), func() {
			if l.flaps == until {
				w.flapping(l, until)
			}
		})
	}
}

package sim

import (
	"errors"
	"fmt"
	"slices"

	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/paxos"
)

// operator changes of what nodes the cluster is made, one change at a time, by
// asking whichever node it reaches: it adds spare ones, removes some or has them
// stay after all, and gives new disks to those that have lost theirs or lets them
// go (F-M1, F-M2). It moves groups to other leaders, and drains nodes and lets them
// lead again. It has no idea how far an earlier change has got.
type operator struct {
	w *World
	// asked is what an answer is due to, and until when it is waited for.
	asked *placement.Change
	until Time
}

// operate lets the operator do one thing after the other, faster where each group is on
// one node only, so that groups go to and fro.
func (o *operator) operate() {
	every := 1300 * millisecond
	if o.w.opts.Node.Replicas == 1 {
		every /= 3
	}
	o.w.agenda.After(o.w.dice.operator.around(every), func() {
		if o.w.faulty(FaultMember) && (o.asked == nil || o.w.agenda.Now() >= o.until) {
			o.buryLost()
			o.act()
		}
		o.operate()
	})
}

// act asks for one change.
func (o *operator) act() {
	w, d := o.w, o.w.dice.operator
	s := w.sites[d.IntN(len(w.sites))]
	switch n := d.IntN(100); {
	case n < 25:
		o.ask(s, &placement.Change{Kind: placement.Move, Node: paxos.NodeID(s.id),
			Group: paxos.GroupID(d.IntN(w.opts.Groups))})
		return
	case n < 40:
		o.drain(s)
		return
	}
	members := 0
	for _, each := range w.sites {
		if !each.out {
			members++
		}
	}
	c := &placement.Change{Node: paxos.NodeID(s.id)}
	switch {
	case s.removed, !w.born():
		return
	case s.out:
		c.Kind, c.Peer, c.Client = placement.Add, fmt.Sprint("peer ", s.id), fmt.Sprint(s.id)
		if d.permille(500) {
			s.out = false
			s.start() // before anybody has invited it
		}
	case s.lost && members > w.opts.Node.Replicas && d.permille(500):
		c.Kind = placement.Remove
		s.crash("for good")
		s.halted, s.leaving = true, true
	case s.lost:
		c.Kind = placement.Replace
		s.crash("to be replaced")
		s.halted = true
	case s.leaving && !s.bad() && d.permille(400):
		c.Kind = placement.Keep
	case members > w.opts.Node.Replicas && !s.bad():
		c.Kind = placement.Remove
		s.leaving = true
	default:
		return
	}
	o.ask(s, c)
}

// buryLost lets go of the nodes that lost their disks and that the cluster has
// removed: nothing runs there that could hear of it.
func (o *operator) buryLost() {
	r := o.w.record()
	for _, s := range o.w.sites {
		if !s.lost || !s.leaving || s.out || s.proc != nil || r == nil {
			continue
		}
		if n := r.Node(paxos.NodeID(s.id)); n != nil && n.State == placement.Gone {
			s.letGo()
		}
	}
}

// ask puts a change to a node that runs.
func (o *operator) ask(s *site, c *placement.Change) {
	w := o.w
	at := w.sites[w.dice.operator.IntN(len(w.sites))].proc
	if at == nil {
		return
	}
	w.note("change", uint64(c.Kind), uint64(c.Node), uint64(at.site.id))
	w.say("operator asks node %d: %v node %d", at.site.id, c.Kind, c.Node)
	o.asked, o.until = c, w.agenda.Now()+10*second
	at.inbox.Change(*c, func(err error) {
		w.say("operator hears of %v node %d: %v", c.Kind, c.Node, err)
		if o.asked == c {
			o.asked = nil
		}
		if err == nil || errors.Is(err, placement.ErrNoChange) {
			o.made(s, c)
		} else {
			w.covered["change not made"]++
		}
	})
	at.wake()
}

// keepAfterAll has a node stay, at times, that is to be removed and that a group has just
// left: it comes back, or another does, to a disk that has forgotten it.
func (o *operator) keepAfterAll(s *site) {
	d := o.w.dice.operator
	if !s.leaving || !o.w.faulty(FaultMember) || !d.permille(600) {
		return
	}
	o.w.agenda.After(d.around(200*millisecond), func() {
		if o.w.faulty(FaultMember) && s.leaving && !s.bad() && !s.removed {
			o.ask(s, &placement.Change{Kind: placement.Keep, Node: paxos.NodeID(s.id)})
		}
	})
}

// drain has a node lead nothing, or lead again what falls to it.
func (o *operator) drain(s *site) {
	w, p := o.w, s.proc
	if p == nil {
		return
	}
	to, what := node.DrainAside, "node drained"
	if p.aside {
		to, what = node.NotDraining, "node leads again"
	}
	w.note("drain", uint64(to), uint64(s.id))
	w.say("operator asks node %d: %s", s.id, what)
	p.inbox.Drain(to, func(err error) {
		if err != nil {
			what = "drain refused"
		} else {
			p.aside = to == node.DrainAside
		}
		w.covered[what]++
	})
	p.wake()
}

// made acts on a change that was made.
func (o *operator) made(s *site, c *placement.Change) {
	w := o.w
	w.covered["change made: "+c.Kind.String()]++
	switch c.Kind {
	case placement.Remove:
		if s.lost {
			w.covered["lost node removed"]++
		}
	case placement.Add:
		w.agenda.After(w.dice.operator.around(second), func() {
			s.out = false
			s.start()
		})
	case placement.Replace:
		if !s.lost {
			return
		}
		// The new disk is an empty one.
		w.agenda.After(w.dice.operator.around(second), func() {
			if s.lost && s.proc == nil {
				s.wipe()
				s.lost, s.halted, s.renewed = false, false, true
				s.start()
			}
		})
	}
}

// letGo notes that the cluster has removed a node, and that nothing runs there.
func (s *site) letGo() {
	s.out, s.removed, s.halted = true, true, true
}

// number gives a disk its place in the sets of the checkers.
func (w *World) number(d paxos.DiskID) int {
	n, ok := w.disks[d]
	if !ok {
		n = len(w.disks)
		w.disks[d] = n
		if n >= check.MaxDisks {
			w.failf("sim: more than %d disks in one world", check.MaxDisks)
		}
	}
	return n
}

func (w *World) diskSet(acceptors []paxos.Acceptor) check.Disks {
	var set check.Disks
	for _, a := range acceptors {
		set |= 1 << w.number(a.Disk)
	}
	return set
}

// birth tells the checkers where groups began, as soon as some directory says.
func (w *World) birth() {
	for _, s := range w.sites {
		id, err := node.DecodeIdentity(s.drive.Content(identityName))
		if err != nil || id.Birth == nil {
			continue
		}
		for g := range w.opts.Groups {
			home, _ := id.Birth.Home(paxos.GroupID(g))
			w.check(w.chosen.Configure(paxos.GroupID(g), 1, w.diskSet(home)))
			w.noteNamed(paxos.GroupID(g), &paxos.Configuration{Acceptors: home})
		}
		w.configured = true
		return
	}
}

// seats tells the checkers who accepts from which slot on, when a slot says so.
func (w *World) seats(g paxos.GroupID, e *paxos.Entry, c *lockfsm.Command, r *lockfsm.Result) {
	slot := e.Slot
	if c.Op != lockfsm.OpWrite || r.Code != lockfsm.CodeOK || string(c.Name) != registerSeats {
		return
	}
	from := slot + paxos.Slot(w.opts.Node.Window)
	s, err := placement.DecodeSeats(c.Value, from)
	if err != nil {
		w.failf("I5: group %d slot %d: seats: %v", g, slot, err)
		return
	}
	w.covered["seats changed"]++
	before := w.chosen.Seats(g)
	w.check(w.chosen.Configure(g, from, w.diskSet(s.Now.Acceptors)))
	w.observers[g] = s.Now.Observers
	w.noteNamed(g, &s.Now)
	for _, a := range s.Now.Acceptors {
		if before&(1<<w.number(a.Disk)) == 0 {
			w.caughtUp(g, e, a, paxos.Slot(c.Token))
		}
	}
	w.stallLeavers(before &^ w.chosen.Seats(g))
}

// accepts reports whether a site is an acceptor of a group's newest seats, and seated
// whether they name it at all.
func (w *World) accepts(g paxos.GroupID, s *site) bool {
	return s.number >= 0 && w.chosen.Seats(g)&(1<<s.number) != 0
}

func (w *World) seated(g paxos.GroupID, s *site) bool {
	return w.accepts(g, s) || slices.Contains(w.observers[g], paxos.NodeID(s.id))
}

// stallLeavers has the disks of some who accept no longer stand still, so that much waits
// to be written when the group leaves them.
func (w *World) stallLeavers(leaving check.Disks) {
	for _, s := range w.sites {
		if d := w.dice.disk; s.proc != nil && s.number >= 0 && leaving&(1<<s.number) != 0 &&
			w.faulty(FaultStall) && d.permille(400) {
			w.covered["disk of a leaver stalled"]++
			s.stall(d.length(second, 6*second))
		}
	}
}

// leftBehind checks of a group that a node keeps no longer that those who accept now
// can do without the node.
func (w *World) leftBehind(s *site, g paxos.GroupID) {
	if s.bad() {
		return
	}
	w.covered["group left a node"]++
	w.check(w.chosen.LetGo(g, s.number, func(disk int, last paxos.Slot) bool {
		for _, each := range w.sites {
			if each.number == disk && !each.bad() {
				return each.disk.Holds(g, last)
			}
		}
		// A disk that was lost since, within the budget, had said that it does.
		return true
	}))
}

// bound checks of a group that came back to a node that it is bound by what the
// node has promised for it (I3).
func (p *process) bound(g paxos.GroupID) {
	p.node.ForEachGroup(func(v node.GroupView) {
		if v.ID == g {
			p.w.check(p.site.disk.Bound(g, v.Replica.Promised()))
		}
	})
}

// allHome wants every group at home, if all who are to keep it can.
func (w *World) allHome() string {
	r := w.record()
	if r == nil {
		return "no record"
	}
	for g := range w.opts.Groups {
		home, known := r.Home(paxos.GroupID(g))
		for _, a := range home {
			s := w.sites[a.Node-1]
			known = known && s.proc != nil && !s.bad()
		}
		if have := w.chosen.Seats(paxos.GroupID(g)); known && have != w.diskSet(home) {
			return fmt.Sprintf("group %d is kept by disks %b, its home is %b", g, have, w.diskSet(home))
		}
	}
	return ""
}

// record is the newest record of the cluster that a sound directory has, nil if
// there is none.
func (w *World) record() *placement.Record {
	var r *placement.Record
	version := uint64(0)
	for _, s := range w.sites {
		id, err := node.DecodeIdentity(s.drive.Content(identityName))
		if err == nil && id.Record != nil && (r == nil || id.Version > version) && !s.lost {
			r, version = id.Record, id.Version
		}
	}
	return r
}

package sim

import (
	"fmt"
	"slices"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/paxos"
	"lockd/wal"
)

// heal ends all faults and then waits for what must become right: within four
// election timeouts every group is led (I28), everything pending ends, the
// machines are equal (I32), and what clients left behind passes on (I31).
func (w *World) heal() {
	if w.failure != nil {
		return
	}
	w.say("healing")
	w.healing = true
	for _, l := range w.links {
		l.lanes[0].cut, l.lanes[1].cut = false, false
		l.lanes[0].clog, l.lanes[1].clog, l.flaps = 0, 0, 0
	}
	w.releaseAll()
	w.upgradeAll()
	for _, s := range w.sites {
		s.pausedUntil, s.stalledUntil = min(s.pausedUntil, w.agenda.Now()), 0
		s.mend()
		s.free()
		s.unstick()
		s.clock.wake(w.agenda.Now())
		if s.proc != nil && s.proc.doomed >= 0 {
			s.proc.doomed = -1
		}
		if s.proc != nil && s.proc.node != nil && s.stops() {
			s.crash("to end its stopping")
		}
		if !s.lost {
			s.start()
		}
		s.proc.rouse()
	}
	for _, c := range w.clients {
		if !c.dead() {
			c.pausedUntil = min(c.pausedUntil, w.agenda.Now())
		}
		c.cutFrom = 0
	}
	for _, c := range w.cores {
		c.away, c.muted = min(c.away, w.agenda.Now()), 0
	}
	began := w.agenda.Now()
	limit := w.failover()
	if !w.born() {
		limit += second
	}
	if w.snapshotsFirst() {
		// Whoever is to lead has to catch up first, chunk by chunk.
		w.covered["healing begins with snapshots"]++
		limit += 5 * second
	}
	w.await("I28: every group led", limit, w.allLed)
	if w.born() {
		w.await("I32: every group at home", 90*second, w.allHome)
	}
	w.liveness()
	w.crossAll()
	w.part()
	w.await("I32: everything pending ended", 40*second, w.allGone)
	w.await("I31: what was left behind passed on",
		Time(w.opts.Lease)*millisecond+20*second, w.allFree)
	w.judgeWatchers()
	w.await("I32: machines equal", 30*second, w.allEqual)
	if w.failure == nil {
		w.bounded()
		w.note("healed", uint64(w.agenda.Now()-began))
	}
}

// rouse gives a process its turn, and what its conns hold back. Another turn may be
// planned for when its pause would have ended.
func (p *process) rouse() {
	if p == nil {
		return
	}
	p.waking = false
	p.wake()
	for _, c := range p.conns {
		c.unclog()
	}
}

// snapshotsFirst reports whether there is a group of which too few acceptors run
// that have what no log has any more. An observer that has it leads nobody.
func (w *World) snapshotsFirst() bool {
	if !w.configured {
		return true
	}
	applied := make([]map[int]paxos.Slot, w.opts.Groups) // by disk
	needed := make([]paxos.Slot, w.opts.Groups)
	for _, s := range w.sites {
		if s.proc == nil || s.number < 0 {
			continue
		}
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			if applied[g.ID] == nil {
				applied[g.ID] = make(map[int]paxos.Slot)
			}
			applied[g.ID][s.number] = paxos.Slot(g.Machine.Applied())
			needed[g.ID] = max(needed[g.ID], g.Replica.Status().Lowest-1)
		})
	}
	for g, at := range applied {
		var ready []int
		for disk, slot := range at { // order: it is a set
			if slot >= needed[g] {
				ready = append(ready, disk)
			}
		}
		if !w.chosen.Survives(paxos.GroupID(g), ready) {
			return true
		}
	}
	return false
}

// part has all clients give back what they have, but one, which dies.
func (w *World) part() {
	if w.failure != nil {
		return
	}
	dying := w.clients[w.dice.episode.IntN(len(w.clients))]
	if !dying.dead() && w.calm() {
		dying.pausedUntil = never
		for _, m := range dying.groups {
			w.mustPass(m.group, lockfsm.SessionID(m.session))
		}
	}
	for _, c := range w.clients {
		c.leaving = true
	}
	for _, c := range w.cores {
		c.leaving = true
	}
}

// mustPass has it checked that what a session holds, whose client has just died,
// passes on within the session lease and two beats of log time, and a failover
// if there is one (G7, I31).
func (w *World) mustPass(group uint16, session lockfsm.SessionID) {
	if session == 0 {
		return
	}
	if !w.current(group) {
		// The log waits for a replica that needs a snapshot first.
		w.covered["death not timed"]++
		return
	}
	slowest := Time(1_000_000 - w.opts.Drift)
	lease := Time(w.opts.Lease) * millisecond * 1_000_000 / slowest
	beats := 2 * Time(w.opts.Node.LogTick) * 1_000_000 / slowest
	// A renewal may be on its way, and the end be on its way to the log. A
	// machine that does little in one slot needs a slot for each thing to end.
	limit := w.slowest() + lease + beats + w.round()
	if work := w.opts.Node.Limits.WorkPerApply; work < 100 {
		limit += Time(w.models[group].Size()) * w.round()
	}
	moves, served := w.moves, w.served(group)
	w.agenda.After(limit, func() {
		if w.moves == moves && served {
			w.passed(group, session, limit)
			return
		}
		w.agenda.After(w.failover(), func() { w.passed(group, session, limit+w.failover()) })
	})
}

// served reports whether a group has a leader that takes commands, and none is on
// its way into the log: a leader that took the group over may have to see to many
// slots first, one that hands it over takes none until that has worked, or failed
// after an election timeout, and renewals may have waited for a disk or a link.
func (w *World) served(group uint16) bool {
	serves := false
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			st := g.Replica.Status()
			serves = serves || g.ID == paxos.GroupID(group) && g.Leading && st.Serving &&
				st.Last == st.Chosen
		})
	}
	return serves
}

// current reports whether a quorum of a group's replicas has what is chosen, but
// for what is on its way.
func (w *World) current(group uint16) bool {
	var at []paxos.Slot
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			if uint16(g.ID) == group {
				at = append(at, paxos.Slot(g.Machine.Applied()))
			}
		})
	}
	slices.Sort(at)
	k := len(at) - (w.opts.Node.Replicas/2 + 1)
	return k >= 0 && at[k]+paxos.Slot(w.opts.Node.Window) >= at[len(at)-1]
}

func (w *World) passed(group uint16, session lockfsm.SessionID, limit Time) {
	w.covered["session of a dead client checked"]++
	if w.models[group].Holds(session) {
		w.failf("I31: session %d of group %d, whose client died %.3f s ago, has not ended", session,
			group, float64(limit)/1e9)
	}
}

// await lets the world run until done, which says what is still missing.
func (w *World) await(what string, limit Time, missing func() string) {
	until := w.agenda.Now() + limit
	for w.failure == nil {
		lack := missing()
		if lack == "" {
			return
		}
		if w.agenda.Now() >= until {
			w.failf("%s: not within %.1f s: %s", what, float64(limit)/1e9, lack)
			return
		}
		stop := min(until, w.agenda.Now()+20*millisecond)
		for w.failure == nil && w.agenda.Next(stop) {
		}
	}
}

// stops reports whether the node that runs here gives everything away because it is
// to stop. One that an operator drains is left alone: the cluster is to be well all
// the same.
func (s *site) stops() bool {
	st := s.proc.node.Status()
	return st != nil && st.Stopping || s.proc.stopping
}

// upgradeAll ends an upgrade: a cluster that is left alone would stop its older
// builds as soon as all nodes have been seen to be newer.
func (w *World) upgradeAll() {
	for _, s := range w.sites {
		if s.format != 0 {
			s.format = 0
			s.crash("to be upgraded for good")
		}
	}
}

func (w *World) born() bool {
	for _, s := range w.sites {
		if !s.lost && !s.out && !s.born() {
			return false
		}
	}
	return true
}

// allLed looks for a serving leader of every group.
func (w *World) allLed() string {
	led := make([]bool, w.opts.Groups)
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			led[g.ID] = led[g.ID] || g.Leading && g.Replica.Role() == paxos.RoleLeading
		})
	}
	for g, ok := range led {
		if !ok {
			return fmt.Sprintf("group %d has no leader", g)
		}
	}
	return ""
}

// allServe wants a leader for every group that has all that it took over.
func (w *World) allServe() string {
	lack := w.allLed()
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			if g.Leading && !g.Replica.Status().Serving {
				lack = fmt.Sprintf("node %d leads group %d and takes nothing", s.id, g.ID)
			}
		})
	}
	return lack
}

func (w *World) allGone() string {
	for _, c := range w.clients {
		if !c.dead() && !c.gone() {
			for _, m := range c.groups {
				if len(m.calls) > 0 {
					k := m.calls[0]
					return fmt.Sprintf("client %d: %v request %d of group %d, session %d, at node %d",
						c.id, k.q.Kind, k.q.Request, m.group, m.session, m.route+1)
				}
			}
			return fmt.Sprintf("client %d has holds or sessions", c.id)
		}
	}
	for _, c := range w.cores {
		if !c.gone() {
			return fmt.Sprintf("%s has %d calls open and %d sessions to close", c.name(),
				len(c.calls), c.core.Closing())
		}
	}
	return ""
}

// allFree wants machines without sessions and locks, but for gates that stand and locks
// that have a value: they are nobody's.
func (w *World) allFree() string {
	lack := ""
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			st, stand := g.Machine.Stats(), uint32(w.models[g.ID].Standing())
			valued := uint32(w.models[g.ID].Valued())
			if g.Leading && (st.Sessions > 0 || st.Locks > stand+valued || st.Claims > stand ||
				st.Detached > stand) {
				lack = fmt.Sprintf("group %d has %d sessions, %d locks, %d claims and %d detached", g.ID,
					st.Sessions, st.Locks, st.Claims, st.Detached)
			}
		})
	}
	return lack
}

// allEqual wants equal machines of all whom a group's seats name. One that is to keep
// the group, and is not named yet, has nothing until the move begins, and that waits for
// as long as another newcomer is down.
func (w *World) allEqual() string {
	type state struct{ applied, digest uint64 }
	first := make([]*state, w.opts.Groups)
	lack := ""
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.node.Digests(func(group uint16, applied, digest uint64) {
			have := &state{applied, digest}
			switch {
			case !w.seated(paxos.GroupID(group), s):
			case first[group] == nil:
				first[group] = have
			case *first[group] != *have:
				lack = fmt.Sprintf("group %d: node %d is at slot %d with digest %016x, another at "+
					"%d with %016x", group, s.id, applied, digest, first[group].applied,
					first[group].digest)
			}
		})
	}
	return lack
}

// bounded checks what nodes tell of the past, which is bounded, too, and that logs have not
// grown without limit (I22).
func (w *World) bounded() {
	w.judgePast()
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.log.seal()
		st := s.proc.log.writer.Stats()
		w.covered["segments recycled"] += st.Recycled
		w.covered["records copied forward"] += st.CopiedRecords
		if limit := w.segmentBound(&st); st.Segments > limit {
			w.failf("I22: node %d uses %d segments, %d at most: %+v", s.id, st.Segments, limit, st)
		}
	}
}

// segmentBound is how many segments a healthy node may use. While the oldest may be
// mostly live it is left to checkpoints, up to the bound of the log.
func (w *World) segmentBound(st *wal.Stats) int {
	if int64(st.LiveBytes) > w.opts.Log.SegmentBytes/2 {
		return w.opts.Log.MaxSegments
	}
	return 64
}

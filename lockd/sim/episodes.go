package sim

import (
	"fmt"
	"slices"

	"lockd/lockd/node"
	"lockd/paxos"
)

// An episode puts one question of liveness to a cluster in which nothing else is
// wrong: it does one thing to one node or link, and leaves the rest in peace.
type episode struct {
	name string
	run  func(w *World, x *site)
}

func episodes() []episode {
	return []episode{
		{"node returns", (*World).returnsUnnoticed},
		{"node lags", (*World).lagsUnnoticed},
		{"node is slow", (*World).isSlowUnnoticed},
		{"link is cut", (*World).oneLinkCut},
		{"link flaps", (*World).oneLinkFlaps},
		{"disk stalls", (*World).losesLeaderships},
		{"network is a graph", (*World).progressInGraph},
		{"network is a graph", (*World).progressInGraph},
		{"crowd ends", (*World).crowdEnds},
	}
}

// liveness runs one episode, if one is wanted, the cluster is whole and its times
// leave room for what is asked.
func (w *World) liveness() {
	if w.failure != nil || w.opts.SafetyOnly || w.opts.Node.Replicas < 3 || !w.whole() || !w.calm() {
		return
	}
	w.settle()
	// A leader that has to catch up by a snapshot first gives way while it takes that in.
	w.await("I28: every leader serves", 5*second+w.failover(), w.allServe)
	if w.failure != nil {
		return
	}
	all := slices.DeleteFunc(episodes(), func(e episode) bool {
		return w.opts.Episode != "" && w.opts.Episode != e.name
	})
	e := all[w.dice.episode.IntN(len(all))]
	x := w.sites[w.dice.episode.IntN(len(w.sites))]
	if x.out {
		return
	}
	w.say("episode: %s, node %d", e.name, x.id)
	w.note("episode", uint64(x.id))
	w.covered["episode: "+e.name]++
	e.run(w, x)
	w.await("I28: every group led after the episode", w.failover(), w.allLed)
	w.settle()
}

// whole reports whether every node runs on a sound disk.
func (w *World) whole() bool {
	for _, s := range w.sites {
		if !s.out && (s.proc == nil || s.bad()) {
			return false
		}
	}
	return true
}

// slowest is how long a frame may be on its way, and round how long one slot
// takes at most: there, synced, and back.
func (w *World) slowest() Time { return w.opts.Latency/4 + 10*w.opts.Latency }

func (w *World) round() Time {
	return 2*w.slowest() + 2*(w.opts.SyncTime/2+5*w.opts.SyncTime) + 4*10*w.opts.TurnDelay +
		2*Time(w.opts.Node.Tick)
}

// calm reports whether an election timeout is long beside everything that is
// quite usual in this world. If not, leaders lose their quorum without a fault.
func (w *World) calm() bool {
	heartbeat := Time(w.opts.Node.HeartbeatTicks) * Time(w.opts.Node.Tick)
	return w.election() >= 2*heartbeat+3*w.round()
}

// failover is how long a group may be without a leader (I28).
func (w *World) failover() Time {
	// Links are dialled again within a fifth of a second, and the first round
	// over them takes its time too.
	return 4*w.election() + 500*millisecond + 20*w.opts.Latency + 20*w.opts.SyncTime
}

// settle waits until elections that had begun, and the return of leaderships to
// those who are preferred, are over.
func (w *World) settle() { w.let(4*w.election() + second) }

// let lets the world run for a while.
func (w *World) let(length Time) {
	until := w.agenda.Now() + length
	for w.failure == nil && w.agenda.Next(until) {
	}
}

// deposal is a leader that lost a group without having handed it over.
type deposal struct {
	at    Time
	node  uint16
	group paxos.GroupID
}

// noteLeadership remembers which leaders were deposed.
func (p *process) noteLeadership(e node.Event) {
	switch e.Kind {
	case node.EventTransfer:
		p.handing[e.Group] = p.w.handedBy(e)
		p.w.moves++ // meanwhile log time stands still, also if nothing comes of it
	case node.EventLeading:
		delete(p.handing, e.Group)
		p.w.moves++ // from a leader that died, perhaps
	case node.EventDeposed:
		gives := p.aside || p.stopping || p.handing[e.Group] > p.w.agenda.Now()
		if !gives {
			p.w.deposals = append(p.w.deposals, deposal{p.w.agenda.Now(), p.site.id, e.Group})
		}
		p.w.moves++
	}
}

// handedBy is until when a leader that begins to hand a group over may lose it by that:
// it gives up after an election timeout, unless it accepts no more itself, for then it
// waits for what is open.
func (w *World) handedBy(e node.Event) Time {
	if e.Node == paxos.NoNode {
		return never
	}
	return w.agenda.Now() + 2*w.election() + second
}

// led returns the groups that a site leads.
func (w *World) led(s *site) map[paxos.GroupID]bool {
	groups := make(map[paxos.GroupID]bool)
	if s.proc != nil {
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			if g.Leading {
				groups[g.ID] = true
			}
		})
	}
	return groups
}

// undisturbed checks that since a moment no leader was deposed but those of some
// groups (I29).
func (w *World) undisturbed(since Time, but map[paxos.GroupID]bool, why string) {
	for _, d := range w.deposals {
		if d.at >= since && !but[d.group] {
			w.failf("I29: node %d was deposed from group %d at %.6f s, %s", d.node, d.group,
				float64(d.at)/1e9, why)
			return
		}
	}
}

// returnsUnnoticed: a node dies and comes back.
func (w *World) returnsUnnoticed(x *site) {
	began, own := w.agenda.Now(), w.led(x)
	x.crash("to come back")
	w.await("I28: every group led without a node", w.failover(), w.allLed)
	w.let(w.dice.episode.length(0, 4*w.election()))
	x.start()
	w.let(3*w.election() + second)
	w.undisturbed(began, own, fmt.Sprintf("by node %d that returned", x.id))
}

// lagsUnnoticed: a node gets no turns for a while.
func (w *World) lagsUnnoticed(x *site) {
	began, own := w.agenda.Now(), w.led(x)
	x.pausedUntil = w.agenda.Now() + w.dice.episode.length(w.election(), 5*w.election())
	w.let(x.pausedUntil - w.agenda.Now() + 3*w.election() + second)
	w.undisturbed(began, own, fmt.Sprintf("by node %d that lagged", x.id))
}

// isSlowUnnoticed: all that a node sends and hears takes long.
func (w *World) isSlowUnnoticed(x *site) {
	began := w.agenda.Now()
	for _, l := range w.links {
		if l.a == x || l.b == x {
			l.slow = w.election() / 8
		}
	}
	w.let(6 * w.election())
	for _, l := range w.links {
		l.slow = 0
	}
	w.let(w.election())
	w.undisturbed(began, nil, fmt.Sprintf("while node %d was slow", x.id))
}

// linkOf draws a link of a site.
func (w *World) linkOf(x *site) *link {
	other := x
	for other == x || other.out {
		other = w.sites[w.dice.episode.IntN(len(w.sites))]
	}
	return w.link(x.id, other.id)
}

// oneLinkCut: two nodes do not reach each other, but all others.
func (w *World) oneLinkCut(x *site) {
	began, l := w.agenda.Now(), w.linkOf(x)
	l.lanes[0].cut, l.lanes[1].cut = true, true
	if w.dice.episode.permille(700) {
		l.breakOff(pick(w.dice.episode, node.DownReset, node.DownTimeout))
	}
	w.let(5 * w.election())
	w.mend([]*lane{&l.lanes[0], &l.lanes[1]})
	w.let(3 * w.election())
	w.undisturbed(began, nil, fmt.Sprintf("while nodes %d and %d were cut off from each other",
		l.a.id, l.b.id))
}

// oneLinkFlaps: a link breaks again and again.
func (w *World) oneLinkFlaps(x *site) {
	began, l := w.agenda.Now(), w.linkOf(x)
	w.flapping(l, w.agenda.Now()+5*w.election())
	w.let(8*w.election() + second)
	w.undisturbed(began, nil, fmt.Sprintf("while the link between nodes %d and %d flapped",
		l.a.id, l.b.id))
}

// losesLeaderships: the disk of a node stands still, which costs it its
// leaderships (I30), and nobody else anything.
func (w *World) losesLeaderships(x *site) {
	began, own, slots := w.agenda.Now(), w.led(x), w.slots
	x.stall(12 * w.election())
	quiet := func() bool { return w.slots == slots && w.agenda.Now() >= began+2*second }
	w.await("a sync that stalls", 3*second, func() string {
		if len(own) > 0 && x.proc.log.SyncingSince() == 0 && !quiet() {
			return "none begins"
		}
		return ""
	})
	if len(own) > 0 && x.proc.log.SyncingSince() == 0 {
		w.covered["no sync to stall"]++
		x.stalledUntil = w.agenda.Now()
		return
	}
	// Heartbeats stop half an election timeout into the sync. From the last one
	// on an election timeout passes, and each successor waits for its turn.
	ranks := Time(len(w.sites)) * Time(w.opts.Node.RankDelayTicks) * Time(w.opts.Node.Tick)
	limit := 2*w.election() + ranks + 2*w.round()
	w.await("I30: a node whose disk stands still leads nothing", limit, func() string {
		for g := range own { // order: any one is enough
			if w.leaderOf(g) == x {
				return fmt.Sprintf("node %d leads group %d", x.id, g)
			}
		}
		return ""
	})
	x.stalledUntil = w.agenda.Now()
	x.unstick()
	w.let(3 * w.election())
	w.undisturbed(began, own, fmt.Sprintf("when the disk of node %d stood still", x.id))
}

// leaderOf is the site whose node serves a group at the highest ballot, nil if
// none does.
func (w *World) leaderOf(group paxos.GroupID) *site {
	var best *site
	var ballot paxos.Ballot
	for _, s := range w.sites {
		if s.proc == nil {
			continue
		}
		s.proc.node.ForEachGroup(func(g node.GroupView) {
			if g.ID == group && g.Leading && ballot.Less(g.Replica.Ballot()) {
				best, ballot = s, g.Replica.Ballot()
			}
		})
	}
	return best
}

// progressInGraph: some node has working two-way links to a quorum, whatever
// else is cut, or none has (G8). Links of which a lane is cut stand and carry
// one way, or break and are not made again.
func (w *World) progressInGraph(*site) {
	const inTurn = 4
	for i := range inTurn {
		if i > 0 {
			w.await("I28: every group led after a graph", w.failover(), w.allLed)
			w.settle()
		}
		if w.failure != nil {
			return
		}
		w.progressInOne(w.graphNumber(i * graphs / inTurn))
	}
}

func (w *World) progressInOne(graph int) {
	lanes := w.impose(w.graphShape(graph))
	if w.dice.episode.permille(500) {
		w.breakCut(pick(w.dice.episode, node.DownReset, node.DownTimeout))
	}
	if p := newProber(w); p.missing() != "" {
		w.covered["graph with progress"]++
		w.await("G8: every group answers while a node has links to a quorum",
			w.failover()+2*p.every(), p.missing)
		p.end()
	} else {
		p.end()
		w.covered["graph without"]++
		w.let(3 * w.election())
	}
	w.mend(lanes)
}

// graphNumber goes through all graphs of three nodes as seeds go on.
func (w *World) graphNumber(after int) int {
	if len(w.sites) == 3 {
		return int((w.opts.Seed + uint64(after)) % graphs)
	}
	return w.dice.episode.IntN(1 << 30)
}

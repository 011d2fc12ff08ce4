package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"lockd/lockd/node"
)

// Options are what a world is made of.
type Options struct {
	// Seed decides all that is drawn: small differences in waits.
	Seed uint64
	// Nodes is how many there are at first, Groups how many groups.
	Nodes, Groups int
	// Clients is how many processes of clients there are, each with so many
	// Workers, Keeps how many locks each of them keeps all the time.
	Clients, Workers, Keeps int
	// Lease is that of the clients' sessions.
	Lease Time
	Costs Costs
	// Cores is how many cores each node has. Each process of clients has one.
	Cores int
	// Shared is how many cores there are for all nodes and clients together, if
	// they are to run on one machine; zero is a machine each.
	Shared int
	// Log is told what happens; nil for nobody.
	Log io.Writer
}

// node returns the options of a node: the defaults, with less memory. It is
// told of all nodes before it.
func (o *Options) node(id uint16) node.Options {
	n := node.Defaults()
	n.Cluster, n.Self, n.Groups = "capacity", id, o.Groups
	for i := range max(o.Nodes, int(id)) {
		n.Nodes = append(n.Nodes, node.Peer{ID: uint16(i + 1), ClientAddress: strconv.Itoa(i + 1)})
	}
	n.RetainBytes, n.RetainSlots = 8<<20, 1024
	n.CheckpointBytes = 16 << 20
	return n
}

// World is a cluster of nodes of production with its clients, on a clock of its
// own. It belongs to one goroutine.
type World struct {
	opts     Options
	agenda   timeline
	shared   *cores // nil if each has its own
	sites    []*site
	links    map[[2]uint16]*link // by ids, the smaller first
	clients  []*client
	lastConn node.ConnID
	failure  error

	total                          totals
	seatChanges, deposed, contests int
	latencies                      []Time // of the pairs that ended
}

// totals are sums over all nodes.
type totals struct {
	work
	turns, syncs, slots uint64
}

func (t *totals) add(w *work) {
	t.turns++
	t.requests += w.requests
	t.commands += w.commands
	t.messages += w.messages
	t.records += w.records
	t.reads += w.reads
	t.writes += w.writes
	t.packets += w.packets
	t.bytes += w.bytes
}

// link is what joins two sites. It never breaks.
type link struct {
	latest [2]Time // when the last frame arrives at the smaller and at the larger
	read   [2]uint64
}

// New makes a world in which nothing runs yet.
func New(o Options) *World {
	w := &World{opts: o, agenda: newTimeline(o.Seed), links: make(map[[2]uint16]*link)}
	if o.Shared > 0 {
		w.shared = newCores(&w.agenda, o.Shared, o.Costs.Wake)
	}
	for range o.Nodes {
		w.addSite()
	}
	for id := range o.Clients {
		w.clients = append(w.clients, newClient(w, id, w.cores(1)))
	}
	return w
}

// cores returns those of one more machine, or those of the only one.
func (w *World) cores(count int) *cores {
	if w.shared != nil {
		return w.shared
	}
	return newCores(&w.agenda, count, w.opts.Costs.Wake)
}

func (w *World) addSite() *site {
	s := &site{w: w, id: uint16(len(w.sites) + 1), cores: w.cores(w.opts.Cores)}
	w.sites = append(w.sites, s)
	return s
}

// site returns the site of a node.
func (w *World) site(id uint16) *site { return w.sites[id-1] }

// failf notes the first thing that is wrong.
func (w *World) failf(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("at %.6f s: %w", w.agenda.Now().Seconds(), fmt.Errorf(format, args...))
	}
}

// run lets so much time pass, or less if something goes wrong.
func (w *World) run(d Time) {
	until := w.agenda.Now() + d
	for w.failure == nil && w.agenda.Next(until) {
	}
}

// await lets time pass until something is so.
func (w *World) await(what string, so func() bool) {
	for limit := w.agenda.Now() + 300*second; w.failure == nil && !so(); w.run(10 * millisecond) {
		if w.agenda.Now() > limit {
			w.failf("in vain waited for %s", what)
		}
	}
}

// boot starts the nodes and waits until every group is led by the node that is
// to lead it; then clients dial.
func (w *World) boot() {
	for i, s := range w.sites {
		w.agenda.After(Time(i)*millisecond, s.start)
	}
	w.redial()
	w.await("a leader of each group", w.settled)
	for _, c := range w.clients {
		c.reach()
	}
	w.run(100 * millisecond)
}

// redial links the nodes that run, again and again.
func (w *World) redial() {
	for i, a := range w.sites {
		for _, b := range w.sites[i+1:] {
			if a.node != nil && b.node != nil {
				w.link(a, b)
			}
		}
	}
	w.agenda.After(50*millisecond, w.redial)
}

func (w *World) link(a, b *site) {
	key := [2]uint16{a.id, b.id}
	if w.links[key] != nil {
		return
	}
	fromA, fromB := a.node.PeerHello(), b.node.PeerHello()
	fromA.From, fromA.To, fromB.From, fromB.To = a.id, b.id, b.id, a.id
	if b.node.CheckPeer(&fromA) != nil || a.node.CheckPeer(&fromB) != nil {
		return // one does not know the other yet
	}
	w.links[key] = &link{}
	a.inbox.PeerUp(b.id, &fromB)
	b.inbox.PeerUp(a.id, &fromA)
	a.turn()
	b.turn()
}

// carry takes a frame of a node to a peer.
func (w *World) carry(from *site, to uint16, frame []byte) {
	l, end := w.links[[2]uint16{min(from.id, to), max(from.id, to)}], 0
	if l == nil {
		return
	}
	if to > from.id {
		end = 1
	}
	l.latest[end] = max(l.latest[end], from.card+w.agenda.around(w.opts.Costs.Latency))
	w.agenda.At(l.latest[end], func() { w.site(to).hear(from.id, l, end, frame) })
}

// begin lets all clients work.
func (w *World) begin() {
	for _, c := range w.clients {
		c.begin(w.opts.Workers, w.opts.Keeps)
		c.contest()
	}
}

// pair notes a pair of a lock and its unlock that has ended.
func (w *World) pair(since Time) {
	w.latencies = append(w.latencies, w.agenda.Now()-since)
}

// Window is what was seen while some time passed.
type Window struct {
	Length                   Time
	Pairs                    int
	Mean, P99, Max           Time
	Busy                     []float64 // of the cores of each node, 0 to 1
	NodeMicros, ClientMicros float64   // of processor for each pair
	totals                   totals
}

// PerSecond is how many pairs a second there were.
func (m *Window) PerSecond() float64 { return float64(m.Pairs) / m.Length.Seconds() }

// mark is the beginning of a Window.
type mark struct {
	at      Time
	sites   []Time // work of each
	clients Time
}

// begun begins to measure.
func (w *World) begun() mark {
	w.latencies, w.total = w.latencies[:0], totals{}
	m := mark{at: w.agenda.Now(), clients: w.clientTime()}
	for _, s := range w.sites {
		m.sites = append(m.sites, s.cores.spent)
	}
	return m
}

// measured says what happened since.
func (w *World) measured(since mark) Window {
	d := w.agenda.Now() - since.at
	m := Window{Length: d, Pairs: len(w.latencies), totals: w.total}
	spent := Time(0)
	for i, s := range w.sites {
		busy := s.cores.spent
		if i < len(since.sites) {
			busy -= since.sites[i]
		}
		spent += busy
		m.Busy = append(m.Busy, busy.Seconds()/d.Seconds()/float64(w.opts.Cores))
	}
	if m.Pairs == 0 {
		return m
	}
	slices.Sort(w.latencies)
	m.P99, m.Max = w.latencies[len(w.latencies)*99/100], w.latencies[len(w.latencies)-1]
	for _, t := range w.latencies {
		m.Mean += t
	}
	m.Mean /= Time(m.Pairs)
	m.NodeMicros = spent.Seconds() * 1e6 / float64(m.Pairs)
	m.ClientMicros = (w.clientTime() - since.clients).Seconds() * 1e6 / float64(m.Pairs)
	return m
}

// measure lets time pass and says what happened meanwhile.
func (w *World) measure(d Time) Window {
	m := w.begun()
	w.run(d)
	return w.measured(m)
}

func (w *World) clientTime() (sum Time) {
	for _, c := range w.clients {
		sum += c.cores.spent
	}
	return sum
}

// spread returns how many replicas and leaderships each node has.
func (w *World) spread() (replicas, leaders []int) {
	replicas, leaders = make([]int, len(w.sites)), make([]int, len(w.sites))
	for i, s := range w.sites {
		s.node.ForEachGroup(func(v node.GroupView) {
			replicas[i]++
			if v.Leading {
				leaders[i]++
			}
		})
	}
	return replicas, leaders
}

package paxostest

import (
	"bytes"
	"fmt"
	"slices"

	"lockd/paxos"
)

// Options shape a World.
type Options struct {
	// Nodes is how many nodes there are, with ids from 1; the order of
	// succession is that of the ids.
	Nodes int
	// Acceptors is how many of them, from id 1 on, accept from slot 1; zero for
	// all. Values made by Change alter that.
	Acceptors int
	// Config is the template of each node's Config: limits and timeouts. Self,
	// Disk, Configurations and Successors are filled in where they are empty.
	Config paxos.Config
	// Trace, if set, is told of everything that happens.
	Trace func(format string, args ...any)
}

// World is a group of replicas with its network and its disks.
type World struct {
	opts  Options
	nodes []*Node
	// wire are the packets in flight, oldest first.
	wire []packet
	cut  map[[2]paxos.NodeID]bool
	// Checker watches; its Violation ends the run.
	Checker *Checker
}

// packet is one message in flight, encoded, or a snapshot.
type packet struct {
	from, to paxos.NodeID
	disk     paxos.DiskID
	frame    []byte
	snapshot *machine
}

// Node is one replica with its disk and its machine.
type Node struct {
	ID   paxos.NodeID
	Disk paxos.DiskID
	// Replica is nil while the node is down.
	Replica *paxos.Replica
	// synced is what the disk holds; unsynced what the replica handed out since.
	synced   []paxos.Record
	unsynced []unsynced
	// machine is lost in a crash; checkpoint is its durable copy.
	machine, checkpoint machine
	reads               []read
}

// unsynced is what one Ready left to be synced, and what waits for that.
type unsynced struct {
	records []paxos.Record
	after   []paxos.Message
}

// machine folds the chosen values.
type machine struct {
	slot paxos.Slot
	hash uint64
	// configs are the configurations that the values decided, the first
	// included. They are never changed in place: copies share them.
	configs []paxos.Configuration
}

// read is a read that waits for round seq; it must see slot needs.
type read struct {
	seq   uint64
	needs paxos.Slot
}

// NewWorld returns a world whose nodes are all up and have not ticked.
func NewWorld(opts Options) (*World, error) {
	w := &World{opts: opts, cut: make(map[[2]paxos.NodeID]bool)}
	if w.opts.Trace == nil {
		w.opts.Trace = func(string, ...any) {}
	}
	for i := range opts.Nodes {
		w.nodes = append(w.nodes, &Node{ID: paxos.NodeID(i + 1), Disk: diskOf(i + 1)})
	}
	w.Checker = newChecker(w)
	first := w.firstConfig()
	for _, n := range w.nodes {
		n.checkpoint.configs = []paxos.Configuration{first}
		if err := w.Start(n.ID); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func diskOf(id int) paxos.DiskID { return paxos.DiskID(0xd000 + id) }

// Node returns the node with the given id.
func (w *World) Node(id paxos.NodeID) *Node {
	if id < 1 || int(id) > len(w.nodes) {
		panic(fmt.Sprintf("paxostest: node %d of %d", id, len(w.nodes)))
	}
	return w.nodes[id-1]
}

// Start starts a node that is down from what its disk holds.
func (w *World) Start(id paxos.NodeID) error {
	n := w.Node(id)
	rec := &paxos.Recovered{}
	rec.Base(n.checkpoint.slot)
	for _, r := range n.synced {
		if err := rec.Add(r); err != nil {
			return err
		}
	}
	cfg := w.opts.Config
	cfg.Self, cfg.Disk = id, n.Disk
	cfg.Configurations = n.checkpoint.configs
	if len(cfg.Successors) == 0 {
		for _, m := range w.nodes {
			cfg.Successors = append(cfg.Successors, m.ID)
		}
	}
	replica, err := paxos.New(cfg, rec)
	if err != nil {
		return err
	}
	n.Replica, n.machine = replica, n.checkpoint
	w.Checker.restarted(n)
	w.Drain(n)
	return nil
}

// Crash stops a node; of its unsynced records the first keep survive.
func (w *World) Crash(id paxos.NodeID, keep int) {
	n := w.Node(id)
	for _, u := range n.unsynced {
		for _, r := range u.records {
			if keep > 0 {
				keep--
				n.synced = append(n.synced, r)
				w.Checker.synced(n, r)
			}
		}
	}
	n.Replica, n.unsynced, n.reads = nil, nil, nil
}

// Drain takes every Ready of n: records wait for Sync, messages fly.
func (w *World) Drain(n *Node) {
	for n.Replica != nil && n.Replica.HasReady() && w.Checker.Violation == "" {
		rd := n.Replica.Ready()
		u := unsynced{after: copyMessages(rd.AfterSync)}
		for _, r := range rd.Records {
			r.Data = bytes.Clone(r.Data)
			u.records = append(u.records, r)
			w.Checker.recorded(n, r)
		}
		known := len(n.machine.configs)
		for _, e := range rd.Chosen {
			w.apply(n, e)
		}
		w.configure(n, known)
		for _, s := range rd.Snapshots {
			w.opts.Trace("%d sends snapshot of slot %d to %d, chosen there %d",
				n.ID, n.machine.slot, s.To, s.Chosen)
			m := n.machine
			w.wire = append(w.wire, packet{from: n.ID, to: s.To, snapshot: &m})
		}
		w.confirmed(n, rd.Confirmed)
		if n.Replica.Role() != paxos.RoleLeading {
			n.reads = nil // given up: the client asks the next leader
		}
		own := w.sendAll(n, rd.Messages)
		if len(u.records)+len(u.after) > 0 {
			n.unsynced = append(n.unsynced, u)
		}
		w.stepOwn(n, own)
	}
}

func copyMessages(ms []paxos.Message) []paxos.Message {
	c := slices.Clone(ms)
	for i := range c {
		c[i].Entries = slices.Clone(c[i].Entries)
	}
	return c
}

// sendAll puts messages on the wire and returns those to n itself.
func (w *World) sendAll(n *Node, ms []paxos.Message) (own []paxos.Message) {
	for i := range ms {
		m := &ms[i]
		w.Checker.sent(n, m)
		if m.To == n.ID {
			own = append(own, copyMessages(ms[i:i+1])...)
			continue
		}
		if w.cut[[2]paxos.NodeID{n.ID, m.To}] {
			continue
		}
		w.wire = append(w.wire, packet{
			from: n.ID, to: m.To, disk: n.Disk, frame: paxos.AppendMessage(nil, m),
		})
	}
	return own
}

func (w *World) stepOwn(n *Node, own []paxos.Message) {
	for i := range own {
		if n.Replica != nil {
			n.Replica.Step(&own[i])
		}
	}
}

func (w *World) apply(n *Node, e paxos.Entry) {
	w.Checker.applied(n, e)
	n.machine.slot = e.Slot
	n.machine.hash = fold(n.machine.hash, e.Value)
	w.decide(n, e)
	w.Checker.folded(n)
	w.opts.Trace("%d applies %s", n.ID, describeEntry(e))
}

// fold is FNV-1a over the value and its length.
func fold(hash uint64, value []byte) uint64 {
	hash ^= uint64(len(value)) + 0xcbf29ce484222325
	for _, b := range value {
		hash = (hash ^ uint64(b)) * 0x100000001b3
	}
	return hash * 0x100000001b3
}

// Sync makes what n handed out so far durable and sends what waited for it.
func (w *World) Sync(n *Node) {
	if n.Replica == nil {
		return
	}
	waiting := n.unsynced
	n.unsynced = nil
	for _, u := range waiting {
		for _, r := range u.records {
			n.synced = append(n.synced, r)
			w.Checker.synced(n, r)
		}
		w.stepOwn(n, w.sendAll(n, u.after))
	}
	w.Drain(n)
}

// Deliver hands the i-th packet in flight to its receiver, if that is up and
// the link is not cut.
func (w *World) Deliver(i int) {
	p := w.wire[i]
	w.wire = slices.Delete(w.wire, i, i+1)
	n := w.Node(p.to)
	if n.Replica == nil || w.cut[[2]paxos.NodeID{p.from, p.to}] {
		return
	}
	if p.snapshot != nil {
		w.install(n, *p.snapshot)
		return
	}
	var m paxos.Message
	rest, err := paxos.DecodeMessage(p.frame, &m)
	if err != nil || len(rest) > 0 {
		w.Checker.fail("codec: %v, %d bytes left", err, len(rest))
		return
	}
	m.Disk = p.disk
	w.opts.Trace("%s", Describe(&m))
	n.Replica.Step(&m)
	w.Drain(n)
}

func (w *World) install(n *Node, m machine) {
	if m.slot <= n.machine.slot {
		return
	}
	w.opts.Trace("%d installs snapshot of slot %d", n.ID, m.slot)
	known := len(n.machine.configs)
	n.machine, n.checkpoint = m, m
	w.Checker.folded(n)
	w.configure(n, known)
	n.Replica.Install(m.slot, nil)
	w.Drain(n)
}

// Checkpoint makes n's machine durable and lets go of what it covers.
func (w *World) Checkpoint(n *Node) {
	if n.Replica == nil {
		return
	}
	n.checkpoint = n.machine
	n.Replica.Release(n.machine.slot)
	live := n.synced[:0]
	var promise paxos.Record
	for _, r := range n.synced {
		switch {
		case r.Kind == paxos.RecordPromise:
			promise = r
		case r.Slot > n.checkpoint.slot:
			live = append(live, r)
		}
	}
	n.synced = live
	if promise.Kind != 0 {
		n.synced = append([]paxos.Record{promise}, live...)
	}
	w.Drain(n)
}

// Propose proposes value on n.
func (w *World) Propose(n *Node, value []byte) (paxos.Slot, error) {
	if n.Replica == nil {
		return 0, paxos.ErrNotLeader
	}
	s, err := n.Replica.Propose(value)
	if err == nil {
		w.Checker.proposed(n, s, value)
	}
	w.Drain(n)
	return s, err
}

// Read begins a confirmed read on n.
func (w *World) Read(n *Node) (uint64, error) {
	if n.Replica == nil {
		return 0, paxos.ErrNotLeader
	}
	seq, err := n.Replica.ConfirmRead()
	if err != nil {
		return 0, err
	}
	n.reads = append(n.reads, read{seq: seq, needs: w.Checker.answered})
	w.Drain(n)
	return seq, nil
}

func (w *World) confirmed(n *Node, seq uint64) {
	waiting := n.reads[:0]
	for _, d := range n.reads {
		if d.seq > seq {
			waiting = append(waiting, d)
			continue
		}
		w.opts.Trace("%d confirms read %d at slot %d", n.ID, d.seq, n.machine.slot)
		if n.machine.slot < d.needs {
			w.Checker.fail("I24: node %d confirms round %d at slot %d; slot %d was answered before",
				n.ID, d.seq, n.machine.slot, d.needs)
		}
	}
	n.reads = waiting
}

// Tick ticks n once.
func (w *World) Tick(n *Node) {
	if n.Replica == nil {
		return
	}
	n.Replica.Tick()
	w.Drain(n)
}

// setCut severs or mends the link from one node to another.
func (w *World) setCut(from, to paxos.NodeID, on cutState) {
	if on == mended {
		delete(w.cut, [2]paxos.NodeID{from, to})
		return
	}
	w.cut[[2]paxos.NodeID{from, to}] = true
}

type cutState uint8

const (
	mended cutState = iota
	severed
)

// Leader returns the node that leads in the highest ballot, or nil.
func (w *World) Leader() *Node {
	var leader *Node
	var ballot paxos.Ballot
	for _, n := range w.nodes {
		if n.Replica == nil || n.Replica.Role() != paxos.RoleLeading {
			continue
		}
		if b := n.Replica.Status().Ballot; ballot.Less(b) {
			leader, ballot = n, b
		}
	}
	return leader
}

package paxos

import (
	"slices"
	"testing"
)

// circle is replicas that hear one another at once, for as long as nothing else is
// said, and what they have on their disks. A value that moves names brings a
// configuration into force, a window later.
type circle struct {
	t       *testing.T
	window  int
	from    Configuration // in force from the first slot
	moves   map[string]*Configuration
	succeed []NodeID
	order   []NodeID
	nodes   map[NodeID]*Replica
	disks   map[NodeID]DiskID
	records map[NodeID][]Record
	applied map[NodeID]map[Slot]string
	rounds  map[NodeID]uint64 // of reads, confirmed
	paused  map[NodeID]bool
	// unsynced are those whose disk takes nothing from now on, and lost says of a
	// message that it does not come; nil for none.
	unsynced map[NodeID]bool
	lost     func(m *Message) bool
}

func newCircle(t *testing.T, from Configuration, succeed ...NodeID) *circle {
	return &circle{
		t: t, window: 4, from: from, succeed: succeed,
		moves: map[string]*Configuration{}, nodes: map[NodeID]*Replica{},
		disks: map[NodeID]DiskID{}, records: map[NodeID][]Record{},
		applied: map[NodeID]map[Slot]string{}, rounds: map[NodeID]uint64{},
		paused: map[NodeID]bool{}, unsynced: map[NodeID]bool{},
	}
}

// add starts nodes, each on the disk of its number.
func (c *circle) add(ids ...NodeID) {
	c.t.Helper()
	for _, id := range ids {
		c.start(id, DiskID(id))
	}
}

// start starts a node, again if it ran, with what it has on the disk if that is the
// one that it had.
func (c *circle) start(id NodeID, disk DiskID) {
	c.t.Helper()
	if c.disks[id] != disk {
		c.records[id] = nil
	}
	var rec Recovered
	for _, r := range c.records[id] {
		if err := rec.Add(r); err != nil {
			c.t.Fatal(err)
		}
	}
	r, err := New(Config{Group: 1, Self: id, Disk: disk, Window: c.window,
		Configurations: []Configuration{c.from}, Successors: c.succeed}, &rec)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.nodes[id] == nil {
		c.order = append(c.order, id)
	}
	c.nodes[id], c.disks[id], c.applied[id] = r, disk, map[Slot]string{}
}

// install gives nodes that are started for it the state before the last of configs.
func (c *circle) install(configs []Configuration, ids ...NodeID) {
	c.t.Helper()
	c.add(ids...)
	for _, id := range ids {
		c.nodes[id].Install(configs[len(configs)-1].From-1, configs)
	}
}

// pause has nodes not run; what is said to them meanwhile is lost.
func (c *circle) pause(ids ...NodeID) {
	for _, id := range ids {
		c.paused[id] = true
	}
}

// run has all hand out and hear what there is, until there is nothing.
func (c *circle) run() {
	c.t.Helper()
	for again := true; again; {
		again = false
		for _, id := range c.order {
			for !c.paused[id] && c.nodes[id].HasReady() {
				again = true
				c.turn(id)
			}
		}
	}
}

func (c *circle) turn(id NodeID) {
	c.t.Helper()
	r := c.nodes[id]
	out := r.Ready()
	messages := slices.Clone(out.Messages)
	if !c.unsynced[id] {
		for _, x := range out.Records {
			x.Data = slices.Clone(x.Data)
			c.records[id] = append(c.records[id], x)
		}
		messages = append(messages, out.AfterSync...)
	}
	for i := range messages {
		messages[i].Entries = slices.Clone(messages[i].Entries)
	}
	for _, e := range out.Chosen {
		c.applied[id][e.Slot] = string(e.Value)
		if next := c.moves[string(e.Value)]; next != nil {
			next.From = e.Slot + Slot(c.window)
			if err := r.Configure(*next); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	c.rounds[id] = out.Confirmed
	for i := range messages {
		m := &messages[i]
		m.Disk = c.disks[id]
		if c.nodes[m.To] != nil && !c.paused[m.To] && (c.lost == nil || !c.lost(m)) {
			c.nodes[m.To].Step(m)
		}
	}
}

func (c *circle) tick(n int) {
	c.t.Helper()
	for range n {
		for _, id := range c.order {
			if !c.paused[id] {
				c.nodes[id].Tick()
			}
		}
		c.run()
	}
}

// lead waits for one of some nodes to lead and returns it.
func (c *circle) lead(ids ...NodeID) NodeID {
	c.t.Helper()
	for range 400 {
		for _, id := range ids {
			if c.nodes[id].CanPropose() {
				return id
			}
		}
		c.tick(1)
	}
	c.t.Fatalf("none of %v leads", ids)
	return NoNode
}

// hand hands the leadership over.
func (c *circle) hand(from, to NodeID) {
	c.t.Helper()
	for n := 0; n < 100 && c.nodes[from].TransferLead(to) != nil; n++ {
		c.tick(1)
	}
	c.run()
	c.lead(to)
}

// propose has a value chosen and returns its slot.
func (c *circle) propose(id NodeID, value string) Slot {
	c.t.Helper()
	slot, err := c.nodes[id].Propose([]byte(value))
	if err != nil {
		c.t.Fatal(err)
	}
	c.run()
	if c.nodes[id].Chosen() < slot {
		c.t.Fatalf("%q is not chosen in slot %d", value, slot)
	}
	return slot
}

// knows reports whether a node has applied a value.
func (c *circle) knows(id NodeID, value string) bool {
	for _, v := range c.applied[id] { // order: any
		if v == value {
			return true
		}
	}
	return false
}

// ask begins a read and returns the round that confirms it.
func (c *circle) ask(id NodeID) uint64 {
	c.t.Helper()
	round, err := c.nodes[id].ConfirmRead()
	if err != nil {
		c.t.Fatal(err)
	}
	return round
}

package paxos

import (
	"slices"
	"testing"
)

// circle is replicas that hear one another at once, on disks that lose nothing. A value
// "move" brings the acceptors to into force, a window later.
type circle struct {
	t       *testing.T
	from    Configuration
	to      Configuration // From is set when "move" is chosen
	window  int
	order   []NodeID
	nodes   map[NodeID]*Replica
	applied map[NodeID][]string
	rounds  map[NodeID]uint64 // of reads, confirmed
	paused  map[NodeID]bool
}

func (c *circle) add(ids ...NodeID) {
	c.t.Helper()
	for _, id := range ids {
		r, err := New(Config{Group: 1, Self: id, Disk: DiskID(id), Window: c.window,
			Configurations: []Configuration{c.from}, Successors: []NodeID{1, 5, 6}}, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		c.nodes[id], c.order = r, append(c.order, id)
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
	messages := slices.Concat(out.Messages, out.AfterSync)
	for i := range messages {
		messages[i].Entries = slices.Clone(messages[i].Entries)
	}
	for _, e := range out.Chosen {
		c.applied[id] = append(c.applied[id], string(e.Value))
		if string(e.Value) == "move" {
			c.to.From = e.Slot + Slot(c.window)
			if err := r.Configure(c.to); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	c.rounds[id] = out.Confirmed
	for i := range messages {
		if to := c.nodes[messages[i].To]; to != nil && !c.paused[messages[i].To] {
			messages[i].Disk = DiskID(id)
			to.Step(&messages[i])
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

// "Paxos Made Simple", §3: the servers of an instance are those that the state α
// instances before it names. A leader that is paused when they change finds, when it
// goes on, acceptors who have never heard a ballot of those before: they have the slots
// before theirs by a snapshot, and one of them has led in a ballot below its own. Their
// answer to its heartbeat confirms no read before they have promised its ballot (I24).
func TestPaperConfirmsOnceTheNextConfigurationHasPromised(t *testing.T) {
	c := &circle{
		t: t, window: 4, nodes: map[NodeID]*Replica{}, applied: map[NodeID][]string{},
		rounds: map[NodeID]uint64{}, paused: map[NodeID]bool{},
		from: Configuration{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}},
			Observers: []NodeID{5, 6}},
		to: Configuration{Acceptors: []Acceptor{{1, 1}, {5, 5}, {6, 6}}, Observers: []NodeID{2, 3}},
	}
	c.add(1, 2, 3)
	c.tick(5)
	c.nodes[1].Outbid(10) // as after some elections
	c.run()
	c.propose(1, "move")
	if got, want := c.nodes[1].Chosen(), c.to.From-1; got != want {
		t.Fatalf("got chosen up to %d, want %d: all before the new acceptors' first", got, want)
	}
	c.paused[1] = true
	c.add(5, 6)
	for _, id := range []NodeID{5, 6} {
		c.nodes[id].Install(c.to.From-1, []Configuration{c.from, c.to})
	}
	for n := 0; n < 200 && !c.nodes[5].CanPropose(); n++ {
		c.tick(1)
	}
	if low, high := c.nodes[5].Status().Promised, c.nodes[1].Status().Promised; !low.Less(high) {
		t.Fatalf("node 5 leads in %v, want one below %v", low, high)
	}
	c.propose(5, "answered")

	c.paused[1] = false
	c.nodes[1].Doubt()
	round, err := c.nodes[1].ConfirmRead()
	if err != nil {
		t.Fatal(err)
	}
	c.run()
	knows := func() bool { return slices.Contains(c.applied[1], "answered") }
	if c.rounds[1] >= round && !knows() {
		t.Error("a read is confirmed from a state without what was answered before")
	}
	for n := 0; n < 50 && c.rounds[1] < round; n++ {
		c.tick(1)
	}
	if c.rounds[1] < round || !knows() {
		t.Errorf("got round %d of %d confirmed, having applied %q; want it confirmed in the end",
			c.rounds[1], round, c.applied[1])
	}
}

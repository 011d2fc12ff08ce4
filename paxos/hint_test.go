package paxos

import "testing"

// An acceptor that hears at once of more slots than a window holds answers that it has
// all below a configuration which it does not know yet, and a leader that knows it lets
// others go on the strength of that (Settled). What it says after a sync it has to know
// after a restart too: it is recorded with it.
func TestHintBeforeTheConfigurationIsKnown(t *testing.T) {
	c := newCircle(t, Configuration{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}},
		Observers: []NodeID{4}}, 1, 2, 3)
	to := Configuration{Acceptors: []Acceptor{{1, 1}, {2, 2}, {4, 4}}, Observers: []NodeID{3}}
	c.moves["move"] = &to
	c.add(1, 2, 3, 4)
	c.lead(1)
	c.propose(1, "first")
	c.tick(8)
	// Node 2 does not run for a moment; what is sent to it waits.
	var waits []Message
	c.lost = func(m *Message) bool {
		if m.To == 2 {
			waits = append(waits, *m)
		}
		return m.To == 2
	}
	c.propose(1, "move")
	c.propose(1, "more")
	c.lost = nil
	for i := range waits {
		c.nodes[2].Step(&waits[i])
	}
	out := c.nodes[2].Ready()
	said, noted := Slot(0), Slot(0)
	for _, m := range out.AfterSync {
		if m.Kind == KindAccepted {
			said = max(said, m.Chosen)
		}
	}
	for _, x := range append(c.records[2], out.Records...) {
		if x.Kind == RecordChosen {
			noted = max(noted, x.Slot)
		}
	}
	if said+1 < to.From {
		t.Fatalf("node 2 says that it has all up to slot %d, want up to %d", said, to.From-1)
	}
	if noted+1 < to.From {
		t.Errorf("node 2 says that it has all up to slot %d, and noted %d", said, noted)
	}
}

// Of two changes that are known each is noted when its first slot is reached: a leader
// may know of the former alone.
func TestHintForEachConfiguration(t *testing.T) {
	acceptors := []Acceptor{{1, 1}, {2, 2}, {3, 3}}
	r, err := New(Config{Self: 1, Disk: 1, Window: 8, Configurations: []Configuration{
		{From: 1, Acceptors: acceptors}, {From: 3, Acceptors: acceptors},
		{From: 6, Acceptors: acceptors}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := Ballot{5, 2}
	var noted []Slot
	for s := Slot(1); s <= 6; s++ {
		r.Step(&Message{Kind: KindAccept, From: 2, To: 1, Disk: 2, Ballot: b, Chosen: s - 1,
			Entries: []Entry{{Slot: s, Ballot: b, Value: []byte("x")}}})
		for _, x := range r.Ready().Records {
			if x.Kind == RecordChosen {
				noted = append(noted, x.Slot)
			}
		}
	}
	if len(noted) != 2 || noted[0] != 2 || noted[1] != 5 {
		t.Errorf("got hints of %v, want of 2 and 5", noted)
	}
}

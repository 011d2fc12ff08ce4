package paxos

import "testing"

// "Paxos Made Simple", §3: the servers of an instance are those that the state α
// instances before it names. A leader that is paused when they change finds, when it
// goes on, acceptors who have never heard a ballot of those before: they have the slots
// before theirs by a snapshot, and one of them has led in a ballot below its own. Their
// answer to its heartbeat confirms no read before they have promised its ballot (I24).
func TestPaperConfirmsOnceTheNextConfigurationHasPromised(t *testing.T) {
	c := newCircle(t, Configuration{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}},
		Observers: []NodeID{5, 6}}, 1, 5, 6)
	to := Configuration{Acceptors: []Acceptor{{1, 1}, {5, 5}, {6, 6}}, Observers: []NodeID{2, 3}}
	c.moves["move"] = &to
	c.add(1, 2, 3)
	c.tick(5)
	c.nodes[1].Outbid(10) // as after some elections
	c.run()
	c.propose(1, "move")
	if got, want := c.nodes[1].Chosen(), to.From-1; got != want {
		t.Fatalf("got chosen up to %d, want %d: all before the new acceptors' first", got, want)
	}
	c.pause(1)
	c.install([]Configuration{c.from, to}, 5, 6)
	c.lead(5)
	if low, high := c.nodes[5].Status().Promised, c.nodes[1].Status().Promised; !low.Less(high) {
		t.Fatalf("node 5 leads in %v, want one below %v", low, high)
	}
	c.propose(5, "answered")

	c.paused[1] = false
	c.nodes[1].Doubt()
	round := c.ask(1)
	c.run()
	if c.rounds[1] >= round && !c.knows(1, "answered") {
		t.Error("a read is confirmed from a state without what was answered before")
	}
	for n := 0; n < 50 && c.rounds[1] < round; n++ {
		c.tick(1)
	}
	if c.rounds[1] < round || !c.knows(1, "answered") {
		t.Errorf("got round %d of %d confirmed, having applied %v; want it confirmed in the end",
			c.rounds[1], round, c.applied[1])
	}
}

// A leader that was paused over two changes of configuration learns at once of more
// slots than a window holds. Who accepts in the next one it knows only once it has
// applied them, so until then nothing is confirmed: the acceptors of an earlier one, who
// promised its ballot, may know nothing of what those of the next have chosen (I24).
func TestPaperConfirmsOnceTheNextConfigurationIsKnown(t *testing.T) {
	c := newCircle(t, Configuration{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}},
		1, 5, 7, 6, 8, 2, 3)
	to5 := Configuration{Acceptors: []Acceptor{{1, 1}, {5, 5}, {6, 6}}}
	to7 := Configuration{Acceptors: []Acceptor{{1, 1}, {7, 7}, {8, 8}}, Observers: []NodeID{5, 6}}
	c.moves["to 5"], c.moves["to 7"] = &to5, &to7
	c.add(1, 2, 3)
	c.lead(1)
	c.nodes[1].Outbid(10) // as after some elections
	c.lead(1)
	c.propose(1, "to 5")
	c.pause(1, 2, 3)
	c.install([]Configuration{c.from, to5}, 5, 6)
	c.propose(c.lead(5, 6), "to 7")
	c.install([]Configuration{to5, to7}, 7, 8)
	leader := c.lead(7, 8)
	c.propose(leader, "more")
	c.tick(20)
	far := func(m *Message) bool { return (m.From >= 7) != (m.To >= 7) }
	c.lost = far
	c.propose(leader, "answered")

	// The disks of nodes 5 and 6 are slow: they promise, and have not accepted yet.
	c.paused[1] = false
	c.lost = func(m *Message) bool {
		return far(m) || m.Kind == KindAccepted && m.To == 1 && m.From != 1
	}
	c.nodes[1].Doubt()
	round := c.ask(1)
	for range 12 {
		c.tick(1)
		if c.rounds[1] >= round && !c.knows(1, "answered") {
			t.Fatalf("a read is confirmed from a state without what was answered before: %v",
				c.applied[1])
		}
	}
	if !c.knows(1, "more") {
		t.Fatalf("got %v, want slots beyond the window learned", c.applied[1])
	}
}

// A round that was answered while the next slot's configuration was unknown is confirmed
// as soon as it is known, not with the next heartbeat.
func TestPaperConfirmsWhenTheNextConfigurationIsKnown(t *testing.T) {
	c := newCircle(t, Configuration{From: 1, Acceptors: []Acceptor{{1, 1}}}, 1)
	c.add(1)
	c.lead(1)
	for range c.window {
		if _, err := c.nodes[1].Propose([]byte("full")); err != nil {
			t.Fatal(err)
		}
	}
	round := c.ask(1)
	c.run()
	if c.rounds[1] < round {
		t.Errorf("got round %d of %d confirmed, want it", c.rounds[1], round)
	}
}

// Who has heard the last word of a leader that left, in a ballot that nobody of the
// acceptors of today knows, follows the one of today all the same (I29).
func TestLeaderInALowBallotIsFollowed(t *testing.T) {
	c := newCircle(t, Configuration{From: 1, Acceptors: []Acceptor{{1, 1}},
		Observers: []NodeID{4, 5, 6}}, 4, 5, 6)
	to := Configuration{From: 20, Acceptors: []Acceptor{{4, 4}, {5, 5}, {6, 6}}}
	c.install([]Configuration{c.from, to}, 4, 5)
	c.add(6)
	c.nodes[6].Step(&Message{Kind: KindHeartbeat, Group: 1, From: 1, To: 6, Disk: 1,
		Ballot: Ballot{12, 1}, Chosen: to.From - 1, Seq: 1})
	c.nodes[6].Install(to.From-1, []Configuration{c.from, to})
	c.lost = func(m *Message) bool { return m.From == 6 || m.To == 6 }
	c.lead(4)
	c.lost = nil
	c.tick(100)
	if got := c.nodes[6].Leader(); got != 4 {
		t.Errorf("got leader %d after five election timeouts, want 4, which leads in %v",
			got, c.nodes[4].Ballot())
	}
	// While a leader is heard, one in a lower ballot is not.
	for _, from := range []struct {
		node   NodeID
		ballot Ballot
	}{{5, Ballot{12, 5}}, {4, Ballot{11, 4}}} {
		c.nodes[6].Step(&Message{Kind: KindHeartbeat, Group: 1, From: from.node, To: 6,
			Disk: DiskID(from.node), Ballot: from.ballot, Seq: 1})
	}
	if got := c.nodes[6].Leader(); got != 5 {
		t.Errorf("got leader %d, want 5 of the higher ballot", got)
	}
	if got := c.nodes[6].nextBallot().Round; got <= 12 {
		t.Errorf("got round %d next, want one above all that was heard", got)
	}
}

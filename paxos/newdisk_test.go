package paxos

import "testing"

// A node that comes back on a new disk knows no ballot that it led on its old one, and
// where nobody is left who promised them it leads in one of them again. What it calls
// chosen then says nothing of what it proposed in that ballot before: who accepted that,
// and missed all since, learns what was chosen instead (I1).
func TestPaperBallotOfAnOldDisk(t *testing.T) {
	c := newCircle(t, Configuration{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}}, 1, 3, 2)
	c.add(1, 2, 3)
	c.lead(1)
	c.propose(1, "first")
	c.hand(1, 3)
	old := c.nodes[3].Ballot()
	c.tick(8)
	// Only node 2 hears of a value, and syncs it; then node 3's power fails.
	c.unsynced[3] = true
	c.lost = func(m *Message) bool { return m.To != 2 }
	slot, err := c.nodes[3].Propose([]byte("lost"))
	if err != nil {
		t.Fatal(err)
	}
	c.run()
	if got := c.nodes[2].log.ballot(slot); got != old {
		t.Fatalf("node 2 accepted in ballot %v, want %v", got, old)
	}
	c.pause(2) // cut off
	c.lost, c.unsynced[3] = nil, false
	c.start(3, 3)
	c.nodes[1].PeerDown(3)
	c.lead(1)
	to4 := Configuration{Acceptors: []Acceptor{{4, 4}, {5, 5}, {6, 6}}}
	to3 := Configuration{Acceptors: []Acceptor{{3, 103}, {4, 4}, {5, 5}}, Observers: []NodeID{2}}
	c.moves["to 4"], c.moves["to 3"] = &to4, &to3
	c.propose(1, "to 4")
	c.pause(1, 3) // gone
	c.succeed = []NodeID{4, 5, 6}
	c.install([]Configuration{c.from, to4}, 4, 5, 6)
	c.lead(4)
	c.propose(4, "to 3")
	c.tick(1)
	c.paused[3] = false
	c.start(3, 103)
	c.nodes[3].Install(to3.From-1, []Configuration{to4, to3})
	c.tick(30)
	c.propose(4, "more")
	c.hand(4, 3)
	if got := c.nodes[3].Ballot(); got != old {
		t.Fatalf("node 3 leads in %v, want %v as on its old disk", got, old)
	}
	c.propose(3, "last")
	c.paused[2] = false
	c.tick(10)
	c.paused[1] = false // node 2 needs slots that the others have by a snapshot only
	c.tick(300)
	if got, want := c.applied[2][slot], c.applied[1][slot]; got != want {
		t.Errorf("slot %d: node 2 applied %q, node 1 %q", slot, got, want)
	}
	if !c.knows(2, "last") {
		t.Errorf("got %v at node 2, want all that is chosen", c.applied[2])
	}
}

// Of slots whose configuration is not known yet a leader's word counts once it is: until
// then who may have proposed in them is not known either.
func TestWordWaitsForTheConfiguration(t *testing.T) {
	r, err := New(Config{Self: 1, Disk: 1, Window: 4, Configurations: []Configuration{
		{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := Ballot{5, 2}
	var entries []Entry
	for s := Slot(1); s <= 9; s++ {
		entries = append(entries, Entry{Slot: s, Ballot: b, Value: []byte("x")})
	}
	r.Step(&Message{Kind: KindAccept, From: 2, To: 1, Disk: 2, Ballot: b, Entries: entries})
	beat := Message{Kind: KindHeartbeat, From: 2, To: 1, Disk: 2, Ballot: b, Chosen: 9, Seq: 1}
	r.Step(&beat)
	if got := len(r.Ready().Chosen); got != 4 {
		t.Errorf("got %d slots at first, want 4, a window", got)
	}
	// Slot 4 gives node 2's seat to another disk.
	if err := r.Configure(Configuration{From: 9,
		Acceptors: []Acceptor{{1, 1}, {2, 102}, {3, 3}}}); err != nil {
		t.Fatal(err)
	}
	if got := len(r.Ready().Chosen); got != 4 {
		t.Errorf("got %d slots then, want 4, without the one of the other disk", got)
	}
	if r.HasReady() {
		t.Error("the replica has more, want nothing")
	}
	beat.Disk = 102
	r.Step(&beat)
	if got := r.Chosen(); got != 9 {
		t.Errorf("got chosen up to %d by the word of the other disk, want 9", got)
	}
}

// A node that is linked anew may be on a new disk, lead in a ballot of its old one and count
// rounds from the first again: what answers a heartbeat of before does not reach it.
func TestAnswerToAnOldDiskIsNotSent(t *testing.T) {
	r := newReplica(t, 1, nil)
	beat := Message{Kind: KindHeartbeat, From: 2, To: 1, Disk: 2, Ballot: Ballot{5, 2}, Seq: 3}
	r.Step(&beat)
	r.PeerUp(2)
	for _, m := range r.Ready().Messages {
		if m.Kind == KindHeartbeatAck {
			t.Errorf("round %d is answered on a conn that it did not come by", m.Seq)
		}
	}
	r.Step(&beat)
	takeTurn(r).find(t, KindHeartbeatAck, 2)
}

package paxos

import "testing"

// pair is a leader and one peer of a group of three, joined by their codecs;
// the third node is silent.
type pair struct {
	leader, peer *Replica
	frame        []byte
	decoded      Message
	held         []Message
	chosen       int
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{leader: newReplica(t, 1, nil), peer: newReplica(t, 2, nil)}
	p.leader.Tick()
	p.leader.Tick()
	for range 20 {
		p.turn(p.leader)
		p.turn(p.peer)
	}
	if !p.leader.CanPropose() {
		t.Fatalf("got %+v, want a serving leader", p.leader.Status())
	}
	return p
}

// turn hands on what r wants sent; every record counts as synced at once.
func (p *pair) turn(r *Replica) {
	for r.HasReady() {
		rd := r.Ready()
		p.chosen += len(rd.Chosen)
		p.held = append(p.held[:0], rd.AfterSync...)
		for i := range rd.Messages {
			p.hand(&rd.Messages[i])
		}
		for i := range p.held {
			p.hand(&p.held[i])
		}
	}
}

func (p *pair) hand(m *Message) {
	to := p.leader
	switch m.To {
	case 2:
		to = p.peer
	case 3:
		return
	}
	p.frame = AppendMessage(p.frame[:0], m)
	if _, err := DecodeMessage(p.frame, &p.decoded); err != nil {
		panic(err)
	}
	p.decoded.Disk = DiskID(m.From)
	to.Step(&p.decoded)
}

func (p *pair) commit(t testing.TB, value []byte) {
	if _, err := p.leader.Propose(value); err != nil {
		t.Fatal(err)
	}
	p.turn(p.leader)
	p.turn(p.peer)
	p.turn(p.leader)
	if slot := p.leader.Chosen(); slot%512 == 0 {
		p.leader.Release(slot)
		p.peer.Release(slot)
	}
}

// TestHotPathAllocatesOnlyValues: from Propose to Chosen nothing is allocated
// once warm but a chunk for many copies of values, now and then.
func TestHotPathAllocatesOnlyValues(t *testing.T) {
	if invariantsOn {
		t.Log("measured without the invariants tag")
		return
	}
	p := newPair(t)
	value := make([]byte, 200)
	for range 4000 {
		p.commit(t, value)
	}
	before := p.chosen
	got := testing.AllocsPerRun(2000, func() { p.commit(t, value) })
	if got > 0 {
		t.Errorf("got %v allocations per slot, want less than one", got)
	}
	if p.chosen-before < 4000 {
		t.Errorf("got %d slots handed out, want at least 4000", p.chosen-before)
	}
}

func BenchmarkCommit(b *testing.B) {
	p := newPair(b)
	value := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		p.commit(b, value)
	}
}

func BenchmarkTickIdleLeader(b *testing.B) {
	p := newPair(b)
	b.ReportAllocs()
	for b.Loop() {
		p.leader.Tick()
		p.turn(p.leader)
		p.turn(p.peer)
	}
}

package paxos

import (
	"errors"
	"testing"
)

// The tests of this file each show one sentence of a paper. They speak to one
// replica, node 1 of three, in place of the other two; disk ids equal node ids.

func newReplica(t testing.TB, self NodeID, rec *Recovered) *Replica {
	t.Helper()
	r, err := New(Config{
		Self: self, Disk: DiskID(self), Successors: []NodeID{1, 2, 3},
		ElectionTicks: 10, HeartbeatTicks: 3, RankDelayTicks: 2, Window: 4,
		Configurations: []Configuration{{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}}},
	}, rec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// turn takes every Ready and returns what left, with own messages stepped.
type turn struct {
	records []Record
	sent    []Message
	chosen  []Entry
}

func takeTurn(r *Replica) (out turn) {
	for r.HasReady() {
		rd := r.Ready()
		out.records = append(out.records, rd.Records...)
		out.chosen = append(out.chosen, rd.Chosen...)
		var own []Message
		for _, m := range append(append([]Message(nil), rd.Messages...), rd.AfterSync...) {
			m.Entries = append([]Entry(nil), m.Entries...)
			if m.To == r.cfg.Self {
				own = append(own, m)
				continue
			}
			out.sent = append(out.sent, m)
		}
		for i := range own {
			r.Step(&own[i])
		}
	}
	return out
}

func step(r *Replica, m Message) turn {
	m.To = r.cfg.Self
	m.Disk = DiskID(m.From)
	r.Step(&m)
	return takeTurn(r)
}

// find returns the message of the given kind to node.
func (o turn) find(t *testing.T, kind Kind, to NodeID) Message {
	t.Helper()
	for _, m := range o.sent {
		if m.Kind == kind && m.To == to {
			return m
		}
	}
	t.Fatalf("got %+v, want %v to %d", o.sent, kind, to)
	return Message{}
}

// prepared brings node 1 to phase 1 and returns its ballot.
func prepared(t *testing.T, r *Replica) Ballot {
	t.Helper()
	for r.Role() == RolePassive {
		r.Tick()
	}
	ask := takeTurn(r).find(t, KindPrePrepare, 2)
	out := step(r, Message{Kind: KindPreAnswer, From: 2, Ballot: ask.Ballot})
	return out.find(t, KindPrepare, 2).Ballot
}

// leading brings node 1 to lead with an empty log and slot 1 chosen.
func leading(t *testing.T, r *Replica) Ballot {
	t.Helper()
	b := prepared(t, r)
	step(r, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 1})
	step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 1, Last: 1})
	if !r.CanPropose() {
		t.Fatalf("got %+v, want a serving leader", r.Status())
	}
	return b
}

// "Paxos Made Simple", §2.2, P1: "An acceptor must accept the first proposal
// that it receives."
func TestPaperAcceptsFirstProposal(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := Ballot{1, 2}
	out := step(r, Message{Kind: KindAccept, From: 2, Ballot: b,
		Entries: []Entry{{Slot: 3, Ballot: b, Value: []byte("x")}}})
	if m := out.find(t, KindAccepted, 2); m.Slot != 3 || m.Last != 3 || m.Ballot != b {
		t.Errorf("got %+v, want slot 3 accepted at %v", m, b)
	}
}

// §2.2, P1a: "An acceptor can accept a proposal numbered n iff it has not
// responded to a prepare request having a number greater than n."
func TestPaperRefusesBelowPromise(t *testing.T) {
	r := newReplica(t, 1, nil)
	step(r, Message{Kind: KindPrepare, From: 3, Ballot: Ballot{2, 3}, Slot: 1})
	low := Ballot{2, 2}
	out := step(r, Message{Kind: KindAccept, From: 2, Ballot: low,
		Entries: []Entry{{Slot: 1, Ballot: low, Value: []byte("x")}}})
	if m := out.find(t, KindRefuse, 2); m.Promised != (Ballot{2, 3}) {
		t.Errorf("got promise %v in the refusal, want 2.3", m.Promised)
	}
	if got := r.Status().Last; got != 0 {
		t.Errorf("got slot %d accepted, want none", got)
	}
}

// §2.2, P2c, and phase 2a: "v is the value of the highest-numbered proposal
// among the responses".
func TestPaperProposesHighestReported(t *testing.T) {
	rec := &Recovered{}
	own := Entry{Slot: 1, Ballot: Ballot{1, 3}, Value: []byte("older")}
	if err := rec.Add(Record{Kind: RecordAccept, Slot: 1,
		Data: appendRecordData(nil, RecordAccept, &own)}); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, 1, rec)
	b := prepared(t, r)
	out := step(r, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 1, Last: 1,
		Entries: []Entry{{Slot: 1, Ballot: Ballot{2, 3}, Value: []byte("newer")}}})
	e := out.find(t, KindAccept, 2).Entries
	if len(e) != 1 || string(e[0].Value) != "newer" || e[0].Ballot != b {
		t.Errorf("got %+v, want newer at %v", e, b)
	}
}

// §2.5: "an acceptor must remember [...] before it actually sends the response",
// and "different proposers choose their numbers from disjoint sets of numbers
// [...] each proposer remembers (in stable storage) the highest-numbered
// proposal it has tried to issue, and begins phase 1 with a higher proposal
// number than any it has already used."
func TestPaperRemembersOwnBallot(t *testing.T) {
	r := newReplica(t, 1, nil)
	for r.Role() == RolePassive {
		r.Tick()
	}
	ask := takeTurn(r).find(t, KindPrePrepare, 2)
	r.Step(&Message{Kind: KindPreAnswer, From: 2, To: 1, Disk: 2, Ballot: ask.Ballot})
	rd := r.Ready()
	for _, m := range rd.Messages {
		if m.Kind == KindPrepare {
			t.Errorf("got %+v before its promise is synced, want none", m)
		}
	}
	rec := &Recovered{}
	for _, one := range rd.Records {
		if err := rec.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	used := r.Status().Ballot
	if again := prepared(t, newReplica(t, 1, rec)); !used.Less(again) || again.Node != 1 {
		t.Errorf("got ballot %v after a restart, want one of node 1 above %v", again, used)
	}
}

// §3: the new leader "proposes a special no-op command that leaves the state
// unchanged" for the gaps.
func TestPaperFillsGaps(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := prepared(t, r)
	out := step(r, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 1, Last: 2,
		Entries: []Entry{{Slot: 2, Ballot: Ballot{1, 3}, Value: []byte("x")}}})
	e := out.find(t, KindAccept, 2).Entries
	if len(e) != 2 || len(e[0].Value) != 0 || string(e[1].Value) != "x" {
		t.Errorf("got %+v, want a no-op and x", e)
	}
}

// §3: "a leader can get α commands ahead".
func TestPaperProposesAhead(t *testing.T) {
	r := newReplica(t, 1, nil)
	leading(t, r)
	for i := range 4 {
		if _, err := r.Propose([]byte("x")); err != nil {
			t.Fatalf("value %d: got %v, want it proposed", i, err)
		}
	}
	if _, err := r.Propose([]byte("x")); !errors.Is(err, ErrWindowFull) {
		t.Errorf("got %v with four in flight, want ErrWindowFull", err)
	}
}

// Lamport, Malkhi and Zhou, §3: the configuration of a slot is chosen α slots
// before it; no acceptor counts outside its own.
func TestPaperCountsByConfigurationOfSlot(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	next := Configuration{From: 3, Acceptors: []Acceptor{{1, 1}, {2, 20}, {3, 3}}}
	if err := r.Configure(next); err != nil {
		t.Fatal(err)
	}
	filled := takeTurn(r).find(t, KindAccept, 2).Entries
	if len(filled) != 1 || filled[0].Slot != 2 || len(filled[0].Value) != 0 {
		t.Errorf("got %+v, want a no-op that brings slot 3 nearer", filled)
	}
	if _, err := r.Propose([]byte("three")); !errors.Is(err, ErrWindowFull) {
		t.Errorf("got %v, want slot 3 to wait for promises of its own configuration", err)
	}
	out := step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 2, Last: 2})
	if len(out.chosen) != 1 {
		t.Errorf("got %d slots chosen by the old configuration, want 1", len(out.chosen))
	}
	for range 3 {
		r.Tick()
	}
	takeTurn(r).find(t, KindPrepare, 3)
	step(r, Message{Kind: KindPromise, From: 3, Ballot: b, Slot: 3, Last: 2})
	if s, err := r.Propose([]byte("three")); s != 3 || err != nil {
		t.Fatalf("got slot %d, %v, want slot 3", s, err)
	}
	takeTurn(r)
	out = step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 3, Last: 3})
	if len(out.chosen) != 0 {
		t.Errorf("got %d slots chosen by an old disk, want none", len(out.chosen))
	}
	out = step(r, Message{Kind: KindAccepted, From: 3, Ballot: b, Slot: 3, Last: 3})
	if len(out.chosen) != 1 {
		t.Errorf("got %d slots chosen, want 1", len(out.chosen))
	}
}

// Ongaro, §9.6: a node that was cut off does not raise ballots on its return.
func TestPaperAsksBeforePreparing(t *testing.T) {
	r := newReplica(t, 1, nil)
	for range 100 {
		r.Tick()
		if out := takeTurn(r); len(out.records) > 0 {
			t.Fatalf("got records %+v without an answer, want none", out.records)
		}
	}
	if got := r.Status().Promised; !got.IsZero() {
		t.Errorf("got promise %v, want none", got)
	}
}

// Ongaro, §6.2: a leader steps down if an election timeout elapses without a
// quorum of answers.
func TestPaperStepsDown(t *testing.T) {
	r := newReplica(t, 1, nil)
	leading(t, r)
	for range 10 {
		r.Tick()
		takeTurn(r)
	}
	if r.Role() == RoleLeading {
		t.Error("got a leader after ten silent ticks, want it to step down")
	}
	if _, err := r.ConfirmRead(); !errors.Is(err, ErrNotLeader) {
		t.Errorf("got %v from ConfirmRead, want ErrNotLeader", err)
	}
}

// "Paxos Made Simple", §3: phase 1 is done for all later instances at once, and the
// servers of an instance are those that the state α instances before it names. So phase 1
// is over when those of the next slot have promised too: what is taken over may end where
// a configuration ends, and the next slot have been chosen, and answered for, by others.
func TestPaperServesOnceTheNextConfigurationHasPromised(t *testing.T) {
	rec, old := &Recovered{}, Ballot{1, 3}
	for s := Slot(1); s <= 4; s++ {
		if err := rec.Add(accepted(s, old, "taken over")); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.Add(Record{Kind: RecordChosen, Slot: 1, Data: []byte{recordVersion}}); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, 1, rec)
	takeTurn(r)
	next := Configuration{From: 5, Acceptors: []Acceptor{{1, 1}, {3, 3}, {4, 4}}}
	if err := r.Configure(next); err != nil {
		t.Fatal(err)
	}
	b := prepared(t, r)
	step(r, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 2})
	out := step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 2, Last: 4})
	if len(out.chosen) != 3 {
		t.Fatalf("got %d slots chosen, want 2 to 4", len(out.chosen))
	}
	if s := r.Status(); s.Serving || r.CanPropose() {
		t.Errorf("got %+v, want a leader that serves nobody before 3 or 4 has promised slot 5", s)
	}
	beat := func() uint64 {
		for r.Tick(); r.ticks%r.cfg.HeartbeatTicks != 0; {
			r.Tick()
		}
		seq := takeTurn(r).find(t, KindHeartbeat, 3).Seq
		step(r, Message{Kind: KindHeartbeatAck, From: 3, Ballot: b, Seq: seq})
		return r.reads.confirmed
	}
	if _, err := r.ConfirmRead(); err != nil {
		t.Fatal(err)
	}
	if round := beat(); round != 0 {
		t.Errorf("round %d of reads is confirmed, and slot 5 may have been answered for", round)
	}
	out = step(r, Message{Kind: KindPromise, From: 4, Ballot: b, Slot: 5, Last: 5, Chosen: 4,
		Entries: []Entry{{Slot: 5, Ballot: old, Value: []byte("answered")}}})
	if got := out.find(t, KindAccept, 4).Entries; len(got) != 1 || string(got[0].Value) != "answered" {
		t.Errorf("got %+v proposed, want what slot 5 held", got)
	}
	step(r, Message{Kind: KindAccepted, From: 4, Ballot: b, Slot: 5, Last: 5})
	if s := r.Status(); !s.Serving || s.Chosen != 5 {
		t.Errorf("got %+v, want a leader that serves from slot 5 on", s)
	}
	if beat() == 0 {
		t.Error("no round of reads is confirmed")
	}
}

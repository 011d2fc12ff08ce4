package paxos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The tests of this file each take one reason away for which something that a replica
// hears does not count, or does. They speak to node 1 of three, as those of the papers.

// from is step for a node that speaks from any disk.
func from(r *Replica, disk DiskID, m Message) turn {
	m.To, m.Disk = r.cfg.Self, disk
	r.Step(&m)
	return takeTurn(r)
}

// asksAgain has a replica give its ballot up, and returns the next that it prepares.
func asksAgain(t *testing.T, r *Replica) Ballot {
	t.Helper()
	for r.Role() == RolePreparing {
		r.Tick()
	}
	takeTurn(r)
	return prepared(t, r)
}

// TestPromiseOfAnEarlierBallotIsNone: who promised a ballot that was given up may have
// accepted at one between that and the next.
func TestPromiseOfAnEarlierBallotIsNone(t *testing.T) {
	r := newReplica(t, 1, nil)
	first := prepared(t, r)
	second := asksAgain(t, r)
	step(r, Message{Kind: KindPromise, From: 2, Ballot: first, Slot: 1})
	if got := r.Role(); got != RolePreparing {
		t.Errorf("got %v in %v by a promise of %v, want preparing", got, second, first)
	}
	step(r, Message{Kind: KindPromise, From: 2, Ballot: second, Slot: 1})
	if got := r.Role(); got != RoleLeading {
		t.Errorf("got %v by a promise of %v, want leading", got, second)
	}
}

// TestAcceptOfAnEarlierBallotIsNone: what was accepted at an earlier ballot may be
// another value.
func TestAcceptOfAnEarlierBallotIsNone(t *testing.T) {
	r := newReplica(t, 1, nil)
	first := prepared(t, r)
	b := asksAgain(t, r)
	step(r, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 1})
	out := step(r, Message{Kind: KindAccepted, From: 2, Ballot: first, Slot: 1, Last: 1})
	if len(out.chosen) != 0 {
		t.Errorf("got %v chosen at %v by an accept at %v, want none", out.chosen, b, first)
	}
	out = step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 1, Last: 1})
	if len(out.chosen) != 1 {
		t.Errorf("got %v chosen, want slot 1", out.chosen)
	}
}

// TestOwnPromiseCountsOnceItIsSynced: a replica that counted its promise before could
// lead in a ballot that it has forgotten after a power cut (I4).
func TestOwnPromiseCountsOnceItIsSynced(t *testing.T) {
	r := newReplica(t, 1, nil)
	for r.Role() == RolePassive {
		r.Tick()
	}
	ask := takeTurn(r).find(t, KindPrePrepare, 2)
	r.Step(&Message{Kind: KindPreAnswer, From: 2, To: 1, Disk: 2, Ballot: ask.Ballot})
	held := slices.Clone(r.Ready().AfterSync)
	b := r.Status().Ballot
	r.Step(&Message{Kind: KindPromise, From: 2, To: 1, Disk: 2, Ballot: b, Slot: 1})
	r.Ready()
	if got := r.Role(); got != RolePreparing {
		t.Errorf("got %v before the own promise is synced, want preparing", got)
	}
	for i := range held {
		if held[i].To == 1 {
			r.Step(&held[i])
		}
	}
	if takeTurn(r); r.Role() != RoleLeading {
		t.Errorf("got %v after the sync, want leading", r.Role())
	}
}

// TestPromiseWithAGapCoversWhatFollowsIt: an acceptor that has dropped slots since the
// first piece of its promise does not say what they held. They were chosen.
func TestPromiseWithAGapCoversWhatFollowsIt(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := prepared(t, r)
	old := Ballot{1, 3}
	step(r, Message{Kind: KindPromise, Flags: FlagMore, From: 2, Ballot: b, Slot: 1, Last: 1,
		Entries: []Entry{{1, old, []byte("one")}}})
	out := step(r, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 9, Last: 9, Chosen: 9,
		Entries: []Entry{{9, old, []byte("nine")}}})
	if got := r.Role(); got != RolePreparing {
		t.Errorf("got %v by a promise without slots 2 to 8, want preparing", got)
	}
	out.find(t, KindLearn, 2)
}

// TestAnotherDiskHasPromisedNothing: what a node said from one disk does not count for
// the disk from which it speaks now (I7).
func TestAnotherDiskHasPromisedNothing(t *testing.T) {
	r, err := New(Config{Self: 1, Disk: 1, ElectionTicks: 10, HeartbeatTicks: 3,
		Configurations: []Configuration{
			{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 20}, {3, 3}}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for r.Role() == RolePassive {
		r.Tick()
	}
	ask := takeTurn(r).find(t, KindPrePrepare, 2)
	from(r, 20, Message{Kind: KindPreAnswer, From: 2, Ballot: ask.Ballot})
	b := r.Status().Ballot
	from(r, 2, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 1})
	from(r, 20, Message{Kind: KindLearn, From: 2, Slot: 1})
	if got := r.Role(); got != RolePreparing {
		t.Errorf("got %v by the promise of another disk, want preparing", got)
	}
	from(r, 20, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 1})
	if got := r.Role(); got != RoleLeading {
		t.Errorf("got %v, want leading", got)
	}
}

// asks has a leader ask for a round of reads, and returns its number.
func asks(t *testing.T, r *Replica) uint64 {
	t.Helper()
	seq, err := r.ConfirmRead()
	if err != nil {
		t.Fatal(err)
	}
	if got := takeTurn(r).find(t, KindHeartbeat, 2).Seq; got != seq {
		t.Fatalf("got round %d, want %d", got, seq)
	}
	return seq
}

// TestAnswerToAnEarlierLeaderConfirmsNothing: rounds are numbered anew after a restart,
// ballots are not.
func TestAnswerToAnEarlierLeaderConfirmsNothing(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	seq := asks(t, r)
	step(r, Message{Kind: KindHeartbeatAck, From: 2, Ballot: Ballot{b.Round - 1, 1}, Seq: seq})
	if r.reads.confirmed >= seq {
		t.Errorf("round %d is confirmed by an answer to another ballot", seq)
	}
	step(r, Message{Kind: KindHeartbeatAck, From: 2, Ballot: b, Seq: seq + 9})
	if next := asks(t, r); r.reads.confirmed >= next {
		t.Errorf("round %d is confirmed by an answer that came before it", next)
	}
	step(r, Message{Kind: KindHeartbeatAck, From: 2, Ballot: b, Seq: r.reads.seq})
	if r.reads.confirmed < seq {
		t.Errorf("got round %d confirmed, want %d", r.reads.confirmed, r.reads.seq)
	}
}

// TestReadsAreConfirmedInEachConfiguration: while slots of two are open, acceptors of
// either may have let another lead (I5, I24).
func TestReadsAreConfirmedInEachConfiguration(t *testing.T) {
	for _, c := range []struct {
		next    []Acceptor
		answers []NodeID
	}{
		{[]Acceptor{{1, 1}, {4, 4}, {5, 5}}, []NodeID{2, 4}},
		{[]Acceptor{{1, 1}, {4, 4}, {5, 5}}, []NodeID{4, 2}},
		{[]Acceptor{{1, 10}, {2, 2}, {3, 3}}, []NodeID{2, 3}}, // another disk of this node's
		{[]Acceptor{{1, 1}, {2, 20}, {3, 3}}, []NodeID{2, 3}}, // another disk of a peer's
	} {
		r := newReplica(t, 1, nil)
		b := leading(t, r)
		if err := r.Configure(Configuration{From: 6, Acceptors: c.next}); err != nil {
			t.Fatal(err)
		}
		takeTurn(r)
		seq := asks(t, r)
		for i, id := range c.answers {
			step(r, Message{Kind: KindHeartbeatAck, From: id, Ballot: b, Seq: seq})
			if got, want := r.reads.confirmed >= seq, i == 1; got != want {
				t.Errorf("%v from slot 6 on, %v have answered: confirmed %t, want %t", c.next,
					c.answers[:i+1], got, want)
			}
		}
	}
}

// TestAcceptorTakesWhatItHasRoomFor: an entry at another ballot than its message, one
// too far ahead and one that is too large are left alone (I22, I26).
func TestAcceptorTakesWhatItHasRoomFor(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := Ballot{1, 2}
	far := r.cfg.ahead()
	out := step(r, Message{Kind: KindAccept, From: 2, Ballot: b, Entries: []Entry{
		{Slot: 1, Ballot: Ballot{2, 2}, Value: []byte("above")},
		{Slot: 2, Ballot: Ballot{0, 2}, Value: []byte("below")},
		{Slot: 3, Ballot: b, Value: make([]byte, r.cfg.MaxValueBytes+1)},
		{Slot: far, Ballot: b, Value: []byte("the last")},
		{Slot: far + 1, Ballot: b, Value: []byte("too far")},
	}})
	if m := out.find(t, KindAccepted, 2); m.Slot != far || m.Last != far {
		t.Errorf("got slots %d to %d accepted, want %d alone", m.Slot, m.Last, far)
	}
	if s := r.Status(); s.Last != far || s.Promised != b {
		t.Errorf("got %+v, want last %d, promised %v", s, far, b)
	}
}

// TestAnotherValueForAChosenSlotIsTheEnd: two values would be chosen in it (I1).
func TestAnotherValueForAChosenSlotIsTheEnd(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := Ballot{1, 2}
	step(r, Message{Kind: KindAccept, From: 2, Ballot: b,
		Entries: []Entry{{1, b, []byte("one")}}})
	step(r, Message{Kind: KindHeartbeat, From: 2, Ballot: b, Chosen: 1, Seq: 1})
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "got chosen value") {
			t.Errorf("got %q, want a panic that names both values", said)
		}
	}()
	above := Ballot{2, 3}
	r.log.applied = 0
	r.accept(Entry{1, above, []byte("another")})
}

// TestRefusalWaitsForItsPromise: it names a promise that may not be synced yet (I4).
func TestRefusalWaitsForItsPromise(t *testing.T) {
	r := newReplica(t, 1, nil)
	r.Step(&Message{Kind: KindPrepare, From: 3, To: 1, Disk: 3, Ballot: Ballot{2, 3}, Slot: 1})
	r.Step(&Message{Kind: KindHeartbeat, From: 2, To: 1, Disk: 2, Ballot: Ballot{1, 2}, Seq: 1})
	rd := r.Ready()
	refuses := func(m Message) bool { return m.Kind == KindRefuse }
	if slices.ContainsFunc(rd.Messages, refuses) || !slices.ContainsFunc(rd.AfterSync, refuses) {
		t.Errorf("got %+v at once and %+v after the sync, want the refusal after it", rd.Messages,
			rd.AfterSync)
	}
}

// TestLearnsWhatItsTellerCallsChosen: and nothing above that.
func TestLearnsWhatItsTellerCallsChosen(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := Ballot{1, 2}
	out := step(r, Message{Kind: KindLearned, From: 2, Slot: 1, Last: 2, Chosen: 1,
		Entries: []Entry{{1, b, []byte("one")}, {2, b, []byte("two")}}})
	if len(out.chosen) != 1 || r.Chosen() != 1 {
		t.Errorf("got %v chosen, want slot 1", out.chosen)
	}
}

// TestPromiseReportsWhatItCovers: entries beside its slots are none that it speaks of.
func TestPromiseReportsWhatItCovers(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := prepared(t, r)
	old := Ballot{1, 3}
	out := step(r, Message{Kind: KindPromise, From: 2, Ballot: b, Slot: 2, Last: 2, Chosen: 1,
		Entries: []Entry{{1, old, []byte("below")}, {3, old, []byte("above")}}})
	if got := r.lead.reported; got != 0 || r.Chosen() != 0 {
		t.Errorf("got slot %d reported, %d chosen, want none; sent %+v", got, r.Chosen(), out.sent)
	}
}

// TestWhatIsReportedLateIsNotProposed: a quorum has said that the slot was not chosen,
// and what this leader begins must not come before what an earlier one wanted.
func TestWhatIsReportedLateIsNotProposed(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	step(r, Message{Kind: KindPromise, From: 3, Ballot: b, Slot: 1, Last: 3,
		Entries: []Entry{{3, Ballot{1, 2}, []byte("late")}}})
	for s := Slot(2); s <= 4; s++ {
		if got, err := r.Propose([]byte("new")); got != s || err != nil {
			t.Fatalf("got slot %d, %v, want %d", got, err, s)
		}
		if got := string(r.log.entry(s).Value); got != "new" {
			t.Errorf("slot %d: got %q proposed, want new", s, got)
		}
	}
}

// TestLaterLeaderIsBelieved: one that was replaced may not know it yet.
func TestLaterLeaderIsBelieved(t *testing.T) {
	r := newReplica(t, 1, nil)
	step(r, Message{Kind: KindHeartbeat, From: 3, Ballot: Ballot{2, 3}, Seq: 1})
	step(r, Message{Kind: KindHeartbeat, From: 2, Ballot: Ballot{1, 2}, Seq: 9})
	if got := r.Leader(); got != 3 {
		t.Errorf("got leader %d, want 3, whose ballot is higher", got)
	}
}

// TestLearningOfALaterLeaderDeposes: what was learned was chosen in a ballot above the
// own, so what this leader proposed there need not be what was chosen.
func TestLearningOfALaterLeaderDeposes(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	above := Ballot{b.Round + 1, 3}
	step(r, Message{Kind: KindLearned, From: 2, Slot: 2, Last: 2, Chosen: 2,
		Entries: []Entry{{2, above, []byte("two")}}})
	if s := r.Status(); s.Role == RoleLeading || s.Promised != above || s.Chosen != 2 {
		t.Errorf("got %+v, want no leader, promised %v, slot 2 chosen", s, above)
	}
}

// TestRecoveredGoesByTheHighestBallot: whatever the order of the records.
func TestRecoveredGoesByTheHighestBallot(t *testing.T) {
	promise := func(b Ballot) Record {
		return Record{Kind: RecordPromise,
			Data: appendRecordData(nil, RecordPromise, &Entry{Ballot: b})}
	}
	rec := &Recovered{}
	for _, one := range []Record{promise(Ballot{5, 3}), promise(Ballot{4, 2}),
		accepted(1, Ballot{2, 2}, "new"), accepted(1, Ballot{1, 1}, "old")} {
		if err := rec.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	r := newReplica(t, 1, rec)
	if e := r.log.entry(1); string(e.Value) != "new" || r.Promised() != (Ballot{5, 3}) {
		t.Errorf("got %q at %v, promised %v, want new, promised 5.3", e.Value, e.Ballot, r.Promised())
	}
}

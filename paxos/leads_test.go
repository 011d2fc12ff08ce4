package paxos

import (
	"errors"
	"testing"
)

// The tests of this file each take one reason away for which a replica begins to lead, or
// ends it.

// TestHighestReportedOfSeveral: "Paxos Made Simple", §2.2, phase 2a, whoever comes first.
func TestHighestReportedOfSeveral(t *testing.T) {
	five := []Acceptor{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}}
	for _, order := range [][]NodeID{{2, 3}, {3, 2}} {
		r, err := New(Config{Self: 1, Disk: 1, ElectionTicks: 10, HeartbeatTicks: 3,
			Configurations: []Configuration{{From: 1, Acceptors: five}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for r.Role() == RolePassive {
			r.Tick()
		}
		b := takeTurn(r).find(t, KindPrePrepare, 2).Ballot
		for _, id := range []NodeID{2, 3} {
			step(r, Message{Kind: KindPreAnswer, From: id, Ballot: b})
		}
		var out turn
		for _, id := range order {
			e := Entry{1, Ballot{uint64(id), id}, []byte{'0' + byte(id)}}
			out = step(r, Message{Kind: KindPromise, From: id, Ballot: r.Ballot(), Slot: 1, Last: 1,
				Entries: []Entry{e}})
		}
		if e := out.find(t, KindAccept, 2).Entries; len(e) != 1 || string(e[0].Value) != "3" {
			t.Errorf("order %v: got %+v proposed, want what 3 accepted, whose ballot is higher", order, e)
		}
	}
}

// TestHigherBallotNeedsPromisesOfItsOwn: those of the ballot before do not count for it.
func TestHigherBallotNeedsPromisesOfItsOwn(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	r.Outbid(b.Round)
	takeTurn(r)
	if got := r.Role(); got != RolePreparing || !b.Less(r.Ballot()) {
		t.Errorf("got %v in %v, want preparing above %v", got, r.Ballot(), b)
	}
}

// TestOwnPromiseOfAnEarlierBallotIsNone: it may be synced when the next one is not (I4).
func TestOwnPromiseOfAnEarlierBallotIsNone(t *testing.T) {
	r := newReplica(t, 1, nil)
	prepares := func() (own Message) {
		for r.Role() != RoleAsking {
			r.Tick()
		}
		r.Ready()
		r.Step(&Message{Kind: KindPreAnswer, From: 2, To: 1, Disk: 2, Ballot: r.Ballot()})
		for _, m := range r.Ready().AfterSync {
			if m.To == 1 {
				own = m
			}
		}
		return own
	}
	first, second := prepares(), prepares()
	if !first.Ballot.Less(second.Ballot) {
		t.Fatalf("got ballots %v and %v, want a higher one", first.Ballot, second.Ballot)
	}
	r.Step(&first)
	r.Step(&Message{Kind: KindPromise, From: 2, To: 1, Disk: 2, Ballot: second.Ballot, Slot: 1})
	r.Ready()
	if got := r.Role(); got != RolePreparing {
		t.Errorf("got %v in %v with the own promise of %v, want preparing", got, second.Ballot,
			first.Ballot)
	}
	r.Step(&second)
	r.Ready()
	if got := r.Role(); got != RoleLeading {
		t.Errorf("got %v, want leading", got)
	}
}

// TestOtherGroupsAreNotHeard: what another group's acceptor says counts there.
func TestOtherGroupsAreNotHeard(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	if _, err := r.Propose([]byte("two")); err != nil {
		t.Fatal(err)
	}
	takeTurn(r)
	accepts := Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 2, Last: 2}
	accepts.Group = 9
	if out := step(r, accepts); len(out.chosen) != 0 {
		t.Errorf("got %v chosen by another group, want none", out.chosen)
	}
	accepts.Group = 0
	if out := step(r, accepts); len(out.chosen) != 1 {
		t.Errorf("got %v chosen, want slot 2", out.chosen)
	}
}

// TestSettledByWhatIsSynced: an acceptor of the newest configuration holds the slots
// before it once it has said so after a sync, this node too (I5).
func TestSettledByWhatIsSynced(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	next := Configuration{From: 3, Acceptors: []Acceptor{{1, 1}, {2, 2}, {4, 4}}}
	if err := r.Configure(next); err != nil {
		t.Fatal(err)
	}
	takeTurn(r) // fills slot 2
	accepts := func(slot, chosen Slot) {
		step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: slot, Last: slot,
			Chosen: chosen})
	}
	accepts(2, 1)
	for _, id := range []NodeID{2, 4} {
		step(r, Message{Kind: KindHeartbeatAck, From: id, Ballot: b, Chosen: 2})
	}
	if r.Settled() {
		t.Error("settled by what two have heard, want it synced")
	}
	accepts(2, 2)
	if r.Settled() {
		t.Error("settled by one, and what this node has heard, want two that have synced it")
	}
	if _, err := r.Propose([]byte("three")); err != nil {
		t.Fatal(err)
	}
	takeTurn(r) // with the own accept, which is synced behind slot 2
	if !r.Settled() {
		t.Error("not settled, although this node and 2 have synced slots 1 and 2")
	}
}

// TestTakeOverOfAnEarlierLeaderIsNone: whoever has been replaced hands nothing over.
func TestTakeOverOfAnEarlierLeaderIsNone(t *testing.T) {
	for _, c := range []struct {
		what   string
		before Message
	}{
		{"promised", Message{Kind: KindPrepare, From: 3, Ballot: Ballot{2, 3}, Slot: 1}},
		{"heard", Message{Kind: KindHeartbeat, From: 3, Ballot: Ballot{2, 3}, Seq: 1}},
	} {
		r := newReplica(t, 1, nil)
		step(r, c.before)
		step(r, Message{Kind: KindTakeOver, From: 2, Ballot: Ballot{1, 2}})
		if got := r.Role(); got == RolePreparing {
			t.Errorf("%s 2.3, told to take over from 1.2: got %v, want passive", c.what, got)
		}
		step(r, Message{Kind: KindTakeOver, From: 3, Ballot: Ballot{2, 3}})
		if got := r.Role(); got != RolePreparing {
			t.Errorf("%s 2.3, told to take over from it: got %v, want preparing", c.what, got)
		}
	}
}

// TestNobodyIsWelcomeAfterAStart: who has just been started cannot know whether a leader
// lives, and who is no acceptor is never welcome (I29).
func TestNobodyIsWelcomeAfterAStart(t *testing.T) {
	rec := &Recovered{}
	if err := rec.Add(accepted(1, Ballot{1, 1}, "one")); err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, 3, rec)
	asked := Message{Kind: KindPrePrepare, From: 2, Ballot: Ballot{2, 2}, Slot: 1}
	if m := step(r, asked).find(t, KindPreAnswer, 2); !m.Flags.Has(FlagRefused) {
		t.Error("welcome at once after a start, want refused")
	}
	for range r.cfg.ElectionTicks {
		r.Tick()
	}
	takeTurn(r)
	if m := step(r, asked).find(t, KindPreAnswer, 2); m.Flags.Has(FlagRefused) {
		t.Error("refused an election timeout after the start, want welcome")
	}
	asked.From, asked.Ballot.Node = 9, 9
	if out := step(r, asked); len(out.sent) != 0 {
		t.Errorf("got %+v to one who is no acceptor, want nothing", out.sent)
	}
}

// TestHandOverThatComesToNothingEnds: a leader that hands over takes no value, says so
// once all is chosen and known, and serves on if nobody takes over.
func TestHandOverThatComesToNothingEnds(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	answer := func(chosen Slot) turn {
		return step(r, Message{Kind: KindHeartbeatAck, From: 2, Ballot: b, Chosen: chosen})
	}
	answer(1)
	if _, err := r.Propose([]byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := r.TransferLead(2); err != nil {
		t.Fatal(err)
	}
	for _, m := range append(takeTurn(r).sent, answer(1).sent...) {
		if m.Kind == KindTakeOver {
			t.Errorf("got %+v before slot 2 is chosen, want it later", m)
		}
	}
	if _, err := r.Propose([]byte("three")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("got %v in a hand-over, want ErrNotLeader", err)
	}
	step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 2, Last: 2})
	answer(2).find(t, KindTakeOver, 2)
	for range r.cfg.ElectionTicks {
		r.Tick()
		takeTurn(r)
		answer(2)
	}
	if !r.CanPropose() {
		t.Errorf("got %+v an election timeout later, want a leader that serves on", r.Status())
	}
}

// TestBallotIsAboveTheLeadersHeard: a leader's ballot that was not promised here is one
// that others have.
func TestBallotIsAboveTheLeadersHeard(t *testing.T) {
	r := newReplica(t, 1, nil)
	heard := Ballot{5, 3}
	step(r, Message{Kind: KindHeartbeat, From: 3, Ballot: heard, Seq: 1})
	if b := prepared(t, r); !heard.Less(b) {
		t.Errorf("got ballot %v, want one above %v", b, heard)
	}
}

// TestLeaderGoesWhenTooManyRefuse: one that refuses is no reason, two of three are (I29).
func TestLeaderGoesWhenTooManyRefuse(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	for _, id := range []NodeID{2, 3} {
		if got := r.Role(); got != RoleLeading {
			t.Errorf("got %v before %d refuses, want leading", got, id)
		}
		step(r, Message{Kind: KindRefuse, From: id, Ballot: b, Promised: Ballot{b.Round + 1, 3}})
	}
	if got := r.Role(); got == RoleLeading {
		t.Error("leads although two of three refuse, want it to step down")
	}
}

// TestLeaderProposesWhereItAccepts: and nowhere else, where it is of no use any more.
func TestLeaderProposesWhereItAccepts(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	step(r, Message{Kind: KindPromise, From: 3, Ballot: b, Slot: 2, Last: 1})
	next := Configuration{From: 3, Acceptors: []Acceptor{{2, 2}, {3, 3}, {4, 4}}}
	if err := r.Configure(next); err != nil {
		t.Fatal(err)
	}
	takeTurn(r) // fills slot 2
	step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 2, Last: 2})
	if r.Chosen() != 2 || r.CanPropose() {
		t.Errorf("got %+v, want slot 2 chosen and a leader that proposes nothing", r.Status())
	}
	r.Tick()
	if s := r.Status(); s.Role == RoleLeading && s.Transfer == NoNode {
		t.Errorf("got %+v, want a leader that hands over, or none", s)
	}
}

// TestSnapshotTakesNothingBack: one that is older than the state changes nothing (I13),
// and one that is newer ends a leadership, which knows nothing of the slots between.
func TestSnapshotTakesNothingBack(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	if _, err := r.Propose([]byte("two")); err != nil {
		t.Fatal(err)
	}
	takeTurn(r)
	step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: 2, Last: 2})
	r.Install(1, nil)
	if s := r.Status(); s.Applied != 2 || s.Lowest != 1 || s.Role != RoleLeading {
		t.Errorf("got %+v after a snapshot of slot 1, want nothing changed", s)
	}
	r.Install(50, nil)
	if s := r.Status(); s.Applied != 50 || s.Role == RoleLeading {
		t.Errorf("got %+v after a snapshot of slot 50, want it applied, and no leader", s)
	}
}

// TestSlotsThatAreGoneTakeASnapshot: what was dropped cannot be learned.
func TestSlotsThatAreGoneTakeASnapshot(t *testing.T) {
	rec := &Recovered{}
	rec.Base(4)
	r := newReplica(t, 1, rec)
	r.Step(&Message{Kind: KindLearn, From: 2, To: 1, Disk: 2, Slot: 3, Chosen: 2})
	rd := r.Ready()
	if s := rd.Snapshots; len(s) != 1 || s[0] != (SnapshotRequest{To: 2, Chosen: 2}) {
		t.Errorf("got snapshots %+v for slot 3 of a log from 5, want one to 2, above 2", s)
	}
	if m := rd.Messages; len(m) != 1 || !m[0].Flags.Has(FlagReleased) || m[0].Slot != 5 {
		t.Errorf("got %+v, want a Learned that says that slot 5 is the first", m)
	}
}

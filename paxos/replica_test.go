package paxos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := func() Config {
		return Config{Self: 1, Disk: 1, Configurations: []Configuration{
			{From: 1, Acceptors: []Acceptor{{1, 1}}}}}
	}
	if _, err := New(good(), nil); err != nil {
		t.Fatalf("a config of one node: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"no self", func(c *Config) { c.Self = 0 }, "Self is 0"},
		{"no configuration", func(c *Config) { c.Configurations = nil }, "no Configurations"},
		{"slot 0", func(c *Config) { c.Configurations[0].From = 0 }, "slot 0"},
		{"late", func(c *Config) { c.Configurations[0].From = 2 }, "starts at slot 2"},
		{"nobody", func(c *Config) { c.Configurations[0].Acceptors = nil }, "0 acceptors"},
		{"twice", func(c *Config) {
			c.Configurations[0].Acceptors = []Acceptor{{1, 1}, {1, 2}}
		}, "accepts twice"},
		{"order", func(c *Config) {
			c.Configurations = append(c.Configurations, c.Configurations[0])
		}, "follows"},
		{"beat", func(c *Config) { c.ElectionTicks, c.HeartbeatTicks = 5, 2 }, "ElectionTicks 5"},
		{"window", func(c *Config) { c.Window = -1 }, "Window -1"},
	} {
		cfg := good()
		c.change(&cfg)
		_, err := New(cfg, nil)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want ErrConfig with %q", c.name, err, c.says)
		}
	}
}

func accepted(slot Slot, b Ballot, value string) Record {
	e := Entry{Slot: slot, Ballot: b, Value: []byte(value)}
	return Record{Kind: RecordAccept, Slot: slot, Data: appendRecordData(nil, RecordAccept, &e)}
}

func TestRecoveredHandsOutChosenSlots(t *testing.T) {
	rec := &Recovered{}
	rec.Base(4)
	for _, r := range []Record{
		accepted(4, Ballot{1, 1}, "covered"), accepted(5, Ballot{1, 1}, "old"),
		accepted(6, Ballot{1, 1}, "six"), accepted(5, Ballot{2, 2}, "new"),
		accepted(8, Ballot{2, 2}, "open"),
		{Kind: RecordChosen, Slot: 6, Data: []byte{recordVersion}},
	} {
		if err := rec.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	r := newReplica(t, 1, rec)
	got := r.Ready().Chosen
	if len(got) != 2 || string(got[0].Value) != "new" || string(got[1].Value) != "six" {
		t.Errorf("got %v, want new and six", got)
	}
	s := r.Status()
	if s.Chosen != 6 || s.Last != 8 || s.Lowest != 5 || s.Promised != (Ballot{2, 2}) {
		t.Errorf("got %+v, want chosen 6, last 8, lowest 5, promised 2.2", s)
	}
}

// TestCatchUpTakesWhatReadyWould: what was taken before the first Ready is not
// handed out again, and what was refused is.
func TestCatchUpTakesWhatReadyWould(t *testing.T) {
	rec := &Recovered{}
	for _, r := range []Record{
		accepted(1, Ballot{1, 1}, "one"), accepted(2, Ballot{1, 1}, "two"),
		accepted(3, Ballot{1, 1}, "three"), accepted(4, Ballot{1, 1}, "open"),
		{Kind: RecordChosen, Slot: 3, Data: []byte{recordVersion}},
	} {
		if err := rec.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	r := newReplica(t, 1, rec)
	var took []string
	r.CatchUp(func(e *Entry) bool {
		if e.Slot < 3 {
			took = append(took, string(e.Value))
		}
		return e.Slot < 3
	})
	if want := []string{"one", "two"}; !slices.Equal(took, want) {
		t.Errorf("taken: got %q, want %q", took, want)
	}
	if s := r.Status(); s.Applied != 2 || s.Chosen != 3 || s.Lowest != 1 {
		t.Errorf("got %+v, want applied 2, chosen 3, lowest 1", s)
	}
	got := r.Ready().Chosen
	if len(got) != 1 || got[0].Slot != 3 || string(got[0].Value) != "three" {
		t.Errorf("left to Ready: got %v, want three", got)
	}
}

func TestRecoveredWithAHoleIsIncomplete(t *testing.T) {
	rec := &Recovered{}
	for _, r := range []Record{
		accepted(1, Ballot{1, 1}, "one"), accepted(3, Ballot{1, 1}, "three"),
		{Kind: RecordChosen, Slot: 3, Data: []byte{recordVersion}},
	} {
		if err := rec.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	_, err := New(Config{Self: 1, Disk: 1, Configurations: []Configuration{
		{From: 1, Acceptors: []Acceptor{{1, 1}}}}}, rec)
	if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "slot 2 is missing") {
		t.Errorf("got %v, want ErrIncomplete naming slot 2", err)
	}
}

func TestProposeRefusesBadSizes(t *testing.T) {
	r := newReplica(t, 1, nil)
	leading(t, r)
	for _, v := range [][]byte{nil, {}, make([]byte, 1<<20+1)} {
		if _, err := r.Propose(v); !errors.Is(err, ErrValueSize) {
			t.Errorf("%d bytes: got %v, want ErrValueSize", len(v), err)
		}
	}
}

// TestStepIgnoresNonsense: no message of another group, node or shape makes a
// replica panic or change its promise.
func TestStepIgnoresNonsense(t *testing.T) {
	r := newReplica(t, 1, nil)
	leading(t, r)
	before := r.Status().Promised
	const tail = 100
	huge := ^Slot(0)
	for kind := Kind(0); kind <= kindEnd; kind++ {
		for _, m := range []Message{
			{Kind: kind, Group: 9, From: 2, To: 1},
			{Kind: kind, From: 2, To: 3},
			{Kind: kind, From: 2, To: 1},
			{Kind: kind, From: 99, To: 1, Ballot: Ballot{9, 99}, Slot: 1, Last: huge, Chosen: huge},
			{Kind: kind, From: 2, To: 1, Ballot: before, Slot: huge, Last: huge, Seq: ^uint64(0)},
			{Kind: kind, From: 2, To: 1, Ballot: before, Slot: 5, Last: 2},
			{Kind: kind, From: 2, To: 1, Ballot: before, Last: huge},
			{Kind: kind, From: 2, To: 1, Ballot: Ballot{9, 3}, Slot: 1, Entries: []Entry{
				{Slot: 0}, {Slot: huge, Value: []byte("x")}}},
		} {
			m.Disk = 2
			r.Step(&m)
			takeTurn(r)
		}
	}
	if s := r.Status(); s.Promised != before || s.Last > tail {
		t.Errorf("got %+v, want promise %v and a short log", s, before)
	}
}

func TestConfigureTakesOnlyWhatComesLater(t *testing.T) {
	r := newReplica(t, 1, nil)
	leading(t, r)
	bad := []Configuration{
		{From: 0, Acceptors: []Acceptor{{1, 1}}},
		{From: 9},
		{From: 1, Acceptors: []Acceptor{{4, 4}}},
	}
	for _, c := range bad[:2] {
		if err := r.Configure(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: got %v, want ErrConfig", c, err)
		}
	}
	if err := r.Configure(bad[2]); err != nil || len(r.configs) != 1 {
		t.Errorf("a configuration known already: got %v and %d of them, want 1",
			err, len(r.configs))
	}
	if err := r.Configure(Configuration{From: 9, Acceptors: []Acceptor{{1, 1}}}); err != nil {
		t.Errorf("got %v, want it taken", err)
	}
	earlier := Configuration{From: 7, Acceptors: []Acceptor{{2, 2}}}
	if err := r.Configure(earlier); !errors.Is(err, ErrConfig) || len(r.configs) != 2 {
		t.Errorf("one that begins before the last: got %v and %d of them, want ErrConfig and 2", err,
			len(r.configs))
	}
}

// TestObserverNeverAsks: a node that is in no configuration learns and accepts
// nothing that counts, and never asks to lead.
func TestObserverNeverAsks(t *testing.T) {
	r, err := New(Config{Self: 4, Disk: 4, Configurations: []Configuration{{
		From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}, Observers: []NodeID{4}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		r.Tick()
	}
	onlyLearns(t, r, 200)
	b := Ballot{1, 1}
	step(r, Message{Kind: KindHeartbeat, From: 1, Ballot: b, Chosen: 2, Seq: 1})
	for range 3 {
		r.Tick()
	}
	takeTurn(r).find(t, KindLearn, 1)
	out := step(r, Message{Kind: KindLearned, From: 1, Slot: 1, Last: 2, Chosen: 2,
		Entries: []Entry{{1, b, nil}, {2, b, []byte("x")}}})
	if len(out.chosen) != 2 {
		t.Errorf("got %d slots, want 2", len(out.chosen))
	}
}

// onlyLearns checks that a replica which cannot lead and has heard no leader for
// so many ticks has asked every peer what is chosen, seldom, and nothing else.
func onlyLearns(t *testing.T, r *Replica, ticks Ticks) {
	t.Helper()
	asked := make(map[NodeID]int)
	out := takeTurn(r)
	for _, m := range out.sent {
		if m.Kind != KindLearn {
			t.Errorf("got %+v, want Learns alone", m)
		}
		asked[m.To]++
	}
	most := int(ticks/r.cfg.ElectionTicks) + 1
	if len(asked) != len(r.peers) || len(out.sent) > most || len(out.records) > 0 {
		t.Errorf("got %v asked in %d ticks and records %+v, want each of %d peers, %d times in all "+
			"at most, and none", asked, ticks, out.records, len(r.peers), most)
	}
}

// TestNodeThatComesBackHasNothing: what a node said of the slots it has, before
// the group left it, does not make it caught up when the group comes back.
func TestNodeThatComesBackHasNothing(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	for _, from := range []NodeID{2, 3} {
		step(r, Message{Kind: KindHeartbeatAck, From: from, Ballot: b, Chosen: 1})
	}
	if got, ok := r.PeerChosen(3); !ok || got != 1 {
		t.Fatalf("got slot %d, %v of node 3, want slot 1", got, ok)
	}
	stay := []Acceptor{{1, 1}, {2, 2}}
	for _, c := range []Configuration{
		{From: 6, Acceptors: stay}, {From: 7, Acceptors: stay, Observers: []NodeID{3}},
	} {
		if err := r.Configure(c); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := r.PeerChosen(3); !ok || got != 0 {
		t.Errorf("got slot %d, %v of node 3 that came back, want slot 0", got, ok)
	}
	if got, _ := r.PeerChosen(2); got != 1 {
		t.Errorf("got slot %d of node 2 that stayed, want slot 1", got)
	}
}

// TestFM2PeerThatComesAgainHasLearnedNothing: what a node said of the slots it has does not
// count when it comes again on a new conn: it may have been started again without them.
func TestFM2PeerThatComesAgainHasLearnedNothing(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	said := func(n Slot) { step(r, Message{Kind: KindHeartbeatAck, From: 3, Ballot: b, Chosen: n}) }
	said(1)
	r.PeerDown(3)
	r.PeerUp(3)
	said(0)
	if got, ok := r.PeerChosen(3); !ok || got != 0 {
		t.Errorf("got slot %d, %v of node 3 that came again without them, want slot 0", got, ok)
	}
	said(1)
	said(0) // overtaken by the one before
	if got, _ := r.PeerChosen(3); got != 1 {
		t.Errorf("got slot %d of node 3, want slot 1", got)
	}
}

// TestFM2PeerHoldsWhatItSaysIsSynced: what a peer has counts once it has answered a
// heartbeat on the conn that stands, and then no further than it says that it has synced.
func TestFM2PeerHoldsWhatItSaysIsSynced(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	holds := func(what string, want Slot, known bool) {
		t.Helper()
		if got, ok := r.PeerHolds(3); got != want || ok != known {
			t.Errorf("%s: got slot %d, %v, want %d, %v", what, got, ok, want, known)
		}
	}
	ack := func(slot Slot) {
		step(r, Message{Kind: KindHeartbeatAck, From: 3, Ballot: b, Chosen: 1, Slot: slot})
	}
	ack(1)
	holds("none synced", 0, true)
	r.PeerUp(3)
	step(r, Message{Kind: KindLearn, From: 3, Slot: 2, Chosen: 1})
	holds("it has not said", 0, false)
	ack(2)
	holds("one synced", 1, true)
	r.PeerUp(3)
	ack(0)
	holds("of an earlier version", 1, true)
}

// TestLearnsFromWhoJoinedSince: a replica that is far behind does not know who
// accepts now. It asks such a one too for what is chosen, although the watermark
// of another, who is gone, was higher.
func TestLearnsFromWhoJoinedSince(t *testing.T) {
	r, err := New(Config{Self: 1, Disk: 1, Configurations: []Configuration{{
		From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	step(r, Message{Kind: KindHeartbeat, From: 2, Ballot: Ballot{1, 2}, Chosen: 20, Seq: 1})
	step(r, Message{Kind: KindPrePrepare, From: 4, Ballot: Ballot{2, 4}, Slot: 16, Chosen: 15})
	asked := make(map[NodeID]bool)
	for range 200 {
		r.Tick()
		for _, m := range takeTurn(r).sent {
			asked[m.To] = asked[m.To] || m.Kind == KindLearn
		}
	}
	if !asked[2] || !asked[3] || !asked[4] {
		t.Errorf("got %v asked what is chosen, want 2, 3 and 4", asked)
	}
}

// TestReleaseKeepsWhatHasRoom: of what a checkpoint covers as much stays as both
// bounds allow, and nothing above the checkpoint goes (I22).
func TestReleaseKeepsWhatHasRoom(t *testing.T) {
	const slots, valueBytes = 20, 10
	for _, row := range []struct {
		keep   Slot
		bytes  int
		upto   Slot
		lowest Slot
	}{
		{100, 1000, 15, 1},
		{3, 1000, 15, 13},
		{100, 3 * valueBytes, 15, 13},
		{100, 4*valueBytes - 1, 15, 13},
		{2, 4 * valueBytes, 15, 14},
		{100, valueBytes - 1, 15, 16},
		{100, 1, 99, slots + 1},
	} {
		rec := &Recovered{}
		for s := Slot(1); s <= slots; s++ {
			if err := rec.Add(accepted(s, Ballot{1, 1}, strings.Repeat("x", valueBytes))); err != nil {
				t.Fatal(err)
			}
		}
		chosen := Record{Kind: RecordChosen, Slot: slots, Data: []byte{recordVersion}}
		if err := rec.Add(chosen); err != nil {
			t.Fatal(err)
		}
		r, err := New(Config{Self: 1, Disk: 1, RetainSlots: row.keep, RetainBytes: row.bytes,
			Configurations: []Configuration{{From: 1, Acceptors: []Acceptor{{1, 1}}}}}, rec)
		if err != nil {
			t.Fatal(err)
		}
		r.Ready()
		r.Release(row.upto)
		if got := r.Status().Lowest; got != row.lowest {
			t.Errorf("%d slots, %d bytes, checkpoint at %d: lowest is %d, want %d",
				row.keep, row.bytes, row.upto, got, row.lowest)
		}
	}
}

// TestLeaderWithoutHeartbeatsStepsDown: a caller that withholds heartbeats, as
// it does while its disk stalls, costs the leadership, even though the peers
// accept what is proposed (I30).
func TestLeaderWithoutHeartbeatsStepsDown(t *testing.T) {
	r := newReplica(t, 1, nil)
	b := leading(t, r)
	for range 10 {
		r.Tick()
		if s, err := r.Propose([]byte("x")); err == nil {
			takeTurn(r)
			step(r, Message{Kind: KindAccepted, From: 2, Ballot: b, Slot: s, Last: s})
		}
	}
	if got := r.Role(); got != RolePassive {
		t.Errorf("got %v without an answered heartbeat, want passive", got)
	}
}

// A disk that has forgotten what it accepted below a slot answers for the slots
// from there on only: whoever asks must know by itself what was chosen before.
func TestForgottenSlotsBindNobody(t *testing.T) {
	r, err := New(Config{Self: 1, Disk: 1, Forgotten: 5, Configurations: []Configuration{
		{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		r.Tick()
	}
	onlyLearns(t, r, 100)
	b := Ballot{Round: 3, Node: 2}
	r.Step(&Message{Kind: KindPrePrepare, From: 2, To: 1, Disk: 2, Ballot: b, Slot: 1})
	r.Step(&Message{Kind: KindPrepare, From: 2, To: 1, Disk: 2, Ballot: b, Slot: 1})
	r.Step(&Message{Kind: KindAccept, From: 2, To: 1, Disk: 2, Ballot: b, Entries: []Entry{
		{Slot: 4, Ballot: b, Value: []byte("four")}, {Slot: 5, Ballot: b, Value: []byte("five")}}})
	var got []string
	for _, m := range r.Ready().AfterSync {
		got = append(got, fmt.Sprintf("%v refused %t slots %d to %d", m.Kind,
			m.Flags.Has(FlagRefused), m.Slot, m.Last))
	}
	want := []string{"PreAnswer refused true slots 0 to 0", "Promise refused false slots 5 to 4",
		"Accepted refused false slots 5 to 5"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A new leader may learn that slots far above those it proposed in were chosen
// before. Among them may be one that changes the acceptors from a slot on which
// it has passed by then, but not proposed in.
func TestConfigureAfterLearningAhead(t *testing.T) {
	r := newReplica(t, 1, nil)
	leading(t, r)
	old := Ballot{Round: 0, Node: 3}
	var chosen []Entry
	for s := Slot(2); s <= 9; s++ {
		chosen = append(chosen, Entry{Slot: s, Ballot: old, Value: []byte("x")})
	}
	got := step(r, Message{Kind: KindLearned, From: 2, Chosen: 9, Entries: chosen})
	if len(got.chosen) != 8 {
		t.Fatalf("got %d slots chosen, want 8", len(got.chosen))
	}
	three := []Acceptor{{1, 1}, {2, 2}, {3, 3}}
	if err := r.Configure(Configuration{From: 6, Acceptors: three}); err != nil {
		t.Errorf("a configuration from a slot that was passed: got %v, want it taken", err)
	}
	if _, err := r.Propose([]byte("x")); err != nil {
		t.Fatalf("got %v from %+v", err, r.Status())
	}
	if err := r.Configure(Configuration{From: 10, Acceptors: three}); !errors.Is(err, ErrConfig) {
		t.Errorf("a configuration from a slot proposed in: got %v, want ErrConfig", err)
	}
}

// A log may hold a hint of a stay that is over, whose entries are gone. Above what
// was forgotten, a hole is one all the same.
func TestRecoveredHintOfAStayThatIsOver(t *testing.T) {
	for _, c := range []struct {
		hint   Slot
		err    error
		chosen Slot
	}{{4, nil, 1}, {7, ErrIncomplete, 0}} {
		rec := &Recovered{}
		records := []Record{accepted(1, Ballot{1, 1}, "one"),
			{Kind: RecordChosen, Slot: c.hint, Data: []byte{recordVersion}}}
		if c.err != nil {
			for s := Slot(2); s <= 5; s++ {
				records = append(records, accepted(s, Ballot{1, 1}, "x"))
			}
		}
		for _, r := range records {
			if err := rec.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		r, err := New(Config{Self: 1, Disk: 1, Forgotten: 5, Configurations: []Configuration{
			{From: 1, Acceptors: []Acceptor{{1, 1}, {2, 2}, {3, 3}}}}}, rec)
		if !errors.Is(err, c.err) {
			t.Fatalf("hint of slot %d: got %v, want %v", c.hint, err, c.err)
		}
		if err == nil && r.Chosen() != c.chosen {
			t.Errorf("hint of slot %d: got chosen up to %d, want %d", c.hint, r.Chosen(), c.chosen)
		}
	}
}

package check

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// wants fails unless err names the invariant, or is nil if that is empty.
func wants(t *testing.T, err error, invariant string) {
	t.Helper()
	switch {
	case err == nil && invariant != "":
		t.Errorf("got no complaint, want one of %s", invariant)
	case err != nil && (invariant == "" || !strings.Contains(err.Error(), invariant+":")):
		t.Errorf("got %q, want a complaint of %q", err, invariant)
	}
}

func ballot(round uint64) paxos.Ballot { return paxos.Ballot{Round: round, Node: 1} }

func record(kind wal.Kind, slot, round uint64, value string) *wal.Record {
	data := binary.LittleEndian.AppendUint64([]byte{1}, round)
	data = binary.LittleEndian.AppendUint16(data, 1)
	return &wal.Record{Kind: kind, Slot: slot, Data: append(data, value...)}
}

// mark says that the group has left the node, 1, or is back, 2.
func mark(kind byte) *wal.Record {
	data := append([]byte{kind}, make([]byte, 8)...)
	return &wal.Record{Group: marks, Kind: wal.KindState, Data: data}
}

// chosenBy makes the checker of one group that some disks keep.
func chosenBy(t *testing.T, disks ...int) *Chosen {
	t.Helper()
	c, set := NewChosen(1), Disks(0)
	for _, d := range disks {
		set |= 1 << d
	}
	wants(t, c.Configure(0, 1, set), "")
	return c
}

func TestEachSlotHasItsAcceptors(t *testing.T) {
	c := chosenBy(t, 1, 2, 3)
	wants(t, c.Configure(0, 5, 0b11110), "")
	wants(t, c.Configure(0, 9, 0b11100), "")
	wants(t, c.Configure(0, 9, 0b11110), "I5")
	x := &paxos.Entry{Slot: 5, Ballot: ballot(1), Value: []byte("x")}
	wants(t, c.Synced(1, 0, x), "")
	wants(t, c.Synced(2, 0, x), "")
	if c.ByQuorum(0, x) {
		t.Error("two of four disks are taken for a quorum")
	}
	wants(t, c.Synced(4, 0, x), "")
	if !c.ByQuorum(0, x) {
		t.Error("three of four disks are not taken for a quorum")
	}
}

func TestDiskHoldsMessagesAgainstWhatIsSynced(t *testing.T) {
	d := NewDisk(1, 1, 1, chosenBy(t, 1, 2))
	promise := &paxos.Message{Kind: paxos.KindPromise, Ballot: ballot(3)}
	accepted := &paxos.Message{Kind: paxos.KindAccepted, Ballot: ballot(3), Slot: 1, Last: 1}
	wants(t, d.Appended(1, record(wal.KindState, 0, 3, "")), "")
	wants(t, d.Sent(promise), "I4")
	wants(t, d.Synced(1), "")
	wants(t, d.Sent(promise), "")
	wants(t, d.Appended(2, record(wal.KindEntry, 1, 3, "x")), "")
	wants(t, d.Sent(accepted), "I4")
	wants(t, d.Synced(2), "")
	wants(t, d.Sent(accepted), "")
	wants(t, d.Appended(3, record(wal.KindEntry, 2, 2, "y")), "I3")
	wants(t, d.Appended(4, record(wal.KindState, 0, 2, "")), "I3")
}

// What a node accepted just before a group left it may be spoken of afterwards,
// once it is synced.
func TestDiskJudgesWhatWasSaidBeforeAGroupLeft(t *testing.T) {
	d := NewDisk(1, 1, 1, chosenBy(t, 1, 2))
	accepted := &paxos.Message{Kind: paxos.KindAccepted, Ballot: ballot(3), Slot: 1, Last: 2}
	wants(t, d.Appended(1, record(wal.KindState, 0, 3, "")), "")
	wants(t, d.Appended(2, record(wal.KindEntry, 1, 3, "x")), "")
	wants(t, d.Synced(2), "")
	wants(t, d.Appended(3, record(wal.KindEntry, 2, 3, "y")), "")
	wants(t, d.Appended(4, mark(1)), "")
	wants(t, d.Released(0, dropped), "")
	wants(t, d.Sent(accepted), "I4")
	wants(t, d.Synced(3), "")
	wants(t, d.Sent(accepted), "")
	d.Reopened(0)
	wants(t, d.Sent(accepted), "")
	accepted.Last = 3
	wants(t, d.Sent(accepted), "I4")
}

// A start that finds the mark of a group that has left may end before the node has
// dropped the group again, and the log drop what the node needs no longer all the same.
func TestDiskAsksForNothingOfAGroupThatLeft(t *testing.T) {
	d := NewDisk(1, 1, 1, chosenBy(t, 1, 2))
	promise, accept := record(wal.KindState, 0, 3, ""), record(wal.KindEntry, 1, 3, "x")
	left, back := mark(1), mark(2)
	wants(t, d.Appended(1, promise), "")
	wants(t, d.Appended(2, accept), "")
	wants(t, d.Synced(2), "")
	wants(t, d.Released(0, dropped), "I10")
	wants(t, d.Appended(3, left), "")
	wants(t, d.Synced(3), "")
	wants(t, d.Released(0, dropped), "")
	for _, records := range [][]*wal.Record{
		{promise, accept, left}, {promise, left}, {promise, accept, left, accept, back}, {promise, back},
		{promise, left},
	} {
		f := NewFound(1)
		for _, r := range records {
			wants(t, f.Add(r), "")
		}
		wants(t, d.Restarted(f), "")
	}
	wants(t, d.Appended(4, back), "")
	d.Reopened(0)
	wants(t, d.Released(0, 1), "") // a checkpoint covers it
	if d.Holds(0, 1) {
		t.Error("got slot 1 held, and a start would find that the group has left")
	}
	wants(t, d.Synced(4), "")
	if !d.Holds(0, 1) {
		t.Error("got slot 1 not held, and all is synced")
	}
}

func TestDiskHoldsAStartAgainstWhatWasSynced(t *testing.T) {
	for _, c := range []struct {
		name  string
		found []*wal.Record
		want  string
	}{
		{"all", []*wal.Record{record(wal.KindState, 0, 3, ""), record(wal.KindEntry, 1, 3, "x")}, ""},
		{"no promise", []*wal.Record{record(wal.KindEntry, 1, 3, "x")}, "I10"},
		{"no accept", []*wal.Record{record(wal.KindState, 0, 3, "")}, "I10"},
		{"invented", []*wal.Record{record(wal.KindState, 0, 4, ""), record(wal.KindEntry, 1, 3, "x")},
			"I8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDisk(1, 1, 1, chosenBy(t, 1, 2))
			wants(t, d.Appended(1, record(wal.KindState, 0, 3, "")), "")
			wants(t, d.Appended(2, record(wal.KindEntry, 1, 3, "x")), "")
			wants(t, d.Synced(2), "")
			f := NewFound(1)
			for _, r := range c.found {
				wants(t, f.Add(r), "")
			}
			wants(t, d.Restarted(f), c.want)
		})
	}
}

func TestChosenWantsAQuorumAndOneValue(t *testing.T) {
	c := chosenBy(t, 1, 2, 3)
	x := &paxos.Entry{Slot: 1, Ballot: ballot(1), Value: []byte("x")}
	y := &paxos.Entry{Slot: 1, Ballot: ballot(1), Value: []byte("y")}
	wants(t, c.Synced(1, 0, x), "")
	_, err := c.Applied(1, 0, x, 5, 6)
	wants(t, err, "I1")
	wants(t, c.Offered(0, y), "I2")
	wants(t, c.Synced(2, 0, x), "")
	first, err := c.Applied(1, 0, x, 5, 6)
	if wants(t, err, ""); !first {
		t.Error("got a slot that was applied before, want the first time")
	}
	_, err = c.Applied(2, 0, y, 5, 6)
	wants(t, err, "I1")
	_, err = c.Applied(2, 0, x, 5, 7)
	wants(t, err, "I13")
	_, err = c.Applied(2, 0, x, 5, 0) // it does not say how its machine stands
	wants(t, err, "")
	wants(t, c.Adopted(3, 0, 1, 9), "I12")
}

// applied runs commands through a machine and shows them to a model, after
// spoil has had its way with the outcome.
func applied(t *testing.T, spoil func(*lockfsm.Outcome), commands ...lockfsm.Command) error {
	t.Helper()
	limits := lockfsm.DefaultLimits()
	machine, err := lockfsm.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	model := NewModel(0, limits)
	var b lockfsm.BatchBuilder
	for i := range commands {
		b.Append(&commands[i])
	}
	var out lockfsm.Outcome
	if err := machine.Apply(1, b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	spoil(&out)
	return model.Apply(1, b.Bytes(), &out, AllDone)
}

func TestModelAcceptsTheMachineAndNothingElse(t *testing.T) {
	name := []byte("a")
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	lock := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1, Name: name,
		Mode: lockfsm.ModeEX}
	wait := lock
	wait.Request, wait.Flags = 2, lockfsm.Wait
	for _, c := range []struct {
		name  string
		spoil func(*lockfsm.Outcome)
		want  string
	}{
		{"as it was", func(*lockfsm.Outcome) {}, ""},
		{"two holders", func(o *lockfsm.Outcome) {
			o.Results[2].Code, o.Results[2].Token = lockfsm.CodeOK, 9
		}, "I14"},
		{"token zero", func(o *lockfsm.Outcome) { o.Results[1].Token = 0 }, "I15"},
		{"free lock refused", func(o *lockfsm.Outcome) { o.Results[1].Code = lockfsm.CodeHeld }, "I17"},
		{"grant from nowhere", func(o *lockfsm.Outcome) {
			o.Events = append(o.Events, lockfsm.Event{Kind: lockfsm.EventGranted, Session: 1, Request: 2,
				Token: 9, Name: name})
		}, "I17"},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, applied(t, c.spoil, open, lock, wait), c.want) })
	}
}

// What an owner enters and leaves counts once each, however often it is asked.
func TestModelCountsWhatAnOwnerEnters(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	enter := lockfsm.Command{Op: lockfsm.OpEnter, Session: 1, Epoch: 1, Request: 1, Owner: 7,
		Name: []byte("a"), Mode: lockfsm.ModeEX}
	deeper, other, leave := enter, enter, enter
	deeper.Request = 2
	other.Request, other.Mode = 3, lockfsm.ModePR
	leave.Op = lockfsm.OpLeave
	last, try := leave, enter
	last.Request = 2
	try.Request, try.Owner = 4, 8
	ok, held, not := lockfsm.CodeOK, lockfsm.CodeHeld, lockfsm.CodeNotHolder
	commands := []lockfsm.Command{open, enter, deeper, deeper, other, leave, leave, try, last, try}
	for _, c := range []struct {
		name  string
		place int
		code  lockfsm.Code
		want  string
	}{
		{"as it was", 1, ok, ""},
		{"level refused", 2, held, "I18"},
		{"level refused the second time", 3, held, "I19"},
		{"other mode let in", 4, ok, "I18"},
		{"leave refused", 5, not, "I18"},
		{"left twice", 6, ok, "I18"},
		{"granted below a level", 7, ok, "I14"},
		{"last leave refused", 8, not, "I18"},
		{"free lock refused", 9, held, "I17"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := lockfsm.Token(0)
			all := slices.Clone(commands)
			for i := range all {
				if all[i].Op == lockfsm.OpLeave {
					all[i].Token = 1
				}
			}
			err := applied(t, func(o *lockfsm.Outcome) {
				token = o.Results[1].Token
				o.Results[c.place].Code = c.code
			}, all...)
			if token != 1 {
				t.Fatalf("got token %d for the first grant, want 1", token)
			}
			wants(t, err, c.want)
		})
	}
}

// Of two readers who ask to write the second is refused; the first writes with a
// new token once the second has gone.
func TestModelJudgesConversions(t *testing.T) {
	name := []byte("a")
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	second := open
	second.Nonce = lockfsm.Nonce{2}
	one := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1, Name: name,
		Mode: lockfsm.ModePR}
	two := one
	two.Session = 2
	up := lockfsm.Command{Op: lockfsm.OpConvert, Session: 1, Epoch: 1, Request: 2, Target: 1, Token: 1,
		Name: name, Mode: lockfsm.ModeEX, Flags: lockfsm.Wait}
	also := up
	also.Session, also.Token = 2, 2
	back := lockfsm.Command{Op: lockfsm.OpGiveBack, Session: 2, Epoch: 1, Target: 1, Token: 2,
		Name: name}
	down := up
	down.Request, down.Mode = 3, lockfsm.ModePR
	again := two
	again.Request = 4
	commands := []lockfsm.Command{open, second, one, two, up, also, back, up, down, again}
	for _, c := range []struct {
		name  string
		spoil func(*lockfsm.Outcome)
		want  string
	}{
		{"as it was", func(*lockfsm.Outcome) {}, ""},
		{"granted beside a reader", func(o *lockfsm.Outcome) { o.Results[4].Code = lockfsm.CodeOK },
			"I14"},
		{"both wait", func(o *lockfsm.Outcome) { o.Results[5].Code = lockfsm.CodeQueued }, "circle"},
		{"no deadlock seen", func(o *lockfsm.Outcome) { o.Results[4].Code = lockfsm.CodeDeadlock },
			"circle"},
		{"old token kept", func(o *lockfsm.Outcome) { o.Events[0].Token = 1 }, "I19"},
		{"not told", func(o *lockfsm.Outcome) { o.Events = nil }, "I19"},
		{"downgrade refused", func(o *lockfsm.Outcome) { o.Results[8].Code = lockfsm.CodeQueued }, "I18"},
		{"downgrade with another token", func(o *lockfsm.Outcome) { o.Results[8].Token++ }, "I18"},
		{"reader kept out after it", func(o *lockfsm.Outcome) {
			o.Results[9].Code = lockfsm.CodeHeld
		}, "I17"},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, applied(t, c.spoil, commands...), c.want) })
	}
}

func TestLeasesKnowWhenItIsEarly(t *testing.T) {
	l := NewLeases(10_000)
	wants(t, l.Renewed(0, 1, 100e6, 1000e6), "")
	wants(t, l.Ended(0, 1, 1000e6), "I21")
	l = NewLeases(10_000)
	wants(t, l.Renewed(0, 1, 100e6, 1000e6), "")
	wants(t, l.Ended(0, 1, 1095e6), "")
	believes := true
	l.Believe(0, "a", Belief{Token: 1, Mode: lockfsm.ModeEX,
		Believes: func() bool { return believes }})
	grant := &Grant{Token: 2, Name: "a", Mode: lockfsm.ModePR}
	wants(t, l.Granted(0, grant), "I25")
	believes = false
	wants(t, l.Granted(0, grant), "")

	l = NewLeases(10_000)
	believes = true
	for token := range lockfsm.Token(2) { // three of four permits
		l.Believe(0, "s", Belief{Token: 1 + token, Permits: 1 + lockfsm.Permits(token), Capacity: 4,
			Believes: func() bool { return believes || token == 0 }})
	}
	take := &Grant{Token: 3, Name: "s", Permits: 1, Capacity: 4}
	wants(t, l.Granted(0, take), "")
	take.Permits = 2
	wants(t, l.Granted(0, take), "I25")
	wants(t, l.Granted(0, &Grant{Token: 3, Name: "s"}), "I25")
	wants(t, l.Granted(0, &Grant{Token: 3, Name: "s", Permits: 1, Capacity: 5}), "I25")
	believes = false
	wants(t, l.Granted(0, take), "")
}

func TestHistoryKeepsRealTimeOrder(t *testing.T) {
	h := NewHistory([]*Model{NewModel(0, lockfsm.DefaultLimits())})
	early := Question{Kind: wire.KindGet, Floor: h.Began(0)}
	wants(t, h.Answered(&early, &wire.Response{Status: wire.StatusNotFound, Slot: 7}), "")
	late := Question{Kind: wire.KindGet, Floor: h.Began(0)}
	wants(t, h.Answered(&late, &wire.Response{Status: wire.StatusNotFound, Slot: 6}), "I24")
	missing := Question{Kind: wire.KindRelease}
	wants(t, h.Answered(&missing, &wire.Response{Status: wire.StatusOK, Slot: 9}), "I23")
}

package check

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// played runs commands through a machine, all in slot 1, and returns the checker that
// was told of it.
func played(t *testing.T, commands ...lockfsm.Command) *History {
	t.Helper()
	limits := lockfsm.DefaultLimits()
	machine, err := lockfsm.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	model := NewModel(0, limits)
	h := NewHistory([]*Model{model})
	var b lockfsm.BatchBuilder
	for i := range commands {
		b.Append(&commands[i])
	}
	var out lockfsm.Outcome
	if err := machine.Apply(1, b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	wants(t, model.Apply(1, b.Bytes(), &out, AllDone), "")
	h.Record(0, 1, b.Bytes(), &out)
	return h
}

// A read that names no slot is one of a group without slots, and nothing else.
func TestHistoryTakesNoReadFromBeforeTheLog(t *testing.T) {
	h := played(t, lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000,
		Epoch: 1})
	nothing := &wire.Response{Status: wire.StatusNotFound}
	early := Question{Kind: wire.KindGet, Name: "a", Floor: h.Began(0)}
	wants(t, h.Answered(&early, nothing), "")
	opened := Question{Kind: wire.KindOpenSession, Nonce: wire.Nonce{1}}
	wants(t, h.Answered(&opened, &wire.Response{Status: wire.StatusOK, Slot: 1, Token: 1}), "")
	late := Question{Kind: wire.KindGet, Name: "a", Floor: h.Began(0)}
	wants(t, h.Answered(&late, nothing), "I24")
	wants(t, h.Answered(&late, &wire.Response{Status: wire.StatusBusy}), "")
	late.Kind = wire.KindWatch
	wants(t, h.Answered(&late, &wire.Response{Status: wire.StatusCancelled}), "")
	wants(t, h.Answered(&late, &wire.Response{Status: wire.StatusOK}), "I23")
}

// Whoever opens a session gets the one of the nonce, whatever else the slot opened.
func TestHistoryKnowsSessionsByTheirNonces(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	other := open
	other.Nonce = lockfsm.Nonce{2}
	h := played(t, open, other)
	q := Question{Kind: wire.KindOpenSession, Nonce: wire.Nonce{2}}
	wants(t, h.Answered(&q, &wire.Response{Status: wire.StatusOK, Slot: 1, Token: 1}), "I23")
	wants(t, h.Answered(&q, &wire.Response{Status: wire.StatusOK, Slot: 1, Token: 2}), "")
}

// playedTwo is of a session that holds "a" with token 1 and "b" with token 2, and how it
// asked for them.
func playedTwo(t *testing.T) (h *History, lock, also lockfsm.Command) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	lock = lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1,
		Name: []byte("a"), Mode: lockfsm.ModeEX}
	also = lock
	also.Request, also.Name = 2, []byte("b")
	h = played(t, open, lock, also)
	return h, lock, also
}

// A client that was started again must hear of its session and of all that it holds.
func TestHistoryWantsSessionsFound(t *testing.T) {
	h, lock, also := playedTwo(t)
	a := wire.Claim{Request: 1, Token: 1, Mode: wire.ModeEX, Name: lock.Name}
	b := wire.Claim{Request: 2, Token: 2, Mode: wire.ModeEX, Name: also.Name}
	found := func(session uint64, more wire.More, claims ...wire.Claim) *wire.Response {
		return &wire.Response{Status: wire.StatusOK, Slot: 1, Payload: wire.AppendSessionClaims(nil,
			&wire.SessionClaims{Session: session, Epoch: 1, LeaseMillis: 1000, More: more,
				Claims: claims})}
	}
	mine := Question{Kind: wire.KindFindSession, Nonce: wire.Nonce{1}}
	notFound := &wire.Response{Status: wire.StatusNotFound, Slot: 1}
	wants(t, h.Answered(&mine, found(1, 0, a, b)), "")
	wants(t, h.Answered(&mine, found(1, wire.MorePages, a)), "")
	wants(t, h.Answered(&mine, found(1, 0, a)), "I24")
	wants(t, h.Answered(&mine, found(1, 0, a, b, b)), "I24")
	wants(t, h.Answered(&mine, found(2, 0)), "I19")
	wants(t, h.Answered(&mine, notFound), "I24")
	nobody := Question{Kind: wire.KindFindSession, Nonce: wire.Nonce{2}}
	wants(t, h.Answered(&nobody, notFound), "")
}

// A refusal is told as what it is.
func TestHistoryWantsTheRightRefusal(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	lock := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1,
		Name: []byte("a"), Mode: lockfsm.ModeEX}
	wait, bad := lock, lock
	wait.Request, wait.Flags = 2, lockfsm.Wait
	bad.Request, bad.Name = 3, nil
	h := played(t, open, lock, wait, bad)
	q := Question{Kind: wire.KindAcquire, Session: 1, Request: 2, Name: "a", Mode: lockfsm.ModeEX}
	wants(t, h.Answered(&q, &wire.Response{Status: wire.StatusTooManyHolds, Slot: 1}), "I23")
	q.Request = 3
	wants(t, h.Answered(&q, &wire.Response{Status: wire.StatusTooManyHolds, Slot: 1}), "I23")
	wants(t, h.Answered(&q, &wire.Response{Status: wire.StatusNameTooLong, Slot: 1}), "")
}

// A page of names is as the log says, in order and without gaps.
func TestHistoryJudgesLists(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	lock := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1,
		Name: []byte("a"), Mode: lockfsm.ModeEX}
	also, event := lock, lock
	also.Request, also.Name = 2, []byte("b")
	event = lockfsm.Command{Op: lockfsm.OpSet, Gate: lockfsm.GateEvent, Session: 1, Epoch: 1,
		Request: 3, Name: []byte("e")}
	h := played(t, open, lock, also, event)
	a := wire.ListEntry{Token: 1, HolderCount: 1, Mode: wire.ModeEX, Name: lock.Name}
	b := wire.ListEntry{Token: 2, HolderCount: 1, Mode: wire.ModeEX, Name: also.Name}
	e := wire.ListEntry{Token: 3, HolderCount: 1, Name: event.Name}
	free, other := a, b
	free.HolderCount, free.Token, other.Token = 0, 0, 7
	weak, old, named := a, a, a
	weak.Mode, old.HeldMillis, named.Client = wire.ModePR, 1, []byte("x")
	for _, c := range []struct {
		name    string
		q       Question
		more    wire.More
		entries []wire.ListEntry
		want    string
	}{
		{"all", Question{}, 0, []wire.ListEntry{a, b, e}, ""},
		{"the first page", Question{}, wire.MorePages, []wire.ListEntry{a}, ""},
		{"the second page", Question{After: "a"}, 0, []wire.ListEntry{b, e}, ""},
		{"a prefix", Question{Name: "b"}, 0, []wire.ListEntry{b}, ""},
		{"one is left out", Question{}, 0, []wire.ListEntry{a, e}, "I24"},
		{"one is left out of a page", Question{}, wire.MorePages, []wire.ListEntry{b}, "I24"},
		{"a gate is left out", Question{}, 0, []wire.ListEntry{a, b}, "I24"},
		{"out of order", Question{}, 0, []wire.ListEntry{b, a, e}, "I23"},
		{"before the page", Question{After: "a"}, 0, []wire.ListEntry{a, b, e}, "I23"},
		{"free", Question{}, 0, []wire.ListEntry{free, b, e}, "I24"},
		{"another token", Question{}, 0, []wire.ListEntry{a, other, e}, "I24"},
		{"another mode", Question{}, 0, []wire.ListEntry{weak, b, e}, "I24"},
		{"held for longer", Question{}, 0, []wire.ListEntry{old, b, e}, "I24"},
		{"another client", Question{}, 0, []wire.ListEntry{named, b, e}, "I24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.Kind = wire.KindList
			wants(t, h.Answered(&c.q, &wire.Response{Status: wire.StatusOK, Slot: 1,
				Payload: wire.AppendListPage(nil, &wire.ListPage{More: c.more, Entries: c.entries})}), c.want)
		})
	}
}

// A List that is asked again elsewhere is answered in another version. A page of one
// may decode in another, which says nothing of what was told.
func TestListIsReadInTheVersionOfItsConn(t *testing.T) {
	h, lock, also := playedTwo(t)
	const late = 30 << 40
	h.models[0].times[1] = late
	page := wire.ListPage{Entries: []wire.ListEntry{
		{Token: 1, HolderCount: 1, Mode: wire.ModeEX, Name: lock.Name, HeldMillis: late},
		// This time is where version 1 has two lengths, of no name and of all that follows.
		{Token: 2, HolderCount: 1, Mode: wire.ModeEX, Name: also.Name, HeldMillis: late},
	}}
	payload := wire.AppendListPage3(nil, &page)
	if _, err := wire.DecodeListPage(payload); err != nil {
		t.Fatalf("the page does not decode in version 1: %v", err)
	}
	q := Question{Kind: wire.KindList, Version: wire.MinVersion}
	wants(t, h.Witnessed(&q, &wire.Response{Status: wire.StatusOK, Slot: 1,
		Payload: wire.AppendListPage(nil, &page)}), "")
	q.Version = wire.VersionKinds
	wants(t, h.Witnessed(&q, &wire.Response{Status: wire.StatusOK, Slot: 1,
		Payload: wire.AppendListPage2(nil, &page)}), "")
	q.Version = wire.VersionWhole
	wants(t, h.Witnessed(&q, &wire.Response{Status: wire.StatusOK, Slot: 1, Payload: payload}), "")
	q.Version = wire.MinVersion
	wants(t, h.Witnessed(&q, &wire.Response{Status: wire.StatusOK, Slot: 1, Payload: payload}), "I23")
}

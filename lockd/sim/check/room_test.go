package check

import (
	"testing"

	"lockd/lockfsm"
)

// A machine that closes a session and lets it live, or ends one without a reason, is
// found out.
func TestModelWantsSessionsToEndInTime(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	end := lockfsm.Command{Op: lockfsm.OpCloseSession, Session: 1, Epoch: 1}
	for _, c := range []struct {
		name     string
		commands []lockfsm.Command
		spoil    func(*lockfsm.Outcome)
		want     string
	}{
		{"as it was", []lockfsm.Command{open, end}, func(*lockfsm.Outcome) {}, ""},
		{"closed and lives", []lockfsm.Command{open, end}, func(o *lockfsm.Outcome) { o.Events = nil },
			"I16"},
		{"ended for no reason", []lockfsm.Command{open}, func(o *lockfsm.Outcome) {
			o.Events = append(o.Events, lockfsm.Event{Kind: lockfsm.EventSessionEnded, Session: 1})
		}, "I17"},
		{"another result", []lockfsm.Command{open, end}, func(o *lockfsm.Outcome) {
			o.Results[1].Code = lockfsm.CodeNotHolder
		}, "model"},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, applied(t, c.spoil, c.commands...), c.want) })
	}
}

// Who is refused for want of room is so only if as much is there as the limit says, and
// a request is used only if it is known.
func TestModelWantsRoomToBeTaken(t *testing.T) {
	name := []byte("a")
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	lock := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1, Name: name,
		Mode: lockfsm.ModeEX, Flags: lockfsm.Wait}
	wait := lock
	wait.Request = 2
	set := lockfsm.Command{Op: lockfsm.OpSet, Gate: lockfsm.GateEvent, Session: 1, Epoch: 1,
		Request: 3, Name: []byte("e")}
	at := []lockfsm.Command{open, lock, wait, set}
	for place, codes := range [][]lockfsm.Code{
		0: {lockfsm.CodeTooManySessions},
		1: {lockfsm.CodeTooManyClaims, lockfsm.CodeTooManySessionClaims, lockfsm.CodeTooManyLocks,
			lockfsm.CodeTooManyDetached},
		2: {lockfsm.CodeTooManyWaiters},
		3: {lockfsm.CodeTooManyClaims, lockfsm.CodeTooManyDetached, lockfsm.CodeTooManyLocks},
	} {
		for _, code := range codes {
			t.Run(at[place].Op.String()+" "+code.String(), func(t *testing.T) {
				err := applied(t, func(o *lockfsm.Outcome) {
					o.Results[place].Code = code
				}, at[:place+1]...)
				wants(t, err, "I22")
			})
		}
	}
	err := applied(t, func(o *lockfsm.Outcome) {
		o.Results[1].Code = lockfsm.CodeRequestReused
	}, open, lock)
	wants(t, err, "I19")
}

// The machine itself refuses what its limits do not allow, and the model agrees.
func TestModelCountsWhatLimitsCount(t *testing.T) {
	limits := lockfsm.DefaultLimits()
	limits.Sessions, limits.Locks, limits.Claims, limits.ClaimsPerSession = 2, 2, 3, 3
	limits.WaitersPerLock, limits.Detached = 1, 1
	machine, err := lockfsm.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	model := NewModel(0, limits)
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	second, third := open, open
	second.Nonce, third.Nonce = lockfsm.Nonce{2}, lockfsm.Nonce{3}
	lock := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1,
		Name: []byte("a"), Mode: lockfsm.ModeEX, Flags: lockfsm.Wait}
	wait, crowd, event, full := lock, lock, lock, lock
	wait.Request, crowd.Request, full.Request = 2, 3, 5
	event = lockfsm.Command{Op: lockfsm.OpSet, Gate: lockfsm.GateEvent, Session: 2, Epoch: 1,
		Request: 4, Name: []byte("e")}
	full.Name = []byte("b")
	got := map[lockfsm.Code]int{}
	for i, c := range []lockfsm.Command{open, second, third, lock, wait, crowd, event, full} {
		var b lockfsm.BatchBuilder
		b.Append(&c)
		var out lockfsm.Outcome
		if err := machine.Apply(uint64(i+1), b.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		wants(t, model.Apply(uint64(i+1), b.Bytes(), &out, AllDone), "")
		got[out.Results[0].Code]++
	}
	for _, code := range []lockfsm.Code{lockfsm.CodeTooManySessions, lockfsm.CodeTooManyWaiters,
		lockfsm.CodeTooManyClaims} {
		if got[code] == 0 {
			t.Errorf("got no %v in %v, want one", code, got)
		}
	}
}

// What a client says has been answered goes for what has been: the answer to a wait that
// it gave up, which came later, takes room until the client speaks again.
func TestModelCountsAnswersToWaitsGivenUp(t *testing.T) {
	limits := lockfsm.DefaultLimits()
	limits.Claims, limits.ClaimsPerSession, limits.WaitersPerLock, limits.Detached = 3, 3, 2, 0
	machine, err := lockfsm.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	model := NewModel(0, limits)
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	arrive := lockfsm.Command{Op: lockfsm.OpAwait, Gate: lockfsm.GateBarrier, Session: 1, Epoch: 1,
		Request: 1, Done: 1, Count: 2, Name: []byte("b"), Flags: lockfsm.Wait}
	last, other := arrive, arrive
	last.Request, last.Done = 2, 2 // nobody asks for the first any more
	other.Session, other.Name = 2, []byte("c")
	second := open
	second.Nonce = lockfsm.Nonce{2}
	lock := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 3,
		Name: []byte("a"), Mode: lockfsm.ModeEX}
	for i, c := range []struct {
		command lockfsm.Command
		want    lockfsm.Code
	}{
		{open, lockfsm.CodeOK},
		{second, lockfsm.CodeOK},
		{arrive, lockfsm.CodeQueued},
		{last, lockfsm.CodeOK},
		{lock, lockfsm.CodeOK},
		{other, lockfsm.CodeTooManyClaims}, // a hold and two answers
		{last, lockfsm.CodeOK},             // now it has the first of them
		{other, lockfsm.CodeQueued},
	} {
		var b lockfsm.BatchBuilder
		b.Append(&c.command)
		var out lockfsm.Outcome
		if err := machine.Apply(uint64(i+1), b.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		if got := out.Results[0].Code; got != c.want {
			t.Errorf("command %d is answered %v, want %v", i, got, c.want)
		}
		wants(t, model.Apply(uint64(i+1), b.Bytes(), &out, AllDone), "")
	}
}

// Who is refused is told which hold is in the way, and who waits how many do.
func TestModelJudgesWhatIsTold(t *testing.T) {
	name := []byte("a")
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	weak := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1, Epoch: 1, Request: 1, Name: name,
		Mode: lockfsm.ModeNL}
	read, try := weak, weak
	read.Request, read.Mode = 2, lockfsm.ModePR
	try.Request, try.Mode = 3, lockfsm.ModeEX
	wait := try
	wait.Request, wait.Flags = 4, lockfsm.Wait
	commands := []lockfsm.Command{open, weak, read, try, wait}
	for _, c := range []struct {
		name  string
		spoil func(*lockfsm.Outcome)
		want  string
	}{
		{"as it was", func(*lockfsm.Outcome) {}, ""},
		{"who is in nobody's way", func(o *lockfsm.Outcome) { o.Results[3].HolderToken = 1 }, "I23"},
		{"nobody", func(o *lockfsm.Outcome) { o.Results[3].HolderToken = 0 }, "I23"},
		{"two wait", func(o *lockfsm.Outcome) { o.Results[4].Waiting = 2 }, "I23"},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, applied(t, c.spoil, commands...), c.want) })
	}
}

// A machine that says for ever that it has endings left is found out: meanwhile much is
// not asked of it.
func TestModelWantsEndingsToEnd(t *testing.T) {
	limits := lockfsm.DefaultLimits()
	model := NewModel(0, limits)
	var b lockfsm.BatchBuilder
	b.Tick(1, nil)
	for slot := uint64(1); slot < 20; slot++ {
		if err := model.Apply(slot, b.Bytes(), &lockfsm.Outcome{}, StillEnding); err != nil {
			wants(t, err, "I31")
			return
		}
	}
	t.Error("got no complaint of 20 steps with nothing to end, want one")
}

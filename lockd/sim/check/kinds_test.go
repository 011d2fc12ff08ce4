package check

import (
	"fmt"
	"slices"
	"testing"

	"lockd/lockfsm"
)

// judged is a script with what the machine might have said otherwise: the model accepts
// what it says, and finds the rule broken if it says that.
type judged struct {
	name  string
	spoil func(*lockfsm.Outcome)
	want  string
}

// opened are commands that open so many sessions.
func opened(n int) []lockfsm.Command {
	var all []lockfsm.Command
	for i := range n {
		all = append(all, lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{byte(i + 1)},
			Lease: 1000, Epoch: 1})
	}
	return all
}

// asks is a command of a session at the name "a", its first request.
func asks(op lockfsm.Op, session int) lockfsm.Command {
	return lockfsm.Command{Op: op, Session: lockfsm.SessionID(session), Epoch: 1, Request: 1,
		Name: []byte("a")}
}

// answered says what a result was answered instead.
func answered(place int, code lockfsm.Code) func(*lockfsm.Outcome) {
	return func(o *lockfsm.Outcome) {
		if o.Results[place].Code = code; code == lockfsm.CodeOK && o.Results[place].Token == 0 {
			o.Results[place].Token = 99
		}
	}
}

func (j judged) run(t *testing.T, commands []lockfsm.Command) {
	t.Helper()
	t.Run(j.name, func(t *testing.T) {
		t.Helper()
		if j.spoil == nil {
			j.spoil = func(*lockfsm.Outcome) {}
		}
		wants(t, applied(t, j.spoil, commands...), j.want)
	})
}

// All 36 pairs of modes are judged by the matrix, both ways: who is to be refused is not
// let in, and who gets along is not refused.
func TestModelJudgesTheMatrix(t *testing.T) {
	for held := lockfsm.ModeNL; held.Valid(); held++ {
		for asked := lockfsm.ModeNL; asked.Valid(); asked++ {
			first, second := asks(lockfsm.OpAcquire, 1), asks(lockfsm.OpAcquire, 2)
			first.Mode, second.Mode = held, asked
			commands := append(opened(2), first, second)
			other, want := lockfsm.CodeOK, "I14"
			if held.Compatible(asked) {
				other, want = lockfsm.CodeHeld, "I17"
			}
			pair := fmt.Sprintf("%v beside %v", asked, held)
			judged{name: pair}.run(t, commands)
			judged{pair + " turned round", answered(3, other), want}.run(t, commands)
		}
	}
}

// Permits are counted, as many at once as are asked for.
func TestModelCountsPermits(t *testing.T) {
	take := func(session int, permits lockfsm.Permits) lockfsm.Command {
		c := asks(lockfsm.OpTake, session)
		c.Permits, c.Capacity = permits, 3
		return c
	}
	commands := append(opened(3), take(1, 2), take(2, 2), take(3, 1))
	for _, j := range []judged{
		{name: "as it was"},
		{"four of three", answered(4, lockfsm.CodeOK), "I14"},
		{"the last one refused", answered(5, lockfsm.CodeHeld), "I17"},
	} {
		j.run(t, commands)
	}
}

// The queue goes by weight, and within one weight by arrival; nobody in it is forgotten.
func TestModelJudgesTheQueue(t *testing.T) {
	wait := func(session int, weight uint8) lockfsm.Command {
		c := asks(lockfsm.OpAcquire, session)
		c.Mode, c.Weight, c.Flags = lockfsm.ModeEX, weight, lockfsm.Wait
		return c
	}
	give := asks(lockfsm.OpRelease, 1)
	give.Token = 1
	granted := func(session int) func(*lockfsm.Outcome) {
		return func(o *lockfsm.Outcome) { o.Events[0].Session = lockfsm.SessionID(session) }
	}
	equal := append(opened(3), wait(1, 0), wait(2, 0), wait(3, 0), give)
	heavy := append(opened(4), wait(1, 0), wait(2, 1), wait(3, 5), wait(4, 5), give)
	for _, j := range []judged{
		{name: "equal, as it was"},
		{"the second before the first", granted(3), "I17"},
		{"nobody", func(o *lockfsm.Outcome) { o.Events = nil }, "I17"},
		{"both", func(o *lockfsm.Outcome) {
			second := o.Events[0]
			second.Session, second.Token = 3, second.Token+1
			o.Events = append(o.Events, second)
		}, "I17"},
	} {
		j.run(t, equal)
	}
	for _, j := range []judged{
		{name: "heavy, as it was"},
		{"the light one first", granted(2), "I17"},
		{"the second heavy one first", granted(4), "I17"},
	} {
		j.run(t, heavy)
	}
}

// A latch opens at zero, and then all at once are let through; before, nobody is.
func TestModelJudgesLatches(t *testing.T) {
	gate := func(op lockfsm.Op, session int, request lockfsm.RequestID) lockfsm.Command {
		c := asks(op, session)
		c.Gate, c.Request, c.Count = lockfsm.GateLatch, request, 1
		return c
	}
	set := gate(lockfsm.OpSet, 1, 1)
	early, also := gate(lockfsm.OpAwait, 2, 1), gate(lockfsm.OpAwait, 3, 1)
	set.Count, early.Count, also.Count = 2, 0, 0
	early.Flags, also.Flags = lockfsm.Wait, lockfsm.Wait
	down, open := gate(lockfsm.OpCountDown, 1, 2), gate(lockfsm.OpCountDown, 1, 3)
	late := gate(lockfsm.OpAwait, 3, 2)
	late.Count = 0
	commands := append(opened(3), set, early, also, down, open, late)
	for _, j := range []judged{
		{name: "as it was"},
		{"let through at two", answered(4, lockfsm.CodeOK), "I17"},
		{"counted twice", func(o *lockfsm.Outcome) { o.Results[6].Left = 0 }, "I19"},
		{"not counted", func(o *lockfsm.Outcome) { o.Results[7].Left = 1 }, "I19"},
		{"one is not told", func(o *lockfsm.Outcome) { o.Events = o.Events[:1] }, "I17"},
		{"the other first", func(o *lockfsm.Outcome) { slices.Reverse(o.Events) }, "I17"},
		{"told two tokens", func(o *lockfsm.Outcome) { o.Events[1].Token++ }, "I17"},
		{"waits at an open one", answered(8, lockfsm.CodeQueued), "I17"},
	} {
		j.run(t, commands)
	}
}

// A barrier opens when so many have come as it is for, to all of them.
func TestModelJudgesBarriers(t *testing.T) {
	arrive := func(session int) lockfsm.Command {
		c := asks(lockfsm.OpAwait, session)
		c.Gate, c.Count, c.Flags = lockfsm.GateBarrier, 3, lockfsm.Wait
		return c
	}
	commands := append(opened(3), arrive(1), arrive(2), arrive(2), arrive(3))
	for _, j := range []judged{
		{name: "as it was"},
		{"open to the first", answered(3, lockfsm.CodeOK), "I17"},
		{"one counted twice", answered(5, lockfsm.CodeOK), "I19"},
		{"closed to the last", answered(6, lockfsm.CodeQueued), "I17"},
		{"one is not told", func(o *lockfsm.Outcome) { o.Events = o.Events[:1] }, "I17"},
	} {
		j.run(t, commands)
	}
}

// An event lets through while it is set, by one token, and nobody while it is not.
func TestModelJudgesEvents(t *testing.T) {
	gate := func(op lockfsm.Op, session int, request lockfsm.RequestID) lockfsm.Command {
		c := asks(op, session)
		c.Gate, c.Request = lockfsm.GateEvent, request
		return c
	}
	early, try := gate(lockfsm.OpAwait, 2, 1), gate(lockfsm.OpAwait, 1, 4)
	early.Flags = lockfsm.Wait
	commands := append(opened(2), early, gate(lockfsm.OpSet, 1, 1), gate(lockfsm.OpAwait, 1, 2),
		gate(lockfsm.OpReset, 1, 3), try)
	for _, j := range []judged{
		{name: "as it was"},
		{"let through before", answered(2, lockfsm.CodeOK), "I17"},
		{"waiter is not told", func(o *lockfsm.Outcome) { o.Events = nil }, "I17"},
		{"refused while it is set", answered(4, lockfsm.CodeHeld), "I17"},
		{"passed by another token", func(o *lockfsm.Outcome) { o.Results[4].Token++ }, "I15"},
		{"let through after", answered(6, lockfsm.CodeOK), "I17"},
	} {
		j.run(t, commands)
	}
}

package lockfsm

import "testing"

// passedBy lets one waiter of weight 0 wait while, ten times a second of log time, the
// lock comes free and another of weight 10 comes. It returns how many were granted
// before the one, most if it was not.
func passedBy(t *testing.T, step Millis, most int) int {
	t.Helper()
	l := DefaultLimits()
	l.AgeStep = step
	m, err := New(l)
	if err != nil {
		t.Fatal(err)
	}
	var b BatchBuilder
	var out Outcome
	apply := func(cs ...Command) {
		b.Reset()
		b.Tick(100, []SessionID{1})
		for i := range cs {
			b.Append(&cs[i])
		}
		if err := m.Apply(m.Applied()+1, b.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	name := []byte("a")
	ask := func(r RequestID, weight uint8) Command {
		return Command{Op: OpAcquire, Session: 1, Request: r, Mode: ModeEX, Weight: weight,
			Flags: Wait, Name: name}
	}
	apply(Command{Op: OpOpenSession, Nonce: Nonce{1}, Lease: 60_000}, ask(1, 0))
	held := out.Results[1].Token
	apply(ask(2, 0), ask(3, 10))
	for n := range most {
		apply(ask(RequestID(4+n), 10),
			Command{Op: OpRelease, Session: 1, Token: held, Name: name})
		e := out.Events[0]
		if held = e.Token; e.Request == 2 {
			return n
		}
	}
	return most
}

// TestAgeing: an endless stream of heavier ones passes a waiter as long as it says,
// weight times AgeStep, and without the rule for ever.
func TestAgeing(t *testing.T) {
	// Those who come within ten steps of half a second, ten times a second.
	if got := passedBy(t, 500, 1000); got < 45 || got > 55 {
		t.Errorf("with ageing: passed by %d, want about 50", got)
	}
	if got := passedBy(t, 0, 1000); got != 1000 {
		t.Errorf("without: passed by %d, want all 1000", got)
	}
}

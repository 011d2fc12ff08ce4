package sim

import "testing"

// A process that is started where one died while it was frozen takes turns, so its
// clock runs, and another freeze does not let it make up for the first (F-T2).
func TestFT2DeathEndsAFreeze(t *testing.T) {
	w := New(short(1), nil)
	s := w.sites[0]
	w.agenda.After(0, s.start)
	at := func(when Time, do func()) { w.agenda.At(when, do) }
	freeze := func(until Time) {
		s.pausedUntil = until
		s.clock.freeze(w.agenda.Now(), until)
	}
	at(1*second, func() { freeze(9 * second) })
	at(2*second, func() { s.crash("while it was frozen") })
	at(3*second, s.start)
	began := s.clock
	at(4*second, func() {
		if ran := s.clock.read(4*second) - began.read(0); !near(Time(ran), 3*second) {
			t.Errorf("at 4 s, of which 1 frozen, the clock has run for %v", ran)
		}
		freeze(5 * second)
	})
	at(6*second, func() {
		if ran := s.clock.read(6*second) - began.read(0); !near(Time(ran), 4*second) {
			t.Errorf("at 6 s, of which 2 frozen, the clock has run for %v", ran)
		}
	})
	for w.agenda.Next(7 * second) {
	}
	if w.failure != nil {
		t.Error(w.failure)
	}
	if s.proc == nil {
		t.Error("the process was not started again")
	}
	s.proc.log.abandon()
}

// near reports whether a clock that drifts may have run for ran in so much time.
func near(ran, of Time) bool {
	slack := of * 2 * maxDrift / 1_000_000
	return of-slack <= ran && ran <= of+slack
}

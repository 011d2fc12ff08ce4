package history

import (
	"testing"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// moment is a sighting: log time, and when it was by the clocks of the node.
func moment(at lockfsm.Time, turn, wall int64) sighting {
	return sighting{at: at, turn: turn - int64(at), wall: wall - int64(at)}
}

func see(c *clocks, s sighting) {
	if c.see(s) {
		c.add(c.found)
	}
}

func expect(t *testing.T, c *clocks, at lockfsm.Time, d doubt, wantMillis int64, wantAbout uint32) {
	t.Helper()
	ms, about := c.when(at, 1<<40, d)
	if ms != wantMillis || about != wantAbout {
		t.Errorf("at %d: got %d, about %d, want %d, about %d", at, ms, about, wantMillis, wantAbout)
	}
}

// Log time that stops while nobody leads is put right from the moment it goes on, a wall
// clock that is set from then on, and one late turn changes nothing.
func TestLogTimeStops(t *testing.T) {
	var c clocks
	for at := lockfsm.Time(0); at <= 2000; at += 200 {
		see(&c, moment(at, 50_000+int64(at), 10_000+int64(at)))
	}
	see(&c, moment(2200, 52_500, 12_500)) // late by 300
	for at := lockfsm.Time(2400); at <= 4000; at += 200 {
		see(&c, moment(at, 50_000+int64(at), 10_000+int64(at)))
	}
	for at := lockfsm.Time(4200); at <= 6000; at += 200 { // after 3 s without a leader
		see(&c, moment(at, 53_000+int64(at), 13_000+int64(at)))
	}
	for at := lockfsm.Time(6200); at <= 8000; at += 200 { // set back by a minute
		see(&c, moment(at, 53_000+int64(at), 13_000-60_000+int64(at)))
	}
	expect(t, &c, 1000, sure, 11_000, 0)
	expect(t, &c, 2200, sure, 12_200, 0)
	expect(t, &c, 4000, sure, 14_000, 0)
	expect(t, &c, 3999, late, 13_999, 0)
	expect(t, &c, 4000, late, 14_000, 3000) // before it stopped, or after
	expect(t, &c, 4200, sure, 17_200, 0)
	expect(t, &c, 6200, sure, 13_000-60_000+6200, 0)
	if len(c.all) != 3 {
		t.Errorf("clocks: got %+v, want 3", c.all)
	}
}

// What a node applies in one go, after it was away, is told with how far its time may be
// off; what another clock saw before and after is exact.
func TestCatchesUp(t *testing.T) {
	var c clocks
	for at := lockfsm.Time(0); at <= 2000; at += 200 {
		see(&c, moment(at, 50_000+int64(at), 10_000+int64(at)))
	}
	// It hears nothing for a minute, in which log time stood still for 5 s.
	for at := lockfsm.Time(2200); at <= 57_000; at += 200 {
		see(&c, moment(at, 112_000, 72_000))
	}
	if got := c.judge(moment(57_000, 112_000, 72_000)); got != late {
		t.Errorf("doubts while it catches up: got %d, want late", got)
	}
	for at := lockfsm.Time(57_200); at <= 60_000; at += 200 {
		see(&c, moment(at, 55_000+int64(at), 15_000+int64(at)))
	}
	if got := c.judge(moment(60_000, 115_150, 75_150)); got != sure {
		t.Errorf("doubts: got %d, want sure", got)
	}
	if got := c.judge(moment(60_000, 116_150, 76_150)); got != late {
		t.Errorf("doubts after a second without a step: got %d, want late", got)
	}
	expect(t, &c, 1999, late, 11_999, 0)
	expect(t, &c, 30_000, late, 40_000, 5000)
	expect(t, &c, 58_000, sure, 73_000, 0)
	if len(c.all) != 2 {
		t.Errorf("clocks: got %+v, want 2", c.all)
	}
}

// Log time that runs ahead in small steps, as it does where its beat is short, settles nothing
// either, be it that the node catches up at twice the speed.
func TestShortBeatsSettleNothing(t *testing.T) {
	for _, speed := range []int64{1_000_000, 2} {
		var c clocks
		for at := int64(50); at <= 60_000; at += 50 {
			see(&c, moment(lockfsm.Time(at), 112_000+at/speed, 72_000+at/speed))
			if len(c.all) > 0 {
				t.Fatalf("speed %d: got a clock at %d: %+v", speed, at, c.all)
			}
		}
		for at := int64(60_050); at <= 61_000; at += 50 {
			see(&c, moment(lockfsm.Time(at), 55_000+at, 15_000+at))
		}
		if len(c.all) != 1 || c.all[0].offset != 15_000 {
			t.Errorf("speed %d: got %+v, want one clock", speed, c.all)
		}
	}
}

// After a restart what is applied again is as uncertain as the time since the last clock,
// until the clocks settle.
func TestClocksAfterRestart(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.sync()
	w.open()
	again := w.group[1]
	again.After, again.To, again.Before, again.Now = again.To, again.To+1, again.LogTime, 0
	again.LogTime += 1000
	e := ended("a", 1, 0)
	e.Since = again.LogTime - 500
	again.Ended = []lockfsm.Ended{e}
	w.s.Note(&again)
	w.wall += 10_000
	got, _ := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
	if len(got) != 1 || got[0].EndMillis != epoch+600+1000 || got[0].EndAbout != 9000 {
		t.Fatalf("before the clocks settle: got %+v", got)
	}
	// The same run of log time goes on, 2 s behind.
	for i := range 4 {
		x := again
		x.After, x.To, x.Before, x.Ended = again.To, again.To+1, again.LogTime, nil
		x.LogTime += 200
		w.wall = epoch - 1000 + int64(x.LogTime) + 2000
		x.Now = node.Nanos(i*200+77) * node.Millisecond
		w.s.Note(&x)
		again = x
	}
	for range 2 {
		got, _ = w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
		if len(got) != 1 || got[0].EndMillis != epoch+600+1000 || got[0].EndAbout != 2000 {
			t.Fatalf("after: got %+v", got)
		}
		w.sync()
		w.open()
	}
}

// A cluster that is used long after its birth knows when its first hold began, after a
// restart, too: log time has stood at zero until then.
func TestFirstHoldOfAGroup(t *testing.T) {
	w := newWorld(t, MinBytes)
	const idle, held = 3_600_000, 150
	now := func() node.Nanos { return node.Nanos(w.wall-epoch+5000) * node.Millisecond }
	w.s.Note(&node.HistoryNote{Group: 1, Now: now(), Begins: true}) // born
	w.wall += idle
	w.s.Note(&node.HistoryNote{Group: 1, To: 3, Now: now(), Begins: true})
	w.wall += held
	e := ended("a", 1, 0)
	e.Since = 0
	w.s.Note(&node.HistoryNote{Group: 1, After: 3, To: 4, LogTime: held, Now: now(),
		Ended: []lockfsm.Ended{e}})
	for i := range int64(5) {
		w.wall += 200
		at := lockfsm.Time(held + i*200)
		w.s.Note(&node.HistoryNote{Group: 1, After: uint64(4 + i), To: uint64(5 + i), Before: at,
			LogTime: at + 200, Now: now()})
	}
	for _, when := range []string{"at once", "after a restart"} {
		got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
		if len(got) != 1 || got[0].StartMillis != epoch+idle || got[0].StartAbout != 0 ||
			got[0].EndMillis != epoch+idle+held || got[0].EndAbout != 0 {
			t.Errorf("%s: got %+v, want it held for %d ms from %d on", when, got, held, epoch+idle)
		}
		if len(page.Spans) != 1 || page.Spans[0].After != 0 {
			t.Errorf("%s: got %+v, want all known", when, page.Spans)
		}
		w.sync()
		w.open()
	}
}

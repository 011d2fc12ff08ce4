package history

import (
	"testing"

	"lockd/netio/wire"
)

// stand has log time stand still while the wall clock goes on.
func (w *world) stand(millis int64) {
	w.wall += millis
	w.stood += millis
}

// What followed a block that cannot be read is not told as exact by a clock of before it: the
// block may have said that log time stood still. What another clock stands for, which came
// after, is exact again. A restart and a new segment forget neither.
func TestClockInADamagedBlock(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.note(1, 10, ended("before", 1, 0))
	before := w.wall
	w.note(1, 200)
	w.sync()
	at := len(w.files.(*memory).mu.files[1].mu.b)
	w.stand(5000)
	for range 4 {
		w.note(1, 200)
	}
	w.sync()
	w.note(1, 10, ended("after", 2, 0))
	after := w.wall
	w.sync()
	w.files.(*memory).mu.files[1].mu.b[at] ^= 0x40
	w.open()
	when := func(name string) wire.PastHold {
		t.Helper()
		got, _ := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte(name)})
		if len(got) != 1 {
			t.Fatalf("%s: got %+v, want one hold", name, got)
		}
		return got[0]
	}
	w.stand(3000)
	got := when("after")
	if early := after - int64(got.EndMillis); early != 5000 || int64(got.EndAbout) < early {
		t.Fatalf("before another clock: got %d ms too early, about %d", early, got.EndAbout)
	}
	for range 4 {
		w.note(1, 200)
	}
	w.note(1, 10, ended("later", 3, 0))
	later := w.wall
	for i := range 3 {
		if got := when("before"); int64(got.EndMillis) != before || got.EndAbout != 0 {
			t.Errorf("%d, before it: got %d, about %d, want %d", i, got.EndMillis, got.EndAbout, before)
		}
		got := when("after")
		if early := after - int64(got.EndMillis); early != 5000 || got.EndAbout != 8000 {
			t.Errorf("%d, after it: got %d ms too early, about %d", i, early, got.EndAbout)
		}
		if got := when("later"); int64(got.EndMillis) != later || got.EndAbout != 0 {
			t.Errorf("%d, later: got %d, about %d, want %d", i, got.EndMillis, got.EndAbout, later)
		}
		w.sync()
		if i == 1 {
			if err := w.s.begin(w.s.mu.number); err != nil {
				t.Fatal(err)
			}
		}
		w.open()
	}
	var carried clocks
	for _, c := range w.s.mu.groups[1].clocks.carried() {
		carried.add(c)
	}
	if ms, about := carried.when(w.notes[len(w.notes)-1].LogTime-900, w.wall, sure); about == 0 {
		t.Errorf("carried: got %d, exact, want it uncertain", ms-epoch)
	}
}

// Who asks again and again for what is damaged has it told once.
func TestDamageIsToldOnce(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.note(1, 10, ended("a", 1, 5))
	w.sync()
	b := w.files.(*memory).mu.files[1].mu.b
	b[w.s.mu.blocks[0].offset] ^= 0x40
	for range 3 {
		_, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
		if page.Flags != wire.HistoryDamaged {
			t.Fatal("the damage is not found")
		}
	}
	if len(w.damaged) != 1 || w.s.Stats().Damaged != 1 {
		t.Errorf("got %d times told, %d counted, want once", len(w.damaged), w.s.Stats().Damaged)
	}
}

package history

import (
	"fmt"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// A lock that is used now and then, by sessions that come and go, has log time stand still in
// between, and a clock for each time. However many there were, what is kept is told exactly,
// and so is how far back it reaches.
func TestMoreClocksThanAreRemembered(t *testing.T) {
	w := newWorld(t, 64<<20)
	ends := map[string]int64{}
	w.beats(1)
	const times = 2 * maxClocks
	for i := range times {
		w.stand(60_000)
		w.beats(1)
		name := fmt.Sprint("job-", i)
		w.note(1, 200, ended(name, lockfsm.Token(i+1), 100))
		ends[name] = w.wall
		if i%7 == 0 {
			w.sync()
		}
		if i%100 == 50 {
			if err := w.s.begin(w.s.mu.number); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.sync()
	for range 2 {
		if n := len(w.s.mu.groups[1].clocks.all); n > maxClocks {
			t.Errorf("got %d clocks in memory, want %d at most", n, maxClocks)
		}
		for name, end := range ends { // order: each for itself
			got, page := w.ask(wire.History{FromMillis: uint64(end - 50), ToMillis: uint64(end - 50),
				Name: []byte(name)})
			if len(got) != 1 || int64(got[0].EndMillis) != end || got[0].EndAbout != 0 ||
				int64(got[0].StartMillis) != end-100 || got[0].StartAbout != 0 {
				t.Fatalf("%s: got %+v, want one that ended at %d", name, got, end)
			}
			if first := int64(page.Spans[0].AfterMillis); first > epoch {
				t.Fatalf("%s: got all known from %d ms on, want from the beginning on", name, first-epoch)
			}
		}
		w.open()
	}
}

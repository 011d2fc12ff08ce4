package witness

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"lockd/netio/wire"
)

// drift of the tests' clocks.
const drift = 0.01

// TestSoundHistories: a group that works is found to work, answers lost or not.
func TestSoundHistories(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(seed, 2+int(seed)%20, 1+int(seed)%7)
		if seed%2 == 1 {
			w.lossy = 20
		}
		r := Check(w.run(3000), Options{Drift: drift})
		if r.Err() != nil {
			t.Fatalf("seed %d: %v", seed, r.Err())
		}
		if r.Holds < 500 || r.Reads < 50 || r.Refusals < 20 {
			t.Errorf("seed %d: got %s, want more of everything", seed, &r)
		}
	}
}

// plant is one thing that goes wrong in an otherwise sound history.
type plant struct {
	name string
	want string // of the violation
	// do changes the history at or after i, and reports whether there was
	// anything to change.
	do func(h *History, i int) bool
}

// find returns the first record from i on that is of a kind and status, with
// wrap-around, or -1.
func find(h *History, i int, kind wire.Kind, status wire.Status) int {
	for n := range h.Records {
		j := (i + n) % len(h.Records)
		if r := &h.Records[j]; r.Kind == kind && r.Status == status {
			return j
		}
	}
	return -1
}

// edit returns a plant that changes one record of a kind and status.
func edit(name, want string, kind wire.Kind, status wire.Status, change func(*Record)) plant {
	return plant{name, want, func(h *History, i int) bool {
		j := find(h, i, kind, status)
		if j >= 0 {
			change(&h.Records[j])
		}
		return j >= 0
	}}
}

// again returns a plant that adds a changed copy of one record.
func again(name, want string, kind wire.Kind, status wire.Status, change func(*Record)) plant {
	return plant{name, want, func(h *History, i int) bool {
		j := find(h, i, kind, status)
		if j < 0 {
			return false
		}
		r := h.Records[j]
		change(&r)
		h.Records = append(h.Records, r)
		return true
	}}
}

func plants() []plant {
	return []plant{
		again("token of another name", "I15", wire.KindAcquire, wire.StatusOK, func(r *Record) {
			r.Session, r.Request, r.Name = r.Session+1, r.Request+1<<40, r.Name^1
		}),
		again("token granted twice", "I15", wire.KindAcquire, wire.StatusOK, func(r *Record) {
			r.Session, r.Request = r.Session+1, r.Request+1<<40
		}),
		edit("token goes back", "I15", wire.KindAcquire, wire.StatusOK, func(r *Record) {
			r.Token = max(1, r.Token/2) | 1<<41
		}),
		again("given back twice", "I18", wire.KindRelease, wire.StatusOK, func(r *Record) {
			r.Slot, r.Ended = r.Slot+3, r.Ended+slotTime*3
		}),
		edit("given back by a stranger", "I18", wire.KindRelease, wire.StatusOK, func(r *Record) {
			r.Session++
		}),
		edit("release refused to the holder", "I18", wire.KindRelease, wire.StatusOK,
			func(r *Record) { r.Status = wire.StatusNotHolder }),
		edit("answer of a stale slot", "I23", wire.KindRelease, wire.StatusOK, func(r *Record) {
			r.Slot -= min(r.Slot-1, 500)
		}),
		edit("stale read", "I2", wire.KindGet, wire.StatusOK, func(r *Record) {
			r.Slot -= min(r.Slot-1, 500)
		}),
		edit("holder not counted", "I24", wire.KindGet, wire.StatusOK, func(r *Record) {
			r.Status, r.Count, r.Token = wire.StatusNotFound, 0, 0
		}),
		edit("holder counted that is none", "I24", wire.KindGet, wire.StatusOK, func(r *Record) {
			r.Count++
		}),
		edit("refused because of nobody's hold", "I23", wire.KindAcquire, wire.StatusHeld,
			func(r *Record) { r.Token = 1 << 40 }),
		edit("no slot", "I23", wire.KindRelease, wire.StatusOK, func(r *Record) { r.Slot = 0 }),
		again("granted after it was cancelled", "I19", wire.KindAcquire, wire.StatusOK,
			func(r *Record) {
				r.Kind, r.Status, r.Token = wire.KindCancel, wire.StatusCancelled, 0
				r.Slot--
				r.Ended -= 2 * slotTime
				r.Began = min(r.Began, r.Ended-1)
			}),
		{"request granted twice", "I19", grantedTwice},
		{"two holders", "I14", twoHolders},
		{"refused because of a hold that is over", "I23", refusedTooLate},
		{"hold lost without a reason", "I14", lostHold},
	}
}

// grantedTwice grants a request once more, at the end.
func grantedTwice(h *History, i int) bool {
	j := find(h, i, wire.KindAcquire, wire.StatusOK)
	r := h.Records[j]
	for _, other := range h.Records {
		r.Slot, r.Token = max(r.Slot, other.Slot+1), max(r.Token, other.Token+1)
		if other.answered() {
			r.Ended = max(r.Ended, other.Ended+1)
		}
	}
	h.Records = append(h.Records, r)
	return true
}

// twoHolders lets the next exclusive grant of a name come before the release.
func twoHolders(h *History, i int) bool {
	for n := range h.Records {
		r := &h.Records[(i+n)%len(h.Records)]
		if r.Kind != wire.KindAcquire || r.Status != wire.StatusOK || r.Mode != wire.ModeEX {
			continue
		}
		for j := range h.Records {
			rel := &h.Records[j]
			if rel.Kind == wire.KindRelease && rel.Name == r.Name && rel.Slot == r.Slot {
				// What was handed over at a slot is given back two slots later.
				rel.Slot += 2
				rel.Ended += 8 * slotTime
				return true
			}
		}
	}
	return false
}

// refusedTooLate moves a refusal behind the end of the hold that it names.
func refusedTooLate(h *History, i int) bool {
	j := find(h, i, wire.KindAcquire, wire.StatusHeld)
	if j < 0 {
		return false
	}
	for k := range h.Records {
		rel := &h.Records[k]
		if rel.Kind == wire.KindRelease && rel.Token == h.Records[j].Token && rel.answered() {
			h.Records[j].Slot = rel.Slot + 1
			h.Records[j].Ended = max(h.Records[j].Ended, rel.Ended+slotTime)
			return true
		}
	}
	return false
}

// lostHold removes a release, so that nothing ends the hold.
func lostHold(h *History, i int) bool {
	j := find(h, i, wire.KindRelease, wire.StatusOK)
	if j < 0 || !slices.ContainsFunc(h.Records, func(r Record) bool {
		return r.Kind == wire.KindAcquire && r.Status == wire.StatusOK && r.Mode == wire.ModeEX &&
			r.Name == h.Records[j].Name && r.Slot > h.Records[j].Slot
	}) {
		return false
	}
	h.Records = slices.Delete(h.Records, j, j+1)
	return true
}

// TestPlantedViolations: whatever is wrong with one answer among thousands is
// found, wherever it is.
func TestPlantedViolations(t *testing.T) {
	for _, p := range plants() {
		t.Run(strings.ReplaceAll(p.name, " ", "_"), func(t *testing.T) {
			done := 0
			for seed := range uint64(20) {
				h := newWorld(seed, 12, 4).run(2000)
				if !p.do(h, rand.New(rand.NewPCG(seed, 2)).IntN(1500)) {
					continue
				}
				done++
				r := Check(h, Options{Drift: drift})
				if r.Err() == nil || !strings.Contains(strings.Join(r.Violations, "\n"), p.want) {
					t.Errorf("seed %d: got %v, want a violation of %s", seed, r.Err(), p.want)
				}
			}
			if done < 15 {
				t.Errorf("planted in %d histories, want at least 15", done)
			}
		})
	}
}

// TestSize shows what a history costs; the tests of real processes judge some of
// a million and more.
func TestSize(t *testing.T) {
	w := newWorld(1, 64, 5000)
	w.lossy = 1000
	h := w.run(200_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := Check(h, Options{Drift: drift})
	runtime.ReadMemStats(&after)
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	t.Logf("%s; %d MB allocated", &r, (after.TotalAlloc-before.TotalAlloc)>>20)
}

package lockfsm

import "testing"

// TestSummaryIsShortForLock proves that a summary says the same as the whole.
func TestSummaryIsShortForLock(t *testing.T) {
	for seed := range uint64(20) {
		w, err := newWorld(seed + 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			for _, name := range append([]string{"h", "i", "j", "k", "l", "m"}, worldNames...) {
				var info LockInfo
				var want LockSummary
				if w.a.Lock([]byte(name), &info, All) {
					want = LockSummary{Holders: uint32(len(info.Holders)),
						Waiters: uint32(len(info.Waiters)), Capacity: info.Capacity, Taken: info.Taken}
				}
				if k := len(info.Holders); k > 0 {
					h := &info.Holders[k-1]
					want.Session, want.Detached, want.Token = h.Session, h.Detached, h.Token
					want.Mode, want.Since = h.Mode, h.Since
					want.Data = hashData(h.Payload, h.Labels, &info.Value)
				} else {
					want.Data = hashData(nil, nil, &info.Value)
				}
				if got := w.a.Summary([]byte(name)); got != want {
					t.Fatalf("seed %d: %q: got %+v, want %+v", seed, name, got, want)
				}
			}
		}
	}
}

package wal

import (
	"math/rand/v2"
	"testing"
)

// TestEntriesInAnyOrder appends entries of a group whose slots come almost in order,
// again, and from the front once more when the group comes back, and holds what is
// live against a map.
func TestEntriesInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	l := liveness{stretches: []stretch{{first: 1}}}
	live := map[uint64]LSN{}
	lsn, top, released := LSN(0), uint64(0), uint64(0)
	for range 20_000 {
		switch at := rng.IntN(100); {
		case at < 1: // the group has left, and is back with an earlier log
			l.forget(lsn + 1)
			l.reopen(1)
			clear(live)
			top, released = top/2, 0
		case at < 6 && top > released:
			released += 1 + rng.Uint64N(top-released)
			l.release(1, released)
			for slot := range live {
				if slot <= released {
					delete(live, slot)
				}
			}
		default:
			slot := top + 1 + rng.Uint64N(3)
			if at < 30 {
				slot = 1 + rng.Uint64N(slot)
			}
			top = max(top, slot)
			lsn++
			l.appended(&Record{Group: 1, Kind: KindEntry, Slot: slot}, lsn)
			if slot > released {
				live[slot] = lsn
			}
		}
		if l.records != int64(len(live)) {
			t.Fatalf("after record %d: got %d live records, want %d", lsn, l.records, len(live))
		}
	}
	for slot := range top + 3 {
		for _, at := range []LSN{live[slot], live[slot+1]} {
			r := Record{Group: 1, Kind: KindEntry, Slot: slot}
			if got, want := l.isLive(&r, at), at != 0 && live[slot] == at; got != want {
				t.Errorf("slot %d, record %d: got live %v, want %v", slot, at, got, want)
			}
		}
	}
}

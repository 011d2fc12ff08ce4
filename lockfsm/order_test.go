package lockfsm

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestLocksSortByName sorts names that are hard to tell apart: equal for long,
// prefixes of each other, ending in zeros.
func TestLocksSortByName(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 300 {
		m, err := New(bigLimits())
		if err != nil {
			t.Fatalf("new: got %v, want no error", err)
		}
		base := strings.Repeat("orders/", rng.IntN(6))
		var refs []ref
		for range 1 + rng.IntN(200) {
			name := []byte(base)
			for range rng.IntN(20) {
				name = append(name, "\x00\x00\x00\x01a"[rng.IntN(5)])
			}
			hash := m.hashName(name)
			if len(name) > 0 && m.findLock(name, hash) == 0 {
				refs = append(refs, m.newLock(name, hash))
			}
		}
		rng.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
		m.sortLocks(refs)
		for i := 1; i < len(refs); i++ {
			a, b := m.lockName(m.locks.at(refs[i-1])), m.lockName(m.locks.at(refs[i]))
			if bytes.Compare(a, b) >= 0 {
				t.Fatalf("names %d and %d: got %q before %q, want ascending", i-1, i, a, b)
			}
		}
	}
}

// BenchmarkSortLocks sorts 100,000 names, as the first checkpoint of a group
// does in one turn of its node.
func BenchmarkSortLocks(b *testing.B) {
	w := newBench(b, bigLimits())
	w.fill(100_000)
	for b.Loop() {
		w.m.orderLocks()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/lock")
}

package lockfsm

import (
	"bytes"
	"math/rand/v2"
	"slices"
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

// TestSortByNumber compares sorts of all widths and sizes with the plain one.
func TestSortByNumber(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for width := range 65 {
		n := digitLeast - 100 + rng.IntN(8000)
		all := make([]keyed, n)
		low := rng.Uint64() &^ (1<<width - 1)
		for i := range all {
			all[i] = keyed{low + rng.Uint64()&(1<<width-1), ref(i)}
		}
		want := slices.Clone(all)
		slices.SortFunc(want, byKey)
		sortKeyed(all)
		seen := make([]bool, n)
		for i := range all {
			if all[i].key != want[i].key || seen[all[i].ref] {
				t.Fatalf("%d keys of %d bits: got key %x at %d, want %x", n, width, all[i].key, i,
					want[i].key)
			}
			seen[all[i].ref] = true
		}
	}
}

func BenchmarkSortByNumber(b *testing.B) {
	rng := rand.New(rand.NewPCG(8, 10))
	mixed := make([]keyed, 150_000)
	for i, k := range rng.Perm(len(mixed)) {
		mixed[i] = keyed{uint64(k) * 2, ref(i)}
	}
	all := make([]keyed, len(mixed))
	for range b.N {
		copy(all, mixed)
		sortKeyed(all)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(mixed)), "ns/key")
}

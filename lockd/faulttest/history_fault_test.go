//go:build fault

package faulttest

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestFK1HistoryUnderFaults is F-K1, and F-P1, F-T3, F-T4 and F-K2 as clients see
// them: nodes are killed and paused, clients paused and lost, while others lock
// and unlock. LOCKD_HISTORY_SENDS sets the length, LOCKD_HISTORY_SEED the seed.
func TestFK1HistoryUnderFaults(t *testing.T) {
	sends := number(t, "LOCKD_HISTORY_SENDS", 100_000)
	seed := uint64(number(t, "LOCKD_HISTORY_SEED", 1))
	s := newStudy(t, studyOptions{Workers: 96, Clients: 8, Seed: seed})
	draw := rand.New(rand.NewPCG(seed, 99))
	did := make(map[string]int)
	began := time.Now()
	for s.book.Len() < sends && !t.Failed() {
		time.Sleep(time.Duration(draw.IntN(1500)) * time.Millisecond)
		did[s.harm(t, draw)]++
		if err := s.failed(); err != nil {
			t.Fatal(err)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(did)) {
		t.Logf("%4d × %s", did[what], what)
	}
	t.Logf("seed %d: %d sends in %v", seed, s.book.Len(), time.Since(began).Round(time.Second))
	s.finish(t)
}

package paxostest

import (
	"flag"
	"fmt"
	"hash/fnv"
	"testing"
)

var (
	seedFlag  = flag.Uint64("paxos.seed", 0, "run only this seed")
	seedsFlag = flag.Int("paxos.seeds", 2500, "how many seeds to run")
)

const chaosSteps = 900

// TestChaosRepeats: a seed fixes the run, message by message.
func TestChaosRepeats(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		var lines [2]string
		for i := range lines {
			hash := fnv.New64a()
			rep := Chaos(seed, chaosSteps, func(format string, args ...any) {
				fmt.Fprintf(hash, format+"\n", args...)
			})
			lines[i] = fmt.Sprintf("%+v %x", rep, hash.Sum64())
		}
		if lines[0] != lines[1] {
			t.Errorf("seed %d: got %s, then %s", seed, lines[0], lines[1])
		}
	}
}

// TestChaos runs the small world from many seeds (I1 to I6, I24, I28, I32).
func TestChaos(t *testing.T) {
	first, count := uint64(1), *seedsFlag
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	var trace func(string, ...any)
	if *seedFlag != 0 && testing.Verbose() {
		trace = t.Logf
	}
	var slots, reads int
	for i := range count {
		seed := first + uint64(i)
		rep := Chaos(seed, chaosSteps, trace)
		if rep.Violation != "" {
			t.Fatalf("seed %d: %s\nrepeat: go test ./paxos/paxostest -run TestChaos -paxos.seed %d",
				seed, rep.Violation, seed)
		}
		slots += int(rep.Slots)
		reads += rep.Reads
	}
	t.Logf("%d seeds: %d slots chosen, %d reads begun", count, slots, reads)
	if count > 100 && (slots < 10*count || reads < count) {
		t.Errorf("got %d slots and %d reads from %d seeds, want more: the world does too little",
			slots, reads, count)
	}
}

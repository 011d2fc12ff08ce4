package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// garbageBytes is how much garbage a large heap may collect at least.
	garbageBytes = 128 << 20
	// leastGC and mostGC bound the garbage as a percentage of what is live.
	// The machines are tables without pointers, so that a collection costs
	// hardly more with ten million locks than with none.
	leastGC, mostGC = 12, 100
)

// gcPercent is the setting of the garbage collector for so many live bytes. Its
// own default lets a heap double, which for a node with millions of locks is
// memory that nobody ever uses.
func gcPercent(live uint64) int {
	if live == 0 {
		return mostGC
	}
	return int(min(max(garbageBytes*100/live, leastGC), mostGC))
}

// heapKeeper adapts the garbage collector to the heap. It belongs to one
// goroutine.
type heapKeeper struct {
	sample  [1]metrics.Sample
	percent int
}

func newHeapKeeper() *heapKeeper {
	k := &heapKeeper{percent: mostGC}
	k.sample[0].Name = "/gc/heap/live:bytes"
	return k
}

// step looks at what the last collection left. Small changes are let be: a new
// setting stops the world for a moment.
func (k *heapKeeper) step() {
	metrics.Read(k.sample[:])
	if k.sample[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	want := gcPercent(k.sample[0].Value.Uint64())
	if d := want - k.percent; d > 4 || d < -4 {
		k.percent = want
		debug.SetGCPercent(want)
	}
}

// ownGC reports whether the operator has set up the garbage collector.
func ownGC() bool {
	_, percent := os.LookupEnv("GOGC")
	_, limit := os.LookupEnv("GOMEMLIMIT")
	return percent || limit
}

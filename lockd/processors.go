package main

import (
	"os"
	"runtime"

	"lockd/lockd/config"
)

// waitsInKernel is how many threads of a node wait in the kernel at a time
// beside its event loops: in a sync of the log, and in one of the checkpoints.
const waitsInKernel = 2

// spareProcessors gives the scheduler as many processors more as threads of the
// nodes of this process may wait in the kernel, until the function it returns is
// called. The scheduler counts a thread in a system call as running until its
// monitor has noticed that it is not, which takes from 20 µs to 10 ms. On few
// cores, where each processor may be held by a thread that waits for clients or
// for the disk, nobody reads meanwhile what peers sent. Requires: every node has
// taken its defaults, some of which count processors.
func spareProcessors(nodes ...*assembly) (restore func()) {
	waiting := 0
	for _, a := range nodes {
		waiting += a.server.Loops() + waitsInKernel
	}
	return addProcessors(waiting)
}

// inForce returns the settings with the event loops there are: their default counts
// processors, of which there are more by now.
func (a *assembly) inForce() config.Config {
	cfg := a.cfg
	cfg.EventLoops = a.server.Loops()
	return cfg
}

// addProcessors adds n processors. An operator who has set GOMAXPROCS has decided.
func addProcessors(n int) (restore func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	return func() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - n) }
}

//go:build !linux

package client

import "time"

// newClock returns a clock for leases: Go's monotonic clock, which on some
// systems stands still while the machine is suspended. A machine that was
// suspended beyond its lease then notices only when the nodes tell it.
func newClock() func() Instant {
	start := time.Now()
	return func() Instant { return Instant(time.Since(start)) + 1 }
}

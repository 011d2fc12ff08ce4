//go:build linux

package client

import (
	"syscall"
	"time"
	"unsafe"
)

// clockBoottime is CLOCK_BOOTTIME of clock_gettime(2): it counts while the
// machine is suspended, which Go's own clock does not.
const clockBoottime = 7

// newClock returns a clock for leases. If the kernel has none that counts in
// suspend it is Go's monotonic clock: then a machine that was suspended beyond
// its lease notices only when the nodes tell it.
func newClock() func() Instant {
	if boottime() != 0 {
		return boottime
	}
	start := time.Now()
	return func() Instant { return Instant(time.Since(start)) + 1 }
}

// boottime reads the clock; zero if that fails.
func boottime() Instant {
	var ts syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime,
		uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0
	}
	return Instant(ts.Nano())
}

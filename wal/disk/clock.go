package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// BootNanos is the time since the machine started, in nanoseconds, suspends
// included. It only rises, and wall clocks have no part in it. The system call
// cannot fail on a kernel that lockd runs on; should it, there is no safe way
// to go on without a clock.
func BootNanos() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(fmt.Sprintf("disk: reading the boot clock: %v", err))
	}
	return t.Nano()
}

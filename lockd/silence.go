package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lastWordTime is how long the last word may take to be written before the sockets are
// shut all the same: whoever is to read it may have stopped.
const lastWordTime = time.Second

// silence shuts all sockets of the process, listening and connected, before it ends
// out of order. A thread that waits for a disk which does not move keeps a process from
// ending, and with it whatever is open: who connects would wait for an answer that
// nobody gives, instead of going to another node. The standard three are left, for the
// last word. It works where /proc is; elsewhere the end of the process has to do.
func silence() {
	const fds = "/proc/self/fd"
	entries, _ := os.ReadDir(fds)
	for _, e := range entries {
		to, err := os.Readlink(fds + "/" + e.Name())
		fd, bad := strconv.Atoi(e.Name())
		if err == nil && bad == nil && fd > 2 && strings.HasPrefix(to, "socket:") {
			_ = syscall.Shutdown(fd, syscall.SHUT_RDWR) // one that is gone by now is shut
		}
	}
}

package main

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"lockd/client"
)

// checkRead refuses to take what nobody would hear of: a detached hold whose token is
// lost keeps everybody out for its time. A standard output that was closed, as by >&-,
// takes all that is written, since the Go runtime has put the null device in its place,
// open for reading and writing. What a shell opens by >/dev/null is open for writing only.
func checkRead(verb string, out io.Writer) error {
	f, ok := out.(*os.File)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(info, nullDevice()) {
		return nil
	}
	const accessMode = syscall.O_RDONLY | syscall.O_WRONLY | syscall.O_RDWR
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	if err == nil && errno == 0 && flags&accessMode != syscall.O_RDWR {
		return nil
	}
	return failf(exitUsage, "%s: standard output is closed, or the null device open for reading and "+
		"writing: nobody would learn the token of the lock. Give it a file or a pipe, or >/dev/null "+
		"if nobody needs the token", verb)
}

// undo gives back a hold of which nobody has heard because of err. If that fails, it says
// what is known of it, for it stays taken.
func (l *locker) undo(sh *shell, h *client.Held, err error) error {
	back := l.giveBack(h)
	if back != nil {
		fmt.Fprintf(sh.err, "lockd: lock %q may stay taken for %s, with token %d (lockd release "+
			"--token %d): %v\n", h.Name(), spanText(l.ttl), h.Token(), h.Token(), oneLine{back})
	}
	return err
}

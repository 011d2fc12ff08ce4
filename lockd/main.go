// Command lockd is a distributed lock service in one binary: a node of a
// cluster (serve), a whole cluster for trying things out (dev), ways to run
// any command under a lock (run, election run) or to hold one from a shell
// (lock, try, renew, release), and the tools to look at locks, nodes and data
// directories.
//
// This package connects the others: it opens the directory, the log, the
// checkpoints and the sockets, and hands the engine small interfaces to them.
// It decides nothing about locks. Each verb has a file of its own.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// version is set by the linker. Everything else goes by build.
var version = unknownVersion

// unknownVersion stands for a version that nobody has noted.
const unknownVersion = "unknown"

func main() {
	// The process's first thread, on which main begins, runs main alone. The kernel
	// gives that thread every signal that comes from outside, whatever it does, and
	// while it waited for a disk that does not move, nobody would hear of one.
	runtime.LockOSThread()
	if os.Args[0] == starterName {
		os.Exit(beStarter(os.Args))
	}
	// A reader that goes away ends the output, not the process in the middle
	// of an unlock: writes return EPIPE instead. A signal that is ignored would be so
	// by a command that is run, too; one that goes to a channel is not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if os.Args[0] == guardName {
		os.Exit(beGuard(os.Stdin))
	}
	sh := &shell{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ()}
	os.Exit(sh.run(os.Args[1:]))
}

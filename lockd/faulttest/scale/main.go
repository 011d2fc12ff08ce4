// Command scale measures what a lot of state costs a real cluster. It starts
// three nodes, fills them with locks through the Go client and with sessions
// over conns of its own, and prints a table: memory for each, the time of a
// restart, and what ten thousand waiters and the end of a hundred thousand
// sessions mean to somebody else's locks.
//
//	go run ./lockd/faulttest/scale -locks 10000000 -sessions 1000000
//
// Three nodes on one machine hold everything three times; the harness holds the
// locks once more. Count on 1 KB a lock for all of them together. Times are
// worth something on a quiet machine only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"lockd/lockd/faulttest"
)

func main() {
	var o options
	flag.StringVar(&o.binary, "lockd", "bin/lockd", "path of lockd; built when it is not there")
	flag.StringVar(&o.dir, "dir", "", "where the nodes keep their data; default a temporary directory")
	flag.IntVar(&o.locks, "locks", 1_000_000, "locks to hold")
	flag.IntVar(&o.sessions, "sessions", 100_000, "sessions to open")
	flag.IntVar(&o.waiters, "waiters", 10_000, "waiters for one lock")
	flag.IntVar(&o.holds, "holds", 100_000, "locks of one session that ends")
	flag.IntVar(&o.groups, "groups", 64, "groups of the cluster")
	flag.Parse()
	debug.SetGCPercent(30) // the locks of the harness are small change beside those of the nodes
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "scale: %v\n", err)
		os.Exit(1)
	}
}

// withoutC is the environment in which lockd is built as it is shipped. Built with
// a C compiler it has the buffers of the checkpoints outside the heap, and what
// is live could not be told from its figures.
func withoutC() []string { return append(os.Environ(), "CGO_ENABLED=0") }

// options say how much of everything there is to be.
type options struct {
	binary, dir                     string
	locks, sessions, waiters, holds int
	groups                          int
}

// run measures in a directory that it removes if nothing failed.
func run(ctx context.Context, o options) error {
	if _, err := os.Stat(o.binary); errors.Is(err, os.ErrNotExist) {
		fmt.Printf("building %s\n", o.binary)
		build := exec.CommandContext(ctx, "go", "build", "-o", o.binary, "lockd/lockd")
		build.Env = withoutC()
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building lockd: %w", err)
		}
	}
	dir, err := os.MkdirTemp(o.dir, "lockd-scale-")
	if err != nil {
		return err
	}
	cluster, err := faulttest.New(faulttest.Options{Binary: o.binary, Dir: dir, Name: "scale",
		Flags: o.flags()})
	if err != nil {
		return err
	}
	m := newMeasurement(o, cluster)
	err = m.all(ctx)
	m.closeClients()
	if closeErr := cluster.Close(); err == nil {
		err = closeErr
	}
	m.table.print(os.Stdout)
	if err != nil {
		return fmt.Errorf("%w\nlogs are in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

// flags are those of the nodes: limits that leave room for what is asked for,
// where the defaults do not.
func (o *options) flags() []string {
	each := func(n int) string { return fmt.Sprint(max(1<<16, 2*(n/o.groups+1))) }
	return []string{"--groups", fmt.Sprint(o.groups),
		"--limit-locks", each(o.locks + o.holds*o.groups),
		"--limit-claims", each(o.locks + o.holds*o.groups),
		"--limit-sessions", each(o.sessions),
		"--limit-claims-per-session", fmt.Sprint(max(1<<16, o.holds)),
		"--limit-detached", "1000", "--limit-name-bytes", "64", "--memory", "0",
		"--limit-waiters-per-lock", fmt.Sprint(max(10_000, o.waiters))}
}

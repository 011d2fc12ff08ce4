// Command demo shows in under a minute what lockd promises: it starts three
// real nodes, takes a lock, kills the node that leads it with signal 9, and
// checks that the lock is still held with the same token, that those who wait
// are granted it in their order, and that the killed node catches up. It exits
// with another code than 0 if anything is not as claimed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"lockd/lockd/faulttest"
)

func main() {
	binary := flag.String("lockd", "bin/lockd", "path of lockd; built when it is not there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := run(ctx, *binary); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: NOT as claimed: %v\n", err)
		os.Exit(1)
	}
}

// run builds what is missing and plays the demo in a temporary directory.
func run(ctx context.Context, binary string) error {
	if _, err := os.Stat(binary); errors.Is(err, os.ErrNotExist) {
		fmt.Printf("building %s\n", binary)
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "lockd/lockd")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building lockd: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "lockd-demo-")
	if err != nil {
		return err
	}
	cluster, err := faulttest.New(faulttest.Options{Binary: binary, Dir: dir, Name: "demo",
		Flags: []string{"--wal-segment", "4MiB", "--checkpoint", "8MiB"}})
	if err != nil {
		return err
	}
	p := &play{cluster: cluster, began: time.Now()}
	err = p.run(ctx)
	p.closeClients()
	if closeErr := cluster.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("%w\nlogs are in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

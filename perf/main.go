package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const helpText = `perf measures lock services side by side.

usage: perf run [flags]      measure; perf run -h lists the flags
       perf all [flags]      measure everything and rewrite lockd/doc/performance.md
       perf publish [flags]  rewrite it from what a run wrote
       perf smoke [flags]    a minute: lockd, Redis, and the last published run
       perf echo ADDRESS     serve the echo target (perf starts this itself)
       perf load             be a client process (perf starts this itself)
`

func main() {
	ctx, stop := untilInterrupted()
	err := command(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil && interrupted:
		fmt.Fprintln(os.Stderr, "perf: interrupted; what was started is stopped and removed")
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

// untilInterrupted returns a context that ends when perf is told to end, as by a
// terminal that goes away. SIGPIPE is caught and means nothing: it comes of writing to a
// server that was killed as well as to a reader of the output that has gone, and there
// the write fails.
func untilInterrupted() (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// command runs one command of the command line.
func command(ctx context.Context, args []string) error {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "run":
		return runCommand(ctx, args)
	case "all":
		return allCommand(ctx, args)
	case "publish":
		return publishCommand(args)
	case "smoke":
		return smokeCommand(ctx, args)
	case "echo":
		if len(args) != 1 {
			return errors.New("echo: want one address")
		}
		return serveEcho(ctx, args[0])
	case "load":
		return loadCommand(ctx, os.Stdin, os.Stdout)
	case "help", "-h", "--help":
		fmt.Print(helpText)
		return nil
	}
	fmt.Fprint(os.Stderr, helpText)
	return errors.New("want a command: run, all, publish or smoke")
}

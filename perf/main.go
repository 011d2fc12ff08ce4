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
	// A terminal or a reader that goes away ends a run in order too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
		syscall.SIGHUP, syscall.SIGPIPE)
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

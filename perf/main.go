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

usage: perf run [flags]     measure; perf run -h lists the flags
       perf echo ADDRESS    serve the echo target (perf starts this itself)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

// command runs one command of the command line.
func command(ctx context.Context, args []string) error {
	switch {
	case len(args) > 0 && args[0] == "run":
		return runCommand(ctx, args[1:])
	case len(args) == 2 && args[0] == "echo":
		return serveEcho(ctx, args[1])
	case len(args) > 0 && (args[0] == "help" || args[0] == "-h" || args[0] == "--help"):
		fmt.Print(helpText)
		return nil
	}
	fmt.Fprint(os.Stderr, helpText)
	return errors.New("want a command: run")
}

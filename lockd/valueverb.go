package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"syscall"

	"lockd/client"
	"lockd/lockd/admin"
	"lockd/netio/wire"
)

func valueGetVerb() verb {
	return verb{
		name:  "value get",
		args:  "NAME",
		brief: "print the value of a lock as it is",
		help: `
Prints the bytes and nothing else; without a value the exit code is 1. With which token
it was written, and whether it is doubtful, -o json says, and lockd get NAME.`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declareFor(flags, "raw", "the bytes alone")
			return func(sh *shell, args []string) error {
				if err := needArgs(args, "NAME"); err != nil {
					return err
				}
				ctx := context.Background()
				c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
				if err != nil {
					return err
				}
				defer closeClient(c)
				info, err := c.Get(ctx, args[0])
				if errors.Is(err, client.ErrNotFound) || err == nil && len(info.Value.Data) == 0 {
					return failf(exitFailure, "lock %q has no value", args[0])
				}
				if err != nil {
					return clientFailure(err)
				}
				text := info.Value.Data
				if out == "json" {
					text = admin.AppendValue(nil, info)
				}
				_, err = sh.out.Write(text)
				return err
			}
		},
	}
}

func valueSetVerb() verb {
	return verb{
		name:  "value set",
		args:  "NAME TEXT",
		brief: "take a lock, write its value, and give it back",
		help: `
Waits for the lock in its turn, as lockd run does; an empty TEXT takes the value
away. Do not call it under a lockd run of the same lock: it would wait for that.

Exit codes:
    0  the value is written; that the lock could not be given back is only told
    1  others hold the lock and -w is over, or the value was refused
    2  the command line is wrong, as by a TEXT of more than 4096 bytes
   69  no node answers for the lock; the value may have been written
   75  the lock was lost before it was known that the value is written: it may be
   77  ` + notPermitted + `
  128+N  signal N ended the wait`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var p patience
			cluster.declare(flags)
			p.declare(flags, "lock")
			return func(sh *shell, args []string) error {
				if err := needArgs(args, "NAME", "TEXT"); err != nil {
					return err
				}
				if n := len(args[1]); n > wire.MaxValueBytes {
					return failf(exitUsage, "value set: TEXT has %d bytes, limit %d", n, wire.MaxValueBytes)
				}
				p.timeout = cluster.timeout
				defer p.listen(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)()
				c, err := p.dial(&cluster, sh, client.Options{Name: clientName()})
				if err != nil {
					return err
				}
				names := args[:1]
				p.notice = newNotice(sh, c, awaited{"lock", names}, cluster.timeout)
				h, err := acquire(&p, func(ctx context.Context) (*client.Held, error) {
					if p.wait == 0 {
						return c.TryLock(ctx, args[0])
					}
					return c.Lock(ctx, args[0])
				})
				if err != nil {
					err = p.failure(c, names, err)
					if h == nil {
						closeClient(c)
						return err
					}
					return errors.Join(err, giveBack(c, h))
				}
				err = p.failure(c, names, h.SetValue(context.Background(), []byte(args[1])))
				return valueFate(sh, err, giveBack(c, h))
			}
		},
	}
}

// valueFate is what became of a value: the error of its write, or nothing, and that of
// giving the lock back. Who is told that a write has failed repeats it.
func valueFate(sh *shell, wrote, back error) error {
	var f *failure
	switch {
	case wrote == nil && (back == nil || errors.Is(back, client.ErrLost)):
		return nil
	case wrote == nil:
		fmt.Fprintf(sh.err, "lockd: the value is written, but the lock could not be given back, its "+
			"lease will run out: %v\n", oneLine{back})
		return nil
	case errors.Is(wrote, client.ErrProtocol):
		return failf(exitUnavailable, "the value may have been written: %w", oneLine{wrote})
	case errors.As(wrote, &f) && f.code == exitLostBefore:
		return failf(exitLostBefore, "the value may have been written: %w", oneLine{wrote})
	}
	return errors.Join(wrote, back)
}

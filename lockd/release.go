package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

func releaseVerb() verb {
	return verb{
		name:  "release",
		args:  "NAME",
		brief: "give back what lockd lock or lockd try took",
		help: `
Names the hold by the token that was printed. What a client holds that runs, such as
lockd run, is not given back from outside.
` + detachedCodes(),
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var hold holdFlags
			cluster.declare(flags)
			hold.declare(flags)
			return func(sh *shell, args []string) error {
				return hold.use(sh, &cluster, args, func(ctx context.Context, c *client.Client,
					d client.DetachedHold) error {
					return c.ReleaseDetached(ctx, d)
				})
			}
		},
	}
}

func renewVerb() verb {
	return verb{
		name:  "renew",
		args:  "NAME",
		brief: "give what lockd lock or lockd try took another time to live",
		help: `
The time counts from now, be it shorter or longer than what is left. It prints the
same lines as lockd lock, with the new end.
` + detachedCodes(),
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var hold holdFlags
			var out format
			var ttl time.Duration
			cluster.declare(flags)
			hold.declare(flags)
			declareTTL(flags, &ttl)
			out.declareFor(flags, "shell", "lines for a shell to evaluate")
			return func(sh *shell, args []string) error {
				return hold.use(sh, &cluster, args, func(ctx context.Context, c *client.Client,
					d client.DetachedHold) error {
					until, err := c.RenewDetached(ctx, d, ttl)
					if err != nil {
						return err
					}
					return printHold(sh, out, d, until)
				})
			}
		},
	}
}

// detachedCodes are the exit codes of both.
func detachedCodes() string {
	return fmt.Sprintf(`
--session, LOCKD_SESSION of the hold, spares a question to the cluster. It is needed
only where more than %d hold the name together, of a semaphore or in shared modes.

Exit codes:
    1  the token is of a hold that its client keeps
    2  the command line is wrong
   69  no node answers for the lock
   77  the cluster does not permit it (no cluster refuses that yet)
   79  the hold is over: given back before, or its time ran out`, wire.MaxListed)
}

// holdFlags name a detached hold.
type holdFlags struct {
	token, session uint64
}

func (h *holdFlags) declare(flags *flag.FlagSet) {
	flags.Func("token", "`token` of the hold, as it was printed", identity(&h.token))
	flags.Func("session", "`session` of the hold, as it was printed", identity(&h.session))
}

// identity reads a number that names something.
func identity(to *uint64) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			return errors.New("must be a whole number above 0")
		}
		*to = n
		return nil
	}
}

// use finds the hold and does something with it.
func (h *holdFlags) use(sh *shell, cluster *clusterFlags, args []string,
	do func(context.Context, *client.Client, client.DetachedHold) error) error {
	if err := needArgs(args, "NAME"); err != nil {
		return err
	}
	if h.token == 0 {
		return failf(exitUsage, "--token is missing: it was printed when the lock was taken")
	}
	ctx := context.Background()
	c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
	if err != nil {
		return err
	}
	defer closeClient(c)
	d := client.DetachedHold{Name: args[0], Session: h.session, Token: h.token}
	if h.session == 0 {
		d, err = c.FindDetached(ctx, args[0], h.token)
		if errors.Is(err, client.ErrOptions) { // it is a client's
			return &failure{code: exitFailure, err: err}
		}
		if err != nil {
			return detachedFailure(err)
		}
	}
	return detachedFailure(do(ctx, c, d))
}

// detachedFailure gives what became of a detached hold its exit code.
func detachedFailure(err error) error {
	if errors.Is(err, client.ErrLost) {
		return &failure{code: exitLostRunning, err: err}
	}
	return clientFailure(err)
}

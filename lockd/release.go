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
		brief: "give back what lockd lock or lockd try took, or end any hold",
		help: `
Names the hold by the token that was printed. What a client holds that runs, such as
lockd run, is not given back from outside, but with --force: that ends the hold with
this token, whoever has it, now, and the next who waits has the lock. Look first who
it is and what it does: lockd get NAME, lockd why NAME. The holder is told, but what
it has under way goes on until then; only what checks tokens is safe from that. The
reason is written to the log of the node that leads the lock's group.
` + detachedCodes(),
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var hold holdFlags
			cluster.declare(flags)
			hold.declare(flags)
			force := flags.Bool("force", false, "end the hold with this token, whoever has it")
			reason := flags.String("reason", "", "`why` it is ended by force, for the nodes' logs")
			return func(sh *shell, args []string) error {
				switch {
				case *force:
					return hold.force(sh, &cluster, args, *reason)
				case *reason != "":
					return failf(exitUsage, "--reason goes with --force")
				}
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
   77  %s
   79  the hold is over: given back before, or its time ran out`, wire.MaxListed, notPermitted)
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

// check reports what the command line lacks.
func (h *holdFlags) check(args []string) error {
	if err := needArgs(args, "NAME"); err != nil {
		return err
	}
	if h.token == 0 {
		return failf(exitUsage, "--token is missing: it was printed when the lock was taken, and "+
			"lockd get NAME shows it")
	}
	return nil
}

// force ends the hold whoever has it.
func (h *holdFlags) force(sh *shell, cluster *clusterFlags, args []string, reason string) error {
	if err := h.check(args); err != nil {
		return err
	}
	if reason == "" {
		return failf(exitUsage, "--reason is missing: whoever finds the lock gone will ask for it")
	}
	ctx := context.Background()
	c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
	if err != nil {
		return err
	}
	defer closeClient(c)
	err = c.ForceRelease(ctx, args[0], h.token, reason)
	if errors.Is(err, client.ErrStaleToken) {
		return &failure{code: exitLostRunning, err: err}
	}
	return clientFailure(err)
}

// use finds the hold and does something with it.
func (h *holdFlags) use(sh *shell, cluster *clusterFlags, args []string,
	do func(context.Context, *client.Client, client.DetachedHold) error) error {
	if err := h.check(args); err != nil {
		return err
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

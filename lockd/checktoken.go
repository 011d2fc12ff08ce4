package main

import (
	"context"
	"flag"
	"fmt"
	"math"

	"lockd/client"
	"lockd/lockd/admin"
)

func checkTokenVerb() verb {
	return verb{
		name:  "check-token",
		args:  "NAME",
		brief: "say whether a token is that of a present hold of a lock",
		help: `
Prints "current" or "stale" and the largest token of a present hold, 0 if nobody
holds the lock. That is true of a moment, which is over when it is printed: what
must not be written twice compares tokens where it writes.

Exit codes:
    0  a present hold has the token
    1  it is stale: none has it, and nothing else has this code
    2  the command line is wrong
   69  no node answers for the lock, or it fails otherwise: the token may be either
   74  what was found could not be printed
   77  ` + notPermitted,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var hold holdFlags
			var out format
			cluster.declare(flags)
			out.declareFor(flags, "text", "the word and the number")
			flags.Func("token", "`token` that somebody showed", identity(&hold.token))
			return func(sh *shell, args []string) error {
				if err := needArgs(args, "NAME"); err != nil {
					return err
				}
				if hold.token == 0 {
					return failf(exitUsage, "--token is missing: a whole number, 1 to %d", uint64(math.MaxUint64))
				}
				ctx := context.Background()
				c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
				if err != nil {
					return notStale(err)
				}
				defer closeClient(c)
				s, err := c.CheckToken(ctx, args[0], hold.token)
				if err != nil {
					return notStale(err)
				}
				word, fate := "current", error(nil)
				if !s.Current {
					word, fate = "stale", &failure{code: exitFailure}
				}
				text := fmt.Appendf(nil, "%s\t%d\n", word, s.Newest)
				if out == "json" {
					text = admin.AppendToken(nil, args[0], hold.token, &s)
				}
				if _, err := sh.out.Write(text); err != nil {
					return failf(exitUnprinted, "the token is %s, which could not be printed: %w", word, err)
				}
				return fate
			}
		},
	}
}

// notStale gives an error that leaves open how a token stands a code other than that of
// one that is stale.
func notStale(err error) error {
	if err = clientFailure(err); exitCode(err) == exitFailure {
		return &failure{code: exitUnavailable, err: err}
	}
	return err
}

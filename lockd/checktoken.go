package main

import (
	"context"
	"flag"
	"fmt"
	"math"

	"lockd/client"
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
    1  none has it
    2  the command line is wrong
   69  no node answers for the lock
   77  ` + notPermitted,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var hold holdFlags
			cluster.declare(flags)
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
					return err
				}
				defer closeClient(c)
				s, err := c.CheckToken(ctx, args[0], hold.token)
				if err != nil {
					return clientFailure(err)
				}
				word, fate := "current", error(nil)
				if !s.Current {
					word, fate = "stale", &failure{code: exitFailure}
				}
				if _, err := fmt.Fprintf(sh.out, "%s\t%d\n", word, s.Newest); err != nil {
					return err
				}
				return fate
			}
		},
	}
}

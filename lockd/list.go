package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"lockd/client"
	"lockd/lockd/admin"
)

func listVerb() verb {
	return verb{
		name:  "ls",
		args:  "[PREFIX]",
		brief: "list locks by name",
		help: `
Lists the locks that somebody holds or waits for, of all groups, in the order of
their names. Each group answers as of its own moment during the call.`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declare(flags)
			limit := flags.Int("limit", 1000, "list at most so `many`")
			after := flags.String("after", "", "begin after this `name`")
			return func(sh *shell, args []string) error {
				if len(args) == 0 {
					args = []string{""}
				}
				if err := needArgs(args, "PREFIX"); err != nil {
					return err
				}
				if *limit < 1 {
					return failf(exitUsage, "--limit is %d, must be at least 1", *limit)
				}
				ctx := context.Background()
				c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
				if err != nil {
					return err
				}
				defer closeClient(c)
				list, err := c.List(ctx, args[0], client.ListOptions{After: *after, Limit: *limit})
				if err != nil {
					return clientFailure(err)
				}
				if out == "json" {
					_, err := sh.out.Write(admin.AppendList(nil, list, *limit))
					return err
				}
				return listTable(list).print(sh)
			}
		},
	}
}

func listTable(list []client.ListEntry) *table {
	t := &table{header: []string{"NAME", "HOLDER", "MODE", "TOKEN", "HOLDERS", "WAITERS", "FOR"}}
	for i := range list {
		e := &list[i]
		holder, mode, token, held := e.Client, modeName(e.Mode), strconv.FormatUint(e.Token, 10),
			age(e.Held)
		if e.Capacity > 0 {
			mode = fmt.Sprintf("%d of %d permits", e.Taken, e.Capacity)
		}
		if e.Gate != 0 {
			holder, mode = "-", gateText(e.Gate, e.Number)
		}
		if e.HolderCount == 0 && e.Gate != 0 {
			token, held = "-", "-"
		} else if e.HolderCount == 0 {
			holder, mode, token, held = "-", "-", "-", "-"
		}
		t.add(e.Name, holder, mode, token, strconv.Itoa(e.HolderCount),
			strconv.Itoa(e.WaiterCount), held)
	}
	return t
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"

	"lockd/client"
	"lockd/lockd/admin"
	"lockd/netio/wire"
)

func listVerb() verb {
	return verb{
		name:  "ls",
		args:  "[PREFIX]",
		brief: "list locks by name",
		help: `
Lists the locks that somebody holds or waits for, of all groups, in the order of
their names, page after page to the end. Each group answers as of its own moment.`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declare(flags)
			var limit int
			declareNumber(flags, number{to: &limit, least: 0, most: math.MaxInt32}, "limit", 0,
				"list at most so `many`; 0 is all")
			after := flags.String("after", "", "begin after this `name`")
			return func(sh *shell, args []string) error {
				if len(args) == 0 {
					args = []string{""}
				}
				if err := needArgs(args, "PREFIX"); err != nil {
					return err
				}
				if err := errors.Join(checkPrefix("PREFIX", args[0]),
					checkPrefix("--after", *after)); err != nil {
					return err
				}
				ctx := context.Background()
				c, err := cluster.dial(ctx, sh, client.Options{Name: clientName()})
				if err != nil {
					return err
				}
				defer closeClient(c)
				opts := client.ListOptions{After: *after, Limit: limit}
				list, err := listAll(ctx, c, args[0], opts)
				if err != nil {
					return clientFailure(briefly(err))
				}
				if out == "json" {
					_, err := sh.out.Write(admin.AppendList(nil, list, limit))
					return err
				}
				return listTable(list).print(sh)
			}
		},
	}
}

// checkPrefix refuses what no name can begin with.
func checkPrefix(what, text string) error {
	if len(text) <= wire.MaxNameBytes {
		return nil
	}
	return failf(exitUsage, "%s has %d bytes, a name has %d at most", what, len(text),
		wire.MaxNameBytes)
}

// briefly keeps the first of several errors, as all groups of a cluster give when
// none answers, and counts the others.
func briefly(err error) error {
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) || len(all.Unwrap()) < 2 || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return fmt.Errorf("%w (and %d more)", all.Unwrap()[0], len(all.Unwrap())-1)
}

// listAll lists page after page, unless there is a limit.
func listAll(ctx context.Context, c *client.Client, prefix string,
	opts client.ListOptions) ([]client.ListEntry, error) {
	if opts.Limit > 0 {
		return c.List(ctx, prefix, opts)
	}
	var all []client.ListEntry
	for e, err := range c.Locks(ctx, prefix, opts) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func listTable(list []client.ListEntry) *table {
	t := &table{header: []string{"NAME", "HOLDER", "MODE", "TOKEN", "HOLDERS", "WAITERS", "FOR"}}
	for i := range list {
		e := &list[i]
		holder := holderCell{client: e.Client, kept: e.Kept, detached: e.Detached}.String()
		mode, token, held := modeName(e.Mode), strconv.FormatUint(e.Token, 10), age(e.Held)
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

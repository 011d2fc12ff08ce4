package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
)

func statusVerb() verb {
	return verb{
		name:  "cluster status",
		brief: "show how the nodes and groups are",
		help: `
Asks every node and shows one row for each; with --groups, one for each group. STATE is
how the process is: up, draining, waiting (it keeps no group yet) or down (it does not
answer). How a node stands to the cluster, joining, joined, leaving or gone, is the
state of nodes in /v1/status.
The exit code is 1 when a node does not answer or a group has no leader.`,
		begin: func(flags *flag.FlagSet) action {
			var cluster clusterFlags
			var out format
			cluster.declare(flags)
			out.declare(flags)
			groups := flags.Bool("groups", false, "show groups instead of nodes")
			return func(sh *shell, args []string) error {
				if err := needArgs(args); err != nil {
					return err
				}
				all, err := clusterStatus(sh, &cluster)
				if err != nil {
					return err
				}
				switch {
				case out == "json":
					_, err = sh.out.Write(admin.AppendCluster(nil, all))
				case *groups:
					err = groupTable(all).print(sh)
				default:
					err = nodeTable(all).print(sh)
				}
				if err != nil {
					return err
				}
				return clusterTrouble(all)
			}
		},
	}
}

func clusterStatus(sh *shell, cluster *clusterFlags) ([]client.NodeStatus, error) {
	ctx := context.Background()
	c, err := cluster.dial(ctx, sh, client.Options{Name: clientName(), DialTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	defer closeClient(c)
	all, err := c.Status(ctx)
	return all, clientFailure(err)
}

func nodeTable(all []client.NodeStatus) *table {
	t := &table{header: []string{"NODE", "ADDRESS", "STATE", "LEADS", "SESSIONS", "LOCKS",
		"APPLIED", "UPTIME", "VERSION"}}
	for i := range all {
		s := &all[i]
		if s.Err != nil {
			t.add(strconv.Itoa(int(s.Node)), s.Address, "down", "-", "-", "-", "-", "-", "-")
			continue
		}
		var leads, sessions, locks, applied uint64
		for k := range s.Groups {
			g := &s.Groups[k]
			if g.Role == client.RoleLeader {
				leads++
			}
			sessions += uint64(g.Sessions)
			locks += uint64(g.Locks)
			applied += g.Applied
		}
		number := func(n uint64) string { return strconv.FormatUint(n, 10) }
		state := "up"
		switch {
		case len(s.Groups) == 0:
			state = "waiting"
		case s.Draining:
			state = "draining"
		}
		t.add(strconv.Itoa(int(s.Node)), s.Address, state, number(leads), number(sessions),
			number(locks), number(applied), age(s.Uptime), s.Build)
	}
	return t
}

// groupTable has a row for each group, as its leader sees it, with the applied
// slot of every node.
func groupTable(all []client.NodeStatus) *table {
	t := &table{header: []string{"GROUP", "LEADER", "BALLOT", "SESSIONS", "LOCKS", "WAITERS"}}
	for i := range all {
		t.header = append(t.header, fmt.Sprintf("APPLIED %d", all[i].Node))
	}
	for k := range groupCount(all) {
		row := []string{strconv.Itoa(k), "-", "-", "-", "-", "-"}
		for i := range all {
			applied := "-"
			if g := groupOf(&all[i], k); g != nil {
				applied = strconv.FormatUint(g.Applied, 10)
				if g.Role == client.RoleLeader {
					row[1] = strconv.Itoa(int(g.Leader))
					row[2] = fmt.Sprintf("%d.%d", g.Round, g.BallotNode)
					row[3] = strconv.Itoa(int(g.Sessions))
					row[4] = strconv.Itoa(int(g.Locks))
					row[5] = strconv.Itoa(int(g.Waiters))
				}
			}
			row = append(row, applied)
		}
		t.add(row...)
	}
	return t
}

// groupOf finds a group among those that a node keeps, nil if it does not.
func groupOf(s *client.NodeStatus, group int) *client.GroupStatus {
	for i := range s.Groups {
		if s.Err == nil && int(s.Groups[i].Group) == group {
			return &s.Groups[i]
		}
	}
	return nil
}

func groupCount(all []client.NodeStatus) int {
	n := 0
	for i := range all {
		for k := range all[i].Groups {
			n = max(n, int(all[i].Groups[k].Group)+1)
		}
	}
	return n
}

// clusterTrouble says what is wrong with the cluster as a whole.
func clusterTrouble(all []client.NodeStatus) error {
	var problems []string
	for i := range all {
		if all[i].Err != nil {
			problems = append(problems, fmt.Sprintf("node %d does not answer: %v", all[i].Node,
				all[i].Err))
		}
	}
	leaders := make([]int, groupCount(all))
	for i := range all {
		for k := range all[i].Groups {
			if g := &all[i].Groups[k]; g.Role == client.RoleLeader {
				leaders[g.Group]++
			}
		}
	}
	leaderless := 0
	for _, n := range leaders {
		if n == 0 {
			leaderless++
		}
	}
	if len(leaders) == 0 {
		problems = append(problems, "the cluster is not born yet: all nodes must be up together once")
	}
	if leaderless > 0 {
		problems = append(problems, fmt.Sprintf("%d of %d groups have no leader", leaderless,
			len(leaders)))
	}
	if problems == nil {
		return nil
	}
	return failf(exitFailure, "%s", strings.Join(problems, "; "))
}

package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"lockd/lockd/admin"
	"lockd/lockd/node"
)

func drainVerb() verb {
	return verb{
		name:  "cluster drain",
		brief: "have a node lead nothing, for as long as it is worked on",
		help: `
The node at --admin (or LOCKD_ADMIN) hands its leaderships over, without an error at
any client, and takes none as long as another node can: until --undo, or until it is
started again. It goes on as an acceptor, so the cluster survives as much as before,
and sends clients on to who leads. /readyz fails, and lockd cluster status says
draining. With --wait the command ends when the node leads nothing; with --undo and
--wait, when it leads all that it is to lead. Before a stop no drain is needed: a node
that is stopped hands its leaderships over by itself.

The exit code is 1 when the node leads something after --wait, and when it stops and
cannot be told --undo; 69 when it does not answer; 74 when what was done could not be
printed. With -o json there is one object, and exit code 0 says with --wait that it
is so.`,
		begin: func(flags *flag.FlagSet) action {
			var a adminFlags
			a.declare(flags)
			undo := flags.Bool("undo", false, "let the node lead again what falls to it")
			return func(sh *shell, given []string) error {
				if err := needArgs(given); err != nil {
					return err
				}
				if err := a.find(sh); err != nil {
					return err
				}
				if *undo {
					return a.drain(sh, node.NotDraining)
				}
				return a.drain(sh, node.DrainAside)
			}
		},
	}
}

// drain tells the node how to drain and, if told to, waits until it does.
func (a *adminFlags) drain(sh *shell, to node.Draining) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	p, err := a.meet(ctx)
	if err != nil {
		return err
	}
	if err := admin.AskDrain(ctx, a.address, to); err != nil {
		return adminFailure(err)
	}
	next, end := "drains: it hands its leaderships over and takes none", leadsNothing(p.Node)
	if to == node.NotDraining {
		next, end = "leads again what falls to it", leadsAgain(p.Node)
	}
	err = a.say(sh, fmt.Sprintf("node %d of cluster %s %s", p.Node, p.Cluster, next),
		admin.AppendDraining(nil, to, &p))
	if err != nil {
		return err
	}
	return a.await(sh, end)
}

// leadsNothing is that a node drains and has nothing left.
func leadsNothing(id int) goal {
	return goal{
		reached: func(p *admin.Progress) bool { return p.Draining && len(p.Leads) == 0 },
		done:    func(*admin.Progress) string { return fmt.Sprintf("node %d leads nothing", id) },
		open: func(p *admin.Progress) string {
			if !p.Draining {
				return fmt.Sprintf("node %d does not answer, or was started again and does not drain,", id)
			}
			return fmt.Sprintf("node %d still leads %s, which no other node can take,", id, groups(p.Leads))
		},
	}
}

// leadsAgain is that a node leads every group of which it is the preferred leader.
func leadsAgain(id int) goal {
	lacks := func(p *admin.Progress) (lack []int) {
		for g := range len(p.Preferred) {
			if p.Preferred[g] == id && p.Leaders[g] != id {
				lack = append(lack, g)
			}
		}
		return lack
	}
	return goal{
		reached: func(p *admin.Progress) bool {
			return p.Node == id && !p.Draining && len(lacks(p)) == 0
		},
		done: func(p *admin.Progress) string {
			return fmt.Sprintf("node %d leads %s", id, groups(p.Leads))
		},
		open: func(p *admin.Progress) string {
			if p.Node != id {
				return fmt.Sprintf("node %d does not answer", id)
			}
			return fmt.Sprintf("node %d does not lead %s yet", id, groups(lacks(p)))
		},
	}
}

// groups names groups for people.
func groups(ids []int) string {
	if len(ids) == 0 {
		return "nothing"
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(id)
	}
	if len(ids) == 1 {
		return "group " + words[0]
	}
	return "groups " + strings.Join(words, ", ")
}

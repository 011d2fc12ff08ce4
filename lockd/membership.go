package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/config"
	"lockd/lockd/placement"
	"lockd/paxos"
)

// defaultAdmin is where a node's admin listener is unless told otherwise.
const defaultAdmin = "127.0.0.1:7602"

// adminFlags are the flags of the verbs that change a cluster.
type adminFlags struct {
	address, cluster string
	wait             time.Duration
	out              format
}

func (a *adminFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&a.address, "admin", "",
		"admin `address` of any node of the cluster, host:port (LOCKD_ADMIN, default "+
			defaultAdmin+")")
	flags.StringVar(&a.cluster, "cluster", "", "change nothing unless the cluster has this `name`")
	declareSpan(flags, span{to: &a.wait}, "wait", 0,
		"wait so `long` for the change to be carried out, groups moved included")
	a.out.declareFor(flags, "text", "a line for each thing done")
}

// find settles which node is asked. It is not guessed while a cluster is named
// otherwise: what listens at the default address may be a node of another.
func (a *adminFlags) find(sh *shell) error {
	if a.address == "" {
		a.address = sh.getenv("LOCKD_ADMIN")
	}
	if a.address != "" {
		return nil
	}
	if wrong := config.MistypedEnv(sh.env, "LOCKD_ADMIN"); wrong != "" {
		return failf(exitUsage, "unknown environment variable %s; did you mean LOCKD_ADMIN? Correct it "+
			"or unset it", wrong)
	}
	if addr := sh.getenv("LOCKD_ADDR"); addr != "" {
		return failf(exitUsage, "--admin is missing: LOCKD_ADDR=%s is for clients, and %s, the default, "+
			"may be of another cluster; give --admin or LOCKD_ADMIN, a node's node.admin_listen", addr,
			defaultAdmin)
	}
	a.address = defaultAdmin
	return nil
}

func addVerb() verb {
	return changeVerb("cluster add", "ID=PEERHOST:PORT/CLIENTHOST:PORT",
		"take another node into the cluster", `
The node is invited under its id and the addresses at which others dial it. Then
start it, with a data directory of its own, the cluster's settings, and a list of
nodes that names itself and some of the others: the first disk it shows becomes
its own. It takes its share of the groups over while everything goes on; if it is
lost before that has ended, replace or remove it. Ids are never used twice.`, placement.Add)
}

func removeVerb() verb {
	return changeVerb("cluster remove", "ID", "let a node go", `
Its groups move to the others first; then it stops by itself, and its directory
may be deleted. A node that was invited and has not come is forgotten at once. A
cluster keeps as many nodes as each group has replicas: to give a broken node a
new disk use lockd cluster replace.

As long as the node has not gone, --undo has it stay, and groups come back to it. If
a node to which groups are moving is lost meanwhile, replace it, or remove it too,
or, where too few nodes would be left, --undo the first removal and remove the lost
node instead.`, placement.Remove)
}

func replaceVerb() verb {
	return changeVerb("cluster replace", "ID[=PEERHOST:PORT/CLIENTHOST:PORT]",
		"give a node whose disk is lost a new one", `
The node's old disk is given up for ever: whatever it had promised no longer
counts, so it must never run again. A node that is up keeps its disk, unless --force
says that this one is meant. Then start the node on an empty directory. It learns its
groups from the others and counts again once it has them all. With addresses it comes
back elsewhere; change the other nodes' settings too. If there is no machine for it,
lockd cluster remove lets it go. A second node is not replaced while some group still
counts on the first one's old disk: that could be one disk too many.`, placement.Replace)
}

func moveVerb() verb {
	return changeVerb("cluster move", "GROUP NODE", "have another node lead a group", `
The node must be one of those that keep the group; lockd cluster status --groups shows
them, and who leads. It takes the group over as soon as it is up, does not drain and
has caught up, without an error at any client, and leads it from then on whenever it
can. It changes places in the succession with the node that was to lead. That holds
until a node is added or removed: then leaderships are made even again. Who asks for it
twice gets it once. With --wait the command ends when the node leads.`, placement.Move)
}

func changeVerb(name, args, brief, help string, kind placement.Kind) verb {
	return verb{
		name: name, args: args, brief: brief,
		help: help + `
Any node may be asked, at its admin listener: --admin or LOCKD_ADMIN, not the address
of clients. It passes the change on. One node joins or is replaced at a time. The
answer names the cluster; with --cluster NAME nothing is changed in any other.

What is refused only because another change has just been made is asked for again, for
up to 5 s, and said on standard error. The exit code is 1 when the cluster refuses, or
--wait is over before all is done, 69 when the node does not answer, 74 when what was
done could not be printed. With -o json there is one object, and exit code 0 says with
--wait that all is done.`,
		begin: func(flags *flag.FlagSet) action {
			var a adminFlags
			a.declare(flags)
			undo, force := new(bool), new(bool)
			switch kind {
			case placement.Remove:
				flags.BoolVar(undo, "undo", false, "have a node stay that was to leave")
			case placement.Replace:
				flags.BoolVar(force, "force", false, "give the disk up of a node that is up")
			}
			return func(sh *shell, given []string) error {
				if err := needArgs(given, strings.Fields(args)...); err != nil {
					return err
				}
				c, err := parseChange(kind, given)
				if err != nil {
					return &failure{code: exitUsage, err: err}
				}
				if *undo {
					c.Kind = placement.Keep
				}
				if err := a.find(sh); err != nil {
					return err
				}
				return a.change(sh, &admin.ChangeRequest{Change: c, Force: *force})
			}
		},
	}
}

// parseChange reads the arguments of a change.
func parseChange(kind placement.Kind, given []string) (placement.Change, error) {
	c, err := parseMember(kind, given[len(given)-1])
	if kind != placement.Move || err != nil {
		return c, err
	}
	group, err := strconv.ParseUint(given[0], 10, 16)
	if err != nil {
		return c, fmt.Errorf("%q is no group, must be 0 to 65535", given[0])
	}
	c.Group = paxos.GroupID(group)
	return c, nil
}

// parseMember reads the node of a change.
func parseMember(kind placement.Kind, text string) (placement.Change, error) {
	c := placement.Change{Kind: kind}
	if kind == placement.Add || strings.Contains(text, "=") {
		n, err := config.ParseNode(text)
		if err != nil {
			return c, err
		}
		if kind == placement.Remove || kind == placement.Move {
			return c, fmt.Errorf("%q: a node is named by its id alone", text)
		}
		c.Node, c.Peer, c.Client = paxos.NodeID(n.ID), n.Peer, n.Client
		return c, nil
	}
	id, err := strconv.ParseUint(text, 10, 16)
	if err != nil || id == 0 {
		return c, fmt.Errorf("%q is no node id, must be 1 to 65535", text)
	}
	c.Node = paxos.NodeID(id)
	return c, nil
}

// change asks for the change and, if told to, waits for what follows from it.
func (a *adminFlags) change(sh *shell, c *admin.ChangeRequest) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	p, err := a.meet(ctx)
	if err != nil {
		return err
	}
	if err := a.insist(ctx, sh, c); err != nil {
		return adminFailure(err)
	}
	next := map[placement.Kind]string{
		placement.Add:     "invited; start it on an empty directory",
		placement.Remove:  "is leaving; it stops when its groups have moved",
		placement.Replace: "gave its disk up; start it on an empty directory",
		placement.Move:    fmt.Sprintf("is to lead group %d", c.Group),
		placement.Keep:    "stays; groups come back to it",
	}
	err = a.say(sh, fmt.Sprintf("node %d of cluster %s %s", c.Node, p.Cluster, next[c.Kind]),
		admin.AppendChanged(nil, p.Cluster, &c.Change))
	if err != nil {
		return err
	}
	if c.Kind == placement.Move {
		return a.await(sh, movedTo(int(c.Group), int(c.Node)))
	}
	return a.await(sh, settled(&c.Change))
}

// say prints what is done, as text or as an object of JSON; as that nothing if there is
// none.
func (a *adminFlags) say(sh *shell, text string, object []byte) error {
	if a.out != "json" {
		object = append([]byte(text), '\n')
	}
	if len(object) == 0 {
		return nil
	}
	if _, err := sh.out.Write(object); err != nil {
		return failf(exitUnprinted, "%s, which could not be printed: %w", text, err)
	}
	return nil
}

// changePatience is how long a change is asked for again that is refused for what
// ends by itself: just after another one the leaders of all groups have to be heard.
const changePatience = 5 * time.Second

// insist asks for a change, again and again while it can only not be made yet.
func (a *adminFlags) insist(ctx context.Context, sh *shell, c *admin.ChangeRequest) error {
	enough := time.NewTimer(changePatience)
	defer enough.Stop()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for said := false; ; said = true {
		err := admin.Ask(ctx, a.address, c)
		if !errors.Is(err, admin.ErrAskAgain) {
			return err
		}
		if !said {
			fmt.Fprintf(sh.err, "lockd: asking again for up to %v: %v\n", changePatience, err)
		}
		select {
		case <-poll.C:
		case <-enough.C:
			return err
		}
	}
}

// askTimeout bounds what a node may take to answer.
const askTimeout = 15 * time.Second

// meet asks the node at the address how it is, and refuses one of another cluster.
func (a *adminFlags) meet(ctx context.Context) (admin.Progress, error) {
	p, err := admin.AskProgress(ctx, a.address)
	if err != nil {
		return p, adminFailure(err)
	}
	if a.cluster != "" && a.cluster != p.Cluster {
		return p, failf(exitFailure, "the node at %s is of cluster %q, not %q: nothing is changed",
			a.address, p.Cluster, a.cluster)
	}
	return p, nil
}

// adminFailure gives an error of an admin listener its exit code.
func adminFailure(err error) error {
	if errors.Is(err, admin.ErrAsk) {
		// Which packages an answer came through helps nobody who asked.
		return failf(exitFailure, "%s", packageNames().Replace(err.Error()))
	}
	return failf(exitUnavailable, "%w; --admin and LOCKD_ADMIN are a node's node.admin_listen", err)
}

// packageNames takes out what stands before the errors of packages.
func packageNames() *strings.Replacer {
	return strings.NewReplacer("admin: ", "", "placement: ", "", "node: ", "")
}

// goal is what a change leads to in the end.
type goal struct {
	reached func(*admin.Progress) bool
	// done says that it is so, open how far from it the cluster is.
	done, open func(*admin.Progress) string
}

// settled is that a node is, or is gone, and all groups are at home.
func settled(c *placement.Change) goal {
	id := int(c.Node)
	return goal{
		reached: func(p *admin.Progress) bool {
			if c.Kind == placement.Remove {
				return p.States[id] == placement.Gone.String() && p.Moving == 0
			}
			return p.States[id] == placement.Member.String() && !p.Awaited[id] && p.Moving == 0
		},
		done: func(p *admin.Progress) string {
			return fmt.Sprintf("node %d %s, all groups are at home", id, standing(p.States[id]))
		},
		open: func(p *admin.Progress) string {
			return fmt.Sprintf("node %d %s and %d groups are on the move", id,
				standing(p.States[id]), p.Moving)
		},
	}
}

// standing says how a node stands to its cluster, in the words of /v1/status.
func standing(state string) string {
	if state == placement.Member.String() {
		return "has " + state
	}
	return "is " + state
}

// movedTo is that a node leads a group.
func movedTo(group, id int) goal {
	return goal{
		reached: func(p *admin.Progress) bool { return p.Leaders[group] == id },
		done:    func(*admin.Progress) string { return fmt.Sprintf("node %d leads group %d", id, group) },
		open: func(p *admin.Progress) string {
			by := "by nobody"
			if p.Leaders[group] != 0 {
				by = fmt.Sprintf("by node %d", p.Leaders[group])
			}
			return fmt.Sprintf("group %d is led %s, because node %d is down, drains or lags,", group, by, id)
		},
	}
}

// await polls, if told to wait, until a goal is reached. It asks once at least, however
// short the wait is: without an answer there is nothing to say about the cluster.
func (a *adminFlags) await(sh *shell, g goal) error {
	if a.wait == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.wait)
	defer cancel()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	far := newProgress(sh)
	var last *admin.Progress
	for {
		p, err := a.progress()
		if err == nil {
			last = &p
			if g.reached(&p) {
				return a.say(sh, g.done(&p), nil)
			}
			far.say(g.open(&p))
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			if last == nil {
				return failf(exitUnavailable, "the change is made, and the node at %s has not said in %s "+
					"how far it is: %w", a.address, spanText(a.wait), err)
			}
			return failf(exitFailure, "%s after %s; it goes on without this command", g.open(last),
				spanText(a.wait))
		}
	}
}

// progress asks the node once how far the cluster is.
func (a *adminFlags) progress() (admin.Progress, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return admin.AskProgress(ctx, a.address)
}

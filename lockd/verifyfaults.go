package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/config"
	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/paxos"
)

// The kinds of faults that are no fault of a node of its own.
const (
	kindMove  = "move"
	kindDrain = "drain"
	kindExec  = "exec"
)

// meet asks the admin listeners which node each is of.
func (v *verifier) meet(sh *shell) error {
	if v.admin == "" {
		v.admin = sh.getenv("LOCKD_ADMIN")
	}
	if v.faults == "none" {
		return nil
	}
	cluster := ""
	for address := range strings.SplitSeq(v.admin, ",") {
		if address = strings.TrimSpace(address); address == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), v.cluster.timeout)
		p, err := admin.AskProgress(ctx, address)
		cancel()
		if err != nil {
			return adminFailure(err)
		}
		if cluster != "" && cluster != p.Cluster {
			return failf(exitUsage, "--admin: the node at %s is of cluster %q, others are of %q", address,
				p.Cluster, cluster)
		}
		cluster = p.Cluster
		if slices.ContainsFunc(v.pages, func(x page) bool { return x.node == p.Node }) {
			return failf(exitUsage, "--admin: %s is node %d, which is named already", address, p.Node)
		}
		v.pages = append(v.pages, page{address, p.Node, p.TakesFaults})
	}
	return nil
}

// refusal says why no node can be asked for faults, nil if all can.
func (v *verifier) refusal() error {
	if v.secretFile == "" {
		return errors.New("--faults-secret-file is missing, the secret of the nodes' faults.secret_file")
	}
	if len(v.pages) == 0 {
		return errors.New("--admin is missing, the admin addresses of all nodes")
	}
	for _, x := range v.pages {
		if !x.takes {
			return fmt.Errorf("node %d at %s takes none: its setting faults.allow is false", x.node,
				x.address)
		}
	}
	return nil
}

// nodeFault makes a fault of nodes. One of fewer than three is more than a minority.
func (v *verifier) nodeFault(kind string) (*nodeFault, error) {
	secret, err := config.ReadSecret("--faults-secret-file", v.secretFile)
	if err != nil {
		return nil, &failure{code: exitUsage, err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), v.cluster.timeout)
	defer cancel()
	p, err := admin.AskProgress(ctx, v.pages[0].address)
	if err != nil {
		return nil, adminFailure(err)
	}
	nodes := 0
	for _, state := range p.States { // order: a count
		if state == placement.Member.String() {
			nodes++
		}
	}
	if nodes < 3 && !v.allNodes {
		return nil, failf(exitUsage, "--faults %s: the cluster has %d nodes, of which one is no "+
			"minority: add all-nodes if that is meant", kind, nodes)
	}
	if len(v.pages) < nodes {
		return nil, failf(exitUsage, "--faults %s: --admin has %d of %d nodes; name all, so that each "+
			"gets its turn", kind, len(v.pages), nodes)
	}
	f := &nodeFault{pages: v.pages, secret: string(secret), lasts: v.opts.Length,
		fault: admin.Fault{Kind: kind}}
	if kind == admin.FaultSlow {
		f.fault.Delay = v.delay
	}
	f.all, f.turn = v.allNodes, &v.turn
	return f, nil
}

// home reports whether the nodes say that each group is led by who is to lead it.
func (v *verifier) home(ctx context.Context) bool {
	p, err := admin.AskProgress(ctx, v.pages[0].address)
	if err != nil {
		return false
	}
	for g, leader := range p.Preferred { // order: all must be
		if p.Leaders[g] != leader {
			return false
		}
	}
	return true
}

// nodeFault has a node do something to itself, each in its turn, or all at once.
type nodeFault struct {
	pages  []page
	secret string
	fault  admin.Fault
	lasts  time.Duration
	all    bool
	turn   *int // of all kinds, so that not the same node is hit again and again
	hit    []page
}

// spare is how much longer a node's fault may last by itself than it is meant to.
const spare = 2 * time.Second

// Begin makes it a verify.Fault.
func (f *nodeFault) Begin(ctx context.Context) (string, error) {
	f.fault.For = min(f.lasts+spare, admin.MaxFault)
	f.hit = f.pages[*f.turn%len(f.pages):][:1]
	if *f.turn++; f.all {
		f.hit = f.pages
	}
	var names []string
	var problems []error
	for _, x := range f.hit {
		names = append(names, strconv.Itoa(x.node))
		if err := admin.AskFault(ctx, x.address, f.secret, f.fault); err != nil {
			problems = append(problems, fmt.Errorf("node %d: %w", x.node, err))
		}
	}
	who := "node "
	if len(names) > 1 {
		who = "nodes "
	}
	return who + strings.Join(names, ", ") + ": " + faultText(f.fault), errors.Join(problems...)
}

// Heal makes it a verify.Fault. A node that crashed is healed by who starts it.
func (f *nodeFault) Heal(ctx context.Context) error {
	var problems []error
	for _, x := range f.hit {
		if f.fault.Kind == admin.FaultCrash {
			continue
		}
		if err := admin.AskHeal(ctx, x.address, f.secret); err != nil {
			problems = append(problems, fmt.Errorf("node %d: %w", x.node, err))
		}
	}
	return errors.Join(problems...)
}

// movedAtOnce is how many groups one fault moves.
const movedAtOnce = 4

// moveFault has groups led by others than who is to lead them, and back.
type moveFault struct {
	address string
	turn    int
	// moved are the groups that a move was asked for, and who was to lead each; one that
	// was not moved may be moved back all the same.
	moved map[int]int
}

// Begin makes it a verify.Fault.
func (f *moveFault) Begin(ctx context.Context) (string, error) {
	p, err := admin.AskProgress(ctx, f.address)
	if err != nil {
		return "nothing is moved", err
	}
	groups := slices.Sorted(maps.Keys(p.Preferred))
	nodes := slices.Sorted(maps.Keys(p.States))
	f.moved = map[int]int{}
	for k := range min(movedAtOnce, len(groups)) {
		group := groups[(f.turn*movedAtOnce+k)%len(groups)]
		f.moved[group] = p.Preferred[group] // before: a move without an answer may be made
		if err := f.away(ctx, group, p.Preferred[group], nodes); err != nil {
			return fmt.Sprintf("%d groups move", len(f.moved)), err
		}
	}
	f.turn++
	return fmt.Sprintf("%s are led by other nodes", groupsText(f.moved)), nil
}

func groupsText(moved map[int]int) string { return groups(slices.Sorted(maps.Keys(moved))) }

// away moves a group to the next node that keeps it.
func (f *moveFault) away(ctx context.Context, group, from int, nodes []int) error {
	at := slices.Index(nodes, from)
	var err error
	for i := 1; i < len(nodes); i++ {
		to := nodes[(at+i)%len(nodes)]
		if err = f.move(ctx, group, to); err == nil || !errors.Is(err, admin.ErrAsk) {
			return err
		}
	}
	return err
}

// move asks for one move, again for as long as another change is being made.
func (f *moveFault) move(ctx context.Context, group, to int) error {
	c := &placement.Change{Kind: placement.Move, Group: paxos.GroupID(group), Node: paxos.NodeID(to)}
	return admin.Ask(ctx, f.address, &admin.ChangeRequest{Change: *c})
}

// Heal makes it a verify.Fault.
func (f *moveFault) Heal(ctx context.Context) error {
	for _, group := range slices.Sorted(maps.Keys(f.moved)) {
		if err := f.move(ctx, group, f.moved[group]); err != nil {
			return fmt.Errorf("group %d is to be led by node %d again: %w", group, f.moved[group], err)
		}
		delete(f.moved, group)
	}
	return nil
}

// drainFault drains each node in its turn.
type drainFault struct {
	pages []page
	turn  int
	hit   *page
}

// Begin makes it a verify.Fault.
func (f *drainFault) Begin(ctx context.Context) (string, error) {
	f.hit = &f.pages[f.turn%len(f.pages)]
	f.turn++
	return fmt.Sprintf("node %d drains", f.hit.node),
		admin.AskDrain(ctx, f.hit.address, node.DrainAside)
}

// Heal makes it a verify.Fault.
func (f *drainFault) Heal(ctx context.Context) error {
	if f.hit == nil {
		return nil
	}
	return admin.AskDrain(ctx, f.hit.address, node.NotDraining)
}

// execWithin bounds a command.
const execWithin = 30 * time.Second

// execFault is a pair of commands of the operator's.
type execFault struct {
	shell       *shell
	begin, heal string
}

// execName is the kind of the i-th of n.
func execName(i, n int) string {
	if n == 1 {
		return kindExec
	}
	return fmt.Sprintf("%s-%d", kindExec, i+1)
}

// Begin makes it a verify.Fault.
func (f *execFault) Begin(ctx context.Context) (string, error) {
	return f.begin, f.run(ctx, f.begin)
}

// Heal makes it a verify.Fault.
func (f *execFault) Heal(ctx context.Context) error {
	if f.heal == "" {
		return nil
	}
	return f.run(ctx, f.heal)
}

// run runs a command in a group of its own, so that Ctrl-C does not end what heals.
func (f *execFault) run(ctx context.Context, command string) error {
	bounded, cancel := context.WithTimeout(ctx, execWithin)
	defer cancel()
	cmd := exec.CommandContext(bounded, "sh", "-c", command)
	cmd.Env, cmd.Stdout, cmd.Stderr = f.shell.env, f.shell.err, f.shell.err
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // what it leaves running may keep the streams
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%q: %w", command, err)
	}
	return nil
}

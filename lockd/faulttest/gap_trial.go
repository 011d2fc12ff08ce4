package faulttest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/proxy"
)

// GapKind is what befalls the node whose groups a trial watches.
type GapKind string

// The kinds of trials.
const (
	// GapNone does nothing: what it measures is noise, and part of all others.
	GapNone GapKind = "none"
	// GapCrash kills the process with signal 9.
	GapCrash GapKind = "crash"
	// GapPause stops it with SIGSTOP for longer than an election takes.
	GapPause GapKind = "pause"
	// GapPartial cuts its link to one peer; clients and the other still reach it.
	GapPartial GapKind = "partial"
	// GapPartition cuts its links to both peers; clients still reach it.
	GapPartition GapKind = "partition"
	// GapMove restarts it in order: leaderships leave before the end and come
	// back after the start, all of which is watched.
	GapMove GapKind = "move"
)

// GapKinds returns all kinds, in the order in which they are best measured.
func GapKinds() []GapKind {
	return []GapKind{GapNone, GapMove, GapPartial, GapCrash, GapPause, GapPartition}
}

// GapOptions describe a series of trials.
type GapOptions struct {
	// Binary is the path of lockd, Dir an existing directory for all else.
	Binary, Dir string
	// Groups is the number of groups, each probed by one worker. Default 12.
	Groups int
	// Every is how long each worker rests between two pairs, and so how exactly a
	// gap is measured. Default 1 ms.
	Every time.Duration
	// Flags are added to the command line of every node.
	Flags []string
}

// Gaps is a cluster of three on which trials are made. It belongs to one
// goroutine.
type Gaps struct {
	cluster *Cluster
	watch   *client.Client
	probe   *Probe
	opts    GapOptions
	trials  int // so far: the victims take turns
}

// Bounds of the phases of a trial.
const (
	gapPatience = time.Minute            // for the cluster to be well again
	gapTail     = 500 * time.Millisecond // watched after all groups have served
	gapCalm     = 250 * time.Millisecond // the longest wait of a cluster that is well
)

// NewGaps starts a cluster and its probe. The caller must call Close.
func NewGaps(ctx context.Context, o GapOptions) (*Gaps, error) {
	if o.Groups == 0 {
		o.Groups = 12
	}
	if o.Every == 0 {
		o.Every = time.Millisecond
	}
	c, err := New(Options{Binary: o.Binary, Dir: o.Dir, Name: "gap", Network: Proxied,
		Flags: append([]string{"--groups", fmt.Sprint(o.Groups), "--wal-segment", "4MiB", "--checkpoint",
			"8MiB"},
			o.Flags...)})
	if err != nil {
		return nil, err
	}
	g := &Gaps{cluster: c, opts: o}
	if err := c.Start(ctx); err != nil {
		return g, err
	}
	if g.watch, err = c.Dial(ctx, client.Options{Name: "watch"}); err != nil {
		return g, err
	}
	prober, err := c.Dial(ctx, client.Options{Name: "probe", Lease: 30 * time.Second})
	if err != nil {
		return g, err
	}
	g.probe = StartProbe([]*client.Client{prober}, o.Groups, o.Every)
	return g, g.well(ctx)
}

// Close ends everything.
func (g *Gaps) Close() error {
	if g.probe != nil {
		g.probe.Stop()
	}
	return g.cluster.Close()
}

// Trial does to one node what the kind says, and returns the longest that any
// group kept a client waiting for a lock because of it. It returns when the
// cluster is well again.
func (g *Gaps) Trial(ctx context.Context, kind GapKind) (time.Duration, error) {
	g.trials++
	victim := g.cluster.Nodes[g.trials%len(g.cluster.Nodes)]
	ctx, cancel := context.WithTimeout(ctx, gapPatience)
	defer cancel()
	g.probe.Watch()
	heal, err := g.harm(victim, kind)
	if err != nil {
		return 0, err
	}
	if kind == GapMove {
		err = heal() // the way back is part of the move
	}
	if err == nil {
		_, err = g.probe.AwaitProgress(ctx)
	}
	if err == nil && kind == GapMove {
		err = g.balanced(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("faulttest: gap %s of node %d: %w", kind, victim.ID, err)
	}
	pause(ctx, gapTail)
	gap, _ := g.probe.Longest()
	if kind != GapMove {
		err = heal()
	}
	if err == nil {
		err = g.well(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("faulttest: after gap %s of node %d: %w", kind, victim.ID, err)
	}
	return gap, nil
}

// harm begins a trial and returns how it is undone.
func (g *Gaps) harm(n *Node, kind GapKind) (heal func() error, err error) {
	mesh := g.cluster.Mesh
	cut := func(others ...*Node) func() error {
		rules := func(r proxy.Rules) {
			for _, other := range others {
				mesh.Set(n.ID, other.ID, r)
				mesh.Set(other.ID, n.ID, r)
			}
		}
		rules(proxy.Rules{Gate: proxy.Hold})
		return func() error { rules(proxy.Rules{}); return nil }
	}
	nodes := len(g.cluster.Nodes)
	next, last := g.cluster.Nodes[n.ID%nodes], g.cluster.Nodes[(n.ID+1)%nodes]
	switch kind {
	case GapNone:
		return func() error { return nil }, nil
	case GapCrash:
		return n.Start, n.Kill()
	case GapPause:
		return n.Resume, n.Pause()
	case GapPartial:
		return cut(next), nil
	case GapPartition:
		return cut(next, last), nil
	case GapMove:
		return n.Start, n.Stop()
	default:
		return nil, fmt.Errorf("faulttest: unknown kind of gap %q", kind)
	}
}

// well waits until all nodes are ready, lead their share, and answer at once.
func (g *Gaps) well(ctx context.Context) error {
	for _, n := range g.cluster.Nodes {
		if err := n.AwaitReady(ctx); err != nil {
			return err
		}
	}
	if err := g.balanced(ctx); err != nil {
		return err
	}
	return g.probe.AwaitCalm(ctx, gapCalm, gapTail)
}

// balanced waits until every node leads its share of the groups.
func (g *Gaps) balanced(ctx context.Context) error {
	for {
		all, err := g.watch.Status(ctx)
		leads := make(map[uint16]int)
		for i := range all {
			for _, s := range all[i].Groups {
				if all[i].Err == nil && s.Leader == all[i].Node {
					leads[all[i].Node]++
				}
			}
		}
		even := err == nil
		for _, n := range g.cluster.Nodes {
			even = even && leads[uint16(n.ID)] >= g.opts.Groups/len(g.cluster.Nodes)
		}
		if even {
			return nil
		}
		pause(ctx, 20*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("faulttest: the leaders do not spread: %v: %w", leads, ctx.Err())
		}
	}
}

// Quantile returns the value that a share of all values is not above, by nearest
// rank. Requires: values is not empty.
func Quantile(values []time.Duration, share float64) time.Duration {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	rank := int(share*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

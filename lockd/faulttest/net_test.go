package faulttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lockd/client"
)

// electionTimeout is that of the clusters under test, the default.
const electionTimeout = time.Second

// netRig is a cluster under load and under a probe, with holds that must be
// kept, whatever its network does.
type netRig struct {
	*rig
	probe *Probe
	draw  *rand.Rand
}

// newNetRig starts load, probe and holds on a cluster that runs. The holds have
// a lease that outlives any phase without a quorum.
func newNetRig(t *testing.T, c *Cluster, seed uint64) *netRig {
	t.Helper()
	const long = 10 * time.Minute
	r := &netRig{rig: &rig{cluster: c}, draw: rand.New(rand.NewPCG(seed, seed))}
	r.watch = dial(t, c, client.Options{Name: "watch"})
	var err error
	r.keep, err = NewKeep(within(t, 20*time.Second), dial(t, c, client.Options{Name: "holder",
		Lease: long}), dial(t, c, client.Options{Name: "other", Lease: long}), 8)
	if err != nil {
		t.Fatal(err)
	}
	clients := []*client.Client{
		dial(t, c, client.Options{Name: "load a"}),
		dial(t, c, client.Options{Name: "load b"}),
	}
	r.load = StartLoad(LoadOptions{Clients: clients, Workers: 6, Names: 6, Groups: groups,
		Seed: seed})
	t.Cleanup(func() { r.load.cancel() })
	r.probe = StartProbe([]*client.Client{dial(t, c, client.Options{Name: "probe"})}, groups,
		5*time.Millisecond)
	t.Cleanup(r.probe.Stop)
	r.serves(t)
	return r
}

// progress demands that every group serves again within a while from the start
// of the watch, and returns how long it took.
func (r *netRig) progress(t *testing.T, limit time.Duration, when string) time.Duration {
	t.Helper()
	took, err := r.probe.AwaitProgress(within(t, 30*time.Second))
	if err == nil && took > limit {
		err = fmt.Errorf("faulttest: all groups served after %v, want %v", took, limit)
	}
	if err != nil {
		t.Fatalf("%s: %v", when, errors.Join(err, r.load.Err()))
	}
	if err := r.load.Err(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	return took
}

// still demands that nothing is granted, after the leaders have had two
// election timeouts to find out.
//
//lint:ignore U1000 tests with the fault tag use it
func (r *netRig) still(t *testing.T, when string) {
	t.Helper()
	time.Sleep(2 * electionTimeout)
	before := r.probe.Pairs.Load() + r.load.Grants.Load()
	time.Sleep(electionTimeout / 2)
	if after := r.probe.Pairs.Load() + r.load.Grants.Load(); after != before {
		t.Fatalf("%s: %d locks were granted without a quorum", when, after-before)
	}
	if err := r.load.Err(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
}

// finish ends the probe and then all else: nodes converge only in quiet.
func (r *netRig) finish(t *testing.T) {
	t.Helper()
	r.probe.Stop()
	r.rig.finish(t)
}

// newProxied starts a cluster with proxies everywhere.
func newProxied(t *testing.T, seed uint64, flags ...string) *Cluster {
	t.Helper()
	return startCluster(t, Options{Nodes: 3, Network: Proxied, Seed: seed,
		Flags: append(smallFlags(), flags...)})
}

// TestFN1LeaderOneWay is one graph of the long test: the node that leads a group
// can send and hears nothing, so that the others must find out for it. Without
// the rule that a leader without a quorum steps down, its heartbeats would keep
// them quiet for ever.
func TestFN1LeaderOneWay(t *testing.T) {
	t.Parallel()
	r := newNetRig(t, newProxied(t, 1), 1)
	leader, err := r.cluster.Leader(within(t, 10*time.Second), r.watch, 0)
	if err != nil {
		t.Fatal(err)
	}
	g := FullGraph
	for _, n := range r.cluster.Nodes {
		if n != leader {
			g = g.Cut(n.ID, leader.ID)
		}
	}
	r.probe.Watch()
	r.cluster.Mesh.Shape(g, r.draw)
	t.Logf("%v: all groups serve after %v", g, r.progress(t, 4*electionTimeout, g.String()))
	r.cluster.Mesh.Shape(FullGraph, r.draw)
	r.finish(t)
}

//go:build fault

package faulttest

import (
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// TestFC3SnapshotToALaggingNode keeps a node away until its peers have dropped
// what it lacks, so that only a snapshot brings it back, and kills it once
// while the snapshots arrive.
func TestFC3SnapshotToALaggingNode(t *testing.T) {
	c := newCluster(t, 3, "--retain-slots", "4", "--checkpoint", "64KiB")
	watch := dial(t, c, client.Options{Name: "watch"})
	load := StartLoad(LoadOptions{Clients: []*client.Client{dial(t, c, client.Options{Name: "load"})},
		Workers: 16, Names: 48, Groups: groups, Seed: 8})
	t.Cleanup(func() { load.cancel() })
	n := c.Nodes[2]
	for round := range 3 {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := load.AwaitGrants(within(t, 20*time.Second), 60); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			awaitLog(t, n, "snapshot installed")
			continue // and the next kill comes while others arrive
		}
		if err := n.AwaitReady(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitEqual(within(t, 60*time.Second), watch); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d grants, %d snapshots installed", load.Grants.Load(),
		strings.Count(n.Log(), "snapshot installed"))
	// What the node took over must be whole: it serves when it leads.
	for _, other := range c.Nodes[:2] {
		if err := other.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		if err := other.AwaitReady(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	free(t, watch, "load/1")
}

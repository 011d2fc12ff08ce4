//go:build fault

package faulttest

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lockd/client"
)

// TestFD1PowerCutAtBirth kills each node of a new cluster at one of the calls
// that change its directory, and cuts the power of its disk, which forgets all
// that was not synced. Started again, each of the nodes must find a directory
// it can be born with: what is left of one is never taken for another's, or for
// one that lost something.
//
// It fails if the identity is not written aside and renamed into place
// (disk.WriteFileAtomic).
func TestFD1PowerCutAtBirth(t *testing.T) {
	needStrace(t)
	images, _ := imagesFor(t, imageBytes, Ext4Journal, Ext4Journal, XFS)
	calls := []string{"mkdirat", "fallocate", "pwritev", "fdatasync", "renameat", "fsync", "write",
		"pwrite64", "ftruncate", "unlinkat"}
	killed := 0
	for round := range 2 * powerCuts(t) {
		c := newStoppedCluster(t, 3)
		for i, n := range c.Nodes {
			n.Dir = filepath.Join(images[i].Path(), fmt.Sprintf("round%d", round))
			pair := len(c.Nodes)*round + i
			startInjected(t, n, fmt.Sprintf("%s:signal=KILL:when=%d", calls[pair%len(calls)],
				1+pair/len(calls)%3))
		}
		killed += bornOrKilled(t, c)
		for i, n := range c.Nodes {
			if err := errors.Join(images[i].Cut(), n.Kill(), images[i].Remount()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Start(within(t, 30*time.Second)); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		free(t, dial(t, c, client.Options{Name: "first"}), "born")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d nodes killed at a call", killed)
	if killed < 3 {
		t.Errorf("got %d nodes killed at a call, want at least 3", killed)
	}
}

// bornOrKilled waits until each node is ready or has been killed, or for a while
// where those that are left wait for one that was, and returns how many were.
func bornOrKilled(t *testing.T, c *Cluster) int {
	t.Helper()
	ctx := within(t, 5*time.Second)
	var first time.Time
	for {
		killed, ready := 0, 0
		for _, n := range c.Nodes {
			if !n.Running() {
				killed++
			} else if _, ok := n.Ready(); ok {
				ready++
			}
		}
		if killed > 0 && first.IsZero() {
			first = time.Now()
		}
		if killed+ready == len(c.Nodes) || ctx.Err() != nil ||
			!first.IsZero() && time.Since(first) > time.Second {
			return killed
		}
		pause(ctx, 10*time.Millisecond)
	}
}

//go:build fault

package faulttest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// TestFM1MajorityMeetsThroughAStranger: node 4 is added and node 2 removed while node
// 3 is down, and node 1 loses its directory. Nodes 3 and 4 keep the group, and node 3
// has never heard of node 4, which tells it, whoever of the two can dial: they serve.
func TestFM1MajorityMeetsThroughAStranger(t *testing.T) {
	for _, x := range []struct {
		name  string
		named bool
	}{
		{"its file names node 4", true},
		{"its file does not", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCluster(t, 3, "--groups", "1", "--limit-memory", "64MiB")
			cl := dial(t, c, client.Options{Name: "before"})
			held := lockSoon(t, cl, "before/1")
			if err := c.Nodes[2].Kill(); err != nil {
				t.Fatal(err)
			}
			file := c.Nodes[2].Args() // of three nodes
			n4 := c.grow(t)
			if x.named {
				file = c.Nodes[2].Args()
			}
			changes(t, c.Nodes[0], "add", "4="+n4.Peer+"/"+n4.Client)
			if err := n4.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, n4, 4)
			changes(t, n4, "remove", "2", "--wait", "20s")
			if _, err := c.Nodes[1].Wait(within(t, 20*time.Second)); err != nil {
				t.Fatal(err)
			}
			if err := c.Nodes[0].Kill(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(c.Nodes[0].Dir); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := c.Nodes[2].StartWith(file...); err != nil {
				t.Fatal(err)
			}
			lockSoon(t, dial(t, c, client.Options{Name: "after"}), "after/1")
			t.Logf("served after %v", time.Since(began).Round(time.Millisecond))
			if !strings.Contains(c.Nodes[2].Log(), "cluster record told by a stranger") {
				t.Errorf("node 3 does not say who told it: %s", tail(c.Nodes[2].Log(), 5))
			}
			if err := held.Unlock(within(t, 20*time.Second)); err != nil {
				t.Errorf("what was held before: %v", err)
			}
		})
	}
}

// lockSoon takes a lock as soon as there is somebody to give it.
func lockSoon(t *testing.T, c *client.Client, name string) *client.Held {
	t.Helper()
	var err error
	for ctx := within(t, 40*time.Second); ctx.Err() == nil; {
		var h *client.Held
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		h, err = c.Lock(once, name)
		cancel()
		if err == nil {
			return h
		}
	}
	t.Fatalf("lock %s: %v", name, err)
	return nil
}

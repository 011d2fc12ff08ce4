//go:build fault

package faulttest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFM1LostHomeUnderLoad removes a node whose groups are to move to one that was lost
// for good, while clients lock and unlock. The removal cannot end: it is taken back, and
// the lost node is removed in its place. Then a node that joins is lost before it has
// learned, and is given another disk. No client may see an error, and nothing that was
// held is lost.
func TestFM1LostHomeUnderLoad(t *testing.T) {
	r := newRig(t, 33)
	c := r.cluster
	serves := func(what string) {
		t.Helper()
		r.serves(t)
		r.intact(t, what)
	}
	lose := func(n *Node) {
		t.Helper()
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(n.Dir); err != nil {
			t.Fatal(err)
		}
	}
	n4 := joins(t, c)
	await(t, n4, 4)

	lose(c.Nodes[2])
	serves("node 3 is lost")
	changes(t, c.Nodes[0], "remove", "4")
	serves("node 4 is to leave, node 3 is lost")
	pause(within(t, 5*time.Second), 3*time.Second)
	text := statusOf(t.Context(), c.Nodes[0])
	if !strings.Contains(text, `{"node":4,"state":"leaving"`) {
		t.Fatalf("node 4 is not leaving: %.2000s", text)
	}
	changes(t, c.Nodes[1], "remove", "--undo", "4")
	changes(t, n4, "remove", "3", "--wait", "60s")
	serves("node 3 is let go, node 4 stays")

	n5 := joins(t, c)
	lose(n5) // a few groups have moved to it, or none
	serves("node 5 is lost")
	replaceSoon(t, c.Nodes[0], n5)
	if err := n5.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, n5, 5)
	serves("node 5 has its share")
	r.undisturbed(t)
	t.Logf("%d grants, %d holds lost", r.load.Grants.Load(), r.load.Lost.Load())
}

// joins adds a node and returns it when it is a member; its groups are on the move.
func joins(t *testing.T, c *Cluster) *Node {
	t.Helper()
	n := c.grow(t)
	changes(t, c.Nodes[0], "add", fmt.Sprintf("%d=%s/%s", n.ID, n.Peer, n.Client))
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 20*time.Second)
	member := fmt.Sprintf(`{"node":%d,"state":"joined"`, n.ID)
	for !strings.Contains(statusOf(ctx, c.Nodes[0]), member) {
		if ctx.Err() != nil {
			t.Fatalf("node %d does not become a member", n.ID)
		}
		pause(ctx, 20*time.Millisecond)
	}
	return n
}

// replaceSoon has a node replaced, as soon as all leaders have said that they know of it
// and how their groups stand, which they do within half a second.
func replaceSoon(t *testing.T, at, n *Node) {
	t.Helper()
	ctx := within(t, 10*time.Second)
	for {
		code, text := lockd(t, "cluster", "replace", fmt.Sprint(n.ID), "--admin", at.Admin)
		if code == 0 {
			return
		}
		if ctx.Err() != nil || !strings.Contains(text, "wait until") {
			t.Fatalf("replace %d: got exit code %d: %s", n.ID, code, text)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

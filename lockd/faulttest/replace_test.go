package faulttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// replaceWhenGone has a node that was killed replaced, at the addresses that it has by now,
// as soon as the one that is asked has seen its end.
func replaceWhenGone(ctx context.Context, t *testing.T, n *Node, admin string) {
	t.Helper()
	for {
		code, out := lockd(t, "cluster", "replace", fmt.Sprintf("%d=%s/%s", n.ID, n.Peer, n.Client),
			"--admin", admin)
		if code == 0 {
			return
		}
		if !strings.Contains(out, "is up") || ctx.Err() != nil {
			t.Fatalf("replace: got exit code %d and %s", code, out)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// TestFM1NodeIsReplacedElsewhere loses the disk of a node and has it come back at other
// addresses, of which the nodes that run know by the command alone: their files have the old
// ones. It takes its groups again, a client that runs finds it by a question to it, and what
// was held is held.
func TestFM1NodeIsReplacedElsewhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "stays"})
	ctx := within(t, 90*time.Second)
	h, err := cl.Lock(ctx, "kept")
	if err != nil {
		t.Fatal(err)
	}
	n3 := c.Nodes[2]
	if err := n3.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(n3.Dir); err != nil {
		t.Fatal(err)
	}
	there, err := c.ports.Addresses(3)
	if err != nil {
		t.Fatal(err)
	}
	n3.Client, n3.Peer, n3.Admin = there[0], there[1], there[2]
	replaceWhenGone(ctx, t, n3, c.Nodes[0].Admin)
	if err := n3.Start(); err != nil {
		t.Fatal(err)
	}
	for found := false; !found; pause(ctx, 200*time.Millisecond) {
		all, err := cl.Status(ctx)
		if err != nil {
			t.Fatalf("node 3 is not found where it is now: %v; node 3 says %s", err, tail(n3.Log(), 3))
		}
		for _, n := range all {
			found = found || n.Node == 3 && n.Err == nil && n.Address == n3.Client && len(n.Groups) > 0
		}
		if ctx.Err() != nil {
			t.Fatalf("node 3 is not found where it is now: %+v; it says %s", all, tail(n3.Log(), 3))
		}
	}
	// While it learns, its groups stand on the other two.
	for moving := true; moving; pause(ctx, 50*time.Millisecond) {
		resp, err := http.Get("http://" + c.Nodes[1].Admin + "/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || ctx.Err() != nil {
			t.Fatalf("groups do not come home: %v, %.500s", err, b)
		}
		moving = !strings.Contains(string(b), `"moving":0`)
	}
	if err := c.Nodes[0].Kill(); err != nil { // now node 3 is needed
		t.Fatal(err)
	}
	unlock := func(h *client.Held) {
		t.Helper()
		if err := h.Unlock(ctx); err != nil {
			t.Error(err)
		}
	}
	unlock(h)
	if h, err = cl.Lock(ctx, "kept"); err != nil {
		t.Fatal(err)
	}
	unlock(h)
}

package faulttest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

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
	replace := func() (int, string) {
		return lockd(t, "cluster", "replace", fmt.Sprintf("3=%s/%s", n3.Peer, n3.Client), "--admin",
			c.Nodes[0].Admin)
	}
	code, out := replace()
	for code != 0 && strings.Contains(out, "node 3 is up") && ctx.Err() == nil {
		pause(ctx, 50*time.Millisecond) // node 1 has not seen its end yet
		code, out = replace()
	}
	if code != 0 {
		t.Fatalf("replace: got exit code %d and %s", code, out)
	}
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

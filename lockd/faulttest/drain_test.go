package faulttest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// page is what the admin listener of a node answers.
func page(t *testing.T, method, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, 10*time.Second), method, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestMoveAndDrain is what an operator sees of the two verbs on processes.
func TestMoveAndDrain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	addr := strings.Join(c.Addresses(), ",")
	verb := func(want int, says string, args ...string) {
		t.Helper()
		code, out := lockd(t, append([]string{"cluster"}, args...)...)
		if code != want || !strings.Contains(out, says) {
			t.Errorf("lockd cluster %s: got exit code %d and %q, want %d and %q", strings.Join(args, " "),
				code, out, want, says)
		}
	}
	for _, to := range []string{"2", "2", "3"} {
		verb(0, fmt.Sprintf("node %s leads group 0\n", to), "move", "0", to, "--wait", "20s",
			"--admin", c.Nodes[0].Admin)
	}
	verb(1, "no node 9", "move", "0", "9", "--admin", c.Nodes[0].Admin)
	verb(1, fmt.Sprintf("its groups are 0 to %d", groups-1), "move", "99", "2", "--admin",
		c.Nodes[1].Admin)
	n := c.Nodes[2]
	verb(0, `{"draining":true,"cluster":"fault","node":3}`, "drain", "-o", "json", "--wait", "20s",
		"--admin", n.Admin)
	verb(0, "\tdraining\t0\t", "status", "--addr", addr)
	verb(0, `"draining":true`, "status", "--addr", addr, "-o", "json")
	if code, body := page(t, "GET", n.Admin+"/readyz"); code != 503 ||
		!strings.Contains(body, "draining") {
		t.Errorf("readyz: got %d %q, want 503 and why", code, body)
	}
	verb(1, "because node 3 is down, drains or lags", "move", "1", "3", "--wait", "300ms", "--admin",
		c.Nodes[0].Admin)
	said := typed(t, nil, "cluster", "move", "1", "3", "--wait", "3s", "--admin", c.Nodes[0].Admin)
	if !strings.Contains(said, "lockd: waiting: group 1 is led by node") {
		t.Errorf("at a terminal: got %q, want how far it is", said)
	}
	verb(0, "node 3 leads groups 0, 1, ", "drain", "--undo", "--wait", "20s", "--admin", n.Admin)
	if code, body := page(t, "GET", n.Admin+"/readyz"); code != 200 {
		t.Errorf("readyz: got %d %q, want 200", code, body)
	}
	verb(0, "node 3 leads nothing\n", "drain", "--wait", "20s", "--admin", n.Admin)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	verb(0, "node 3 leads group 1\n", "move", "1", "3", "--wait", "20s", "--admin", n.Admin)
	cl := dial(t, c, client.Options{Name: "last"})
	if _, err := cl.Lock(within(t, 10*time.Second), "still"); err != nil {
		t.Error(err)
	}
	verb(69, "admin_listen", "drain", "--admin", n.Client)
}

package faulttest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// endsWith demands that a node ends by itself with a code other than zero and
// says so in these words.
func endsWith(t *testing.T, n *Node, words ...string) (code int) {
	t.Helper()
	code, err := n.Wait(within(t, 20*time.Second))
	if err != nil {
		t.Fatalf("%v\n%s", err, n.Log())
	}
	if code == 0 {
		t.Errorf("node %d: got exit code 0, want another", n.ID)
	}
	for _, word := range words {
		if !strings.Contains(n.Log(), word) {
			t.Errorf("node %d printed\n%s\nwant it to say %q", n.ID, tail(n.Log(), 5), word)
		}
	}
	return code
}

// TestFD7WipedDirectoryRefused shows that a node which lost its directory never
// comes back as itself: it would have forgotten its promises.
func TestFD7WipedDirectoryRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "good"})
	ctx := within(t, 30*time.Second)
	held, err := cl.Lock(ctx, "held")
	if err != nil {
		t.Fatal(err)
	}
	n := c.Nodes[2]
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveDir(); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	endsWith(t, n, "wiped", "What to do: put the node's old data directory back")
	for _, n := range c.Nodes[:2] {
		if err := n.AwaitReady(ctx); err != nil {
			t.Error(err)
		}
	}
	if !held.Valid() {
		t.Error("the hold of another client is gone")
	}
}

// TestFD7SecondProcessRefused shows that a directory serves one process.
func TestFD7SecondProcessRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	n := c.Nodes[0]
	other, err := New(Options{Binary: lockdPath, Dir: t.TempDir(), Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	second := other.Nodes[0]
	second.Dir = n.Dir
	t.Cleanup(func() { second.Kill() })
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	endsWith(t, second, n.Dir, "in use by another process", "What to do:")
	if reason, ok := n.Ready(); !ok {
		t.Errorf("the first process is disturbed: %s", reason)
	}
}

// TestFD3DamagedDirectoryRefused shows that a node with a damaged directory
// stops before it speaks, and that the others go on.
func TestFD3DamagedDirectoryRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "good"})
	n := c.Nodes[0]
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(t *testing.T, n *Node)
		flags  []string
		want   []string
	}{
		{"flipped bit in the log", func(t *testing.T, n *Node) {
			damage(t, filepath.Join(n.Dir, "wal"))
		}, nil, []string{"synced record damaged", "What to do: do not repair"}},
		{"identity gone", func(t *testing.T, n *Node) {
			if err := os.Remove(filepath.Join(n.Dir, "IDENTITY")); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"data directory incomplete", "What to do: put the missing file back"}},
		{"identity cut short", func(t *testing.T, n *Node) {
			if err := os.Truncate(filepath.Join(n.Dir, "IDENTITY"), 40); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"identity file unusable"}},
		{"other settings", func(*testing.T, *Node) {}, []string{"--log-tick", "100ms", "--replicas", "1"},
			[]string{"the cluster settings differ from those at its birth", "What to do: check",
				"cluster.log_tick is 100ms, must be", "cluster.replicas is 1, must be 3"}},
		{"other node", func(*testing.T, *Node) {}, []string{"--id", "2"},
			[]string{"the directory belongs to node 1, not 2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			whole := n.Dir
			n.Dir = filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(n.Dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			row.change(t, n)
			if err := n.StartWith(append(n.Args(), row.flags...)...); err != nil {
				t.Fatal(err)
			}
			code := endsWith(t, n, row.want...)
			if other := strings.HasPrefix(row.name, "other"); other != (code == 2) {
				t.Errorf("got exit code %d; 2 says that the configuration is wrong", code)
			}
			n.Dir = whole
		})
	}
	free(t, cl, "still served")
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Errorf("the node with its own directory: %v", err)
	}
}

// TestFN6AddressInUse shows that two nodes never share a port.
func TestFN6AddressInUse(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	for _, use := range []string{"client", "peer"} {
		other, err := New(Options{Binary: lockdPath, Dir: t.TempDir(), Nodes: 1})
		if err != nil {
			t.Fatal(err)
		}
		second := other.Nodes[0]
		if use == "client" {
			second.Client = c.Nodes[0].Client
		} else {
			second.Peer = c.Nodes[0].Peer
		}
		t.Cleanup(func() { second.Kill() })
		if err := second.Start(); err != nil {
			t.Fatal(err)
		}
		endsWith(t, second, "address already in use", "What to do: find the process")
	}
}

// TestFN6OtherClusterRefused shows that a node of another cluster, or with
// other cluster settings, is kept out and told why.
func TestFN6OtherClusterRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "good"})
	n := c.Nodes[2]
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	dir := n.Dir
	for _, row := range []struct{ name, flag, value, want string }{
		{"other name", "--cluster", "elsewhere", "another cluster"},
		{"other settings", "--log-tick", "100ms", "other cluster settings"},
	} {
		t.Run(row.name, func(t *testing.T) {
			n.Dir = t.TempDir()
			if err := n.StartWith(append(n.Args(), row.flag, row.value)...); err != nil {
				t.Fatal(err)
			}
			awaitLog(t, n, row.want)
			if reason, ok := n.Ready(); ok {
				t.Errorf("the stranger is ready: %s", reason)
			}
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("directory of another cluster", func(t *testing.T) {
		n.Dir = dir
		if err := n.StartWith(append(n.Args(), "--cluster", "elsewhere")...); err != nil {
			t.Fatal(err)
		}
		endsWith(t, n, `the directory belongs to cluster "fault", not "elsewhere"`)
	})
	h, err := cl.Lock(within(t, 10*time.Second), "still served")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Errorf("the node as itself again: %v", err)
	}
}

// awaitLog waits until a node has printed something.
func awaitLog(t *testing.T, n *Node, want string) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for !strings.Contains(n.Log(), want) {
		select {
		case <-ctx.Done():
			t.Fatalf("node %d printed\n%s\nwant %q", n.ID, tail(n.Log(), 10), want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

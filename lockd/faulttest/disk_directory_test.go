package faulttest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// copyDir copies the directory of a node that does not run.
func copyDir(t *testing.T, n *Node) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(n.Dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestFD7RolledBackDirectoryRefused is F-D7 for a directory that is restored
// from a copy: the node is refused by its peers and stops, whether they ran on
// or were all started again, the restored node first. On its newest directory it
// is taken back.
//
// It fails without memories.forgets, and its second part without the record of
// that memory in the log (Node.rememberPeers).
func TestFD7RolledBackDirectoryRefused(t *testing.T) {
	t.Parallel()
	r := startRig(t, newCluster(t, 3), 70)
	n := r.cluster.Nodes[2]
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	newest, old := n.Dir, copyDir(t, n)
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	r.serves(t)
	words := []string{"data directory has forgotten", "What to do: ", "lockd cluster replace"}

	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	n.Dir = old
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	endsWith(t, n, words...)
	r.serves(t)
	r.intact(t, "with a node refused")

	for _, other := range r.cluster.Nodes[:2] {
		if err := other.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for _, back := range []*Node{n, r.cluster.Nodes[0], r.cluster.Nodes[1]} {
		if err := back.Start(); err != nil {
			t.Fatal(err)
		}
	}
	endsWith(t, n, words...)
	r.serves(t)
	r.intact(t, "with a node refused by peers that started again")

	n.Dir = newest
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatalf("on its newest directory: %v", err)
	}
	r.finish(t)
}

// TestFD7CopiedDirectoryRefused is F-D7 for a copy that runs beside the original
// at another address. The copy is refused and stops; the original goes on, and
// is taken back after it was started again.
//
// It fails without the count and the mark of starts in the handshake
// (memories.forgets).
func TestFD7CopiedDirectoryRefused(t *testing.T) {
	t.Parallel()
	r := startRig(t, newCluster(t, 3), 71)
	n := r.cluster.Nodes[1]
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	addresses, err := r.cluster.ports.Addresses(3)
	if err != nil {
		t.Fatal(err)
	}
	twin := &Node{ID: n.ID, Dir: copyDir(t, n), Client: n.Client, Peer: n.Peer, Admin: addresses[0]}
	twin.cluster = &Cluster{opts: r.cluster.opts, Nodes: r.cluster.Nodes}
	twin.cluster.opts.Dir = t.TempDir()
	twin.Flags = append(twin.Flags, "--client-listen", addresses[1], "--peer-listen", addresses[2])
	t.Cleanup(func() { _ = twin.Kill() })
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	if err := twin.Start(); err != nil {
		t.Fatal(err)
	}
	endsWith(t, twin, "data directory has forgotten", "What to do: ", "lockd cluster replace")
	if reason, ok := n.Ready(); !ok {
		t.Errorf("the original is disturbed: %s", reason)
	}
	r.serves(t)
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatalf("the original started again: %v", err)
	}
	r.finish(t)
}

// TestFD7SwappedDirectoryRefused is F-D7 for directories, and parts of them, in
// the place of another node's.
//
// It fails without the node id in the identity (Identity.Check) and without the
// stamp of the disk in the log (wal.ErrStamp).
func TestFD7SwappedDirectoryRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	free(t, dial(t, c, client.Options{Name: "good"}), "used")
	for _, n := range c.Nodes {
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	two, three := c.Nodes[1], c.Nodes[2]
	swap := func(part string) {
		t.Helper()
		a, b := filepath.Join(two.Dir, part), filepath.Join(three.Dir, part)
		aside := filepath.Join(t.TempDir(), "aside")
		err := errors.Join(os.Rename(a, aside), os.Rename(b, a), os.Rename(aside, b))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ part, want string }{
		{"", "the directory belongs to node "},
		{"IDENTITY", "the directory belongs to node "},
		{"wal", "log belongs to another disk"},
	} {
		swap(row.part)
		for _, n := range []*Node{two, three} {
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
			endsWith(t, n, row.want, "What to do: ")
		}
		swap(row.part)
	}
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Errorf("each with its own directory: %v", err)
	}
}

// TestFC2DamagedCheckpointRefused is F-C2 on a real node: whatever happened to
// its checkpoints, it either does not matter or the node refuses to start with a
// message and advice. It never starts with a machine that lost something.
//
// It fails without the marks in the log that say which checkpoint it relies on
// (Recovery.group), and without count and hash in the store's markers.
func TestFC2DamagedCheckpointRefused(t *testing.T) {
	t.Parallel()
	r := startRig(t, newCluster(t, 3, "--checkpoint", "64KiB"), 72)
	n := r.cluster.Nodes[0]
	restart := func() {
		t.Helper()
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	awaitSaved(t, n, 20)
	restart() // which writes the tables
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	old := copyDir(t, n)
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	awaitSaved(t, n, 20)
	restart()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	whole := n.Dir
	for _, row := range []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{"removed", os.RemoveAll, "checkpoint is older than the WAL relies on"},
		{"restored from a copy", func(dir string) error {
			return errors.Join(os.RemoveAll(dir),
				os.CopyFS(dir, os.DirFS(filepath.Join(old, "checkpoint"))))
		}, "checkpoint is older than the WAL relies on"},
		{"tables with a flipped bit", func(dir string) error { return flipAll(dir, "*.sst") },
			"damaged"},
		{"manifest with a flipped bit", func(dir string) error { return flipAll(dir, "MANIFEST*") },
			"damaged"},
		{"tables gone", func(dir string) error { return removeAll(dir, "*.sst") }, ""},
		{"manifest gone", func(dir string) error { return removeAll(dir, "MANIFEST*") }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			n.Dir = copyDir(t, n)
			defer func() { n.Dir = whole }()
			if err := row.change(filepath.Join(n.Dir, "checkpoint")); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(n.LogPath(), 0); err != nil {
				t.Fatal(err)
			}
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
			endsWith(t, n, row.want, "What to do: ")
			if strings.Contains(n.Log(), "goroutine ") {
				t.Errorf("node %d panicked:\n%s", n.ID, tail(n.Log(), 30))
			}
			t.Log(tail(n.Log(), 2))
		})
	}
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Errorf("on its own directory: %v", err)
	}
	r.finish(t)
}

// awaitSaved waits until a node has saved so many checkpoints.
func awaitSaved(t *testing.T, n *Node, saves float64) {
	t.Helper()
	ctx := within(t, 60*time.Second)
	for metric(t, n, "lockd_checkpoints_total", "") < saves {
		if ctx.Err() != nil {
			t.Fatalf("node %d saved no %v checkpoints", n.ID, saves)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// flipAll flips a bit in the middle of every file of a pattern.
func flipAll(dir, pattern string) error {
	return each(dir, pattern, func(name string) error {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 4
		return os.WriteFile(name, b, 0o600)
	})
}

func removeAll(dir, pattern string) error { return each(dir, pattern, os.Remove) }

// each calls fn for every file of a pattern, of which there must be one.
func each(dir, pattern string, fn func(name string) error) error {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err == nil && len(names) == 0 {
		err = errors.New("no file " + pattern + " in " + dir)
	}
	for _, name := range names {
		err = errors.Join(err, fn(name))
	}
	return err
}

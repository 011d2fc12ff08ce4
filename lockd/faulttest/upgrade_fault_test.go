//go:build fault

package faulttest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lockd/client"
)

// olderBinary builds the lockd that stands for the version before this one: it
// knows neither semaphores nor owners.
func olderBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lockd-older")
	build := exec.Command("go", "build", "-tags", "older", "-o", path, "lockd/lockd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the older lockd: %v\n%s", err, out)
	}
	return path
}

// install stops a node in order and starts another binary in its place.
func (r *rig) install(t *testing.T, n *Node, binary string) {
	t.Helper()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n.Binary = binary
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	r.intact(t, "with another binary")
}

// semaphores takes a permit of a semaphore in each group and gives it back.
func (r *rig) semaphores(ctx context.Context) error {
	for _, name := range []string{"gpu", "disk", "licence", "slot", "seat", "berth"} {
		h, err := r.watch.Semaphore(name, 3).TryAcquire(ctx, 1)
		if err == nil {
			err = h.Unlock(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestFP3UpgradeAndBack is F-P3: a cluster of the version before is upgraded node
// by node under load, taken back half way, and upgraded for good. It fails if a
// node proposes what not all others know, which stops them (I27): while one of
// them is older, what only the newer version can say is refused.
func TestFP3UpgradeAndBack(t *testing.T) {
	older := olderBinary(t)
	r := newRigOn(t, 37, func(c *Cluster) {
		for _, n := range c.Nodes {
			n.Binary = older
		}
	})
	mixed := func(when string) {
		t.Helper()
		err := r.semaphores(within(t, 20*time.Second))
		if !errors.Is(err, client.ErrUnsupported) {
			t.Errorf("semaphores %s: got %v, want ErrUnsupported", when, err)
		}
		for _, n := range r.cluster.Nodes {
			if !n.Running() {
				t.Fatalf("node %d stopped %s", n.ID, when)
			}
		}
	}
	nodes := r.cluster.Nodes
	mixed("before the upgrade")
	r.install(t, nodes[0], "")
	mixed("with one node upgraded")
	r.install(t, nodes[1], "")
	mixed("with two nodes upgraded")
	r.install(t, nodes[0], older)
	mixed("with one node taken back")
	r.install(t, nodes[0], "")
	r.install(t, nodes[2], "")
	ctx := within(t, 20*time.Second)
	for err := r.semaphores(ctx); err != nil; err = r.semaphores(ctx) {
		if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			t.Fatalf("semaphores after the upgrade: %v", err)
		}
	}
	r.serves(t)
	for _, n := range nodes {
		if !n.Running() {
			t.Errorf("node %d stopped after the upgrade", n.ID)
		}
	}
	r.finish(t)
}

package faulttest

import (
	"testing"
	"time"
)

// TestFP1KillOneNodeUnderLoad is one round of the long test: kill -9, serve on
// with two, bring it back.
func TestFP1KillOneNodeUnderLoad(t *testing.T) {
	r := newRig(t, 1)
	r.round(t, 0)
	r.finish(t)
}

// round kills one node, demands that the others serve and that nothing is
// lost, and starts it again.
func (r *rig) round(t *testing.T, victim int) {
	t.Helper()
	n := r.cluster.Nodes[victim]
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.serves(t)
	gap := time.Since(began)
	r.intact(t, "with a node down")
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	r.intact(t, "with the node back")
	t.Logf("node %d killed: every lock granted 5 times after %v", n.ID, gap.Round(time.Millisecond))
}

// TestStopInOrderLosesNothing stops each node with SIGTERM under load: it moves
// its leaderships away, exits with 0, and no client loses anything.
func TestStopInOrderLosesNothing(t *testing.T) {
	r := newRig(t, 2)
	n := r.cluster.Nodes[2]
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	r.intact(t, "with a node stopped")
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.finish(t)
	if got := r.load.Lost.Load(); got != 0 {
		t.Errorf("%d holds were lost by a stop in order, want 0", got)
	}
}

// TestStopWhileGettingReady sends SIGTERM at the moment at which a node gets
// ready, or just after. The signal is not lost, and the node exits with 0.
func TestStopWhileGettingReady(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	n := c.Nodes[0]
	for round := range 24 {
		if err := n.Stop(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		ctx := within(t, 20*time.Second)
		for ok := false; !ok && ctx.Err() == nil; _, ok = n.Ready() {
			pause(ctx, time.Duration(round)*50*time.Microsecond)
		}
	}
}

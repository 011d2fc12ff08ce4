//go:build fault

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// stall is one row of F-D8.
type stall struct {
	// delay is how long each sync takes.
	delay time.Duration
	// stalled says that leaderships must go.
	stalled bool
	// slow says that the disk is known to be slow before it stalls, so that
	// syncs run beside the turns of the engine and not within them.
	slow bool
}

// TestFD8SlowDisk is F-D8: the disk of a node that leads takes ever longer for a
// sync. While it is only slow, every lock is still granted. Once a sync takes so
// long that the disk must be called stalled, the node loses all leaderships
// within 2 election timeouts (I30), and the others serve as before. No session
// ends (I21), and the node is itself again when its disk is.
//
// It fails if a node whose disk is stalled goes on sending heartbeats
// (Node.send).
func TestFD8SlowDisk(t *testing.T) {
	needStrace(t)
	r := newRigOn(t, 80, func(*Cluster) {})
	idle := idleSession(t, r)
	t.Logf("before: %s", r.latency(t, 2*time.Second))
	for i, row := range []stall{
		{delay: 10 * time.Millisecond},
		{delay: 100 * time.Millisecond},
		{delay: 5 * time.Second, stalled: true},
		{delay: 30 * time.Second, stalled: true},
		{delay: time.Hour, stalled: true},
		{delay: time.Hour, stalled: true, slow: true},
	} {
		n := r.cluster.Nodes[i%3]
		r.leads(t, n)
		x, began := row.begin(t, n)
		if row.stalled {
			gone := r.awaitNotLeading(t, n, began)
			if limit := 2 * electionTimeout; gone > limit {
				t.Errorf("syncs of %v: node %d led until %v after its disk stalled, want at most %v",
					row.delay, n.ID, gone, limit)
			}
			t.Logf("syncs of %v: node %d lost its last leadership after %v", row.delay, n.ID,
				gone.Round(time.Millisecond))
		}
		t.Logf("syncs of %v on node %d: %s", row.delay, n.ID, r.latency(t, 3*time.Second))
		r.intact(t, "with a slow disk")
		x.end(t)
		if err := n.AwaitReady(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
		r.serves(t)
		r.intact(t, "with the disk as before")
	}
	if !idle.Valid() {
		t.Error("the session of a client that only renews has ended")
	}
	r.finish(t)
}

// begin slows the disk of a node down, and returns since when.
func (row *stall) begin(t *testing.T, n *Node) (x *tracer, began time.Time) {
	t.Helper()
	expression := fmt.Sprintf("fdatasync:delay_exit=%d", row.delay.Microseconds())
	if !row.slow {
		began = time.Now()
		return inject(t, n, nil, expression), began
	}
	n.forgetLog(t)
	x = inject(t, n, nil, "pwritev:delay_exit=10000", expression+":when=40+")
	awaitLog(t, n, "disk stalled")
	// The node says so after half an election timeout.
	return x, time.Now().Add(-electionTimeout / 2)
}

// idleSession holds a lock of every group with a short lease, which a client
// that does nothing else keeps up.
func idleSession(t *testing.T, r *rig) *client.Held {
	t.Helper()
	c := dial(t, r.cluster, client.Options{Name: "idle", Lease: 10 * time.Second})
	h, err := c.Lock(within(t, 10*time.Second), "idle")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// leads waits until a node leads some group.
func (r *rig) leads(t *testing.T, n *Node) {
	t.Helper()
	ctx := within(t, 60*time.Second)
	for r.leaderships(ctx, n) == 0 {
		if ctx.Err() != nil {
			t.Fatalf("node %d leads nothing", n.ID)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// leaderships is how many groups the other nodes take a node to lead; each of
// them is believed where it has promised the most.
func (r *rig) leaderships(ctx context.Context, n *Node) int {
	all, err := r.watchOthers(ctx, n)
	if err != nil {
		return groups
	}
	leading := 0
	for g := range groups {
		best := client.GroupStatus{}
		for _, s := range all {
			if g < len(s.Groups) && s.Groups[g].Round >= best.Round {
				best = s.Groups[g]
			}
		}
		if int(best.Leader) == n.ID || best.Leader == 0 {
			leading++
		}
	}
	return leading
}

// watchOthers asks every node but one for its status.
func (r *rig) watchOthers(ctx context.Context, n *Node) ([]client.NodeStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	all, err := r.watch.Status(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s client.NodeStatus) bool {
		return int(s.Node) == n.ID || s.Err != nil
	})
	if len(all) == 0 {
		return nil, errors.New("faulttest: no node answers")
	}
	return all, nil
}

// awaitNotLeading waits until others lead every group, and returns how long
// after began that was.
func (r *rig) awaitNotLeading(t *testing.T, n *Node, began time.Time) time.Duration {
	t.Helper()
	ctx := within(t, 15*time.Second)
	for r.leaderships(ctx, n) > 0 {
		if ctx.Err() != nil {
			t.Fatalf("node %d leads %d groups on", n.ID, r.leaderships(context.Background(), n))
		}
		pause(ctx, 10*time.Millisecond)
	}
	return time.Since(began)
}

// latency takes and gives back a lock of its own of every group in turn for a
// while, and describes how long that took.
func (r *rig) latency(t *testing.T, d time.Duration) string {
	t.Helper()
	var all []time.Duration
	for i, end := 0, time.Now().Add(d); time.Now().Before(end); i++ {
		began := time.Now()
		free(t, r.watch, fmt.Sprintf("probe/%d", i%24))
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	at := func(percent int) time.Duration {
		return all[(len(all)-1)*percent/100].Round(100 * time.Microsecond)
	}
	return strings.Join([]string{fmt.Sprintf("%d locks and unlocks", len(all)),
		fmt.Sprintf("median %v", at(50)), fmt.Sprintf("p90 %v", at(90)), fmt.Sprintf("max %v", at(100)),
	}, ", ")
}

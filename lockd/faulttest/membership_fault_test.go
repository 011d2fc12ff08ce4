//go:build fault

package faulttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockd/client"
)

// grow adds a node to the cluster that does not run yet.
func (c *Cluster) grow(t *testing.T) *Node {
	t.Helper()
	n, err := c.AddNode()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// changes runs a verb of lockd cluster against a node and demands that it ends
// well.
func changes(t *testing.T, at *Node, args ...string) string {
	t.Helper()
	began := time.Now()
	code, text := lockd(t, append([]string{"cluster"}, append(args, "--admin", at.Admin)...)...)
	if code != 0 {
		t.Fatalf("lockd cluster %s: got exit code %d: %s", strings.Join(args, " "), code, text)
	}
	t.Logf("lockd cluster %s: %v", strings.Join(args, " "), time.Since(began).Round(time.Millisecond))
	return text
}

// TestFM1AddReplaceRemoveUnderLoad adds a node, gives another a new disk, and
// removes a third, while clients lock and unlock. Groups move all the time; no
// client may see an error, and nothing that was held is lost. A node is killed
// in the middle of each change.
func TestFM1AddReplaceRemoveUnderLoad(t *testing.T) {
	r := newRig(t, 31)
	c := r.cluster
	serves := func(what string) {
		t.Helper()
		began := time.Now()
		r.serves(t)
		r.intact(t, what)
		t.Logf("%s: every lock granted 5 times in %v", what,
			time.Since(began).Round(time.Millisecond))
	}

	n4 := c.grow(t)
	changes(t, c.Nodes[1], "add", fmt.Sprintf("4=%s/%s", n4.Peer, n4.Client))
	if err := n4.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Nodes[0].Kill(); err != nil { // half the groups are on the move
		t.Fatal(err)
	}
	serves("node 4 joins, node 1 is down")
	if err := c.Nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	await(t, n4, 4)
	serves("node 4 has its share")

	if err := c.Nodes[2].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(c.Nodes[2].Dir); err != nil {
		t.Fatal(err)
	}
	changes(t, c.Nodes[3], "replace", "3")
	if err := c.Nodes[2].Start(); err != nil {
		t.Fatal(err)
	}
	await(t, c.Nodes[2], 3)
	serves("node 3 is back on a new disk")

	changes(t, c.Nodes[2], "remove", "1", "--wait", "60s")
	if code, err := c.Nodes[0].Wait(within(t, 20*time.Second)); err != nil || code == 0 {
		t.Errorf("the removed node: got exit code %d, %v, want a failure", code, err)
	}
	if !strings.Contains(c.Nodes[0].Log(), "has removed this node") {
		t.Errorf("the removed node says: %s", tail(c.Nodes[0].Log(), 3))
	}
	serves("node 1 is gone")
	r.undisturbed(t)
	t.Logf("%d grants, %d holds lost", r.load.Grants.Load(), r.load.Lost.Load())
}

// TestFM1NodesAreAddedWithoutAPause adds two nodes while workers lock and unlock
// fresh names, with nothing else going on: no call fails, what is held stays
// held, and nobody waits for as long as a leader that died would cost.
func TestFM1NodesAreAddedWithoutAPause(t *testing.T) {
	r := newRig(t, 32)
	c := r.cluster
	quiet := startPairLoad(t, c)
	pause(within(t, 20*time.Second), 3*time.Second)
	quiet.report(t, "three nodes at rest")

	moving := startPairLoad(t, c)
	for range 2 {
		n := c.grow(t)
		changes(t, c.Nodes[0], "add", fmt.Sprintf("%d=%s/%s", n.ID, n.Peer, n.Client))
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, n, n.ID)
		r.intact(t, fmt.Sprintf("node %d has its share", n.ID))
	}
	longest := moving.report(t, "two nodes are added")
	if longest > maxAddedGap {
		t.Errorf("longest pair while groups moved: got %v, want at most %v", longest, maxAddedGap)
	}
	r.undisturbed(t)
}

// undisturbed ends the load, of which no call was refused and no hold lost, and passes
// on what was kept.
func (r *rig) undisturbed(t *testing.T) {
	t.Helper()
	if got := r.load.Refused.Load() + r.load.Lost.Load(); got != 0 {
		t.Errorf("calls without an answer and holds lost: got %d, want none", got)
	}
	if err := r.load.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.keep.PassOn(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// maxAddedGap is what a pair may take while nodes are added: less than an
// election timeout, which is what waiting for the wrong node would cost.
const maxAddedGap = time.Second

// pairLoad are workers that lock and unlock fresh names without a pause.
type pairLoad struct {
	running sync.WaitGroup
	cancel  context.CancelFunc
	mu      struct {
		sync.Mutex
		took []time.Duration
		errs []error
	}
}

func startPairLoad(t *testing.T, c *Cluster) *pairLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	p := &pairLoad{cancel: cancel}
	by := dial(t, c, client.Options{Name: "pairs"})
	for i := range 16 {
		p.running.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				began := time.Now()
				h, err := by.Lock(context.Background(), fmt.Sprintf("pair/%d/%d", i, k))
				if err == nil {
					err = h.Unlock(context.Background())
				}
				p.note(time.Since(began), err)
			}
		})
	}
	return p
}

func (p *pairLoad) note(took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.took = append(p.mu.took, took)
	if err != nil {
		p.mu.errs = append(p.mu.errs, err)
	}
}

// report stops the workers, demands that nothing failed, and returns what the
// longest pair took.
func (p *pairLoad) report(t *testing.T, what string) time.Duration {
	t.Helper()
	p.cancel()
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.errs) > 0 {
		t.Errorf("%s: %d of %d pairs failed, the first with: %v", what, len(p.mu.errs),
			len(p.mu.took), p.mu.errs[0])
	}
	slices.Sort(p.mu.took)
	longest := p.mu.took[len(p.mu.took)-1]
	n := len(p.mu.took)
	t.Logf("%s: %d pairs, %d failed; p50 %v, p99 %v, longest %v", what, n, len(p.mu.errs),
		p.mu.took[n/2], p.mu.took[n*99/100], longest)
	return longest
}

// await waits until a node says that another is a member and all groups are at
// home.
func await(t *testing.T, at *Node, id int) {
	t.Helper()
	began := time.Now()
	ctx := within(t, 90*time.Second)
	for {
		text := statusOf(ctx, at)
		if strings.Contains(text, `"moving":0`) &&
			strings.Contains(text, fmt.Sprintf(`{"node":%d,"state":"joined"`, id)) {
			t.Logf("node %d is a member, all groups at home: %v", id,
				time.Since(began).Round(time.Millisecond))
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("groups do not come home: %.2000s", text)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// statusOf is what the admin listener of a node says, empty if nothing.
func statusOf(ctx context.Context, n *Node) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/v1/status", nil)
	if err != nil {
		return ""
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body) // what was cut is asked for again
	return string(text)
}

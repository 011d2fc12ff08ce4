//go:build fault

package faulttest

import (
	"runtime"
	"testing"
	"time"

	"lockd/client"
)

// TestFP1ThousandsOnOneClient is F-P1 and F-K1 for one client of thousands of
// goroutines: every node is killed in turn, then all at once. No hold is lost and
// nobody is inside with another; in the end the nodes have nothing of the client
// left, and it has left no goroutine behind.
func TestFP1ThousandsOnOneClient(t *testing.T) {
	const workers, names = 3000, 60
	c := newCluster(t, 3)
	watch := dial(t, c, client.Options{Name: "watch"})
	nothingLeft(t, watch) // it has its conns
	before := runtime.NumGoroutine()
	one, err := c.Dial(within(t, 10*time.Second), client.Options{Name: "one", Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	load := StartLoad(LoadOptions{Clients: []*client.Client{one}, Workers: workers, Names: names,
		Groups: groups, Seed: 9})
	serves := func(when string) {
		t.Helper()
		if err := load.AwaitGrants(within(t, 60*time.Second), 5); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	serves("at first")
	for _, n := range c.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		serves("with one node dead")
		if err := c.Start(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Start(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	serves("with all nodes back")
	if err := load.Stop(); err != nil {
		t.Error(err)
	}
	if got := load.Lost.Load(); got != 0 {
		t.Errorf("got %d holds lost, want none", got)
	}
	t.Logf("%d grants, %d calls without an answer", load.Grants.Load(), load.Refused.Load())
	nothingLeft(t, watch)
	if err := one.Close(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			t.Fatalf("got %d goroutines, had %d before the client", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

// nothingLeft waits until nobody holds or waits for anything of the load: what its
// last calls left is given back in the background.
func nothingLeft(t *testing.T, watch *client.Client) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for {
		all, err := watch.List(ctx, "load/", client.ListOptions{})
		if err != nil {
			t.Fatalf("%d locks are left: %v", len(all), err)
		}
		if len(all) == 0 {
			return
		}
	}
}

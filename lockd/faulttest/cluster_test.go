package faulttest

import (
	"sync"
	"testing"
)

// TestClustersShareNoPort makes many clusters at the same time, as tests do that
// run side by side. None of their nodes runs yet.
//
// It fails when ports are found free and then let go of.
func TestClustersShareNoPort(t *testing.T) {
	t.Parallel()
	const goroutines, each = 8, 5
	var mu sync.Mutex
	owners := map[string]*Cluster{}
	var running sync.WaitGroup
	for range goroutines {
		running.Go(func() {
			for range each {
				c, err := New(Options{Dir: t.TempDir(), Network: Proxied})
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = c.Close() })
				mu.Lock()
				for _, a := range everyAddress(c) {
					if owners[a] != nil {
						t.Errorf("two clusters were given %s", a)
					}
					owners[a] = c
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	if got, want := len(owners), goroutines*each*15; got != want {
		t.Errorf("got %d different addresses, want %d", got, want)
	}
}

// everyAddress is where the nodes and the proxies of a cluster listen.
func everyAddress(c *Cluster) []string {
	var all []string
	for i, n := range c.Nodes {
		all = append(all, n.Client, n.Listen, n.Peer, n.Admin)
		for _, higher := range c.Nodes[i+1:] {
			p, _ := c.Mesh.Between(n.ID, higher.ID)
			all = append(all, p.Addr())
		}
	}
	return all
}

package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWhyNobodyAnswered proves that a call whose context ends while no leader can be
// reached says why at each address, and is told apart from a wait for one who holds.
func TestWhyNobodyAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		h := lock(t, c, "a")
		ended := func(what string, call func(ctx context.Context) error) error {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := call(ctx)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: got %v, want the end of ctx", what, err)
			}
			return err
		}
		again := func(ctx context.Context) error { _, err := c.Lock(ctx, "a"); return err }
		if err := ended("held", again); errors.Is(err, ErrUnavailable) {
			t.Errorf("a wait for the holder: got %v, want no unavailable", err)
		}
		unlock(t, h)
		says := func(what string, err error, words ...string) {
			t.Helper()
			for _, want := range words {
				if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want unavailable and %q", what, err, want)
				}
			}
		}
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 0) })
		n.mu.Lock()
		n.mu.down["node3"] = true
		n.mu.Unlock()
		n.resetNode(3)
		says("no majority", ended("no majority", again), "node1: node 1 is up", "node2: node 2 is up",
			"node3: connection refused", "a majority")
		n.setCut(true)
		get := func(ctx context.Context) error { _, err := c.Get(ctx, "a"); return err }
		says("silence", ended("silence", get), "is silent")
		n.setCut(false)
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 1) })
	})
}

// TestWhyNoNodeWasFound proves that a Dial says of each address what it knows.
func TestWhyNoNodeWasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.setCut(true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := dialWith(ctx, []string{"node1", "node2"}, Options{Dial: n.dial}, n.now)
		for _, want := range []string{"node1: no answer yet", "node2: no answer yet"} {
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want unavailable and %q", err, want)
			}
		}
	})
}

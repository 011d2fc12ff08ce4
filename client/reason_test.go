package client

import (
	"context"
	"errors"
	"fmt"
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
		wait := 2 * time.Second
		ended := func(what string, call func(ctx context.Context) error) error {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), wait)
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
		n.with(func(d *dumbCluster) { d.lead(groupOf("a"), 1) })
		unlock(t, lock(t, c, "a"))
		n.setCut(true)
		get := func(ctx context.Context) error { _, err := c.Get(ctx, "a"); return err }
		wait = pingAfter + pingTimeout - 100*time.Millisecond
		says("silence", ended("silence", get), "node 1 at node1 is silent")
		n.setCut(false)
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

// TestGaveUpBetweenPingAndPong proves that a node which has been asked for a sign of life
// just now is not called silent, nor is one while this process has been away.
func TestGaveUpBetweenPingAndPong(t *testing.T) {
	b := newBench(t)
	b.hung = true
	x := b.acquire("a")
	gaveUp := func(at Instant) error { return b.core.gaveUp(at, x, context.Canceled) }
	b.after(pingAfter + time.Millisecond)
	if err := gaveUp(b.now); errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("right after a ping: got %v, want no more than that it was given up", err)
	}
	for _, row := range []struct {
		later  time.Duration
		silent bool
	}{{pingTimeout/2 - 2*time.Millisecond, false}, {pingTimeout/2 - time.Millisecond, true},
		{10 * time.Second, false}} {
		err := gaveUp(b.now.Add(row.later))
		silent := errors.Is(err, ErrUnavailable) && strings.Contains(err.Error(), "is silent")
		if silent != row.silent {
			t.Errorf("%v after a ping without a tick since: got %v, want silent: %v", row.later, err,
				row.silent)
		}
	}
}

// TestUnavailableMatchesNoCause proves that what went wrong at an address cannot be taken
// for the end of the caller's context, nor for the word of all nodes.
func TestUnavailableMatchesNoCause(t *testing.T) {
	b := newBench(t)
	x := b.acquire("a")
	causes := []error{context.DeadlineExceeded, ErrRefused}
	for i, cause := range causes {
		b.core.Disconnected(b.now, ConnID(i+1), cause)
	}
	err := b.core.unavailable(x)
	for _, cause := range causes {
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, cause) ||
			!strings.Contains(err.Error(), cause.Error()) {
			t.Errorf("got %v, want unavailable, and %q in its text alone", err, cause)
		}
	}
	for _, e := range b.core.endpoints {
		e.err = fmt.Errorf("%w: it is of another cluster", ErrRefused)
	}
	if err := b.core.unavailable(x); !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want unavailable, and refused because all refuse", err)
	}
}

// TestGaveUpMatchesItsEndAlone proves that a call which was given up says what went wrong
// at each address, and is told apart from a call that failed so.
func TestGaveUpMatchesItsEndAlone(t *testing.T) {
	b := newBench(t)
	x := b.acquire("a")
	causes := []error{context.DeadlineExceeded, ErrOptions}
	for i, cause := range causes {
		b.core.Disconnected(b.now, ConnID(i+1), cause)
	}
	err := b.core.gaveUp(b.now, x, context.Canceled)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want canceled and unavailable", err)
	}
	for _, cause := range causes {
		if errors.Is(err, cause) || !strings.Contains(err.Error(), cause.Error()) {
			t.Errorf("got %v, want %q in its text alone", err, cause)
		}
	}
}

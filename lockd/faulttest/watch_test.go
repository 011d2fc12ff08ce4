package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"lockd/client"
)

// watchBook is what a watch was told, and what was granted meanwhile.
type watchBook struct {
	mu struct {
		sync.Mutex
		events  []client.WatchEvent
		last    map[string]client.WatchEvent
		granted map[string]map[uint64]bool
		err     error
	}
}

// follow writes down a watch until ctx ends.
func (b *watchBook) follow(ctx context.Context, c *client.Client, name string,
	opts client.WatchOptions) {
	for e, err := range c.Watch(ctx, name, opts) {
		b.mu.Lock()
		if err != nil && !errors.Is(err, context.Canceled) {
			b.mu.err = err
		}
		if before := b.mu.last[e.Name]; err == nil {
			if e.Version.Slot < before.Version.Slot {
				b.mu.err = fmt.Errorf("%q goes back from %s to %s", e.Name, before.Version, e.Version)
			}
			b.mu.events = append(b.mu.events, e)
			b.mu.last[e.Name] = e
		}
		b.mu.Unlock()
	}
}

// work takes and gives back one lock again and again, and holds it at the end.
func (b *watchBook) work(ctx context.Context, c *client.Client, name string) error {
	for {
		h, err := c.Lock(context.WithoutCancel(ctx), name)
		if err != nil {
			return err
		}
		b.mu.Lock()
		if b.mu.granted[name] == nil {
			b.mu.granted[name] = make(map[uint64]bool)
		}
		b.mu.granted[name][h.Token()] = true
		b.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		pause(ctx, 5*time.Millisecond)
		if err := h.Unlock(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
}

// knows reports whether the watch was told last what the cluster says now.
func (b *watchBook) knows(t *testing.T, c *client.Client, names []string) bool {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		info, err := c.Get(within(t, 10*time.Second), name)
		if err != nil {
			t.Fatal(err)
		}
		if b.mu.last[name].Token != info.Holders[0].Token {
			return false
		}
	}
	return b.mu.err == nil
}

// TestWatchOutlivesLeaders has a lock and a prefix watched while leaders are killed
// and come back: versions only rise, no token is told that was never granted, and
// what is told last is what is so.
func TestWatchOutlivesLeaders(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	worker, watcher := dial(t, c, client.Options{}), dial(t, c, client.Options{})
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprint("watched/", i))
	}
	var one, all watchBook
	for _, b := range []*watchBook{&one, &all} {
		b.mu.last = make(map[string]client.WatchEvent)
		b.mu.granted = make(map[string]map[uint64]bool)
	}
	working, stop := context.WithCancel(context.Background())
	defer stop()
	watching, end := context.WithCancel(context.Background())
	defer end()
	var workers, watchers sync.WaitGroup
	watchers.Go(func() { one.follow(watching, watcher, names[0], client.WatchOptions{}) })
	watchers.Go(func() {
		all.follow(watching, watcher, "watched/", client.WatchOptions{Prefix: client.NamePrefix})
	})
	for _, name := range names {
		workers.Go(func() {
			if err := all.work(working, worker, name); err != nil {
				t.Error(err)
			}
		})
	}
	for _, victim := range []int{0, 1} {
		n := c.Nodes[victim]
		pause(within(t, 500*time.Millisecond), time.Second)
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		pause(within(t, 2*time.Second), 3*time.Second)
		if err := c.Start(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	workers.Wait()
	awaitTold(t, "the lock", func() bool { return one.knows(t, worker, names[:1]) })
	awaitTold(t, "the prefix", func() bool { return all.knows(t, worker, names) })
	end()
	watchers.Wait()
	for _, b := range []*watchBook{&one, &all} {
		if b.mu.err != nil {
			t.Error(b.mu.err)
		}
		for _, e := range b.mu.events {
			if e.Token != 0 && !all.mu.granted[e.Name][e.Token] {
				t.Errorf("told that %q has token %d, which was never granted", e.Name, e.Token)
			}
		}
	}
	t.Logf("%d and %d events", len(one.mu.events), len(all.mu.events))
}

// awaitTold waits until a watch knows what is so.
func awaitTold(t *testing.T, what string, knows func() bool) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for !knows() {
		if ctx.Err() != nil {
			t.Fatalf("%s: the watch does not know the last", what)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"lockd/netio/wire"
)

// TestListAsksForEachNameOnce: all locks are listed in order, and no group is asked for
// what it has told already, however small the pages are that the caller wants.
func TestListAsksForEachNameOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		var want []string
		for i := range 600 {
			want = append(want, fmt.Sprintf("job/%04d", i))
		}
		for _, name := range append(slices.Clone(want), "other") {
			lock(t, c, name)
		}
		var asked atomic.Int32
		n.setFilter(func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
			if h.Kind == wire.KindList {
				asked.Add(1)
			}
			return 0
		})
		var got []string
		for e, err := range c.Locks(t.Context(), "job/", ListOptions{Limit: 20}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %d names, want the %d in order", len(got), len(want))
		}
		if most := int32(len(want)/3 + 2*4); asked.Load() > most { // these nodes tell 3 at a time
			t.Errorf("asked %d times, want %d at most", asked.Load(), most)
		}
		page, err := c.List(t.Context(), "", ListOptions{After: "job/0100", Limit: 150})
		if err != nil || len(page) != 150 || page[0].Name != "job/0101" {
			t.Errorf("got %d entries, %v, want 150 from job/0101 on", len(page), err)
		}
	})
}

// TestListEnds: who stops in the middle leaves nothing behind, and an error ends it.
func TestListEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		for i := range 300 {
			lock(t, c, fmt.Sprintf("job/%04d", i))
		}
		taken := 0
		for range c.Locks(t.Context(), "", ListOptions{}) {
			if taken++; taken == 200 {
				break
			}
		}
		synctest.Wait()
		c.mu.Lock()
		for g := range c.mu.core.groups {
			for x := c.mu.core.groups[g].calls.head; x != nil; x = x.next {
				if x.Kind == wire.KindList {
					t.Errorf("group %d: a question is left that nobody waits for", g)
				}
			}
		}
		c.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seen, ended := 0, error(nil)
		for _, err := range c.Locks(ctx, "", ListOptions{}) {
			if ended = err; err == nil {
				seen++
			}
			if seen == 100 {
				cancel()
				n.setFilter(func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
					return wire.StatusNotLeader
				})
			}
		}
		if seen == 300 || !errors.Is(ended, context.Canceled) {
			t.Errorf("got %d entries and %v, want fewer than all and the error", seen, ended)
		}
		n.setFilter(nil)
	})
}

package fence_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"lockd/client"
	"lockd/client/fence"
	"lockd/client/fence/fencetest"
)

// What a client holds is what a guard wants to see.
var _ fence.Hold = (*client.Held)(nil)

// shelf keeps values in memory behind a Store.
type shelf struct {
	store fence.Store
	mu    sync.Mutex
	kept  map[string]string
}

func newShelf(s fence.Store) *shelf { return &shelf{store: s, kept: map[string]string{}} }

func (s *shelf) Write(ctx context.Context, name string, token uint64, value string) error {
	return s.store.Guard(ctx, name, token, func(context.Context) error {
		s.put(name, value)
		return nil
	})
}

func (s *shelf) put(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[name] = value
}

func (s *shelf) Read(_ context.Context, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[name], nil
}

func TestMemory(t *testing.T) {
	fencetest.Run(t, func(*testing.T) fencetest.Resource { return newShelf(&fence.Memory{}) })
}

// TestNewerEndsOlder proves that who comes with a larger token tells the one who
// writes under a smaller one to end, and is let in only after he has.
func TestNewerEndsOlder(t *testing.T) {
	var m fence.Memory
	var order []string
	inside := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := m.Guard(t.Context(), "a", 5, func(ctx context.Context) error {
			close(inside)
			<-ctx.Done()
			order = append(order, "older ends")
			return context.Cause(ctx)
		})
		var stale *fence.StaleError
		if !errors.As(err, &stale) || *stale != (fence.StaleError{Name: "a", Token: 5, Newest: 6}) {
			t.Errorf("older: got %v, want that 6 was seen", err)
		}
	})
	<-inside
	err := m.Guard(t.Context(), "a", 6, func(context.Context) error {
		order = append(order, "newer begins")
		return nil
	})
	wg.Wait()
	if err != nil || len(order) != 2 || order[0] != "older ends" {
		t.Errorf("got %v, %v, want the newer after the older", order, err)
	}
}

// TestGuardGivesUp proves that who waits for an older one to end does so no longer
// than its context, and has shut the older ones out all the same.
func TestGuardGivesUp(t *testing.T) {
	var m fence.Memory
	err := m.Guard(t.Context(), "a", 5, func(context.Context) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := m.Guard(ctx, "a", 6, func(context.Context) error {
			t.Error("let in beside an older one")
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("newer: got %v, want canceled", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Guard(t.Context(), "a", 5, nil); !errors.Is(err, fence.ErrStale) {
		t.Errorf("older again: got %v, want stale", err)
	}
	if got := m.Newest("a"); got != 6 {
		t.Errorf("newest: got %d, want 6", got)
	}
}

// TestRaise proves that a token that was learned elsewhere shuts older ones out.
func TestRaise(t *testing.T) {
	var m fence.Memory
	if err := errors.Join(m.Raise("a", 9), m.Raise("a", 3)); err != nil || m.Newest("a") != 9 {
		t.Errorf("got %v, newest %d, want 9", err, m.Newest("a"))
	}
	if err := m.Guard(t.Context(), "a", 8, nil); !errors.Is(err, fence.ErrStale) {
		t.Errorf("got %v, want stale", err)
	}
	if err := m.Raise("", 9); !errors.Is(err, fence.ErrToken) {
		t.Errorf("no name: got %v, want no token of a grant", err)
	}
	if m.Newest("b") != 0 {
		t.Error("a name that nobody asked about has a token")
	}
}

package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
)

// asking asks for the value with the lock.
var asking = client.LockOptions{Value: true}

// take takes a lock with its value, and wants that to be so.
func take(ctx context.Context, t *testing.T, c *client.Client, name string,
	want client.LockValue) *client.Held {
	t.Helper()
	h, err := c.LockWith(ctx, name, asking)
	if err != nil {
		t.Fatal(err)
	}
	got := h.Value()
	if string(got.Data) != string(want.Data) || got.Token != want.Token ||
		got.Doubtful != want.Doubtful {
		t.Fatalf("value of %q: got %+v, want %+v", name, got, want)
	}
	return h
}

// valued is a cluster and what a test of values needs.
func valued(t *testing.T) (context.Context, *locktest.Cluster, *client.Client, *client.Client) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cluster := locktest.New(t, locktest.Options{})
	return ctx, cluster, cluster.Client(t, client.Options{Name: "a"}),
		cluster.Client(t, client.Options{Name: "b"})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestValue proves that what one holder writes the next reads, that it is there when
// nobody holds the lock and after all nodes were down, and that it can be taken away.
func TestValue(t *testing.T) {
	ctx, cluster, a, b := valued(t)
	h := take(ctx, t, a, "cursor", client.LockValue{})
	must(t, h.SetValue(ctx, []byte("page 7")))
	if got := h.Value(); string(got.Data) != "page 7" || got.Token != h.Token() {
		t.Errorf("own value: got %+v, want page 7 with token %d", got, h.Token())
	}
	must(t, h.Unlock(ctx))
	for node := 1; node <= 3; node++ {
		cluster.Kill(node)
	}
	for node := 1; node <= 3; node++ {
		cluster.Start(node)
	}
	info, err := b.Get(ctx, "cursor")
	if err != nil || info.HolderCount != 0 || string(info.Value.Data) != "page 7" {
		t.Fatalf("get: got %+v, %v, want the value and no holder", info, err)
	}
	entries, err := b.List(ctx, "cur", client.ListOptions{})
	if err != nil || len(entries) != 1 || entries[0].HolderCount != 0 {
		t.Errorf("list: got %+v, %v, want the name without a holder", entries, err)
	}
	written := client.LockValue{Data: []byte("page 7"), Token: h.Token()}
	next := take(ctx, t, b, "cursor", written)
	_, err = a.Semaphore("cursor", 2).TryAcquire(ctx, 1)
	if !errors.Is(err, client.ErrOtherKind) {
		t.Errorf("semaphore: got %v, want ErrOtherKind", err)
	}
	waits := make(chan *client.Held, 1)
	go func() {
		h, err := a.LockWith(ctx, "cursor", asking)
		if err != nil {
			t.Errorf("wait: got %v, want the lock", err)
		}
		waits <- h
	}()
	must(t, next.SetValue(ctx, []byte("page 8")))
	must(t, next.Unlock(ctx))
	if h = <-waits; h == nil || string(h.Value().Data) != "page 8" {
		t.Fatalf("after a wait: got %+v, want page 8", h.Value())
	}
	must(t, h.SetValue(ctx, nil))
	must(t, h.Unlock(ctx))
	if _, err := b.Get(ctx, "cursor"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("taken away: got %v, want ErrNotFound", err)
	}
}

// TestValueInDoubt proves that the value is doubtful after a writer that was lost and
// after one that was forced, and no more once it is written.
func TestValueInDoubt(t *testing.T) {
	ctx, cluster, a, b := valued(t)
	h := take(ctx, t, a, "x", client.LockValue{})
	must(t, h.SetValue(ctx, []byte("one")))
	cluster.Expire("x")
	v := client.LockValue{Data: []byte("one"), Token: h.Token(), Doubtful: true}
	h = take(ctx, t, b, "x", v)
	must(t, h.SetValue(ctx, []byte("two")))
	must(t, b.ForceRelease(ctx, "x", h.Token(), "test"))
	v = client.LockValue{Data: []byte("two"), Token: h.Token(), Doubtful: true}
	h = take(ctx, t, b, "x", v)
	must(t, h.SetValue(ctx, []byte("three")))
	must(t, h.Unlock(ctx))
	take(ctx, t, b, "x", client.LockValue{Data: []byte("three"), Token: h.Token()})
}

// TestValueRefused proves that who may not write is told why, and that nothing is written.
func TestValueRefused(t *testing.T) {
	ctx, _, a, b := valued(t)
	h, err := a.LockWith(ctx, "x", client.LockOptions{Mode: client.Shared, Value: true})
	must(t, err)
	if err := h.SetValue(ctx, []byte("one")); !errors.Is(err, client.ErrNotWriter) {
		t.Errorf("reader: got %v, want ErrNotWriter", err)
	}
	must(t, h.Convert(ctx, client.Update))
	must(t, h.SetValue(ctx, []byte("one")))
	err = h.SetValue(ctx, make([]byte, 4097))
	if !errors.Is(err, client.ErrOptions) || !strings.Contains(err.Error(), "4096") {
		t.Errorf("too long: got %v, want ErrOptions and the limit", err)
	}
	if err := b.ForceRelease(ctx, "x", h.Token(), "test"); err != nil {
		t.Fatal(err)
	}
	if err := h.SetValue(ctx, []byte("two")); !errors.Is(err, client.ErrLost) {
		t.Errorf("forced: got %v, want ErrLost", err)
	}
	if info, err := b.Get(ctx, "x"); err != nil || string(info.Value.Data) != "one" {
		t.Errorf("get: got %+v, %v, want the value as it was", info, err)
	}
	permit, err := a.Semaphore("permits", 2).Acquire(ctx, 1)
	must(t, err)
	var kind *client.KindError
	if err := permit.SetValue(ctx, []byte("x")); !errors.As(err, &kind) || kind.Capacity != 2 {
		t.Errorf("value of permits: got %v, want ErrOtherKind", err)
	}
	_, err = a.Semaphore("s", 2).AcquireWith(ctx, 1, asking)
	if !errors.Is(err, client.ErrOptions) {
		t.Errorf("semaphore: got %v, want ErrOptions", err)
	}
}

// TestValueRetried proves that a write counts once although leaders change while it is
// under way: what it says is the last word of its holder, and of nobody before.
func TestValueRetried(t *testing.T) {
	ctx, cluster, a, b := valued(t)
	h := take(ctx, t, a, "x", client.LockValue{})
	for i := range 4 {
		done := make(chan error, 1)
		text := strings.Repeat("v", i+1)
		go func() {
			err := client.ErrUnsupported
			for ctx.Err() == nil && errors.Is(err, client.ErrUnsupported) {
				// So says a leader to which another node has not been linked yet.
				err = h.SetValue(ctx, []byte(text))
			}
			done <- err
		}()
		cluster.MoveLeader("x")
		must(t, <-done)
		info, err := b.Get(ctx, "x")
		if err != nil || string(info.Value.Data) != text || info.Value.Doubtful {
			t.Fatalf("get: got %+v, %v, want %q", info, err, text)
		}
	}
}

package locktest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"lockd/client"
)

// TestObserveOutlivesAnOutage has an observer ask who leads while it is cut off, for
// longer than a request may take: it goes on, as the watch below it does.
func TestObserveOutlivesAnOutage(t *testing.T) {
	c := New(t, Options{Nodes: 1, Groups: 1})
	watcher := c.Client(t, client.Options{RequestTimeout: 300 * time.Millisecond})
	campaign := func(name string) client.Leadership {
		k := c.Client(t, client.Options{Name: name})
		l, err := k.Election("boss", []byte(name)).Campaign(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := campaign("a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var plugged sync.WaitGroup
	defer plugged.Wait()
	var seen []string
	for l, err := range watcher.Election("boss", nil).Observe(ctx) {
		if err != nil {
			t.Fatalf("having seen %q: %v", seen, err)
		}
		if seen = append(seen, l.Client); l.Client == "b" {
			return
		}
		if len(seen) > 1 {
			continue
		}
		if err := first.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		campaign("b")
		heard := func() bool { // the news wait at the watcher
			_, err := watcher.Get(ctx, "boss")
			return err == nil
		}
		if !heard() {
			t.Fatal("the watcher has no answer")
		}
		c.Unplug(watcher)
		plugged.Go(func() {
			timer := time.NewTimer(900 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			c.Plug(watcher)
		})
	}
	t.Errorf("got %q, want b seen in the end", seen)
}

// TestCloseTwiceAtOnce closes a client that is cut off: whoever calls second returns
// with the first.
func TestCloseTwiceAtOnce(t *testing.T) {
	c := New(t, Options{Nodes: 1, Groups: 1})
	k := c.Client(t, client.Options{Lease: 12 * time.Second, RequestTimeout: 12 * time.Second})
	if _, err := k.Lock(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	c.Unplug(k)
	second := make(chan time.Duration, 1)
	began := time.Now()
	go func() {
		_ = k.Close(context.Background())
		second <- time.Since(began)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := k.Close(ctx); err == nil {
		t.Error("a client that is cut off was closed in order")
	}
	if took := <-second; took > 5*time.Second {
		t.Errorf("the second Close returned after %s", took)
	}
}

// TestValueIsTheLastWritten has many write the value of one hold at once: what the hold
// says it is, is what others read.
func TestValueIsTheLastWritten(t *testing.T) {
	c := New(t, Options{Nodes: 1, Groups: 1})
	k := c.Client(t, client.Options{})
	h, err := k.LockWith(t.Context(), "a", client.LockOptions{Value: true})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 30 {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if err := h.SetValue(t.Context(), fmt.Append(nil, round, i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		info, err := k.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := h.Value().Data, info.Value.Data; !bytes.Equal(got, want) {
			t.Fatalf("round %d: the hold says %q, others read %q", round, got, want)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"lockd/client"
)

// fillWindow is how many requests of one client are in flight.
const fillWindow = 2000

// filler takes locks through one client, a fixed number at a time; each that is
// granted asks for the next.
type filler struct {
	client *client.Client
	name   func(i int) string
	holds  []client.Held
	// next is the first hold not asked for, left those without an answer.
	next, left atomic.Int64
	failed     atomic.Pointer[error]
	done       chan struct{} // closed by the last answer
}

// fill takes n locks and returns their holds.
func fill(ctx context.Context, c *client.Client, n int,
	name func(int) string) ([]client.Held, error) {
	f := &filler{client: c, name: name, holds: make([]client.Held, n), done: make(chan struct{})}
	f.left.Store(int64(n))
	for range min(n, fillWindow) {
		f.ask()
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%d of %d locks are not taken: %w", f.left.Load(), n, ctx.Err())
	}
	if err := f.failed.Load(); err != nil {
		return nil, *err
	}
	return f.holds, nil
}

func (f *filler) ask() {
	i := int(f.next.Add(1)) - 1
	if i >= len(f.holds) {
		return
	}
	f.client.LockAsync(&f.holds[i], f.name(i), client.LockOptions{}, f.granted)
}

func (f *filler) granted(_ *client.Held, err error) {
	if err != nil {
		f.failed.CompareAndSwap(nil, &err)
	}
	if f.left.Add(-1) == 0 {
		close(f.done)
		return
	}
	f.ask()
}

// lockName is a name of 24 bytes.
func lockName(tenant, i int) string {
	b := strconv.AppendInt([]byte("tenant-"), int64(tenant%10), 10)
	b = append(b, "/orders/"...)
	digits := strconv.Itoa(i)
	b = append(b, "00000000"[min(len(digits), 8):]...)
	return string(append(b, digits...))
}

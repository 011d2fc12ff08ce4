package target

import (
	"context"
	"sync"
	"time"

	"lockd/client"
	"lockd/perf/launch"
)

const closeTimeout = 5 * time.Second

// lockdClient is lockd's own client.
type lockdClient struct{ client *client.Client }

func openLockd(ctx context.Context, c *launch.Cluster) (Locker, error) {
	opened, err := client.Dial(ctx, c.Addresses, client.Options{Name: "perf"})
	if err != nil {
		return nil, err
	}
	return &lockdClient{client: opened}, nil
}

func (l *lockdClient) Lock(ctx context.Context, key string) (Hold, error) {
	held, err := l.client.Lock(ctx, key)
	if err != nil {
		return nil, err
	}
	return held, nil
}

// LockCarrying implements Carrier.
func (l *lockdClient) LockCarrying(ctx context.Context, key string, payload []byte) (Hold, error) {
	held, err := l.client.LockWith(ctx, key, client.LockOptions{Payload: payload})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// RLock implements Reader.
func (l *lockdClient) RLock(ctx context.Context, key string) (Hold, error) {
	held, err := l.client.RWMutex(key).RLock(ctx)
	if err != nil {
		return nil, err
	}
	return held, nil
}

// Acquire implements Counter.
func (l *lockdClient) Acquire(ctx context.Context, key string, permits int) (Hold, error) {
	held, err := l.client.Semaphore(key, permits).Acquire(ctx, 1)
	if err != nil {
		return nil, err
	}
	return held, nil
}

// Chain implements Chainer with the client's asynchronous calls.
func (l *lockdClient) Chain(n int, next func() (string, bool),
	done func(int, time.Duration, time.Duration, error)) {
	var ended sync.WaitGroup
	ended.Add(n)
	for i := range n {
		c := &chain{client: l.client, number: i, next: next, done: done, ended: &ended}
		c.granted, c.released = c.onGrant, c.onRelease // bound once, not per pair
		c.begin()
	}
	ended.Wait()
}

// chain is one sequence of pairs. One call of it is under way at a time, so its
// fields need no lock.
type chain struct {
	client            *client.Client
	number            int
	next              func() (string, bool)
	done              func(int, time.Duration, time.Duration, error)
	ended             *sync.WaitGroup
	held              client.Held
	began             time.Time
	lock              time.Duration
	granted, released func(*client.Held, error)
}

func (c *chain) begin() {
	key, ok := c.next()
	if !ok {
		c.ended.Done()
		return
	}
	c.began = time.Now()
	c.client.LockAsync(&c.held, key, client.LockOptions{}, c.granted)
}

func (c *chain) onGrant(held *client.Held, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	c.lock = time.Since(c.began)
	held.UnlockAsync(c.released)
}

func (c *chain) onRelease(_ *client.Held, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	c.done(c.number, c.lock, time.Since(c.began), nil)
	c.begin()
}

func (c *chain) fail(err error) {
	c.done(c.number, 0, 0, err)
	c.ended.Done()
}

func (l *lockdClient) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return l.client.Close(ctx)
}

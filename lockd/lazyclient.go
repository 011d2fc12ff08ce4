package main

import (
	"context"
	"sync"

	"lockd/client"
	"lockd/lockd/admin"
)

// lazyClient is the client through which a node's admin listener asks for
// locks. It is dialled at the first question and again after a failure.
type lazyClient struct {
	address string

	mu struct {
		sync.Mutex
		client *client.Client
		closed bool
	}
}

// get returns the client. The lock is not held while it dials, so two first
// questions may dial twice; one of the two is closed again.
func (l *lazyClient) get(ctx context.Context) (admin.Locks, error) {
	if c := l.current(); c != nil {
		return c, nil
	}
	c, err := client.Dial(ctx, []string{l.address}, client.Options{Name: "lockd admin"})
	if err != nil {
		return nil, err
	}
	kept := l.keep(c)
	if kept == c {
		return c, nil
	}
	if err := c.Close(ctx); err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, client.ErrClosed
	}
	return kept, nil
}

func (l *lazyClient) current() *client.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.client
}

// keep stores c unless there is a client already, and returns the one to use;
// nil after close.
func (l *lazyClient) keep(c *client.Client) *client.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.client == nil && !l.mu.closed {
		l.mu.client = c
	}
	return l.mu.client
}

// close ends the client. It never opened a session, so nothing waits for the
// node, which may be gone.
func (l *lazyClient) close() error {
	l.mu.Lock()
	c := l.mu.client
	l.mu.client, l.mu.closed = nil, true
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Close(ctx)
	return nil
}

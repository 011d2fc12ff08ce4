package main

import (
	"context"
	"sync"
)

// each calls fn for 0 to n-1, each on a goroutine of its own, and returns when
// all have returned, with the first error.
func each(n int, fn func(i int) error) error {
	var running sync.WaitGroup
	problems := make([]error, n)
	for i := range n {
		running.Add(1)
		go func() {
			defer running.Done()
			problems[i] = fn(i)
		}()
	}
	running.Wait()
	for _, err := range problems {
		if err != nil {
			return err
		}
	}
	return nil
}

// start runs the workers of a probe until its context ends.
func (p *probe) start(ctx context.Context) {
	for i := range probeWorkers {
		p.running.Add(1)
		go func() {
			defer p.running.Done()
			p.work(ctx, i)
		}()
	}
}

// start renews the sessions of a crowd until its context ends.
func (c *crowd) start(ctx context.Context, of *wireConn) {
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		c.renew(ctx, of)
	}()
}

// inBackground runs one call that reports by itself.
func inBackground(call func()) { go call() }

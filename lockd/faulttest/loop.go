package faulttest

import (
	"context"
	"os/exec"

	"lockd/client"
)

// reap waits for a process in the background. Start starts it, and it ends with
// the process.
func (n *Node) reap(cmd *exec.Cmd, ended chan<- struct{}) {
	go func() {
		n.result = cmd.Wait()
		close(ended)
	}()
}

// start runs the workers of a load, each until ctx ends.
func (l *Load) start(ctx context.Context) {
	for i := range l.opts.Workers {
		l.running.Add(1)
		go func() {
			defer l.running.Done()
			l.work(ctx, i)
		}()
	}
}

// start asks for the lock in the background and reports once.
func (w *Waiter) start(ctx context.Context) {
	go func() {
		w.held, w.err = w.client.Lock(ctx, w.Name)
		close(w.done)
	}()
}

// start runs the workers of a probe, each until ctx ends.
func (p *Probe) start(ctx context.Context, clients []*client.Client) {
	for g := range p.mu.groups {
		p.running.Add(1)
		go func() {
			defer p.running.Done()
			p.work(ctx, clients[g%len(clients)], g)
		}()
	}
}

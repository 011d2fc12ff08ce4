package fence

import (
	"context"
	"sync"
)

// Memory is a Store that forgets with its process. It guards what the process
// forgets too: caches, devices it drives, files it writes anew. For anything
// that outlives it, tell it after a start what is newest (Raise), from what was
// written or from client.CheckToken, before the first Guard. The zero value is
// ready. It may be used by any number of goroutines, and takes some hundred
// bytes for each name it was ever asked about.
type Memory struct {
	mu struct {
		sync.Mutex
		names map[string]*gate
	}
}

// gate is one name. Belongs to Memory.mu.
type gate struct {
	newest  uint64
	running map[*passage]struct{}
	drained chan struct{} // closed when no older one runs; nil if none waits
}

// passage is one fn that runs.
type passage struct {
	token  uint64
	cancel context.CancelCauseFunc
}

// Newest returns the largest token seen of a name, zero if none was.
func (m *Memory) Newest(name string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g := m.mu.names[name]; g != nil {
		return g.newest
	}
	return 0
}

// Raise notes a token without a write: smaller ones are refused from now on, and
// what runs under them is told to end. A smaller token than was seen changes
// nothing.
func (m *Memory) Raise(name string, token uint64) error {
	if err := check(name, token); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gate(name).raise(name, token)
	return nil
}

// Guard is that of Store. A fn that runs under a smaller token is told to end by
// its context, whose cause is a *StaleError, and Guard waits for it, as long as
// ctx lasts. Fns under one token run side by side.
func (m *Memory) Guard(ctx context.Context, name string, token uint64,
	fn func(ctx context.Context) error) error {
	if err := check(name, token); err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &passage{token: token, cancel: cancel}
	if err := m.enter(ctx, name, p); err != nil {
		return err
	}
	defer m.leave(name, p)
	return fn(inner)
}

// enter lets p in, or returns why not.
func (m *Memory) enter(ctx context.Context, name string, p *passage) error {
	for {
		m.mu.Lock()
		g := m.gate(name)
		if p.token < g.newest {
			err := &StaleError{Name: name, Token: p.token, Newest: g.newest}
			m.mu.Unlock()
			return err
		}
		g.raise(name, p.token)
		if !g.older() {
			g.running[p] = struct{}{}
			m.mu.Unlock()
			return nil
		}
		if g.drained == nil {
			g.drained = make(chan struct{})
		}
		drained := g.drained
		m.mu.Unlock()
		select {
		case <-drained:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *Memory) leave(name string, p *passage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.mu.names[name]
	delete(g.running, p)
	if g.drained != nil && !g.older() {
		close(g.drained)
		g.drained = nil
	}
}

// gate returns the entry of a name. Requires: m.mu is held.
func (m *Memory) gate(name string) *gate {
	if m.mu.names == nil {
		m.mu.names = make(map[string]*gate)
	}
	g := m.mu.names[name]
	if g == nil {
		g = &gate{running: make(map[*passage]struct{})}
		m.mu.names[name] = g
	}
	return g
}

// raise refuses smaller tokens from now on and tells those who run under them.
func (g *gate) raise(name string, token uint64) {
	if token <= g.newest {
		return
	}
	g.newest = token
	for p := range g.running { // order: all are told
		p.cancel(&StaleError{Name: name, Token: p.token, Newest: token})
	}
}

// older reports whether something runs under a smaller token than the newest.
func (g *gate) older() bool {
	for p := range g.running { // order: any one decides
		if p.token < g.newest {
			return true
		}
	}
	return false
}

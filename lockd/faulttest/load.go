package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

// LoadOptions describe a Load.
type LoadOptions struct {
	// Clients are shared by the workers, each by every len(Clients)-th.
	Clients []*client.Client
	// Workers lock and unlock at the same time.
	Workers int
	// Names are how many locks they share.
	Names int
	// Groups is the number of groups of the cluster.
	Groups int
	// Seed draws names and modes.
	Seed uint64
}

// Load is workers that lock and unlock a few names and check every grant.
type Load struct {
	opts      LoadOptions
	running   sync.WaitGroup
	cancel    context.CancelFunc
	registers []*register
	tokens    *tokenSet
	// Grants counts grants, Lost holds that ended unasked, and Refused calls
	// that ended without an answer; workers write them.
	Grants, Lost, Refused atomic.Uint64

	mu struct {
		sync.Mutex
		violations []string
	}
}

// StartLoad starts the workers.
func StartLoad(o LoadOptions) *Load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{opts: o, cancel: cancel, tokens: newTokenSet()}
	for i := range o.Names {
		l.registers = append(l.registers, &register{name: fmt.Sprintf("load/%d", i)})
	}
	l.start(ctx)
	return l
}

// Stop ends the workers and returns what was violated, nil if nothing was.
func (l *Load) Stop() error {
	l.cancel()
	l.running.Wait()
	return l.Err()
}

// Err returns what was violated so far.
func (l *Load) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.violations) == 0 {
		return nil
	}
	return fmt.Errorf("faulttest: %d violations, the first: %s", len(l.mu.violations),
		l.mu.violations[0])
}

// violations counts what was violated so far.
func (l *Load) violations() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.violations)
}

// describe says how the load goes on and what the cluster knows of a lock that
// nobody gets.
func (l *Load) describe(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	before := l.Grants.Load()
	pause(ctx, time.Second)
	text := fmt.Sprintf("%d grants in all, %d of them in the last second, %d calls without an answer",
		before, l.Grants.Load()-before, l.Refused.Load())
	info, err := l.opts.Clients[0].Get(ctx, name)
	if err != nil {
		return text + "; " + err.Error()
	}
	return fmt.Sprintf("%s; held by %+v, waited for by %+v", text, info.Holders, info.Waiters)
}

func (l *Load) violate(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.violations = append(l.mu.violations, fmt.Sprintf(format, args...))
}

// AwaitGrants waits until every name has been granted n more times: the cluster
// serves, whichever group a name belongs to.
func (l *Load) AwaitGrants(ctx context.Context, n uint64) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	want := make([]uint64, len(l.registers))
	for i, r := range l.registers {
		want[i] = r.grants.Load() + n
	}
	for i, r := range l.registers {
		for r.grants.Load() < want[i] {
			select {
			case <-ctx.Done():
				return fmt.Errorf("faulttest: %q was granted %d times, want %d: %w: %s", r.name,
					n-(want[i]-r.grants.Load()), n, ctx.Err(), l.describe(r.name))
			case <-poll.C:
			}
		}
	}
	return nil
}

// work is one worker.
func (l *Load) work(ctx context.Context, number int) {
	draw := rand.New(rand.NewPCG(l.opts.Seed, uint64(number)))
	c := l.opts.Clients[number%len(l.opts.Clients)]
	for ctx.Err() == nil {
		r := l.registers[draw.IntN(len(l.registers))]
		mode := client.Exclusive
		if draw.IntN(4) == 0 {
			mode = client.Shared
		}
		l.turn(ctx, c, r, mode)
	}
}

// turn takes and gives back one lock.
func (l *Load) turn(ctx context.Context, c *client.Client, r *register, mode client.Mode) {
	h, err := c.LockWith(ctx, r.name, client.LockOptions{Mode: mode})
	if err != nil {
		if ctx.Err() == nil {
			l.Refused.Add(1)
			pause(ctx, 10*time.Millisecond)
		}
		return
	}
	l.Grants.Add(1)
	r.grants.Add(1)
	group := wire.GroupOf("", r.name, uint16(l.opts.Groups))
	if before, again := l.tokens.add(group, h.Token(), r.name); again {
		l.violate("token %d of group %d was granted for %q and for %q", h.Token(), group, before,
			r.name)
	}
	if text := r.enter(h, mode); text != "" {
		l.violate("%s", text)
	}
	r.leave(h)
	err = h.Unlock(context.WithoutCancel(ctx))
	switch {
	case errors.Is(err, client.ErrLost):
		l.Lost.Add(1)
	case err != nil:
		l.Refused.Add(1)
	}
}

// pause waits a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// hold is a *client.Held, as far as a register looks at it.
type hold interface {
	Token() uint64
	Valid() bool
}

// register is what a lock protects: it knows who is inside, and refuses tokens
// below the highest it has seen.
type register struct {
	name   string
	grants atomic.Uint64 // workers write it

	mu struct {
		sync.Mutex
		token  uint64
		inside map[hold]client.Mode
	}
}

// enter notes a hold and says what is wrong with it. Holds that are not valid
// any more are not in the way: their holders know.
func (r *register) enter(h hold, mode client.Mode) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.inside == nil {
		r.mu.inside = make(map[hold]client.Mode)
	}
	text := ""
	for other, otherMode := range r.mu.inside {
		if mode == client.Shared && otherMode == client.Shared {
			continue
		}
		if other.Valid() && h.Valid() {
			text = fmt.Sprintf("%q was granted with token %d while it was held with token %d",
				r.name, h.Token(), other.Token())
		}
	}
	// Readers are told of their grants in any order, so only a writer may
	// demand that nobody came before it with a larger token.
	if mode != client.Shared && h.Token() < r.mu.token && h.Valid() {
		text = fmt.Sprintf("%q was granted with token %d after token %d", r.name, h.Token(),
			r.mu.token)
	}
	r.mu.token = max(r.mu.token, h.Token())
	r.mu.inside[h] = mode
	return text
}

// leave takes a hold out. Requires: it is called before the lock is given back.
func (r *register) leave(h hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.inside, h)
}

// tokenSet remembers every token by group.
type tokenSet struct {
	mu struct {
		sync.Mutex
		seen map[uint16]map[uint64]string
	}
}

func newTokenSet() *tokenSet {
	s := &tokenSet{}
	s.mu.seen = make(map[uint16]map[uint64]string)
	return s
}

// add notes a token and returns for what it was granted before, if it was.
func (s *tokenSet) add(group uint16, token uint64, name string) (before string, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.seen[group] == nil {
		s.mu.seen[group] = make(map[uint64]string)
	}
	before, again = s.mu.seen[group][token]
	s.mu.seen[group][token] = name
	return before, again
}

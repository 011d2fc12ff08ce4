package client

import (
	"context"
	"fmt"
	"time"

	"lockd/netio/wire"
)

// Semaphore is a name of which several may hold a part at a time. All who use it
// must name the same capacity: while anybody holds permits or waits for them, a
// request that names another is refused with a *KindError, and so is one that
// takes the name for a lock. Nothing needs to be set up, and nothing leaks: what
// a client holds comes free when it dies.
type Semaphore struct {
	c        *Client
	name     string
	capacity int
}

// Semaphore returns a name as a semaphore of that many permits. Nothing is sent.
func (c *Client) Semaphore(name string, capacity int) Semaphore {
	return Semaphore{c: c, name: name, capacity: capacity}
}

// Acquire waits for n permits. Who asks for many is not passed by those who ask
// for few. Unlock gives all n back. See Client.Lock for the rest.
func (s Semaphore) Acquire(ctx context.Context, n int) (*Held, error) {
	return s.AcquireWith(ctx, n, LockOptions{})
}

// AcquireWith is Acquire with options, but for Mode and Owner.
func (s Semaphore) AcquireWith(ctx context.Context, n int, opts LockOptions) (*Held, error) {
	return s.acquire(ctx, n, opts, wire.FlagWait)
}

// TryAcquire takes n permits if there are so many and nobody waits. Otherwise the
// error is a *HeldError, which matches ErrHeld.
func (s Semaphore) TryAcquire(ctx context.Context, n int) (*Held, error) {
	return s.TryAcquireWith(ctx, n, LockOptions{})
}

// TryAcquireWith is TryAcquire with options, but for Mode and Owner.
func (s Semaphore) TryAcquireWith(ctx context.Context, n int, opts LockOptions) (*Held, error) {
	return s.acquire(ctx, n, opts, wire.FlagDetails)
}

// TryAcquireDetached is TryAcquireWith for permits that live by their own time to
// live. See Client.TryDetached.
func (s Semaphore) TryAcquireDetached(ctx context.Context, n int, ttl time.Duration,
	opts LockOptions) (*Held, error) {
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	h, err := s.prepare(ctx, n, opts, wire.FlagDetached|wire.FlagDetails)
	if err != nil {
		return nil, err
	}
	s.c.mu.Lock()
	h.call.Session, h.call.TTL = s.c.mu.core.NewOwner(), ttl
	s.c.mu.Unlock()
	if err := h.granted(s.c.call(ctx, &h.call)); err != nil {
		return nil, err
	}
	return h, nil
}

func (s Semaphore) acquire(ctx context.Context, n int, opts LockOptions,
	flags wire.Flags) (*Held, error) {
	h, err := s.prepare(ctx, n, opts, flags)
	if err != nil {
		return nil, err
	}
	if err := h.granted(s.c.ask(ctx, &h.call, opts)); err != nil {
		return nil, err
	}
	return h, nil
}

// prepare checks what is asked for and makes a Held ready for it.
func (s Semaphore) prepare(ctx context.Context, n int, opts LockOptions,
	flags wire.Flags) (*Held, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: semaphore %q: %w", s.name, ended(ctx))
	}
	if s.capacity < 1 || uint64(s.capacity) > 1<<32-1 || n < 1 || n > s.capacity {
		return nil, fmt.Errorf("%w: %d of %d permits of %q", ErrOptions, n, s.capacity, s.name)
	}
	if opts.Mode != Exclusive || opts.Owner != 0 || opts.Value {
		return nil, fmt.Errorf("%w: a semaphore has neither modes nor owners nor a value: %q",
			ErrOptions, s.name)
	}
	h := &Held{}
	if err := h.prepare(s.c, s.name, opts, flags); err != nil {
		return nil, err
	}
	h.call.Kind, h.call.Mode = wire.KindTake, wire.ModeNL
	h.call.Permits, h.call.Capacity = uint32(n), uint32(s.capacity)
	return h, nil
}

// Permits returns how many permits of a semaphore the hold has, zero if it is a
// hold of a lock.
func (h *Held) Permits() int { return int(h.call.Permits) }

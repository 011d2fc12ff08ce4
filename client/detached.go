package client

import (
	"context"
	"fmt"
	"time"

	"lockd/netio/wire"
)

// TryDetached takes the lock, if it is free and nobody waits for it, as a hold
// that lives by its own time to live instead of the client's session: nothing
// renews it but Renew, and neither Close nor the death of this process ends it.
// Ttl is rounded down to milliseconds and must be 1 ms to 49 days. The hold
// counts as lost when its time is over.
//
// If the call ends without an answer, the lock may stay taken for ttl.
func (c *Client) TryDetached(ctx context.Context, name string, ttl time.Duration) (*Held, error) {
	return c.TryDetachedWith(ctx, name, ttl, LockOptions{})
}

// TryDetachedWith is TryDetached with options, but for Owner and Weight.
func (c *Client) TryDetachedWith(ctx context.Context, name string, ttl time.Duration,
	opts LockOptions) (*Held, error) {
	if opts.Owner != 0 {
		return nil, fmt.Errorf("%w: a detached hold has no owner: %q", ErrOptions, name)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: lock %q: %w", name, ended(ctx))
	}
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	h := &Held{}
	flags := wire.FlagDetached | wire.FlagDetails
	if err := h.prepare(c, name, opts, flags); err != nil {
		return nil, err
	}
	c.mu.Lock()
	h.call.Session = c.mu.core.NewOwner()
	c.mu.Unlock()
	h.call.TTL = ttl
	if err := h.granted(c.call(ctx, &h.call)); err != nil {
		return nil, err
	}
	return h, nil
}

func checkTTL(ttl time.Duration) error {
	if ttl < time.Millisecond || ttl > longest {
		return fmt.Errorf("%w: time to live %s, must be %s to %s", ErrOptions, ttl, time.Millisecond,
			longest)
	}
	return nil
}

// Renew gives a detached hold a new time to live, counted from now. It fails
// with a *LostError if the hold is over, and with ErrOptions if it is not
// detached: the client itself renews those.
func (h *Held) Renew(ctx context.Context, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	if err := h.present(); err != nil {
		return err
	}
	if h.call.Flags&wire.FlagDetached == 0 {
		return fmt.Errorf("%w: lock %q is not detached", ErrOptions, h.name)
	}
	return h.c.call(ctx, &Call{
		Kind: wire.KindRenewHold, Flags: wire.FlagDetached, Name: h.name,
		Session: h.call.Session, Token: h.Token(), TTL: ttl, Hold: &h.call,
		Timeout: h.c.opts.RequestTimeout,
	})
}

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockd/client"
)

// readWriteRows are WLock's read-write locks.
func readWriteRows() []parity {
	return []parity{
		{"WReadLock.tryAcquireLock", func(ctx context.Context, p pair) error {
			one, err := p.a.RWMutex(p.name).RLock(ctx)
			two, err2 := p.b.RWMutex(p.name).RLock(ctx)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			_, held := p.b.RWMutex(p.name).TryLock(ctx)
			return errors.Join(want("a writer", held, client.ErrHeld), one.Unlock(ctx), two.Unlock(ctx))
		}},
		{"WReadLock.tryAcquireLock(behind a writer)", behindAWriter},
		{"WReadLock.renewLock", func(ctx context.Context, p pair) error {
			shared := client.LockOptions{Mode: client.Shared}
			one, err := p.a.TryDetachedWith(ctx, p.name, time.Second, shared)
			two, err2 := p.b.TryDetachedWith(ctx, p.name, 5*time.Second, shared)
			if err := errors.Join(err, err2, one.Renew(ctx, time.Minute)); err != nil {
				return err
			}
			if left := time.Until(one.SafeUntil()); left < 30*time.Second {
				return fmt.Errorf("got %s left, want nearly a minute", left)
			}
			return errors.Join(one.Unlock(ctx), two.Unlock(ctx))
		}},
		{"WReadLock.getLockState", func(ctx context.Context, p pair) error {
			one, err := p.a.RWMutex(p.name).RLock(ctx)
			two, err2 := p.b.RWMutex(p.name).RLock(ctx)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			info, err := p.b.Get(ctx, p.name)
			if err != nil || len(info.Holders) != 2 || info.Holders[0].Client != "a" ||
				info.Holders[1].Client != "b" || info.Holders[1].Mode != client.Shared {
				return fmt.Errorf("got %+v, %w, want two who read", info, err)
			}
			return errors.Join(one.Unlock(ctx), two.Unlock(ctx))
		}},
		{"WWriteLock.tryAcquireLock", func(ctx context.Context, p pair) error {
			rw := p.a.RWMutex(p.name)
			h, err := rw.Lock(ctx)
			if err != nil {
				return err
			}
			_, held := p.b.RWMutex(p.name).TryRLock(ctx)
			// Whoever writes may read on, and lets others.
			down := rw.Downgrade(ctx, h)
			other, err := p.b.RWMutex(p.name).TryRLock(ctx)
			if err := errors.Join(want("a reader", held, client.ErrHeld), down, err); err != nil {
				return err
			}
			// Whoever reads may ask to write, which WLock refuses.
			tried := want("upgrade beside a reader", rw.TryUpgrade(ctx, h), client.ErrHeld)
			return errors.Join(tried, other.Unlock(ctx), rw.Upgrade(ctx, h), h.Unlock(ctx))
		}},
		{"newReadWriteLock(LockPolicy)", func(ctx context.Context, p pair) error {
			// An owner enters again in the mode he has. Who writes and would read beside
			// it turns the hold into one to read instead: it is one hold, with one mode.
			for _, mode := range []client.Mode{client.Shared, client.Exclusive} {
				opts := client.LockOptions{Owner: 3, Mode: mode}
				one, err := p.a.LockWith(ctx, p.name, opts)
				two, err2 := p.a.LockWith(ctx, p.name, opts)
				if err := errors.Join(err, err2); err != nil {
					return err
				}
				opts.Mode = client.Shared + client.Exclusive - mode
				_, other := p.a.TryLockWith(ctx, p.name, opts)
				if err := errors.Join(want("another mode", other, client.ErrOtherMode), one.Unlock(ctx),
					two.Unlock(ctx), isFree(ctx, p.b, p.name)); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// behindAWriter proves that who comes to read waits behind who waits to write, and is
// let in after.
func behindAWriter(ctx context.Context, p pair) error {
	reads, err := p.a.RWMutex(p.name).RLock(ctx)
	if err != nil {
		return err
	}
	order := make(chan client.Mode, 2)
	ended := make(chan error, 2)
	for i, mode := range []client.Mode{client.Exclusive, client.Shared} {
		p.b.LockAsync(new(client.Held), p.name, client.LockOptions{Mode: mode},
			func(h *client.Held, err error) {
				if err != nil {
					ended <- err
					return
				}
				order <- mode
				h.UnlockAsync(func(_ *client.Held, err error) { ended <- err })
			})
		if err := waits(ctx, p.a, p.name, i+1); err != nil {
			return err
		}
	}
	_, tried := p.a.RWMutex(p.name).TryRLock(ctx)
	if err := errors.Join(want("a reader meanwhile", tried, client.ErrHeld), reads.Unlock(ctx),
		<-ended, <-ended); err != nil {
		return err
	}
	if first, second := <-order, <-order; first != client.Exclusive || second != client.Shared {
		return fmt.Errorf("got %s before %s, want the writer first", first, second)
	}
	return nil
}

// resultRows are what WLock's calls return.
func resultRows() []parity {
	return []parity{
		{"AcquireLockResult.owner", func(ctx context.Context, p pair) error {
			h, err := p.a.LockWith(ctx, p.name, client.LockOptions{Owner: 12,
				Labels: map[string]string{"host": "here"}})
			if err != nil {
				return err
			}
			_, err = p.b.TryLock(ctx, p.name)
			var held *client.HeldError
			if !errors.As(err, &held) || held.Info == nil {
				return fmt.Errorf("got %w, want who holds it", err)
			}
			if x := held.Info.Holders[0]; x.Client != "a" || x.Owner != 12 || x.Token != h.Token() ||
				x.Session != h.Session() || x.Labels["host"] != "here" {
				return fmt.Errorf("got %+v, want a with owner 12", x)
			}
			return h.Unlock(ctx)
		}},
		{"LockResult.lockVersion", func(ctx context.Context, p pair) error {
			h, err := p.a.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			now, err := p.b.CheckToken(ctx, p.name, h.Token())
			if err != nil || !now.Current {
				return fmt.Errorf("held: got %+v, %w, want current", now, err)
			}
			if err := h.Unlock(ctx); err != nil {
				return err
			}
			then, err := p.b.CheckToken(ctx, p.name, h.Token())
			if err != nil || then.Current {
				return fmt.Errorf("given back: got %+v, %w, want stale", then, err)
			}
			return nil
		}},
		{"LockResult.TOKEN_ERROR", func(ctx context.Context, p pair) error {
			h, err := p.a.TryDetached(ctx, p.name, time.Minute)
			if err != nil {
				return err
			}
			other := client.DetachedHold{Name: p.name, Session: h.Session(), Token: h.Token() + 1}
			_, renewed := p.b.RenewDetached(ctx, other, time.Hour)
			if err := errors.Join(want("release", p.b.ReleaseDetached(ctx, other), client.ErrLost),
				want("renew", renewed, client.ErrLost)); err != nil {
				return err
			}
			info, err := p.b.Get(ctx, p.name)
			if err != nil || info.Holders[0].Token != h.Token() ||
				info.Holders[0].LeaseLeft > time.Minute {
				return fmt.Errorf("got %+v, %w, want the hold as it was", info, err)
			}
			return h.Unlock(ctx)
		}},
		{"RenewListener.onRenewFailed", func(ctx context.Context, p pair) error {
			const lease = time.Second
			var line cord
			c, err := p.c.Dial(ctx, client.Options{Lease: lease, Dial: line.dial})
			if err != nil {
				return err
			}
			h, err := c.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			line.end() // no renewal arrives any more
			next, err := p.b.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			if h.Valid() {
				return errors.New("the holder believes in what another has")
			}
			<-h.Lost()
			ended, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			_ = c.Close(ended) // it has no conn
			return errors.Join(want("cause", context.Cause(h.Context()), client.ErrLost),
				next.Unlock(ctx))
		}},
	}
}

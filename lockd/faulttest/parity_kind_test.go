package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockd/client"
)

// overloadRows are what WLock's calls take beside the rest, and its kinds of locks.
func overloadRows() []parity {
	return []parity{
		{"fair lock", inOrder},
		{"tryAcquireLock(LockOption)", allOptions},
		{"tryAcquireLockUnblocked(LockExpireListener)", func(ctx context.Context, p pair) error {
			h, err := p.a.TryLockWith(ctx, p.name, client.LockOptions{MaxHold: 200 * time.Millisecond})
			if err != nil {
				return err
			}
			<-h.Lost()
			return want("onExpire", context.Cause(h.Context()), client.ErrMaxHold)
		}},
		{"tryAcquireLockUnblocked(renewInterval,RenewListener)", func(ctx context.Context,
			p pair) error {
			const lease = time.Second
			c, err := p.c.Dial(ctx, client.Options{Lease: lease})
			if err != nil {
				return err
			}
			defer c.Close(ctx)
			h, err := c.TryLock(ctx, p.name)
			if err != nil {
				return err
			}
			pause(ctx, 2*lease)
			_, other := p.b.TryLock(ctx, p.name)
			if !h.Valid() {
				return fmt.Errorf("%w after two leases", context.Cause(h.Context()))
			}
			return errors.Join(want("another", other, client.ErrHeld), h.Unlock(ctx))
		}},
		{"EventType.LOCK_UPDATE", func(ctx context.Context, p pair) error {
			h, err := p.a.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			changes := func(e client.WatchEvent) bool { return e.Waiters == 1 && e.Token == h.Token() }
			granted := make(chan error, 1)
			var next client.Held
			first := true
			for e, err := range p.b.Watch(ctx, p.name, client.WatchOptions{}) {
				if err != nil {
					return err
				}
				if first {
					first = false
					p.b.LockAsync(&next, p.name, client.LockOptions{}, func(_ *client.Held, err error) {
						granted <- err
					})
				}
				if changes(e) && e.Change == client.LockChanged {
					break
				}
			}
			return errors.Join(h.Unlock(ctx), <-granted, next.Unlock(ctx))
		}},
		{"EventType.READ_LOCK_EXPIRED", func(ctx context.Context, p pair) error {
			return expiresIn(ctx, p, client.Shared)
		}},
		{"EventType.WRITE_LOCK_EXPIRED", func(ctx context.Context, p pair) error {
			return expiresIn(ctx, p, client.Exclusive)
		}},
	}
}

// inOrder proves that those who wait have the lock in the order in which they came,
// whichever client they are of.
func inOrder(ctx context.Context, p pair) error {
	h, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	const all = 6
	order := make(chan int, all)
	ended := make(chan error, all)
	for i := range all {
		c := []*client.Client{p.a, p.b}[i%2]
		c.LockAsync(new(client.Held), p.name, client.LockOptions{}, func(h *client.Held, err error) {
			if err != nil {
				ended <- err
				return
			}
			order <- i
			h.UnlockAsync(func(_ *client.Held, err error) { ended <- err })
		})
		if err := waits(ctx, p.a, p.name, i+1); err != nil {
			return err
		}
	}
	if err := h.Unlock(ctx); err != nil {
		return err
	}
	var got []int
	for range all {
		if err := <-ended; err != nil {
			return err
		}
		got = append(got, <-order)
	}
	if !slices.IsSorted(got) {
		return fmt.Errorf("got order %v, want that in which they came", got)
	}
	return nil
}

// allOptions gives one call a weight, a longest wait, a longest hold and labels at a time.
func allOptions(ctx context.Context, p pair) error {
	h, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	granted := make(chan error, 1)
	var light client.Held
	p.b.LockAsync(&light, p.name, client.LockOptions{}, func(_ *client.Held, err error) {
		granted <- err
	})
	if err := waits(ctx, p.b, p.name, 1); err != nil {
		return err
	}
	opts := client.LockOptions{Weight: 10, MaxHold: time.Second,
		Labels: map[string]string{"job": "7"}}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, waited := p.a.LockWith(short, p.name, opts)
	heavy := make(chan error, 1)
	var held client.Held
	p.a.LockAsync(&held, p.name, opts, func(_ *client.Held, err error) { heavy <- err })
	if err := waits(ctx, p.b, p.name, 2); err != nil {
		return err
	}
	if err := errors.Join(h.Unlock(ctx), <-heavy); err != nil {
		return err
	}
	info, err := p.b.Get(ctx, p.name)
	if err != nil || info.Holders[0].Labels["job"] != "7" || info.WaiterCount != 1 {
		return fmt.Errorf("got %+v, %w, want the larger weight to hold, with its label", info, err)
	}
	<-held.Lost()
	return errors.Join(want("maxWait", waited, context.DeadlineExceeded),
		want("expire", context.Cause(held.Context()), client.ErrMaxHold), <-granted, light.Unlock(ctx))
}

// expiresIn proves that who watches a lock is told that a hold in a mode has run out,
// which WLock tells of these locks to nobody but their holder.
func expiresIn(ctx context.Context, p pair, mode client.Mode) error {
	h, err := p.a.TryDetachedWith(ctx, p.name, time.Second, client.LockOptions{Mode: mode})
	if err != nil {
		return err
	}
	for e, err := range p.b.Watch(ctx, p.name, client.WatchOptions{}) {
		if err != nil {
			return err
		}
		if e.Change == client.LockExpired && e.Free() {
			break
		}
	}
	<-h.Lost()
	return want("the holder", context.Cause(h.Context()), client.ErrLost)
}

// readWriteCalls are the calls of WLock's two locks that readWriteRows has not.
func readWriteCalls() []parity {
	return []parity{
		{"WReadLock.tryAcquireLockUnblocked", func(ctx context.Context, p pair) error {
			rw := p.a.RWMutex(p.name)
			w, err := rw.TryLock(ctx)
			if err != nil {
				return err
			}
			_, held := p.b.RWMutex(p.name).TryRLock(ctx)
			if err := errors.Join(want("LOCK_OCCUPIED", held, client.ErrHeld),
				waits(ctx, p.a, p.name, 0), w.Unlock(ctx)); err != nil {
				return err
			}
			r, err := p.b.RWMutex(p.name).TryRLock(ctx)
			if err != nil {
				return err
			}
			return r.Unlock(ctx)
		}},
		{"WReadLock.releaseLock", func(ctx context.Context, p pair) error {
			one, err := p.a.RWMutex(p.name).RLock(ctx)
			two, err2 := p.b.RWMutex(p.name).RLock(ctx)
			if err := errors.Join(err, err2, one.Unlock(ctx)); err != nil {
				return err
			}
			_, held := p.a.RWMutex(p.name).TryLock(ctx) // another reads
			return errors.Join(want("one of two", held, client.ErrHeld),
				want("LOCK_DELETED", one.Unlock(ctx), client.ErrUnlocked), two.Unlock(ctx),
				isFree(ctx, p.a, p.name))
		}},
		{"WWriteLock.tryAcquireLockUnblocked", func(ctx context.Context, p pair) error {
			r, err := p.a.RWMutex(p.name).TryRLock(ctx)
			if err != nil {
				return err
			}
			_, held := p.b.RWMutex(p.name).TryLock(ctx)
			return errors.Join(want("LOCK_OCCUPIED", held, client.ErrHeld),
				waits(ctx, p.a, p.name, 0), r.Unlock(ctx), isFree(ctx, p.b, p.name))
		}},
		{"WWriteLock.releaseLock", func(ctx context.Context, p pair) error {
			w, err := p.a.RWMutex(p.name).Lock(ctx)
			if err != nil {
				return err
			}
			// All who wait to read have it by one release.
			granted := make(chan error, 2)
			var readers [2]client.Held
			for i := range readers {
				p.b.LockAsync(&readers[i], p.name, client.LockOptions{Mode: client.Shared},
					func(_ *client.Held, err error) { granted <- err })
			}
			if err := waits(ctx, p.a, p.name, 2); err != nil {
				return err
			}
			if err := errors.Join(w.Unlock(ctx), <-granted, <-granted); err != nil {
				return err
			}
			return errors.Join(want("LOCK_DELETED", w.Unlock(ctx), client.ErrUnlocked),
				readers[0].Unlock(ctx), readers[1].Unlock(ctx))
		}},
		{"WWriteLock.renewLock", func(ctx context.Context, p pair) error {
			w, err := p.a.TryDetachedWith(ctx, p.name, time.Second,
				client.LockOptions{Mode: client.Exclusive})
			if err != nil {
				return err
			}
			if err := w.Renew(ctx, time.Minute); err != nil {
				return err
			}
			pause(ctx, 1500*time.Millisecond)
			_, held := p.b.RWMutex(p.name).TryRLock(ctx)
			return errors.Join(want("past its first time", held, client.ErrHeld), w.Unlock(ctx))
		}},
		{"WWriteLock.getLockState", func(ctx context.Context, p pair) error {
			w, err := p.a.RWMutex(p.name).Lock(ctx)
			if err != nil {
				return err
			}
			info, err := p.b.Get(ctx, p.name)
			if err != nil || len(info.Holders) != 1 || info.Holders[0].Mode != client.Exclusive ||
				info.Holders[0].Token != w.Token() {
				return fmt.Errorf("got %+v, %w, want one who writes", info, err)
			}
			return w.Unlock(ctx)
		}},
		{"@ReadLock,@WriteLock", func(ctx context.Context, p pair) error {
			shared := client.LockOptions{Mode: client.Shared}
			ran := false
			err := p.a.DoWith(ctx, p.name, shared, func(ctx context.Context, _ *client.Held) error {
				return p.b.DoWith(ctx, p.name, shared, func(ctx context.Context, _ *client.Held) error {
					ran = true
					_, held := p.a.RWMutex(p.name).TryLock(ctx)
					return want("@WriteLock", held, client.ErrHeld)
				})
			})
			if !ran {
				return fmt.Errorf("two @ReadLock: got %w, want both to run", err)
			}
			return errors.Join(err, isFree(ctx, p.b, p.name))
		}},
		{"AcquireLockFailException", func(ctx context.Context, p pair) error {
			h, err := p.a.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			failed := p.b.Do(short, p.name, func(context.Context, *client.Held) error {
				return errors.New("the method ran without the lock")
			})
			return errors.Join(want("maxWait", failed, context.DeadlineExceeded), h.Unlock(ctx))
		}},
	}
}

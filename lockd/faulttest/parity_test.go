package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"lockd/client"
)

// parity is one method of WLock's client, and how ours says the same. A row fails
// if what WLock's documents promise is not had.
type parity struct {
	method string // of WLock
	prove  func(ctx context.Context, p pair) error
}

// pair are two clients, as two processes would have, and a name of the row's own.
type pair struct {
	c     *Cluster
	a, b  *client.Client
	name  string
	lease time.Duration // of a
}

// TestWLockParity expresses WLock's client API in ours, method by method, on a
// cluster of processes.
func TestWLockParity(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	p := pair{c: c, a: dial(t, c, client.Options{Name: "a"}),
		b: dial(t, c, client.Options{Name: "b"}), lease: 30 * time.Second}
	for _, row := range slices.Concat(lockRows(), watchRows(), otherRows()) {
		t.Run(row.method, func(t *testing.T) {
			p.name = "parity/" + row.method
			if err := row.prove(within(t, 20*time.Second), p); err != nil {
				t.Error(err)
			}
		})
	}
}

// want says what was got, if that is not the error to get.
func want(what string, got, want error) error {
	if errors.Is(got, want) {
		return nil
	}
	return fmt.Errorf("%s: got %w, want %w", what, got, want)
}

func lockRows() []parity {
	return []parity{
		{"tryAcquireLock(expire,maxWait)", func(ctx context.Context, p pair) error {
			h, err := p.a.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			if _, err := p.b.Lock(short, p.name); want("maxWait", err, context.DeadlineExceeded) != nil {
				return want("maxWait", err, context.DeadlineExceeded)
			}
			return h.Unlock(ctx)
		}},
		{"tryAcquireLock(waits)", func(ctx context.Context, p pair) error { return handedOn(ctx, p) }},
		{"tryAcquireLock(weight)", weighed},
		{"tryAcquireLock(renewInterval,RenewListener)", func(ctx context.Context, p pair) error {
			short, err := p.c.Dial(ctx, client.Options{Name: "renews", Lease: time.Second})
			if err != nil {
				return err
			}
			defer short.Close(ctx)
			h, err := short.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			first := h.SafeUntil()
			for !h.SafeUntil().After(first.Add(time.Second)) { // renewed past its first lease
				select {
				case <-h.Lost():
					return context.Cause(h.Context())
				case <-time.After(20 * time.Millisecond):
				}
			}
			return h.Unlock(ctx)
		}},
		{"tryAcquireLock(LockExpireListener)", func(ctx context.Context, p pair) error {
			h, err := p.a.TryDetached(ctx, p.name, 200*time.Millisecond)
			if err != nil {
				return err
			}
			<-h.Lost()
			return want("cause", context.Cause(h.Context()), client.ErrLost)
		}},
		{"tryAcquireLock(HoldLockListener)", func(ctx context.Context, p pair) error {
			// A hold has no end of its own: as long as the process lives, it is renewed.
			h, err := p.a.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			if left := time.Until(h.SafeUntil()); left > p.lease || !h.Valid() {
				return fmt.Errorf("got %s left, want a lease that is renewed", left)
			}
			return h.Unlock(ctx)
		}},
		{"tryAcquireLockUnblocked", func(ctx context.Context, p pair) error {
			h, err := p.a.TryLock(ctx, p.name)
			if err != nil {
				return err
			}
			_, err = p.b.TryLock(ctx, p.name)
			return errors.Join(want("LOCK_OCCUPIED", err, client.ErrHeld), h.Unlock(ctx))
		}},
		{"releaseLock", released},
		{"renewLock(expire)", func(ctx context.Context, p pair) error {
			h, err := p.a.TryDetached(ctx, p.name, 5*time.Second)
			if err != nil {
				return err
			}
			if err := h.Renew(ctx, time.Minute); err != nil {
				return err
			}
			if left := time.Until(h.SafeUntil()); left < 30*time.Second {
				return fmt.Errorf("got %s left, want nearly a minute", left)
			}
			return h.Unlock(ctx)
		}},
		{"LockOption.expireTime", func(ctx context.Context, p pair) error {
			// Nothing renews it, and it passes to who waits when its time is over.
			const expire = time.Second
			h, err := p.a.LockWith(ctx, p.name, client.LockOptions{MaxHold: expire})
			if err != nil {
				return err
			}
			if left := time.Until(h.SafeUntil()); left > expire || !h.Valid() {
				return fmt.Errorf("got %s left, want a second at most", left)
			}
			next, err := p.b.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			lost := want("LockExpireListener", h.Unlock(ctx), client.ErrMaxHold)
			return errors.Join(lost, next.Unlock(ctx))
		}},
		{"getLockState", func(ctx context.Context, p pair) error {
			_, free := p.b.Get(ctx, p.name)
			h, err := p.a.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			info, err := p.b.Get(ctx, p.name)
			if err != nil || info.Holders[0].Token != h.Token() || info.Holders[0].Client != "a" {
				return fmt.Errorf("got %+v, %w, want the hold of a", info, err)
			}
			return errors.Join(want("LOCK_DELETED", free, client.ErrNotFound), h.Unlock(ctx))
		}},
	}
}

// handedOn proves that who waits is granted the lock by its release, with a larger
// version.
func handedOn(ctx context.Context, p pair) error {
	h, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	granted := make(chan error, 1)
	var next client.Held
	p.b.LockAsync(&next, p.name, client.LockOptions{}, func(_ *client.Held, err error) {
		granted <- err
	})
	if err := waits(ctx, p.a, p.name, 1); err != nil {
		return err
	}
	if err := errors.Join(h.Unlock(ctx), <-granted); err != nil {
		return err
	}
	if next.Token() <= h.Token() {
		return fmt.Errorf("got version %d after %d", next.Token(), h.Token())
	}
	return next.Unlock(ctx)
}

// waits returns when so many wait for a lock.
func waits(ctx context.Context, c *client.Client, name string, n int) error {
	for {
		info, err := c.Get(ctx, name)
		if err != nil || info.WaiterCount == n {
			return err
		}
	}
}

// weighed proves that the larger weight is granted first.
func weighed(ctx context.Context, p pair) error {
	h, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	order := make(chan uint8, 2)
	var held [2]client.Held
	for i, weight := range []uint8{1, 10} {
		p.b.LockAsync(&held[i], p.name, client.LockOptions{Weight: weight},
			func(h *client.Held, err error) {
				order <- weight
				h.UnlockAsync(func(*client.Held, error) {})
			})
		if err := waits(ctx, p.a, p.name, i+1); err != nil {
			return err
		}
	}
	if err := h.Unlock(ctx); err != nil {
		return err
	}
	if first, second := <-order, <-order; first != 10 || second != 1 {
		return fmt.Errorf("got weights %d, %d, want 10, 1", first, second)
	}
	return nil
}

// released proves what a release says: SUCCESS once, and of a hold that has expired
// and may be another's, not SUCCESS.
func released(ctx context.Context, p pair) error {
	h, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	if err := h.Unlock(ctx); err != nil {
		return err
	}
	if err := want("LOCK_DELETED", h.Unlock(ctx), client.ErrUnlocked); err != nil {
		return err
	}
	h, err = p.a.TryDetached(ctx, p.name, 100*time.Millisecond)
	if err != nil {
		return err
	}
	next, err := p.b.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	return errors.Join(want("LOCK_CHANGED_OWNER", h.Unlock(ctx), client.ErrLost), next.Unlock(ctx))
}

func otherRows() []parity {
	return []parity{
		{"WLockClient(hashKey,registry)", func(ctx context.Context, p pair) error {
			// One address of a node that is up is enough; the others are learned.
			c, err := client.Dial(ctx, []string{"127.0.0.1:1", p.c.Nodes[2].Client},
				client.Options{Name: "one address"})
			if err != nil {
				return err
			}
			err = c.Do(ctx, p.name, func(context.Context, *client.Held) error { return nil })
			return errors.Join(err, c.Close(ctx)) // which WLock's client has not
		}},
		{"newDistributeLock(LockPolicy)", func(ctx context.Context, p pair) error {
			const thread, process = 7, 1
			for _, owner := range []uint64{thread, process} {
				one, err := p.a.LockWith(ctx, p.name, client.LockOptions{Owner: owner})
				if err != nil {
					return err
				}
				two, err := p.a.LockWith(ctx, p.name, client.LockOptions{Owner: owner})
				if err != nil || two.Token() != one.Token() {
					return fmt.Errorf("again: got %w, want the same version", err)
				}
				_, other := p.a.TryLockWith(ctx, p.name, client.LockOptions{Owner: owner + 1})
				first := one.Unlock(ctx)
				_, still := p.b.TryLock(ctx, p.name)
				if err := errors.Join(want("another owner", other, client.ErrHeld), first,
					want("after one of two", still, client.ErrHeld), two.Unlock(ctx)); err != nil {
					return err
				}
			}
			return nil
		}},
		{"newReadWriteLock.readLock", func(ctx context.Context, p pair) error {
			one, err := p.a.RWMutex(p.name).RLock(ctx)
			two, err2 := p.b.RWMutex(p.name).RLock(ctx)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			_, held := p.b.RWMutex(p.name).TryLock(ctx)
			return errors.Join(want("a writer", held, client.ErrHeld), one.Unlock(ctx), two.Unlock(ctx))
		}},
		{"newReadWriteLock.writeLock", func(ctx context.Context, p pair) error {
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
		{"setDefaultTimeoutForReq", func(ctx context.Context, p pair) error {
			began := time.Now()
			_, err := client.Dial(context.WithoutCancel(ctx), []string{"127.0.0.1:1"},
				client.Options{DialTimeout: 100 * time.Millisecond})
			if took := time.Since(began); took > 5*time.Second {
				return fmt.Errorf("took %s", took)
			}
			return want("nobody there", err, client.ErrUnavailable)
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
	}
}

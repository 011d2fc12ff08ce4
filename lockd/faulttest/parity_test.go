package faulttest

import (
	"context"
	"errors"
	"fmt"
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
// cluster of processes: how a client is made (parity_client_test.go), its locks and
// their kinds (parity_kind_test.go), its watches (parity_watch_test.go), and what calls
// return (parity_result_test.go). That nothing is left out, parity_names_test.go says.
// Where ours differs on purpose the row says so. What belongs to WLock's registry, tenants
// and their migration, has no row.
func TestWLockParity(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	p := pair{c: c, a: dial(t, c, client.Options{Name: "a"}),
		b: dial(t, c, client.Options{Name: "b"}), lease: 30 * time.Second}
	for _, row := range parityRows() {
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
			_, err = p.b.Lock(short, p.name)
			// Who gave up waits no more, and is not granted later.
			return errors.Join(want("maxWait", err, context.DeadlineExceeded),
				waits(ctx, p.a, p.name, 0), h.Unlock(ctx), isFree(ctx, p.a, p.name))
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
		{"tryAcquireLock(HoldLockListener)", heldForLong},
		{"tryAcquireLockUnblocked", func(ctx context.Context, p pair) error {
			h, err := p.a.TryLock(ctx, p.name)
			if err != nil {
				return err
			}
			_, err = p.b.TryLock(ctx, p.name)
			return errors.Join(want("LOCK_OCCUPIED", err, client.ErrHeld),
				waits(ctx, p.a, p.name, 0), h.Unlock(ctx))
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
			asked := time.Now()
			h, err := p.a.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			pause(ctx, time.Second)
			info, err := p.b.Get(ctx, p.name)
			if err != nil || info.Holders[0].Token != h.Token() || info.Holders[0].Client != "a" {
				return fmt.Errorf("got %+v, %w, want the hold of a", info, err)
			}
			x := info.Holders[0]
			const off = 700 * time.Millisecond // steps of log time, and a little
			if since := x.Since.Sub(asked); since < -off || since > time.Since(asked) ||
				x.Held < time.Second-off || x.LeaseLeft <= 0 || x.LeaseLeft > p.lease {
				return fmt.Errorf("got %+v, want it since %s", x, asked)
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

// heldForLong proves that a hold lasts longer than what it is granted for at a time, is
// renewed until its real end, and then ends; and that its holder is told when it has
// become another's before.
func heldForLong(ctx context.Context, p pair) error {
	const lease, most = time.Second, 3 * time.Second
	c, err := p.c.Dial(ctx, client.Options{Name: "for long", Lease: lease})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	began := time.Now()
	h, err := c.LockWith(ctx, p.name, client.LockOptions{MaxHold: most})
	if err != nil {
		return err
	}
	next, err := p.b.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	ended := want("the real end", h.Unlock(ctx), client.ErrMaxHold)
	if took := time.Since(began); took < most || ended != nil {
		return fmt.Errorf("passed on after %s of %s: %w", took, most, ended)
	}
	if err := p.a.ForceRelease(ctx, p.name, next.Token(), "parity"); err != nil {
		return err
	}
	<-next.Lost()
	return want("onOwnerChange", context.Cause(next.Context()), client.ErrForced)
}

// isFree proves that nobody holds a lock or waits for it.
func isFree(ctx context.Context, c *client.Client, name string) error {
	h, err := c.TryLock(ctx, name)
	if err != nil {
		return err
	}
	return h.Unlock(ctx)
}

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lockd/client"
)

// clientRows are how a client is made, and what its locks are called.
func clientRows() []parity {
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
		{"WLockClient(confpath)", func(ctx context.Context, p pair) error {
			// There is no file to be read: addresses are all that must be said.
			c, err := client.Dial(ctx, p.c.Addresses(), client.Options{})
			if err != nil {
				return err
			}
			return errors.Join(isFree(ctx, c, p.name), c.Close(ctx))
		}},
		{"setDefaultTimeoutForReq", func(ctx context.Context, p pair) error {
			return boundedCalls(context.WithoutCancel(ctx), p)
		}},
		{"setDefaultRetries", askedAgain},
		{"setAutoRenewThreadCount", slowListener},
		{"newDistributeLock(LockPolicy)", ownedBy},
		{"newDistributeLock(name)", func(ctx context.Context, p pair) error {
			// Any bytes but a zero, where WLock takes ASCII.
			for _, name := range []string{p.name + "/锁", p.name + "/\xff\n'\"", "parity/ "} {
				if err := isFree(ctx, p.a, name); err != nil {
					return err
				}
			}
			_, empty := p.a.TryLock(ctx, "")
			_, zero := p.a.TryLock(ctx, "a\x00b")
			_, long := p.a.TryLock(ctx, strings.Repeat("x", 600))
			return errors.Join(want("empty", empty, client.ErrBadName),
				want("zero byte", zero, client.ErrBadName), want("long", long, client.ErrNameTooLong))
		}},
	}
}

// boundedCalls proves that a call which nobody answers ends with the time for it, and
// says that its outcome is not known.
func boundedCalls(ctx context.Context, p pair) error {
	began := time.Now()
	_, dialed := client.Dial(ctx, []string{"127.0.0.1:1"},
		client.Options{DialTimeout: 100 * time.Millisecond})
	var line cord
	c, err := p.c.Dial(ctx, client.Options{RequestTimeout: 300 * time.Millisecond, Dial: line.dial})
	if err != nil {
		return err
	}
	h, err := c.Lock(ctx, p.name+"/held")
	if err != nil {
		return err
	}
	line.end()
	_, tried := c.TryLock(ctx, p.name)
	_, got := c.Get(ctx, p.name)
	closed := c.Close(ctx)
	if took := time.Since(began); took > 10*time.Second {
		return fmt.Errorf("took %s", took)
	}
	return errors.Join(want("dial", dialed, client.ErrUnavailable),
		want("try", tried, client.ErrUnavailable), want("get", got, client.ErrUnavailable),
		want("close", closed, client.ErrUnavailable), want("hold", h.Unlock(ctx), client.ErrLost))
}

// askedAgain proves that there is no number of tries to be set: what was asked on a conn
// that ended is asked on the next, until the call ends.
func askedAgain(ctx context.Context, p pair) error {
	var line cord
	c, err := p.c.Dial(ctx, client.Options{Name: "again", Dial: line.dial})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	h, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	granted := make(chan error, 1)
	var next client.Held
	c.LockAsync(&next, p.name, client.LockOptions{}, func(_ *client.Held, err error) {
		granted <- err
	})
	if err := waits(ctx, p.a, p.name, 1); err != nil {
		return err
	}
	for range 5 {
		line.reset()
		if _, err := c.Get(ctx, p.name); err != nil {
			return err
		}
	}
	line.reset()
	if err := errors.Join(h.Unlock(ctx), <-granted); err != nil {
		return err
	}
	line.reset()
	return next.Unlock(ctx)
}

// slowListener proves that there are no threads to be counted: a listener who takes long
// delays neither renewals nor the listeners of others.
func slowListener(ctx context.Context, p pair) error {
	const lease = time.Second
	c, err := p.c.Dial(ctx, client.Options{Name: "slow listener", Lease: lease})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	mine, err := c.Lock(ctx, p.name+"/mine")
	if err != nil {
		return err
	}
	other, err := p.b.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	_, err = c.WatchAndLock(waiting, p.name, client.LockOptions{}, func(client.WatchEvent) {
		pause(ctx, 2*lease)
		stop()
	})
	if !mine.Valid() {
		return fmt.Errorf("%w by a listener who took two leases", context.Cause(mine.Context()))
	}
	return errors.Join(want("gave up", err, context.Canceled), mine.Unlock(ctx), other.Unlock(ctx))
}

// ownedBy proves that one owner, be it a thread or the process, has the lock again at
// once, that others have not, and that it is free when it was given back as often.
func ownedBy(ctx context.Context, p pair) error {
	const thread, process = 7, 1
	for _, owner := range []uint64{thread, process} {
		var all []*client.Held
		for range 3 {
			h, err := p.a.LockWith(ctx, p.name, client.LockOptions{Owner: owner})
			if err != nil {
				return err
			}
			all = append(all, h)
		}
		if all[1].Token() != all[0].Token() || all[2].Token() != all[0].Token() {
			return fmt.Errorf("got versions %d, %d, %d, want the same", all[0].Token(),
				all[1].Token(), all[2].Token())
		}
		_, other := p.a.TryLockWith(ctx, p.name, client.LockOptions{Owner: owner + 1})
		// The number means something within one client only.
		_, elsewhere := p.b.TryLockWith(ctx, p.name, client.LockOptions{Owner: owner})
		err := errors.Join(want("another owner", other, client.ErrHeld),
			want("the same number elsewhere", elsewhere, client.ErrHeld))
		for _, h := range slices.Backward(all) {
			_, still := p.b.TryLock(ctx, p.name)
			err = errors.Join(err, want("not yet given back", still, client.ErrHeld), h.Unlock(ctx))
		}
		if err := errors.Join(err, isFree(ctx, p.b, p.name)); err != nil {
			return err
		}
	}
	return nil
}

// annotationRows are WLock's starter for Spring: what it does by annotation, ours does
// by a function.
func annotationRows() []parity {
	return []parity{
		{"@Lock", func(ctx context.Context, p pair) error {
			inside := errors.New("of the method")
			err := p.a.Do(ctx, p.name, func(ctx context.Context, h *client.Held) error {
				_, held := p.b.TryLock(ctx, p.name)
				return errors.Join(inside, want("inside", held, client.ErrHeld))
			})
			if err := errors.Join(want("its error", err, inside), isFree(ctx, p.b, p.name)); err != nil {
				return err
			}
			func() {
				defer func() { _ = recover() }()
				_ = p.a.Do(ctx, p.name, func(context.Context, *client.Held) error { panic("in the method") })
			}()
			took := p.a.DoWith(ctx, p.name, client.LockOptions{MaxHold: 200 * time.Millisecond},
				func(ctx context.Context, h *client.Held) error {
					<-ctx.Done()
					return context.Cause(ctx)
				})
			next, err := p.b.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			return errors.Join(want("expire", took, client.ErrMaxHold), next.Unlock(ctx))
		}},
		{"@MultiLock", severalAtOnce},
	}
}

// severalAtOnce proves that two who want the same locks in opposite orders do not wait
// for each other, which WLock's nested locks do, and that all are held or none.
func severalAtOnce(ctx context.Context, p pair) error {
	names := []string{p.name + "/1", p.name + "/2", p.name + "/3", p.name + "/4"}
	turned := slices.Clone(names)
	slices.Reverse(turned)
	ended := make(chan error, 2)
	inside := make(chan struct{}, 1)
	work := func(c *client.Client, names []string) error {
		for range 20 {
			all, err := c.LockAll(ctx, names...)
			if err != nil {
				return err
			}
			select {
			case inside <- struct{}{}:
				<-inside
			default:
				return errors.New("two hold the same locks")
			}
			if err := all.Unlock(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	go func() { ended <- work(p.a, names) }()
	go func() { ended <- work(p.b, turned) }()
	if err := errors.Join(<-ended, <-ended); err != nil {
		return err
	}
	h, err := p.a.Lock(ctx, names[2])
	if err != nil {
		return err
	}
	_, held := p.b.TryLockAll(ctx, names...)
	err = want("one of them is held", held, client.ErrHeld)
	for _, name := range []string{names[0], names[1], names[3]} {
		err = errors.Join(err, isFree(ctx, p.a, name))
	}
	return errors.Join(err, h.Unlock(ctx))
}

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockd/client"
)

// watchRows are WLock's watches.
func watchRows() []parity {
	return []parity{
		{"watchlock(version,listener)", watched},
		{"watchlock(maxWait).onTimeout", func(ctx context.Context, p pair) error {
			short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
			var last error
			for _, last = range p.b.Watch(short, p.name, client.WatchOptions{}) {
			}
			return want("onTimeout", last, context.DeadlineExceeded)
		}},
		{"watchAndWaitLock(listener)", watchedAndAcquired},
		{"watchAndWaitLock(weight,maxWait)", watchedInVain},
		{"continueWatchAndWaitLock(listener)", acquiredAgain},
		{"continueWatchAndWaitLock(maxWait)", func(ctx context.Context, p pair) error {
			h, err := p.b.Lock(ctx, p.name)
			if err != nil {
				return err
			}
			short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
			for _, err = range p.a.LockAgain(short, p.name, client.LockOptions{}) {
			}
			return errors.Join(want("onTimeout", err, context.DeadlineExceeded),
				waits(ctx, p.b, p.name, 0), h.Unlock(ctx))
		}},
		{"unWatchLock", func(ctx context.Context, p pair) error { // which WLock's never does
			for _, err := range p.b.Watch(ctx, p.name, client.WatchOptions{}) {
				return err // leaving the loop ends the watch
			}
			return errors.New("got no event, want how the lock stands")
		}},
	}
}

// watched proves that who watches from a version on hears of what is later only, and of
// every kind of change: acquired, released, expired.
func watched(ctx context.Context, p pair) error {
	h, err := p.a.TryDetached(ctx, p.name, time.Minute)
	if err != nil {
		return err
	}
	var from client.Version
	for e, err := range p.b.Watch(ctx, p.name, client.WatchOptions{}) {
		if err != nil {
			return err
		}
		if e.Token != h.Token() {
			return fmt.Errorf("got %+v, want the version %d", e, h.Token())
		}
		from = e.Version
		break
	}
	steps := []struct {
		does func() error
		free bool
	}{
		{func() error { return h.Unlock(ctx) }, true},
		{func() (err error) {
			h, err = p.a.TryDetached(ctx, p.name, time.Second)
			return err
		}, false},
		{func() error { return nil }, true}, // its time is over
	}
	if err := steps[0].does(); err != nil {
		return err
	}
	step := 0
	for e, err := range p.b.Watch(ctx, p.name, client.WatchOptions{From: from}) {
		switch {
		case err != nil:
			return err
		case e.Version.Slot <= from.Slot:
			return fmt.Errorf("got version %s, want one after %s", e.Version, from)
		case e.Free() != steps[step].free:
			return fmt.Errorf("step %d: got %+v, want free %v", step, e, steps[step].free)
		case step == 2 && e.Change != client.LockExpired:
			return fmt.Errorf("got %s, want LOCK_EXPIRED", e.Change)
		}
		if step++; step == len(steps) {
			return nil
		}
		if err := steps[step].does(); err != nil {
			return err
		}
		from = e.Version
	}
	return errors.New("the watch ended")
}

// watchedAndAcquired proves that who asks for a lock without waiting for it is called
// when he has it, and who waits for it hears meanwhile what becomes of it.
func watchedAndAcquired(ctx context.Context, p pair) error {
	first, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	acquired := make(chan error, 1)
	var second client.Held
	p.b.LockAsync(&second, p.name, client.LockOptions{}, func(_ *client.Held, err error) {
		acquired <- err
	})
	if err := waits(ctx, p.a, p.name, 1); err != nil {
		return err
	}
	told := make(chan client.WatchEvent, 16)
	ended := make(chan error, 1)
	go func() {
		third, err := p.a.WatchAndLock(ctx, p.name, client.LockOptions{}, func(e client.WatchEvent) {
			select {
			case told <- e:
			default:
			}
		})
		if err == nil {
			err = third.Unlock(ctx)
		}
		ended <- err
	}()
	if err := waits(ctx, p.b, p.name, 2); err != nil {
		return err
	}
	if err := errors.Join(first.Unlock(ctx), <-acquired); err != nil {
		return err
	}
	for {
		select {
		case e := <-told:
			if e.Token != second.Token() {
				continue
			}
			return errors.Join(second.Unlock(ctx), <-ended)
		case <-ctx.Done():
			return errors.New("who waits was not told that another has acquired it")
		}
	}
}

// watchedInVain proves that a wait with a watch ends with its time, leaves no place in
// the queue, and has the weight that it says meanwhile.
func watchedInVain(ctx context.Context, p pair) error {
	h, err := p.a.Lock(ctx, p.name)
	if err != nil {
		return err
	}
	var light client.Held
	granted := make(chan error, 1)
	p.b.LockAsync(&light, p.name, client.LockOptions{}, func(_ *client.Held, err error) {
		granted <- err
	})
	if err := waits(ctx, p.b, p.name, 1); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := p.a.WatchAndLock(short, p.name, client.LockOptions{Weight: 10},
			func(client.WatchEvent) {})
		ended <- err
	}()
	if err := waits(ctx, p.b, p.name, 2); err != nil {
		return err
	}
	info, err := p.b.Get(ctx, p.name)
	if err != nil || len(info.Waiters) != 2 || info.Waiters[0].Weight != 10 {
		return fmt.Errorf("got %+v, %w, want the larger weight first", info, err)
	}
	return errors.Join(want("onTimeout", <-ended, context.DeadlineExceeded),
		waits(ctx, p.b, p.name, 1), h.Unlock(ctx), <-granted, light.Unlock(ctx))
}

// acquiredAgain proves that whoever lost a lock waits for it anew.
func acquiredAgain(ctx context.Context, p pair) error {
	opts := client.LockOptions{MaxHold: 200 * time.Millisecond} // so that it is lost
	last, times := uint64(0), 0
	for h, err := range p.a.LockAgain(ctx, p.name, opts) {
		if err != nil {
			return err
		}
		if h.Token() <= last {
			return fmt.Errorf("got version %d after %d", h.Token(), last)
		}
		if last, times = h.Token(), times+1; times == 3 {
			return nil
		}
		select {
		case <-h.Lost():
		case <-ctx.Done():
			return errors.New("the lock was not lost by its max hold")
		}
	}
	return errors.New("the loop ended")
}

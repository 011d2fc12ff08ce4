package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"lockd/netio/wire"
)

// Election has one of many candidates lead at a time: the one who holds the lock of
// that name, with the value it proclaims as the payload of the hold. Others wait in
// the order in which they came. A leader that dies is followed within its session
// lease; one that is cut off hears that it leads no more before another can.
//
// Whoever lost the lead and wants it again calls Campaign again, or waits for the lock
// of the name in a loop of Client.LockAgain, with the value as LockOptions.Payload.
type Election struct {
	c     *Client
	name  string
	value []byte
}

// Election returns the election of a name. Value is what observers see while this
// client leads, such as its address; it is copied, and at most 4 KiB. Nothing is
// sent.
func (c *Client) Election(name string, value []byte) Election {
	return Election{c: c, name: name, value: bytes.Clone(value)}
}

// Leadership is a hold of an election's lock. Its Context ends with it, and Token
// guards what only the leader may do: a later leader has a larger one.
type Leadership struct{ *Held }

// Resign gives the leadership up. See Held.Unlock.
func (l Leadership) Resign(ctx context.Context) error {
	if l.Held == nil {
		return errNeverHeld
	}
	return l.Unlock(ctx)
}

// Proclaim replaces the value that observers see. See Held.SetPayload.
func (l Leadership) Proclaim(ctx context.Context, value []byte) error {
	return l.SetPayload(ctx, value)
}

// Leader is who leads. The zero value is nobody.
type Leader struct {
	Client string // the name its client gave
	Value  []byte
	Token  uint64
	Since  time.Time // of the grant, by the clock of this machine
}

// Campaign waits until this candidate leads, as Client.Lock waits.
func (e Election) Campaign(ctx context.Context) (Leadership, error) {
	h, err := e.c.LockWith(ctx, e.name, LockOptions{Payload: e.value})
	return Leadership{h}, err
}

// Leader returns who leads at a moment between the call and its end. ErrNotFound if
// nobody does.
func (e Election) Leader(ctx context.Context) (Leader, error) {
	l, _, err := e.leader(ctx)
	if err == nil && l.Token == 0 {
		err = fmt.Errorf("%w: nobody leads %q", ErrNotFound, e.name)
	}
	return l, err
}

// leader returns who leads, the zero value if nobody does, and as of which slot.
func (e Election) leader(ctx context.Context) (Leader, uint64, error) {
	info, slot, err := e.c.get(ctx, e.name)
	switch {
	case errors.Is(err, ErrNotFound):
		return Leader{}, slot, nil
	case err != nil || len(info.Holders) == 0 || info.Holders[0].Kept:
		return Leader{}, slot, err
	}
	h := &info.Holders[0]
	return Leader{Client: h.Client, Value: h.Payload, Token: h.Token, Since: h.Since}, slot, nil
}

// leaderNow asks until a node answers, as a watch goes on until one does.
func (e Election) leaderNow(ctx context.Context) (l Leader, slot uint64, err error) {
	for {
		l, slot, err = e.leader(ctx)
		if ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			return l, slot, err
		}
	}
}

// Observe yields who leads, at first and then whenever that has changed, or the value
// has; the zero Leader when nobody does. Who leads now is never missed; of several
// changes in a row only the last need be told. It ends as Client.Watch does.
func (e Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		var last Leader
		known, asked := false, uint64(0)
		for ev, err := range e.c.Watch(ctx, e.name, WatchOptions{}) {
			if err != nil {
				yield(Leader{}, err)
				return
			}
			if known && ev.Version.Slot <= asked {
				continue // what was asked for since is newer
			}
			var now Leader
			if !ev.Free() {
				if now, asked, err = e.leaderNow(ctx); err != nil {
					yield(Leader{}, err)
					return
				}
			}
			if known && now.Token == last.Token && bytes.Equal(now.Value, last.Value) {
				continue
			}
			last, known = now, true
			if !yield(now, nil) {
				return
			}
		}
	}
}

// WatchAndLock is LockWith, and tells meanwhile what becomes of the lock: tell is
// called on the caller's goroutine with what a Watch of the lock would yield while the
// call waits. It must return soon.
func (c *Client) WatchAndLock(ctx context.Context, name string, opts LockOptions,
	tell func(WatchEvent)) (*Held, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: lock %q: %w", name, ended(ctx))
	}
	h := &Held{}
	if err := h.prepare(c, name, opts, wire.FlagWait); err != nil {
		return nil, err
	}
	w, err := c.watch(name, WatchOptions{})
	if err != nil {
		return nil, err
	}
	defer w.close()
	hear := func() {
		for e, ok, _ := w.poll(); ok; e, ok, _ = w.poll() {
			tell(e)
		}
		if opts.OnWait != nil {
			c.tellPlace(&h.call, opts.OnWait)
		}
	}
	if opts.OnWait != nil {
		h.call.Place = &Place{}
	}
	h.call.told = w.wake
	if err := h.granted(c.callTold(ctx, &h.call, hear)); err != nil {
		return nil, err
	}
	return h, nil
}

// LockAgain yields a hold of the lock, and another when the loop comes back for it,
// again and again: whoever is always to hold the lock when he can, waits for
// Held.Lost in the loop. A hold that is not lost nor given back by then is given back
// before the lock is asked for anew, and when the loop is left. It ends with an error,
// for ctx or of LockWith.
func (c *Client) LockAgain(ctx context.Context, name string,
	opts LockOptions) iter.Seq2[*Held, error] {
	return func(yield func(*Held, error) bool) {
		for {
			h, err := c.LockWith(ctx, name, opts)
			if err != nil {
				yield(nil, err)
				return
			}
			again := false
			func() {
				defer func() { err = h.Unlock(ctx) }() // also if the loop panics
				again = yield(h, nil)
			}()
			if !again {
				return
			}
			if err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrUnlocked) &&
				!errors.Is(err, ErrUnavailable) {
				yield(nil, err)
				return
			}
		}
	}
}

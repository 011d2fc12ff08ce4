package client

import (
	"context"
	"errors"
	"fmt"

	"lockd/netio/wire"
)

// SetPayload replaces the payload that others see of each of the locks; an empty one
// takes it away. Each lock is asked for by itself: if it fails for one, the error names
// that, and of the others it may have been done. It fails with a *LostError if one of the
// locks is lost. See Held.SetPayload.
func (a *HeldAll) SetPayload(ctx context.Context, payload []byte) error {
	t := &wire.Terms{}
	if err := putPayload(t, payload); err != nil {
		return err
	}
	return a.amend(ctx, t)
}

// SetLabels replaces all labels that others see of each of the locks. See SetPayload.
func (a *HeldAll) SetLabels(ctx context.Context, labels map[string]string) error {
	t := &wire.Terms{}
	if err := putLabels(t, labels); err != nil {
		return err
	}
	return a.amend(ctx, t)
}

// amend changes what t names of each of the locks, of all at once.
func (a *HeldAll) amend(ctx context.Context, t *wire.Terms) error {
	if err := a.present(); err != nil {
		return err
	}
	for _, h := range a.parts {
		turn, err := h.amendTurn(ctx)
		if err != nil {
			return fmt.Errorf("client: amend %d locks: %w", len(a.tokens), err)
		}
		defer func() { <-turn }()
	}
	var asked []*Call
	for _, h := range a.parts {
		h.call.Wants.Each(func(_ int, w wire.Want) bool {
			x := &Call{Kind: wire.KindAmend, Name: string(w.Name), Terms: t, Hold: &h.call,
				Timeout: a.c.opts.RequestTimeout}
			a.c.begin(x)
			asked = append(asked, x)
			return true
		})
	}
	var failures []error
	for _, x := range asked {
		a.c.wait(ctx, x)
		if x.Err != nil {
			failures = append(failures, x.Err)
		}
	}
	if lost := a.lostErr(); lost != nil && failures != nil {
		return lost // which the others fail of
	}
	return errors.Join(failures...)
}

// present returns why the hold is of no use.
func (a *HeldAll) present() error {
	if a == nil || a.c == nil {
		return errNeverHeld
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.mu.err != nil:
		return a.mu.err
	case a.mu.ended:
		return fmt.Errorf("%w: %d locks", ErrUnlocked, len(a.tokens))
	}
	return nil
}

// tokenOf returns the token of one of the names that a hold has.
func (x *Call) tokenOf(name string) uint64 {
	token := x.Token
	x.Wants.Each(func(i int, w wire.Want) bool {
		if string(w.Name) != name {
			return true
		}
		token = x.Token + uint64(i)
		return false
	})
	return token
}

// neverHeld is a context that ended before it began.
func neverHeld() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errNeverHeld)
	return ctx
}

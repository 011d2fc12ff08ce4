package client

import (
	"context"
	"fmt"
	"time"

	"lockd/netio/wire"
)

// Convert turns the hold into another mode, in place: nobody is let in between who
// would not agree with both. To a mode that is no stronger it is converted at once.
// For a stronger one, Shared to Exclusive first of all, it waits until all others
// who hold the lock agree, before all who hold nothing, and keeps the old mode until
// then; granted, it has a new, larger token. Between Shared and ConcurrentWrite,
// of which neither is the stronger, it is the same.
//
// If another waits for this hold, which is so for the second of two who hold Shared
// and ask for Exclusive, the error is a *DeadlockError, the hold is as it was, and
// one of the two must give back. When ctx ends, the conversion is cancelled, or
// undone, in the background. While Convert runs, and until that is done, the hold is
// to be used only for what both modes allow; Mode says what that is.
//
// All that an owner holds of the lock (LockOptions.Owner) changes together. A hold is
// converted once at a time: else ErrOtherMode. A detached hold is converted to
// modes only that are no stronger (ErrOptions), permits of a semaphore never
// (ErrOtherKind). If the hold was lost the error is a *LostError.
func (h *Held) Convert(ctx context.Context, mode Mode) error {
	return h.convert(ctx, mode, wire.FlagWait)
}

// ConvertOptions say how a conversion is asked for.
type ConvertOptions struct {
	// Detect says that whoever has the hold, its Owner or without one all of this
	// client that names none, gives nothing back while the call waits, as
	// LockOptions.Detect does: circles that lead through other locks too are found, and
	// told with a *DeadlockError. The hold is then as it was. Default false: only
	// conversions of this lock that wait for each other are.
	Detect bool
}

// ConvertWith is Convert with options.
func (h *Held) ConvertWith(ctx context.Context, mode Mode, opts ConvertOptions) error {
	flags := wire.FlagWait
	if opts.Detect {
		flags |= wire.FlagDetect
	}
	return h.convert(ctx, mode, flags)
}

// TryConvert is Convert that does not wait: it fails with a *HeldError if others
// hold the lock in modes that do not agree, or wait to convert theirs.
func (h *Held) TryConvert(ctx context.Context, mode Mode) error {
	return h.convert(ctx, mode, wire.FlagDetails)
}

func (h *Held) convert(ctx context.Context, mode Mode, flags wire.Flags) error {
	to, err := mode.wire()
	if err != nil {
		return err
	}
	if ctx.Err() != nil && h != nil {
		return fmt.Errorf("client: convert %q: %w", h.name, ended(ctx))
	}
	if err := h.present(); err != nil {
		return err
	}
	x := &Call{Kind: wire.KindConvert, Name: h.name, Mode: to, Flags: flags, Hold: &h.call}
	if flags&wire.FlagWait == 0 {
		x.Timeout = h.c.opts.RequestTimeout
	}
	err = h.c.call(ctx, x)
	if refused, ok := err.(*HeldError); ok && refused.Info != nil {
		refused.Info.date(time.Now())
	}
	return err
}

// Mode returns the mode of the hold, and while it is being converted the one to
// whose use it may be put whatever becomes of that.
func (h *Held) Mode() Mode {
	if h.c == nil {
		return Exclusive // never asked for
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return modeOf(h.call.Mode)
}

// Upgrade turns a hold to read into one to write, which it waits for, before all who
// hold nothing. If another reader waits for the same already, the error is a
// *DeadlockError: unlock, and lock anew. See Held.Convert, and Held.ConvertWith for circles
// through other locks.
func (m RWMutex) Upgrade(ctx context.Context, h *Held) error {
	return m.convert(h, func() error { return h.Convert(ctx, Exclusive) })
}

// TryUpgrade is Upgrade that does not wait: it succeeds for the only reader.
func (m RWMutex) TryUpgrade(ctx context.Context, h *Held) error {
	return m.convert(h, func() error { return h.TryConvert(ctx, Exclusive) })
}

// Downgrade turns a hold to write into one to read, and lets other readers in.
// Nobody writes between. See Held.Convert.
func (m RWMutex) Downgrade(ctx context.Context, h *Held) error {
	return m.convert(h, func() error { return h.Convert(ctx, Shared) })
}

func (m RWMutex) convert(h *Held, do func() error) error {
	if h == nil || h.c == nil {
		return errNeverHeld
	}
	if h.name != m.name || h.c != m.c {
		return fmt.Errorf("%w: a hold of %q is none of %q", ErrOptions, h.name, m.name)
	}
	return do()
}

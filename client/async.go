package client

import (
	"fmt"

	"lockd/netio/wire"
)

// LockAsync asks for a lock, in its turn, and returns at once. H is new, or was
// unlocked or lost before; it is the caller's, so that a caller with a fixed
// number of them allocates nothing. Then is called exactly once, with h, on a
// goroutine of the client, or before LockAsync returns if nothing was sent: it must not
// block, and may call LockAsync and UnlockAsync. There is no context, so nothing but
// Close ends the wait: who may want to give up calls Lock on a goroutine of his own.
//
// A goroutine that waits costs a switch per request. Callers with hundreds of
// requests in flight do better with this.
func (c *Client) LockAsync(h *Held, name string, opts LockOptions, then func(*Held, error)) {
	if opts.OnWait != nil {
		then(h, fmt.Errorf("%w: OnWait with LockAsync", ErrOptions))
		return
	}
	if err := h.prepare(c, name, opts, wire.FlagWait); err != nil {
		then(h, err)
		return
	}
	h.then = then
	c.startAsync(h)
}

// UnlockAsync gives a lock back and returns at once. Then is called exactly
// once, as for LockAsync; what its error can be Unlock says.
func (h *Held) UnlockAsync(then func(*Held, error)) {
	if err := h.release(); err != nil {
		then(h, err)
		return
	}
	h.then = then
	h.c.startAsync(h)
}

func (c *Client) startAsync(h *Held) {
	c.mu.Lock()
	c.mu.core.Start(&h.call)
	drained := c.mu.drained
	if drained {
		c.mu.core.ready.Done = c.mu.core.ready.Done[:0]
	} else {
		c.kick()
	}
	c.mu.Unlock()
	if drained {
		h.complete()
	}
}

// complete takes the outcome of an asynchronous call.
func (h *Held) complete() {
	err := h.call.Err
	if h.call.Kind.Acquires() {
		err = h.granted(err)
	} else {
		err = h.released(err)
	}
	h.then(h, err)
}

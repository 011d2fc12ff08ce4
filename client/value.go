package client

import (
	"bytes"
	"context"
	"fmt"

	"lockd/netio/wire"
)

// LockValue is the value of a lock: what those who hold it in turn leave for the next.
// It belongs to the name and outlives its holders. The zero LockValue is none.
type LockValue struct {
	Data []byte // 1 to 4096 bytes, or empty for none
	// Token is that of the hold that wrote it, at that moment; zero for none.
	Token uint64
	// Doubtful says that since it was written a hold which could have written it has
	// ended otherwise than by Unlock: it was lost, or ended by force. What that was
	// about to write nobody knows. The next write ends the doubt.
	Doubtful bool
}

func newLockValue(x *wire.LockValue) LockValue {
	return LockValue{Data: bytes.Clone(x.Data), Token: x.Token,
		Doubtful: x.Flags&wire.ValueDoubtful != 0}
}

// Value returns the value that the lock had when it was granted, if LockOptions.Value
// asked for it, or what SetValue of this Held has written since. The value cannot
// change meanwhile, as far as it depends on others, unless the mode lets them write
// it too, that is ConcurrentRead or Null; Get tells how it stands. The Data is a copy.
func (h *Held) Value() LockValue {
	if h.c == nil {
		return LockValue{} // never asked for
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	if h.call.Value == nil {
		return LockValue{}
	}
	v := *h.call.Value
	v.Data = bytes.Clone(v.Data)
	return v
}

// SetValue writes the value of the lock, which stands when it returns: whoever holds the
// lock next can read it, whatever becomes of this client and of a minority of the nodes
// that keep it. An empty one takes it away. It needs a hold in mode Exclusive or Update:
// else ErrNotWriter, and permits of a semaphore are ErrOtherKind. It fails with a
// *LostError if the hold is over, with ErrTooMuchData if there is no room for a longer
// value, and with ErrOptions beyond 4096 bytes; the value is then as it was. After any
// other error it may have been written or not.
//
// A value is small and for those who hold the lock: where work has come to, the
// version of what the lock guards. A name with a value stays in use, as a lock with
// modes, until the value is taken away.
func (h *Held) SetValue(ctx context.Context, value []byte) error {
	if len(value) > wire.MaxValueBytes {
		return fmt.Errorf("%w: value of %d bytes, limit %d", ErrOptions, len(value),
			wire.MaxValueBytes)
	}
	value = bytes.Clone(value)
	t := &wire.Terms{Fields: wire.TermValue, Value: value}
	return h.amended(ctx, t, func(token uint64) {
		v := &LockValue{Data: value, Token: token}
		if len(value) == 0 {
			v = nil
		}
		h.c.mu.Lock()
		defer h.c.mu.Unlock()
		h.call.Value = v
	})
}

// asksValue reports whether an Acquire asks for the value of the lock.
func (x *Call) asksValue() bool { return x.Kind.Acquires() && x.Flags&wire.FlagValue != 0 }

// takeValue takes the value out of the answer to an Acquire that was granted.
func (x *Call) takeValue(r *wire.Response) error {
	if !x.asksValue() || len(r.Payload) == 0 {
		return nil // a node that does not know of values
	}
	got, err := wire.DecodeLockValue(r.Payload)
	if err != nil {
		return err
	}
	if len(got.Data) > 0 {
		v := newLockValue(&got)
		x.Value = &v
	}
	return nil
}

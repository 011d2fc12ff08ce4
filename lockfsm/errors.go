package lockfsm

import (
	"errors"
	"fmt"
)

// ErrTooNew means that a batch or a record was written by a later version. It
// is not damage. Nothing was changed: the node must stop, and a newer binary
// carries on at the same slot.
var ErrTooNew = errors.New("lockfsm: format is newer than this binary")

// ErrMalformed means that a batch cannot be decoded. Apply has consumed its
// slot and changed nothing else, on every replica alike, so a replica may carry
// on; but no builder of this package writes such a batch, so the leader that
// proposed it is broken and the caller must report it.
var ErrMalformed = errors.New("lockfsm: malformed batch")

// ErrDamaged means that a record is not one that a machine wrote, or that the
// records loaded do not belong together. The machine must be thrown away.
var ErrDamaged = errors.New("lockfsm: damaged checkpoint")

// ErrLimits means that Limits contradict each other or are out of range.
var ErrLimits = errors.New("lockfsm: bad limits")

// BatchError says where a batch could not be decoded. It wraps ErrTooNew or
// ErrMalformed.
type BatchError struct {
	// Slot is the slot of the batch.
	Slot uint64
	// Offset is the byte at which decoding stopped.
	Offset int
	// Err is ErrTooNew or ErrMalformed.
	Err error
}

// Error names the slot and the offset.
func (e *BatchError) Error() string {
	return fmt.Sprintf("%v: slot %d, byte %d", e.Err, e.Slot, e.Offset)
}

// Unwrap returns the sentinel.
func (e *BatchError) Unwrap() error { return e.Err }

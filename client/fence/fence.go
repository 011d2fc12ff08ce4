package fence

import (
	"context"
	"errors"
	"fmt"
)

// MaxToken is the largest token a guard takes: what a signed column can keep. A
// cluster that grants a million locks a second gets there in 290,000 years.
const MaxToken uint64 = 1<<63 - 1

// Errors a caller can react to, by errors.Is.
var (
	// ErrStale: a larger token of the name was seen. Whoever gets it has lost the
	// lock, whatever he believes. See StaleError.
	ErrStale = errors.New("fence: stale token")
	// ErrToken: a token that no grant has: zero, or beyond MaxToken; or no name.
	ErrToken = errors.New("fence: no token of a grant")
	// ErrNotHeld: a Hold that says itself that it is over. Nothing was sent.
	ErrNotHeld = errors.New("fence: not held any more")
	// ErrOptions: options that contradict each other.
	ErrOptions = errors.New("fence: bad options")
)

// StaleError is a refused write. It matches ErrStale.
type StaleError struct {
	Name   string
	Token  uint64 // that was shown
	Newest uint64 // the largest seen of the name
}

// Is reports whether target is ErrStale.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// Error says what was refused.
func (e *StaleError) Error() string {
	return fmt.Sprintf("fence: token %d of %q is stale: %d was seen", e.Token, e.Name, e.Newest)
}

// Hold is what a writer shows: the name of a lock and the token of its grant. A
// *client.Held is one. One that has Valid() bool as well is asked before it is
// used.
type Hold interface {
	// Name is that of the lock, not empty.
	Name() string
	// Token is that of the grant, 1 to MaxToken.
	Token() uint64
}

// Grant is a Hold of plain values, for a writer who was told them.
type Grant struct {
	Lock  string
	Value uint64
}

// Name returns the name of the lock.
func (g Grant) Name() string { return g.Lock }

// Token returns the token of the grant.
func (g Grant) Token() uint64 { return g.Value }

// Store remembers the largest token of each name and lets writers in.
type Store interface {
	// Guard runs fn if token is not smaller than the largest seen of name, which
	// it raises, durably before fn runs if the store is durable. Otherwise the
	// error is a *StaleError. While fn runs nobody with a larger token is let
	// in. The context of fn is derived from ctx; it may end because one comes,
	// and fn must return then. The error of fn is returned as it is.
	Guard(ctx context.Context, name string, token uint64, fn func(ctx context.Context) error) error
}

// check refuses what no grant has.
func check(name string, token uint64) error {
	if name == "" || token == 0 || token > MaxToken {
		return fmt.Errorf("%w: token %d of %q", ErrToken, token, name)
	}
	return nil
}

// valid asks a Hold that can tell whether it is still one.
func valid(h Hold) error {
	if v, ok := h.(interface{ Valid() bool }); ok && !v.Valid() {
		return fmt.Errorf("%w: token %d of %q", ErrNotHeld, h.Token(), h.Name())
	}
	return nil
}

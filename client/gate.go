package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"lockd/netio/wire"
)

// GateKind is at which kind of name one waits and holds nothing, in what tells of names:
// zero at none of them, for it is a lock or a semaphore.
type GateKind uint8

// The kinds at which one waits.
const (
	GateLatch   GateKind = iota + 1 // see Latch
	GateEvent                       // see Event
	GateBarrier                     // see Barrier
)

// String returns the name of the kind, empty for zero.
func (k GateKind) String() string { return wire.GateKind(k).String() }

// Latch lets through when it has been counted down to zero. At zero it takes no
// room, and whoever waits comes through at once.
//
// A latch, an event and a barrier are names at which one waits and holds nothing:
// all who wait are let through together, at one moment. They live in the cluster
// without anybody, so a dead client takes nothing with it but itself. A name in use
// as one of them cannot be a lock, and the other way round: ErrOtherKind.
//
// What changes one of them (Set, CountDown, Reset) has its effect once, through lost
// conns and changes of leader. If ctx or RequestTimeout ends the call, it goes on in
// the background, as long as the client has its session there: do not repeat a
// CountDown then, for the first may count yet. If the session ends before the answer
// comes the error is ErrSessionEnded, and whether it counted is not known.
type Latch struct {
	c    *Client
	name string
}

// Latch returns a name as a latch. Nothing is sent.
func (c *Client) Latch(name string) Latch { return Latch{c: c, name: name} }

// GateOptions say how long a latch or an event stands.
type GateOptions struct {
	// TTL is after what time a latch breaks that has a count still, or an event is
	// set back, by the clock of the cluster, which stops while it has no leader. It is
	// rounded up to milliseconds and bounded like the time of detached holds. Default
	// 0, never.
	TTL time.Duration
}

// Set gives the latch its count, at least 1. It must be at zero: else the error is an
// *AlreadySetError with the count it has.
func (l Latch) Set(ctx context.Context, n int) error { return l.SetWith(ctx, n, GateOptions{}) }

// SetWith is Set with options.
func (l Latch) SetWith(ctx context.Context, n int, opts GateOptions) error {
	_, err := l.c.gate(ctx, Call{Kind: wire.KindSetGate, Gate: wire.GateLatch, Name: l.name,
		TTL: opts.TTL}, n)
	return err
}

// CountDown takes n from the count, at least 1, and returns what is left: zero also if
// n was more. At zero, where a latch stays, all who wait are let through. See Latch for
// what an error means.
func (l Latch) CountDown(ctx context.Context, n int) (left int, err error) {
	token, err := l.c.gate(ctx, Call{Kind: wire.KindCountDown, Gate: wire.GateLatch, Name: l.name}, n)
	return int(token), err
}

// Wait waits until the count is zero, as long as ctx allows. It returns ErrBroken if
// the latch was reset or ran out meanwhile. Whoever waits when it comes to zero is let
// through, even if the latch has been set again before he hears of it.
func (l Latch) Wait(ctx context.Context) error {
	_, err := l.c.gate(ctx, Call{Kind: wire.KindAwait, Flags: wire.FlagWait, Gate: wire.GateLatch,
		Name: l.name}, 0)
	return err
}

// Count returns what is left to count.
func (l Latch) Count(ctx context.Context) (int, error) {
	info, err := l.c.look(ctx, l.name, GateLatch)
	if err != nil || info == nil {
		return 0, err
	}
	return info.Number, nil
}

// Reset takes the count away. All who wait get ErrBroken.
func (l Latch) Reset(ctx context.Context) error {
	_, err := l.c.gate(ctx, Call{Kind: wire.KindResetGate, Gate: wire.GateLatch, Name: l.name}, 0)
	return err
}

// Event lets through while it is set. As long as nobody has set it, it takes no
// room. What is said of a Latch in general holds for it too.
type Event struct {
	c    *Client
	name string
}

// Event returns a name as an event. Nothing is sent.
func (c *Client) Event(name string) Event { return Event{c: c, name: name} }

// Set sets the event until it is reset: all who wait are let through, and all who
// come. If it is set, only the time it stands for is given anew.
func (e Event) Set(ctx context.Context) error { return e.SetWith(ctx, GateOptions{}) }

// SetWith is Set with options.
func (e Event) SetWith(ctx context.Context, opts GateOptions) error {
	_, err := e.c.gate(ctx, Call{Kind: wire.KindSetGate, Gate: wire.GateEvent, Name: e.name,
		TTL: opts.TTL}, 0)
	return err
}

// Reset sets the event back: who comes from now on waits.
func (e Event) Reset(ctx context.Context) error {
	_, err := e.c.gate(ctx, Call{Kind: wire.KindResetGate, Gate: wire.GateEvent, Name: e.name}, 0)
	return err
}

// Wait waits until the event is set, as long as ctx allows. Whoever waits when it is
// set is let through, even if it has been reset before he hears of it.
func (e Event) Wait(ctx context.Context) error {
	_, err := e.c.gate(ctx, Call{Kind: wire.KindAwait, Flags: wire.FlagWait, Gate: wire.GateEvent,
		Name: e.name}, 0)
	return err
}

// IsSet reports whether the event is set.
func (e Event) IsSet(ctx context.Context) (bool, error) {
	info, err := e.c.look(ctx, e.name, GateEvent)
	return info != nil && info.HolderCount > 0, err
}

// Barrier is where parties meet: it lets them through when as many have arrived as
// it wants, and is then shut again for the next round. What is said of a Latch in
// general holds for it too.
type Barrier struct {
	c       *Client
	name    string
	parties int
}

// Barrier returns a name as a barrier of so many parties, which all who use it at a
// time must say alike; else the error is a *KindError. Nothing is sent.
func (c *Client) Barrier(name string, parties int) Barrier {
	return Barrier{c: c, name: name, parties: parties}
}

// Wait arrives and waits until all parties have, as long as ctx allows. It returns
// the number of the round: the same for all of it, larger for each later one, not
// without gaps. A party whose ctx ends, or whose client dies, leaves, and the others
// wait for somebody else in its place; it may have arrived in that very moment, and
// then the round goes on without it. Reset gives ErrBroken to all who wait. If
// the session ends while one waits, ErrSessionEnded leaves open whether the round
// began.
func (b Barrier) Wait(ctx context.Context) (round uint64, err error) {
	if b.parties < 1 {
		return 0, fmt.Errorf("%w: barrier %q of %d parties", ErrOptions, b.name, b.parties)
	}
	return b.c.gate(ctx, Call{Kind: wire.KindAwait, Flags: wire.FlagWait, Gate: wire.GateBarrier,
		Name: b.name}, b.parties)
}

// Reset breaks the round that waits: all who wait get ErrBroken.
func (b Barrier) Reset(ctx context.Context) error {
	_, err := b.c.gate(ctx, Call{Kind: wire.KindResetGate, Gate: wire.GateBarrier, Name: b.name}, 0)
	return err
}

// gate makes a request at a gate and returns the token of its answer.
func (c *Client) gate(ctx context.Context, x Call, n int) (uint64, error) {
	c.must()
	needs := x.Kind == wire.KindCountDown || x.Kind == wire.KindSetGate && x.Gate == wire.GateLatch
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("client: %s %q: %w", x.Gate, x.Name, ended(ctx))
	case n < 0 || needs && n == 0 || uint64(n) > math.MaxUint32:
		return 0, fmt.Errorf("%w: a count of %d for %s %q", ErrOptions, n, x.Gate, x.Name)
	case x.TTL < 0 || x.TTL > longest:
		return 0, fmt.Errorf("%w: %s %q to stand for %s, must be 0 to %s", ErrOptions, x.Gate, x.Name,
			x.TTL, longest)
	}
	x.TTL = time.Duration(millisUp(x.TTL)) * time.Millisecond
	x.Count = uint32(n)
	if x.Flags&wire.FlagWait == 0 {
		x.Timeout = c.opts.RequestTimeout
	}
	y := &x
	if err := c.call(ctx, y); err != nil {
		return 0, err
	}
	return y.Response.Token, nil
}

// look asks for a gate, nil if there is nothing to tell of it.
func (c *Client) look(ctx context.Context, name string, k GateKind) (*LockInfo, error) {
	info, err := c.Get(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Gate != k:
		e := &KindError{Name: name, Capacity: uint64(info.Capacity), Wanted: useText(k, 0)}
		if info.Gate != 0 {
			e.Gate, e.Capacity = info.Gate, uint64(info.Number)
		}
		return nil, e
	}
	return info, nil
}

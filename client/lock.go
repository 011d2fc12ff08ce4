package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lockd/netio/wire"
)

// LockOptions say how a lock is asked for. The zero value asks for the
// exclusive mode with the ordinary weight.
type LockOptions struct {
	// Mode is the mode of the hold. Default Exclusive.
	Mode Mode
	// Weight lets the request pass others in the queue: those of less weight who came
	// less than the difference times cluster.limits.age_step (1 s) before it. So
	// nobody is passed for ever. Default 0.
	Weight uint8
	// Owner makes the lock re-entrant for whoever goes by this number within this
	// client: the process, a goroutine, a job. While an owner holds the lock it
	// gets it again at once, with the same token, ahead of all who wait; each Held
	// is unlocked for itself, and the lock comes free with the last. An owner that
	// waits has one place, however many of its calls wait. All its calls must ask
	// for one mode: another is ErrOtherMode. Default 0, nobody.
	Owner uint64
	// OnWait, if not nil, is called while the call waits, on its own goroutine, with
	// what it waits for: once it does, and when its place or the first who is in the way
	// has become another, a few times a second at most. It must return soon, for the
	// lock may be granted meanwhile. Not with LockAsync. Needs nodes that know
	// watches; others say nothing. Default: nobody wants to know.
	OnWait func(WhyInfo)
	// Detect says of a call that waits that its owner gives nothing back meanwhile,
	// neither this lock nor another: it does one thing at a time, and what it unlocked
	// before has been confirmed. If it waits in a circle of owners who have all said
	// so, in this client or others, it fails with a *DeadlockError that tells the
	// circle, and holds what it held. Without Owner it speaks for all that this client
	// holds without one: so a program that locks from several goroutines gives each an
	// Owner. A circle of names that all belong to one group of the cluster is refused
	// at once. Any other is looked for when the call has waited for 50 ms, and again
	// later; of those in it the one of least Weight fails, of equal ones one by lot, and
	// the others go on. LockAll and Convert can say the same: see LockAllOptions and
	// ConvertOptions. Of no effect on a try. Default false.
	Detect bool
	// Payload is for others to read while the lock is held: see Holder.Payload. It
	// is copied. At most 4 KiB. Only an owner's first call brings it. Default none.
	Payload []byte
	// Labels are short notes of the same kind, such as a run or a host, which
	// refused tries and lists show: text in UTF-8, at most 8, keys of 1 to 63 bytes,
	// values of up to 127, 512 bytes in all. Default none.
	Labels map[string]string
	// MaxHold is how long after its grant the hold ends by itself, although the client
	// lives: so that nobody keeps others waiting by what never ends. SafeUntil, Lost
	// and Context go by it, and the LostError matches ErrMaxHold. It counts from the
	// grant, however long that was waited for, and from the first of an Owner, all of
	// whose calls must say the same (another is ErrOtherMode); a conversion does not
	// begin it anew, and a LockDelay follows it. The nodes end it a little later than
	// the client, which counts from before it asked and less Drift and Margin, which is a
	// tenth of MaxHold at most. Within the cluster's hold_min and hold_max, 100 ms to
	// 24 h. Default 0, none.
	MaxHold time.Duration
	// MinHold is how long after its grant the lock stays taken at least, although it
	// is given back earlier: so what one of many has done is not done again at once
	// by the next. At most the cluster's hold_max, 24 h. Default 0, not at all.
	MinHold time.Duration
	// LockDelay is for how long the lock stays taken if it is lost, with the session
	// or a detached hold's time, and not given back: so what the old holder has
	// under way ends before the next begins, where what the lock guards knows no
	// tokens. Meanwhile those get the lock who could have held it beside. At most
	// hold_max. Default 0.
	LockDelay time.Duration
	// Value says that the grant is to bring the value of the lock: see Held.Value. Not
	// of a semaphore, which has none. Default false, not at all.
	Value bool
}

// Held is one hold of one lock. It may be passed between goroutines and used by
// several. It ends by Unlock, or by being lost.
type Held struct {
	c    *Client
	call Call // belongs to the Core while that works on it
	name string
	then func(*Held, error) // of the asynchronous calls
	all  *HeldAll           // of which it is the locks of one group, else nil

	mu struct {
		sync.Mutex
		// amends has room for the amend that is under way, nil before the first.
		amends chan struct{}
		use    uint64 // locks that this Held has been asked for
		state  heldState
		err    error // why it was lost
		lost   chan struct{}
		ctx    context.Context
		cancel context.CancelCauseFunc
	}
}

type heldState uint8

const (
	heldNew heldState = iota
	heldAsked
	heldGranted
	heldReleasing
	heldLost
	heldReleased
)

// Lock waits until it holds the lock in exclusive mode. It waits as long as ctx
// allows, through lost conns and changes of leaders, and keeps its place in the
// queue as long as the client's session lives. When ctx ends the error matches
// both ctx.Err and context.Cause, and the request is cancelled in the background:
// should it have been granted meanwhile, the lock is released.
//
// It waits for whoever holds the lock, be it this client or this goroutine: who is to
// get again what he holds says who he is, with LockOptions.Owner.
func (c *Client) Lock(ctx context.Context, name string) (*Held, error) {
	return c.LockWith(ctx, name, LockOptions{})
}

// LockWith is Lock with options.
func (c *Client) LockWith(ctx context.Context, name string, opts LockOptions) (*Held, error) {
	return c.acquire(ctx, name, opts, wire.FlagWait)
}

// TryLock takes the lock in exclusive mode if it is free and nobody waits for
// it. Otherwise the error is a *HeldError, which matches ErrHeld and prints who
// is in the way.
func (c *Client) TryLock(ctx context.Context, name string) (*Held, error) {
	return c.TryLockWith(ctx, name, LockOptions{})
}

// TryLockWith is TryLock with options.
func (c *Client) TryLockWith(ctx context.Context, name string, opts LockOptions) (*Held, error) {
	return c.acquire(ctx, name, opts, wire.FlagDetails)
}

func (c *Client) acquire(ctx context.Context, name string, opts LockOptions,
	flags wire.Flags) (*Held, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: lock %q: %w", name, ended(ctx))
	}
	h := &Held{}
	if err := h.prepare(c, name, opts, flags); err != nil {
		return nil, err
	}
	if err := h.granted(c.ask(ctx, &h.call, opts)); err != nil {
		return nil, err
	}
	return h, nil
}

// ask runs the call of a lock.
func (c *Client) ask(ctx context.Context, x *Call, opts LockOptions) error {
	if opts.OnWait == nil || x.Flags&wire.FlagWait == 0 {
		return c.call(ctx, x)
	}
	x.Place, x.told = &Place{}, make(chan struct{}, 1)
	return c.callTold(ctx, x, func() { c.tellPlace(x, opts.OnWait) })
}

// prepare makes h ready to be asked for.
func (h *Held) prepare(c *Client, name string, opts LockOptions, flags wire.Flags) error {
	c.must()
	mode, err := opts.Mode.wire()
	if err != nil {
		return err
	}
	if opts.Detect && flags&wire.FlagWait != 0 {
		flags |= wire.FlagDetect
	}
	if opts.Value {
		flags |= wire.FlagValue
	}
	terms, err := opts.terms()
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.mu.state {
	case heldNew, heldLost, heldReleased:
	default:
		return fmt.Errorf("%w: this Held is in use for %q", ErrOptions, h.name)
	}
	x := &h.call
	if old := h.c; old != nil {
		old.mu.Lock() // what is open of the last hold, such as a Convert, looks at the Call
		defer old.mu.Unlock()
		if old != c {
			old.mu.core.disown(x)
		}
	}
	h.c, h.name = c, name
	h.mu.state, h.mu.err = heldAsked, nil
	h.mu.lost, h.mu.ctx, h.mu.cancel = nil, nil, nil
	h.mu.use++
	x.Use = h.mu.use
	x.Kind, x.Flags, x.Name, x.Mode, x.Weight = wire.KindAcquire, flags, name, mode, opts.Weight
	x.Owner, x.Permits, x.Capacity, x.Terms = opts.Owner, 0, 0, terms
	if opts.Owner != 0 {
		x.Kind = wire.KindEnter
	}
	x.TTL, x.Timeout, x.Session = 0, 0, 0
	if x.held == nil { // else a loop may be reading it, which tells of an earlier lock
		x.held = h
	}
	x.Place, x.told = nil, nil
	if flags&wire.FlagWait == 0 {
		x.Timeout = c.opts.RequestTimeout
	}
	return nil
}

// granted takes the outcome of the Acquire. A hold may be lost between its
// grant and this moment: then it is lost, not granted.
func (h *Held) granted(err error) error {
	if err != nil {
		return h.refused(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.state == heldLost {
		return h.mu.err
	}
	h.mu.state = heldGranted
	return nil
}

// refused takes the error of an Acquire, and ends the context with it that somebody may
// have asked for meanwhile.
func (h *Held) refused(err error) error {
	h.mu.Lock()
	h.mu.state = heldNew
	cancel := h.mu.cancel
	h.mu.Unlock()
	if cancel != nil {
		cancel(err) // what waits for that may ask about the hold
	}
	var refused *HeldError
	if errors.As(err, &refused) && refused.Info != nil {
		refused.Info.date(time.Now())
	}
	return err
}

// lose marks the hold lost and tells everybody who watches it.
func (h *Held) lose(use uint64, err error) {
	h.mu.Lock()
	if h.mu.use != use || h.mu.state == heldLost {
		h.mu.Unlock()
		return // of an earlier lock, or Unlock has found it out first
	}
	cancel := h.setLost(err)
	h.mu.Unlock()
	if h.all != nil {
		h.all.lose(err)
	}
	if cancel != nil {
		cancel(err)
	}
}

// setLost marks the hold lost and closes Lost. It returns what ends its context.
// Requires: h.mu is held, and the hold is not lost yet.
func (h *Held) setLost(err error) context.CancelCauseFunc {
	h.mu.state, h.mu.err = heldLost, err
	if h.mu.lost != nil {
		close(h.mu.lost)
	}
	return h.mu.cancel
}

// present returns why the hold is of no use: it was lost, given back or never there.
func (h *Held) present() error {
	if h == nil {
		return errNeverHeld
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.standing()
}

// standing is present for who holds h.mu.
func (h *Held) standing() error {
	switch {
	case h.mu.state == heldGranted:
		return nil
	case h.mu.state == heldLost:
		return h.mu.err
	case h.c == nil:
		return errNeverHeld
	default:
		return fmt.Errorf("%w: lock %q", ErrUnlocked, h.name)
	}
}

// Name returns the name of the lock.
func (h *Held) Name() string { return h.name }

// Token returns the fencing token of the grant. Every later grant of this lock,
// by any path, has a larger one. Give it to what the lock guards, and ask for it
// again after Convert: a hold that has become stronger has a new one.
func (h *Held) Token() uint64 {
	if h.c == nil {
		return 0 // never asked for
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return h.call.Token
}

// Session returns the id of the session that holds the lock, or the number of the
// owner of a detached hold; it is what Holder.Session shows. Each group of a cluster
// numbers its own sessions.
func (h *Held) Session() uint64 {
	if h.c == nil {
		return 0 // never asked for
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return h.call.Session
}

// Lost returns a channel that is closed when the hold ends unasked: before
// anybody else can be granted the lock, as far as this process gets to run. It
// is not closed by Unlock, but by one that finds the hold lost.
func (h *Held) Lost() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.lost == nil {
		h.mu.lost = make(chan struct{})
		if h.mu.state == heldLost {
			close(h.mu.lost)
		}
	}
	return h.mu.lost
}

// Context returns a context that ends with the hold. If the hold was lost, its
// cause is a *LostError; after Unlock, and of what was never asked for, it is ErrUnlocked.
// Of a LockAsync that fails it is the error of that, or ErrUnlocked if it was asked for
// after.
func (h *Held) Context() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.ctx == nil {
		h.mu.ctx, h.mu.cancel = context.WithCancelCause(context.Background())
		switch h.mu.state {
		case heldNew:
			h.mu.cancel(errNeverHeld)
		case heldLost:
			h.mu.cancel(h.mu.err)
		case heldReleasing, heldReleased:
			h.mu.cancel(ErrUnlocked)
		}
	}
	return h.mu.ctx
}

// SafeUntil returns until when nobody else can be granted the lock, by what is
// known now; renewals move it on. The zero time if it is not held any more.
//
// It is worked out on a clock that counts while the machine is suspended, as far as the
// system has one. The clock by which Go compares a Time and the present does not: so
// ask again, or ask Valid, rather than keep what this has returned.
func (h *Held) SafeUntil() time.Time {
	until := h.validUntil()
	if until == 0 {
		return time.Time{}
	}
	return h.c.moment(until)
}

// MaxUntil returns when the hold ends although it is renewed, because it was asked for
// with a MaxHold (LockOptions): SafeUntil is never later. The zero time if it has no
// max hold, or is not held any more.
func (h *Held) MaxUntil() time.Time {
	until := h.known((*Core).cappedUntil)
	if until == 0 {
		return time.Time{}
	}
	return h.c.moment(until)
}

// moment is an Instant as people count.
func (c *Client) moment(t Instant) time.Time { return time.Now().Add(t.Sub(c.clock())) }

// Valid reports whether the lock is certainly still held at this moment. It
// looks at the clock, and so is right even when this process was stopped for a
// while and nothing has had time to tell that the hold is lost.
func (h *Held) Valid() bool {
	until := h.validUntil()
	return until != 0 && h.c.clock() < until
}

func (h *Held) validUntil() Instant { return h.known((*Core).ValidUntil) }

// known asks the Core for a moment of a hold that is held, zero if it is not.
func (h *Held) known(of func(*Core, *Call) Instant) Instant {
	h.mu.Lock()
	granted := h.mu.state == heldGranted
	h.mu.Unlock()
	if !granted {
		return 0
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return of(h.c.mu.core, &h.call)
}

// Unlock gives the lock back and returns when the nodes have confirmed it. From
// the moment it is called the lock counts as not held. A context that has ended
// already does not prevent it: then only RequestTimeout bounds the call. When it
// ends without an answer, ErrUnavailable or the error of ctx, the release goes
// on in the background. If the hold was lost before, the error is a *LostError;
// on a second call it is ErrUnlocked.
func (h *Held) Unlock(ctx context.Context) error {
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	if err := h.release(); err != nil {
		return err
	}
	return h.released(h.c.call(ctx, &h.call))
}

// release turns the Call into a Release.
func (h *Held) release() error {
	if h == nil {
		return errNeverHeld
	}
	h.mu.Lock()
	if err := h.standing(); err != nil {
		h.mu.Unlock()
		return err
	}
	h.mu.state = heldReleasing
	h.call.Kind, h.call.Timeout = wire.KindRelease, h.c.opts.RequestTimeout
	if h.call.Owner != 0 {
		h.call.Kind = wire.KindLeave
	}
	if h.call.Wants != nil {
		h.call.Kind = wire.KindReleaseAll
	}
	cancel := h.mu.cancel
	h.mu.Unlock()
	if cancel != nil {
		cancel(ErrUnlocked)
	}
	return nil
}

func (h *Held) released(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.mu.state == heldLost: // and whoever watches was told while this was under way
		return h.mu.err
	case errors.Is(err, ErrLost):
		h.setLost(err) // the context has ended already
		return err
	}
	h.mu.state = heldReleased
	return err
}

// Do runs fn while it holds the lock. The context fn gets ends when ctx does
// and when the hold is lost; fn must return then, since the lock is given back
// only after it. The error is that of fn, of the lock, or of the unlock, joined.
func (c *Client) Do(ctx context.Context, name string,
	fn func(ctx context.Context, h *Held) error) error {
	return c.DoWith(ctx, name, LockOptions{}, fn)
}

// DoWith is Do with options.
func (c *Client) DoWith(ctx context.Context, name string, opts LockOptions,
	fn func(ctx context.Context, h *Held) error) error {
	h, err := c.LockWith(ctx, name, opts)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(ctx)
	watched := h.Context()
	unhook := context.AfterFunc(watched, func() { cancel(context.Cause(watched)) })
	done := false
	defer func() {
		unhook()
		cancel(nil)
		if !done { // fn panics
			_ = h.Unlock(context.WithoutCancel(ctx))
		}
	}()
	err = fn(inner, h)
	done = true
	return errors.Join(err, h.Unlock(context.WithoutCancel(ctx)))
}

// RWMutex is a lock that many may hold to read or one to write. Readers who
// come after a waiting writer wait behind it. Who reads and would write calls Upgrade:
// Lock would wait for its own hold to read.
type RWMutex struct {
	c    *Client
	name string
}

// RWMutex returns the read-write view of a lock. Nothing is sent.
func (c *Client) RWMutex(name string) RWMutex { return RWMutex{c: c, name: name} }

// RLock waits for a hold to read. See Client.Lock.
func (m RWMutex) RLock(ctx context.Context) (*Held, error) {
	return m.c.LockWith(ctx, m.name, LockOptions{Mode: Shared})
}

// Lock waits for a hold to write. See Client.Lock.
func (m RWMutex) Lock(ctx context.Context) (*Held, error) {
	return m.c.LockWith(ctx, m.name, LockOptions{Mode: Exclusive})
}

// TryRLock tries a hold to read. See Client.TryLock.
func (m RWMutex) TryRLock(ctx context.Context) (*Held, error) {
	return m.c.TryLockWith(ctx, m.name, LockOptions{Mode: Shared})
}

// TryLock tries a hold to write. See Client.TryLock.
func (m RWMutex) TryLock(ctx context.Context) (*Held, error) {
	return m.c.TryLockWith(ctx, m.name, LockOptions{Mode: Exclusive})
}

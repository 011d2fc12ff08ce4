package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"lockd/netio/wire"
)

// MaxLockAll is how many names one LockAll may ask for.
const MaxLockAll = 64

// Want is one of several locks to be held at once.
type Want struct {
	Name string
	Mode Mode // default Exclusive
}

// LockAll waits until it holds all of the locks in exclusive mode; their order does
// not matter. See LockAllWith.
func (c *Client) LockAll(ctx context.Context, names ...string) (*HeldAll, error) {
	return c.LockAllWith(ctx, exclusive(names), LockAllOptions{})
}

// LockAllOptions say how several locks are asked for. The zero value asks with the
// ordinary weight. Of LockOptions it lacks what several locks have not together: the
// Mode, which each Want has for itself; an Owner who enters again; and the Value, which
// Client.Get reads.
type LockAllOptions struct {
	// Weight is that of LockOptions, for all of the locks. Default 0.
	Weight uint8
	// Owner is who asks, by the numbers of LockOptions.Owner: where Detect looks for
	// circles, of this call or of another, it is this owner who waits with the call and
	// who has what it grants. It makes nothing re-entrant. What the owner holds already
	// is in the way of the call, and what the call holds is in the way of the owner's own
	// Lock, as if somebody else asked; with Detect either is told at once, as a circle of
	// one. Default 0, all of this client that names no owner.
	Owner uint64
	// Detect says that the Owner gives nothing back while the call waits, or without one
	// this client of what it holds without an owner, as LockOptions.Detect does. Calls
	// that hold nothing else never wait for each other in a circle; those may that hold
	// other locks, or wait for locks of several groups while others, who want those that
	// it has already, do not ask in the same order. If this call is told of a circle it
	// fails with a *DeadlockError and holds none of its locks; what was held before is
	// left as it was. Of names that belong to one group those are looked at that come
	// first by their bytes, 32 of them at which something is in the way. Default false.
	Detect bool
	// OnWait is that of LockOptions. It is told of the lock at which the call is stopped,
	// which LockInfo.Name says, of those of the group that is being asked: the first by
	// name whose turn has not come.
	OnWait func(WhyInfo)
	// Payload and Labels are those of LockOptions, on each of the locks, for each of which
	// they count against the cluster's room for data.
	Payload []byte
	Labels  map[string]string
	// MaxHold is that of LockOptions, for each lock from its own grant. Those of one group
	// end together; if some end while the call still waits for another group, it fails
	// with a *LostError that matches ErrMaxHold. See HeldAll.MaxUntil. Default 0, none.
	MaxHold time.Duration
	// MinHold and LockDelay are those of LockOptions, for each lock. What an earlier group
	// granted to a call that fails later was held too: with a MinHold it stays taken.
	// Default 0, not at all.
	MinHold   time.Duration
	LockDelay time.Duration
}

// one are the options as those of a single lock.
func (o *LockAllOptions) one() LockOptions {
	return LockOptions{Weight: o.Weight, Detect: o.Detect, OnWait: o.OnWait, Payload: o.Payload,
		Labels: o.Labels, MaxHold: o.MaxHold, MinHold: o.MinHold, LockDelay: o.LockDelay}
}

// LockAllWith waits until it holds all of the locks, each in its mode: 1 to
// MaxLockAll different names. Those that belong to one group of the cluster are
// granted together or not at all: while it waits for one of them it holds none of
// them, and who gets along with what it waits for passes it. The groups are asked
// one after the other, in an order that is the same for all clients, so calls that
// hold nothing else when they ask never wait for each other in a circle. When one
// fails, what earlier groups granted is given back. What is said of Lock about
// ctx, lost conns and leaders holds here too.
func (c *Client) LockAllWith(ctx context.Context, wants []Want, opts LockAllOptions) (*HeldAll,
	error) {
	return c.acquireAll(ctx, wants, opts, wire.FlagWait)
}

// TryLockAll takes all of the locks in exclusive mode if nobody is in the way of
// any. Otherwise it holds none, and the error is a *HeldError about one that is
// held, or that others wait for.
func (c *Client) TryLockAll(ctx context.Context, names ...string) (*HeldAll, error) {
	return c.TryLockAllWith(ctx, exclusive(names), LockAllOptions{})
}

// TryLockAllWith is TryLockAll with a mode for each lock, and options, of which those
// about waiting have no effect.
func (c *Client) TryLockAllWith(ctx context.Context, wants []Want, opts LockAllOptions) (*HeldAll,
	error) {
	return c.acquireAll(ctx, wants, opts, wire.FlagDetails)
}

func exclusive(names []string) []Want {
	wants := make([]Want, len(names))
	for i, name := range names {
		wants[i].Name = name
	}
	return wants
}

// HeldAll is a hold of several locks. It may be passed between goroutines and used
// by several. It ends by Unlock, or as soon as one of its locks is lost: the others
// are then still to be given back by Unlock.
type HeldAll struct {
	c *Client
	// parts are the holds of each group, in the order in which they were asked
	// for; tokens are those of all names, by name.
	parts  []*Held
	tokens []NameToken
	lost   chan struct{}
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu struct {
		sync.Mutex
		ended bool  // by Unlock, or lost
		err   error // why it was lost
	}
}

// acquireAll asks group by group.
func (c *Client) acquireAll(ctx context.Context, wants []Want, opts LockAllOptions,
	flags wire.Flags) (*HeldAll, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: lock %d names: %w", len(wants), ended(ctx))
	}
	groups, err := c.split(wants)
	if err != nil {
		return nil, err
	}
	a := &HeldAll{c: c}
	a.lost = make(chan struct{})
	a.ctx, a.cancel = context.WithCancelCause(context.Background())
	// Nobody waits on for one group when what another has granted is lost.
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(a.ctx, func() { stop(context.Cause(a.ctx)) })()
	asked := false
	defer func() {
		if !asked { // OnWait panics
			a.end()
			stop(nil)
			_ = a.giveBack(asking, nil)
		}
	}()
	for _, in := range groups {
		h := &Held{all: a}
		if err = h.prepareAll(c, in, opts, flags); err == nil {
			err = h.granted(c.ask(asking, &h.call, opts.one()))
		}
		if err != nil {
			break
		}
		a.parts = append(a.parts, h)
		for i, w := range in {
			a.tokens = append(a.tokens, NameToken{Name: w.Name, Token: h.Token() + uint64(i)})
		}
	}
	asked = true
	if lost := a.lostErr(); lost != nil && (err == nil || ctx.Err() == nil) {
		err = lost // which ended the wait for the others
	}
	if err != nil {
		a.end()
		_ = a.giveBack(ctx, nil) // goes on in the background when ctx ends
		return nil, err
	}
	slices.SortFunc(a.tokens, func(x, y NameToken) int { return cmp.Compare(x.Name, y.Name) })
	return a, nil
}

// split sorts wants by group and name. It fails with ErrOptions and as a name can.
func (c *Client) split(wants []Want) ([][]Want, error) {
	if len(wants) == 0 || len(wants) > MaxLockAll {
		return nil, fmt.Errorf("%w: %d names, must be 1 to %d", ErrOptions, len(wants), MaxLockAll)
	}
	c.mu.Lock()
	limits, groups := c.mu.core.limits, c.mu.core.Groups()
	c.mu.Unlock()
	if groups == 0 {
		return nil, fmt.Errorf("%w: no node has answered yet", ErrUnavailable)
	}
	all := slices.Clone(wants)
	groupOf := func(w Want) uint16 { return wire.GroupOf("", w.Name, uint16(groups)) }
	slices.SortFunc(all, func(x, y Want) int {
		return cmp.Or(cmp.Compare(groupOf(x), groupOf(y)), cmp.Compare(x.Name, y.Name))
	})
	var in [][]Want
	for i, w := range all {
		if err := checkName(w.Name, &limits); err != nil {
			return nil, err
		}
		switch {
		case i > 0 && w.Name == all[i-1].Name:
			return nil, fmt.Errorf("%w: %q is asked for twice", ErrOptions, w.Name)
		case i > 0 && groupOf(w) == groupOf(all[i-1]):
			in[len(in)-1] = append(in[len(in)-1], w)
		default:
			in = append(in, []Want{w})
		}
	}
	return in, nil
}

// prepareAll makes h ready to be asked for, for several names of one group.
func (h *Held) prepareAll(c *Client, wants []Want, opts LockAllOptions, flags wire.Flags) error {
	if err := h.prepare(c, wants[0].Name, opts.one(), flags); err != nil {
		return err
	}
	for _, w := range wants {
		mode, err := w.Mode.wire()
		if err != nil {
			return err
		}
		h.call.Wants = h.call.Wants.Append(wire.Want{Mode: mode, Name: []byte(w.Name)})
	}
	h.call.Kind, h.call.For = wire.KindAcquireAll, opts.Owner
	return nil
}

// lose marks all lost, because one is.
func (a *HeldAll) lose(err error) {
	a.mu.Lock()
	if a.mu.ended {
		a.mu.Unlock()
		return
	}
	a.mu.ended, a.mu.err = true, err
	close(a.lost)
	a.mu.Unlock()
	a.cancel(err) // what waits for that may ask about the locks
}

func (a *HeldAll) lostErr() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.err
}

// Tokens returns the names, in order, with the fencing token of each. See
// Held.Token.
func (a *HeldAll) Tokens() []NameToken { return slices.Clone(a.tokens) }

// Token returns the fencing token of one of the names, zero if it is none of them.
func (a *HeldAll) Token(name string) uint64 {
	i, found := slices.BinarySearchFunc(a.tokens, name, func(t NameToken, name string) int {
		return cmp.Compare(t.Name, name)
	})
	if !found {
		return 0
	}
	return a.tokens[i].Token
}

// Lost returns a channel that is closed when one of the locks is lost. See
// Held.Lost.
func (a *HeldAll) Lost() <-chan struct{} { return a.lost }

// Context returns a context that ends with the hold. If a lock was lost, its cause
// is a *LostError; after Unlock, and of a zero HeldAll, it is ErrUnlocked.
func (a *HeldAll) Context() context.Context {
	if a.ctx == nil {
		return neverHeld()
	}
	return a.ctx
}

// SafeUntil returns until when nobody else can be granted any of the locks, by what
// is known now. The zero time if they are not all held any more.
func (a *HeldAll) SafeUntil() time.Time {
	until, ok := a.validUntil()
	if !ok {
		return time.Time{}
	}
	return a.c.moment(until)
}

// MaxUntil returns when the first of the locks ends although it is renewed, because they
// were asked for with a MaxHold: SafeUntil is never later. The zero time if they have no
// max hold, or are not all held any more.
func (a *HeldAll) MaxUntil() time.Time {
	if _, ok := a.validUntil(); !ok {
		return time.Time{}
	}
	least := never
	for _, h := range a.parts {
		if until := h.known((*Core).cappedUntil); until != 0 {
			least = min(least, until)
		}
	}
	if least == never {
		return time.Time{}
	}
	return a.c.moment(least)
}

// Valid reports whether all of the locks are certainly still held. See Held.Valid.
func (a *HeldAll) Valid() bool {
	until, ok := a.validUntil()
	return ok && a.c.clock() < until
}

// validUntil is the least of all parts.
func (a *HeldAll) validUntil() (Instant, bool) {
	a.mu.Lock()
	ended := a.mu.ended
	a.mu.Unlock()
	least := never
	for _, h := range a.parts {
		until := h.validUntil()
		if ended || until == 0 {
			return 0, false
		}
		least = min(least, until)
	}
	return least, len(a.parts) > 0
}

// Unlock gives all of the locks back, those of the group that was asked last first.
// See Held.Unlock. If one was lost before, the error is a *LostError, and the others
// are given back; on a second call it is ErrUnlocked.
func (a *HeldAll) Unlock(ctx context.Context) error {
	if a == nil || a.c == nil {
		return errNeverHeld
	}
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	again, err := a.end()
	if again {
		return fmt.Errorf("%w: %d locks", ErrUnlocked, len(a.tokens))
	}
	return a.giveBack(ctx, err)
}

// end marks all as given back. It returns whether they were before, and why one was
// lost if so.
func (a *HeldAll) end() (again bool, err error) {
	a.mu.Lock()
	again, err = a.mu.ended && a.mu.err == nil, a.mu.err
	a.mu.ended = true
	a.mu.Unlock()
	a.cancel(cmp.Or(err, ErrUnlocked))
	return again, err
}

// giveBack asks all groups at once, so that it takes no longer than one of them, and
// joins what went wrong with err. What is lost need not be said twice.
func (a *HeldAll) giveBack(ctx context.Context, err error) error {
	var asked []*Held
	add := func(one error) {
		if one != nil && (err == nil || !errors.Is(one, ErrLost) && !errors.Is(one, ErrUnlocked)) {
			err = errors.Join(err, one)
		}
	}
	for _, h := range slices.Backward(a.parts) {
		if one := h.release(); one != nil {
			add(one)
			continue
		}
		h.c.begin(&h.call)
		asked = append(asked, h)
	}
	for _, h := range asked {
		h.c.wait(ctx, &h.call)
		add(h.released(h.call.Err))
	}
	return err
}

// inTheWay names the lock for which a request was refused.
func (x *Call) inTheWay(r *wire.Response) string {
	if x.Kind != wire.KindAcquireAll {
		return x.Name
	}
	name := x.Name
	x.Wants.Each(func(i int, w wire.Want) bool {
		name = string(w.Name)
		return i < int(r.Position)
	})
	return name
}

// position is the place in the queue that a refusal tells, zero if it tells none.
func (x *Call) position(r *wire.Response) int {
	if x.Kind == wire.KindAcquireAll {
		return 0
	}
	return int(r.Position)
}

// appendSeveral writes an AcquireAll or a ReleaseAll.
func (x *Call) appendSeveral(dst []byte, h wire.Header, epoch uint32) []byte {
	if x.Kind == wire.KindReleaseAll {
		h.Flags = 0
		return wire.AppendReleaseAll(dst, h, &wire.ReleaseAll{Session: x.Session, Token: x.Token,
			Target: x.target, Epoch: epoch})
	}
	h.Flags &= wire.FlagWait | wire.FlagDetails | wire.FlagDetect
	all := wire.AcquireAll{Session: x.Session, Owner: x.For, Epoch: epoch, Weight: x.Weight,
		Wants: x.Wants}
	if x.Terms != nil {
		all.Terms = *x.Terms
	}
	return wire.AppendAcquireAll(dst, h, &all)
}

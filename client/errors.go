package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockd/netio/wire"
)

// Errors a caller can react to. All that the package returns match one of them,
// or the error of the caller's context, by errors.Is.
var (
	// ErrHeld: a try was refused because others hold the lock, or wait for it
	// ahead of the caller. See HeldError.
	ErrHeld = errors.New("client: lock is held")
	// ErrLost: the hold is over although nobody asked for that. What it guarded
	// must not be touched any more. See LostError.
	ErrLost = errors.New("client: lock is lost")
	// ErrUnavailable: no node gave a definite answer in time. What was asked for may
	// have happened, or happen yet: the call says what becomes of it. A lock that turns
	// out to have been granted is given back in the background.
	ErrUnavailable = errors.New("client: no answer in time")
	// ErrSessionEnded: the session a hold belonged to is over.
	ErrSessionEnded = errors.New("client: session ended")
	// ErrBusy: a bound was reached, here or at a node; nothing happened.
	ErrBusy = errors.New("client: busy")
	// ErrPermission: the nodes do not allow it. Kept for later: no node refuses that yet.
	ErrPermission = errors.New("client: permission denied")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("client: closed")
	// ErrUnlocked: this hold was given back before, or never granted.
	ErrUnlocked = errors.New("client: already unlocked")
	// ErrBadName: an empty name, or one with a zero byte.
	ErrBadName = errors.New("client: bad name")
	// ErrNameTooLong: a name over the limit of the cluster.
	ErrNameTooLong = errors.New("client: name too long")
	// ErrNotFound: the cluster knows nothing under this name.
	ErrNotFound = errors.New("client: not found")
	// ErrOptions: options that contradict each other or the cluster's limits. If it is
	// a time that the cluster does not take, see BoundError.
	ErrOptions = errors.New("client: bad options")
	// ErrProtocol: a node sent what makes no sense. Its conn is closed.
	ErrProtocol = errors.New("client: protocol broken")
	// ErrOtherKind: the name is in use as another kind of lock, or as a semaphore
	// of another capacity. See KindError.
	ErrOtherKind = errors.New("client: name is in use as another kind of lock")
	// ErrOtherMode: the owner holds the lock, or waits for it, in another mode,
	// and would wait for itself, or with another MaxHold; or the hold is being
	// converted already.
	ErrOtherMode = errors.New("client: owner has the lock in another mode, or with another max hold")
	// ErrNotWriter: the mode of the hold does not let it write the value of the lock: that
	// takes Exclusive or Update. Convert it, or ask for the lock in one of these.
	ErrNotWriter = errors.New("client: the mode of the hold does not write values")
	// ErrDeadlock: the request would have waited for somebody who waits for the
	// caller, and neither would ever have had his turn. Nothing changed: give back
	// what is held, or part of it, and ask again. See DeadlockError.
	ErrDeadlock = errors.New("client: deadlock")
	// ErrAlreadySet: the latch has a count already. See AlreadySetError.
	ErrAlreadySet = errors.New("client: latch has a count already")
	// ErrBroken: while the caller waited there, the latch was reset or ran out, or the
	// barrier was reset. What was waited for has not come.
	ErrBroken = errors.New("client: broken while waiting")
	// ErrUnsupported: a node of the cluster does not know what was asked for. All
	// nodes must be upgraded first; nothing happened.
	ErrUnsupported = errors.New("client: not supported by all nodes")
	// ErrTooMuchData: the group of the name has no room for the payload, labels, value
	// or other terms, until others who have some there give them back: the limit is
	// fixed at the cluster's birth. Nothing happened.
	ErrTooMuchData = errors.New("client: too much data")
	// ErrSessionFile: Options.SessionFile cannot be read or written, is of another
	// cluster, or a process that runs uses it.
	ErrSessionFile = errors.New("client: session file")
	// ErrMaxHold: the hold was as old as its LockOptions.MaxHold. Cause of a LostError.
	ErrMaxHold = errors.New("client: held for its max hold")
	// ErrForced: somebody else ended the hold by force: the cause of a LostError.
	ErrForced = errors.New("client: released by force")
	// ErrNoHistory: no node that answered keeps which holds ended.
	ErrNoHistory = errors.New("client: no node keeps a history")
	// ErrStaleToken: no present hold has the token. See StaleTokenError.
	ErrStaleToken = errors.New("client: no present hold has this token")
	// ErrRefused: a node does not talk to this client. The text says why.
	ErrRefused = errors.New("client: refused by node")
)

// errNoSuchHold is why a hold was lost of which the nodes say no more than that it is
// over.
var errNoSuchHold = errors.New("no hold has this token any more")

// ended returns why ctx has ended: its cause, which the caller may have chosen, and
// what every ended context says. It matches both. Requires: ctx has ended.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// errNeverHeld is what a hold says that was never granted.
var errNeverHeld = fmt.Errorf("%w: it was never held", ErrUnlocked)

// HeldError is a refused try. It matches ErrHeld and prints who is in the way.
type HeldError struct {
	Name     string
	Position int       // place the request would have got in the queue, or 0
	Token    uint64    // of the first holder
	Info     *LockInfo // nil if the node gave no details
}

// Is reports whether target is ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Error returns a text of one line, or of four if details are known.
func (e *HeldError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lock %q is held", e.Name)
	if e.Info == nil || len(e.Info.Holders) == 0 {
		if e.Token != 0 {
			fmt.Fprintf(&b, " (token %d)", e.Token)
		}
		return b.String()
	}
	if e.Info.Capacity > 0 {
		fmt.Fprintf(&b, ": %d of %d permits are taken", e.Info.Taken, e.Info.Capacity)
	}
	h := &e.Info.Holders[0]
	holder := plain(h.Client)
	if holder == "" {
		holder = fmt.Sprintf("session %d", h.Session)
	}
	if h.Detached {
		holder = "a detached hold, which lives by its lease"
	}
	if h.Kept {
		holder = "nobody any more: it stays taken for a while"
	}
	fmt.Fprintf(&b, "\n  holder : %s", holder)
	if more := e.Info.HolderCount - 1; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	if len(h.Labels) > 0 {
		fmt.Fprintf(&b, "  label %s", LabelText(h.Labels))
	}
	fmt.Fprintf(&b, "\n  mode   : %s   token: %d   since: %s (%s)   lease: %s left",
		kindText(h), h.Token, h.Since.UTC().Format(time.RFC3339),
		h.Held.Round(time.Second), h.LeaseLeft.Round(100*time.Millisecond))
	fmt.Fprintf(&b, "\n  queue  : %d waiting", e.Info.WaiterCount)
	if e.Position > 0 {
		fmt.Fprintf(&b, ", you would be %s", ordinal(e.Position))
	}
	return b.String()
}

// kindText says what a hold takes: a mode, or permits.
func kindText(h *Holder) string {
	if h.Permits > 0 {
		return fmt.Sprintf("%d permits", h.Permits)
	}
	return modeText(h.Mode)
}

// modeText names the three modes that people know and gives others their
// letters.
func modeText(m Mode) string {
	switch m {
	case Exclusive:
		return "exclusive"
	case Shared:
		return "shared"
	default:
		return m.String()
	}
}

// ordinal returns 1st, 2nd, 3rd, 4th …
func ordinal(n int) string {
	suffix := "th"
	if tens := n / 10 % 10; tens != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}

// BoundError says which time of a request, or of Options, the cluster does not take, and
// what it takes. It matches ErrOptions. Nothing happened.
type BoundError struct {
	Name        string        // of the lock; empty for Options.Lease
	What        string        // the time: an option, or "time to live"
	Value       time.Duration // as it was asked for
	Least, Most time.Duration // what the cluster takes; Most is zero if it does not say
	Setting     string        // of the cluster, that says so; or the client, which takes no other
	// remedy is what to do beside asking for a time within the bounds.
	remedy string
}

// Is reports whether target is ErrOptions.
func (e *BoundError) Is(target error) bool { return target == ErrOptions }

// Error says it in one line.
func (e *BoundError) Error() string {
	bounds := "a time that the cluster does not take"
	if e.Most > 0 {
		bounds = fmt.Sprintf("must be %s to %s", e.Least, e.Most)
	}
	of := ""
	if e.Name != "" {
		of = fmt.Sprintf(" for %q", e.Name)
	}
	return fmt.Sprintf("client: bad options: %s of %s%s, %s (%s)%s", e.What, e.Value, of, bounds,
		e.Setting, e.remedy)
}

// Bounds of a lease of any client, whatever the cluster takes.
const (
	leastLease = wire.MinLeaseMillis * time.Millisecond
	mostLease  = wire.MaxLeaseMillis * time.Millisecond
)

// leaseOutOfBounds is the error of a session lease that this client or the cluster
// does not take. l is nil as long as it is not known what the cluster does.
func leaseOutOfBounds(lease time.Duration, l *wire.Limits) error {
	const own = "the least and the most of any client"
	e := &BoundError{What: "Lease", Value: lease, Least: leastLease, Most: mostLease, Setting: own}
	shortest, longest := own, own
	if l != nil && millis(uint64(l.MinLeaseMillis)) >= e.Least {
		e.Least, shortest = millis(uint64(l.MinLeaseMillis)), "cluster.limits.lease_min"
	}
	if l != nil && millis(uint64(l.MaxLeaseMillis)) <= e.Most {
		e.Most, longest = millis(uint64(l.MaxLeaseMillis)), "cluster.limits.lease_max"
	}
	switch {
	case lease < e.Least:
		e.Setting = shortest
	case lease > e.Most:
		e.Setting = longest
	default:
		return nil
	}
	return e
}

// sayHeartbeat has the error of a lease that was said as a heartbeat name what was
// said, and what to do about it. Any other error it leaves alone.
func sayHeartbeat(err error, o *Options) error {
	var bound *BoundError
	if o.Heartbeat == 0 || !errors.As(err, &bound) {
		return err
	}
	e := *bound
	e.What = fmt.Sprintf("Lease (from Heartbeat %s, Misses %d)", o.Heartbeat, o.Misses)
	e.remedy = ": give a longer Heartbeat or more Misses"
	if e.Value > e.Most {
		e.remedy = ": give a shorter Heartbeat or fewer Misses"
	}
	return &e
}

// outOfBounds finds a time of a request that the cluster does not take. If the limits do
// not say, it is any time: the nodes have refused one.
func (x *Call) outOfBounds(l *wire.Limits) error {
	const least, most = "cluster.limits.hold_min", "cluster.limits.hold_max"
	check := func(what string, value time.Duration, min uint32) error {
		e := &BoundError{Name: x.Name, What: what, Value: value, Least: millis(uint64(min)),
			Most: millis(uint64(l.MaxHoldMillis)), Setting: most}
		switch {
		case value == 0, e.Most > 0 && value >= e.Least && value <= e.Most:
			return nil
		case e.Most == 0 && min == 0:
			e.Setting = least + ", " + most
		case value < e.Least:
			e.Setting = least
		}
		return e
	}
	if x.detached() || x.Kind == wire.KindSetGate {
		if err := check("time to live", x.TTL, l.MinHoldMillis); err != nil {
			return err
		}
	}
	if x.Terms == nil {
		return nil
	}
	if err := check("MaxHold", millis(uint64(x.Terms.MaxHoldMillis)), l.MinHoldMillis); err != nil {
		return err
	}
	if err := check("MinHold", millis(uint64(x.Terms.MinHoldMillis)), 0); err != nil {
		return err
	}
	return check("LockDelay", millis(uint64(x.Terms.DelayMillis)), 0)
}

// full is the error of a request for which a node or a group has no room. It says which
// bound that is and what can be done.
func full(x *Call, status wire.Status) error {
	var advice string
	switch {
	case status == wire.StatusBusy:
		advice = "the node, or the group, has as much to do as it takes on: try again later"
	case status == wire.StatusTooManySessions:
		advice = "the group takes no more (cluster.limits.sessions): share one Client in a process, " +
			"and close those that are not needed"
	case status == wire.StatusTooManyHolds:
		advice = "the client or the group has as many holds and waits as it may " +
			"(cluster.limits.claims_per_session, claims, locks and detached): give some of them back"
	case x.Kind == wire.KindWatch:
		advice = "the node tells no more watches: end some, or watch a prefix in place of many names"
	default:
		advice = "the queue of the lock is full (cluster.limits.waiters_per_lock): try again later"
	}
	return fmt.Errorf("%w: %s %q in group %d: %s: %s; nothing happened", ErrBusy, x.Kind, x.Name,
		x.Group, status, advice)
}

// tooMuchData is the error of a request for whose terms a group has no room.
func (c *Core) tooMuchData(x *Call) error {
	limit := "more than it may"
	if c.limits.DataBytes > 0 {
		limit = fmt.Sprintf("more than %d bytes", c.limits.DataBytes)
	}
	return fmt.Errorf("%w: %s %q: the payloads, labels and times of all holds and the values of all "+
		"locks of group %d would take %s (cluster.limits.data); give some of them back, or use less "+
		"of each", ErrTooMuchData, x.Kind, x.Name, x.Group, limit)
}

// KindError says what a name is in use as, so that it cannot be what was asked
// for until nobody holds it or waits for it. It matches ErrOtherKind.
type KindError struct {
	Name     string
	Capacity uint64 // of the semaphore in force, zero for a lock with modes
	// Gate says that it is a latch, an event or a barrier; Capacity is then what is
	// left of its count, or how many parties it wants.
	Gate GateKind
	// Wanted is what the name was to be used as, such as "a lock".
	Wanted string
}

// Is reports whether target is ErrOtherKind.
func (e *KindError) Is(target error) bool { return target == ErrOtherKind }

// Error says it in one line.
func (e *KindError) Error() string {
	text := fmt.Sprintf("%q is in use as %s", e.Name, useText(e.Gate, e.Capacity))
	if e.Wanted != "" {
		text += ", not as " + e.Wanted
	}
	return text
}

// useText says what a name is, or was to be, in use as. The number of a latch is not
// said if it is zero.
func useText(gate GateKind, number uint64) string {
	switch {
	case gate == GateLatch && number == 0:
		return "a latch"
	case gate == GateLatch:
		return fmt.Sprintf("a latch with a count of %d", number)
	case gate == GateBarrier && number == 0:
		return "a barrier"
	case gate == GateBarrier:
		return fmt.Sprintf("a barrier of %d parties", number)
	case gate != 0:
		return "an " + gate.String()
	case number == 0:
		return "a lock"
	default:
		return fmt.Sprintf("a semaphore of %d permits", number)
	}
}

// wanted says what a request wanted to use its name as.
func (x *Call) wanted() string {
	switch {
	case x.Gate == wire.GateBarrier:
		return useText(GateKind(x.Gate), uint64(x.Count))
	case x.Gate != 0:
		return useText(GateKind(x.Gate), 0)
	default:
		return useText(0, uint64(x.Capacity))
	}
}

// AlreadySetError says which count a latch has that was to be set. It matches
// ErrAlreadySet.
type AlreadySetError struct {
	Name  string
	Count uint64
}

// Is reports whether target is ErrAlreadySet.
func (e *AlreadySetError) Is(target error) bool { return target == ErrAlreadySet }

// Error says it in one line.
func (e *AlreadySetError) Error() string {
	return fmt.Sprintf("latch %q has a count of %d already", e.Name, e.Count)
}

// LostError says which hold ended and why. It matches ErrLost and its Cause,
// and is the cause of the context of the hold.
type LostError struct {
	Name  string
	Token uint64
	Cause error // ErrSessionEnded, ErrMaxHold, ErrForced, ErrClosed, or what the node said
}

// Is reports whether target is ErrLost.
func (e *LostError) Is(target error) bool { return target == ErrLost }

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Cause }

// Error names the lock, the token and the cause.
func (e *LostError) Error() string {
	return fmt.Sprintf("lock %q (token %d) is lost: %v", e.Name, e.Token, e.Cause)
}

// statusError turns a definite status that is not the one asked for into an
// error that says what was refused.
func (c *Core) statusError(x *Call, status wire.Status) error {
	var sentinel error
	switch status {
	case wire.StatusBadRequest:
		if bounds := x.outOfBounds(&c.limits); bounds != nil {
			return bounds
		}
		sentinel = ErrProtocol
	case wire.StatusBusy, wire.StatusTooManyWaiters, wire.StatusTooManySessions,
		wire.StatusTooManyHolds:
		return full(x, status)
	case wire.StatusPermission:
		sentinel = ErrPermission
	case wire.StatusTooMuchData:
		return c.tooMuchData(x)
	case wire.StatusNameTooLong:
		sentinel = ErrNameTooLong
	case wire.StatusNotFound:
		sentinel = ErrNotFound
	case wire.StatusOtherMode:
		sentinel = ErrOtherMode
	case wire.StatusNotWriter:
		sentinel = ErrNotWriter
	case wire.StatusAlreadySet:
		sentinel = ErrAlreadySet
	case wire.StatusBroken:
		sentinel = ErrBroken
	case wire.StatusDeadlock:
		return &DeadlockError{Name: x.Name}
	case wire.StatusUnsupported:
		sentinel = ErrUnsupported
	case wire.StatusSessionUnknown, wire.StatusSessionEnded, wire.StatusCancelled:
		sentinel = ErrSessionEnded
	case wire.StatusNotHolder:
		return &LostError{Name: x.Name, Token: x.Token, Cause: errNoSuchHold}
	case wire.StatusStopping, wire.StatusNotLeader, wire.StatusUncertain,
		wire.StatusStaleEpoch:
		sentinel = ErrUnavailable
	default:
		sentinel = ErrProtocol
	}
	return fmt.Errorf("%w: %s %q in group %d: %s", sentinel, x.Kind, x.Name, x.Group, status)
}

package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockd/netio/wire"
)

// TryDetached takes the lock, if it is free and nobody waits for it, as a hold
// that lives by its own time to live instead of the client's session: nothing
// renews it but Renew, and neither Close nor the death of this process ends it.
// Ttl is rounded down to milliseconds; what the cluster takes, 100 ms to 24 h unless it
// was told otherwise, the error says (BoundError). The hold counts as lost when its
// time is over.
//
// If the call ends without an answer, the lock may stay taken for ttl. If the answer comes
// after that, it is a *LostError.
func (c *Client) TryDetached(ctx context.Context, name string, ttl time.Duration) (*Held, error) {
	return c.TryDetachedWith(ctx, name, ttl, LockOptions{})
}

// TryDetachedWith is TryDetached with options, but for Owner and Weight.
func (c *Client) TryDetachedWith(ctx context.Context, name string, ttl time.Duration,
	opts LockOptions) (*Held, error) {
	if opts.Owner != 0 {
		return nil, fmt.Errorf("%w: a detached hold has no owner: %q", ErrOptions, name)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: lock %q: %w", name, ended(ctx))
	}
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	h := &Held{}
	flags := wire.FlagDetached | wire.FlagDetails
	if err := h.prepare(c, name, opts, flags); err != nil {
		return nil, err
	}
	c.mu.Lock()
	h.call.Session = c.mu.core.NewOwner()
	c.mu.Unlock()
	h.call.TTL = ttl
	if err := h.granted(c.call(ctx, &h.call)); err != nil {
		return nil, err
	}
	return h, nil
}

func checkTTL(ttl time.Duration) error {
	if ttl < time.Millisecond || ttl > longest {
		return fmt.Errorf("%w: time to live %s, must be %s to %s", ErrOptions, ttl, time.Millisecond,
			longest)
	}
	return nil
}

// Renew gives a detached hold a new time to live, counted from now. It fails
// with a *LostError if the hold is over, and with ErrOptions if it is not
// detached: the client itself renews those.
//
// After a shorter time whose call ended without an answer, or was sent again because a
// conn ended, a longer one counts for no more than that was: it may yet be executed.
func (h *Held) Renew(ctx context.Context, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	if err := h.present(); err != nil {
		return err
	}
	if h.call.Flags&wire.FlagDetached == 0 {
		return fmt.Errorf("%w: lock %q is not detached", ErrOptions, h.name)
	}
	return h.c.call(ctx, &Call{
		Kind: wire.KindRenewHold, Flags: wire.FlagDetached, Name: h.name,
		Session: h.call.Session, Token: h.Token(), TTL: ttl, Hold: &h.call,
		Timeout: h.c.opts.RequestTimeout,
	})
}

// renews reports whether a Call renews a hold that this Core has.
func (x *Call) renews() bool {
	h := x.Hold
	return x.Kind == wire.KindRenewHold && h != nil && h.state == StateHeld && h.Token == x.Token
}

// receiveDetached takes the grant of a detached hold. One that may be over by now is given
// back, for it may as well last a little longer, and keep everybody out.
func (c *Core) receiveDetached(x *Call) {
	x.cappedUntil = 0
	if most := x.maxHold(); most > 0 {
		x.cappedUntil = x.firstSent.Add(c.ttlSpan(most))
	}
	x.validUntil = x.atMost(x.firstSent.Add(c.ttlSpan(x.TTL)))
	if x.validUntil > c.now {
		c.schedule(x.validUntil)
		c.grant(x, &c.detached)
		return
	}
	cause := fmt.Errorf("it was granted, and heard of after its time to live of %s", x.TTL)
	if x.cappedUntil != 0 && x.cappedUntil <= c.now {
		cause = ErrMaxHold
	}
	c.giveBack(x, x.Token)
	c.end(x, &LostError{Name: x.Name, Token: x.Token, Cause: cause})
}

// late is what a detached hold knows of renewals that may be executed behind later ones:
// the nodes have no order of them but that in which they come, and any gives the hold
// its own time, counted from when it is executed. So while such a one gives less than a
// renewal, that counts for no more than it.
type late struct {
	least time.Duration // that one gives which may come at any time; zero is none
	// ttl is the least that those give whose caller has gone, and who were sent last on
	// conn, the newest with an id up to newest; zero is none. On that conn they are
	// ahead of all that is sent now; on another, they may come at any time.
	ttl    time.Duration
	conn   ConnID
	newest uint64
}

// lessOf returns the lesser of two times to live, of which zero is none.
func lessOf(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// leave is before something else is sent on a conn.
func (l *late) leave(conn ConnID) {
	if l.ttl != 0 && l.conn != conn {
		l.least, l.ttl = lessOf(l.least, l.ttl), 0
	}
}

// atMost returns what a renewal counts for.
func (l *late) atMost(ttl time.Duration) time.Duration { return lessOf(l.least, ttl) }

// renewedUntil returns until when a hold counts by a renewal that was sent: its own time,
// or that of one which was sent after it and is known no more.
func (c *Core) renewedUntil(x *Call) Instant {
	return x.atMost(x.firstSent.Add(c.ttlSpan(x.Hold.late.atMost(x.TTL))))
}

// sendRenewal is before a renewal is written to a conn. One that was sent before, and
// may have been executed, may yet be so once more.
func (c *Core) sendRenewal(x *Call) {
	l := &x.Hold.late
	l.leave(x.conn)
	if x.unsure {
		l.least = lessOf(l.least, x.TTL)
	}
	c.countUntil(x.Hold, x.Hold.validUntil)
}

// forgetRenewal is before the end of a renewal that was sent and whose answer nobody
// waits for. It may be executed behind those that were sent before, and give the hold
// less than they: so none of these counts for more than it.
func (c *Core) forgetRenewal(x *Call) {
	until := c.renewedUntil(x)
	for y := c.groups[x.Group].lastChange(x.Hold); y != nil; y = y.changeBefore {
		if y != x && y.renews() && y.sends > 0 {
			y.cappedUntil = y.atMost(until)
		}
	}
	if x.refused { // the last send was; those before count already
		return
	}
	l := &x.Hold.late
	l.leave(x.conn)
	l.ttl, l.conn, l.newest = lessOf(l.ttl, x.TTL), x.conn, c.calls.last
}

// countUntil has a detached hold count until a moment, or less if a renewal that was
// sent gives it less: that may have been executed already.
func (c *Core) countUntil(hold *Call, until Instant) {
	for x := c.groups[hold.Group].lastChange(hold); x != nil; x = x.changeBefore {
		if x.renews() && x.sends > 0 {
			until = min(until, c.renewedUntil(x))
		}
	}
	hold.validUntil = until
	c.schedule(until)
}

// onHoldRenewed takes the answer to a renewal.
func (c *Core) onHoldRenewed(x *Call, r *wire.Response) {
	hold := x.Hold
	if hold == nil { // of another client
		c.finish(x, r)
		return
	}
	if !x.renews() {
		c.end(x, &LostError{Name: x.Name, Token: x.Token, Cause: ErrUnlocked})
		return
	}
	switch r.Status {
	case wire.StatusOK:
		hold.TTL = x.TTL
		if l := &hold.late; l.conn == x.conn && x.request > l.newest {
			l.ttl = 0 // they were executed before
		}
		c.countUntil(hold, hold.atMost(c.renewedUntil(x)))
	case wire.StatusNotHolder, wire.StatusNotFound:
		c.lose(hold, errNoSuchHold)
	}
	c.finish(x, r)
}

// DetachedHold names a detached hold for whoever is to give it back or renew it:
// another process than took it, or a later one. Session is Held.Session of the hold,
// and as secret as its Token, which the nodes compare too.
type DetachedHold struct {
	Name           string
	Session, Token uint64
}

// FindDetached finds a detached hold by its token, of those that Get lists: the
// first MaxListed of a lock. It fails with a *LostError if no hold of the lock
// has the token any more, with ErrOptions if one has that is not detached, and with
// ErrNotFound if more hold the lock than are listed.
func (c *Client) FindDetached(ctx context.Context, name string,
	token uint64) (DetachedHold, error) {
	info, err := c.Get(ctx, name)
	lost := &LostError{Name: name, Token: token, Cause: errors.New("nobody holds it")}
	switch {
	case errors.Is(err, ErrNotFound):
		return DetachedHold{}, lost
	case err != nil:
		return DetachedHold{}, err
	}
	for i := range info.Holders {
		switch h := &info.Holders[i]; {
		case h.Token != token:
			lost.Cause = fmt.Errorf("the token in force is %d", h.Token)
		case h.Kept:
			lost.Cause = errors.New("it is over, and the lock stays taken for a while")
			return DetachedHold{}, lost
		case h.Session&wire.DetachedOwner == 0 || info.Gate != 0:
			return DetachedHold{}, fmt.Errorf("%w: token %d of %q is of no detached hold: its client "+
				"%q keeps it and gives it back", ErrOptions, token, name, h.Client)
		default:
			return DetachedHold{Name: name, Session: h.Session, Token: token}, nil
		}
	}
	if info.HolderCount > len(info.Holders) {
		return DetachedHold{}, fmt.Errorf("%w: token %d of %q is none of the first %d holders' of %d; "+
			"name its session", ErrNotFound, token, name, len(info.Holders), info.HolderCount)
	}
	return DetachedHold{}, lost
}

// RenewDetached is Held.Renew for a hold that this client did not take. It returns
// until when nobody else can be granted the lock. It fails with an error that
// matches ErrLost if the hold is over.
//
// That goes by this call alone: the nodes execute renewals in the order in which they
// come, so an earlier one of a shorter time, by whatever process, whose call ended without
// an answer or was sent again because a conn ended, may yet come, and end the hold earlier.
// Who renews for the same time always need not care.
func (c *Client) RenewDetached(ctx context.Context, d DetachedHold,
	ttl time.Duration) (safeUntil time.Time, err error) {
	if err := errors.Join(checkTTL(ttl), d.check()); err != nil {
		return time.Time{}, err
	}
	x := &Call{
		Kind: wire.KindRenewHold, Flags: wire.FlagDetached, Name: d.Name,
		Session: d.Session, Token: d.Token, TTL: ttl, Timeout: c.opts.RequestTimeout,
	}
	if err := c.call(ctx, x); err != nil {
		return time.Time{}, err
	}
	// A max hold may end it earlier. Nodes that know of none have none.
	hold, lasts := grantOf{d.Name, d.Token}, make(map[grantOf]Instant)
	_, err = c.lastUntil(ctx, []NameToken{{d.Name, d.Token}}, lasts)
	last, current := lasts[hold]
	switch {
	case errors.Is(err, ErrUnsupported):
		last = never
	case err != nil:
		return time.Time{}, err
	case !current:
		return time.Time{}, &LostError{Name: d.Name, Token: d.Token,
			Cause: errors.New("it ended while it was renewed")}
	}
	c.mu.Lock()
	until := min(last, x.firstSent.Add(c.mu.core.ttlSpan(ttl)))
	c.mu.Unlock()
	return c.moment(until), nil
}

// ReleaseDetached is Held.Unlock for a hold that this client did not take. It fails
// with an error that matches ErrLost if the hold is over.
func (c *Client) ReleaseDetached(ctx context.Context, d DetachedHold) error {
	if err := d.check(); err != nil {
		return err
	}
	timeout := c.opts.RequestTimeout
	return c.call(ctx, &Call{
		Kind: wire.KindRelease, Flags: wire.FlagDetached, Name: d.Name,
		Session: d.Session, Token: d.Token, TTL: timeout, Timeout: timeout,
	})
}

func (d *DetachedHold) check() error {
	if d.Session&wire.DetachedOwner == 0 || d.Token == 0 {
		return fmt.Errorf("%w: session %d and token %d are of no detached hold of %q", ErrOptions,
			d.Session, d.Token, d.Name)
	}
	return nil
}

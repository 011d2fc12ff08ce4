package client

import (
	"fmt"
	"time"

	"lockd/netio/wire"
)

// noStronger reports whether whatever gets along with a hold in from does so with
// one in to. Protected read and concurrent write are neither.
func noStronger(from, to wire.Mode) bool {
	return to <= from && !(from == wire.ModePR && to == wire.ModeCW)
}

// weaker is what a hold may be used for that is in one of two modes.
func weaker(a, b wire.Mode) wire.Mode {
	switch {
	case noStronger(a, b):
		return b
	case noStronger(b, a):
		return a
	default:
		return wire.ModeCR
	}
}

// appendTurn appends the frame of a Convert or a GiveBack.
func (x *Call) appendTurn(dst []byte, h wire.Header, epoch uint32, name []byte) []byte {
	if x.Kind == wire.KindConvert {
		return wire.AppendConvert(dst, h, &wire.Convert{Session: x.Session, Token: x.Token,
			Target: x.target, Epoch: epoch, Mode: x.Mode, Name: name})
	}
	h.Flags &= wire.FlagDetached
	return wire.AppendGiveBack(dst, h, &wire.GiveBack{Session: x.Session, Token: x.Token,
		Target: x.target, Epoch: epoch, Name: name})
}

// is reports whether a hold is still the one that a Convert, or the Cancel of one,
// was started for, be it that its Release is open.
func (x *Call) is(of *Call) bool {
	held := x.state == StateHeld || x.state == StateOpen && x.Kind.Releases()
	return held && x.Use == of.Use && x.Session == of.Session && x.Name == of.Name
}

// admitConvert checks a Convert and takes from its hold what that knows.
func (c *Core) admitConvert(x *Call) error {
	h := x.Hold
	switch {
	case c.closed:
		return fmt.Errorf("%w: %s %q", ErrClosed, x.Kind, x.Name)
	case h.state == StateLost:
		return h.lost
	case h.state != StateHeld:
		return fmt.Errorf("%w: lock %q", ErrUnlocked, x.Name)
	case h.Capacity > 0:
		return &KindError{Name: h.Name, Capacity: uint64(h.Capacity), Wanted: useText(0, 0)}
	case h.part:
		return fmt.Errorf("%w: lock %q was granted together with others, and keeps its mode: give it "+
			"back and ask anew", ErrOptions, h.Name)
	case h.detached() && !noStronger(h.Mode, x.Mode):
		return fmt.Errorf("%w: detached hold of %q to a mode that is stronger", ErrOptions, h.Name)
	case c.converting(h):
		return fmt.Errorf("%w: lock %q is being converted", ErrOtherMode, h.Name)
	case c.userOpen >= min(c.cfg.MaxInFlight, int(c.limits.InFlight)):
		return fmt.Errorf("%w: %d requests in flight; raise MaxInFlight or wait for answers",
			ErrBusy, c.userOpen)
	}
	x.Group = h.Group
	return nil
}

// converting reports whether somebody waits for a Convert of a hold.
func (c *Core) converting(h *Call) bool {
	for x := c.groups[h.Group].lastChange(h); x != nil; x = x.changeBefore {
		if x.Kind == wire.KindConvert && !x.background {
			return true
		}
	}
	return false
}

// turn prepares a Convert that was started. From now on its hold counts as no more
// than it is whatever becomes of that: others who agree with it may be let in before
// the answer is here.
func (c *Core) turn(x *Call) {
	h := x.Hold
	x.Name, x.Session, x.Token, x.Use = h.Name, h.Session, h.Token, h.Use
	x.target, x.Owner, x.was = h.target, h.Owner, h.Mode
	x.Flags |= h.Flags & wire.FlagDetached
	if x.detached() {
		x.Flags &^= wire.FlagWait | wire.FlagDetect
	}
	c.setMode(h, weaker(h.Mode, x.Mode), 0)
	if x.background {
		x.turns = h.turns
		return
	}
	h.turns++
	x.turns = h.turns
	for y := c.groups[h.Group].lastChange(h); y != nil; {
		before := y.changeBefore
		if y.background && y.Kind == wire.KindConvert {
			c.end(y, nil) // sent again after x it would undo that
		}
		y = before
	}
}

// setMode gives a hold, with all that its owner holds of the lock, a mode, and a
// token if that is not zero. What its owner has with a smaller token than the hold is
// of an earlier one, which was ended by force and has yet to be found out: it gets
// neither. A larger one is of this hold only if the nodes have just said that it lives.
func (c *Core) setMode(h *Call, mode wire.Mode, token uint64) {
	since := h.Token
	set := func(x *Call) {
		if x.Token < since || x.Token > since && token == 0 {
			return
		}
		x.Mode = mode
		if token != 0 {
			x.Token = token
		}
	}
	set(h)
	if h.Owner == 0 {
		return
	}
	g := &c.groups[h.Group]
	for x := g.session.holds.head; x != nil; x = x.next {
		if x.Owner == h.Owner && x.Name == h.Name {
			set(x)
		}
	}
	for x := g.calls.head; x != nil && token != 0; x = x.next {
		switch {
		case x.Owner != h.Owner || x.Name != h.Name || x.Kind == wire.KindConvert:
		case x.Kind.Acquires():
			x.became, x.becameToken = mode, token
		}
	}
}

// weakenBy has a grant count as no more than what the Converts leave of it that its owner
// has open: one may have been carried out, and others let in, before its answer is here.
func (c *Core) weakenBy(g *group, x *Call) {
	for y := g.lastChange(x); y != nil; y = y.changeBefore {
		if y.Kind == wire.KindConvert {
			x.Mode = weaker(x.Mode, y.Mode)
		}
	}
}

// onConverted takes the answer to a Convert.
func (c *Core) onConverted(x *Call, r *wire.Response) error {
	h := x.Hold
	if r.Status == wire.StatusOK {
		if r.Token == 0 {
			return fmt.Errorf("%w: conversion without a token", ErrProtocol)
		}
		c.converted(x, x.Mode, r.Token)
		x.Token = r.Token
		c.end(x, nil)
		return nil
	}
	// Of a hold that is gone, an earlier send may have converted what the owner has of
	// it besides, which then counts as the weaker of both for good.
	if h.is(x) && (r.Status != wire.StatusNotHolder || !x.unsure) {
		c.setMode(h, x.was, 0)
	}
	switch r.Status {
	case wire.StatusHeld:
		err := &HeldError{Name: x.Name, Position: int(r.Position), Token: r.Token}
		if len(r.Payload) > 0 {
			info, bad := wire.DecodeLockInfo3(r.Payload)
			if bad != nil {
				return bad
			}
			err.Info = newLockInfo(&info, time.Time{})
		}
		c.end(x, err)
	case wire.StatusDeadlock:
		err, bad := deadlock(x, r)
		if bad != nil {
			return bad
		}
		c.end(x, err)
	case wire.StatusOtherKind:
		c.end(x, otherKind(x, x.Name, r.Token))
	case wire.StatusNotHolder:
		c.unheld(x)
	default:
		c.end(x, c.refused(x, r.Status))
	}
	return nil
}

// converted notes what became of a hold.
func (c *Core) converted(x *Call, mode wire.Mode, token uint64) {
	if h := x.Hold; h.is(x) {
		c.setMode(h, mode, token)
	} else if h.Owner != 0 && h.Owner == x.Owner {
		// Given back meanwhile; the owner may have entered more than once.
		c.setMode(&Call{Owner: x.Owner, Name: x.Name, Group: x.Group, Token: x.Token}, mode, token)
	}
}

// unheld ends a Convert of a hold that the nodes do not know. If it is not being
// given back, it is lost.
func (c *Core) unheld(x *Call) {
	h := x.Hold
	if h.state == StateHeld && h.is(x) {
		c.lose(h, h.unknown())
	}
	if h.state == StateLost && h.Use == x.Use && h.Name == x.Name {
		c.end(x, h.lost)
		return
	}
	c.end(x, fmt.Errorf("%w: lock %q", ErrUnlocked, x.Name))
}

// abandonConvert undoes, or finishes, in the background what an open Convert may
// have done.
func (c *Core) abandonConvert(x *Call) {
	h := x.Hold
	switch {
	case x.sends == 0:
		if h.is(x) {
			c.setMode(h, x.was, 0)
		}
	case noStronger(x.was, x.Mode):
		c.backgroundConvert(x, x.Mode)
	default:
		// Until the answer is here, the hold counts as the weaker of both.
		c.startBackground(&Call{Kind: wire.KindCancel, Name: x.Name, Session: x.Session,
			Group: x.Group, target: x.request, Owner: x.Owner, Hold: h, Use: x.Use, Mode: x.Mode,
			Token: x.Token, was: x.was, turns: x.turns})
	}
}

// convertBack takes the answer to the Cancel of a Convert: it was granted before that, or
// will never be.
func (c *Core) convertBack(x *Call, r *wire.Response) {
	h, token := x.Hold, r.Token
	if r.Status != wire.StatusAlreadyGranted {
		if r.Status == wire.StatusCancelled && h.turns == x.turns && h.is(x) && !c.converting(h) {
			c.setMode(h, x.was, 0)
		}
		return
	}
	if h.turns != x.turns {
		if token > h.Token { // and a later Convert says in which mode
			c.converted(x, h.Mode, token)
		}
		return
	}
	if !noStronger(x.Mode, x.was) {
		c.converted(x, x.Mode, token) // the way back could have to wait
		return
	}
	c.converted(x, x.was, token)
	if x.Hold.state == StateHeld && x.Hold.is(x) {
		c.backgroundConvert(x, x.was)
	}
}

// backgroundConvert converts the hold of x, which does not have to wait, for the
// Core itself.
func (c *Core) backgroundConvert(x *Call, mode wire.Mode) {
	h := x.Hold
	if h.state != StateHeld || !h.is(x) {
		return
	}
	c.startBackground(&Call{Kind: wire.KindConvert, Group: x.Group, Hold: h, Mode: mode, TTL: h.TTL,
		Flags: h.Flags & wire.FlagDetached})
}

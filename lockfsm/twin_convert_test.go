package lockfsm

import "slices"

// noStronger says the same as Mode.noStronger, pair by pair.
func noStronger(from, to Mode) bool {
	for m := ModeNL; m <= ModeEX; m++ {
		if m.Compatible(from) && !m.Compatible(to) {
			return false
		}
	}
	return true
}

// convert asks for another mode of a hold.
func (t *twin) convert(c *Command, res Result) Result {
	if c.Mode > ModeEX {
		return res.with(CodeBadMode)
	}
	if cv := t.find(c.Session, c.Request, res.Detached); cv != nil {
		switch {
		case cv.hold == nil || cv.mode != c.Mode || cv.lock.name != string(c.Name):
			return res.with(CodeRequestReused)
		case cv.done:
			res.Token = cv.hold.stamp
			return res.with(CodeOK)
		}
		res.Waiting = uint32(len(cv.lock.waiters))
		return res.with(CodeQueued)
	}
	cl := t.find(c.Session, c.Target, res.Detached)
	if cl == nil || cl.hold != nil || !cl.holds() || !cl.place().knows(c.Token) ||
		cl.lock.name != string(c.Name) {
		return res.with(CodeNotHolder)
	}
	h := cl.place()
	switch {
	case h.lock.capacity > 0:
		res.Capacity = h.lock.capacity
		return res.with(CodeOtherKind)
	case h.all != nil:
		return res.with(CodeBadRequest)
	case h.turn != nil && !h.turn.done:
		return res.with(CodeOtherMode)
	case noStronger(h.mode, c.Mode):
		h.turn = nil
		if h.mode != c.Mode {
			h.mode, h.moved = c.Mode, true
			t.pump(h.lock, nil)
		}
		res.Token = h.stamp
		return res.with(CodeOK)
	case res.Detached:
		return res.with(CodeBadRequest)
	case h.turn != nil: // its place is taken over
	case len(t.claims()) >= int(t.l.Claims):
		return res.with(CodeTooManyClaims)
	case len(t.claimsOf(h.s)) >= int(t.l.ClaimsPerSession):
		return res.with(CodeTooManySessionClaims)
	}
	return t.await(c, h, res)
}

// await grants a conversion that may have to wait, queues it or refuses it.
func (t *twin) await(c *Command, h *twinClaim, res Result) Result {
	t.stamps++
	cv := &twinClaim{s: h.s, request: c.Request, stamp: t.stamps, since: t.now, mode: c.Mode,
		weight: h.weight, lock: h.lock, hold: h}
	cv.detects = c.Flags&(Wait|Detect) == Wait|Detect
	h.turn = cv
	l := h.lock
	at := 0
	for at < len(l.waiters) && l.waiters[at].hold != nil {
		at++
	}
	before := slices.Clone(l.waiters[:at])
	l.waiters = slices.Insert(l.waiters, at, cv)
	t.pump(l, cv)
	if cv.done {
		res.Token = h.stamp
		return res.with(CodeOK)
	}
	circle := slices.IndexFunc(before, func(w *twinClaim) bool {
		return !w.s.ending && !w.mode.Compatible(h.mode)
	})
	switch {
	case c.Flags&Wait == 0:
		in := l.waiters[0].hold
		for _, x := range slices.Backward(l.holders) {
			if x != h && !x.mode.Compatible(c.Mode) {
				in = x
			}
		}
		res.Holder, res.HolderToken, res.HolderDetached = in.s.id, in.stamp, in.detached
		res.Code = CodeHeld
	case circle >= 0:
		in := before[circle].hold
		res.Holder, res.HolderToken = in.s.id, in.stamp
		res.Code = CodeDeadlock
	case cv.detects && t.circle(cv, &res):
	case len(l.waiters) > int(t.l.WaitersPerLock):
		res.Code = CodeTooManyWaiters
	default:
		res.Waiting = uint32(len(l.waiters))
		return res.with(CodeQueued)
	}
	h.turn = nil
	l.waiters = slices.DeleteFunc(l.waiters, func(x *twinClaim) bool { return x == cv })
	return res
}

// turn grants a conversion: the hold gets a new token and is the last of all.
func (t *twin) turn(cv *twinClaim) {
	h := cv.hold
	cv.done, cv.detects = true, false
	t.stamps++
	h.mode, h.moved, h.stamp = cv.mode, true, t.stamps
	l := h.lock
	l.holders = append(slices.DeleteFunc(l.holders, func(x *twinClaim) bool { return x == h }), h)
}

// endTurn ends the conversion of a hold that ends.
func (t *twin) endTurn(cv *twinClaim) {
	cv.hold.turn = nil
	if cv.done {
		return
	}
	l := cv.lock
	l.waiters = slices.DeleteFunc(l.waiters, func(x *twinClaim) bool { return x == cv })
	kind := EventConversionEnded
	if cv.s.ending {
		kind = EventWaitEnded
	}
	t.event(kind, cv, 0)
}

// giveBack ends what came of an acquire.
func (t *twin) giveBack(c *Command, res Result) Result {
	cl := t.find(c.Session, c.Target, res.Detached)
	if cl == nil || cl.hold != nil || !cl.holds() || !cl.place().knows(c.Token) ||
		cl.lock.name != string(c.Name) {
		return res.with(CodeNotHolder)
	}
	t.part(cl, endReleased)
	return res.with(CodeOK)
}

// ahead reports whether one of a queue goes before one that comes now.
func (t *twin) ahead(w, late *twinClaim) bool {
	switch {
	case w.hold != nil || w.weight >= late.weight:
		return true
	case t.l.AgeStep == 0:
		return false
	default:
		lead := Time(late.weight-w.weight) * Time(t.l.AgeStep)
		return late.since-w.since >= lead
	}
}

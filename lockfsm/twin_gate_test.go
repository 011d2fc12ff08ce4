package lockfsm

import "slices"

// twinAnswer is an answer that is kept.
type twinAnswer struct {
	s       *twinSession
	request RequestID
	op      Op
	code    Code
	value   uint64
}

// atGate executes a command at a gate of a session that may.
func (t *twin) atGate(c *Command, s *twinSession, res Result) Result {
	if code := t.checkGate(c); code != CodeOK {
		return res.with(code)
	}
	for { // what the client has need not be kept, if it is the oldest
		i := slices.IndexFunc(t.answers, func(a twinAnswer) bool { return a.s == s })
		if i < 0 || t.answers[i].request >= c.Done {
			break
		}
		t.answers = slices.Delete(t.answers, i, i+1)
	}
	l := t.locks[string(c.Name)]
	for _, a := range t.answers {
		if a.s != s || a.request != c.Request {
			continue
		}
		switch a.op {
		case c.Op:
		default:
			return res.with(CodeRequestReused)
		}
		if c.Op == OpCountDown {
			res.Left = uint32(a.value)
		} else {
			res.Token = Token(a.value)
		}
		return res.with(a.code)
	}
	if cl := t.find(c.Session, c.Request, false); cl != nil {
		if c.Op != OpAwait || cl.lock != l || !l.isGate(c) {
			return res.with(CodeRequestReused)
		}
		res.Waiting = uint32(len(l.waiters))
		return res.with(CodeQueued)
	}
	if l != nil && !l.isGate(c) {
		res.Capacity, res.Gate = l.capacity, l.gate
		return res.with(CodeOtherKind)
	}
	switch c.Op {
	case OpAwait:
		return t.awaitGate(c, s, l, res)
	case OpCountDown:
		return t.countDown(c, s, l, res)
	case OpSet:
		return t.set(c, s, l, res)
	default:
		return t.reset(c, s, l, res)
	}
}

func (l *twinLock) isGate(c *Command) bool {
	return l.gate == c.Gate &&
		(c.Op != OpAwait || c.Gate != GateBarrier || l.capacity == Permits(c.Count))
}

// checkGate judges the fields of a command by themselves.
func (t *twin) checkGate(c *Command) Code {
	wants := false
	sane := c.Request != 0 && c.Done <= c.Request
	switch c.Gate {
	case GateLatch:
		wants = c.Op == OpCountDown || c.Op == OpSet
	case GateEvent:
		sane = sane && c.Op != OpCountDown
	case GateBarrier:
		wants = c.Op == OpAwait
		sane = sane && (c.Op == OpAwait && c.Flags == Wait || c.Op == OpReset)
	default:
		sane = false
	}
	if c.Op == OpAwait {
		sane = sane && (c.Flags == 0 || c.Flags == Wait)
	} else {
		sane = sane && c.Flags == 0
	}
	switch {
	case !sane || wants != (c.Count > 0) || c.Op != OpSet && c.Lease != 0:
		return CodeBadRequest
	case c.Lease != 0 && (c.Lease < t.l.HoldMin || c.Lease > t.l.HoldMax):
		return CodeBadLease
	case c.Op == OpAwait && c.Count > t.l.WaitersPerLock:
		return CodeTooManyWaiters
	case len(c.Name) == 0:
		return CodeBadName
	case len(c.Name) > int(t.l.NameBytes):
		return CodeNameTooLong
	}
	return CodeOK
}

// full says which bound keeps a session from one more wait or answer.
func (t *twin) full(s *twinSession) Code {
	own := len(t.claimsOf(s))
	for _, a := range t.answers {
		if a.s == s {
			own++
		}
	}
	switch {
	case len(t.claims())+len(t.answers) >= int(t.l.Claims):
		return CodeTooManyClaims
	case own >= int(t.l.ClaimsPerSession):
		return CodeTooManySessionClaims
	}
	return CodeOK
}

func (t *twin) awaitGate(c *Command, s *twinSession, l *twinLock, res Result) Result {
	stands := l != nil && len(l.holders) == 1
	switch {
	case c.Gate == GateLatch && !stands:
		return res.with(CodeOK)
	case c.Gate == GateEvent && stands:
		res.Token = l.holders[0].stamp
		return res.with(CodeOK)
	case c.Flags == 0:
		if stands {
			res.HolderToken = l.holders[0].stamp
		}
		return res.with(CodeHeld)
	}
	switch code := t.full(s); {
	case code != CodeOK:
		return res.with(code)
	case l == nil && len(t.locks) >= int(t.l.Locks):
		return res.with(CodeTooManyLocks)
	case l != nil && c.Gate != GateBarrier && len(l.waiters) >= int(t.l.WaitersPerLock):
		return res.with(CodeTooManyWaiters)
	case l == nil:
		l = t.newGate(c)
	}
	t.stamps++
	cl := &twinClaim{s: s, request: c.Request, stamp: t.stamps, since: t.now, lock: l}
	l.waiters = append(l.waiters, cl)
	here := 0
	for _, w := range l.waiters {
		if !w.s.ending {
			here++
		}
	}
	if c.Gate == GateBarrier && here >= int(l.capacity) {
		t.stamps++
		res.Token = t.stamps
		t.openGate(l, CodeOK, t.stamps, cl)
		delete(t.locks, l.name)
		return res.with(CodeOK)
	}
	res.Waiting = uint32(len(l.waiters))
	return res.with(CodeQueued)
}

func (t *twin) newGate(c *Command) *twinLock {
	l := &twinLock{name: string(c.Name), gate: c.Gate, capacity: Permits(c.Count)}
	t.locks[l.name] = l
	return l
}

// openGate ends all waits at a gate.
func (t *twin) openGate(l *twinLock, code Code, token Token, asking *twinClaim) int {
	all := l.waiters
	l.waiters = nil
	for _, w := range all {
		switch {
		case w.s.ending:
			t.event(EventWaitEnded, w, 0)
			continue
		case w == asking:
		case code == CodeOK:
			t.event(EventGranted, w, token)
		default:
			t.event(EventBroken, w, 0)
		}
		t.answers = append(t.answers, twinAnswer{w.s, w.request, OpAwait, code, uint64(token)})
	}
	return len(all)
}

// fall ends what stands of a gate.
func (t *twin) fall(l *twinLock) {
	for _, h := range l.holders {
		t.detached = slices.DeleteFunc(t.detached, func(x *twinClaim) bool { return x == h })
	}
	l.holders = nil
	if len(l.waiters) == 0 {
		delete(t.locks, l.name)
	}
}

func (t *twin) countDown(c *Command, s *twinSession, l *twinLock, res Result) Result {
	if l == nil {
		return res.with(CodeOK)
	}
	if code := t.full(s); code != CodeOK {
		return res.with(code)
	}
	l.capacity -= min(l.capacity, Permits(c.Count))
	res.Left = uint32(l.capacity)
	t.answers = append(t.answers, twinAnswer{s, c.Request, c.Op, CodeOK, uint64(res.Left)})
	if res.Left == 0 {
		t.stamps++
		t.openGate(l, CodeOK, t.stamps, nil)
		t.fall(l)
	}
	return res.with(CodeOK)
}

func (t *twin) set(c *Command, s *twinSession, l *twinLock, res Result) Result {
	stands := l != nil && len(l.holders) == 1
	switch code := t.full(s); {
	case code != CodeOK:
		return res.with(code)
	case stands && c.Gate == GateLatch:
		res.Left = uint32(l.capacity)
		return res.with(CodeAlreadySet)
	case stands:
	case len(t.claims())+len(t.answers)+2 > int(t.l.Claims):
		return res.with(CodeTooManyClaims)
	case len(t.detached)+t.lingering() >= int(t.l.Detached):
		return res.with(CodeTooManyDetached)
	case l == nil && len(t.locks) >= int(t.l.Locks):
		return res.with(CodeTooManyLocks)
	}
	if !stands {
		if l == nil {
			l = t.newGate(c)
		}
		t.stamps++
		h := &twinClaim{s: &twinSession{}, request: RequestID(t.stamps), stamp: t.stamps,
			since: t.now, lock: l, detached: true}
		l.holders = append(l.holders, h)
		t.detached = append(t.detached, h)
	}
	h := l.holders[0]
	h.s.lease, h.s.deadline = c.Lease, forever
	if c.Lease > 0 {
		h.s.deadline = t.now + Time(c.Lease)
	}
	res.Token = h.stamp
	t.answers = append(t.answers, twinAnswer{s, c.Request, c.Op, CodeOK, uint64(h.stamp)})
	if c.Gate == GateEvent {
		t.openGate(l, CodeOK, h.stamp, nil)
	}
	return res.with(CodeOK)
}

func (t *twin) reset(c *Command, s *twinSession, l *twinLock, res Result) Result {
	if l == nil || c.Gate == GateEvent && len(l.holders) == 0 {
		return res.with(CodeOK)
	}
	if code := t.full(s); code != CodeOK {
		return res.with(code)
	}
	t.answers = append(t.answers, twinAnswer{s, c.Request, c.Op, CodeOK, 0})
	t.openGate(l, CodeBroken, 0, nil)
	t.fall(l)
	return res.with(CodeOK)
}

// gateCommand draws a command at a gate that mostly makes sense.
func (w *world) gateCommand(c Command) Command {
	r := w.rng
	c.Op = []Op{OpAwait, OpAwait, OpAwait, OpAwait, OpAwait, OpAwait, OpCountDown, OpCountDown,
		OpSet, OpSet, OpReset}[r.IntN(11)]
	c.Gate = []GateKind{GateLatch, GateLatch, GateEvent, GateBarrier, GateBarrier}[r.IntN(5)]
	if r.IntN(6) > 0 { // a name of its own, so that some gather there
		c.Name = []byte{'h' + byte(c.Gate)}
	}
	if c.Op == OpCountDown && r.IntN(20) > 0 {
		c.Gate = GateLatch
	}
	if c.Op == OpSet && c.Gate == GateBarrier && r.IntN(20) > 0 {
		c.Gate = GateEvent
	}
	c.Mode, c.Weight, c.Flags, c.Lease = 0, 0, c.Flags&Wait, 0
	if c.Gate == GateBarrier && r.IntN(20) > 0 {
		c.Flags = Wait
	}
	if c.Op != OpAwait {
		c.Flags = 0
	} else if c.Gate == GateBarrier {
		c.Count = 2 + uint32(r.IntN(10)/9)
	}
	if c.Op == OpCountDown || c.Op == OpSet && c.Gate == GateLatch {
		c.Count = 1 + uint32(r.IntN(3))
	}
	if c.Op == OpSet && r.IntN(2) == 0 {
		c.Lease = 40 + Millis(r.IntN(200))
	}
	if c.Request = RequestID(40 + r.IntN(400)); r.IntN(3) > 0 {
		c.Done = c.Request - RequestID(r.IntN(40))
	}
	switch r.IntN(100) {
	case 0:
		c.Done = c.Request + 1
	case 1:
		c.Count++
	case 2:
		c.Gate = 4
	case 3:
		c.Lease = 60
	case 4:
		c.Request = RequestID(r.IntN(40))
	}
	return c
}

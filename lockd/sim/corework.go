package sim

import (
	"time"

	lockclient "lockd/client"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// work gives the client something to do, again and again.
func (c *coreClient) work() {
	c.w.agenda.After(c.dice.around(c.w.opts.Think), func() {
		if c.away <= c.w.agenda.Now() && c.core.Groups() > 0 {
			switch {
			case c.still > c.w.agenda.Now() && !c.leaving:
			case c.leaving:
				c.leave()
			case c.revival != nil:
			case c.w.faulty(FaultSilence) && c.w.crossing == crossNot && c.dice.permille(8):
				c.die()
			default:
				c.task()
			}
			c.carryOut()
		}
		c.work()
	})
}

// task does one thing.
func (c *coreClient) task() {
	if c.w.crossing != crossNot {
		c.crossOnly()
		return
	}
	if c.w.opts.Owners && len(c.calls) < maxCalls && c.dice.permille(250) {
		c.cross()
		return
	}
	if c.w.opts.Converts && len(c.calls) < maxCalls && c.dice.permille(200) {
		c.convert()
		return
	}
	if c.w.opts.Gates && len(c.calls) < maxCalls && c.dice.permille(200) {
		c.gate()
		return
	}
	if c.onHold() {
		return
	}
	switch n := c.dice.IntN(100); {
	case n < 45 && len(c.calls) < maxCalls:
		c.acquire()
	case n < 75:
		c.release()
	case n < 85:
		c.giveUp()
	case n < 95 && len(c.calls) < maxCalls:
		c.start(&coreCall{Call: lockclient.Call{Kind: wire.KindGet, Name: c.lockName(),
			Timeout: c.timeout()}})
	case n < 98 && len(c.calls) < maxCalls:
		g := uint16(c.dice.IntN(c.w.opts.Groups))
		c.start(&coreCall{Call: lockclient.Call{Kind: wire.KindList, Limit: 2, Timeout: c.timeout(),
			Group: g, After: c.w.cursor(c.dice, g)}})
	case n == 98 && len(c.calls) < maxCalls && c.w.opts.Faults&FaultMixed == 0:
		c.checkTokens()
	}
}

func (c *coreClient) lockName() string {
	names := c.w.names[c.dice.IntN(len(c.w.names))]
	return names[c.dice.IntN(len(names))]
}

func (c *coreClient) timeout() time.Duration {
	return time.Duration(c.dice.length(c.w.election()/2, 5*c.w.election()))
}

func (c *coreClient) start(k *coreCall) {
	c.calls = append(c.calls, k)
	c.core.Start(&k.Call)
}

// checkTokens asks where a token stands that a hold of its own has, or had, or
// somebody else's.
func (c *coreClient) checkTokens() {
	x := lockclient.Call{Kind: wire.KindCheckTokens, Timeout: c.timeout()}
	x.Group = uint16(c.dice.IntN(c.w.opts.Groups))
	for _, name := range c.w.names[x.Group] {
		ref := lockclient.NameToken{Name: name, Token: uint64(c.dice.IntN(100))}
		for _, k := range c.calls {
			if k.Name == name && k.Token != 0 {
				ref.Token = k.Token
			}
		}
		x.Checks = append(x.Checks, ref)
	}
	c.start(&coreCall{Call: x})
}

func (c *coreClient) acquire() {
	k := &coreCall{Call: lockclient.Call{Kind: wire.KindAcquire, Mode: wire.ModeEX}}
	k.Name = c.lockName()
	if c.dice.permille(400) {
		k.Mode = wire.Mode(c.dice.IntN(6))
	}
	c.drawTerms(k)
	if c.w.opts.Converts && c.dice.permille(500) {
		k.Mode = wire.ModePR
	}
	switch n := c.dice.IntN(10); {
	case n < 6:
		k.Flags = wire.FlagWait
	case n < 8:
		k.Timeout = c.timeout()
	case n < 9:
		k.Flags, k.Session = wire.FlagDetached, c.core.NewOwner()
		k.TTL = time.Duration(c.dice.length(300*millisecond, 5*second))
		k.Timeout = c.timeout()
	default:
		k.Flags, k.Timeout = wire.FlagWait, c.timeout()
	}
	switch {
	case c.w.opts.Several && k.Session == 0 && c.dice.permille(250):
		c.several(k)
	case c.w.opts.Semaphores && k.Session == 0 && c.dice.permille(200):
		k.Kind, k.Mode = wire.KindTake, wire.ModeNL
		k.Permits, k.Capacity = uint32(c.dice.between(1, semaphoreCapacity)), semaphoreCapacity
	case c.w.opts.Owners && k.Session == 0 && c.dice.permille(200):
		k.Kind, k.Owner = wire.KindEnter, uint64(c.dice.between(1, 2))
	}
	if c.w.opts.Watchers > 0 && k.Flags == wire.FlagWait && c.dice.permille(400) {
		k.Place = &lockclient.Place{}
	}
	if c.w.opts.Terms && (k.Kind == wire.KindAcquire || k.Kind == wire.KindEnter) &&
		c.dice.permille(300) {
		k.Flags |= wire.FlagValue
		if c.dice.permille(500) {
			k.Name = c.w.names[c.w.groupOf(k.Name)][0]
		}
	}
	c.start(k)
}

// convert asks for another mode of a hold.
func (c *coreClient) convert() {
	for _, h := range c.calls {
		if h.State() != lockclient.StateHeld || h.released || h.Wants != nil || h.Owner != 0 ||
			c.dice.permille(500) {
			continue // of all that an owner has of a name the mode changes
		}
		k := &coreCall{Call: lockclient.Call{Kind: wire.KindConvert, Hold: &h.Call, Name: h.Name,
			Mode: wire.Mode(c.dice.IntN(6))}, of: h}
		if c.dice.permille(500) {
			k.Mode = wire.ModeEX
		}
		if c.dice.permille(700) {
			k.Flags = wire.FlagWait
		} else {
			k.Flags, k.Timeout = wire.FlagDetails, c.timeout()
		}
		c.start(k)
		c.rebelieve(h)
		return
	}
}

// rebelieve tells the checkers what a hold is now.
func (c *coreClient) rebelieve(h *coreCall) {
	if !h.believed || h.State() != lockclient.StateHeld {
		return
	}
	c.w.leases.Forget(h.Group, h.Name, lockfsm.Token(h.told))
	c.believe(h)
}

// release gives a hold back.
func (c *coreClient) release() {
	if c.promised() {
		return
	}
	for _, k := range c.calls {
		if k.State() == lockclient.StateHeld && k.stays <= c.w.agenda.Now() && c.dice.permille(500) {
			c.free(k)
			return
		}
	}
}

func (c *coreClient) free(k *coreCall) {
	k.released = true
	switch {
	case k.Wants != nil:
		k.Kind = wire.KindReleaseAll
	case k.Owner != 0:
		k.Kind = wire.KindLeave
	default:
		k.Kind = wire.KindRelease
	}
	k.Timeout = 0
	if c.dice.permille(300) {
		k.Timeout = c.timeout()
	}
	c.core.Start(&k.Call)
}

// giveUp lets a caller go away.
func (c *coreClient) giveUp() {
	for _, k := range c.calls {
		if k.State() == lockclient.StateOpen && k.stays <= c.w.agenda.Now() && c.dice.permille(500) {
			c.core.Abandon(&k.Call, errGaveUp)
			return
		}
	}
}

// leave ends everything.
func (c *coreClient) leave() {
	c.revival = nil
	c.core.Close()
}

// gone reports whether a leaving client has nothing any more.
func (c *coreClient) gone() bool {
	return c.core.Groups() == 0 || len(c.calls) == 0 && c.core.Closing() == 0 || c.stranded()
}

// stranded reports whether every node that the client knows of has been removed.
// It was away while they went, and nobody could tell it of those who came.
func (c *coreClient) stranded() bool {
	for s := range c.tried { // order: all must be so
		if !s.out {
			return false
		}
	}
	return len(c.tried) > 0
}

// overhearGate fills in what a request at a gate asks.
func overhearGate(q *check.Question, body []byte) error {
	x, err := wire.DecodeGate(body)
	q.Session, q.Name = x.Session, string(x.Name)
	return err
}

// overhear remembers what the client asks.
func (c *coreClient) overhear(h wire.Header, body []byte) {
	if c.asked[h.Request] != nil {
		return
	}
	q := &check.Question{Kind: h.Kind, Group: h.Group, Request: h.Request,
		Value: h.Flags&wire.FlagValue != 0}
	if q.Left = h.Kind == wire.KindCheckTokens && h.Flags&wire.FlagDetails != 0; q.Left {
		c.w.covered["core asked what is left"]++
	}
	var err error
	switch h.Kind {
	case wire.KindStatus, wire.KindWatch, wire.KindTop:
	case wire.KindGet:
		var x wire.Get
		x, err = wire.DecodeGet(body)
		q.Name = string(x.Name)
	case wire.KindChase, wire.KindList, wire.KindFindSession:
		err = overhearQuestion(q, body)
	case wire.KindOpenSession, wire.KindCloseSession:
		err = overhearSession(q, body)
	case wire.KindWhy:
		q.Name, err = askedAbout(body)
	case wire.KindCheckTokens:
		var x wire.CheckTokens
		x, err = wire.DecodeCheckTokens(body)
		x.Each(func(_ int, ref wire.TokenRef) bool {
			q.Checks = append(q.Checks, check.TokenRef{Token: lockfsm.Token(ref.Token),
				Name: string(ref.Name)})
			return true
		})
	case wire.KindAcquire, wire.KindAsk:
		err = overhearAcquire(q, body)
	case wire.KindAmend, wire.KindForce:
		err = overhearOfHold(q, body)
	case wire.KindAcquireAll, wire.KindReleaseAll:
		err = overhearSeveral(q, body)
	case wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate:
		err = overhearGate(q, body)
	case wire.KindTake, wire.KindEnter:
		err = overhearKinds(q, body)
	case wire.KindRelease, wire.KindLeave:
		err = overhearRelease(q, body)
	case wire.KindConvert:
		var x wire.Convert
		x, err = wire.DecodeConvert(body)
		q.Session, q.Token, q.Target = x.Session, x.Token, x.Target
		q.Name, q.Mode = string(x.Name), lockfsm.Mode(x.Mode)
	case wire.KindGiveBack:
		var x wire.GiveBack
		x, err = wire.DecodeGiveBack(body)
		q.Session, q.Token, q.Target = x.Session, x.Token, x.Target
	case wire.KindCancel:
		var x wire.Cancel
		x, err = wire.DecodeCancel(body)
		q.Session, q.Target = x.Session, x.Target
	case wire.KindRenewHold:
		var x wire.RenewHold
		x, err = wire.DecodeRenewHold(body)
		q.Session, q.Token = x.Session, x.Token
	default:
		return
	}
	if err != nil {
		c.w.failf("%s sends a %v that does not decode: %v", c.name(), h.Kind, err)
		return
	}
	q.Floor = c.w.history.Began(h.Group)
	c.asked[h.Request] = q
}

// overhearAcquire reads a request for one lock, with terms or without.
func overhearAcquire(q *check.Question, body []byte) error {
	if q.Kind == wire.KindAsk {
		x, err := wire.DecodeAsk(body)
		q.Kind, q.Session, q.Name, q.Mode = x.Kind, x.Session, string(x.Name), lockfsm.Mode(x.Mode)
		q.Permits = lockfsm.Permits(x.Permits)
		return err
	}
	x, err := wire.DecodeAcquire(body)
	q.Session, q.Name, q.Mode = x.Session, string(x.Name), lockfsm.Mode(x.Mode)
	return err
}

// overhearOfHold reads a change of a hold's data, or its end by force.
func overhearOfHold(q *check.Question, body []byte) error {
	if q.Kind == wire.KindAmend {
		x, err := wire.DecodeAmend(body)
		q.Session, q.Token, q.Target, q.Name = x.Session, x.Token, x.Target, string(x.Name)
		return err
	}
	x, err := wire.DecodeForce(body)
	q.Token, q.Name = x.Token, string(x.Name)
	return err
}

// overhearSession reads for which nonce a session is to be opened, or which is closed.
func overhearSession(q *check.Question, body []byte) error {
	if q.Kind == wire.KindCloseSession {
		x, err := wire.DecodeCloseSession(body)
		q.Session = x.Session
		return err
	}
	x, err := wire.DecodeOpenSession(body)
	q.Nonce = x.Nonce
	return err
}

// overhearQuestion reads what is to be listed or found, or whether a Chase asks a group or
// a node.
func overhearQuestion(q *check.Question, body []byte) error {
	switch q.Kind {
	case wire.KindList:
		x, err := wire.DecodeList(body)
		q.Name, q.After = string(x.Prefix), string(x.After)
		return err
	case wire.KindFindSession:
		x, err := wire.DecodeFindSession(body)
		q.Nonce, q.Target = x.Nonce, x.After
		return err
	}
	x, err := wire.DecodeChase(body)
	q.OfNode = x.Scope == wire.ChaseNode
	return err
}

// overhearKinds reads a request for permits, or of an owner.
func overhearKinds(q *check.Question, body []byte) error {
	if q.Kind == wire.KindTake {
		x, err := wire.DecodeTake(body)
		q.Session, q.Name, q.Permits = x.Session, string(x.Name), lockfsm.Permits(x.Permits)
		return err
	}
	x, err := wire.DecodeEnter(body)
	q.Session, q.Name, q.Mode = x.Session, string(x.Name), lockfsm.Mode(x.Mode)
	return err
}

// overhearRelease reads what is given back.
func overhearRelease(q *check.Question, body []byte) error {
	if q.Kind == wire.KindLeave {
		x, err := wire.DecodeLeave(body)
		q.Session, q.Token, q.Target = x.Session, x.Token, x.Target
		return err
	}
	x, err := wire.DecodeRelease(body)
	q.Session, q.Token = x.Session, x.Token
	return err
}

// overhearSeveral reads a request for several names, or to give them back.
func overhearSeveral(q *check.Question, body []byte) error {
	if q.Kind == wire.KindReleaseAll {
		x, err := wire.DecodeReleaseAll(body)
		q.Session, q.Token, q.Target = x.Session, x.Token, x.Target
		return err
	}
	x, err := wire.DecodeAcquireAll(body)
	q.Session = x.Session
	return err
}

// listen holds every answer against the log, whether the client goes by it or
// not: a node has said it.
func (c *coreClient) listen(from *conn, frames []byte) {
	from.eachFrame(frames, func(h wire.Header, body []byte) {
		c.listenSessions(h, body)
		switch {
		case c.frames != nil:
			c.frames(from, h, body)
		case h.Kind == wire.KindWaiting:
			c.placed(from, h, body)
		case h.Kind == wire.KindLost:
			if x, err := wire.DecodeLost(body); err == nil {
				c.w.toldLost(h.Group, &x)
			}
		}
		q := c.asked[h.Request]
		if h.Kind != wire.KindResponse || q == nil {
			return
		}
		x, err := wire.DecodeResponse(body)
		if err != nil {
			c.w.failf("node %d sends a response that does not decode: %v", from.p.site.id, err)
			return
		}
		c.w.statuses[x.Status]++
		c.w.note("answer", 100+uint64(c.id), uint64(h.Group), h.Request, uint64(x.Status), x.Token,
			x.Slot)
		switch x.Status {
		case wire.StatusNotLeader, wire.StatusUncertain, wire.StatusStopping, wire.StatusBusy:
		default:
			q.Version = from.versions[h.Request]
			c.w.check(c.w.history.Witnessed(q, &x))
			if q.Kind == wire.KindWhy && x.Status == wire.StatusOK {
				c.w.blocked(h.Group, q.Name, x.Slot, x.Payload)
			}
			if q.Kind == wire.KindTop && x.Status == wire.StatusOK {
				c.w.topTold(x.Payload)
			}
			if q.Value && x.Status == wire.StatusOK {
				c.brought(q, &x)
			}
		}
	})
}

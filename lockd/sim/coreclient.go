package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	lockclient "lockd/client"
	"lockd/lockd/node"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// coreClient is the client of production without its goroutines: the world gives
// its Core conns, bytes and time. What it sends and hears is listened to, so that
// every answer it gets is held against the log.
type coreClient struct {
	w     *World
	id    int
	clock clock
	dice  dice
	core  *lockclient.Core
	conns map[lockclient.ConnID]*conn
	dials map[*conn]lockclient.ConnID
	calls []*coreCall
	// asked are the questions that went out, by request id.
	asked map[uint64]*check.Question
	// renewing is when each request that renews sessions first went out, and counts how
	// long one lives from then on at least: its lease, or its grace if that is shorter.
	renewing map[uint64]Time
	counts   Time
	// tick is raised when the next tick is planned anew; older plans are void.
	tick int
	// tried are the nodes it has dialled since all was healed.
	tried   map[*site]bool
	away    Time
	muted   Time // until when nothing it sends arrives
	leaving bool
	starts  int      // of its process, after the first
	revival *revival // that is under way
	opening *opening // that is to come about, nil if none is
	still   Time     // until when it begins nothing
	ready   lockclient.Ready
	// after is called when the Core has carried out what it had, frames with every
	// frame that came; nil is nobody.
	after  func()
	frames func(from *conn, h wire.Header, body []byte)
}

// coreCall is a call with the hold it may have led to.
type coreCall struct {
	lockclient.Call
	// believed says that the checkers know of the hold.
	believed bool
	told     uint64 // the token they know it by
	released bool
	// stays is until when its caller neither gives it up nor gives it back.
	stays Time
	// of is the hold that a Convert is about.
	of *coreCall
	// then takes the outcome, if not nil.
	then func(x *lockclient.Call)
}

var errGaveUp = errors.New("sim: the caller gave up")

func newCoreClient(w *World, id int) *coreClient {
	d := newDice(w.opts.Seed, fmt.Sprint("core ", id))
	c := &coreClient{w: w, id: id, clock: newClock(d, w.opts.Drift), dice: d,
		conns: make(map[lockclient.ConnID]*conn), dials: make(map[*conn]lockclient.ConnID),
		asked: make(map[uint64]*check.Question), tried: make(map[*site]bool),
		renewing: make(map[uint64]Time)}
	c.core = lockclient.NewCore(c.config(), c.now())
	return c
}

// config is what a start of the client is made with. All starts are one client to
// others, and none knows the nonces of another's sessions.
func (c *coreClient) config() lockclient.CoreConfig {
	w := c.w
	cfg := lockclient.CoreConfig{
		Name:  fmt.Sprint("core ", c.id),
		Lease: time.Duration(w.opts.Lease) * time.Millisecond,
		// The node's clock may run fast by as much as ours runs slow.
		Drift: float64(maxDrift+1000) / 1e6, Margin: 20 * time.Millisecond,
		MaxInFlight: 64, DialTimeout: time.Duration(w.patience()),
		Nonce: wire.Nonce{0: coreFlow, 1: byte(c.id), 14: byte(c.starts), 15: byte(c.starts >> 8)},
		Seed:  c.dice.Uint64(), FirstRequest: uint64(c.starts) << 40,
	}
	if w.opts.LetGo {
		cfg.Grace = max(time.Second, cfg.Lease*time.Duration(newDice(w.opts.Seed, "grace").
			between(500, 1000))/1000)
	}
	if c.counts = Time(cfg.Lease); cfg.Grace > 0 {
		c.counts = min(c.counts, Time(cfg.Grace.Truncate(time.Millisecond)))
	}
	for _, s := range w.sites[:w.opts.Nodes] {
		cfg.Endpoints = append(cfg.Endpoints, fmt.Sprint(s.id))
	}
	return cfg
}

func (c *coreClient) now() lockclient.Instant {
	return lockclient.Instant(c.clock.read(c.w.agenda.Now()))
}

func (c *coreClient) reaches(*site) bool { return true }

func (c *coreClient) awayUntil() Time { return c.away }

func (c *coreClient) name() string { return fmt.Sprint("core client ", c.id) }

// begin lets the client dial and work.
func (c *coreClient) begin() {
	c.core.Reach(c.now())
	c.carryOut()
	c.work()
}

// hear hands on what a node sent.
func (c *coreClient) hear(from *conn, frames []byte) {
	c.listen(from, frames)
	id, ok := c.dials[from]
	if !ok || c.w.failure != nil {
		return
	}
	used, err := c.core.Receive(c.now(), id, frames)
	if err != nil || used != len(frames) {
		c.w.failf("%s takes %d of %d bytes of node %d: %v", c.name(), used, len(frames),
			from.p.site.id, err)
		return
	}
	c.carryOut()
}

// lost tells of the end of a conn.
func (c *coreClient) lost(gone *conn) {
	if id, ok := c.dials[gone]; ok {
		c.unlink(id)
		c.core.Disconnected(c.now(), id, errors.New("conn reset"))
		c.carryOut()
	}
}

func (c *coreClient) unlink(id lockclient.ConnID) {
	delete(c.dials, c.conns[id])
	delete(c.conns, id)
}

// carryOut does what the Core wants done, and plans the next tick.
func (c *coreClient) carryOut() {
	for again := true; again; {
		c.core.Take(&c.ready)
		again = len(c.ready.Dials)+len(c.ready.Closes)+len(c.ready.Writes) > 0
		for _, d := range c.ready.Dials {
			c.dial(d)
		}
		for _, id := range c.ready.Closes {
			if conn := c.conns[id]; conn != nil {
				c.unlink(id)
				conn.giveUp()
			}
		}
		for _, id := range c.ready.Writes {
			c.send(id)
		}
		c.settle()
		if c.after != nil {
			c.after()
		}
	}
	c.revive()
	c.plan()
}

// dial makes a conn, or says later that there is none.
func (c *coreClient) dial(d lockclient.NewConn) {
	var s *site
	for _, each := range c.w.sites {
		if fmt.Sprint(each.id) == d.Address {
			s = each
		}
	}
	if c.w.healing {
		c.tried[s] = true
	}
	latency := c.w.dice.network.around(c.w.opts.Latency)
	made := c.w.openConn(c, s)
	c.w.say("%s dials node %d: conn %d", c.name(), s.id, connNumber(made))
	if made != nil {
		c.conns[d.Conn], c.dials[made] = made, d.Conn
	}
	core := c.core
	c.w.agenda.After(latency, func() {
		switch {
		case c.core != core: // which died meanwhile
			return
		case made == nil:
			c.core.Disconnected(c.now(), d.Conn, errors.New("conn refused"))
		case c.conns[d.Conn] == made:
			c.core.Connected(c.now(), d.Conn)
		}
		c.carryOut()
	})
}

// connNumber is zero for no conn.
func connNumber(c *conn) node.ConnID {
	if c == nil {
		return 0
	}
	return c.id
}

// send carries out the output of a conn. The hello goes no further than the door
// of the node, which greets.
func (c *coreClient) send(id lockclient.ConnID) {
	out, conn := c.core.Output(id, nil), c.conns[id]
	for len(out) > 0 && conn != nil {
		n, err := wire.FrameBytes(out, wire.MaxFrameBytes)
		if err != nil || n == 0 || n > len(out) {
			c.w.failf("%s sends a frame that does not parse: %v", c.name(), err)
			return
		}
		h, body, err := wire.Parse(out[:n])
		if err != nil {
			c.w.failf("%s sends a frame that does not parse: %v", c.name(), err)
			return
		}
		c.w.requests[h.Kind]++
		if h.Kind == wire.KindHello {
			c.w.agenda.After(c.w.dice.network.around(c.w.opts.Latency), conn.greet)
		} else {
			conn.versions[h.Request] = h.Version()
			if h.Kind == wire.KindKeepalive || h.Kind == wire.KindOpenSession {
				c.overhearRenewal(h)
			}
			c.overhear(h, body)
			if h.Kind == wire.KindChase {
				c.openCircle(body)
			}
			if c.muted > c.w.agenda.Now() {
				conn.toNode.clog = c.muted
			}
			conn.request(out[:n])
			if h.Kind == wire.KindKeepalive && c.w.faulty(FaultClog) && c.dice.permille(60) {
				c.mute(conn)
			}
			asks := h.Kind == wire.KindAsk || h.Kind == wire.KindAcquireAll
			if asks && c.w.faulty(FaultClog) && c.dice.permille(150) {
				// The grant is long on its way.
				conn.toClient.clog = c.w.agenda.Now() +
					c.dice.length(0, Time(c.w.opts.Lease)*millisecond/2)
			}
		}
		out = out[n:]
	}
}

// mute has nothing arrive any more that the client sends after a keepalive, not
// even over another conn, for longer than that renews; and the answer comes late.
// Who counts from the answer then believes in a session that has ended.
func (c *coreClient) mute(renewing *conn) {
	lease := Time(c.w.opts.Lease) * millisecond
	c.muted = c.w.agenda.Now() + c.dice.length(lease, 2*lease)
	renewing.toClient.clog = c.w.agenda.Now() + c.dice.length(0, lease/4)
	for made := range c.dials { // order: each by itself
		made.toNode.clog = c.muted
	}
	c.w.covered["core muted"]++
}

// plan has the Core ticked when it wants to be.
func (c *coreClient) plan() {
	c.tick++
	tick, next := c.tick, c.core.Next()
	if next == 1<<63-1 {
		return
	}
	wait := Time(next-c.now()) + 1
	wait = min(max(wait, 1), second)
	c.w.agenda.After(wait, func() {
		if c.tick != tick {
			return
		}
		if c.away > c.w.agenda.Now() {
			c.w.agenda.At(c.away, c.plan)
			return
		}
		if c.core.Next() <= c.now() {
			c.core.Tick(c.now())
		}
		c.carryOut()
	})
}

// settle looks at calls that have ended.
func (c *coreClient) settle() {
	for _, x := range c.ready.Done {
		k := c.find(x)
		if k == nil {
			continue
		}
		if x.State() == lockclient.StateHeld && !k.believed {
			c.believe(k)
		}
		if k.of != nil {
			c.rebelieve(k.of)
			if x.Err == nil {
				c.w.covered["core converted"]++
			}
		}
		if k.then != nil {
			k.then(x)
		}
		if d := (*lockclient.DeadlockError)(nil); errors.As(x.Err, &d) && len(d.Steps) > 0 {
			c.w.circleTold(c, x, d)
		}
		if x.Kind == wire.KindAwait && x.Err == nil {
			c.w.covered["core let through"]++
		}
		if x.Err != nil && !expected(x.Err) {
			c.w.failf("%s: %v %q ended as %v", c.name(), x.Kind, x.Name, x.Err)
		}
	}
	for _, l := range c.ready.Lost {
		c.w.covered["core lost a hold"]++
		switch {
		case errors.Is(l.Err, lockclient.ErrMaxHold):
			c.w.covered["core lost by max hold"]++
		case errors.Is(l.Err, lockclient.ErrForced):
			c.w.covered["core forced"]++
		}
		if !errors.Is(l.Err, lockclient.ErrLost) {
			c.w.failf("%s lost a hold as %v", c.name(), l.Err)
		}
	}
	c.calls = slices.DeleteFunc(c.calls, func(k *coreCall) bool {
		over := k.State() == lockclient.StateDone || k.State() == lockclient.StateLost
		if over {
			c.disbelieve(k)
		}
		return over
	})
}

// expected reports whether a call may end so.
func expected(err error) bool {
	for _, is := range []error{
		lockclient.ErrHeld, lockclient.ErrLost, lockclient.ErrUnavailable, lockclient.ErrBusy,
		lockclient.ErrNotFound, lockclient.ErrClosed, lockclient.ErrSessionEnded,
		lockclient.ErrOtherKind, lockclient.ErrDeadlock, lockclient.ErrOtherMode,
		lockclient.ErrAlreadySet, lockclient.ErrBroken,
		lockclient.ErrUnlocked, lockclient.ErrUnsupported, lockclient.ErrOptions,
		lockclient.ErrTooMuchData, lockclient.ErrNotWriter, lockclient.ErrStaleToken, errGaveUp,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func (c *coreClient) find(x *lockclient.Call) *coreCall {
	for _, k := range c.calls {
		if &k.Call == x {
			return k
		}
	}
	return nil
}

// believe tells the checkers of a hold.
func (c *coreClient) believe(k *coreCall) {
	k.believed, k.told = true, k.Token
	c.w.covered["core held"]++
	if k.Wants != nil {
		c.w.covered["core held several"]++
	}
	switch {
	case k.Capacity != 0:
		c.w.covered["core held permits"]++
	case k.Owner != 0:
		c.w.covered["core entered"]++
	}
	believes := func() bool {
		return !k.released && k.State() == lockclient.StateHeld && c.now() < c.core.ValidUntil(&k.Call)
	}
	k.held(func(name string, mode wire.Mode, token uint64) {
		c.w.leases.Believe(k.Group, name, check.Belief{Token: lockfsm.Token(token),
			Mode: lockfsm.Mode(mode), Client: 100 + c.id, Believes: believes,
			Permits: lockfsm.Permits(k.Permits), Capacity: lockfsm.Permits(k.Capacity)})
		if mode == wire.ModeEX {
			c.w.write(c.dice, c.name(), lockName{k.Group, name}, lockfsm.Token(token))
		}
	})
}

package client

import (
	"fmt"
	"time"

	"lockd/netio/wire"
)

// CoreConfig configures a Core, which see. All fields up to Seed are required.
type CoreConfig struct {
	Name        string        // of the client, as others see it
	Endpoints   []string      // addresses to begin with
	Lease       time.Duration // of a session, as the nodes are asked for it
	Drift       float64       // as in Options
	Margin      time.Duration // as in Options
	MaxInFlight int           // calls that are open at a time
	DialTimeout time.Duration // greeting included
	Nonce       wire.Nonce    // random; the base of the nonces of all sessions
	Seed        uint64        // random; for jitter
	// Beat is the time between two keepalives; zero is a third of Lease.
	Beat time.Duration
	// Grace is how long after the end of a conn the nodes let the sessions go that
	// have no other; zero is not before their lease has run out.
	Grace time.Duration
	// FirstRequest is below the ids of all requests; zero but for a client that
	// takes over sessions.
	FirstRequest uint64
}

// Times of the Core that nobody needs to change.
const (
	// sweepEvery is how exactly the timeouts of calls are kept.
	sweepEvery = 100 * time.Millisecond
	// A group that nobody seems to lead is asked for again after backoffLeast,
	// then twice that, up to backoffMost. One that ends one session after the other,
	// before any of them was of use, is asked for the next with the same delays.
	backoffLeast = 4 * time.Millisecond
	backoffMost  = 250 * time.Millisecond
	// An address that cannot be reached is tried again after redialLeast, then
	// twice that, up to redialMost.
	redialLeast = 20 * time.Millisecond
	redialMost  = 1 * time.Second
	// A group waits for patience for the conn it is to be attached to, and
	// then tries another.
	patience = 300 * time.Millisecond
	// A conn that owes answers and is silent for pingAfter is asked for a sign
	// of life, and closed pingTimeout later.
	pingAfter   = 500 * time.Millisecond
	pingTimeout = 700 * time.Millisecond
)

// Core is the client without sockets, goroutines and clocks: it routes requests,
// keeps sessions alive and counts their leases. It is for whoever brings his own loop
// round it, first of all the simulator; who wants locks wants a Client. See "For who
// brings his own loop" in the package comment.
//
// It is steppable: it belongs to one goroutine, or to whoever holds one lock, and
// does a bounded amount of work per call. Time is handed in and must not go back.
//
// After any call that changes state the caller empties Ready and carries it
// out, asks Next when to call Tick, and takes the bytes of each conn named in
// Ready.Writes with Output.
type Core struct {
	cfg       CoreConfig
	leaseSpan time.Duration // what a renewal is worth: see span
	margins   margins
	beat      time.Duration // between two keepalives
	now       Instant
	alarm     Instant // next, as the last Tick left it
	next      Instant // when Tick wants to be called
	sweepAt   Instant // never if no call is open
	random    uint64
	// keptChange is raised when the sessions change that a file must name.
	keptChange uint64
	lastConn   ConnID
	endpoints  []*endpoint
	groups     []group // empty before the first Welcome
	cluster    uint64
	limits     wire.Limits
	calls      callTable
	userOpen   int      // open calls that come back in Done
	direct     callList // open calls to one node: Status
	scout      scout
	detached   callList // holds that live by their own time to live
	capped     cappedHeap
	ready      Ready
	scratch    []byte
	refs       []wire.SessionRef
	orphans    []*Call // Watches of Places that nobody wants any more
	// chases are the searches for circles, with some whose request has ended; the next
	// round begins at chaseAt. chaseReady are those that have all their answers.
	chases, chaseReady []*chase
	chaseAt            Instant
	closed             bool
}

// group is what the Core knows of one group.
type group struct {
	number  uint16
	calls   callList // open, in the order in which they were started
	session session
	leader  uint16  // believed; zero is unknown
	epoch   uint32  // raised whenever the group is attached to a conn
	via     int     // endpoint it is, or is to be, attached to; -1 is none
	left    int     // endpoint it was attached to before; -1 is none
	live    bool    // attached: via is up and open calls have been sent to it
	heard   bool    // the session was opened or renewed there since: pushes come
	tries   int     // detaches since the last answer
	barren  int     // sessions that ended since the last answer of another kind
	opens   uint64  // sessions asked for
	turn    int     // endpoint to ask next when the leader is unknown
	upTurn  int     // the same among those that are up
	retryAt Instant // when to look for a leader again; never if nothing to do
	dirty   bool    // has calls that Start could not send
	// atGate are the ids of the open calls at gates that have one, ascending.
	atGate []uint64
	debts  []debt // of conns that are up, at most one each
	// changes are the last of the open changes of each hold.
	changes map[changedBy]*Call
	// givingUp is how many Cancels of GiveUp are open.
	givingUp int
	// recheck is what the group is being asked of holds.
	recheck recheck
}

// NewConn is one dial that a Core wants done: see Ready.
type NewConn struct {
	Conn    ConnID
	Address string
}

// Ready is what the Core wants done. The slices are reused: they are valid
// until the next call of Take with the same Ready.
type Ready struct {
	Dials  []NewConn
	Closes []ConnID // conns to close; their end need not be reported
	Writes []ConnID // conns with bytes to write
	Done   []*Call  // ended; the caller owns them again
	Lost   []LostHold
	// Told are the channels of Views and Places that have news: to be sent to, if
	// there is room.
	Told []chan struct{}
}

// LostHold is a hold of a Core that ended unasked: see Ready. Its Call may be in use
// anew by the time one looks: Use tells.
type LostHold struct {
	Call *Call
	Use  uint64
	Err  *LostError
}

// NewCore returns a Core that has done nothing yet.
func NewCore(cfg CoreConfig, now Instant) *Core {
	span := cfg.span()
	c := &Core{
		cfg:       cfg,
		leaseSpan: span,
		margins:   margins{of: span, began: now, last: span, before: span},
		beat:      cfg.pulse(),
		now:       now,
		alarm:     never,
		next:      now,
		sweepAt:   never,
		chaseAt:   never,
		random:    cfg.Seed,
		limits:    wire.DefaultLimits(),
	}
	c.calls.last = cfg.FirstRequest
	for _, address := range cfg.Endpoints {
		c.addEndpoint(address, 0)
	}
	return c
}

// lessDrift returns how much of d, which the nodes count on their clocks, ours
// may count. Theirs may run fast and ours slow, each by drift; then d has passed
// there when d * (1 - drift) / (1 + drift) has here, which is never less than
// d * (1 - 2 * drift).
func lessDrift(d time.Duration, drift float64) time.Duration {
	return time.Duration(float64(d) * (1 - 2*drift))
}

// Next returns when Tick wants to be called: at once if not after now.
func (c *Core) Next() Instant { return c.next }

// Groups returns the number of groups, zero before the first Welcome.
func (c *Core) Groups() int { return len(c.groups) }

// Take moves what is ready to r, whose slices it reuses.
func (c *Core) Take(r *Ready) {
	r.Dials, c.ready.Dials = c.ready.Dials, r.Dials[:0]
	r.Closes, c.ready.Closes = c.ready.Closes, r.Closes[:0]
	r.Writes, c.ready.Writes = c.ready.Writes, r.Writes[:0]
	r.Done, c.ready.Done = c.ready.Done, r.Done[:0]
	r.Lost, c.ready.Lost = c.ready.Lost, r.Lost[:0]
	r.Told, c.ready.Told = c.ready.Told, r.Told[:0]
}

func (c *Core) schedule(at Instant) {
	if at < c.next {
		c.next = at
	}
}

// rand steps a splitmix64 generator.
func (c *Core) rand() uint64 {
	c.random += 0x9e3779b97f4a7c15
	z := c.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// jitter returns between half of d and d.
func (c *Core) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(c.rand()%uint64(d/2+1))
}

// backoff returns least doubled n times, at most most, with jitter.
func (c *Core) backoff(least, most time.Duration, n int) time.Duration {
	d := least
	for i := 0; i < n && d < most; i++ {
		d *= 2
	}
	return c.jitter(min(d, most))
}

// NewOwner returns a random owner id for a detached hold.
func (c *Core) NewOwner() uint64 { return c.rand() | wire.DetachedOwner }

// Start begins a Call, or continues one: a Call in StateHeld whose Kind was
// changed to KindRelease or KindLeave, which from then on is no hold any more. Before the first
// Welcome, after Close and over a bound it ends at once with an error. It looks
// at no clock, so that the usual case is cheap; what needs one waits for Tick.
func (c *Core) Start(x *Call) {
	if x.state == StateOpen {
		panic("client: started call is open")
	}
	if x.list != nil {
		x.list.remove(x)
		c.uncap(x)
	}
	err := c.admit(x)
	if x.Kind == wire.KindRelease && x.moves && x.Owner == 0 {
		x.Kind = wire.KindGiveBack
	}
	x.reset()
	x.state = StateOpen
	if !x.background {
		c.userOpen++
	}
	if err != nil {
		c.end(x, err)
		return
	}
	if x.Timeout > 0 && c.sweepAt == never {
		c.sweepAt = 0
		c.schedule(0)
	}
	if x.direct() {
		c.direct.push(x)
		c.schedule(0)
		return
	}
	g := &c.groups[x.Group]
	g.calls.push(x)
	if x.Kind == wire.KindConvert {
		c.turn(x)
	}
	if x.changes() {
		g.listChange(x)
	}
	if g.live && c.canSend(g, x) && !x.timed() {
		c.send(x)
		c.schedule(c.now.Add(pingAfter))
		return
	}
	g.dirty = true
	c.schedule(0)
}

// timed reports whether the moment of the first send matters.
func (x *Call) timed() bool {
	return x.detached() || x.Kind == wire.KindRenewHold || x.Kind == wire.KindOpenSession ||
		x.maxHold() > 0 || x.Kind == wire.KindCheckTokens && x.of != nil
}

// admit checks a Call and finds its group.
func (c *Core) admit(x *Call) error {
	switch {
	case x.background && len(c.groups) > 0:
		return nil // its group is known and its name was checked
	case x.Kind.Releases() && x.state == StateLost:
		return x.lost
	case x.Kind == wire.KindConvert:
		return c.admitConvert(x)
	case c.closed:
		return fmt.Errorf("%w: %s %q", ErrClosed, x.Kind, x.Name)
	case len(c.groups) == 0:
		return fmt.Errorf("%w: %s %q: no node has answered yet", ErrUnavailable, x.Kind, x.Name)
	case x.Kind.Releases(), x.Kind == wire.KindFindSession:
		// What gives back makes room: it is never refused for what else is open. A client
		// that is started again asks all groups at once, before it is anybody's.
	case c.userOpen >= min(c.cfg.MaxInFlight, int(c.limits.InFlight)):
		return fmt.Errorf("%w: %d requests in flight; raise MaxInFlight or wait for answers",
			ErrBusy, c.userOpen)
	}
	switch x.Kind {
	case wire.KindStatus, wire.KindTop:
		return nil
	case wire.KindHistory:
		return checkName(x.Name, &c.limits)
	case wire.KindWatch:
		if x.View.prefix && int(x.Group) < len(c.groups) && len(x.Name) <= wire.MaxNameBytes {
			return nil
		}
	case wire.KindList:
		if int(x.Group) >= len(c.groups) || len(x.Name) > wire.MaxNameBytes ||
			len(x.After) > wire.MaxNameBytes {
			return fmt.Errorf("%w: list of %q in group %d", ErrBadName, x.Name, x.Group)
		}
		return nil
	case wire.KindFindSession:
		if int(x.Group) >= len(c.groups) {
			return fmt.Errorf("%w: find a session in group %d", ErrOptions, x.Group)
		}
		return nil
	case wire.KindCheckTokens:
		if int(x.Group) >= len(c.groups) || len(x.Checks) == 0 || len(x.Checks) > wire.MaxChecks {
			return fmt.Errorf("%w: check of %d tokens in group %d", ErrOptions, len(x.Checks), x.Group)
		}
		return nil // the nodes check the names
	}
	if err := checkName(x.Name, &c.limits); err != nil {
		return err
	}
	if x.Kind == wire.KindAmend {
		if x.Hold == nil {
			return fmt.Errorf("%w: an Amend of %q without a hold", ErrOptions, x.Name)
		}
		x.amends()
	}
	if c.limits.MaxHoldMillis > 0 && !x.Kind.Releases() {
		if err := x.outOfBounds(&c.limits); err != nil {
			return err
		}
	}
	x.Group = wire.GroupOf("", x.Name, uint16(len(c.groups)))
	return nil
}

// Abandon ends a Call whose caller no longer waits, with err. What it may have
// done is undone, or finished, in the background. A Call that is not open is
// left alone.
func (c *Core) Abandon(x *Call, err error) {
	if x.state != StateOpen || x.background {
		return
	}
	switch {
	case x.left != nil:
		c.giveBack(x, x.Token)
	case x.Kind == wire.KindConvert:
		c.abandonConvert(x)
	case x.Kind.AtGate():
		c.abandonGate(x)
	case x.Kind.Acquires() && x.sends > 0 && x.Flags&wire.FlagWait == 0:
		c.outlive(x)
	case x.Kind.Acquires() && x.sends > 0:
		c.startBackground(&Call{
			Kind: wire.KindCancel, Name: x.Name, Session: x.Session, Flags: x.Flags,
			Group: x.Group, target: x.request, Owner: x.Owner, TTL: x.TTL, Wants: x.Wants,
		})
	case x.Kind.Releases():
		c.startBackground(x.back(x.Token))
	case x.Kind == wire.KindWatch && x.sends > 0:
		c.unwatch(x)
	case x.renews() && x.sends > 0:
		c.forgetRenewal(x)
	}
	c.end(x, err)
}

// outlive lets a try go on without its caller. Its answer comes soon by itself,
// so a Cancel would only be one more request; what it brings is given back.
func (c *Core) outlive(x *Call) {
	y := &Call{}
	*y = *x
	y.Place, y.place, y.told = nil, nil, nil
	y.background, y.wake, y.held, y.list, y.prev, y.next = true, nil, nil, nil, nil, nil
	y.Timeout, y.deadline = 0, 0
	if x.detached() {
		y.Timeout = x.TTL
	}
	c.calls.replace(x, y)
	c.groups[x.Group].calls.push(y)
}

// startBackground starts a Call of the Core itself. It lives as long as the
// session it is about, or as the detached hold.
func (c *Core) startBackground(x *Call) {
	x.background = true
	if x.detached() {
		x.Timeout = x.TTL
	}
	c.Start(x)
}

// end takes a Call out of the Core with its outcome.
func (c *Core) end(x *Call, err error) {
	c.leavePlace(x)
	c.unnumber(x)
	if x.list != nil {
		x.list.remove(x)
		c.turned(x)
		if x.changes() {
			c.endChange(x)
		}
	}
	if x.stays {
		c.groups[x.Group].givingUp--
	}
	x.state = StateDone
	x.Err = err
	switch {
	case x.chase == nil:
	case x.Kind == wire.KindChase:
		c.chaseEnded(x)
	default:
		x.chase.of, x.chase = nil, nil
	}
	if !x.background {
		c.userOpen--
		c.ready.Done = append(c.ready.Done, x)
	}
}

// grant ends an Acquire as a hold, which l will list.
func (c *Core) grant(x *Call, l *callList) {
	c.end(x, nil)
	x.state = StateHeld
	l.push(x)
}

// lose ends a hold unasked. If its Release or RenewHold is open, that ends.
func (c *Core) lose(x *Call, cause error) {
	c.loseAs(x, &LostError{Name: x.Name, Token: x.Token, Cause: cause})
}

func (c *Core) loseAs(x *Call, err *LostError) {
	if x.state == StateOpen {
		c.end(x, err)
		return
	}
	x.list.remove(x)
	c.uncap(x)
	x.state = StateLost
	x.lost = err // not Err: whoever was just granted it may be reading that
	c.ready.Lost = append(c.ready.Lost, LostHold{Call: x, Use: x.Use, Err: err})
}

// disown has what is open of a hold go by a copy of it, for its Call is about to be used
// in another Core. Requires: the hold is over.
func (c *Core) disown(x *Call) {
	last := *x
	for i := range c.groups {
		g := &c.groups[i]
		for y := g.calls.head; y != nil; y = y.next {
			if y.Hold == x {
				y.Hold = &last
			}
		}
		g.disownChanges(x, &last)
		for k := range g.recheck.left {
			if h := &g.recheck.left[k]; h.call == x {
				h.call = &last
			}
		}
	}
}

// Tick does what is due. Requires: now is not before any earlier moment.
func (c *Core) Tick(now Instant) {
	late := c.alarm < now && now.Sub(c.alarm) > pingTimeout/2
	c.now = now
	c.next = never
	if late {
		c.forgivePings()
	}
	c.endOrphans()
	c.expireDetached()
	c.expireCapped()
	c.tickChases()
	for i := range c.groups {
		c.tickGroup(&c.groups[i], uint16(i))
	}
	c.tickScout()
	c.startDirect()
	for i := range c.endpoints {
		c.tickEndpoint(i)
	}
	if c.sweepAt <= now {
		c.sweep()
	}
	c.schedule(c.sweepAt)
	c.alarm = c.next
}

// tickGroup expires the session, looks for a leader and sends what waits.
func (c *Core) tickGroup(g *group, number uint16) {
	c.tickSession(g, number)
	if !g.live && c.wanted(g) && g.retryAt <= c.now {
		if g.via >= 0 {
			g.leader = 0
			g.tries++
		}
		c.route(g)
	}
	if g.live && g.recheck.due {
		c.startRecheck(g)
	}
	if g.live && g.dirty {
		c.sendAll(g)
	}
	if !g.live && c.wanted(g) {
		c.schedule(g.retryAt)
	}
}

// wanted reports whether the group needs a leader.
func (c *Core) wanted(g *group) bool {
	return g.calls.head != nil || g.session.state == sessionOpen
}

// sweep ends calls whose time is over.
func (c *Core) sweep() {
	c.sweepAt = never
	for i := range c.groups {
		c.sweepList(&c.groups[i].calls)
	}
	c.sweepList(&c.direct)
}

func (c *Core) sweepList(l *callList) {
	for x := l.head; x != nil; {
		next := x.next
		switch {
		case x.Timeout <= 0:
		case x.deadline == 0:
			x.deadline = c.now.Add(x.Timeout)
			c.sweepAt = c.now.Add(sweepEvery)
		case x.deadline > c.now:
			c.sweepAt = c.now.Add(sweepEvery)
		case x.background:
			c.end(x, ErrUnavailable)
		default:
			c.Abandon(x, c.unavailable(x))
		}
		x = next
	}
}

// Close gives up all calls and holds, and closes the sessions in the
// background; Closing tells when that is over: then it is zero.
func (c *Core) Close() {
	if c.closed {
		return
	}
	c.closed = true
	for i := range c.groups {
		c.closeGroup(&c.groups[i], uint16(i))
	}
	for c.direct.head != nil {
		c.end(c.direct.head, ErrClosed)
	}
	for c.detached.head != nil {
		c.lose(c.detached.head, ErrClosed)
	}
}

// Closing returns how many calls are open yet: after Close those that close the
// sessions, and that give detached holds back which nobody waited for.
func (c *Core) Closing() int {
	n := 0
	for i := range c.groups {
		n += c.groups[i].calls.count
	}
	return n
}

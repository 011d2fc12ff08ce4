package client

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// ConnID names a conn of a Core. Ids are never reused in a Core; zero is none.
type ConnID uint64

// connState is how far a conn has come.
type connState uint8

const (
	connNone     connState = iota
	connDialing            // asked for in Ready.Dials
	connGreeting           // connected, Hello sent
	connUp                 // Welcome received
)

// endpoint is one address of a node and the conn to it.
type endpoint struct {
	address  string
	learned  bool   // from a node; else the client was told to dial it
	node     uint16 // that answers there, or is said to; zero is unknown
	version  uint16 // of the protocol on the conn, once it is up
	conn     ConnID
	state    connState
	out      []byte  // to be written
	failures int     // since the last Welcome
	dialAt   Instant // before which it is not dialed again
	greetBy  Instant // when a conn that is not up is given up
	heard    Instant // when bytes last came
	pingedAt Instant // zero if no ping is out
	renewAt  Instant // when the next keepalive is due; never if no session
	renewals [8]renewal
	renewed  int // keepalives sent
	// pushes counts those that came on the conn, seen those the node was told of, in
	// seenRequest, which is to be sent again at seenAt.
	pushes, seen uint64
	seenRequest  uint64
	seenAt       Instant // never if not
	err          error
}

// renewal remembers when a keepalive was sent: leases count from there.
type renewal struct {
	request uint64
	sent    Instant
}

var errSilent = errors.New("client: node is silent")

// learnedMost bounds the addresses that a client has from nodes: two of each.
const learnedMost = 2 * wire.MaxNodes

// addEndpoint adds an address, or learns whose it is. Node is zero for one that the
// client was told to dial.
func (c *Core) addEndpoint(address string, node uint16) {
	learned := 0
	var stale *endpoint
	for _, e := range c.endpoints {
		if e.address == address {
			if e.node == 0 {
				e.node = node
			}
			return
		}
		if !e.learned {
			continue
		}
		learned++
		if e.node == node && e.state == connNone {
			stale = e
		}
	}
	if learned >= learnedMost && stale == nil {
		stale = c.stalest()
	}
	e := &endpoint{address: address, node: node, learned: node != 0, renewAt: never, seenAt: never}
	switch {
	case stale != nil:
		e.dialAt = stale.dialAt // who contradict each other have nobody dial without end
		*stale = *e             // no group is attached to it, nor is to be
	case learned < learnedMost:
		c.endpoints = append(c.endpoints, e)
	}
}

// stalest returns what has failed most often of the addresses learned that have no conn,
// nil if there is none.
func (c *Core) stalest() *endpoint {
	var stale *endpoint
	for _, e := range c.endpoints {
		if e.learned && e.state == connNone && (stale == nil || e.failures > stale.failures) {
			stale = e
		}
	}
	return stale
}

// endpointOf returns the best endpoint of a node, or -1: one that is up, then
// one that may be.
func (c *Core) endpointOf(node uint16) int {
	best := -1
	for i, e := range c.endpoints {
		if e.node != node || (e.state == connNone && e.dialAt > c.now) {
			continue
		}
		if best < 0 || c.before(e, c.endpoints[best]) {
			best = i
		}
	}
	return best
}

// before reports whether an endpoint is to be taken rather than another of its node.
func (c *Core) before(e, other *endpoint) bool {
	if a, b := c.rank(e), c.rank(other); a != b {
		return a > b
	}
	return e.failures < other.failures
}

// rank is how near an endpoint is to being up. One that is being dialed for longer than
// a group waits for it is behind one that is not: an address may swallow all.
func (c *Core) rank(e *endpoint) int {
	switch {
	case e.state == connUp:
		return 3
	case e.state == connNone:
		return 1
	case c.now < e.greetBy.Add(patience-c.cfg.DialTimeout):
		return 2
	default:
		return 0
	}
}

// hearOf learns the address of a node from another: of one that may have joined since
// the Welcome, or moved. It takes the place of one that was learned before.
func (c *Core) hearOf(node uint16, address []byte) {
	if node != 0 && !c.reaches(node) && len(address) > 0 && len(address) <= wire.MaxAddressBytes {
		c.addEndpoint(string(address), node)
	}
}

// reaches reports whether a node has an address that was not tried in vain since it was
// up; that a conn ended is no more than the first failure. While it has, what others say
// of it is of no use: it may be old, or not meant for who comes by a tunnel.
func (c *Core) reaches(node uint16) bool {
	return slices.ContainsFunc(c.endpoints, func(e *endpoint) bool {
		return e.node == node && e.failures < 2
	})
}

// byConn returns the index of the endpoint of a conn, or -1 if it has ended.
func (c *Core) byConn(conn ConnID) int {
	for i, e := range c.endpoints {
		if e.conn == conn && conn != 0 {
			return i
		}
	}
	return -1
}

// pick returns the endpoint to ask for the group, or -1 if none may be dialed
// yet: the leader's, or the next in turn, every other time among those that are
// up. Each of the two has a turn of its own: a few that are up and know nothing
// would else be asked for ever. The one just left is asked again only if there is
// no other.
func (c *Core) pick(g *group) int {
	if g.leader != 0 {
		if i := c.endpointOf(g.leader); i >= 0 {
			return i
		}
		g.leader = 0
	}
	if g.tries%2 == 0 {
		if i := c.nextFrom(&g.upTurn, connUp, g.left); i >= 0 {
			return i
		}
	}
	if i := c.nextFrom(&g.turn, connNone, g.left); i >= 0 {
		return i
	}
	return c.nextFrom(&g.turn, connNone, -1)
}

// nextFrom returns the next endpoint in turn that has come at least so far and
// may be dialed if it must be, but not the one to avoid, or -1.
func (c *Core) nextFrom(turn *int, least connState, avoid int) int {
	for k := range c.endpoints {
		i := (*turn + k) % len(c.endpoints)
		e := c.endpoints[i]
		if i != avoid && e.state >= least && (e.state != connNone || e.dialAt <= c.now) {
			*turn = i + 1
			return i
		}
	}
	return -1
}

// route attaches the group, or dials whom it is to be attached to.
func (c *Core) route(g *group) {
	i := c.pick(g)
	if i < 0 {
		g.retryAt = never
		for _, e := range c.endpoints {
			g.retryAt = min(g.retryAt, e.dialAt)
		}
		c.schedule(g.retryAt)
		return
	}
	g.via = i
	g.retryAt = c.now.Add(patience)
	c.schedule(g.retryAt)
	switch c.endpoints[i].state {
	case connUp:
		c.attach(g)
	case connNone:
		c.dial(c.endpoints[i])
	}
}

// attach raises the epoch and sends all open calls of the group, in order. A
// conn that still owes the group answers is replaced first.
func (c *Core) attach(g *group) {
	e := c.endpoints[g.via]
	if c.indebted(g, e.conn) {
		c.replace(g.via)
		return
	}
	g.forgive(e.conn)
	g.live, g.heard = true, false
	g.epoch++
	if g.session.state == sessionOpen {
		e.renewAt = min(e.renewAt, g.session.renewedAt.Add(c.beat))
		if g.session.askedAt != 0 || c.cfg.Grace > 0 {
			g.session.askedAt = 0
			e.renewAt = c.now
		}
		c.schedule(e.renewAt)
		c.tellGrace(g)
	}
	c.startRecheck(g)
	c.sendAll(g)
}

// detach leaves the present conn. The group is routed anew at once, or after a
// while if that has been in vain for a whole round. The hint is a node, or zero;
// after two rounds every other one is passed over, because nodes that are cut off
// may name each other.
func (c *Core) detach(g *group, hint uint16) {
	g.live, g.left, g.via, g.leader = false, g.via, -1, hint
	g.tries++
	free := len(c.endpoints)
	if hint != 0 {
		free *= 2
		if g.tries > free && g.tries%2 == 1 {
			g.leader = 0
		}
	}
	g.retryAt = c.now
	if g.tries > free {
		g.retryAt = c.now.Add(c.backoff(backoffLeast, backoffMost, g.tries-free-1))
	}
	if !c.wanted(g) {
		return
	}
	if g.retryAt <= c.now {
		c.route(g)
		return
	}
	c.schedule(g.retryAt)
}

// dial asks for a conn.
func (c *Core) dial(e *endpoint) {
	c.lastConn++
	e.conn, e.state = c.lastConn, connDialing
	e.greetBy = c.now.Add(c.cfg.DialTimeout)
	e.pushes, e.seen, e.seenRequest, e.seenAt = 0, 0, 0, never
	c.schedule(e.greetBy)
	c.ready.Dials = append(c.ready.Dials, NewConn{Conn: e.conn, Address: e.address})
}

// Reach dials every endpoint that has no conn, now or when its time comes. It
// is how a client begins.
func (c *Core) Reach(now Instant) {
	c.now = now
	for _, e := range c.endpoints {
		switch {
		case e.state != connNone:
		case e.dialAt <= now:
			c.dial(e)
		default:
			c.schedule(e.dialAt)
		}
	}
}

// Connected says that a dial succeeded. The Hello is the first output.
func (c *Core) Connected(now Instant, conn ConnID) {
	c.now = now
	i := c.byConn(conn)
	if i < 0 {
		return
	}
	e := c.endpoints[i]
	e.state, e.heard, e.pingedAt = connGreeting, now, 0
	e.out = wire.AppendHello(e.out, wire.Header{}, &wire.Hello{
		Version:    wire.Version,
		MinVersion: wire.MinVersion,
		Nonce:      c.cfg.Nonce,
		Name:       []byte(c.cfg.Name),
	})
	c.wrote(e)
}

// Disconnected says that a dial failed or a conn ended. An id whose end the
// Core asked for, or was told of, is ignored.
func (c *Core) Disconnected(now Instant, conn ConnID, err error) {
	c.now = now
	if i := c.byConn(conn); i >= 0 {
		c.drop(i, err)
	}
}

// unlink forgets a conn and what was asked of its node alone.
func (c *Core) unlink(i int, err error) {
	e := c.endpoints[i]
	for j := range c.groups {
		c.groups[j].forgive(e.conn)
	}
	for x := c.direct.head; x != nil; {
		next := x.next
		if x.conn == e.conn {
			c.end(x, fmt.Errorf("%w: %s of node %d at %s: %w", ErrUnavailable, x.Kind,
				e.node, e.address, err))
		}
		x = next
	}
	e.conn, e.state, e.out, e.err = 0, connNone, e.out[:0], err
	e.renewAt = never
}

// drop forgets a conn and routes the groups attached to it anew.
func (c *Core) drop(i int, err error) {
	c.unlink(i, err)
	e := c.endpoints[i]
	e.dialAt = c.now.Add(c.backoff(redialLeast, redialMost, e.failures))
	e.failures++
	c.schedule(e.dialAt)
	for j := range c.groups {
		if c.groups[j].via == i {
			c.detach(&c.groups[j], 0)
		}
	}
}

// shut drops a conn and has it closed.
func (c *Core) shut(i int, err error) {
	c.ready.Closes = append(c.ready.Closes, c.endpoints[i].conn)
	c.drop(i, err)
}

// wrote tells that a conn has output.
func (c *Core) wrote(e *endpoint) {
	if n := len(c.ready.Writes); n > 0 && c.ready.Writes[n-1] == e.conn {
		return
	}
	c.ready.Writes = append(c.ready.Writes, e.conn)
}

// Output swaps the bytes to be written to a conn for the buffer given, which is
// emptied. Nil if the conn has ended.
func (c *Core) Output(conn ConnID, buffer []byte) []byte {
	i := c.byConn(conn)
	if i < 0 {
		return nil
	}
	e := c.endpoints[i]
	out := e.out
	e.out = buffer[:0]
	return out
}

// pending returns the number of bytes that Output would yield.
func (c *Core) pending(conn ConnID) int {
	if i := c.byConn(conn); i >= 0 {
		return len(c.endpoints[i].out)
	}
	return 0
}

// tickEndpoint gives up a conn that does not come up or is silent, and sends
// keepalives.
func (c *Core) tickEndpoint(i int) {
	e := c.endpoints[i]
	switch e.state {
	case connNone:
		if len(c.groups) == 0 && !c.closed {
			c.Reach(c.now)
		}
	case connDialing, connGreeting:
		if e.greetBy <= c.now {
			c.shut(i, fmt.Errorf("no welcome within %s", c.cfg.DialTimeout))
			return
		}
		c.schedule(e.greetBy)
	case connUp:
		if e.renewAt <= c.now {
			c.keepalive(i)
		}
		if e.seenAt <= c.now {
			c.sendSeen(e)
		}
		c.schedule(min(e.renewAt, e.seenAt))
		c.checkSilence(i)
	}
}

// checkSilence pings a node that owes answers, and gives it up.
func (c *Core) checkSilence(i int) {
	e := c.endpoints[i]
	if e.pingedAt != 0 && e.heard >= e.pingedAt {
		e.pingedAt = 0
	}
	switch {
	case e.pingedAt != 0:
		if e.pingedAt.Add(pingTimeout) <= c.now {
			c.shut(i, fmt.Errorf("%w for %s", errSilent, c.now.Sub(e.heard).Round(time.Millisecond)))
			return
		}
		c.schedule(e.pingedAt.Add(pingTimeout))
	case !c.owes(i):
	case e.heard.Add(pingAfter) <= c.now:
		c.ping(e)
		e.pingedAt = c.now
		c.schedule(c.now.Add(pingTimeout))
	default:
		c.schedule(e.heard.Add(pingAfter))
	}
}

// ping asks for an empty acknowledgement.
func (c *Core) ping(e *endpoint) {
	h := wire.Header{Request: c.calls.newID()}
	e.out = wire.AppendKeepalive(e.out, h, nil)
	c.wrote(e)
}

// forgivePings restarts the wait for signs of life after this process itself
// has been away.
func (c *Core) forgivePings() {
	for _, e := range c.endpoints {
		if e.pingedAt != 0 {
			e.pingedAt = c.now
		}
	}
}

// owes reports whether calls wait for answers of an endpoint.
func (c *Core) owes(i int) bool {
	for j := range c.groups {
		g := &c.groups[j]
		if g.live && g.via == i && g.calls.head != nil {
			return true
		}
	}
	for x := c.direct.head; x != nil; x = x.next {
		if x.conn == c.endpoints[i].conn {
			return true
		}
	}
	return false
}

// unavailable says for what no answer came, and whom it was last asked of.
func (c *Core) unavailable(x *Call) error {
	about := fmt.Sprintf("%s %q after %s", x.Kind, x.Name, x.Timeout)
	if x.direct() {
		return fmt.Errorf("%w: %s of node %d", ErrUnavailable, about, x.Node)
	}
	g := &c.groups[x.Group]
	if g.live {
		e := c.endpoints[g.via]
		return fmt.Errorf("%w: %s: group %d: node %d at %s has not answered",
			ErrUnavailable, about, x.Group, e.node, e.address)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, about, c.leaderless(g))
}

// gaveUp is the error of a call whose caller waits no more, because of ended. It says
// besides if nobody could have answered, and why. What has gone wrong at each address is
// told, and matches nothing: the call has ended by its caller.
func (c *Core) gaveUp(now Instant, x *Call, ended error) error {
	err := fmt.Errorf("client: gave up %s %q: %w", x.Kind, x.Name, ended)
	if x.state != StateOpen || x.direct() {
		return err
	}
	g := &c.groups[x.Group]
	if !g.live {
		return fmt.Errorf("%w: %w: %v", err, ErrUnavailable, c.leaderless(g))
	}
	if e := c.endpoints[g.via]; c.isSilent(now, e) {
		return fmt.Errorf("%w: %w: group %d: node %d at %s is silent", err, ErrUnavailable, x.Group,
			e.node, e.address)
	}
	return err
}

// isSilent reports whether a node has been asked for a sign of life for longer than that
// takes, and not because this process itself has been away.
func (c *Core) isSilent(now Instant, e *endpoint) bool {
	const enough = pingTimeout / 2
	return e.pingedAt != 0 && e.heard < e.pingedAt && now.Sub(e.pingedAt) >= enough &&
		now.Sub(c.alarm) <= enough
}

// leaderless says why no leader of a group is found, and what it takes.
func (c *Core) leaderless(g *group) error {
	return fmt.Errorf("no leader of group %d found (a majority of its nodes must run and reach each "+
		"other and one of them be reached, see lockd cluster status): %w", g.number, c.trouble())
}

// refusedLease returns the error of a lease that every node of which an address is known
// has refused, else nil: no other can come to take it, for all have the same bounds.
func (c *Core) refusedLease() error {
	var refused error
	for _, e := range c.endpoints {
		var bound *BoundError
		if !errors.As(e.err, &bound) {
			return nil
		}
		refused = bound
	}
	return refused
}

// troubleOf returns what last went wrong at each address of one node. It matches what
// that of all nodes does: see trouble.
func (c *Core) troubleOf(node uint16) error {
	var all []error
	refusing := true
	for _, e := range c.endpoints {
		if e.node == node && e.err != nil {
			all = append(all, fmt.Errorf("%s: %v", e.address, e.err))
			refusing = refusing && errors.Is(e.err, ErrRefused)
		}
	}
	if all == nil {
		return errors.New("no address of it is known")
	}
	if refusing {
		return &refusedByAll{errors.Join(all...).Error()}
	}
	return errors.Join(all...)
}

// trouble returns what is known of each endpoint that somebody has tried: what last went
// wrong there, or how far it has come. What one address says matches nothing: the end of
// a dial is not that of the caller's context, and another node may still answer. If all
// of them refuse it matches ErrRefused.
func (c *Core) trouble() error {
	var all []error
	refusing := true
	for _, e := range c.endpoints {
		switch {
		case e.state == connUp:
			all = append(all, fmt.Errorf("%s: node %d is up", e.address, e.node))
		case e.err != nil:
			all = append(all, fmt.Errorf("%s: %v", e.address, e.err))
		case e.state != connNone:
			all = append(all, fmt.Errorf("%s: no answer yet", e.address))
		}
		refusing = refusing && e.state != connUp && errors.Is(e.err, ErrRefused)
	}
	if all == nil {
		return errors.New("no address was tried yet")
	}
	if refusing {
		return &refusedByAll{errors.Join(all...).Error()}
	}
	return errors.Join(all...)
}

// refusedByAll is the trouble of addresses that all refuse. It matches ErrRefused.
type refusedByAll struct{ text string }

func (e *refusedByAll) Error() string        { return e.text }
func (e *refusedByAll) Is(target error) bool { return target == ErrRefused }

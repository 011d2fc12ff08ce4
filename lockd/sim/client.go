package sim

import (
	"encoding/binary"
	"fmt"
	"slices"

	"lockd/lockd/faulttest/history"
	"lockd/lockd/node"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// client speaks the wire protocol and follows the epoch rule: it sends each
// request at most once per group and epoch, and raises the epoch whenever it
// sends what is open in a group somewhere else. It counts its leases from the
// send of what renewed them, on its own clock.
type client struct {
	w     *World
	id    int
	clock clock
	dice  dice
	// conns are by site.
	conns       []*conn
	groups      []*membership
	nextRequest uint64
	asked       map[uint64]*check.Question // that went out, by request id
	keepalives  []keepalive
	nextBeat    node.Nanos
	pausedUntil Time
	// cutFrom is a site that this client cannot reach.
	cutFrom uint16
	// leaving clients begin nothing new and give back what they have.
	leaving bool
}

// membership is a client in one group.
type membership struct {
	c     *client
	group uint16
	route int // the site that is asked
	epoch uint32
	// session is zero while there is none; nonce belongs to it or to the one
	// being opened.
	session   uint64
	nonce     wire.Nonce
	safeUntil node.Nanos
	// renewed is when the last answered renewal was sent.
	renewed Time
	// closing is when the session began to be closed, zero if it did not.
	closing Time
	calls   []*call // open requests, in the order in which they were made
	holds   []*hold
	retryAt Time
	// granted are the last grants it was told of, for questions.
	granted []check.TokenRef
	// seen are the last holds that it read of.
	seen []check.TokenRef
}

// call is a request that has no definite answer yet.
type call struct {
	q      check.Question
	flags  wire.Flags
	mode   wire.Mode
	weight uint8
	ttl    lockfsm.Millis
	// conn is where it was sent last, nil if it must be sent.
	conn    *conn
	sentAt  Time
	began   Time // of the first send
	beganOn node.Nanos
	retryAt Time
	busyIn  uint32      // the epoch in which it was last refused as busy
	backoff uint        // how often the wait after a refusal is doubled
	permits uint32      // of a Take
	owner   uint64      // of an Enter and an AcquireAll
	wants   []wire.Want // of an AcquireAll
	gate    wire.GateKind
	count   uint32 // of a request at a gate
	hold    *hold  // what a Release, Leave, RenewHold, Convert, GiveBack or Amend is about
	// became is the mode of the hold with becameToken, to which the owner of an
	// Enter converted it while that had no answer.
	became      wire.Mode
	becameToken uint64
	terms       *wire.Terms
	// since is up to where the node had applied its groups that a Status asks.
	since []paxos.Slot
	sends int
	op    *history.Operation
}

// hold is a lock that the client has, as far as it knows.
type hold struct {
	name     string
	mode     wire.Mode
	token    uint64
	request  uint64
	owner    uint64     // of a detached hold, else zero
	enters   uint64     // who may enter again, else zero
	permits  uint32     // of a semaphore, else zero
	until    node.Nanos // of a detached hold
	most     node.Nanos // when its max hold is over
	released bool       // asked to be
	// asked are the modes that it may have been converted to, for all it knows.
	asked []wire.Mode
	moves bool    // a Convert was sent
	with  []*hold // all that one request for several names was granted, else nil
	op    *history.Operation
}

// keepalive is one that was sent and may still be answered.
type keepalive struct {
	request uint64
	conn    *conn
	sent    Time
	sentOn  node.Nanos
	// answered is set by the first part of the answer.
	answered bool
}

func newClient(w *World, id int) *client {
	d := newDice(w.opts.Seed, fmt.Sprint("client ", id))
	c := &client{w: w, id: id, clock: newClock(d, w.opts.Drift), dice: d,
		conns: make([]*conn, len(w.sites)), asked: make(map[uint64]*check.Question)}
	for g := range uint16(w.opts.Groups) {
		c.groups = append(c.groups, &membership{c: c, group: g, epoch: 1, route: d.IntN(w.opts.Nodes)})
	}
	return c
}

// maxBackoff bounds the wait of a client that is told again and again that a
// node is busy. In a storm no client waits longer than it was asked to.
const maxBackoff = 5

func (c *client) reaches(s *site) bool { return c.cutFrom != s.id }

func (c *client) awayUntil() Time { return c.pausedUntil }

// dead reports whether the client never comes back.
func (c *client) dead() bool { return c.pausedUntil >= never }

func (c *client) now() node.Nanos { return c.clock.read(c.w.agenda.Now()) }

// safe is how long a lease counts for its client: less the drift of both
// clocks, its own and the fastest a node's may have.
func safe(lease lockfsm.Millis) node.Nanos {
	n := node.Nanos(lease) * node.Millisecond
	return n - n*(2*maxDrift+1000)/1_000_000
}

// beat does what a client does on its own: timeouts, keepalives, retries.
func (c *client) beat() {
	c.w.agenda.After(c.dice.length(20*millisecond, 60*millisecond), func() {
		if c.pausedUntil <= c.w.agenda.Now() {
			c.expire()
			c.keepalive()
			c.timeouts()
			c.pump()
		}
		c.beat()
	})
}

// expire gives up what the client's own clock says has run out.
func (c *client) expire() {
	now := c.now()
	for _, m := range c.groups {
		if m.session != 0 && now >= m.safeUntil {
			c.w.covered["lease ran out"]++
			if c.w.crowded > 0 && m.renewed >= c.w.crowded {
				c.w.covered["lease ran out beside a crowd"]++
			}
			m.loseSession()
		}
		for i := len(m.holds) - 1; i >= 0; i-- {
			if h := m.holds[i]; h.owner != 0 && now >= h.until || now >= h.most {
				m.forget(h)
			}
		}
	}
}

// forget drops a hold.
func (m *membership) forget(h *hold) {
	m.holds = slices.DeleteFunc(m.holds, func(o *hold) bool { return o == h })
	if !slices.ContainsFunc(m.holds, func(o *hold) bool { return o.token == h.token }) {
		m.c.w.leases.Forget(m.group, h.name, lockfsm.Token(h.token))
	}
}

// loseSession forgets a session and everything that hung on it.
func (m *membership) loseSession() {
	m.session = 0
	m.nonce = wire.Nonce{}
	for _, h := range slices.Clone(m.holds) {
		if h.owner == 0 {
			m.forget(h)
		}
	}
	m.calls = slices.DeleteFunc(m.calls, (*call).ofSession)
}

// ofSession reports whether a call makes sense only within its session.
func (k *call) ofSession() bool {
	switch k.q.Kind {
	case wire.KindGet, wire.KindList, wire.KindStatus, wire.KindCheckTokens,
		wire.KindFindSession, wire.KindForce:
		return false
	default:
		return k.q.Session&wire.DetachedOwner == 0
	}
}

// keepalive renews all sessions, one frame per node.
func (c *client) keepalive() {
	now := c.now()
	if now < c.nextBeat {
		return
	}
	c.nextBeat = now + node.Nanos(c.w.opts.Lease)*node.Millisecond/3
	for i, conn := range c.conns {
		var refs []wire.SessionRef
		for _, m := range c.groups {
			if m.session != 0 && m.route == i {
				refs = append(refs, wire.SessionRef{Session: m.session, Group: m.group})
			}
		}
		if conn == nil || len(refs) == 0 {
			continue
		}
		c.nextRequest++
		c.keepalives = append(c.keepalives, keepalive{request: c.nextRequest,
			conn: conn, sent: c.w.agenda.Now(), sentOn: now})
		c.w.requests[wire.KindKeepalive]++
		conn.request(wire.AppendKeepalive(nil, wire.Header{Request: c.nextRequest}, refs))
	}
}

// timeouts gives up conns on which an answer is overdue.
func (c *client) timeouts() {
	patience := c.w.patience()
	for _, conn := range c.conns {
		if conn == nil {
			continue
		}
		overdue := false
		for _, k := range c.keepalives {
			overdue = overdue || k.conn == conn && !k.answered && c.w.agenda.Now()-k.sent > patience
		}
		for _, m := range c.groups {
			for _, k := range m.calls {
				waits := k.q.Kind.Waits() && k.flags&wire.FlagWait != 0
				overdue = overdue || k.conn == conn && !waits && c.w.agenda.Now()-k.sentAt > patience
			}
		}
		if overdue {
			c.w.note("give up", uint64(c.id), uint64(conn.id))
			conn.giveUp()
			c.lost(conn)
		}
	}
}

// lost is the end of a conn: everything that was open on it goes elsewhere.
func (c *client) lost(gone *conn) {
	for i, conn := range c.conns {
		if conn != gone {
			continue
		}
		c.conns[i] = nil
		c.keepalives = slices.DeleteFunc(c.keepalives, func(k keepalive) bool { return k.conn == gone })
		for _, m := range c.groups {
			if m.route == i {
				m.reroute(0)
			}
		}
	}
}

// reroute sends everything that is open in the group again, in a new epoch, to
// the node that is said to lead, or to another one if nobody is.
func (m *membership) reroute(leader uint16) {
	m.epoch++
	for _, k := range m.calls {
		k.conn = nil
	}
	if leader != 0 {
		m.route = int(leader) - 1
		m.retryAt = m.c.w.agenda.Now() + m.c.dice.length(0, 2*millisecond)
		return
	}
	m.route = (m.route + 1) % len(m.c.conns)
	m.retryAt = m.c.w.agenda.Now() + m.c.dice.length(10*millisecond, 150*millisecond)
}

// pump sends what waits to be sent.
func (c *client) pump() {
	for _, m := range c.groups {
		m.pump()
	}
}

func (m *membership) pump() {
	now := m.c.w.agenda.Now()
	if len(m.calls) == 0 && m.session == 0 || m.retryAt > now || m.c.pausedUntil > now {
		return
	}
	if m.c.conns[m.route] == nil {
		conn := m.c.w.openConn(m.c, m.c.w.sites[m.route])
		if conn == nil {
			m.reroute(0)
			return
		}
		m.c.conns[m.route] = conn
		conn.greet()
	}
	m.open()
	for _, k := range m.calls {
		if k.conn != nil || k.retryAt > now {
			continue
		}
		if m.overtakes(k) {
			continue
		}
		if k.q.Kind != wire.KindOpenSession && k.ofSession() {
			if m.session == 0 {
				continue
			}
			k.q.Session = m.session
		}
		if old := m.c.conns[m.route]; old.owed[k.q.Request] > 0 {
			m.replace(old)
			return
		}
		m.send(k)
	}
}

// replace gives a conn up that may still answer an earlier send, and comes back
// on a new one.
func (m *membership) replace(old *conn) {
	route := m.route
	old.giveUp()
	m.c.lost(old)
	m.route = route
}

// open asks for a session if calls wait for one.
func (m *membership) open() {
	if m.session != 0 || !slices.ContainsFunc(m.calls, (*call).ofSession) {
		return
	}
	if m.calls[0].q.Kind == wire.KindOpenSession {
		return
	}
	if m.nonce == (wire.Nonce{}) {
		binary.LittleEndian.PutUint64(m.nonce[:], m.c.dice.Uint64()|1)
	}
	m.c.nextRequest++
	k := &call{q: check.Question{Kind: wire.KindOpenSession, Group: m.group,
		Request: m.c.nextRequest, Nonce: m.nonce}}
	m.calls = slices.Insert(m.calls, 0, k)
}

// send puts a call on the conn of its group.
func (m *membership) send(k *call) {
	w := m.c.w
	if k.began == 0 {
		k.began, k.beganOn = w.agenda.Now(), m.c.now()
		k.q.Floor = w.history.Began(m.group)
		m.c.asked[k.q.Request] = &k.q
	}
	w.witness.begin(k)
	if k.q.Kind == wire.KindCloseSession && m.closing == 0 {
		m.closing = w.agenda.Now()
		m.mayEnd()
	}
	k.conn, k.sentAt = m.c.conns[m.route], w.agenda.Now()
	k.conn.owed[k.q.Request]++
	k.sends++
	h := wire.Header{Group: m.group, Request: k.q.Request, Flags: k.flags}
	name := []byte(k.q.Name)
	var b []byte
	if k.terms != nil {
		b = m.appendTermed(k, h, name)
		w.requests[b[4]]++ // the kind
		k.conn.request(b)
		return
	}
	switch k.q.Kind {
	case wire.KindOpenSession:
		b = wire.AppendOpenSession(nil, h, &wire.OpenSession{Nonce: m.nonce, Epoch: m.epoch,
			LeaseMillis: uint32(w.opts.Lease), Name: fmt.Append(nil, "client ", m.c.id)})
	case wire.KindCloseSession:
		b = wire.AppendCloseSession(nil, h, &wire.CloseSession{Session: k.q.Session, Epoch: m.epoch})
	case wire.KindAcquire:
		b = wire.AppendAcquire(nil, h, &wire.Acquire{Session: k.q.Session, Epoch: m.epoch,
			TTLMillis: uint32(k.ttl), Mode: k.mode, Weight: k.weight, Name: name})
	case wire.KindTake:
		b = wire.AppendTake(nil, h, &wire.Take{Session: k.q.Session, Epoch: m.epoch,
			Permits: k.permits, Capacity: semaphoreCapacity, Weight: k.weight, Name: name})
	case wire.KindEnter:
		b = wire.AppendEnter(nil, h, &wire.Enter{Session: k.q.Session, Owner: k.owner,
			Epoch: m.epoch, Mode: k.mode, Weight: k.weight, Name: name})
	case wire.KindLeave:
		b = wire.AppendLeave(nil, h, &wire.Leave{Session: k.q.Session, Token: k.q.Token,
			Target: k.q.Target, Epoch: m.epoch, Name: name})
	case wire.KindAcquireAll, wire.KindReleaseAll, wire.KindConvert, wire.KindGiveBack,
		wire.KindForce:
		b = m.appendWhole(h, k)
	case wire.KindRelease:
		b = wire.AppendRelease(nil, h, &wire.Release{Session: k.q.Session, Epoch: m.epoch,
			Token: k.q.Token, Name: name})
	case wire.KindCancel:
		b = wire.AppendCancel(nil, h, &wire.Cancel{Session: k.q.Session, Epoch: m.epoch,
			Target: k.q.Target, Name: name})
	case wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate:
		b = m.appendGate(h, k)
	case wire.KindRenewHold:
		b = wire.AppendRenewHold(nil, h, &wire.RenewHold{Session: k.q.Session, Token: k.q.Token,
			TTLMillis: uint32(k.ttl), Name: name})
	case wire.KindGet:
		b = wire.AppendGet(nil, h, &wire.Get{Name: name})
	case wire.KindStatus:
		k.since = k.conn.p.reachedNow()
		b = wire.AppendStatus(nil, h)
	default:
		b = k.appendQuestion(h)
	}
	w.requests[k.q.Kind]++
	k.conn.request(b)
	if m.leavesSome(k) && w.faulty(FaultReset|FaultStale) && m.c.dice.permille(300) {
		k.conn.breakUnheard()
	}
}

// appendQuestion encodes what changes nothing and names no lock.
func (k *call) appendQuestion(h wire.Header) []byte {
	switch k.q.Kind {
	case wire.KindList:
		return wire.AppendList(nil, h, &wire.List{Limit: 3, After: []byte(k.q.After)})
	case wire.KindFindSession:
		return wire.AppendFindSession(nil, h, &wire.FindSession{Nonce: k.q.Nonce})
	case wire.KindCheckTokens:
		return wire.AppendCheckTokens(nil, h, wireRefs(k.q.Checks))
	default:
		panic(fmt.Sprintf("sim: client asks %v", k.q.Kind))
	}
}

package client

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"lockd/netio/wire"
)

// dumbCluster is an obvious lock service behind the real wire format: maps,
// exclusive and shared mode, permits, owners, one queue per lock. Its nodes share one state, so
// that a change of leader costs it nothing; what is proposed is applied in
// order, later, whoever leads by then. It is stepped with time.
type dumbCluster struct {
	now      Instant
	nodes    int
	groups   []*dumbGroup
	conns    map[int]*dumbConn
	send     func(conn int, frame []byte)
	delay    func() Instant // from arrival to apply
	filter   func(k *dumbConn, h wire.Header, body []byte) wire.Status
	onApply  func(h wire.Header)
	loses    func(k *dumbConn) bool // a keepalive on its way
	pipe     []proposal
	lastDue  Instant
	seen     map[string]bool // (group, session, epoch, request) that were sent
	failures []string
	details  bool
	version  uint16    // of the protocol
	quiet    bool      // watches are told nothing
	pushes   int       // that were told
	mostData int       // bytes of a payload above which there is no room; 0 is any
	hold     [2]uint32 // least and most time of a hold, in ms, as it is announced
	lease    [2]uint32 // the same of a session lease; zero is the default
	silent   bool      // nobody is told that a hold has ended
	chases   int       // questions what owners wait for
}

type proposal struct {
	due   Instant
	conn  int
	h     wire.Header
	body  []byte
	voted uint16 // node that led
}

type dumbConn struct {
	id   int
	node uint16
	name string
	seen uint64 // pushes of watches
}

type dumbGroup struct {
	leader   uint16
	lastID   uint64
	token    uint64
	sessions map[uint64]*dumbSession
	locks    map[string]*dumbLock
	several  []dumbSeveral
	gates    map[string]*dumbGate
	answers  []dumbAnswer
	done     map[uint64]uint64 // below which a session's requests at gates are answered
	touched  map[int]bool      // conns that asked in the present leadership
	slot     uint64
	watches  []*dumbWatch
}

type dumbSession struct {
	id     uint64
	nonce  wire.Nonce
	epoch  uint32
	lease  Instant
	dueAt  Instant
	conn   int
	client string
	// letBy is the conn with which it is to be let go, grace later; 0 is none.
	letBy int
	grace Instant
}

type dumbLock struct {
	capacity uint32 // zero for a lock with modes
	holds    []dumbClaim
	queue    []dumbClaim
	turns    []dumbTurn // what waits for another mode, before the queue
}

type dumbClaim struct {
	session uint64
	request uint64
	token   uint64
	mode    wire.Mode
	permits uint32
	weight  uint8 // of no effect on the queue
	owner   uint64
	conn    int // to answer on; -1 is none
	due     Instant
	over    Instant // by its max hold; zero is never
	terms   wire.Terms
	detects bool // it waits, and its owner gives nothing back meanwhile
	// turned is the conversion of the hold that was granted last; moved says that
	// there was one, and that smaller tokens may name it.
	turned uint64
	moved  bool
}

func newDumb(nodes, groups int, send func(int, []byte)) *dumbCluster {
	d := &dumbCluster{
		nodes: nodes, send: send, conns: map[int]*dumbConn{}, seen: map[string]bool{},
		delay: func() Instant { return 0 }, version: wire.Version,
	}
	for g := range groups {
		d.groups = append(d.groups, &dumbGroup{
			leader: uint16(g%nodes + 1), sessions: map[uint64]*dumbSession{},
			locks: map[string]*dumbLock{}, touched: map[int]bool{},
			gates: map[string]*dumbGate{}, done: map[uint64]uint64{},
		})
	}
	return d
}

func (d *dumbCluster) fail(format string, args ...any) {
	d.failures = append(d.failures, fmt.Sprintf(format, args...))
}

func (d *dumbCluster) reply(conn int, h wire.Header, r wire.Response) {
	if d.conns[conn] == nil {
		return
	}
	h.Flags = 0
	d.send(conn, wire.AppendResponse(nil, h, &r))
}

// frame takes one frame from a conn.
func (d *dumbCluster) frame(conn int, frame []byte) {
	k := d.conns[conn]
	h, body, err := wire.Parse(frame)
	if err != nil {
		d.fail("frame: %v", err)
		return
	}
	switch h.Kind {
	case wire.KindHello:
		d.hello(k, body)
		return
	case wire.KindKeepalive:
		d.keepalive(k, h, body)
		return
	case wire.KindStatus:
		p := wire.AppendNodeStatus(nil, &wire.NodeStatus{Node: k.node, Build: []byte("dumb")})
		d.reply(conn, h, wire.Response{Status: wire.StatusOK, Payload: p})
		return
	case wire.KindTop:
		d.top(k, h)
		return
	case wire.KindChase:
		if body[0] == byte(wire.ChaseNode) {
			d.reply(conn, h, d.chase(body, func(_ int, g *dumbGroup) bool { return g.leader == k.node }))
			return
		}
	case wire.KindSeen:
		d.countSeen(k, body)
		return
	}
	g := d.groups[h.Group]
	if h.Kind == wire.KindLetGo && g.leader == k.node {
		d.letGo(g, conn, h, body)
		return
	}
	if g.leader != k.node {
		d.reply(conn, h, wire.Response{Status: wire.StatusNotLeader, Leader: g.leader})
		return
	}
	if d.filter != nil {
		if s := d.filter(k, h, body); s != 0 {
			if s != wire.StatusQueued { // stands for: say nothing
				d.reply(conn, h, wire.Response{Status: s, RetryMillis: 20})
			}
			return
		}
	}
	d.once(h, body)
	g.touched[conn] = true
	due := max(d.lastDue, d.now+d.delay())
	d.lastDue = due
	d.pipe = append(d.pipe, proposal{due, conn, h, bytes.Clone(body), k.node})
	d.apply()
}

// once checks that no request comes twice in one epoch.
func (d *dumbCluster) once(h wire.Header, body []byte) {
	var session uint64
	var epoch uint32
	switch h.Kind {
	case wire.KindAcquire:
		x, _ := wire.DecodeAcquire(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindRelease:
		x, _ := wire.DecodeRelease(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindTake:
		x, _ := wire.DecodeTake(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindEnter:
		x, _ := wire.DecodeEnter(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindLeave:
		x, _ := wire.DecodeLeave(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindAsk:
		x, _ := wire.DecodeAsk(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindAcquireAll:
		x, _ := wire.DecodeAcquireAll(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindReleaseAll:
		x, _ := wire.DecodeReleaseAll(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindAmend:
		x, _ := wire.DecodeAmend(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindConvert:
		x, _ := wire.DecodeConvert(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindGiveBack:
		x, _ := wire.DecodeGiveBack(body)
		session, epoch = x.Session, x.Epoch
	case wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate:
		session, epoch = decodeGate(body)
	case wire.KindCancel:
		x, _ := wire.DecodeCancel(body)
		session, epoch = x.Session, x.Epoch
	default:
		return
	}
	key := fmt.Sprintf("group %d session %d epoch %d request %d", h.Group, session, epoch, h.Request)
	if d.seen[key] {
		d.fail("%s sent twice: %s", h.Kind, key)
	}
	d.seen[key] = true
}

func (d *dumbCluster) hello(k *dumbConn, body []byte) {
	x, err := wire.DecodeHello(body)
	if err != nil {
		d.fail("%v", err)
		return
	}
	k.name = string(x.Name)
	w := wire.Welcome{Version: d.version, Node: k.node, Cluster: 7, Limits: wire.DefaultLimits()}
	w.Limits.MinHoldMillis, w.Limits.MaxHoldMillis, w.Limits.DataBytes = d.hold[0], d.hold[1], 1<<20
	if d.lease[1] > 0 {
		w.Limits.MinLeaseMillis, w.Limits.MaxLeaseMillis = d.lease[0], d.lease[1]
	}
	for _, g := range d.groups {
		w.Leaders = append(w.Leaders, g.leader)
	}
	for n := range d.nodes {
		address := fmt.Appendf(nil, "node%d", n+1)
		w.Nodes = append(w.Nodes, wire.Node{ID: uint16(n + 1), Address: address})
	}
	d.send(k.id, wire.AppendWelcome(nil, wire.Header{}, &w))
}

func (d *dumbCluster) keepalive(k *dumbConn, h wire.Header, body []byte) {
	x, err := wire.DecodeKeepalive(body)
	if err != nil {
		d.fail("%v", err)
		return
	}
	if x.Len() > 0 && d.loses != nil && d.loses(k) {
		return
	}
	var out []wire.Renewal
	for i := range x.Len() {
		ref := x.At(i)
		g := d.groups[ref.Group]
		s := g.sessions[ref.Session]
		r := wire.Renewal{Session: ref.Session, Group: ref.Group, Code: wire.CodeRenewed}
		switch {
		case g.leader != k.node:
			r.Code = wire.CodeNotLeader
		case s == nil:
			r.Code = wire.CodeUnknown
		default:
			s.dueAt, s.conn = d.now+s.lease, k.id
		}
		out = append(out, r)
	}
	d.send(k.id, wire.AppendKeepaliveAck(nil, h, out))
}

// lead moves a group. Proposals of the old leader may still be chosen, but
// nobody is told.
func (d *dumbCluster) lead(group int, node uint16) {
	g := d.groups[group]
	if g.leader == node {
		return
	}
	g.leader = node
	for conn := range g.touched {
		if k := d.conns[conn]; k != nil {
			h := wire.Header{Group: uint16(group)}
			d.send(conn, wire.AppendMoved(nil, h, &wire.Moved{Leader: node}))
		}
	}
	clear(g.touched)
	for _, s := range g.sessions {
		s.conn = -1 // until it is renewed here
	}
	g.forgetGrace()
	g.watches = nil
	for i := range d.pipe {
		if int(d.pipe[i].h.Group) == group {
			d.pipe[i].conn = -1
		}
	}
	for _, l := range g.locks {
		for i := range l.queue {
			l.queue[i].conn = -1
		}
		for i := range l.turns {
			l.turns[i].conn = -1
		}
	}
	for _, e := range g.gates {
		for i := range e.queue {
			e.queue[i].conn = -1
		}
	}
}

// closeConn forgets a conn; what it proposed is still applied.
func (d *dumbCluster) closeConn(conn int) {
	delete(d.conns, conn)
	d.shorten(conn)
}

// advance moves time, applies what is due and expires sessions.
func (d *dumbCluster) advance(now Instant) {
	d.now = now
	d.apply()
	for _, g := range d.groups {
		for id, s := range g.sessions {
			if s.dueAt <= now {
				d.endSession(g, id)
			}
		}
		for _, l := range g.locks {
			l.holds = slices.DeleteFunc(l.holds, func(x dumbClaim) bool {
				return x.due != 0 && x.due <= now
			})
			d.endCapped(g, l)
			d.pump(g, l)
		}
	}
	d.tellWatches()
}

func (d *dumbCluster) endSession(g *dumbGroup, id uint64) {
	delete(g.sessions, id)
	g.leaveGates(id)
	for _, l := range g.locks {
		mine := func(x dumbClaim) bool { return x.session == id }
		l.holds = slices.DeleteFunc(l.holds, mine)
		l.queue = slices.DeleteFunc(l.queue, mine)
		d.pump(g, l)
	}
}

func (d *dumbCluster) apply() {
	for len(d.pipe) > 0 && d.pipe[0].due <= d.now {
		p := d.pipe[0]
		d.pipe = d.pipe[1:]
		r, answer := d.execute(d.groups[p.h.Group], p)
		if answer {
			d.reply(p.conn, p.h, r)
		}
		if d.onApply != nil {
			d.onApply(p.h)
		}
		d.tellWatches()
	}
}

// enter checks session and epoch of a command.
func (g *dumbGroup) enter(session uint64, epoch uint32) wire.Status {
	if session&wire.DetachedOwner != 0 {
		return wire.StatusOK
	}
	s := g.sessions[session]
	switch {
	case s == nil:
		return wire.StatusSessionUnknown
	case epoch < s.epoch:
		return wire.StatusStaleEpoch
	}
	s.epoch = epoch
	return wire.StatusOK
}

func (d *dumbCluster) execute(g *dumbGroup, p proposal) (wire.Response, bool) {
	switch p.h.Kind {
	case wire.KindOpenSession:
		x, _ := wire.DecodeOpenSession(p.body)
		for _, s := range g.sessions {
			if s.nonce == x.Nonce {
				s.epoch, s.dueAt = max(s.epoch, x.Epoch), d.now+s.lease
				return wire.Response{Status: wire.StatusOK, Token: s.id}, true
			}
		}
		g.lastID++
		lease := Instant(x.LeaseMillis) * 1e6
		g.sessions[g.lastID] = &dumbSession{
			id: g.lastID, nonce: x.Nonce, epoch: x.Epoch, lease: lease, dueAt: d.now + lease,
			conn: p.conn, client: string(x.Name),
		}
		return wire.Response{Status: wire.StatusOK, Token: g.lastID}, true
	case wire.KindCloseSession:
		x, _ := wire.DecodeCloseSession(p.body)
		if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
			return wire.Response{Status: s}, true
		}
		d.endSession(g, x.Session)
		return wire.Response{Status: wire.StatusOK}, true
	case wire.KindAcquire, wire.KindTake, wire.KindEnter, wire.KindAsk:
		return d.acquire(g, p)
	case wire.KindAmend:
		return d.amend(g, p), true
	case wire.KindAcquireAll:
		return d.acquireAll(g, p)
	case wire.KindReleaseAll:
		return d.releaseAll(g, p), true
	case wire.KindRelease:
		x, _ := wire.DecodeRelease(p.body)
		return d.release(g, x, 0), true
	case wire.KindLeave:
		x, _ := wire.DecodeLeave(p.body)
		return d.release(g, wire.Release{Session: x.Session, Token: x.Token, Epoch: x.Epoch,
			Name: x.Name}, x.Target), true
	case wire.KindGiveBack:
		x, _ := wire.DecodeGiveBack(p.body)
		return d.release(g, wire.Release{Session: x.Session, Token: x.Token, Epoch: x.Epoch,
			Name: x.Name}, x.Target), true
	case wire.KindConvert:
		return d.convert(g, p)
	case wire.KindCancel:
		return d.cancel(g, p)
	case wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate:
		return d.gate(g, p)
	case wire.KindRenewHold:
		return d.renewHold(g, p), true
	case wire.KindGet:
		x, _ := wire.DecodeGet(p.body)
		return d.info(g, string(x.Name), p.h.Version()), true
	case wire.KindList:
		return d.list(g, p), true
	case wire.KindCheckTokens:
		return d.check(g, p), true
	case wire.KindChase:
		return d.chase(p.body, func(_ int, o *dumbGroup) bool { return o == g }), true
	case wire.KindFindSession:
		return d.find(g, p), true
	case wire.KindForce:
		return d.force(g, p), true
	case wire.KindWhy, wire.KindWatch, wire.KindUnwatch:
		return d.onWatch(g, p)
	}
	d.fail("%s executed", p.h.Kind)
	return wire.Response{}, false
}

func (d *dumbCluster) renewHold(g *dumbGroup, p proposal) wire.Response {
	x, _ := wire.DecodeRenewHold(p.body)
	for i, y := range g.lock(string(x.Name)).holds {
		if y.session == x.Session && y.token == x.Token {
			g.lock(string(x.Name)).holds[i].due = d.now + Instant(x.TTLMillis)*1e6
			return wire.Response{Status: wire.StatusOK}
		}
	}
	return wire.Response{Status: wire.StatusNotHolder}
}

func (g *dumbGroup) lock(name string) *dumbLock {
	if g.locks[name] == nil {
		g.locks[name] = &dumbLock{}
	}
	return g.locks[name]
}

// release gives a hold back, or with a target the one that came of that request.
func (d *dumbCluster) release(g *dumbGroup, x wire.Release, target uint64) wire.Response {
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}
	}
	l := g.lock(string(x.Name))
	n := len(l.holds)
	l.holds = slices.DeleteFunc(l.holds, func(y dumbClaim) bool {
		if y.owner != 0 && y.session == x.Session && y.token == x.Token && target == 0 {
			d.fail("release of %q does not say which Enter", x.Name)
		}
		return y.session == x.Session && y.knows(x.Token) && (target == 0 || y.request == target)
	})
	if len(l.holds) == n {
		return wire.Response{Status: wire.StatusNotHolder}
	}
	d.pump(g, l)
	return wire.Response{Status: wire.StatusOK}
}

// ask is any request that asks for a lock.
type ask struct {
	wire.Acquire
	permits, capacity uint32
	owner             uint64
	terms             wire.Terms
}

func decodeAsk(p proposal) ask {
	switch p.h.Kind {
	case wire.KindTake:
		x, _ := wire.DecodeTake(p.body)
		return ask{wire.Acquire{Session: x.Session, Epoch: x.Epoch, TTLMillis: x.TTLMillis,
			Name: x.Name}, x.Permits, x.Capacity, 0, wire.Terms{}}
	case wire.KindAsk:
		x, _ := wire.DecodeAsk(p.body)
		return ask{wire.Acquire{Session: x.Session, Epoch: x.Epoch, TTLMillis: x.TTLMillis,
			Mode: x.Mode, Weight: x.Weight, Name: x.Name}, x.Permits, x.Capacity, x.Owner, x.Terms}
	case wire.KindEnter:
		x, _ := wire.DecodeEnter(p.body)
		return ask{wire.Acquire{Session: x.Session, Epoch: x.Epoch, Mode: x.Mode, Name: x.Name},
			0, 0, x.Owner, wire.Terms{}}
	default:
		x, _ := wire.DecodeAcquire(p.body)
		return ask{Acquire: x}
	}
}

func (d *dumbCluster) acquire(g *dumbGroup, p proposal) (wire.Response, bool) {
	x := decodeAsk(p)
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}, true
	}
	l := g.lock(string(x.Name))
	same := func(y dumbClaim) bool { return y.session == x.Session && y.request == p.h.Request }
	switch {
	case len(l.holds)+len(l.queue) == 0:
		l.capacity = x.capacity
	case l.capacity != x.capacity:
		return wire.Response{Status: wire.StatusOtherKind, Token: uint64(l.capacity)}, true
	}
	if i := slices.IndexFunc(l.holds, same); i >= 0 {
		return wire.Response{Status: wire.StatusOK, Token: l.holds[i].token}, true
	}
	if i := slices.IndexFunc(l.queue, same); i >= 0 {
		l.queue[i].conn = p.conn
		return wire.Response{}, false
	}
	y := dumbClaim{session: x.Session, request: p.h.Request, mode: x.Mode, conn: p.conn,
		permits: x.permits, weight: x.Weight, owner: x.owner, terms: x.terms}
	if len(y.terms.Payload) > d.mostData && d.mostData > 0 {
		return wire.Response{Status: wire.StatusTooMuchData}, true
	}
	if i := slices.IndexFunc(l.holds, y.entered); i >= 0 {
		if l.holds[i].mode != x.Mode || l.holds[i].terms.MaxHoldMillis != x.terms.MaxHoldMillis {
			return wire.Response{Status: wire.StatusOtherMode}, true
		}
		y.token, y.over = l.holds[i].token, l.holds[i].over
		l.holds = append(l.holds, y)
		return wire.Response{Status: wire.StatusOK, Token: y.token}, true
	}
	if p.h.Flags&wire.FlagDetached != 0 {
		y.due = d.now + Instant(x.TTLMillis)*1e6
	}
	if len(l.turns)+len(l.queue) == 0 && l.admits(y) {
		g.token++
		y.token = g.token
		y.cap(d.now)
		l.holds = append(l.holds, y)
		return wire.Response{Status: wire.StatusOK, Token: y.token}, true
	}
	if p.h.Flags&wire.FlagWait == 0 {
		r := wire.Response{Status: wire.StatusHeld, Position: uint16(len(l.queue) + 1)}
		if d.details {
			r.Payload = d.info(g, string(x.Name), p.h.Version()).Payload
		}
		return r, true
	}
	if y.detects = p.h.Flags&wire.FlagDetect != 0; y.detects {
		if steps := g.circle(y, string(x.Name)); steps != nil {
			return g.deadlock(steps), true
		}
	}
	l.queue = append(l.queue, y)
	return wire.Response{}, false
}

// entered reports whether y is a hold of the same owner as x.
func (x *dumbClaim) entered(y dumbClaim) bool {
	return x.owner != 0 && y.owner == x.owner && y.session == x.session
}

func (l *dumbLock) admits(x dumbClaim) bool {
	free := l.capacity
	for _, y := range l.holds {
		free -= y.permits
	}
	if x.permits > free {
		return false
	}
	for _, y := range l.holds {
		if x.mode == wire.ModeEX || y.mode == wire.ModeEX {
			return false
		}
	}
	return true
}

func (d *dumbCluster) pump(g *dumbGroup, l *dumbLock) {
	defer d.pumpSeveral(g)
	d.pumpTurns(g, l)
	for len(l.turns) == 0 && len(l.queue) > 0 && l.admits(l.queue[0]) {
		g.token++
		first := l.queue[0]
		rest := l.queue[:0]
		for i, x := range l.queue {
			if i > 0 && !first.entered(x) {
				rest = append(rest, x)
				continue
			}
			x.token = g.token
			x.cap(d.now)
			l.holds = append(l.holds, x)
			h := wire.Header{Group: uint16(slices.Index(d.groups, g)), Request: x.request}
			d.reply(x.conn, h, wire.Response{Status: wire.StatusOK, Token: x.token})
		}
		l.queue = rest
	}
}

func (d *dumbCluster) cancel(g *dumbGroup, p proposal) (wire.Response, bool) {
	x, _ := wire.DecodeCancel(p.body)
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}, true
	}
	g.several = slices.DeleteFunc(g.several, func(y dumbSeveral) bool {
		return y.session == x.Session && y.request == x.Target
	})
	if r, ok := g.cancelGate(&x); ok {
		return r, true
	}
	l := g.lock(string(x.Name))
	same := func(y dumbClaim) bool { return y.session == x.Session && y.request == x.Target }
	if i := slices.IndexFunc(l.holds, same); i >= 0 {
		return wire.Response{Status: wire.StatusAlreadyGranted, Token: l.holds[i].token}, true
	}
	l.queue = slices.DeleteFunc(l.queue, same)
	if r, ok := l.cancelTurn(x.Session, x.Target); ok {
		return r, true
	}
	d.pump(g, l)
	return wire.Response{Status: wire.StatusCancelled}, true
}

func (d *dumbCluster) info(g *dumbGroup, name string, version uint16) wire.Response {
	l := g.lock(name)
	if gate := g.gateInfo(name); gate != nil {
		return wire.Response{Status: wire.StatusOK, Payload: wire.AppendLockInfo3(nil, gate)}
	}
	if len(l.holds)+len(l.queue) == 0 {
		return wire.Response{Status: wire.StatusNotFound}
	}
	x := wire.LockInfo{
		Name: []byte(name), HolderCount: uint32(len(l.holds)), WaiterCount: uint32(len(l.queue)),
		Capacity: l.capacity,
	}
	for _, y := range l.holds {
		x.Taken += y.permits
		h := wire.Holder{Session: y.session, Token: y.token, Mode: y.mode, HeldMillis: 252_000,
			Kind: wire.ClaimKind{Permits: y.permits, Owner: y.owner, Depth: 1},
			Data: wire.HolderData{Payload: y.terms.Payload, Labels: y.terms.Labels}}
		if s := g.sessions[y.session]; s != nil {
			h.Client, h.LeaseMillis = []byte(s.client), uint32((s.dueAt-d.now)/1e6)
		}
		x.Holders = append(x.Holders, h)
	}
	for _, y := range l.queue {
		x.Waiters = append(x.Waiters, wire.Waiter{Session: y.session, Mode: y.mode})
	}
	switch {
	case version < wire.VersionKinds:
		return wire.Response{Status: wire.StatusOK, Payload: wire.AppendLockInfo(nil, &x)}
	case version >= wire.VersionWhole:
		return wire.Response{Status: wire.StatusOK, Payload: wire.AppendLockInfo3(nil, &x)}
	}
	return wire.Response{Status: wire.StatusOK, Payload: wire.AppendLockInfo2(nil, &x)}
}

func (d *dumbCluster) list(g *dumbGroup, p proposal) wire.Response {
	x, _ := wire.DecodeList(p.body)
	var names []string
	for name, l := range g.locks {
		if len(l.holds) > 0 && bytes.HasPrefix([]byte(name), x.Prefix) && name > string(x.After) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var page wire.ListPage
	for i, name := range names {
		if i == 3 { // small pages, so that paging is tested
			page.More = wire.MorePages
			break
		}
		page.Entries = append(page.Entries, wire.ListEntry{
			Name: []byte(name), HolderCount: 1, Token: g.locks[name].holds[0].token,
			Capacity: g.locks[name].capacity,
		})
	}
	if p.h.Version() < wire.VersionKinds {
		return wire.Response{Status: wire.StatusOK, Payload: wire.AppendListPage(nil, &page)}
	}
	if p.h.Version() >= wire.VersionWhole {
		return wire.Response{Status: wire.StatusOK, Payload: wire.AppendListPage3(nil, &page)}
	}
	return wire.Response{Status: wire.StatusOK, Payload: wire.AppendListPage2(nil, &page)}
}

// check answers about at most three tokens, so that asking on is tested.
func (d *dumbCluster) check(g *dumbGroup, p proposal) wire.Response {
	x, err := wire.DecodeCheckTokens(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	var all wire.TokenStates
	x.Each(func(i int, ref wire.TokenRef) bool {
		s := wire.TokenState{LeftMillis: wire.NoMaxHold}
		if wire.GroupOf("", ref.Name, uint16(len(d.groups))) != p.h.Group {
			d.fail("check of %q in group %d", ref.Name, p.h.Group)
		}
		for _, y := range g.lock(string(ref.Name)).holds {
			s.Newest = max(s.Newest, y.token)
			if y.token == ref.Token {
				s.Standing, s.LeftMillis = wire.TokenCurrent, y.left(d.now)
			}
		}
		all.States = append(all.States, s)
		return i < 2
	})
	if p.h.Flags&wire.FlagDetails != 0 {
		return wire.Response{Status: wire.StatusOK, Payload: wire.AppendTokensLeft(nil, &all)}
	}
	return wire.Response{Status: wire.StatusOK, Payload: wire.AppendTokenStates(nil, &all)}
}

// find answers with two claims at a time.
func (d *dumbCluster) find(g *dumbGroup, p proposal) wire.Response {
	x, err := wire.DecodeFindSession(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	var all []wire.Claim
	page := wire.SessionClaims{}
	for _, s := range g.sessions {
		if s.nonce == x.Nonce {
			page.Session, page.Epoch, page.LeaseMillis = s.id, s.epoch, uint32(s.lease/1e6)
		}
	}
	if page.Session == 0 {
		return wire.Response{Status: wire.StatusNotFound}
	}
	for name, l := range g.locks {
		for _, y := range slices.Concat(l.holds, l.queue) {
			if y.session == page.Session && y.request > x.After {
				all = append(all, wire.Claim{Request: y.request, Token: y.token, Owner: y.owner,
					Permits: y.permits, Capacity: l.capacity, Mode: y.mode, Flags: y.claimFlags(),
					Name: []byte(name)})
			}
		}
	}
	slices.SortFunc(all, func(a, b wire.Claim) int { return cmp.Compare(a.Request, b.Request) })
	if len(all) > 2 {
		all, page.More = all[:2], wire.MorePages
	}
	page.Claims = all
	return wire.Response{Status: wire.StatusOK, Payload: wire.AppendSessionClaims(nil, &page)}
}

package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lockd/netio/wire"
)

// simNet runs Cores against a dumbCluster on virtual time, with a network that
// delays, cuts and half-opens conns, and leaders that move. Bytes of one conn
// stay in order; everything else may happen.
type simNet struct {
	t       *testing.T
	r       *rand.Rand
	now     Instant
	d       *dumbCluster
	clients []*simClient
	events  []simEvent
	links   map[int]*simLink
	lastID  int
	healed  bool
}

type simEvent struct {
	at  Instant
	seq int
	do  func()
}

type simLink struct {
	client   *simClient
	conn     ConnID
	node     uint16
	up, down Instant // when the last bytes of each direction arrive
	dead     bool    // half-open: bytes vanish
	in       []byte
}

type simClient struct {
	core  *Core
	links map[ConnID]int
	calls []*Call
	lost  int
	alone Instant // until when its conns are dead and its dials fail
	slow  Instant // until when its conns are slow
}

func (s *simNet) after(d Instant, do func()) Instant { return s.at(s.now+d, do) }

func (s *simNet) at(at Instant, do func()) Instant {
	s.lastID++
	s.events = append(s.events, simEvent{at, s.lastID, do})
	return at
}

// latencyOf is the latency of a client's conns.
func (s *simNet) latencyOf(c *simClient) Instant {
	if c.slow > s.now {
		return Instant(s.r.IntN(int(900 * time.Millisecond)))
	}
	return s.latency()
}

func (s *simNet) latency() Instant {
	if !s.healed && s.r.IntN(50) == 0 {
		return Instant(s.r.IntN(int(300 * time.Millisecond)))
	}
	return Instant(s.r.IntN(int(2*time.Millisecond))) + 1
}

func newSimNet(t *testing.T, seed uint64, clients int) *simNet {
	s := &simNet{t: t, r: rand.New(rand.NewPCG(seed, 1)), now: 1e9, links: map[int]*simLink{}}
	s.d = newDumb(3, 4, s.fromNode)
	s.d.now = s.now
	s.d.delay = func() Instant { return s.latency() }
	for i := range clients {
		cfg := CoreConfig{
			Name: fmt.Sprintf("c%d", i), Endpoints: []string{"node1", "node2", "node3"},
			Lease: 2 * time.Second, Drift: 0.01, Margin: 20 * time.Millisecond,
			DialTimeout: 500 * time.Millisecond, MaxInFlight: 100,
			Nonce: wire.Nonce{byte(i + 1)}, Seed: s.r.Uint64(),
		}
		if seed%3 == 0 {
			cfg.Grace = 800 * time.Millisecond
		}
		c := &simClient{core: NewCore(cfg, s.now), links: map[ConnID]int{}}
		c.core.Reach(s.now)
		s.clients = append(s.clients, c)
		s.pump(c)
	}
	return s
}

// pump carries out what a Core has ready.
func (s *simNet) pump(c *simClient) {
	var ready Ready
	c.core.Take(&ready)
	for _, d := range ready.Dials {
		s.dial(c, d)
	}
	for _, id := range ready.Closes {
		s.cut(c.links[id])
	}
	for _, id := range ready.Writes {
		s.fromClient(c, id)
	}
	for _, x := range ready.Done {
		if errors.Is(x.Err, ErrLost) {
			c.lost++
		}
		if x.Err != nil && !errors.Is(x.Err, ErrHeld) && !errors.Is(x.Err, ErrLost) &&
			!errors.Is(x.Err, ErrUnavailable) && !errors.Is(x.Err, errGone) &&
			!(x.Kind.AtGate() && expectedAtGate(x.Err)) {
			s.t.Errorf("%s %q ended as %v", x.Kind, x.Name, x.Err)
		}
	}
	for _, l := range ready.Lost {
		c.lost++
		if !errors.Is(l.Err, ErrLost) {
			s.t.Errorf("lost as %v", l.Err)
		}
	}
}

func (s *simNet) dial(c *simClient, d NewConn) {
	if c.alone > s.now || (!s.healed && s.r.IntN(10) == 0) {
		s.after(s.latency(), func() {
			c.core.Disconnected(s.now, d.Conn, errors.New("connection refused"))
			s.pump(c)
		})
		return
	}
	s.lastID++
	id := s.lastID
	node := uint16(d.Address[4] - '0')
	c.links[d.Conn] = id
	s.after(s.latency(), func() {
		if _, open := c.links[d.Conn]; !open {
			return
		}
		s.links[id] = &simLink{client: c, conn: d.Conn, node: node}
		s.d.conns[id] = &dumbConn{id: id, node: node}
		c.core.Connected(s.now, d.Conn)
		s.pump(c)
	})
}

func (s *simNet) fromClient(c *simClient, id ConnID) {
	out := c.core.Output(id, nil)
	link := s.links[c.links[id]]
	if link == nil || link.dead || len(out) == 0 {
		return
	}
	n := c.links[id]
	link.up = s.at(max(link.up, s.now+s.latencyOf(c)), func() {
		if s.d.conns[n] == nil {
			return
		}
		for len(out) > 0 {
			k, err := wire.FrameBytes(out, wire.MaxFrameBytes)
			if err != nil || k == 0 || k > len(out) {
				s.t.Fatalf("client wrote garbage: %d %v", k, err)
			}
			s.d.frame(n, out[:k])
			out = out[k:]
		}
	})
}

func (s *simNet) fromNode(n int, frame []byte) {
	link := s.links[n]
	if link == nil || link.dead {
		return
	}
	link.down = s.at(max(link.down, s.now+s.latencyOf(link.client)), func() {
		if s.links[n] == nil || link.dead {
			return
		}
		link.in = append(link.in, frame...)
		cut := len(link.in)
		if s.r.IntN(4) == 0 {
			cut = s.r.IntN(cut + 1) // half a frame now, the rest with the next
			s.at(s.now+1, func() { s.arrive(n, link, len(link.in)) })
		}
		s.arrive(n, link, cut)
	})
}

func (s *simNet) arrive(n int, link *simLink, cut int) {
	if s.links[n] == nil || cut == 0 {
		return
	}
	used, err := link.client.core.Receive(s.now, link.conn, link.in[:cut])
	if err != nil {
		s.t.Errorf("receive: %v", err)
	}
	link.in = link.in[min(used, len(link.in)):]
	s.pump(link.client)
}

// cut ends a link on the node's side; the client is told by the caller.
func (s *simNet) cut(n int) {
	if link := s.links[n]; link != nil {
		delete(link.client.links, link.conn)
		delete(s.links, n)
	}
	s.d.closeConn(n)
}

func (s *simNet) reset(n int) {
	link := s.links[n]
	s.cut(n)
	link.client.core.Disconnected(s.now, link.conn, errors.New("connection reset"))
	s.pump(link.client)
}

var errGone = errors.New("context ended")

// mischief does one random thing to the world.
func (s *simNet) mischief() {
	switch s.r.IntN(12) {
	case 0:
		s.d.lead(s.r.IntN(len(s.d.groups)), uint16(s.r.IntN(3)+1))
	case 1:
		if n, ok := s.anyLink(); ok {
			s.reset(n)
		}
	case 2:
		if n, ok := s.anyLink(); ok && s.r.IntN(4) == 0 {
			s.links[n].dead = true
		}
	case 3:
		if c := s.clients[s.r.IntN(len(s.clients))]; s.r.IntN(20) == 0 {
			s.isolate(c, Instant(s.r.IntN(int(4*time.Second))))
		}
	case 4:
		if s.r.IntN(20) == 0 {
			s.clients[s.r.IntN(len(s.clients))].slow = s.now.Add(2 * time.Second)
		}
	}
}

// isolate cuts a client off, silently.
func (s *simNet) isolate(c *simClient, d Instant) {
	c.alone = s.now + d
	for _, n := range c.links {
		if link := s.links[n]; link != nil {
			link.dead = true
		}
	}
}

func (s *simNet) anyLink() (int, bool) {
	var ids []int
	for n := range s.links {
		ids = append(ids, n)
	}
	slices.Sort(ids)
	if len(ids) == 0 {
		return 0, false
	}
	return ids[s.r.IntN(len(ids))], true
}

// work has a client do one random thing.
func (s *simNet) work(c *simClient) {
	if c.core.Groups() == 0 {
		return
	}
	var x *Call
	if len(c.calls) > 0 {
		x = c.calls[s.r.IntN(len(c.calls))]
	}
	switch {
	case len(c.calls) < 6:
		x = s.ask(s.r.IntN(9))
		if x.Kind == wire.KindAwait || !x.Kind.AtGate() && s.r.IntN(3) > 0 {
			x.Flags = wire.FlagWait
		} else {
			x.Timeout = 3 * time.Second
		}
		c.calls = append(c.calls, x)
		c.core.Start(x)
	case x.state == StateOpen && s.r.IntN(8) == 0:
		c.core.Abandon(x, errGone)
	case x.state == StateHeld && c.alone < s.now && s.r.IntN(5) == 0:
		c.giveBack(x)
	case x.state == StateDone || x.state == StateLost:
		c.calls = slices.DeleteFunc(c.calls, func(y *Call) bool { return x == y })
	}
	s.pump(c)
}

// ask makes a Call for one of a few locks, each of one kind.
func (s *simNet) ask(n int) *Call {
	x := &Call{Kind: wire.KindAcquire, Mode: wire.ModeEX, Name: fmt.Sprintf("lock%d", n)}
	switch n {
	case 5:
		x.Kind, x.Mode, x.Capacity = wire.KindTake, wire.ModeNL, 3
		x.Permits = uint32(1 + s.r.IntN(3))
	case 6:
		x.Kind, x.Owner = wire.KindEnter, uint64(1+s.r.IntN(2))
	case 7, 8:
		s.atGate(x)
		return x
	}
	if x.Owner == 1 || x.Owner == 0 && s.r.IntN(3) == 0 {
		x.Terms = &wire.Terms{Fields: wire.TermMaxHold, MaxHoldMillis: 900}
		if x.Owner == 0 {
			x.Terms.MaxHoldMillis = uint32(100 + s.r.IntN(1500))
		}
	}
	return x
}

// giveBack releases what a Call holds.
func (c *simClient) giveBack(x *Call) {
	x.Kind, x.Timeout = wire.KindRelease, 3*time.Second
	if x.Owner != 0 {
		x.Kind = wire.KindLeave
	}
	c.core.Start(x)
}

// step runs the next event, or a tick that is due before it.
func (s *simNet) step(until Instant) bool {
	next := until
	for _, c := range s.clients {
		next = min(next, max(c.core.Next(), s.now))
	}
	i := -1
	for j, e := range s.events {
		if e.at < next || (e.at == next && i >= 0 && e.seq < s.events[i].seq) ||
			(e.at == next && i < 0) {
			i, next = j, e.at
		}
	}
	s.now = max(s.now, next)
	s.d.advance(s.now)
	if i >= 0 {
		do := s.events[i].do
		s.events = slices.Delete(s.events, i, i+1)
		do()
	}
	for _, c := range s.clients {
		if c.core.Next() <= s.now {
			c.core.Tick(s.now)
			s.pump(c)
		}
	}
	s.check()
	return s.now < until
}

// check is I25 and G1: who believes to hold a lock does, and is alone.
func (s *simNet) check() {
	for i, c := range s.clients {
		for _, x := range c.calls {
			if x.state != StateHeld || c.core.ValidUntil(x) <= s.now {
				continue
			}
			l := s.d.groups[x.Group].lock(x.Name)
			holds := l.holds
			mine := func(y dumbClaim) bool {
				return y.session == x.Session && y.token == x.Token && y.owner == x.Owner &&
					y.permits == x.Permits && (x.Owner == 0 || y.request == x.target)
			}
			foreign := func(y dumbClaim) bool { return y.token != x.Token }
			if !slices.ContainsFunc(holds, mine) ||
				l.capacity == 0 && slices.ContainsFunc(holds, foreign) {
				s.t.Fatalf("at %d: client %d believes in %q token %d session %d, the nodes say %+v",
					s.now, i, x.Name, x.Token, x.Session, holds)
			}
		}
	}
	if len(s.d.failures) > 0 {
		s.t.Fatalf("at %d: %v", s.now, s.d.failures)
	}
}

func (s *simNet) run(d time.Duration, each func()) {
	end := s.now.Add(d)
	for s.now < end {
		for s.step(min(end, s.now.Add(5*time.Millisecond))) {
		}
		if each != nil {
			each()
		}
	}
}

// TestCoreSim proves, for many random worlds, that a client never believes in a
// lock another may have (I25), never sends a request twice in an epoch, and
// that once the world heals everything pending ends and nothing is left held
// that no client knows of (F-K1, F-K2, F-N1 to F-N4; I19, I32).
func TestCoreSim(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 20
	}
	grants, losses := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSimNet(t, seed, 3)
			s.run(8*time.Second, func() {
				s.mischief()
				s.work(s.clients[s.r.IntN(len(s.clients))])
			})
			s.healed = true
			for _, c := range s.clients {
				grants += int(c.core.calls.last)
				losses += c.lost
			}
			s.settle()
		})
	}
	t.Logf("%d requests, %d holds lost over %d seeds", grants, losses, seeds)
	if grants == 0 || losses == 0 {
		t.Errorf("got %d requests and %d losses: the worlds are too kind", grants, losses)
	}
}

// settle lets everybody give back what they have and checks that the nodes
// agree that nothing is left, well before a lease could clean up.
func (s *simNet) settle() {
	s.t.Helper()
	for _, c := range s.clients {
		c.alone, c.slow = 0, 0
	}
	for n, link := range s.links {
		if link.dead {
			s.reset(n)
		}
	}
	s.run(3*time.Second, func() {
		for _, c := range s.clients {
			for _, x := range c.calls {
				switch x.state {
				case StateOpen:
					c.core.Abandon(x, errGone)
				case StateHeld:
					c.giveBack(x)
				}
			}
			s.pump(c)
		}
	})
	for i, c := range s.clients {
		if n := c.core.Closing(); n != 0 || c.core.calls.count != 0 || c.core.userOpen != 0 {
			s.t.Errorf("client %d: got %d calls in groups, %d in the table, %d open; want none",
				i, n, c.core.calls.count, c.core.userOpen)
		}
		c.core.Close()
		s.pump(c)
	}
	s.nothingHeld("after the last release")
	s.run(time.Second, nil)
	for g, group := range s.d.groups {
		if len(group.sessions) != 0 && s.orphans(group) {
			s.t.Errorf("group %d: got sessions %v after Close, want none", g, group.sessions)
		}
	}
	for i, c := range s.clients {
		if n := c.core.Closing(); n != 0 {
			s.t.Errorf("client %d: got %d sessions to close, want none", i, n)
		}
	}
}

// orphans reports whether a session is left that is not one whose OpenSession
// was never answered: those live until their lease ends.
func (s *simNet) orphans(g *dumbGroup) bool {
	for _, l := range g.locks {
		if len(l.holds)+len(l.queue) > 0 {
			return true
		}
	}
	return false
}

func (s *simNet) nothingHeld(when string) {
	s.t.Helper()
	for g, group := range s.d.groups {
		for name, e := range group.gates {
			if len(e.queue) > 0 {
				s.t.Errorf("group %d %s: got %d waiting at %q, want none", g, when, len(e.queue), name)
			}
		}
		for name, l := range group.locks {
			if len(l.holds)+len(l.queue) > 0 {
				s.t.Errorf("group %d %s: got %q held by %+v, waited for by %+v; want nothing",
					g, when, name, l.holds, l.queue)
			}
		}
	}
}

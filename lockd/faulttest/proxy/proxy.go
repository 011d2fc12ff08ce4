package proxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Protocol says how bytes are cut into frames.
type Protocol uint8

// The protocols of lockd.
const (
	Peers Protocol = iota
	Clients
)

// Options describe a Proxy.
type Options struct {
	// Listen is the address to listen on, host:port.
	Listen string
	// Target is where connections lead, host:port.
	Target string
	// Protocol is what they carry. Default Peers.
	Protocol Protocol
	// Seed draws what happens to frames.
	Seed uint64
}

// Proxy passes connections on to a target and harms what they carry.
type Proxy struct {
	opts     Options
	listener net.Listener
	running  sync.WaitGroup
	quit     chan struct{}         // closed by Close
	state    atomic.Pointer[state] // replaced as a whole under mu
	counters counters

	mu struct {
		sync.Mutex
		closed bool
		conns  uint64 // taken so far
		pairs  map[*pair]struct{}
		armed  [directions][]Harm // strikes to come
		past   [directions]past
	}
}

// state is what a Proxy does at a time. It never changes; changed is closed
// when another has taken its place.
type state struct {
	target  string
	rules   [directions]Rules
	changed chan struct{}
}

// counters are those of Stats; the goroutines of lanes write them.
type counters struct {
	conns, swallowed atomic.Uint64
	frames, bytes    [directions]atomic.Uint64
	done             [Harms]atomic.Uint64
}

// New listens and passes everything on.
func New(o Options) (*Proxy, error) {
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{opts: o, listener: ln, quit: make(chan struct{})}
	p.mu.pairs = make(map[*pair]struct{})
	p.state.Store(&state{target: o.Target, changed: make(chan struct{})})
	p.start()
	return p, nil
}

// Addr is where the Proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set makes the rules of a direction those given, for connections that stand
// and for those to come.
func (p *Proxy) Set(d Direction, r Rules) {
	p.change(func(s *state) { s.rules[d] = r })
}

// SetBoth is Set for both directions.
func (p *Proxy) SetBoth(r Rules) {
	p.change(func(s *state) { s.rules = [directions]Rules{r, r} })
}

// SetTarget leads the connections to come elsewhere. Those that stand stay.
func (p *Proxy) SetTarget(address string) {
	p.change(func(s *state) { s.target = address })
}

func (p *Proxy) change(with func(*state)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.state.Load()
	next := &state{target: old.target, rules: old.rules, changed: make(chan struct{})}
	with(next)
	p.state.Store(next)
	close(old.changed)
}

// Strike lets the next frame of a direction, whatever it is, suffer a harm.
// Strikes queue up.
func (p *Proxy) Strike(d Direction, h Harm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.armed[d] = append(p.mu.armed[d], h)
}

// struck takes the next strike of a direction.
func (p *Proxy) struck(d Direction) (Harm, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.armed[d]) == 0 {
		return 0, false
	}
	h := p.mu.armed[d][0]
	p.mu.armed[d] = p.mu.armed[d][1:]
	return h, true
}

// Reset resets both ends of every connection. What is on its way is lost.
func (p *Proxy) Reset() {
	for _, c := range p.present() {
		c.reset()
	}
}

// Orphan resets every connection towards the end that dialed, and keeps what is
// still on its way to the target for a while before it arrives there: what a
// network may do with the packets of a connection that its sender has given up
// and replaced.
func (p *Proxy) Orphan(keep time.Duration) {
	for _, c := range p.present() {
		c.late.Store(time.Now().Add(keep).UnixNano())
		abort(c.dialer)
	}
}

func (p *Proxy) present() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*pair
	for c := range p.mu.pairs {
		all = append(all, c)
	}
	return all
}

// Stats returns what was done so far.
func (p *Proxy) Stats() Stats {
	s := Stats{Conns: p.counters.conns.Load(), Swallowed: p.counters.swallowed.Load()}
	for d := range directions {
		s.Frames[d], s.Bytes[d] = p.counters.frames[d].Load(), p.counters.bytes[d].Load()
	}
	for h := range s.Done {
		s.Done[h] = p.counters.done[h].Load()
	}
	return s
}

// Close resets everything and stops. It waits for all goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	first := !p.mu.closed
	p.mu.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	close(p.quit)
	err := p.listener.Close()
	p.Reset()
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// admit notes a connection and reports whether the Proxy still runs.
func (p *Proxy) admit(conn *net.TCPConn) (*pair, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return nil, false
	}
	p.counters.conns.Add(1)
	p.mu.conns++
	c := &pair{proxy: p, number: p.mu.conns, dialer: conn, ended: make(chan struct{})}
	p.mu.pairs[c] = struct{}{}
	return c, true
}

// forget drops a connection that is over.
func (p *Proxy) forget(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.pairs, c)
}

package netio

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"lockd/netio/wire"
)

// DownCause says why a link went down.
type DownCause uint8

// The causes.
const (
	DownReset    DownCause = 1 + iota // reset or closed by the peer: its process likely died
	DownClosed                        // closed by this node: Close, SetPeer, RemovePeer
	DownTimeout                       // the peer's machine does not answer, or a frame has no end
	DownOverflow                      // the peer took too little for too long
	DownGarbled                       // a frame that breaks the protocol, or a wrong checksum
	DownReplaced                      // the same process came again: it had lost the connection
	DownRefused                       // the peer took the link back
)

// String returns the name of c as it appears in logs and metrics.
func (c DownCause) String() string {
	switch c {
	case DownReset:
		return "reset"
	case DownClosed:
		return "closed"
	case DownTimeout:
		return "timeout"
	case DownOverflow:
		return "overflow"
	case DownGarbled:
		return "garbled"
	case DownReplaced:
		return "replaced"
	case DownRefused:
		return "refused"
	default:
		return "cause " + strconv.Itoa(int(c))
	}
}

// PeerHandler receives what happens on links. For one peer its methods are called
// one at a time: PeerUp, frames, PeerDown, and PeerUp again only after PeerDown
// returned. Those of different peers run at the same time. PeerFrame is called on
// event loops and must not block. They may call Links.Send. PeerUp, PeerFrame and
// PeerDown are called for a stranger as for a peer; what is sent to it is dropped.
type PeerHandler interface {
	// Check admits a peer, nil, or says why not: cluster, settings, disk, roster,
	// rolled back position. Ids, versions and the secret are checked already. It
	// is called on both sides of every handshake and more than once for one link.
	Check(h wire.PeerHello) *wire.PeerRefused

	// PeerUp says that frames to n arrive from now on.
	PeerUp(n uint16, h wire.PeerHello)

	// PeerDown says that the link to n is gone, with everything that was on its
	// way in either direction.
	PeerDown(n uint16, cause DownCause)

	// PeerFrame hands over one frame whose checksum is right and whose kind is
	// known and not of the handshake. The payload is borrowed until it returns.
	// Handler.Flush follows.
	PeerFrame(n uint16, kind wire.PeerKind, payload []byte)

	// Refused says that n does not want a link with this node, and why. r is the
	// handler's own. The next attempt comes after BackoffMax, or IntroduceAfter if n
	// should have dialed. It is not called for a stranger.
	Refused(n uint16, r wire.PeerRefused)
}

// Links keeps one link to every peer: the node with the lower id dials, the
// other one accepts, and introduces itself if that does not come about. Its methods
// are safe for concurrent use.
type Links struct {
	opts        LinkOptions
	handler     PeerHandler
	listener    *net.TCPListener
	incarnation uint64    // random; one per process
	began       time.Time // zero of the links' clock

	peers      atomic.Pointer[map[uint16]*peer] // replaced as a whole under mu
	handshakes handshakes
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	running    sync.WaitGroup // every goroutine of the links
	counters   linkCounters

	mu struct {
		sync.Mutex
		closed bool
		// introduced are the strangers that are heard, by id: none is a peer.
		introduced map[uint16]*peer
	}
}

// peer is one other node, as long as it belongs to the cluster.
type peer struct {
	node     uint16
	addr     string
	stranger bool                   // it is no peer, and is heard for a while
	up       atomic.Pointer[link]   // written by the goroutine of the link
	problem  atomic.Pointer[string] // written by the loop that dials it
	counters peerCounters
	ctx      context.Context // ends with RemovePeer and with Close
	cancel   context.CancelFunc

	mu struct {
		sync.Mutex
		current *link // from its admission until PeerDown returned
		removed bool
	}
}

// OpenLinks listens for peers and begins to dial those with a higher id.
func OpenLinks(opts LinkOptions, h PeerHandler) (*Links, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	for i, p := range opts.Peers {
		if err := checkPeer(opts.Self, p); err != nil {
			return nil, err
		}
		for _, q := range opts.Peers[:i] {
			if q.Node == p.Node {
				return nil, fmt.Errorf("netio: peer %d is listed twice: %s and %s",
					p.Node, q.Addr, p.Addr)
			}
		}
	}
	ln, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("netio: listen for peers on %s: %w", opts.Addr, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ls := &Links{
		opts:        opts,
		handler:     h,
		listener:    ln.(*net.TCPListener),
		incarnation: random64(),
		began:       time.Now(),
		ctx:         ctx,
		cancel:      cancel,
	}
	ls.peers.Store(&map[uint16]*peer{})
	ls.mu.introduced = make(map[uint16]*peer)
	ls.startAccepting()
	for _, p := range opts.Peers {
		if err := ls.SetPeer(p); err != nil {
			return nil, errors.Join(err, ls.Close(ctx))
		}
	}
	return ls, nil
}

// Addr returns the address of the peer port, with its real port.
func (ls *Links) Addr() net.Addr { return ls.listener.Addr() }

// Send queues one whole frame, header and checksum included, for a peer. It
// copies the frame and never blocks: an idle link writes at once, otherwise its
// event loop does. To a peer without a link Send does nothing; what was sent may be
// lost with the link. Requires: frames of one peer whose order matters come from
// one goroutine.
func (ls *Links) Send(to uint16, frame []byte) {
	p := (*ls.peers.Load())[to]
	if p == nil {
		return
	}
	l := p.up.Load()
	if l == nil {
		p.counters.dropped.Add(1)
		return
	}
	l.send(frame)
}

// SetPeer adds a peer or changes its address, which ends the link it has, as a
// stranger too. Do not call it from a handler.
func (ls *Links) SetPeer(p Peer) error {
	if err := checkPeer(ls.opts.Self, p); err != nil {
		return err
	}
	if old := (*ls.peers.Load())[p.Node]; old != nil {
		if old.addr == p.Addr {
			return nil
		}
		ls.RemovePeer(p.Node)
	}
	added := &peer{node: p.Node, addr: p.Addr}
	added.ctx, added.cancel = context.WithCancel(ls.ctx)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.endIntroduction(p.Node)
	if ls.mu.closed {
		added.cancel()
		return fmt.Errorf("netio: add peer %d: %w", p.Node, ErrStopped)
	}
	ls.replacePeers(func(m map[uint16]*peer) { m[p.Node] = added })
	switch {
	case ls.opts.Self < p.Node:
		ls.startDialing(added)
	case p.Addr != "":
		ls.startIntroducing(added)
	}
	return nil
}

// RemovePeer ends the link to a peer, if there is one, and admits it no more. It
// returns after PeerDown; do not call it from a handler.
func (ls *Links) RemovePeer(node uint16) {
	ls.mu.Lock()
	p := (*ls.peers.Load())[node]
	ls.replacePeers(func(m map[uint16]*peer) { delete(m, node) })
	ls.mu.Unlock()
	if p != nil {
		p.remove()
	}
}

// Reset ends the link to a peer, of every peer if node is zero, as one that does not
// answer; it comes anew. What was on its way is lost with it.
func (ls *Links) Reset(node uint16) {
	for n, p := range *ls.peers.Load() { // order: each for itself
		if l := p.up.Load(); l != nil && (node == 0 || node == n) {
			l.shut(DownTimeout)
		}
	}
}

// Close ends every link and the peer port, after what was sent before has been
// handed to the kernel or ctx has ended. It returns when no handler runs any
// more; do not call it from one.
func (ls *Links) Close(ctx context.Context) error {
	ls.mu.Lock()
	ls.mu.closed = true
	ls.mu.Unlock()
	err := ls.drain(ctx)
	ls.cancel()
	if closeErr := ls.listener.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, fmt.Errorf("netio: close the peer port: %w", closeErr))
	}
	ls.running.Wait()
	return err
}

// drain waits until no link has a queue.
func (ls *Links) drain(ctx context.Context) error {
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for {
		queued := 0
		for _, p := range *ls.peers.Load() { // order: a sum
			if l := p.up.Load(); l != nil {
				queued += l.queued()
			}
		}
		if queued == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("netio: %d bytes unsent to peers: %w", queued, context.Cause(ctx))
		case <-poll.C:
		}
	}
}

// replacePeers changes a copy of the peers and makes it the current one.
// Requires: mu is held.
func (ls *Links) replacePeers(change func(map[uint16]*peer)) {
	next := make(map[uint16]*peer)
	for n, p := range *ls.peers.Load() { // order: a copy
		next[n] = p
	}
	change(next)
	ls.peers.Store(&next)
}

// now is the time since OpenLinks, by the monotonic clock.
func (ls *Links) now() time.Duration { return time.Since(ls.began) }

// admit makes l the link of p. An older link stays if it lives and belongs to
// another incarnation, because then two processes use one identity and the
// first one is served; otherwise it is ended first.
func (p *peer) admit(l *link) *wire.PeerRefused {
	for {
		p.mu.Lock()
		old := p.mu.current
		if p.mu.removed {
			p.mu.Unlock()
			return peerRefusal(wire.RefusedNode, "node %d is no peer any more", p.node)
		}
		if old == nil {
			p.mu.current = l
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		if r := old.keepsOut(l); r != nil {
			return r
		}
		cause := DownReplaced
		if incarnation(old.hello) != incarnation(l.hello) {
			cause = DownReset // the process behind old has a successor
		}
		old.shut(cause)
		<-old.done
	}
}

// linked reports whether p has a link.
func (p *peer) linked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.current != nil
}

// blocked returns why admit would refuse l now.
func (p *peer) blocked(l *link) *wire.PeerRefused {
	p.mu.Lock()
	old := p.mu.current
	p.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.keepsOut(l)
}

// leave gives up what admit gave to l.
func (p *peer) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.current != l {
		panic(fmt.Sprintf("netio: link of peer %d: have %p, want %p", p.node, p.mu.current, l))
	}
	p.mu.current = nil
	close(l.done)
}

// remove ends p for ever and waits until its link is gone.
func (p *peer) remove() {
	p.mu.Lock()
	l := p.mu.current
	p.mu.removed = true
	p.mu.Unlock()
	p.cancel()
	if l != nil {
		l.shut(DownClosed)
		<-l.done
	}
}

func checkPeer(self uint16, p Peer) error {
	switch {
	case p.Node == 0:
		return fmt.Errorf("netio: peer at %q: node id 0, want 1 or more", p.Addr)
	case p.Node == self:
		return fmt.Errorf("netio: peer at %q: node id %d is this node's own", p.Addr, p.Node)
	case self < p.Node && p.Addr == "":
		return fmt.Errorf("netio: peer %d: no address to dial", p.Node)
	}
	return nil
}

// peerRefusal builds a refusal with a text for people.
func peerRefusal(code wire.Refusal, format string, args ...any) *wire.PeerRefused {
	text := fmt.Sprintf(format, args...)
	return &wire.PeerRefused{Code: code, Text: []byte(text[:min(len(text), wire.MaxTextBytes)])}
}

// random64 draws from the system; crypto/rand does not fail.
func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

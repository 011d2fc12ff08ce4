package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"lockd/netio/wire"
)

// helloTo returns this node's hello for a peer. Its nonce is the incarnation of
// the process and a challenge drawn for this handshake.
func (ls *Links) helloTo(to uint16) wire.PeerHello {
	h := ls.opts.Hello(to)
	h.Version, h.MinVersion = wire.PeerVersion, wire.MinPeerVersion
	h.From, h.To = ls.opts.Self, to
	binary.LittleEndian.PutUint64(h.Nonce[:8], ls.incarnation)
	binary.LittleEndian.PutUint64(h.Nonce[8:], random64())
	h.Proof = wire.Proof{}
	if ls.secret() {
		h.Features |= wire.PeerFeatureVerdict
	}
	return h
}

// incarnation tells the processes of one node apart.
func incarnation(h wire.PeerHello) uint64 { return binary.LittleEndian.Uint64(h.Nonce[:8]) }

// shakeDialed is the handshake of the side that dialed p:
// hello →, ← welcome, proof →, and ← the verdict, if there is a secret.
func (ls *Links) shakeDialed(p *peer, conn *net.TCPConn) (*link, error) {
	if err := conn.SetDeadline(time.Now().Add(ls.opts.HandshakeTimeout)); err != nil {
		return nil, fmt.Errorf("netio: link to %d: %w", p.node, err)
	}
	own := ls.helloTo(p.node)
	ownFrame := wire.AppendPeerHello(nil, wire.PeerKindHello, &own)
	if _, err := conn.Write(ownFrame); err != nil {
		return nil, fmt.Errorf("netio: hello to node %d: %w", p.node, err)
	}
	kind, payload, err := readHandshake(conn)
	if err != nil {
		return nil, fmt.Errorf("netio: welcome of node %d: %w", p.node, err)
	}
	if kind == wire.PeerKindRefused {
		return nil, ls.refusedEarly(p, payload)
	}
	hello, refusal := ls.checkWelcome(p, kind, payload)
	if refusal != nil {
		return nil, ls.refuse(conn, refusal)
	}
	proof := transcript{hello: ownFrame[wire.PeerHeaderBytes:], welcome: payload}
	if !proof.matches(ls.opts.Secret, acceptorRole, hello.Proof) {
		return nil, ls.refuse(conn, ls.unlike(p))
	}
	answer := proof.proof(ls.opts.Secret, dialerRole)
	answerFrame := wire.AppendPeerProof(nil, &answer)
	if refusal = ls.handler.Check(hello); refusal != nil {
		return nil, ls.refuseProven(conn, refusal, answerFrame)
	}
	if _, err := conn.Write(answerFrame); err != nil {
		return nil, fmt.Errorf("netio: proof to node %d: %w", p.node, err)
	}
	if err := ls.awaitVerdict(p, conn, hello); err != nil {
		return nil, err
	}
	return ls.established(p, conn, hello)
}

// checkWelcome checks who answered at the address of p.
func (ls *Links) checkWelcome(
	p *peer, kind wire.PeerKind, payload []byte,
) (wire.PeerHello, *wire.PeerRefused) {
	if kind != wire.PeerKindWelcome {
		return wire.PeerHello{}, peerRefusal(wire.RefusedFrame, "%s instead of a welcome", kind)
	}
	h, err := wire.DecodePeerHello(payload)
	switch {
	case err != nil:
		return h, peerRefusal(helloRefusal(err), "%v", err)
	case h.From != p.node:
		return h, peerRefusal(wire.RefusedNode,
			"node %d answers at %s, the address of node %d", h.From, p.addr, p.node)
	case h.To != ls.opts.Self:
		return h, peerRefusal(wire.RefusedNode,
			"a welcome for node %d reached node %d", h.To, ls.opts.Self)
	}
	return h, nil
}

// handshakes are the accepted conns that are not links yet, maxHandshakes at most.
type handshakes struct {
	mu struct {
		sync.Mutex
		silent  []*net.TCPConn // have not said hello
		greeted []*net.TCPConn
	}
}

// errCrowded ends a handshake that was given up for a newer one.
var errCrowded = errors.New("netio: handshake given up: too many at a time")

// enter takes a conn in. If there are too many, one of them has to be closed for it,
// rather one that has said nothing: a peer says hello at once, and who does not would
// else keep all peers out for as long as a handshake may take. Which one is drawn: the
// oldest would be everybody, where strangers come faster than a peer can speak.
func (h *handshakes) enter(conn *net.TCPConn) (crowded *net.TCPConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.silent)+len(h.mu.greeted) >= maxHandshakes {
		from := &h.mu.silent
		if len(*from) == 0 {
			from = &h.mu.greeted
		}
		i := rand.IntN(len(*from))
		crowded = (*from)[i]
		*from = slices.Delete(*from, i, i+1)
	}
	h.mu.silent = append(h.mu.silent, conn)
	return crowded
}

// greet notes that a conn has said hello.
func (h *handshakes) greet(conn *net.TCPConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if without(&h.mu.silent, conn) {
		h.mu.greeted = append(h.mu.greeted, conn)
	}
}

// leave takes a conn out and reports false if it was closed for another.
func (h *handshakes) leave(conn *net.TCPConn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return without(&h.mu.silent, conn) || without(&h.mu.greeted, conn)
}

// without takes a conn out of a list and reports whether it was there.
func without(list *[]*net.TCPConn, conn *net.TCPConn) bool {
	i := slices.Index(*list, conn)
	if i < 0 {
		return false
	}
	*list = slices.Delete(*list, i, i+1)
	return true
}

// shakeAccepted is the handshake of the side that was dialed. The peer it finds
// is known and may have a link; the place is not taken before the proof, so that
// nobody can end a link by claiming to be its peer. With a secret nobody is judged
// before it either: a claim costs no line of a log, and a refusal is a proven one.
func (ls *Links) shakeAccepted(conn *net.TCPConn) (*link, error) {
	if err := conn.SetDeadline(time.Now().Add(ls.opts.HandshakeTimeout)); err != nil {
		return nil, fmt.Errorf("netio: accepted link: %w", err)
	}
	kind, helloPayload, err := readHandshake(conn)
	if err != nil {
		return nil, fmt.Errorf("netio: hello from %s: %w", conn.RemoteAddr(), err)
	}
	ls.handshakes.greet(conn)
	p, hello, refusal := ls.checkHello(kind, helloPayload)
	if refusal != nil {
		return nil, ls.refuse(conn, refusal)
	}
	l, err := ls.established(p, conn, hello)
	if err != nil {
		return nil, err
	}
	if !ls.secret() {
		if refusal = ls.judge(l); refusal != nil {
			return nil, ls.refuse(conn, refusal)
		}
	}
	welcome := ls.helloTo(p.node)
	proof := transcript{hello: helloPayload}
	proof.welcome = wire.AppendPeerHello(nil, wire.PeerKindWelcome, &welcome)[wire.PeerHeaderBytes:]
	welcome.Proof = proof.proof(ls.opts.Secret, acceptorRole)
	frame := wire.AppendPeerHello(nil, wire.PeerKindWelcome, &welcome)
	if _, err := conn.Write(frame); err != nil {
		return nil, fmt.Errorf("netio: welcome to node %d: %w", p.node, err)
	}
	if err := ls.awaitProof(p, conn, proof); err != nil {
		return nil, err
	}
	if ls.secret() {
		if refusal = ls.judge(l); refusal != nil {
			return nil, ls.refuse(conn, refusal)
		}
	}
	return l, nil
}

// judge says why a link that was dialed is not wanted, nil if it is.
func (ls *Links) judge(l *link) *wire.PeerRefused {
	if r := ls.check(l.peer, l.hello); r != nil {
		return r
	}
	return l.peer.blocked(l)
}

// awaitProof reads the last frame of the side that dialed.
func (ls *Links) awaitProof(p *peer, conn *net.TCPConn, proof transcript) error {
	kind, payload, err := readHandshake(conn)
	if err != nil {
		return fmt.Errorf("netio: proof of node %d: %w", p.node, err)
	}
	switch kind {
	case wire.PeerKindProof:
		answer, err := wire.DecodePeerProof(payload)
		if err != nil {
			return ls.refuse(conn, peerRefusal(wire.RefusedFrame, "%v", err))
		}
		if !proof.matches(ls.opts.Secret, dialerRole, answer) {
			return ls.refuse(conn, ls.unlike(p))
		}
		return nil
	case wire.PeerKindRefused:
		if ls.secret() && proof.follows(conn, ls.opts.Secret) {
			return ls.refusedProven(p, payload)
		}
		return ls.refusedEarly(p, payload)
	default:
		return ls.refuse(conn, peerRefusal(wire.RefusedFrame, "%s instead of a proof", kind))
	}
}

// checkHello checks who dialed and finds the peer it is, or a place for a stranger.
func (ls *Links) checkHello(
	kind wire.PeerKind, payload []byte,
) (*peer, wire.PeerHello, *wire.PeerRefused) {
	if kind != wire.PeerKindHello {
		return nil, wire.PeerHello{}, peerRefusal(wire.RefusedFrame, "%s instead of a hello", kind)
	}
	h, err := wire.DecodePeerHello(payload)
	if err != nil {
		return nil, h, peerRefusal(helloRefusal(err), "%v", err)
	}
	self := ls.opts.Self
	switch p := (*ls.peers.Load())[h.From]; {
	case h.To != self:
		return nil, h, peerRefusal(wire.RefusedNode,
			"node %d answers at the address where node %d looks for node %d", self, h.From, h.To)
	case h.From == self:
		return nil, h, peerRefusal(wire.RefusedDuplicate, "two nodes have the id %d", self)
	case p == nil:
		return introduction(h.From), h, nil
	default:
		return p, h, nil
	}
}

// established makes a link of a connection whose other side is known.
func (ls *Links) established(p *peer, conn *net.TCPConn, h wire.PeerHello) (*link, error) {
	if err := setLinkOptions(conn, ls.opts.UserTimeout); err != nil {
		return nil, fmt.Errorf("netio: link to %d: %w", p.node, err)
	}
	return newLink(ls, p, conn, h), nil
}

// readHandshake reads exactly one frame: what follows belongs to the link.
func readHandshake(conn io.Reader) (wire.PeerKind, []byte, error) {
	frame := make([]byte, 4, 256)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return 0, nil, err
	}
	size, err := wire.PeerFrameBytes(frame, handshakeFrameBytes)
	if err != nil {
		return 0, nil, err
	}
	frame = append(frame, make([]byte, size-len(frame))...)
	if _, err := io.ReadFull(conn, frame[4:]); err != nil {
		return 0, nil, err
	}
	return wire.ParsePeer(frame)
}

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

// errRefused means that one side of a handshake did not want the link.
var errRefused = errors.New("netio: link refused")

// helloTo returns this node's hello for a peer. Its nonce is the incarnation of
// the process and a challenge drawn for this handshake.
func (ls *Links) helloTo(to uint16) wire.PeerHello {
	h := ls.opts.Hello(to)
	h.Version, h.MinVersion = wire.PeerVersion, wire.MinPeerVersion
	h.From, h.To = ls.opts.Self, to
	binary.LittleEndian.PutUint64(h.Nonce[:8], ls.incarnation)
	binary.LittleEndian.PutUint64(h.Nonce[8:], random64())
	h.Proof = wire.Proof{}
	return h
}

// incarnation tells the processes of one node apart.
func incarnation(h wire.PeerHello) uint64 { return binary.LittleEndian.Uint64(h.Nonce[:8]) }

// shakeDialed is the handshake of the side that dialed p:
// hello →, ← welcome, proof →.
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
		r, err := wire.DecodePeerRefused(payload)
		if err != nil {
			return nil, fmt.Errorf("netio: refusal by node %d: %w", p.node, err)
		}
		ls.refusedBy(p, r)
		return nil, fmt.Errorf("%w by node %d: %s: %s", errRefused, p.node, r.Code, r.Text)
	}
	hello, refusal := ls.checkWelcome(p, kind, payload)
	proof := transcript{hello: ownFrame[wire.PeerHeaderBytes:], welcome: payload}
	if refusal == nil && !proof.matches(ls.opts.Secret, acceptorRole, hello.Proof) {
		refusal = peerRefusal(wire.RefusedPermission,
			"node %d and node %d do not have the same cluster secret", ls.opts.Self, p.node)
	}
	if refusal == nil {
		refusal = ls.handler.Check(hello)
	}
	if refusal != nil {
		return nil, ls.refuse(conn, refusal)
	}
	answer := proof.proof(ls.opts.Secret, dialerRole)
	if _, err := conn.Write(wire.AppendPeerProof(nil, &answer)); err != nil {
		return nil, fmt.Errorf("netio: proof to node %d: %w", p.node, err)
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
// nobody can end a link by claiming to be its peer.
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
	if refusal == nil {
		refusal = ls.check(p, hello)
	}
	var l *link
	if refusal == nil {
		if l, err = ls.established(p, conn, hello); err != nil {
			return nil, err
		}
		refusal = p.blocked(l)
	}
	if refusal != nil {
		return nil, ls.refuse(conn, refusal)
	}
	welcome := ls.helloTo(p.node)
	proof := transcript{hello: helloPayload}
	proof.welcome = wire.AppendPeerHello(nil, wire.PeerKindWelcome, &welcome)[wire.PeerHeaderBytes:]
	welcome.Proof = proof.proof(ls.opts.Secret, acceptorRole)
	frame := wire.AppendPeerHello(nil, wire.PeerKindWelcome, &welcome)
	if _, err := conn.Write(frame); err != nil {
		return nil, fmt.Errorf("netio: welcome to node %d: %w", p.node, err)
	}
	return l, ls.awaitProof(p, conn, proof)
}

// awaitProof reads the last frame of a handshake.
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
			return ls.refuse(conn, peerRefusal(wire.RefusedPermission,
				"node %d and node %d do not have the same cluster secret", p.node, ls.opts.Self))
		}
		return nil
	case wire.PeerKindRefused:
		r, err := wire.DecodePeerRefused(payload)
		if err != nil {
			return fmt.Errorf("netio: refusal by node %d: %w", p.node, err)
		}
		ls.refusedBy(p, r)
		return fmt.Errorf("%w by node %d: %s: %s", errRefused, p.node, r.Code, r.Text)
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
	case p == nil && ls.opts.Stranger != nil:
		return introduction(h.From), h, nil
	case p == nil:
		return nil, h, peerRefusal(wire.RefusedNode, "node %d is no peer of node %d", h.From, self)
	case h.From > self:
		return nil, h, peerRefusal(wire.RefusedNode, "node %d dials node %d, but the lower id dials; "+
			"if no link comes up, node %d does not reach node %d at the address it has of it",
			h.From, self, self, h.From)
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

// refuse tells the other side why and waits a little for it to close, because a
// close with bytes unread would make the kernel send a reset that may destroy
// the frame on its way. It always returns errRefused.
func (ls *Links) refuse(conn *net.TCPConn, r *wire.PeerRefused) error {
	ls.counters.refused.Add(1)
	err := fmt.Errorf("%w: %s: %s", errRefused, r.Code, r.Text)
	if _, writeErr := conn.Write(wire.AppendPeerRefused(nil, r)); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	if closeErr := conn.CloseWrite(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	_, _ = io.CopyN(io.Discard, conn, handshakeFrameBytes)
	return err
}

// refusedBy counts a refusal by p and tells the handler, with a text of its own.
// What a stranger thinks of this node is nobody's business.
func (ls *Links) refusedBy(p *peer, r wire.PeerRefused) {
	p.counters.refused.Add(1)
	if p.stranger {
		return
	}
	r.Text = append([]byte(nil), r.Text...)
	ls.handler.Refused(p.node, r)
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

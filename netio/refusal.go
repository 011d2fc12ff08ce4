package netio

import (
	"errors"
	"fmt"
	"io"
	"net"

	"lockd/netio/wire"
)

// A refusal may end a node for good: it was removed, or its disk was rolled back.
// With a secret it counts only from one who has shown that it knows it. A side that
// refuses one in a handshake proves itself as it would to have the link:
//
//	accepting   PeerWelcome with its proof, and PeerRefused as the verdict on the
//	            proof of the side that dialed
//	dialing     PeerRefused, with its PeerProof behind it
//
// What is refused before, and by older builds, is a dial or a handshake that came to
// nothing. Older builds hear both as ever: the first on the link that they have by
// then, the second before the proof, which they do not read.

// errRefused means that one side of a handshake did not want the link.
var errRefused = errors.New("netio: link refused")

// secret reports whether there is a secret to be proved.
func (ls *Links) secret() bool { return len(ls.opts.Secret) > 0 }

// refuse tells the other side why and waits a little for it to close, because a
// close with bytes unread would make the kernel send a reset that may destroy
// the frame on its way. It always returns errRefused.
func (ls *Links) refuse(conn *net.TCPConn, r *wire.PeerRefused) error {
	return ls.refuseWith(conn, r, nil)
}

// refuseProven is refuse with the proof that makes it count where there is a secret.
func (ls *Links) refuseProven(conn *net.TCPConn, r *wire.PeerRefused, proof []byte) error {
	if !ls.secret() {
		proof = nil
	}
	return ls.refuseWith(conn, r, proof)
}

func (ls *Links) refuseWith(conn *net.TCPConn, r *wire.PeerRefused, proof []byte) error {
	ls.counters.refused.Add(1)
	err := fmt.Errorf("%w: %s: %s", errRefused, r.Code, r.Text)
	frames := append(wire.AppendPeerRefused(nil, r), proof...)
	if _, writeErr := conn.Write(frames); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	if closeErr := conn.CloseWrite(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	_, _ = io.CopyN(io.Discard, conn, handshakeFrameBytes)
	return err
}

// unlike refuses one whose proof is not that of the secret, and notes it.
func (ls *Links) unlike(p *peer) *wire.PeerRefused {
	r := peerRefusal(wire.RefusedPermission,
		"node %d and node %d do not have the same cluster secret", ls.opts.Self, p.node)
	ls.unproven(p, string(r.Text))
	return r
}

// unproven tells of one who did not show that it knows the secret.
func (ls *Links) unproven(p *peer, text string) {
	if ls.opts.Unproven != nil {
		ls.opts.Unproven(p.node, text)
	}
}

// refusedEarly takes a refusal that came instead of a frame of a handshake, before the
// other side has proved anything.
func (ls *Links) refusedEarly(p *peer, payload []byte) error {
	if !ls.secret() {
		return ls.refusedProven(p, payload)
	}
	r, err := wire.DecodePeerRefused(payload)
	if err != nil {
		return fmt.Errorf("netio: refusal by node %d: %w", p.node, err)
	}
	ls.unproven(p, fmt.Sprintf("refused without a proof: %s: %s", r.Code, r.Text))
	return fmt.Errorf("%w by one who did not prove to be node %d: %s: %s",
		errRefused, p.node, r.Code, r.Text)
}

// refusedProven takes a refusal in a handshake by one who has proved itself, or need not.
func (ls *Links) refusedProven(p *peer, payload []byte) error {
	r, err := wire.DecodePeerRefused(payload)
	if err != nil {
		return fmt.Errorf("netio: refusal by node %d: %w", p.node, err)
	}
	ls.refusedBy(p, r)
	return fmt.Errorf("%w by node %d: %s: %s", errRefused, p.node, r.Code, r.Text)
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

// follows reads the next frame and reports whether it is the proof of the side that
// dialed.
func (t transcript) follows(conn io.Reader, secret []byte) bool {
	kind, payload, err := readHandshake(conn)
	if err != nil || kind != wire.PeerKindProof {
		return false
	}
	proof, err := wire.DecodePeerProof(payload)
	return err == nil && t.matches(secret, dialerRole, proof)
}

// awaitVerdict reads what the accepting side thinks of the proof, and of who has
// given it, before the link counts as up. Older builds say it on the link.
func (ls *Links) awaitVerdict(p *peer, conn *net.TCPConn, hello wire.PeerHello) error {
	if !ls.secret() || hello.Features&wire.PeerFeatureVerdict == 0 {
		return nil
	}
	kind, payload, err := readHandshake(conn)
	switch {
	case err != nil:
		return fmt.Errorf("netio: verdict of node %d: %w", p.node, err)
	case kind == wire.PeerKindRefused:
		return ls.refusedProven(p, payload)
	case kind != wire.PeerKindProof:
		return ls.refuse(conn, peerRefusal(wire.RefusedFrame, "%s instead of a verdict", kind))
	}
	return nil
}

// welcomed tells a side that waits for it that it has the link. An error of the conn
// is one of the link.
func (l *link) welcomed() {
	if l.links.secret() && l.hello.Features&wire.PeerFeatureVerdict != 0 {
		_, _ = l.conn.Write(wire.AppendPeerProof(nil, &wire.Proof{}))
	}
}

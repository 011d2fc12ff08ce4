package netio

import (
	"errors"
	"fmt"
	"time"

	"lockd/netio/wire"
)

// Defaults and fixed bounds of the links.
const (
	defaultQueueBytes       = 32 << 20
	defaultHandshakeTimeout = 5 * time.Second
	defaultDialTimeout      = 2 * time.Second
	defaultUserTimeout      = 5 * time.Second
	defaultLinkFrameTimeout = 10 * time.Second
	defaultBackoffMin       = 20 * time.Millisecond
	defaultBackoffMax       = 500 * time.Millisecond
	defaultIntroduceAfter   = 10 * defaultBackoffMax
	defaultIntroductionTime = 10 * time.Second

	// handshakeFrameBytes bounds every frame before a link is up.
	handshakeFrameBytes = 2 << 10
	// maxHandshakes bounds the conns of the peer port that are not links yet. For a
	// further one another is closed.
	maxHandshakes = 64
	// silentAfter is how long a link must not have brought a byte before another
	// incarnation of the same node may take its place. Peers send heartbeats
	// several times a second.
	silentAfter = 2 * time.Second
)

// Peer is another node and where its peer port is. The node with the lower id dials
// and must have an address; the other one uses it to introduce itself.
type Peer struct {
	Node uint16
	Addr string
}

// LinkOptions says how links to peers are kept. The zero value of a field means
// its default, where one is stated.
//
// The memory of the links is at most
//
//	peers × (2 × QueueBytes + MaxFrameBytes + ServerOptions.ReadBufferBytes)
//
// and 1 MiB + ReadBufferBytes for each of the two strangers that are heard at a time.
type LinkOptions struct {
	// Self is the id of this node, not zero.
	Self uint16

	// Addr is where peers reach this node, host:port. Port 0 takes any free
	// port, which Links.Addr then tells.
	Addr string

	// Server is whose event loops read the links. It must outlive them.
	Server *Server

	// Peers are the other nodes. SetPeer and RemovePeer change them later.
	Peers []Peer

	// Hello returns what this node says of itself to a peer: features, cluster,
	// settings, disk, durable position, roster. It is called for every handshake,
	// on any goroutine. Versions, ids, nonce and proof are filled in here.
	Hello func(to uint16) wire.PeerHello

	// Stranger admits a node that is no peer to be heard for a while, nil, or says
	// why not, as PeerHandler.Check does for peers. It is called on any goroutine.
	// Without it no stranger is heard.
	Stranger func(h wire.PeerHello) *wire.PeerRefused

	// IntroduceAfter is how long a link that the other side is to dial must be down
	// before this side dials, to introduce itself to one that may not know it, and
	// the least time between two such dials; the actual time is up to twice that.
	// Longer, and a cluster that depends on it waits for longer; shorter, and each
	// node dials more often each node with a lower id that is down. Default 5 s.
	IntroduceAfter time.Duration

	// IntroductionTime is how long a stranger is heard. It must be long enough for
	// what it has to say; longer, and other strangers wait. Default 10 s.
	IntroductionTime time.Duration

	// Secret, if not empty, must be known to both ends of a link. It never
	// crosses the wire. It guards who may open a link, not what the link
	// carries: use it inside a network that does not alter packets.
	Secret []byte

	// Unproven, if not nil, is told of one who spoke as a node and did not show that it
	// knows the secret, and what it said: for the log, since nothing else comes of
	// it. It is called on any goroutine, as often as strangers dial.
	Unproven func(node uint16, text string)

	// QueueBytes bounds what waits for one peer. A link above it is reset, its
	// messages are lost, and the peer catches up by asking. Default 32 MiB.
	QueueBytes int

	// MaxFrameBytes bounds a received frame. Default wire.MaxPeerFrameBytes.
	MaxFrameBytes int

	// DialTimeout bounds the wait for a TCP connection. Default 2 s.
	DialTimeout time.Duration

	// HandshakeTimeout bounds the exchange of hellos. Default 5 s.
	HandshakeTimeout time.Duration

	// FrameTimeout is how long the rest of a frame may take once it has begun. A
	// frame of 8 MiB needs 7 Mbit/s to come in time. Default 10 s.
	FrameTimeout time.Duration

	// UserTimeout is how long sent bytes or probes may stay unacknowledged by
	// the peer's kernel before the link counts as timed out. Default 5 s.
	UserTimeout time.Duration

	// BackoffMin and BackoffMax bound the wait between two dials, which doubles
	// in between; the actual wait is drawn from its upper half. Defaults 20 ms
	// and 500 ms.
	BackoffMin, BackoffMax time.Duration

	// Seed makes the waits of one node differ from those of another.
	Seed uint64
}

// MemoryBytes is the most memory the links take, each bound at its default where
// none is given.
func (o *LinkOptions) MemoryBytes() uint64 {
	d := *o
	setDefault(&d.QueueBytes, defaultQueueBytes)
	return uint64(len(d.Peers))*
		(2*uint64(d.QueueBytes)+wire.MaxPeerFrameBytes+defaultReadBufferBytes) +
		maxIntroduced*(introducedFrameBytes+defaultReadBufferBytes)
}

func (o LinkOptions) withDefaults() (LinkOptions, error) {
	setDefault(&o.QueueBytes, defaultQueueBytes)
	setDefault(&o.MaxFrameBytes, wire.MaxPeerFrameBytes)
	setDefault(&o.DialTimeout, defaultDialTimeout)
	setDefault(&o.HandshakeTimeout, defaultHandshakeTimeout)
	setDefault(&o.FrameTimeout, defaultLinkFrameTimeout)
	setDefault(&o.UserTimeout, defaultUserTimeout)
	setDefault(&o.BackoffMin, defaultBackoffMin)
	setDefault(&o.BackoffMax, defaultBackoffMax)
	setDefault(&o.IntroduceAfter, defaultIntroduceAfter)
	setDefault(&o.IntroductionTime, defaultIntroductionTime)
	o.Secret = append([]byte(nil), o.Secret...)
	switch {
	case o.Self == 0:
		return o, errors.New("netio: node id 0, want 1 or more")
	case o.Server == nil:
		return o, errors.New("netio: no server whose event loops read the links")
	case o.Hello == nil:
		return o, errors.New("netio: no function for the hello of links")
	case o.QueueBytes < o.MaxFrameBytes:
		return o, fmt.Errorf("netio: queue of %d bytes per peer, want at least one frame of %d",
			o.QueueBytes, o.MaxFrameBytes)
	case o.MaxFrameBytes < handshakeFrameBytes:
		return o, fmt.Errorf("netio: peer frames of at most %d bytes, want at least %d",
			o.MaxFrameBytes, handshakeFrameBytes)
	case o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin:
		return o, fmt.Errorf("netio: backoff from %v to %v", o.BackoffMin, o.BackoffMax)
	case o.DialTimeout < 0 || o.HandshakeTimeout < 0 || o.FrameTimeout < 0 || o.UserTimeout < 0:
		return o, fmt.Errorf("netio: negative timeout: dial %v, handshake %v, frame %v, user %v",
			o.DialTimeout, o.HandshakeTimeout, o.FrameTimeout, o.UserTimeout)
	case o.IntroduceAfter < 0 || o.IntroductionTime < 0:
		return o, fmt.Errorf("netio: introduction after %v, for %v, want no negative time",
			o.IntroduceAfter, o.IntroductionTime)
	}
	return o, nil
}

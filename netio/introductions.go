package netio

import (
	"context"

	"lockd/netio/wire"
)

// maxIntroduced is how many strangers are heard at a time. Others come again.
const maxIntroduced = 2

// introducedFrameBytes bounds a frame of a stranger. A record is smaller; a larger
// frame, which is not for this node, ends the link.
const introducedFrameBytes = 1 << 20

// introduction is a place for a stranger. Nobody finds it by its id, so nothing is
// sent to the stranger.
func introduction(node uint16) *peer { return &peer{node: node, stranger: true} }

// frameBytes bounds what is received in one frame.
func (l *link) frameBytes() int {
	if l.peer.stranger {
		return min(introducedFrameBytes, l.links.opts.MaxFrameBytes)
	}
	return l.links.opts.MaxFrameBytes
}

// check judges who dialed, by what it is to this node.
func (ls *Links) check(p *peer, h wire.PeerHello) *wire.PeerRefused {
	self := ls.opts.Self
	switch {
	case p.stranger && ls.opts.Stranger != nil:
		return ls.opts.Stranger(h)
	case p.stranger:
		return peerRefusal(wire.RefusedNode, "node %d is no peer of node %d", h.From, self)
	case h.From > self:
		return peerRefusal(wire.RefusedNode, "node %d dials node %d, but the lower id dials; "+
			"if no link comes up, node %d does not reach node %d at the address it has of it",
			h.From, self, self, h.From)
	}
	return ls.handler.Check(h)
}

// admitAccepted gives an accepted link its place: that of its peer, or one of the
// few for strangers.
func (ls *Links) admitAccepted(l *link) *wire.PeerRefused {
	p := l.peer
	if !p.stranger {
		return p.admit(l)
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	switch {
	case ls.mu.closed:
		return peerRefusal(wire.RefusedStopping, "node %d is stopping", ls.opts.Self)
	case (*ls.peers.Load())[p.node] != nil:
		return peerRefusal(wire.RefusedNode, "node %d has become a peer of node %d; come again",
			p.node, ls.opts.Self)
	case ls.mu.introduced[p.node] != nil:
		return peerRefusal(wire.RefusedDuplicate, "node %d is being heard already", p.node)
	case len(ls.mu.introduced) >= maxIntroduced:
		return peerRefusal(wire.RefusedConns, "node %d hears %d strangers already; come again",
			ls.opts.Self, maxIntroduced)
	}
	p.ctx, p.cancel = context.WithTimeout(ls.ctx, ls.opts.IntroductionTime)
	ls.mu.introduced[p.node] = p
	ls.counters.introduced.Add(1)
	return p.admit(l) // its place is new, so nothing is waited for
}

// admitDialed gives a dialed link its place. One with which this node introduces
// itself gives way to the one that the other side dialed.
func (ls *Links) admitDialed(l *link) *wire.PeerRefused {
	p := l.peer
	if ls.opts.Self > p.node && p.linked() {
		return peerRefusal(wire.RefusedDuplicate, "node %d has dialed meanwhile", p.node)
	}
	return p.admit(l)
}

// endIntroduction ends that of a node, if there is one, and waits until PeerDown
// returned. Requires: mu is held; it is given up meanwhile.
func (ls *Links) endIntroduction(node uint16) {
	for p := ls.mu.introduced[node]; p != nil; p = ls.mu.introduced[node] {
		ls.mu.Unlock()
		p.remove()
		ls.mu.Lock()
	}
}

// parted frees the place of a stranger whose link has ended.
func (ls *Links) parted(p *peer) {
	if !p.stranger {
		return
	}
	ls.mu.Lock()
	delete(ls.mu.introduced, p.node)
	ls.mu.Unlock()
	p.cancel()
}

package main

import (
	"log/slog"
	"sync/atomic"
	"time"

	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/netio"
	"lockd/netio/wire"
	"lockd/wal"
)

// This file turns the engine's small interfaces into those of the packages
// below it, and the other way round.

// logPort is the WAL as the engine sees it.
type logPort struct {
	syncer *wal.Syncer
	rounds *wal.Rounds
	// leastRoom is what the WAL must have room for besides new work: releases,
	// renewals and what peers have to say until the next beat.
	leastRoom int64
}

// newLogPort keeps half a segment free, or as much as a large one needs. Even
// with segments of the smallest size a healthy log has more room than that: it
// keeps whole ones in reserve.
func newLogPort(s *wal.Syncer, segmentBytes int64) logPort {
	const enough = 4 << 20
	return logPort{syncer: s, rounds: wal.NewRounds(s), leastRoom: min(enough, segmentBytes/2)}
}

func (p logPort) Flush()                            { p.rounds.Ask() }
func (p logPort) Append(r wal.Record) wal.LSN       { return p.syncer.Append(r) }
func (p logPort) Release(group uint16, slot uint64) { p.syncer.Release(group, slot) }
func (p logPort) Reopen(group uint16)               { p.syncer.Reopen(group) }
func (p logPort) SyncingSince() node.Nanos          { return node.Nanos(p.syncer.SyncStarted()) }

// Cramped leaves new work out while the WAL is nearly full.
func (p logPort) Cramped() bool { return p.syncer.Stats().RoomBytes < p.leastRoom }

// Full has peers' entries left out while the disk stands and what waits for it would
// not fit into the log, nor, without a bound, into memory.
func (p logPort) Full() bool { return p.syncer.Stats().RoomBytes == 0 }

// clientPort carries frames between the client port and the engine.
type clientPort struct {
	node   *node.Node
	inbox  *node.Inbox
	rounds *wal.Rounds
	// server is written once, before the engine starts; event loops may look
	// before that.
	server atomic.Pointer[netio.Server]
}

// Send, Flush, Resume and CloseConn make it a node.Clients.
func (p *clientPort) Send(c node.ConnID, frames []byte) {
	p.server.Load().Send(netio.ConnID(c), frames)
}

// Resume reads from a conn again.
func (p *clientPort) Resume(c node.ConnID) { p.server.Load().Resume(netio.ConnID(c)) }

// Flush starts the writing.
func (p *clientPort) Flush() { p.server.Load().Flush() }

// CloseConn ends a conn.
func (p *clientPort) CloseConn(c node.ConnID) { p.server.Load().CloseConn(netio.ConnID(c)) }

// Hello admits a client; netio has checked that the versions meet.
func (p *clientPort) Hello(_ netio.ConnID, h wire.Hello) ([]byte, bool) {
	version, err := wire.Negotiate(h.Version, h.MinVersion)
	if err != nil {
		refused := wire.Refused{Code: wire.RefusedVersion, Text: []byte(err.Error())}
		return wire.AppendRefused(nil, wire.Header{}, &refused), false
	}
	w := p.node.Welcome(version)
	return wire.AppendWelcome(nil, wire.Header{}, &w), true
}

// Request puts a frame into the inbox, or answers Busy when that is full. A
// keepalive that finds no room is not answered: the client sends the next.
func (p *clientPort) Request(c netio.ConnID, frame []byte) {
	took, enough := p.inbox.Offer(node.ConnID(c), frame)
	if server := p.server.Load(); enough && server != nil {
		server.Pause(c)
	}
	if took {
		return
	}
	h, _, err := wire.Parse(frame)
	if err != nil || h.Kind == wire.KindKeepalive {
		return
	}
	server := p.server.Load()
	if server == nil {
		return // the node is not up yet; the client asks again
	}
	busy := wire.Response{Status: wire.StatusBusy, RetryMillis: inboxRetryMillis}
	h = wire.Header{Group: h.Group, Request: h.Request}
	server.Send(c, wire.AppendResponse(nil, h, &busy))
}

// inboxRetryMillis is how long a client waits after it found the inbox full.
const inboxRetryMillis = 50

// clientHandler is clientPort as netio sees it; the two Flush differ.
type clientHandler struct{ *clientPort }

// Flush follows the last frame of a round of an event loop, of peers too.
func (h clientHandler) Flush() {
	h.rounds.Begin()
	h.inbox.Run()
}

// Sent waits for the disk, if that is quick.
func (h clientHandler) Sent() { h.rounds.Sent() }

// Closed follows everything else of a conn.
func (h clientHandler) Closed(c netio.ConnID) { h.inbox.ConnClosed(node.ConnID(c)) }

// peerPort carries frames between the links and the engine. links is set
// before the engine starts.
type peerPort struct {
	node    *node.Node
	inbox   *node.Inbox
	links   *netio.Links
	log     *slog.Logger
	refused repeats
	faults  *faults // nil unless the node may do any to itself
	// configured are the peer addresses of this node's configuration.
	configured map[uint16]string
	// met are the addresses that Meet was told, until Part. They are the engine's.
	met map[uint16]string
	// changes are peers to be met or left. There is room for more than a record
	// can name: the loop that takes them may wait for the event loop on which the
	// engine is, to end a link, so the engine must not wait for it.
	changes chan peerChange
	stop    chan struct{} // closed by end
	done    chan struct{} // closed by the loop
}

// peerChange says that a peer is to be linked, or no more.
type peerChange struct {
	peer netio.Peer
	meet bool
	// moved says that the cluster was told of the address while this node ran.
	moved bool
}

func newPeerPort(inbox *node.Inbox, log *slog.Logger, configured map[uint16]string) *peerPort {
	return &peerPort{
		inbox:      inbox,
		log:        log,
		configured: configured,
		met:        make(map[uint16]string),
		changes:    make(chan peerChange, 4*placement.MaxNodes),
		stop:       make(chan struct{}),
		done:       make(chan struct{}),
	}
}

// Send makes it a node.Peers.
func (p *peerPort) Send(to uint16, frame []byte) {
	if !p.faults.takes(to, frame) {
		p.links.Send(to, frame)
	}
}

// Meet has a node linked that the cluster's record names. The engine may be on an
// event loop that reads links, which must not change them, so a loop does it. A
// node that comes to many records at once names most of its peers in each: only
// what is new takes room.
func (p *peerPort) Meet(id uint16, address string) {
	known, met := p.met[id]
	if met && known == address {
		return
	}
	p.met[id] = address
	p.changes <- peerChange{peer: netio.Peer{Node: id, Addr: address}, meet: true,
		moved: met && address != ""}
}

// Part ends the link to a node that the cluster let go.
func (p *peerPort) Part(id uint16) {
	delete(p.met, id)
	p.changes <- peerChange{peer: netio.Peer{Node: id}}
}

// address returns where to dial whom Meet names. The configuration of this node knows best
// where those are that it names itself, when it starts: a directory that has moved with its
// node is in files alone. What the cluster is told later is news.
func (p *peerPort) address(c *peerChange) string {
	known, ok := p.configured[c.peer.Node]
	if !ok || c.moved {
		return c.peer.Addr
	}
	if c.peer.Addr != "" && c.peer.Addr != known {
		p.log.Warn("cluster.nodes has a node elsewhere than the cluster's record, and counts: correct "+
			"it in the file if the node is not there", "peer", c.peer.Node, "address", known, "record",
			c.peer.Addr)
	}
	return known
}

// change carries out one Meet or Part.
func (p *peerPort) change(c peerChange) {
	to := c.peer
	if !c.meet {
		p.links.RemovePeer(to.Node)
		return
	}
	to.Addr = p.address(&c)
	if to.Addr == "" {
		p.log.Warn("a node of the cluster is not linked: cluster.nodes lacks it, and the cluster's "+
			"record has no address of it; write it into cluster.nodes of this node, and start this "+
			"node again", "peer", to.Node)
		return
	}
	if err := p.links.SetPeer(to); err != nil {
		p.log.Error("cannot link a node", "peer", to.Node, "address", to.Addr, "reason", err)
	}
}

// Check admits a peer at the handshake. The peer is told why not, and so is
// whoever reads the log here: the mistake may be on this side.
func (p *peerPort) Check(h wire.PeerHello) *wire.PeerRefused {
	return p.judged(h.From, p.node.CheckPeer(&h))
}

// checkStranger admits one who is no peer to be heard.
func (p *peerPort) checkStranger(h wire.PeerHello) *wire.PeerRefused {
	return p.judged(h.From, p.node.CheckStranger(&h))
}

func (p *peerPort) judged(peer uint16, r *wire.PeerRefused) *wire.PeerRefused {
	if r != nil {
		p.tell("peer refused", peer, string(r.Text))
	}
	return r
}

// unproven tells of one who spoke as a node and did not prove the secret.
func (p *peerPort) unproven(peer uint16, text string) {
	p.tell("peer not proven: it is not who it says, or has another cluster secret", peer, text)
}

// tell writes a line about who comes to the peer port, unless it is one too many.
func (p *peerPort) tell(what string, peer uint16, reason string) {
	if !p.refused.news(peer, reason, time.Now()) {
		return
	}
	p.log.Warn(what, "peer", peer, "reason", reason)
	if p.refused.full() {
		p.log.Warn("further lines about nodes that are refused or not proven are left out",
			"for", repeatEvery)
	}
}

// PeerUp passes on that a link stands.
func (p *peerPort) PeerUp(n uint16, h wire.PeerHello) { p.inbox.PeerUp(n, &h) }

// PeerDown passes on that a link is gone. A replaced link belongs to the same
// process, which lives and has connected again.
func (p *peerPort) PeerDown(n uint16, cause netio.DownCause) {
	switch cause {
	case netio.DownReset:
		p.inbox.PeerDown(n, node.DownReset)
	case netio.DownClosed, netio.DownRefused, netio.DownReplaced:
		p.inbox.PeerDown(n, node.DownClosed)
	default:
		p.inbox.PeerDown(n, node.DownTimeout)
	}
}

// PeerFrame passes on one frame.
func (p *peerPort) PeerFrame(n uint16, kind wire.PeerKind, payload []byte) {
	if p.faults.loses(n) {
		return
	}
	p.inbox.PeerFrame(n, uint8(kind), payload)
}

// Refused passes on that a peer does not want this node, and why.
func (p *peerPort) Refused(n uint16, r wire.PeerRefused) {
	p.inbox.Refused(n, uint8(r.Code), string(r.Text))
}

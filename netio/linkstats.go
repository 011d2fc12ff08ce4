package netio

import (
	"slices"
	"sync/atomic"
)

// PeerStats counts what happened with one peer since it was added. Up and
// QueuedBytes are gauges, everything else only grows.
type PeerStats struct {
	Node        uint16
	Up          bool
	QueuedBytes int // what the kernel has not taken yet

	Connects  uint64 // links that came up
	Failures  uint64 // dials and handshakes that led to no link
	Refused   uint64 // times the peer refused this node
	Overflows uint64 // links reset because the queue was full
	Garbled   uint64 // links closed for what they carried

	FramesIn  uint64
	FramesOut uint64
	BytesIn   uint64
	BytesOut  uint64
	Inline    uint64 // writes by the sender itself
	Queued    uint64 // writes by the event loop, each of everything queued
	Dropped   uint64 // frames for a peer without a link

	// Problem says why the last attempt to dial led to no link; empty while a
	// link is up.
	Problem string
}

// LinkStats counts what happened on the peer port as a whole.
type LinkStats struct {
	Accepted uint64 // connections taken
	Crowded  uint64 // connections closed because too many shook hands
	Refused  uint64 // handshakes this node refused
	Failed   uint64 // accepted connections that led to no link
	// Introduced counts strangers that were heard.
	Introduced uint64
	Peers      []PeerStats
}

// peerCounters are the live values of PeerStats. The event loop and the goroutine of
// the link and the senders write them.
type peerCounters struct {
	connects, failures, refused, overflows, garbled atomic.Uint64

	framesIn, framesOut, bytesIn, bytesOut, inline, queued, dropped atomic.Uint64
}

// linkCounters are the live values of LinkStats. The accept loop and the
// handshakes write them.
type linkCounters struct {
	accepted, crowded, refused, failed, introduced atomic.Uint64
}

// Stats returns the counters of the links, peers in the order of their ids.
func (ls *Links) Stats() LinkStats {
	s := LinkStats{
		Accepted: ls.counters.accepted.Load(),
		Crowded:  ls.counters.crowded.Load(),
		Refused:  ls.counters.refused.Load(),
		Failed:   ls.counters.failed.Load(),

		Introduced: ls.counters.introduced.Load(),
	}
	for _, p := range *ls.peers.Load() { // order: sorted below
		s.Peers = append(s.Peers, p.stats())
	}
	slices.SortFunc(s.Peers, func(a, b PeerStats) int { return int(a.Node) - int(b.Node) })
	return s
}

func (p *peer) stats() PeerStats {
	s := PeerStats{
		Node:      p.node,
		Connects:  p.counters.connects.Load(),
		Failures:  p.counters.failures.Load(),
		Refused:   p.counters.refused.Load(),
		Overflows: p.counters.overflows.Load(),
		Garbled:   p.counters.garbled.Load(),
		FramesIn:  p.counters.framesIn.Load(),
		FramesOut: p.counters.framesOut.Load(),
		BytesIn:   p.counters.bytesIn.Load(),
		BytesOut:  p.counters.bytesOut.Load(),
		Inline:    p.counters.inline.Load(),
		Queued:    p.counters.queued.Load(),
		Dropped:   p.counters.dropped.Load(),
	}
	if l := p.up.Load(); l != nil {
		s.Up, s.QueuedBytes = true, l.queued()
	} else if problem := p.problem.Load(); problem != nil {
		s.Problem = *problem
	}
	return s
}

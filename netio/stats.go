package netio

import "sync/atomic"

// ServerStats counts what the client port did since it opened. Open is a gauge,
// everything else only grows.
type ServerStats struct {
	Open      int64 // conns open now
	Accepted  uint64
	OverLimit uint64 // conns that came when MaxConns were open: they, or silent ones, were closed
	Refused   uint64 // conns refused for what they sent: garbage, size, version
	Resets    uint64 // conns that ended by an error, not by an orderly close

	HelloTimeouts uint64
	FrameTimeouts uint64
	IdleTimeouts  uint64
	Overflows     uint64 // conns closed for unread responses
	Pauses        uint64 // times a conn was not read because it asked for too much
	PauseFailures uint64 // times a conn had to be read although it asked for too much
	Held          uint64 // times what was read of a conn waited for a later round

	FramesIn uint64
	BytesIn  uint64
	BytesOut uint64
	Writes   uint64 // write calls; BytesOut / Writes tells how well they batch
	Wakes    uint64 // wakes of a loop from another goroutine
}

// serverCounters are the live values of ServerStats. Every loop writes them.
type serverCounters struct {
	open      atomic.Int64
	accepted  atomic.Uint64
	overLimit atomic.Uint64
	refused   atomic.Uint64
	resets    atomic.Uint64

	helloTimeouts atomic.Uint64
	frameTimeouts atomic.Uint64
	idleTimeouts  atomic.Uint64
	overflows     atomic.Uint64
	pauses        atomic.Uint64
	pauseFailures atomic.Uint64
	held          atomic.Uint64

	framesIn atomic.Uint64
	bytesIn  atomic.Uint64
	bytesOut atomic.Uint64
	writes   atomic.Uint64
	wakes    atomic.Uint64
}

func (c *serverCounters) snapshot() ServerStats {
	return ServerStats{
		Open:      c.open.Load(),
		Accepted:  c.accepted.Load(),
		OverLimit: c.overLimit.Load(),
		Refused:   c.refused.Load(),
		Resets:    c.resets.Load(),

		HelloTimeouts: c.helloTimeouts.Load(),
		FrameTimeouts: c.frameTimeouts.Load(),
		IdleTimeouts:  c.idleTimeouts.Load(),
		Overflows:     c.overflows.Load(),
		Pauses:        c.pauses.Load(),
		PauseFailures: c.pauseFailures.Load(),
		Held:          c.held.Load(),

		FramesIn: c.framesIn.Load(),
		BytesIn:  c.bytesIn.Load(),
		BytesOut: c.bytesOut.Load(),
		Writes:   c.writes.Load(),
		Wakes:    c.wakes.Load(),
	}
}

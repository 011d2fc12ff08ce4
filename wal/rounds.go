package wal

import "sync/atomic"

// Syncing is what makes a log durable: a Syncer, or what a simulation has in its place.
type Syncing interface {
	// FlushHere syncs on the caller's goroutine and reports true, or reports false and
	// has done nothing.
	FlushHere() bool
	// Submit has somebody else sync, and returns at once.
	Submit()
}

// Rounds decides who syncs a log. An event loop that has run a turn does so itself once
// all that the turn had to say is sent, as long as the disk is quick: to wake another
// thread, and to be woken by it, takes as long as the sync. For turns that end elsewhere,
// and while the disk is slow, it is somebody else. All may be called by any goroutine.
type Rounds struct {
	log    Syncing
	rounds atomic.Int32 // event loops that will come to Sent
	wanted atomic.Bool
}

// NewRounds returns the rounds of a log in which nobody is.
func NewRounds(log Syncing) *Rounds { return &Rounds{log: log} }

// Ask has what was appended made durable, by the round that runs or by somebody else.
func (r *Rounds) Ask() {
	r.wanted.Store(true)
	if r.rounds.Load() == 0 && r.wanted.Swap(false) {
		r.log.Submit()
	}
}

// Begin says that an event loop may run a turn, and Sent follows it.
func (r *Rounds) Begin() { r.rounds.Add(1) }

// Sent syncs what a turn asked for. Whoever asks after the loops were counted down
// submits; whoever asked before is seen here.
func (r *Rounds) Sent() {
	r.rounds.Add(-1)
	if r.wanted.Swap(false) && !r.log.FlushHere() {
		r.log.Submit()
	}
}

package netio

import "sync"

// outbox carries responses from any goroutine to one event loop. Senders append
// under a short lock; the loop swaps the whole content out and works on it
// alone. It belongs to all of them; every method is safe for concurrent use.
type outbox struct {
	limitBytes int

	mu struct {
		sync.Mutex
		batch    outboxBatch
		woken    bool // a wake is on its way to the loop
		closed   bool // the loop takes no more wakes
		visiting bool // the loop works on what it fetched
	}
}

// outboxBatch is what gathered between two visits of the loop.
type outboxBatch struct {
	entries  []outboxEntry
	bytes    []byte
	closes   []ConnID
	resumes  []ConnID
	overflow []ConnID // conns whose response found no room
	drowned  bool     // more of them than overflow may list
	sweep    bool     // look at timeouts
	look     bool     // look at unsent bytes
}

// outboxEntry says that bytes[from:to] of a batch go to conn.
type outboxEntry struct {
	conn     ConnID
	from, to int
}

// send copies frames for conn.
func (o *outbox) send(conn ConnID, frames []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.closed {
		return
	}
	b := &o.mu.batch
	if len(b.bytes)+len(frames) > o.limitBytes {
		b.overflows(conn)
		return
	}
	from := len(b.bytes)
	b.bytes = append(b.bytes, frames...)
	if n := len(b.entries); n > 0 && b.entries[n-1].conn == conn {
		b.entries[n-1].to = len(b.bytes)
		return
	}
	b.entries = append(b.entries, outboxEntry{conn: conn, from: from, to: len(b.bytes)})
}

// close asks the loop to close conn after what was sent to it so far.
func (o *outbox) close(conn ConnID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.mu.closed {
		o.mu.batch.closes = append(o.mu.batch.closes, conn)
	}
}

// resume asks the loop to read from conn again.
func (o *outbox) resume(conn ConnID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.mu.closed {
		o.mu.batch.resumes = append(o.mu.batch.resumes, conn)
	}
}

// askSweep asks the loop to look at timeouts at its next visit.
func (o *outbox) askSweep() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.batch.sweep = true
}

// askLook asks the loop to look at unsent bytes at its next visit.
func (o *outbox) askLook() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.batch.look = true
}

// wake calls trigger unless a wake is on its way already or the loop has ended.
//
// The lock is held over trigger, against the rule for locks: the trigger writes
// to an eventfd, which never blocks, and seal must know that no trigger runs
// once it returned. gnet closes that eventfd at shutdown without telling its
// callers, and a late trigger would write eight bytes into whatever file the
// number stands for by then.
func (o *outbox) wake(trigger func() error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.woken || o.mu.closed {
		return false
	}
	o.mu.woken = trigger() == nil
	return o.mu.woken
}

// seal ends the outbox: nothing is taken and no trigger runs after it returned.
func (o *outbox) seal() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.closed = true
}

// idle reports whether there is nothing to fetch.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.batch.empty()
}

// settled reports whether there is nothing to fetch and nothing fetched that the
// loop has not dealt with.
func (o *outbox) settled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.mu.visiting && o.mu.batch.empty()
}

// finish ends what fetch began.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.visiting = false
}

// fetch gives the loop the batch and takes the emptied last one in exchange.
// A send after fetch needs a new wake. finish follows.
func (o *outbox) fetch(last outboxBatch) outboxBatch {
	last.reset()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.woken, o.mu.visiting = false, true
	b := o.mu.batch
	o.mu.batch = last
	return b
}

// empty reports whether b holds nothing for a conn.
func (b *outboxBatch) empty() bool {
	return len(b.entries) == 0 && len(b.closes) == 0 && len(b.overflow) == 0 &&
		len(b.resumes) == 0
}

// overflows notes that a response for conn is lost, so that conn must end.
func (b *outboxBatch) overflows(conn ConnID) {
	n := len(b.overflow)
	switch {
	case n > 0 && b.overflow[n-1] == conn:
	case n < overflowList:
		b.overflow = append(b.overflow, conn)
	default:
		b.drowned = true
	}
}

// reset empties b and keeps its memory, unless that is out of proportion.
func (b *outboxBatch) reset() {
	if cap(b.bytes) > retainedBytes {
		b.bytes = nil
	}
	b.entries = b.entries[:0]
	b.bytes = b.bytes[:0]
	b.closes = b.closes[:0]
	b.resumes = b.resumes[:0]
	b.overflow = b.overflow[:0]
	b.drowned = false
	b.sweep, b.look = false, false
}

const (
	// retainedBytes is the largest buffer an idle loop or link keeps for reuse.
	retainedBytes = 1 << 20
	// overflowList is the number of conns a batch can name as overflowed; past
	// it every conn of the loop is closed.
	overflowList = 4096
	// retainedBuffers is the number of buffers a loop keeps for reuse.
	retainedBuffers = 64
)

// bufferList keeps the buffers of one loop for reuse: at most retainedBuffers
// of at most retainedBytes each. It belongs to one goroutine.
type bufferList struct {
	free [][]byte
}

// take returns an empty buffer with room for n bytes.
func (l *bufferList) take(n int) []byte {
	if last := len(l.free) - 1; last >= 0 {
		b := l.free[last]
		l.free[last] = nil
		l.free = l.free[:last]
		if cap(b) >= n {
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

// fit is take with a buffer that is not much larger than asked for, for what is kept
// for long and counts as large as it is.
func (l *bufferList) fit(n int) []byte {
	for i := len(l.free) - 1; i >= 0; i-- {
		if b := l.free[i]; cap(b) >= n && cap(b) <= 4*n {
			last := len(l.free) - 1
			l.free[i], l.free[last] = l.free[last], nil
			l.free = l.free[:last]
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

// give returns a buffer of take or fit to the list.
func (l *bufferList) give(b []byte) {
	if cap(b) > 0 && cap(b) <= retainedBytes && len(l.free) < retainedBuffers {
		l.free = append(l.free, b)
	}
}

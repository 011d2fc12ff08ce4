package witness

import (
	"context"
	"fmt"
	"net"
	"sync"

	"lockd/netio/wire"
)

// Tap is what one client's conns show. Give its Dial to the client.
type Tap struct {
	book *Book
	dial func(ctx context.Context, address string) (net.Conn, error)

	mu struct {
		sync.Mutex
		// sent counts the sends of an acquire that may yet be, or have been,
		// executed unheard.
		sent     map[uint64]int
		sessions map[SessionKey]Session
		opened   map[uint16][]int64 // when each session of a group was asked for
		records  [][]Record         // in pieces, so that none is ever copied
		strays   []string
		stopped  chan struct{} // closed when the conns go on; nil if they do
	}
}

// pieceRecords is how many records one piece of memory takes.
const pieceRecords = 4096

// keptKeepalives is how many keepalives of a conn are remembered: acks of older
// ones renew nothing here, which only makes the check weaker.
const keptKeepalives = 64

// Dial connects to a node. It has the shape of client.Options.Dial.
func (t *Tap) Dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := t.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return &tapped{Conn: c, tap: t, open: make(map[uint64]Record), closed: make(chan struct{})}, nil
}

// Stop holds back all bytes, both ways, as if the client's process were paused.
func (t *Tap) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.stopped == nil {
		t.mu.stopped = make(chan struct{})
	}
}

// Resume lets the bytes go on.
func (t *Tap) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.stopped != nil {
		close(t.mu.stopped)
		t.mu.stopped = nil
	}
}

// Session returns what was seen of a session, and whether anything was.
func (t *Tap) Session(k SessionKey) (Session, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.mu.sessions[k]
	return s, ok
}

// Opened returns how many sessions of a group the client has opened since a
// moment. What it asked for before may have been granted in an earlier session.
func (t *Tap) Opened(group uint16, since int64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.mu.opened[group]
	n := 0
	for n < len(all) && all[len(all)-1-n] >= since {
		n++
	}
	return n
}

// append keeps a record. Requires: t.mu is held.
func (t *Tap) append(r Record) {
	last := len(t.mu.records) - 1
	if last < 0 || len(t.mu.records[last]) == pieceRecords {
		t.mu.records = append(t.mu.records, make([]Record, 0, pieceRecords))
		last++
	}
	t.mu.records[last] = append(t.mu.records[last], r)
	t.book.count.Add(1)
}

// stray notes an answer that nobody asked for. Requires: t.mu is held.
func (t *Tap) stray(format string, args ...any) {
	if len(t.mu.strays) < maxViolations {
		t.mu.strays = append(t.mu.strays, fmt.Sprintf(format, args...))
	}
}

// change edits what is known of a session. Requires: t.mu is held.
func (t *Tap) change(k SessionKey, edit func(*Session)) {
	s, ok := t.mu.sessions[k]
	if !ok {
		s = Session{Closed: Open, Over: Open}
	}
	edit(&s)
	t.mu.sessions[k] = s
}

// giveUp moves everything to h.
func (t *Tap) giveUp(h *History) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, piece := range t.mu.records {
		h.Records = append(h.Records, piece...)
		t.mu.records[i] = nil
	}
	t.mu.records = nil
	for k, s := range t.mu.sessions {
		h.Sessions[k] = s
	}
	h.Strays = append(h.Strays, t.mu.strays...)
}

// tapped is one conn. Its frames are read under the lock of the tap, so that
// what was sent again elsewhere is known.
type tapped struct {
	net.Conn
	tap        *Tap
	in, out    []byte // the beginning of a frame
	open       map[uint64]Record
	keepalives [keptKeepalives]keepalive
	kept       int
	ended      bool
	once       sync.Once
	closed     chan struct{}
}

type keepalive struct {
	request uint64
	sent    int64
}

// pass waits while the tap is stopped. The error is net.ErrClosed.
func (c *tapped) pass() error {
	c.tap.mu.Lock()
	stopped := c.tap.mu.stopped
	c.tap.mu.Unlock()
	if stopped == nil {
		return nil
	}
	select {
	case <-stopped:
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

// Write notes what is sent, and sends it.
func (c *tapped) Write(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	c.tap.mu.Lock()
	c.out = c.frames(append(c.out, b...), c.onRequest)
	c.tap.mu.Unlock()
	return c.Conn.Write(b)
}

// Read notes what has come.
func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if closed := c.pass(); closed != nil {
		return 0, closed // what came is for nobody
	}
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	if c.ended {
		return 0, net.ErrClosed
	}
	if n > 0 {
		c.in = c.frames(append(c.in, b[:n]...), c.onFrame)
	}
	if err != nil {
		c.end()
	}
	return n, err
}

// Close ends the conn. What it has not answered it never will.
func (c *tapped) Close() error {
	c.once.Do(func() { close(c.closed) })
	err := c.Conn.Close()
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.end()
	return err
}

func (c *tapped) end() {
	c.ended = true
	for _, r := range c.open {
		c.tap.append(r)
	}
	clear(c.open)
}

// frames hands every whole frame to take and returns the rest.
func (c *tapped) frames(b []byte, take func(now int64, h wire.Header, body []byte)) []byte {
	now := c.tap.book.clock()
	all := b
	for {
		n, err := wire.FrameBytes(b, wire.MaxFrameBytes)
		if err != nil {
			c.tap.stray("%v", err)
			return all[:0]
		}
		if n == 0 || n > len(b) {
			return append(all[:0], b...)
		}
		h, body, err := wire.Parse(b[:n])
		if err != nil {
			c.tap.stray("%v", err)
		} else {
			take(now, h, body)
		}
		b = b[n:]
	}
}

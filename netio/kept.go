package netio

import "github.com/panjf2000/gnet/v2"

// What conns keep in this process: frames that have not ended, what waits for a later
// round, and answers that were not taken. The last are in buffers of gnet: a ring for
// the first of them, as large as it had to be when it was last used, by whatever conn,
// and pieces of powers of two for the rest. So it is given pieces of pieceBytes at
// most, and what is unsent counts twice, with a floor for the ring.

const (
	// pieceBytes is what gnet is given at once of what the kernel did not take, and
	// the size from which on it takes pieces instead of a ring.
	pieceBytes = 16 << 10
	// unsentFloor is what a conn counts that has anything unsent, besides.
	unsentFloor = 2 * pieceBytes
)

// UnsentBytes is what a conn that may leave so many bytes unread counts at most in
// MaxBufferedBytes.
func UnsentBytes(outbound int64) int64 { return 2*outbound + unsentFloor }

// unsentKept is what so many unsent bytes of a conn take at most.
func unsentKept(unsent int) int {
	if unsent == 0 {
		return 0
	}
	return 2*unsent + unsentFloor
}

// kept is what counts of c.
func (c *conn) kept() int { return c.partBytes + unsentKept(c.unsentBytes) }

// account notes how many bytes c keeps in this process: for what was read and not
// handed over, whatever has come of it, and of responses it did not take.
func (l *eventLoop) account(c *conn, part, unsent int) {
	l.buffered -= c.kept()
	if unsent != c.unsentBytes {
		l.unsent.Add(int64(unsent - c.unsentBytes))
	}
	c.partBytes, c.unsentBytes = part, unsent
	l.buffered += c.kept()
}

// full reports whether the loop keeps more than its share of MaxBufferedBytes.
func (l *eventLoop) full() bool { return l.buffered > l.share() }

func (l *eventLoop) share() int { return l.server.opts.MaxBufferedBytes / l.server.opts.Loops }

// relieve closes conns that keep most if the loop is full, until it keeps an eighth
// less: to look for them takes a look at all, and who comes next is nobody to blame.
func (l *eventLoop) relieve() {
	if !l.full() {
		return
	}
	for l.buffered > l.share()-l.share()/8 {
		most := 0
		for _, c := range l.order {
			most = max(most, c.kept())
		}
		if most == 0 {
			return
		}
		for i := len(l.order) - 1; i >= 0 && l.buffered > l.share()-l.share()/8; i-- {
			if c := l.order[i]; c.kept() >= most-most/8 { // the last takes its place
				l.closeOverflowed(c)
			}
		}
	}
}

// write sends bytes to c and closes it if it reads too slowly. gnet closes the
// conn itself on an error, within the call.
func (l *eventLoop) write(c *conn, bytes []byte) {
	counters := &l.server.counters
	counters.writes.Add(1)
	counters.bytesOut.Add(uint64(len(bytes)))
	c.written += uint64(len(bytes))
	if err := passOn(c.gnet, bytes); err != nil || c.state == stateClosed {
		return
	}
	unsent := c.gnet.OutboundBuffered()
	if unsent == 0 && c.unsentBytes == 0 {
		return
	}
	l.account(c, c.partBytes, unsent)
	if unsent > l.server.opts.MaxOutboundBytes {
		l.closeOverflowed(c)
		return
	}
	l.relieve()
	if c.paused || c.held != nil || unsent > unreadBytes {
		l.watch(c)
	}
}

// passOn gives b to the kernel as far as it takes it, and the rest to gnet in pieces.
// Requires: the caller is on the loop of g.
func passOn(g gnet.Conn, b []byte) error {
	if len(b) > pieceBytes && g.OutboundBuffered() == 0 {
		n, _ := writeNow(g.Fd(), b) // gnet meets the same error and closes the conn
		b = b[n:]
	}
	for len(b) > 0 {
		n := min(len(b), pieceBytes)
		if _, err := g.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

package netio

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// gnet has no way to stop reading from a conn, and a conn that is read is one
// whose bytes must be dealt with: at the rate of a local network refusing them
// costs a core. So a paused conn is taken off the loop's epoll set here, all but
// for its errors and what it has to be sent. Its kernel's buffer fills, and then
// the client's: who sends too much waits in its own write.
//
// Where the set cannot be found (without /proc) nothing is paused, and what does
// not fit is refused; ServerStats counts it.

// What a conn is watched for; the first is what gnet itself asks for.
const (
	watchRead  = syscall.EPOLLIN | syscall.EPOLLPRI
	watchWrite = syscall.EPOLLOUT
)

// noPoll says that the loop's epoll set is not known.
const noPoll = -1

// findPoll returns the descriptor of the epoll set that watches fd.
func findPoll(fd int) int {
	const dir = "/proc/self/fdinfo"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return noPoll
	}
	watched := fmt.Sprintf("tfd: %8d ", fd)
	for _, e := range entries {
		text, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil || !strings.Contains(string(text), watched) {
			continue
		}
		var poll int
		if _, err := fmt.Sscan(e.Name(), &poll); err == nil {
			return poll
		}
	}
	return noPoll
}

// unreadBytes is how many response bytes a conn may leave before it is not read
// any more: what it asks for next would only be added to them. gnet reads it
// again when all are sent.
const unreadBytes = 64 << 10

// watch has the loop's epoll set report what is wanted of c now.
func (l *eventLoop) watch(c *conn) {
	if l.poll == noPoll || c.state == stateClosed {
		return
	}
	ev := syscall.EpollEvent{Fd: int32(c.gnet.Fd())}
	unsent := c.gnet.OutboundBuffered()
	if !c.paused && c.held == nil && unsent <= unreadBytes {
		ev.Events = watchRead
	}
	if unsent > 0 {
		ev.Events |= watchWrite
	}
	if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_MOD, c.gnet.Fd(), &ev); err != nil {
		l.server.counters.pauseFailures.Add(1)
	}
}

// pause stops reading from c until resume. It is called on the loop.
func (l *eventLoop) pause(c *conn) {
	switch {
	case l.poll == noPoll:
		l.server.counters.pauseFailures.Add(1)
	case !c.paused:
		c.paused = true
		l.server.counters.pauses.Add(1)
	}
}

// resume reads c again.
func (l *eventLoop) resume(c *conn) {
	if c == nil || !c.paused {
		return
	}
	c.paused = false
	c.heard, c.since = l.tick, l.tick
	l.watch(c)
}

// Pause stops reading from c until Resume. It may be called within
// Handler.Request for the conn of the request only; what has been read of it
// already is still handed over.
func (s *Server) Pause(c ConnID) {
	l := s.loops[c.loop()].Load()
	if l == nil {
		return
	}
	if x := l.conns[c]; x != nil {
		l.pause(x)
	}
}

// Resume reads from c again. It takes effect at the next Flush.
func (s *Server) Resume(c ConnID) {
	if l := s.loops[c.loop()].Load(); l != nil {
		l.out.resume(c)
		s.markDirty(c.loop())
	}
}

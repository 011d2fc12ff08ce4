package netio

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"lockd/netio/wire"
)

// TestPausedConnIsNotRead_FN5: what a paused conn sends stays in its kernel until
// the client cannot write any more, others are served, and after Resume nothing
// is missing (I22, I26).
func TestPausedConnIsNotRead_FN5(t *testing.T) {
	var flooder atomic.Uint64
	var taken atomic.Int64
	paused := make(chan struct{})
	e := &echo{onRequest: func(e *echo, c ConnID, h wire.Header, _ []byte) {
		if flooder.CompareAndSwap(0, uint64(c)) {
			e.server.Pause(c)
			close(paused)
		}
		if flooder.Load() == uint64(c) {
			taken.Add(1)
			return
		}
		e.server.Send(c, response(h.Request))
	}}
	s := serve(t, ServerOptions{ReadBufferBytes: 4096}, e)
	flood := greeted(t, s.Addr())
	one := wire.AppendStatus(nil, wire.Header{Request: 1})
	flood.send(one)
	<-paused
	sent := int64(len(one))
	chunk := make([]byte, 0, 64<<10)
	for len(chunk) < cap(chunk)-len(one) {
		chunk = append(chunk, one...)
	}
	for {
		if err := flood.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := flood.Write(chunk)
		sent += int64(n)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || sent > 1<<30 {
			t.Fatalf("%d bytes written, then %v; want an end of writing", sent, err)
		}
		chunk = append(chunk[n:], chunk[:n]...)
	}
	// gnet may have fetched an event for the conn before it was paused.
	if got := taken.Load() * int64(len(one)); got > 3*4096 {
		t.Errorf("%d of %d bytes of a paused conn were read", got, sent)
	}
	other := greeted(t, s.Addr())
	other.send(one)
	if h, _ := other.frame(); h.Kind != wire.KindResponse {
		t.Errorf("another conn got %v, want a response", h.Kind)
	}
	s.Resume(ConnID(flooder.Load()))
	s.Flush()
	deadline := time.Now().Add(patience)
	for taken.Load() < sent/int64(len(one)) && time.Now().Before(deadline) {
		other.send(one)
		other.frame()
	}
	if got, want := taken.Load(), sent/int64(len(one)); got != want {
		t.Errorf("after it was read again: got %d requests, want %d", got, want)
	}
	if got := s.Stats(); got.Pauses != 1 || got.PauseFailures != 0 {
		t.Errorf("pauses: got %d and %d that failed, want 1 and 0", got.Pauses, got.PauseFailures)
	}
}

// TestUnreadResponsesEndAConn_FN5: a conn that takes nothing of its responses is
// closed after a while, however few they are, and whether it is read or not. One
// that reads slowly is not.
func TestUnreadResponsesEndAConn_FN5(t *testing.T) {
	// More than two kernels buffer, less than a conn may leave unread.
	answer := make([]byte, 16<<20)
	e := &echo{onRequest: func(e *echo, c ConnID, h wire.Header, _ []byte) {
		e.server.Send(c, answer)
		if h.Request == 2 {
			e.server.Pause(c)
		}
	}}
	s := serve(t, ServerOptions{MaxOutboundBytes: 64 << 20, UnreadTimeout: 500 * time.Millisecond}, e)
	for request := range uint64(3) {
		c := greeted(t, s.Addr())
		c.send(wire.AppendStatus(nil, wire.Header{Request: request}))
	}
	slow := greeted(t, s.Addr())
	if err := slow.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	slow.send(wire.AppendStatus(nil, wire.Header{Request: 9}))
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for read, part := 0, make([]byte, 64<<10); read < len(answer); {
		<-pace.C
		n, err := slow.in.Read(part)
		if read += n; err != nil {
			t.Fatalf("slow reader: %v after %d of %d bytes", err, read, len(answer))
		}
	}
	await(t, func() bool { return s.Stats().Overflows == 3 })
	if got := s.Stats().Open; got != 1 {
		t.Errorf("got %d conns open, want only the slow reader", got)
	}
}

// TestConnThatReadsNothingIsNotRead_FN5: who does not read answers is not read
// either, long before it would have to be closed.
func TestConnThatReadsNothingIsNotRead_FN5(t *testing.T) {
	s := serveDeaf(t, make([]byte, 32<<10))
	l := s.loops[0].Load()
	if got := l.unsent.Load(); got > 16<<20 {
		t.Errorf("%d bytes wait for a conn that reads nothing", got)
	}
	if got := s.Stats().Overflows; got != 0 {
		t.Errorf("%d conns were closed, want none", got)
	}
}

// TestKernelKeepsLittleForADeafConn_FN5: small answers that nobody reads are not
// kept by the megabyte in the kernel before the conn is no longer read. It would
// else be served as fast as it sends for the first hundred thousand requests.
func TestKernelKeepsLittleForADeafConn_FN5(t *testing.T) {
	s := serveDeaf(t, make([]byte, 64))
	// What the client's kernel takes, and what waits in ours and here.
	if got, most := s.Stats().BytesOut, uint64(768<<10); got > most {
		t.Errorf("%d bytes were sent to a conn that reads nothing, want at most %d", got, most)
	}
}

// serveDeaf returns a server and a conn to it that has sent requests until nobody
// took them any more, and has read none of the answers.
func serveDeaf(t *testing.T, answer []byte) *Server {
	t.Helper()
	e := &echo{onRequest: func(e *echo, c ConnID, h wire.Header, _ []byte) {
		e.server.Send(c, answer)
	}}
	s := serve(t, ServerOptions{ReadBufferBytes: 4096, MaxOutboundBytes: 64 << 20}, e)
	c := greeted(t, s.Addr())
	one := wire.AppendStatus(nil, wire.Header{Request: 1})
	for {
		if err := c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(bytes.Repeat(one, 256)); errors.Is(err, os.ErrDeadlineExceeded) {
			return s
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

package netio

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/panjf2000/gnet/v2"

	"lockd/netio/wire"
)

// fakeConn and fakeLoop are as much of gnet as a conn needs to take bytes.
type fakeConn struct {
	gnet.Conn
	in   []byte
	conn *conn
}

func (f *fakeConn) Next(int) ([]byte, error)    { return f.in, nil }
func (f *fakeConn) Write(b []byte) (int, error) { return len(b), nil }
func (f *fakeConn) OutboundBuffered() int       { return 0 }
func (f *fakeConn) Fd() int                     { return -1 }

type fakeLoop struct{ gnet.EventLoop }

func (fakeLoop) Close(c gnet.Conn) error {
	f := c.(*fakeConn)
	f.conn.loop.forget(f.conn, nil)
	return nil
}

// Execute runs what ends a round at once.
func (fakeLoop) Execute(ctx context.Context, r gnet.Runnable) error { return r.Run(ctx) }

// frames is a Handler that keeps what it is handed.
type frames struct{ got [][]byte }

func (h *frames) Hello(ConnID, wire.Hello) ([]byte, bool) { return []byte{1}, true }
func (h *frames) Flush()                                  {}
func (h *frames) Closed(ConnID)                           {}

func (h *frames) Sent() {}

func (h *frames) Request(_ ConnID, frame []byte) {
	h.got = append(h.got, bytes.Clone(frame))
}

// feed gives a stream to a fresh conn in pieces and returns the frames that came
// out and the state the conn ended in.
func feed(stream []byte, cuts []byte) ([][]byte, connState) {
	h := &frames{}
	s := &Server{handler: h, opts: ServerOptions{
		Loops: 1, MaxFrameBytes: 8 << 10, MaxBufferedBytes: 1 << 20, MaxOutboxBytes: 1 << 20,
	}}
	l := newEventLoop(s, fakeLoop{}, 0)
	f := &fakeConn{}
	c := &conn{id: 1, loop: l, gnet: f}
	f.conn = c
	l.conns[c.id], l.order = c, []*conn{c}
	for i := 0; len(stream) > 0 && c.state != stateClosed; i++ {
		n := len(stream)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)])+1)
		}
		// The loop reuses its read buffer: what is kept must be copied.
		f.in = bytes.Clone(stream[:n])
		stream = stream[n:]
		l.traffic(c)
		for j := range f.in {
			f.in[j] = 0xee
		}
	}
	return h.got, c.state
}

// counter is a Handler that only counts.
type counter struct {
	frames
	requests int
}

func (h *counter) Request(ConnID, []byte) { h.requests++ }

// Requests are handed over without an allocation, whole or cut by the reads.
func TestTrafficDoesNotAllocate(t *testing.T) {
	h := &counter{}
	s := &Server{handler: h, opts: ServerOptions{
		Loops: 1, MaxFrameBytes: 8 << 10, MaxBufferedBytes: 1 << 20, MaxOutboxBytes: 1 << 20,
	}}
	l := newEventLoop(s, fakeLoop{}, 0)
	f := &fakeConn{}
	c := &conn{id: 1, loop: l, gnet: f, state: stateOpen}
	f.conn = c
	var stream []byte
	for i := range uint64(100) {
		stream = append(stream, rawFrame(wire.KindAcquire, i, make([]byte, 100))...)
	}
	got := testing.AllocsPerRun(100, func() {
		for cut := range 20 {
			f.in = stream[:len(stream)-cut*77]
			l.traffic(c)
			f.in = stream[len(stream)-cut*77:]
			l.traffic(c)
		}
	})
	if want := 101 * 20 * 100; h.requests != want {
		t.Errorf("requests: got %d, want %d", h.requests, want)
	}
	if got != 0 {
		t.Errorf("allocations for 2000 requests: got %v, want 0", got)
	}
}

// However a stream is cut into reads, the same frames come out and the conn ends
// in the same state.
func FuzzConn_FW1(f *testing.F) {
	good := append(hello(), statusRequest(1)...)
	good = append(good, rawFrame(wire.KindGet, 2, make([]byte, 3000))...)
	f.Add(good, []byte{0})
	f.Add(good, []byte{200, 3})
	f.Add(append(good, 1, 0, 0, 0), []byte{15})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte{3})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		if len(stream) > 64<<10 {
			return
		}
		want, wantState := feed(stream, nil)
		got, state := feed(stream, cuts)
		if state != wantState || len(got) != len(want) {
			t.Fatalf("cut stream: got %d frames, state %d, want %d, state %d",
				len(got), state, len(want), wantState)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("frame %d: got %x, want %x", i, got[i], want[i])
			}
		}
	})
}

// A link hands over only what has a right checksum, and either consumes a whole
// number of frames or ends as garbled.
func FuzzLink_FW1(f *testing.F) {
	f.Add(messages([]byte("12345678")))
	f.Add(append(messages(nil), messages([]byte("x"))[:7]...))
	f.Add(wire.AppendPeerRefused(nil, peerRefusal(wire.RefusedDisk, "wiped")))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := newRecorder()
		var handed int
		r.frame = func(_ uint16, kind wire.PeerKind, payload []byte) {
			handed += len(wire.AppendPeer(nil, kind, payload))
		}
		ls := &Links{handler: r, opts: LinkOptions{MaxFrameBytes: wire.MaxPeerFrameBytes}}
		l := &link{links: ls, peer: &peer{node: 1}}
		used, want, err := l.deliver(stream)
		if used != handed || used > len(stream) {
			t.Fatalf("used: got %d of %d bytes, handed over %d", used, len(stream), handed)
		}
		if err == nil && want > 0 && want <= len(stream)-used {
			t.Fatalf("stopped before a whole frame of %d bytes, %d left", want, len(stream)-used)
		}
		if err != nil && !errors.Is(err, errGarbled) && l.cause() != DownRefused {
			t.Fatalf("error: got %v, want a garbled frame or a refusal", err)
		}
	})
}

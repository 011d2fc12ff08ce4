package netio

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"lockd/netio/wire"
)

// What conns leave unread takes no more memory than is counted for it, however large
// the answers are that others have read before.
func TestUnsentTakesWhatIsCounted_FN5(t *testing.T) {
	const conns, slack = 100, 3 << 20
	large, small := make([]byte, 1<<20), make([]byte, 8<<10)
	e := &echo{onRequest: func(e *echo, c ConnID, h wire.Header, _ []byte) {
		if h.Request == 1 {
			e.server.Send(c, large)
		} else {
			e.server.Send(c, small)
		}
	}}
	s := serve(t, ServerOptions{Loops: 1, UnreadTimeout: time.Hour}, e)
	a := greeted(t, s.Addr())
	_ = a.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	l := s.loops[0].Load()
	before := heap()
	var all []*tcpClient
	unsent := int64(0)
	for range conns {
		a.send(statusRequest(1))
		if _, err := io.CopyN(io.Discard, a.in, int64(len(large))); err != nil {
			t.Fatal(err)
		}
		s.lookAll()
		await(t, func() bool { return l.unsent.Load() == unsent })
		b := connect(t, s.Addr())
		_ = b.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		b.send(hello())
		await(t, func() bool { return s.Stats().Open == int64(len(all)+2) })
		for had := unsent; unsent <= had; unsent = l.unsent.Load() {
			writes := s.Stats().Writes
			b.send(statusRequest(2))
			await(t, func() bool { return s.Stats().Writes > writes && l.out.settled() })
		}
		all = append(all, b)
	}
	got, counted := heap()-before, int64(conns*unsentFloor)+2*unsent
	if got > counted+slack {
		t.Errorf("%d KiB that are not read take %d KiB, counted are %d", unsent>>10, got>>10,
			counted>>10)
	}
	runtime.KeepAlive(all)
}

// heap is what lives of the heap.
func heap() int64 {
	var m runtime.MemStats
	for range 3 { // what sync.Pool keeps lives for two collections
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Conns that begin a large frame and send no more of it take what they have sent, and
// cost nobody else anything.
func TestHalfFramesCostNobodyElse_FN5(t *testing.T) {
	const stingy = 17
	s := serve(t, ServerOptions{Loops: 1, MaxOutboundBytes: 1 << 20, MaxBufferedBytes: 1 << 20},
		&echo{})
	for range stingy {
		c := greeted(t, s.Addr())
		c.send(binary.LittleEndian.AppendUint32(nil, wire.MaxFrameBytes-4))
	}
	victim := greeted(t, s.Addr())
	frame := statusRequest(7)
	victim.send(frame[:5])
	came := uint64((stingy+1)*len(hello()) + stingy*4 + 5)
	await(t, func() bool { return s.Stats().BytesIn == came })
	victim.send(frame[5:])
	if h, _ := victim.frame(); h.Request != 7 {
		t.Errorf("got %v, want an answer to request 7", h)
	}
	if got := s.Stats(); got.Overflows != 0 || got.Open != stingy+1 {
		t.Errorf("got %d conns closed, %d open, want none and all", got.Overflows, got.Open)
	}
}

// When all conns together keep too much, those are closed that keep most, not who
// comes next.
func TestWhoKeepsMostIsClosed_FN5(t *testing.T) {
	const bound, greedy = 1 << 20, 16
	s := &Server{handler: &counter{}, opts: ServerOptions{Loops: 1, MaxOutboxBytes: 1 << 20,
		MaxFrameBytes: wire.MaxFrameBytes, MaxBufferedBytes: bound}}
	l := newEventLoop(s, fakeLoop{}, 0)
	l.poll = noPoll // nothing is held for a later round
	come := func(id ConnID, piece []byte) *conn {
		f := &fakeConn{in: piece}
		c := &conn{id: id, loop: l, gnet: f, state: stateOpen, slot: len(l.order)}
		f.conn = c
		l.conns[id], l.order = c, append(l.order, c)
		l.traffic(c)
		return c
	}
	frame := rawFrame(wire.KindAcquire, 1, make([]byte, bound/greedy-wire.HeaderBytes))
	for id := range ConnID(greedy) {
		come(id+1, frame[:len(frame)-1])
	}
	if l.buffered != bound {
		t.Fatalf("got %d bytes counted, want %d: the test shows nothing", l.buffered, bound)
	}
	if c := come(99, statusRequest(1)[:5]); c.state != stateOpen {
		t.Error("who keeps five bytes was closed")
	}
	if got := s.Stats().Overflows; got == 0 || l.full() {
		t.Errorf("got %d conns closed and %d bytes kept, want %d at most", got, l.buffered, bound)
	}
}

// Answers larger than every buffer arrive whole, in order.
func TestLargeAnswersArriveWhole_FN2(t *testing.T) {
	const n = 8
	e := &echo{onRequest: func(e *echo, c ConnID, h wire.Header, _ []byte) {
		body := make([]byte, 1<<20)
		for i := 0; i < len(body); i += 8 {
			binary.LittleEndian.PutUint64(body[i:], h.Request<<32|uint64(i))
		}
		e.server.Send(c, rawFrame(wire.KindResponse, h.Request, body))
	}}
	s := serve(t, ServerOptions{MaxOutboundBytes: 16 << 20}, e)
	c := greeted(t, s.Addr())
	for i := range uint64(n) {
		c.send(statusRequest(i))
	}
	for i := range uint64(n) {
		h, body := c.frame()
		if h.Request != i {
			t.Fatalf("got request %d, want %d", h.Request, i)
		}
		for at := 0; at < len(body); at += 8 {
			if got := binary.LittleEndian.Uint64(body[at:]); got != i<<32|uint64(at) {
				t.Fatalf("answer %d, byte %d: got %x", i, at, got)
			}
		}
	}
}

// benchmarkLarge has one conn read answers of some size.
func benchmarkLarge(b *testing.B, size int) {
	answer := make([]byte, size)
	e := &echo{served: make(chan struct{}), closed: make(chan ConnID, 16)}
	e.onRequest = func(e *echo, c ConnID, _ wire.Header, _ []byte) { e.server.Send(c, answer) }
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, e)
	if err != nil {
		b.Fatal(err)
	}
	defer stopNow(s)
	e.server = s
	close(e.served)
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	welcome, _ := e.Hello(0, wire.Hello{})
	if err := exchange(c, hello(), welcome); err != nil {
		b.Fatal(err)
	}
	in, ask := make([]byte, size), statusRequest(1)
	b.SetBytes(int64(size))
	b.ResetTimer()
	for range b.N {
		if err := exchange(c, ask, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLargeAnswers(b *testing.B) {
	b.Run("64KiB", func(b *testing.B) { benchmarkLarge(b, 64<<10) })
	b.Run("4MiB", func(b *testing.B) { benchmarkLarge(b, 4<<20) })
}

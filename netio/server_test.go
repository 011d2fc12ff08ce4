package netio

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockd/netio/wire"
)

// patience bounds every wait of these tests; only a failing test uses it up.
const patience = 20 * time.Second

// echo is a handler that answers every request with its own frame's request id.
type echo struct {
	server *Server
	served chan struct{} // closed once server is set
	closed chan ConnID

	mu struct {
		sync.Mutex
		requests []uint64 // request ids in order of arrival
		flushes  int
	}

	onRequest func(e *echo, c ConnID, h wire.Header, body []byte)
	onHello   func(h wire.Hello) ([]byte, bool)
}

func (e *echo) Hello(c ConnID, h wire.Hello) ([]byte, bool) {
	<-e.served
	if e.onHello != nil {
		return e.onHello(h)
	}
	return wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{
		Version: wire.Version, Node: 1, Limits: wire.DefaultLimits(), Leaders: []uint16{1},
	}), true
}

func (e *echo) Request(c ConnID, frame []byte) {
	h, body, err := wire.Parse(frame)
	if err != nil {
		panic(err)
	}
	e.mu.Lock()
	e.mu.requests = append(e.mu.requests, h.Request)
	e.mu.Unlock()
	if e.onRequest != nil {
		e.onRequest(e, c, h, body)
		return
	}
	e.server.Send(c, response(h.Request))
}

func (e *echo) Flush() {
	e.mu.Lock()
	e.mu.flushes++
	e.mu.Unlock()
}

func (e *echo) Closed(c ConnID) { e.closed <- c }

func (e *echo) Sent() {}

func response(request uint64) []byte {
	h := wire.Header{Request: request}
	return wire.AppendResponse(nil, h, &wire.Response{Status: wire.StatusOK})
}

func serve(t *testing.T, opts ServerOptions, e *echo) *Server {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	e.served = make(chan struct{})
	e.closed = make(chan ConnID, 4096)
	s, err := Listen(opts, e)
	if err != nil {
		t.Fatal(err)
	}
	e.server = s
	close(e.served)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Stop(ctx) // some tests leave a conn that does not read
		if got := s.Err(); got != ErrStopped {
			t.Errorf("Err after Stop: got %v, want %v", got, ErrStopped)
		}
	})
	return s
}

// tcpClient is a raw conn to the client port.
type tcpClient struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func connect(t *testing.T, addr net.Addr) *tcpClient {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &tcpClient{t: t, Conn: c, in: bufio.NewReader(c)}
}

// greeted returns a conn that has its Welcome.
func greeted(t *testing.T, addr net.Addr) *tcpClient {
	t.Helper()
	c := connect(t, addr)
	c.send(hello())
	if h, _ := c.frame(); h.Kind != wire.KindWelcome {
		t.Fatalf("answer to hello: got %v, want Welcome", h.Kind)
	}
	return c
}

func (c *tcpClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// frame reads one frame.
func (c *tcpClient) frame() (wire.Header, []byte) {
	c.t.Helper()
	h, body, err := c.tryFrame()
	if err != nil {
		c.t.Fatal(err)
	}
	return h, body
}

func (c *tcpClient) tryFrame() (wire.Header, []byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return wire.Header{}, nil, err
	}
	frame := append(head, make([]byte, binary.LittleEndian.Uint32(head))...)
	if _, err := io.ReadFull(c.in, frame[4:]); err != nil {
		return wire.Header{}, nil, err
	}
	return wire.Parse(frame)
}

// refused reads a Refused and then the end of the conn.
func (c *tcpClient) refused() wire.Refused {
	c.t.Helper()
	h, body := c.frame()
	if h.Kind != wire.KindRefused {
		c.t.Fatalf("got %v, want Refused", h.Kind)
	}
	r, err := wire.DecodeRefused(body)
	if err != nil {
		c.t.Fatal(err)
	}
	if n, err := c.in.Read(make([]byte, 1)); err != io.EOF {
		c.t.Fatalf("after Refused: got %d bytes, %v, want the end", n, err)
	}
	return r
}

func hello() []byte {
	return wire.AppendHello(nil, wire.Header{}, &wire.Hello{
		Version: wire.Version, MinVersion: wire.MinVersion, Name: []byte("test"),
	})
}

func statusRequest(request uint64) []byte {
	return rawFrame(wire.KindStatus, request, nil)
}

func rawFrame(kind wire.Kind, request uint64, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(wire.HeaderBytes-4+len(body)))
	b = append(b, byte(kind), 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, request)
	return append(b, body...)
}

func TestRequestsAreAnsweredInOrder(t *testing.T) {
	e := &echo{}
	s := serve(t, ServerOptions{}, e)
	c := greeted(t, s.Addr())
	const n = 5000
	var out []byte
	for i := uint64(1); i <= n; i++ {
		out = append(out, rawFrame(wire.KindStatus, i, make([]byte, i%97))...)
	}
	go func() { _, _ = c.Write(out) }()
	for i := uint64(1); i <= n; i++ {
		if h, _ := c.frame(); h.Request != i {
			t.Fatalf("response: got request %d, want %d", h.Request, i)
		}
	}
	stats := s.Stats()
	if stats.FramesIn != n+1 {
		t.Errorf("frames in: got %d, want %d", stats.FramesIn, n+1)
	}
	if stats.Writes > n/4 {
		t.Errorf("writes: got %d for %d responses, want few", stats.Writes, n)
	}
}

// Frames that arrive byte by byte, and cut at every place, are put together.
func TestHalfFrames_FN4(t *testing.T) {
	e := &echo{}
	s := serve(t, ServerOptions{}, e)
	c := connect(t, s.Addr())
	stream := append(hello(), rawFrame(wire.KindStatus, 1, []byte("abc"))...)
	stream = append(stream, statusRequest(2)...)
	for i := range stream {
		c.send(stream[i : i+1])
	}
	if h, _ := c.frame(); h.Kind != wire.KindWelcome {
		t.Fatalf("got %v, want Welcome", h.Kind)
	}
	for want := uint64(1); want <= 2; want++ {
		if h, _ := c.frame(); h.Request != want {
			t.Fatalf("got request %d, want %d", h.Request, want)
		}
	}
	for cut := range stream {
		c := connect(t, s.Addr())
		c.send(stream[:cut])
		s.wakeAll() // a sweep in between must not matter
		c.send(stream[cut:])
		for want := range uint64(3) {
			if h, _ := c.frame(); h.Request != want {
				t.Fatalf("cut at %d: got request %d, want %d", cut, h.Request, want)
			}
		}
		_ = c.Close()
	}
}

func TestLargestFrameInPieces_FN4(t *testing.T) {
	e := &echo{}
	got := make(chan []byte, 8)
	e.onRequest = func(e *echo, c ConnID, h wire.Header, body []byte) {
		got <- bytes.Clone(body)
		e.server.Send(c, response(h.Request))
	}
	s := serve(t, ServerOptions{ReadBufferBytes: 4 << 10}, e)
	c := greeted(t, s.Addr())
	body := make([]byte, wire.MaxFrameBytes-wire.HeaderBytes)
	for i := range body {
		body[i] = byte(i * 7)
	}
	for i := range uint64(4) {
		c.send(rawFrame(wire.KindAcquire, i, body))
		c.frame()
		if b := <-got; !bytes.Equal(b, body) {
			t.Fatalf("frame %d: got another body of %d bytes, want %d", i, len(b), len(body))
		}
	}
}

func TestStrangersAreRefused_FW1(t *testing.T) {
	tooNew := wire.AppendHello(nil, wire.Header{}, &wire.Hello{
		Version: wire.Version + 9, MinVersion: wire.Version + 8,
	})
	badMagic := hello()
	badMagic[wire.HeaderBytes] ^= 0xff
	cutHello := rawFrame(wire.KindHello, 0, hello()[wire.HeaderBytes:wire.HeaderBytes+9])
	for _, test := range []struct {
		name    string
		greeted bool
		bytes   []byte
		want    wire.Refusal
	}{
		{"http", false, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), wire.RefusedMagic},
		{"tls", false, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), wire.RefusedMagic},
		{"zeros", false, make([]byte, 64), wire.RefusedMagic},
		{"peer hello", false, wire.AppendPeerHello(nil, wire.PeerKindHello, &wire.PeerHello{}),
			wire.RefusedMagic},
		{"bad magic", false, badMagic, wire.RefusedMagic},
		{"too new", false, tooNew, wire.RefusedVersion},
		{"cut hello", false, cutHello, wire.RefusedFrame},
		{"huge hello", false, rawFrame(wire.KindHello, 0, make([]byte, helloFrameBytes)),
			wire.RefusedMagic},
		{"request first", false, statusRequest(1), wire.RefusedFrame},
		{"second hello", true, hello(), wire.RefusedFrame},
		{"unknown kind", true, rawFrame(77, 1, nil), wire.RefusedFrame},
		{"kind of a node", true, rawFrame(wire.KindResponse, 1, nil), wire.RefusedFrame},
		{"too large", true, rawFrame(wire.KindAcquire, 1, make([]byte, wire.MaxFrameBytes)),
			wire.RefusedFrame},
		{"too large, header only", true, []byte{0xff, 0xff, 0xff, 0xff}, wire.RefusedFrame},
		{"too short", true, []byte{3, 0, 0, 0, 9}, wire.RefusedFrame},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &echo{}
			s := serve(t, ServerOptions{}, e)
			bystander := greeted(t, s.Addr())
			c := connect(t, s.Addr())
			if test.greeted {
				c = greeted(t, s.Addr())
			}
			// More behind it, unread at the close, must not destroy the refusal.
			stream := append(test.bytes, make([]byte, 2<<20)...)
			go func() { _, _ = c.Write(stream) }()
			if r := c.refused(); r.Code != test.want || len(r.Text) == 0 {
				t.Errorf("refusal: got %v %q, want %v and a text", r.Code, r.Text, test.want)
			}
			bystander.send(statusRequest(5))
			if h, _ := bystander.frame(); h.Request != 5 {
				t.Errorf("bystander: got request %d, want 5", h.Request)
			}
			if got := s.Stats().Refused; got != 1 {
				t.Errorf("refused: got %d, want 1", got)
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	e := &echo{onHello: func(h wire.Hello) ([]byte, bool) {
		return refusal(wire.RefusedPermission, "not "+string(h.Name)), false
	}}
	s := serve(t, ServerOptions{}, e)
	c := connect(t, s.Addr())
	c.send(hello())
	if r := c.refused(); r.Code != wire.RefusedPermission || string(r.Text) != "not test" {
		t.Errorf("got %v %q, want %v %q", r.Code, r.Text, wire.RefusedPermission, "not test")
	}
	_ = c.Close()
	<-e.closed // the handler saw Hello, so it sees Closed
}

func TestSlowReaderIsClosed_FN5(t *testing.T) {
	e := &echo{}
	slow := make(chan ConnID, 1)
	e.onRequest = func(e *echo, c ConnID, h wire.Header, _ []byte) {
		if h.Kind == wire.KindGet {
			slow <- c
			return
		}
		e.server.Send(c, response(h.Request))
	}
	const bound = 128 << 10
	s := serve(t, ServerOptions{MaxOutboundBytes: bound}, e)
	bystander := greeted(t, s.Addr())
	c := greeted(t, s.Addr())
	c.send(rawFrame(wire.KindGet, 1, nil))
	id := <-slow
	payload := make([]byte, 32<<10)
	deadline := time.Now().Add(patience)
	for {
		s.Send(id, payload)
		s.Flush()
		bystander.send(statusRequest(3))
		bystander.frame()
		for i := range s.loops {
			l := s.loops[i].Load()
			if l != nil && l.unsent.Load() > bound+int64(len(payload)) {
				t.Fatalf("unsent bytes: got %d, want at most %d and a response", l.unsent.Load(), bound)
			}
		}
		select {
		case got := <-e.closed:
			if got != id {
				t.Fatalf("closed: got conn %d, want %d", got, id)
			}
		default:
			if time.Now().After(deadline) {
				t.Fatal("a conn that does not read is not closed")
			}
			continue
		}
		break
	}
	if got := s.Stats().Overflows; got != 1 {
		t.Errorf("overflows: got %d, want 1", got)
	}
}

// Conns that do not read may not together pass the bound of all of them.
func TestSlowReadersTogether_FN5(t *testing.T) {
	const bound = 512 << 10
	e := &echo{}
	ids := make(chan ConnID, 1)
	e.onRequest = func(_ *echo, c ConnID, _ wire.Header, _ []byte) { ids <- c }
	s := serve(t, ServerOptions{MaxOutboundBytes: bound, MaxBufferedBytes: bound}, e)
	var slow []ConnID
	for range 6 {
		c := greeted(t, s.Addr())
		c.send(statusRequest(1))
		slow = append(slow, <-ids)
	}
	payload := make([]byte, 16<<10)
	l := s.loops[0].Load()
	for s.Stats().Overflows < 3 {
		for _, id := range slow {
			s.Send(id, payload)
		}
		s.Flush()
		await(t, l.out.settled)
		if got := l.unsent.Load(); got > bound+int64(len(payload)) {
			t.Fatalf("unsent bytes of all conns: got %d, want at most %d", got, bound)
		}
	}
}

// A response that finds no room in the outbox ends its conn: it may not be lost
// in silence.
func TestOutboxOverflow_FN5(t *testing.T) {
	e := &echo{}
	e.onRequest = func(e *echo, c ConnID, h wire.Header, _ []byte) {
		for range 5 {
			e.server.Send(c, make([]byte, 32<<10))
		}
	}
	s := serve(t, ServerOptions{MaxOutboxBytes: 64 << 10}, e)
	c := greeted(t, s.Addr())
	c.send(statusRequest(1))
	<-e.closed
	if got := s.Stats().Overflows; got != 1 {
		t.Errorf("overflows: got %d, want 1", got)
	}
}

func TestTimeouts_FN5(t *testing.T) {
	e := &echo{}
	s := serve(t, ServerOptions{
		HelloTimeout: 200 * time.Millisecond,
		FrameTimeout: 300 * time.Millisecond,
		IdleTimeout:  time.Second,
	}, e)
	silent := connect(t, s.Addr())
	half := connect(t, s.Addr())
	half.send(hello()[:7])
	stuck := greeted(t, s.Addr())
	stuck.send(statusRequest(1)[:9])
	idle := greeted(t, s.Addr())
	for name, c := range map[string]*tcpClient{
		"silent": silent, "half a hello": half, "half a frame": stuck, "idle": idle,
	} {
		if r := c.refused(); r.Code != wire.RefusedTimeout {
			t.Errorf("%s: got %v %q, want %v", name, r.Code, r.Text, wire.RefusedTimeout)
		}
	}
	stats := s.Stats()
	got := [3]uint64{stats.HelloTimeouts, stats.FrameTimeouts, stats.IdleTimeouts}
	if want := [3]uint64{2, 1, 1}; got != want {
		t.Errorf("hello, frame, idle timeouts: got %v, want %v", got, want)
	}
}

// A refused conn that keeps sending and never closes is closed.
func TestRefusedConnIsClosedAtLast_FN5(t *testing.T) {
	e := &echo{}
	s := serve(t, ServerOptions{FrameTimeout: 200 * time.Millisecond}, e)
	c := connect(t, s.Addr())
	c.send([]byte("GET / HTTP/1.1\r\n\r\n"))
	for {
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			break // reset at last
		}
	}
	await(t, func() bool { return s.Stats().Open == 0 })
}

func TestAddressInUse(t *testing.T) {
	e := &echo{}
	s := serve(t, ServerOptions{}, e)
	_, err := Listen(ServerOptions{Addr: s.Addr().String()}, &echo{})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listen on %v: got %v, want %v", s.Addr(), err, syscall.EADDRINUSE)
	}
}

func TestServerOptionsAreChecked(t *testing.T) {
	for _, test := range []struct {
		opts ServerOptions
		want string
	}{
		{ServerOptions{MaxConns: 1 << 40}, "raise the limit (ulimit -n)"},
		{ServerOptions{Loops: 65}, "65 event loops"},
		{ServerOptions{MaxFrameBytes: 100}, "frames of at most 100 bytes"},
		{ServerOptions{MaxOutboundBytes: 10}, "10 outbound bytes"},
		{ServerOptions{MaxBufferedBytes: 10}, "10 buffered bytes"},
		{ServerOptions{MaxOutboxBytes: 10}, "10 outbox bytes"},
		{ServerOptions{IdleTimeout: -1}, "negative timeout"},
	} {
		_, err := Listen(test.opts, &echo{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %q", test.opts, err, test.want)
		}
	}
}

func TestStopSendsWhatWaits(t *testing.T) {
	e := &echo{}
	asked := make(chan ConnID, 1)
	e.onRequest = func(e *echo, c ConnID, _ wire.Header, _ []byte) { asked <- c }
	s := serve(t, ServerOptions{MaxOutboundBytes: 64 << 20}, e)
	c := greeted(t, s.Addr())
	c.send(statusRequest(1))
	id := <-asked
	const n = 200
	frame := rawFrame(wire.KindResponse, 0, make([]byte, 60_000))
	for range n {
		s.Send(id, frame)
	}
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stopped <- s.Stop(ctx)
	}()
	for i := range n {
		if _, body := c.frame(); len(body) != 60_000 {
			t.Fatalf("response %d: got %d bytes, want 60000", i, len(body))
		}
	}
	if _, _, err := c.tryFrame(); err != io.EOF {
		t.Errorf("after the last response: got %v, want the end", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop: got %v, want nil", err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("dial after Stop: got a conn, want an error")
	}
	s.Send(id, frame)
	s.Flush()
	s.CloseConn(id)
}

// A conn that takes nothing does not hold up a stop for longer than asked.
func TestStopGivesUp_FN5(t *testing.T) {
	e := &echo{}
	asked := make(chan ConnID, 1)
	e.onRequest = func(_ *echo, c ConnID, _ wire.Header, _ []byte) { asked <- c }
	s := serve(t, ServerOptions{MaxOutboundBytes: 64 << 20}, e)
	c := greeted(t, s.Addr())
	c.send(statusRequest(1))
	id := <-asked
	for range 500 {
		s.Send(id, make([]byte, 64<<10))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: got %v, want %v", err, context.DeadlineExceeded)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("second Stop: got %v, want nil", err)
	}
}

func TestCloseConn(t *testing.T) {
	e := &echo{}
	e.onRequest = func(e *echo, c ConnID, h wire.Header, _ []byte) {
		e.server.Send(c, response(h.Request))
		e.server.CloseConn(c)
	}
	s := serve(t, ServerOptions{}, e)
	c := greeted(t, s.Addr())
	c.send(statusRequest(4))
	if h, _ := c.frame(); h.Request != 4 {
		t.Fatalf("got request %d, want 4", h.Request)
	}
	if _, _, err := c.tryFrame(); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
	<-e.closed
	s.Send(1<<40, response(1)) // unknown conn: no effect
	s.CloseConn(1 << 40)
	s.Flush()
}

// Many goroutines send to many conns of several loops; every conn gets what was
// sent to it, in order.
func TestSendFromManyGoroutines(t *testing.T) {
	e := &echo{}
	ids := make(chan ConnID, 64)
	e.onRequest = func(e *echo, c ConnID, _ wire.Header, _ []byte) { ids <- c }
	s := serve(t, ServerOptions{Loops: 3}, e)
	const conns, each = 16, 500
	var running sync.WaitGroup
	for range conns {
		c := greeted(t, s.Addr())
		c.send(statusRequest(1))
		id := <-ids
		running.Add(2)
		go func() {
			defer running.Done()
			for i := range uint64(each) {
				s.Send(id, response(i))
				if i%7 == 0 {
					s.Flush()
				}
			}
			s.Flush()
		}()
		go func() {
			defer running.Done()
			for i := range uint64(each) {
				h, _, err := c.tryFrame()
				if err != nil || h.Request != i {
					t.Errorf("got request %d, %v, want %d", h.Request, err, i)
					return
				}
			}
		}()
	}
	running.Wait()
}

// await polls a condition that becomes true by itself.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("condition did not become true")
		}
		runtime.Gosched()
	}
}

// goroutines returns the stacks of running goroutines that contain text.
func goroutines(text string) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var found []string
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, text) {
			found = append(found, g)
		}
	}
	return strings.Join(found, "\n\n")
}

func TestStopLeavesNothing(t *testing.T) {
	for range 3 {
		e := &echo{}
		t.Run("", func(t *testing.T) {
			s := serve(t, ServerOptions{Loops: 2}, e)
			for range 5 {
				greeted(t, s.Addr())
			}
		})
	}
	await(t, func() bool { return goroutines("netio.(*Server)") == "" })
}

func TestSendDoesNotAllocate(t *testing.T) {
	e := &echo{}
	ids := make(chan ConnID, 1)
	e.onRequest = func(e *echo, c ConnID, _ wire.Header, _ []byte) { ids <- c }
	s := serve(t, ServerOptions{}, e)
	c := greeted(t, s.Addr())
	c.send(statusRequest(1))
	id := <-ids
	go func() { _, _ = io.Copy(io.Discard, c.Conn) }()
	frame := response(1)
	l := s.loops[id.loop()].Load()
	got := testing.AllocsPerRun(2000, func() {
		for range 50 {
			s.Send(id, frame)
		}
		s.Flush()
		for !l.out.idle() {
			runtime.Gosched()
		}
	})
	// One task and one closure inside gnet per wake, none per response.
	if got > 4 {
		t.Errorf("allocations per turn of 50 responses: got %v, want at most 4", got)
	}
}

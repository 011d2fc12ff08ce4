package netio

import (
	"bytes"
	"context"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"lockd/netio/wire"
)

// signaller is a Handler that tells of every end of a round.
type signaller struct {
	noClients
	ends chan struct{}
}

func (s signaller) Flush() { s.ends <- struct{}{} }

// ended waits for the end of a round.
func (s signaller) ended(t *testing.T) {
	t.Helper()
	select {
	case <-s.ends:
	case <-time.After(patience):
		t.Fatal("no round has ended")
	}
}

func signalling(t *testing.T) (signaller, *Server) {
	t.Helper()
	h := signaller{ends: make(chan struct{}, 1<<16)}
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNow(s) })
	return h, s
}

// Who wakes a server gets the end of a round, once there is a loop that has
// something to read; before, and after the end, it is told that nobody will look.
func TestWakeEndsARound(t *testing.T) {
	h, s := signalling(t)
	if s.Wake() {
		t.Error("a server without conns and links was woken")
	}
	open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}, Server: s}, newRecorder())
	c := connect(t, s.Addr())
	await(t, func() bool { return s.Wake() })
	h.ended(t)
	_ = c.Close()
	stopNow(s)
	if s.Wake() {
		t.Error("a server that has ended was woken")
	}
}

// The end of a round follows the frames of links.
func TestFramesOfALinkEndARound(t *testing.T) {
	h, s := signalling(t)
	one, two := newRecorder(), newRecorder()
	seen := make(chan int, 16)
	two.frame = func(_ uint16, _ wire.PeerKind, payload []byte) { seen <- len(payload) }
	b := open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}, Server: s}, two)
	a := open(t, LinkOptions{Self: 1, Peers: []Peer{{Node: 2, Addr: b.Addr().String()}}}, one)
	one.next(t, "up")
	two.next(t, "up")
	for i := 1; i <= 3; i++ {
		a.Send(2, messages(make([]byte, i)))
		h.ended(t)
		select {
		case got := <-seen:
			if got != i {
				t.Fatalf("frame %d: got %d bytes", i, got)
			}
		default:
			t.Fatalf("frame %d: a round ended without it", i)
		}
	}
}

// Frames that do not end cost their own links, not those that the same loop reads.
func TestEndlessFramesEndTheirLinksOnly_FN4(t *testing.T) {
	const limit = 200 * time.Millisecond
	two := newRecorder()
	frames := make(chan struct{}, 16)
	two.frame = func(uint16, wire.PeerKind, []byte) { frames <- struct{}{} }
	ls := open(t, LinkOptions{Self: 9, FrameTimeout: limit,
		Peers: []Peer{{Node: 1}, {Node: 2}, {Node: 3}}}, two)
	var raws []*rawPeer
	for n := uint16(1); n <= 3; n++ {
		p := dialRaw(t, ls)
		h := rawHello(byte(n))
		h.From, h.To, h.Disk = n, 9, testDisk+uint64(n)
		p.shake(h)
		two.next(t, "up")
		raws = append(raws, p)
	}
	frame := messages([]byte("whole frame"))
	raws[0].send(frame[:9])
	raws[1].send(frame[:9])
	two.down(t, DownTimeout)
	two.down(t, DownTimeout)
	raws[2].send(bytes.Clone(frame))
	select {
	case <-frames:
	case <-time.After(patience):
		t.Error("the third link carries nothing")
	}
}

// slowWriter is a gnet.Conn whose loop is in the middle of a write when somebody
// else sends.
type slowWriter struct {
	gnet.Conn
	fd        int
	meanwhile func()
}

func (w *slowWriter) Fd() int               { return w.fd }
func (w *slowWriter) OutboundBuffered() int { return 0 }

func (w *slowWriter) Write(b []byte) (int, error) {
	w.meanwhile()
	return syscall.Write(w.fd, b)
}

// laterLoop runs what it is asked to when the test says so.
type laterLoop struct {
	gnet.EventLoop
	tasks []gnet.Runnable
}

func (l *laterLoop) Execute(_ context.Context, r gnet.Runnable) error {
	l.tasks = append(l.tasks, r)
	return nil
}

// What is queued, and what an event loop is about to write, comes before what is
// sent later.
func TestNothingPassesWhatTheLoopWrites_FN2(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ls := &Links{opts: LinkOptions{QueueBytes: 1 << 20}}
	loop := &laterLoop{}
	l := newLink(ls, &peer{node: 2}, nil, wire.PeerHello{})
	l.loop = &eventLoop{gnet: loop}
	l.send([]byte("first "))
	conn := &slowWriter{fd: int(w.Fd())}
	conn.meanwhile = func() {
		conn.meanwhile = func() {}
		l.send([]byte("second "))
	}
	l.mu.gnet = conn
	l.send([]byte("and "))
	l.visit()
	for _, task := range loop.tasks {
		if err := task.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.send([]byte("third"))
	const want = "first and second third"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// dripper is a gnet.Conn that brings little at a time.
type dripper struct {
	gnet.Conn
	piece []byte
}

func (d *dripper) Next(int) ([]byte, error) { return d.piece, nil }

// A large frame that comes in many pieces costs no more than its size: what is there
// of it is not moved when more comes.
func TestPiecesOfAFrameAreKeptOnce_FN5(t *testing.T) {
	got := 0
	r := newRecorder()
	r.frame = func(_ uint16, _ wire.PeerKind, payload []byte) { got = len(payload) }
	ls := &Links{opts: LinkOptions{MaxFrameBytes: wire.MaxPeerFrameBytes}, handler: r}
	l := newLink(ls, &peer{node: 2}, nil, wire.PeerHello{})
	l.loop = &eventLoop{gnet: &laterLoop{}}
	const size, step = 7 << 20, 64
	frame := messages(make([]byte, size))
	deadline := time.Now().Add(patience / 4)
	for from := 0; from < len(frame); from += step {
		l.traffic(&dripper{piece: frame[from:min(from+step, len(frame))]})
		if from%(step<<10) == 0 && time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes in %v", from, len(frame), patience/4)
		}
	}
	if got != size {
		t.Errorf("got a frame of %d bytes, want %d", got, size)
	}
}

// eager is a Handler that wants a round after each.
type eager struct{ *echo }

func (e eager) Flush() { e.server.Wake() }

// A loop that is woken in each of its rounds, as by syncs that end before the turn
// that follows them, reads all the same.
func TestWokenLoopReads_FN5(t *testing.T) {
	e := &echo{served: make(chan struct{}), closed: make(chan ConnID, 1)}
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, eager{e})
	if err != nil {
		t.Fatal(err)
	}
	e.server = s
	close(e.served)
	t.Cleanup(func() { stopNow(s) })
	c := greeted(t, s.Addr())
	for i := uint64(1); i <= 100; i++ {
		c.send(statusRequest(i))
		if h, _ := c.frame(); h.Request != i {
			t.Fatalf("answer %d: got that to %d", i, h.Request)
		}
	}
}

// What a conn keeps for a frame that has not ended counts in full: the memory may come
// from a much larger answer to somebody else.
func TestHalfFrameCountsWhatItKeeps_FN5(t *testing.T) {
	s := &Server{opts: ServerOptions{Loops: 1, MaxFrameBytes: wire.MaxFrameBytes,
		MaxBufferedBytes: 4 << 20}}
	l := newEventLoop(s, nil, 0)
	l.buffers.give(make([]byte, retainedBytes))
	c := &conn{loop: l, state: stateOpen, gnet: &dripper{piece: statusRequest(1)[:9]}}
	l.traffic(c)
	if len(c.part) != 9 || l.buffered != cap(c.part) {
		t.Errorf("got %d bytes of a frame in %d counted as %d", len(c.part), cap(c.part), l.buffered)
	}
	c.gnet = &dripper{piece: statusRequest(1)[9:12]}
	l.traffic(c)
	if l.buffered != cap(c.part) {
		t.Errorf("got %d counted, want %d", l.buffered, cap(c.part))
	}
}

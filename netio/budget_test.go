package netio

import (
	"net"
	"sync"
	"testing"

	"lockd/netio/wire"
)

// flood is a Handler that counts the requests of each round. The first waits until the
// test lets it go, so that all others are there by then.
type flood struct {
	noClients
	gate chan struct{}
	late func() // called once, when lateAt requests have come

	mu struct {
		sync.Mutex
		round, most, all int
		rounds           int
		next             map[ConnID]uint64
		disorder         int
		// honest is how many had come before each request of another kind.
		honest []int
	}
}

const lateAt = 10_000

func (f *flood) Hello(ConnID, wire.Hello) ([]byte, bool) {
	return wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{Version: wire.Version, Node: 1,
		Limits: wire.DefaultLimits(), Leaders: []uint16{1}}), true
}

func (f *flood) Request(c ConnID, frame []byte) {
	<-f.gate
	h, _, err := wire.Parse(frame)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.round++
	f.mu.all++
	f.mu.most = max(f.mu.most, f.mu.round)
	if h.Kind == wire.KindGet {
		f.mu.honest = append(f.mu.honest, f.mu.all)
		return
	}
	if h.Request != f.mu.next[c] {
		f.mu.disorder++
	}
	f.mu.next[c]++
	if f.mu.all == lateAt {
		f.late()
	}
}

func (f *flood) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.round = 0
	f.mu.rounds++
}

// A round of a loop ends after a bounded number of frames, whatever is ready with it:
// no turn runs before, and nothing of peers is read. Who sends little does not wait for
// those who send much, nor does who comes while they do; and nothing is lost.
func TestRoundIsBounded_FN5(t *testing.T) {
	const conns, each = 100, 1024 // as many frames as one read brings
	f := &flood{gate: make(chan struct{})}
	f.mu.next = make(map[ConnID]uint64)
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0", Loops: 1}, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNow(s) })
	first, honest, late := greeted(t, s.Addr()), greeted(t, s.Addr()), greeted(t, s.Addr())
	f.late = func() { late.send(rawFrame(wire.KindGet, 1, nil)) }
	var all []net.Conn
	for range conns {
		all = append(all, greeted(t, s.Addr()))
	}
	first.send(rawFrame(wire.KindStatus, 0, nil))
	var frames []byte
	for i := range uint64(each) {
		frames = append(frames, rawFrame(wire.KindStatus, i, nil)...)
	}
	for _, c := range all {
		if _, err := c.Write(frames); err != nil {
			t.Fatal(err)
		}
	}
	honest.send(rawFrame(wire.KindGet, 1, nil))
	close(f.gate)
	const want = 1 + conns*each + 2
	await(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.mu.all == want
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if most := roundFrames + each + smallBytes/wire.HeaderBytes; f.mu.most > most {
		t.Errorf("got a round of %d frames, want %d at most", f.mu.most, most)
	}
	if f.mu.disorder > 0 {
		t.Errorf("%d requests came out of order", f.mu.disorder)
	}
	if got := f.mu.honest; len(got) != 2 || got[0] > roundFrames+2*each ||
		got[1] > want-roundFrames {
		t.Errorf("who sends little is heard after %v requests of others, want %d and %d at most",
			got, roundFrames+2*each, want-roundFrames)
	}
	if got := s.Stats(); got.Overflows > 0 || got.PauseFailures > 0 || got.Held == 0 {
		t.Errorf("got %+v, want conns held and none closed", got)
	}
}

// What is kept of a conn that waits for a later round counts, and is given back.
func TestHeldBytesCount_FN5(t *testing.T) {
	s := &Server{handler: &counter{}, opts: ServerOptions{Loops: 1,
		MaxFrameBytes: wire.MaxFrameBytes, MaxBufferedBytes: 4 << 20, MaxOutboxBytes: 1 << 20}}
	loop := &laterLoop{}
	l := newEventLoop(s, loop, 0)
	l.spent.frames = roundFrames
	l.out.seal() // the test serves what is held itself
	var piece []byte
	for range 1000 {
		piece = append(piece, statusRequest(1)...)
	}
	f := &fakeConn{in: piece}
	c := &conn{loop: l, state: stateOpen, gnet: f}
	f.conn = c
	l.traffic(c)
	if len(c.held) != len(piece) || l.buffered != cap(c.held) {
		t.Errorf("got %d bytes held, %d counted, want %d", len(c.held), l.buffered, len(piece))
	}
	l.traffic(c) // gnet reads it once more when it has sent all
	if len(c.held) != 2*len(piece) || l.buffered != cap(c.held) {
		t.Errorf("got %d bytes held, %d counted, want %d", len(c.held), l.buffered, 2*len(piece))
	}
	for _, task := range loop.tasks {
		_ = task.Run(t.Context())
	}
	l.serveHeld()
	if got := s.handler.(*counter).requests; got != 2000 || l.buffered != 0 || c.held != nil {
		t.Errorf("got %d requests, %d bytes counted, want 2000 and none", got, l.buffered)
	}
}

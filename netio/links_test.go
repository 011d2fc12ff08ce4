package netio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lockd/netio/wire"
)

const (
	testCluster = 0xc1
	testDisk    = 0xd000
)

// upDown is one call of PeerUp, PeerDown or Refused.
type upDown struct {
	what    string
	node    uint16
	cause   DownCause
	refusal wire.PeerRefused
}

// recorder is a PeerHandler that admits the test cluster and reports the rest.
type recorder struct {
	events chan upDown
	frame  func(n uint16, kind wire.PeerKind, payload []byte)
}

func (r *recorder) Check(h wire.PeerHello) *wire.PeerRefused {
	switch {
	case h.Cluster != testCluster:
		return peerRefusal(wire.RefusedCluster, "cluster %x, not %x", h.Cluster, testCluster)
	case h.Disk != testDisk+uint64(h.From):
		return peerRefusal(wire.RefusedDisk, "disk %x of node %d is unknown", h.Disk, h.From)
	}
	return nil
}

func (r *recorder) PeerUp(n uint16, _ wire.PeerHello) { r.events <- upDown{what: "up", node: n} }

func (r *recorder) PeerDown(n uint16, cause DownCause) {
	r.events <- upDown{what: "down", node: n, cause: cause}
}

func (r *recorder) PeerFrame(n uint16, kind wire.PeerKind, payload []byte) {
	if r.frame != nil {
		r.frame(n, kind, payload)
	}
}

func (r *recorder) Refused(n uint16, refusal wire.PeerRefused) {
	r.events <- upDown{what: "refused", node: n, refusal: refusal}
}

// next returns the next event, which must be of the given kind.
func (r *recorder) next(t *testing.T, what string) upDown {
	t.Helper()
	select {
	case e := <-r.events:
		if e.what != what {
			t.Fatalf("event: got %s (node %d, %v, %v %s), want %s",
				e.what, e.node, e.cause, e.refusal.Code, e.refusal.Text, what)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("event: got none, want %s", what)
		return upDown{}
	}
}

// down expects a PeerDown with a cause.
func (r *recorder) down(t *testing.T, want DownCause) {
	t.Helper()
	if e := r.next(t, "down"); e.cause != want {
		t.Fatalf("cause: got %v, want %v", e.cause, want)
	}
}

// quiet demands that nothing happens for a while.
func (r *recorder) quiet(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case e := <-r.events:
		t.Fatalf("event: got %s (node %d, %v), want none", e.what, e.node, e.cause)
	case <-time.After(d):
	}
}

func newRecorder() *recorder { return &recorder{events: make(chan upDown, 1024)} }

func testHello(self uint16) func(uint16) wire.PeerHello {
	return func(uint16) wire.PeerHello {
		return wire.PeerHello{Cluster: testCluster, Disk: testDisk + uint64(self)}
	}
}

// noClients is a Handler of a server whose event loops only read links.
type noClients struct{}

func (noClients) Hello(ConnID, wire.Hello) ([]byte, bool) { return nil, false }
func (noClients) Request(ConnID, []byte)                  {}
func (noClients) Flush()                                  {}
func (noClients) Closed(ConnID)                           {}

func (noClients) Sent() {}

// readers returns a server to read links, which ends after them.
func readers(t testing.TB) *Server {
	t.Helper()
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, noClients{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNow(s) })
	return s
}

// stopNow stops without waiting for what is unsent.
func stopNow(s *Server) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Stop(ctx) // an error tells only that something was unsent
}

func open(t *testing.T, opts LinkOptions, r *recorder) *Links {
	t.Helper()
	if opts.Server == nil {
		opts.Server = readers(t)
	}
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.Hello == nil {
		opts.Hello = testHello(opts.Self)
	}
	ls, err := OpenLinks(opts, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(ls) })
	return ls
}

// closeNow closes without waiting for what is queued.
func closeNow(ls *Links) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = ls.Close(ctx) // an error tells only that something was queued
}

// pair returns the links of nodes 1 and 2, up.
func pair(t *testing.T, one, two *recorder) (*Links, *Links) {
	t.Helper()
	b := open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}}, two)
	a := open(t, LinkOptions{Self: 1, Peers: []Peer{{Node: 2, Addr: b.Addr().String()}}}, one)
	one.next(t, "up")
	two.next(t, "up")
	return a, b
}

func messages(payload []byte) []byte {
	return wire.AppendPeer(nil, wire.PeerKindMessages, payload)
}

// inOrder returns a frame function that checks a sequence of numbered payloads,
// and a channel that gets the number after each step of them.
func inOrder(t *testing.T, step uint64) (func(uint16, wire.PeerKind, []byte), chan uint64) {
	var next uint64
	seen := make(chan uint64, 1024)
	return func(n uint16, kind wire.PeerKind, payload []byte) {
		got := binary.LittleEndian.Uint64(payload)
		if got != next || kind != wire.PeerKindMessages || !sized(payload, got) {
			t.Errorf("frame from %d: got %v %d of %d bytes, want %d",
				n, kind, got, len(payload), next)
		}
		if next++; next%step == 0 {
			seen <- next
		}
	}, seen
}

// numbered returns a payload whose size and content follow from i: mostly small,
// some larger than every buffer.
func numbered(i uint64) []byte {
	size := 9 + int(i%500)
	if i%1999 == 1 {
		size = 7 << 20
	}
	b := make([]byte, size)
	binary.LittleEndian.PutUint64(b, i)
	b[size-1] ^= byte(size)
	return b
}

func sized(payload []byte, i uint64) bool { return bytes.Equal(payload, numbered(i)) }

func TestLinkKeepsOrder_FN2(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	const n = 4000
	var atOne, atTwo chan uint64
	one.frame, atOne = inOrder(t, n)
	two.frame, atTwo = inOrder(t, n)
	a, b := pair(t, one, two)
	for i := range uint64(n) {
		a.Send(2, messages(numbered(i)))
		b.Send(1, messages(numbered(i)))
	}
	for _, seen := range []chan uint64{atOne, atTwo} {
		select {
		case <-seen:
		case e := <-one.events:
			t.Fatalf("link: got %s %v", e.what, e.cause)
		case <-time.After(patience):
			t.Fatal("frames are missing")
		}
	}
	stats := a.Stats().Peers[0]
	if stats.FramesOut != n || stats.FramesIn != n || stats.Inline == 0 || stats.Queued == 0 {
		t.Errorf("stats: got %+v, want %d frames each way, some inline and some queued", stats, n)
	}
}

// What somebody sends while a frame is being written comes after the whole of it,
// also when the write takes only part.
func TestRestOfAFrameComesFirst_FN2(t *testing.T) {
	const n = 3
	one, two := newRecorder(), newRecorder()
	check, seen := inOrder(t, n)
	read := make(chan struct{})
	two.frame = func(n uint16, kind wire.PeerKind, payload []byte) {
		<-read // else the kernel may pass on a frame as fast as it is written
		check(n, kind, payload)
	}
	a, _ := pair(t, one, two)
	await(t, (*a.peers.Load())[2].up.Load().taken)
	a.Send(2, messages(numbered(0)))
	a.Send(2, messages(numbered(1))) // larger than every buffer
	queued := a.Stats().Peers[0].QueuedBytes
	close(read)
	if queued == 0 {
		t.Error("the kernel took all of a frame of 7 MiB at once: the test shows nothing")
	}
	a.Send(2, messages(numbered(2)))
	select {
	case <-seen:
	case e := <-one.events:
		t.Fatalf("link: got %s %v", e.what, e.cause)
	case <-time.After(patience):
		t.Fatal("frames are missing")
	}
}

// Frames of several senders are not mixed, also when a write takes only part of
// one.
func TestSendersDoNotMixFrames(t *testing.T) {
	const senders, each = 4, 30
	one, two := newRecorder(), newRecorder()
	var last [senders]byte
	all := make(chan struct{})
	count := 0
	two.frame = func(_ uint16, _ wire.PeerKind, payload []byte) {
		from, i := payload[0], payload[1]
		if i != last[from]+1 {
			t.Errorf("frame of sender %d: got %d, want %d", from, i, last[from]+1)
		}
		last[from] = i
		if count++; count == senders*each {
			close(all)
		}
	}
	a, _ := pair(t, one, two)
	l := (*a.peers.Load())[2].up.Load()
	await(t, l.taken)
	if err := l.mu.gnet.SetWriteBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	for from := range byte(senders) {
		go func() {
			payload := make([]byte, 200<<10) // all of them are less than QueueBytes
			for i := range byte(each) {
				payload[0], payload[1] = from, i+1
				a.Send(2, messages(payload))
			}
		}()
	}
	select {
	case <-all:
	case e := <-one.events:
		t.Fatalf("link: got %s %v", e.what, e.cause)
	case <-time.After(patience):
		t.Fatal("frames are missing")
	}
}

// A peer that goes away is noticed at once and found again when it is back.
func TestReconnectAfterRestart_FP1(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	a, b := pair(t, one, two)
	addr := b.Addr().String()
	for range 3 {
		began := time.Now()
		closeNow(b)
		two.down(t, DownClosed)
		one.down(t, DownReset)
		if took := time.Since(began); took > time.Second {
			t.Errorf("end of a process noticed after %v, want at once", took)
		}
		a.Send(2, messages(numbered(0))) // lost, not kept for later
		b = open(t, LinkOptions{Self: 2, Addr: addr, Peers: []Peer{{Node: 1}}}, two)
		one.next(t, "up")
		two.next(t, "up")
	}
	if got := a.Stats().Peers[0]; got.Connects != 4 || got.Dropped == 0 {
		t.Errorf("stats: got %+v, want 4 connects and a dropped frame", got)
	}
}

// rawPeer is node 1 written by hand: it dials and shakes hands.
type rawPeer struct {
	t *testing.T
	*net.TCPConn
}

func rawHello(process byte) wire.PeerHello {
	h := testHello(1)(2)
	h.Version, h.MinVersion = wire.PeerVersion, wire.MinPeerVersion
	h.From, h.To = 1, 2
	h.Nonce[0] = process
	return h
}

func dialRaw(t *testing.T, ls *Links) *rawPeer {
	t.Helper()
	c, err := net.Dial("tcp", ls.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &rawPeer{t: t, TCPConn: c.(*net.TCPConn)}
}

// ends reports whether a read failed because the other side ended the conn; that the
// test has lost its patience is another matter.
func ends(err error) bool { return err == io.EOF || errors.Is(err, syscall.ECONNRESET) }

func (p *rawPeer) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// shake sends a hello and, if it is welcome, the proof of a node without secret.
func (p *rawPeer) shake(h wire.PeerHello) wire.PeerKind {
	p.t.Helper()
	p.send(wire.AppendPeerHello(nil, wire.PeerKindHello, &h))
	kind, _ := p.frame()
	if kind == wire.PeerKindWelcome {
		p.send(wire.AppendPeerProof(nil, &wire.Proof{}))
	}
	return kind
}

func (p *rawPeer) frame() (wire.PeerKind, []byte) {
	p.t.Helper()
	kind, payload, err := readHandshake(p)
	if err != nil {
		p.t.Fatal(err)
	}
	return kind, payload
}

// refused sends a hello and returns the refusal, after which the conn ends.
func (p *rawPeer) refused(hello []byte) wire.PeerRefused {
	p.t.Helper()
	p.send(hello)
	kind, payload := p.frame()
	if kind != wire.PeerKindRefused {
		p.t.Fatalf("got %v, want PeerRefused", kind)
	}
	r, err := wire.DecodePeerRefused(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 1)); err != io.EOF {
		p.t.Fatalf("after PeerRefused: got %d bytes, %v, want the end", n, err)
	}
	return r
}

func helloBytes(change func(h *wire.PeerHello)) []byte {
	h := rawHello(9)
	change(&h)
	return wire.AppendPeerHello(nil, wire.PeerKindHello, &h)
}

func TestStrangersOnThePeerPort_FN6(t *testing.T) {
	two := newRecorder()
	peers := []Peer{{Node: 1}, {Node: 3, Addr: "127.0.0.1:1"}}
	ls := open(t, LinkOptions{Self: 2, Peers: peers}, two)
	for _, test := range []struct {
		name  string
		hello []byte
		want  wire.Refusal
	}{
		{"other cluster", helloBytes(func(h *wire.PeerHello) { h.Cluster++ }), wire.RefusedCluster},
		{"wiped disk", helloBytes(func(h *wire.PeerHello) { h.Disk++ }), wire.RefusedDisk},
		{"looks for another", helloBytes(func(h *wire.PeerHello) { h.To = 7 }), wire.RefusedNode},
		{"no peer", helloBytes(func(h *wire.PeerHello) { h.From = 9 }), wire.RefusedNode},
		{"our own id", helloBytes(func(h *wire.PeerHello) { h.From = 2 }), wire.RefusedDuplicate},
		{"higher id dials", helloBytes(func(h *wire.PeerHello) { h.From = 3 }), wire.RefusedNode},
		{"too new", helloBytes(func(h *wire.PeerHello) { h.Version, h.MinVersion = 99, 98 }),
			wire.RefusedVersion},
		{"frame before hello", messages([]byte("x")), wire.RefusedFrame},
		{"welcome first", wire.AppendPeer(nil, wire.PeerKindWelcome, nil), wire.RefusedFrame},
		{"magic", wire.AppendPeer(nil, wire.PeerKindHello, make([]byte, 124)), wire.RefusedMagic},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := dialRaw(t, ls).refused(test.hello)
			if r.Code != test.want || len(r.Text) == 0 {
				t.Errorf("got %v %q, want %v and a text", r.Code, r.Text, test.want)
			}
		})
	}
	select {
	case e := <-two.events:
		t.Errorf("event: got %s, want none", e.what)
	default:
	}
}

func TestGarbageOnThePeerPort_FW1(t *testing.T) {
	two := newRecorder()
	var frames atomic.Int64
	two.frame = func(uint16, wire.PeerKind, []byte) { frames.Add(1) }
	ls := open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}}, two)
	member := dialRaw(t, ls)
	member.shake(rawHello(1))
	two.next(t, "up")

	wrongSum := helloBytes(func(*wire.PeerHello) {})
	wrongSum[len(wrongSum)-1] ^= 1
	for name, garbage := range map[string][]byte{
		"http":      []byte("GET / HTTP/1.1\r\n\r\n"),
		"zeros":     make([]byte, 1000),
		"huge":      {0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0},
		"wrong sum": wrongSum,
		"cut":       hello()[:5],
	} {
		p := dialRaw(t, ls)
		p.send(garbage)
		_ = p.CloseWrite()
		if got, err := io.ReadAll(p); len(got) > 0 || err != nil && !ends(err) {
			t.Errorf("%s: got %d bytes, %v, want the end", name, len(got), err)
		}
	}
	member.send(messages([]byte("12345678")))
	await(t, func() bool { return frames.Load() == 1 })

	// On an established link garbage ends it, and nothing behind it is believed.
	for name, garbage := range map[string][]byte{
		"wrong sum":       flipped(messages([]byte("12345678"))),
		"unknown kind":    wire.AppendPeer(nil, 99, []byte("x")),
		"too large":       {0xff, 0xff, 0xff, 0x7f, 5, 0, 0, 0, 0},
		"too short":       {1, 0, 0, 0, 5},
		"second hello":    helloBytes(func(*wire.PeerHello) {}),
		"refusal garbled": wire.AppendPeer(nil, wire.PeerKindRefused, []byte{1}),
	} {
		member.send(append(garbage, messages([]byte("12345678"))...))
		two.down(t, DownGarbled)
		member = dialRaw(t, ls)
		if kind := member.shake(rawHello(1)); kind != wire.PeerKindWelcome {
			t.Fatalf("%s: after it: got %v, want a welcome", name, kind)
		}
		two.next(t, "up")
	}
	if got := frames.Load(); got != 1 {
		t.Errorf("frames handed over: got %d, want 1", got)
	}
}

func flipped(frame []byte) []byte {
	frame[len(frame)-1] ^= 0x40
	return frame
}

func TestResetIsSeenAtOnce_FP1(t *testing.T) {
	two := newRecorder()
	ls := open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}}, two)
	for _, end := range []func(p *rawPeer) error{
		func(p *rawPeer) error { return p.Close() },
		func(p *rawPeer) error { return p.CloseWrite() },
		func(p *rawPeer) error { _ = p.SetLinger(0); return p.Close() },
		func(p *rawPeer) error { p.send(messages(numbered(5))[:20]); return p.Close() },
	} {
		p := dialRaw(t, ls)
		p.shake(rawHello(1))
		two.next(t, "up")
		began := time.Now()
		if err := end(p); err != nil {
			t.Fatal(err)
		}
		two.down(t, DownReset)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("reset noticed after %v, want at once", took)
		}
	}
}

// Two processes with one identity: the first live one is kept, the second told.
// The same process is let in again at once; another one when the first is gone.
func TestTwinIsRefused_FN6(t *testing.T) {
	two := newRecorder()
	ls := open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}}, two)
	first := dialRaw(t, ls)
	first.shake(rawHello(1))
	two.next(t, "up")

	h := rawHello(2)
	twin := dialRaw(t, ls)
	r := twin.refused(wire.AppendPeerHello(nil, wire.PeerKindHello, &h))
	if r.Code != wire.RefusedDuplicate || !bytes.Contains(r.Text, []byte("one identity")) {
		t.Errorf("twin: got %v %q, want %v", r.Code, r.Text, wire.RefusedDuplicate)
	}

	again := dialRaw(t, ls)
	again.shake(rawHello(1))
	two.down(t, DownReplaced)
	two.next(t, "up")
	if _, err := first.Read(make([]byte, 1)); !ends(err) {
		t.Errorf("replaced link: got %v, want the end", err)
	}

	// Silent for silentAfter, as after the death of its machine.
	(*ls.peers.Load())[1].up.Load().heard.Store(int64(ls.now() - silentAfter))
	heir := dialRaw(t, ls)
	heir.shake(rawHello(2))
	two.down(t, DownReset)
	two.next(t, "up")
}

// A stranger who claims to be a peer but lacks the secret cannot end its link.
func TestStrangerCannotReplace_FN6(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	seen := make(chan struct{})
	two.frame = func(uint16, wire.PeerKind, []byte) { close(seen) }
	secret := []byte("between us")
	b := open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}, Secret: secret}, two)
	a := open(t, LinkOptions{
		Self: 1, Peers: []Peer{{Node: 2, Addr: b.Addr().String()}}, Secret: secret,
	}, one)
	one.next(t, "up")
	two.next(t, "up")
	h := rawHello(1)
	binary.LittleEndian.PutUint64(h.Nonce[:], a.incarnation) // as overheard
	stranger := dialRaw(t, b)
	if kind := stranger.shake(h); kind != wire.PeerKindWelcome {
		t.Fatalf("got %v, want a welcome with a challenge", kind)
	}
	kind, payload := stranger.frame()
	if r, err := wire.DecodePeerRefused(payload); kind != wire.PeerKindRefused || err != nil ||
		r.Code != wire.RefusedPermission {
		t.Errorf("wrong proof: got %v %v, %v, want %v", kind, r.Code, err, wire.RefusedPermission)
	}
	a.Send(2, messages(numbered(0)))
	<-seen
}

// Who does not have the same secret has no link, and both sides are told why: the one
// that dials by what it finds, the other by a refusal that proves nothing, unless it has
// no secret that could be proved.
func TestSecrets_FN6(t *testing.T) {
	for _, test := range []struct {
		one, two string
		want     string
	}{
		{"same", "same", "up"}, {"same", "other", "unproven"},
		{"", "other", "unproven"}, {"same", "", "refused"},
	} {
		t.Run(test.one+"/"+test.two, func(t *testing.T) {
			one, two := newRecorder(), newRecorder()
			unproven := func(r *recorder) func(uint16, string) {
				return func(n uint16, text string) {
					r.events <- upDown{what: "unproven", node: n,
						refusal: *peerRefusal(wire.RefusedPermission, "%s", text)}
				}
			}
			b := open(t, LinkOptions{
				Self: 2, Peers: []Peer{{Node: 1}}, Secret: []byte(test.two), Unproven: unproven(two),
			}, two)
			open(t, LinkOptions{
				Self: 1, Secret: []byte(test.one), Unproven: unproven(one),
				Peers: []Peer{{Node: 2, Addr: b.Addr().String()}},
			}, one)
			e := two.next(t, test.want)
			if test.want == "up" {
				return
			}
			const words = "do not have the same cluster secret"
			if e.refusal.Code != wire.RefusedPermission ||
				!strings.Contains(string(e.refusal.Text), words) {
				t.Errorf("got %v %q, want %v", e.refusal.Code, e.refusal.Text, wire.RefusedPermission)
			}
			if e := one.next(t, "unproven"); !strings.Contains(string(e.refusal.Text), words) {
				t.Errorf("the side that dials: got %q, want that they %s", e.refusal.Text, words)
			}
		})
	}
}

// What the dialing side finds at an address: another node, another cluster.
func TestWrongNodeAnswers_FN6(t *testing.T) {
	one, three := newRecorder(), newRecorder()
	c := open(t, LinkOptions{Self: 3, Peers: []Peer{{Node: 1}}}, three)
	a := open(t, LinkOptions{Self: 1, Peers: []Peer{{Node: 2, Addr: c.Addr().String()}}}, one)
	if e := one.next(t, "refused"); e.node != 2 || e.refusal.Code != wire.RefusedNode {
		t.Errorf("got node %d, %v, want node 2, %v", e.node, e.refusal.Code, wire.RefusedNode)
	}
	if err := a.SetPeer(Peer{Node: 3, Addr: c.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	a.RemovePeer(2)
	for e := range one.events {
		if e.what == "up" && e.node == 3 {
			break
		}
	}
	three.next(t, "up")
	a.RemovePeer(3)
	three.down(t, DownReset)
}

// The dialing side checks too: a peer that came back with a wiped directory.
func TestDialerRefusesWipedPeer_FN6(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	b := open(t, LinkOptions{
		Self: 2, Peers: []Peer{{Node: 1}},
		Hello: func(uint16) wire.PeerHello {
			return wire.PeerHello{Cluster: testCluster, Disk: 0xbad}
		},
	}, two)
	a := open(t, LinkOptions{Self: 1, Peers: []Peer{{Node: 2, Addr: b.Addr().String()}}}, one)
	e := two.next(t, "refused")
	if e.node != 1 || e.refusal.Code != wire.RefusedDisk {
		t.Errorf("got node %d, %v, want node 1, %v", e.node, e.refusal.Code, wire.RefusedDisk)
	}
	await(t, func() bool { return a.Stats().Refused > 0 && a.Stats().Peers[0].Failures > 0 })
	if got := a.Stats().Peers[0].Problem; !strings.Contains(got, "disk bad of node 2") {
		t.Errorf("problem: got %q, want the refusal", got)
	}
}

func TestCauseOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want DownCause
	}{
		{io.ErrUnexpectedEOF, DownReset},
		{os.NewSyscallError("read", syscall.ECONNRESET), DownReset},
		{os.NewSyscallError("write", syscall.EPIPE), DownReset},
		{os.NewSyscallError("read", syscall.ETIMEDOUT), DownTimeout},
		{os.NewSyscallError("read", syscall.EHOSTUNREACH), DownTimeout},
		{fmt.Errorf("%w: %w", errGarbled, wire.ErrChecksum), DownGarbled},
	} {
		if got := causeOf(test.err); got != test.want {
			t.Errorf("%v: got %v, want %v", test.err, got, test.want)
		}
	}
}

func TestSilentHandshakeEnds_FN5(t *testing.T) {
	two := newRecorder()
	ls := open(t, LinkOptions{
		Self: 2, Peers: []Peer{{Node: 1}}, HandshakeTimeout: 200 * time.Millisecond,
	}, two)
	half := dialRaw(t, ls)
	half.send(helloBytes(func(*wire.PeerHello) {})[:30])
	silent := dialRaw(t, ls)
	for _, p := range []*rawPeer{half, silent} {
		if n, err := p.Read(make([]byte, 1)); !ends(err) {
			t.Errorf("got %d bytes, %v, want the end", n, err)
		}
	}
	// More than may shake hands at a time: the rest is closed, the port lives.
	for range 2 * maxHandshakes {
		dialRaw(t, ls)
	}
	await(t, func() bool { return ls.Stats().Crowded > 0 })
	var member *rawPeer
	await(t, func() bool {
		member = dialRaw(t, ls)
		h := rawHello(1)
		_, _ = member.Write(wire.AppendPeerHello(nil, wire.PeerKindHello, &h))
		kind, _, err := readHandshake(member)
		return err == nil && kind == wire.PeerKindWelcome
	})
	member.send(wire.AppendPeerProof(nil, &wire.Proof{}))
	two.next(t, "up")
}

// One flipped bit in a length makes a frame swallow all that follows. Its link
// must not carry nothing until that many bytes have come.
func TestEndlessFrameEndsItsLink_FN4(t *testing.T) {
	two := newRecorder()
	frames := make(chan uint64, 16)
	two.frame = func(_ uint16, _ wire.PeerKind, payload []byte) {
		frames <- binary.LittleEndian.Uint64(payload)
	}
	const limit = 300 * time.Millisecond
	ls := open(t, LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}, FrameTimeout: limit}, two)
	p := dialRaw(t, ls)
	p.shake(rawHello(1))
	two.next(t, "up")
	// Frames that end in time, however many follow each other in part, are fine.
	frame := messages(numbered(5))
	for began := time.Now(); time.Since(began) < 2*limit; {
		p.send(frame[:7])
		two.quiet(t, limit/10)
		p.send(append(bytes.Clone(frame[7:]), frame...))
		<-frames
		<-frames
	}
	two.quiet(t, 2*limit) // so is silence between frames
	endless := bytes.Clone(frame)
	binary.LittleEndian.PutUint32(endless, wire.MaxPeerFrameBytes-4)
	p.send(endless)
	began := time.Now()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // a peer that is well sends on
		for {
			select {
			case <-stop:
				return
			case <-time.After(limit / 10):
				_, _ = p.Write(frame)
			}
		}
	}()
	two.down(t, DownTimeout)
	if took := time.Since(began); took < limit/2 || took > 10*limit {
		t.Errorf("ended after %v, want %v", took, limit)
	}
}

// A peer that takes nothing ends its link, not the node's memory.
func TestSlowPeerOverflows_FN5(t *testing.T) {
	two := newRecorder()
	ls := open(t, LinkOptions{
		Self: 2, Peers: []Peer{{Node: 1}}, QueueBytes: 1 << 20, MaxFrameBytes: 1 << 20,
	}, two)
	p := dialRaw(t, ls)
	p.shake(rawHello(1))
	two.next(t, "up")
	frame := messages(make([]byte, 64<<10))
	for range 1000 {
		ls.Send(1, frame)
		if queued := ls.Stats().Peers[0].QueuedBytes; queued > 1<<20 {
			t.Fatalf("queued: got %d bytes, want at most %d", queued, 1<<20)
		}
	}
	two.down(t, DownOverflow)
	if got := ls.Stats().Peers[0]; got.Overflows != 1 {
		t.Errorf("overflows: got %d, want 1", got.Overflows)
	}
	again := dialRaw(t, ls)
	again.shake(rawHello(1))
	two.next(t, "up")
}

func TestLinkOptionsAreChecked(t *testing.T) {
	valid := LinkOptions{Self: 1, Addr: "127.0.0.1:0", Hello: testHello(1), Server: readers(t)}
	for name, change := range map[string]func(o *LinkOptions){
		"no id":       func(o *LinkOptions) { o.Self = 0 },
		"no server":   func(o *LinkOptions) { o.Server = nil },
		"no hello":    func(o *LinkOptions) { o.Hello = nil },
		"small queue": func(o *LinkOptions) { o.QueueBytes = 1 },
		"own id":      func(o *LinkOptions) { o.Peers = []Peer{{Node: 1, Addr: "x:1"}} },
		"twice":       func(o *LinkOptions) { o.Peers = []Peer{{2, "x:1"}, {2, "y:1"}} },
		"no address":  func(o *LinkOptions) { o.Peers = []Peer{{Node: 2}} },
		"bad address": func(o *LinkOptions) { o.Addr = "nowhere" },
	} {
		opts := valid
		change(&opts)
		if ls, err := OpenLinks(opts, newRecorder()); err == nil {
			t.Errorf("%s: got links, want an error", name)
			closeNow(ls)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for range 3 {
		one, two := newRecorder(), newRecorder()
		a, b := pair(t, one, two)
		a.Send(2, messages(numbered(1)))
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := a.Close(ctx); err != nil {
			t.Errorf("Close: got %v, want nil", err)
		}
		closeNow(b)
		cancel()
		if err := a.SetPeer(Peer{Node: 5, Addr: "127.0.0.1:1"}); err == nil {
			t.Error("SetPeer after Close: got nil, want an error")
		}
	}
	await(t, func() bool {
		return goroutines("netio.(*Links)") == "" && goroutines("netio.(*link)") == ""
	})
}

func TestLinkSendDoesNotAllocate(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	a, _ := pair(t, one, two)
	frame := messages(make([]byte, 200))
	if got := testing.AllocsPerRun(2000, func() { a.Send(2, frame) }); got > 0.5 {
		t.Errorf("allocations per send: got %v, want 0", got)
	}
}

func TestBackoffGrowsAndStartsAnew(t *testing.T) {
	opts := LinkOptions{
		Self: 1, BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond, Seed: 7,
	}
	b, same := newBackoff(&opts, 2), newBackoff(&opts, 2)
	for i, want := range []time.Duration{10, 20, 40, 80, 100, 100} {
		d := b.wait(0)
		if most := want * time.Millisecond; d < most/2 || d > most {
			t.Errorf("wait %d: got %v, want %v to %v", i, d, most/2, most)
		}
		if other := same.wait(0); other != d {
			t.Errorf("wait %d of the same seed: got %v, want %v", i, other, d)
		}
	}
	if d := b.wait(time.Second); d > opts.BackoffMin {
		t.Errorf("wait after a long life: got %v, want at most %v", d, opts.BackoffMin)
	}
}

func BenchmarkLinkPingPong(b *testing.B) {
	for _, size := range []int{64, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkLink(b, size) })
	}
}

func benchmarkLink(b *testing.B, size int) {
	one, two := newRecorder(), newRecorder()
	back := make(chan struct{}, 1)
	frame := messages(make([]byte, size))
	one.frame = func(uint16, wire.PeerKind, []byte) { back <- struct{}{} }
	var z *Links
	ready := make(chan struct{})
	two.frame = func(uint16, wire.PeerKind, []byte) { <-ready; z.Send(1, frame) }
	z, err := OpenLinks(LinkOptions{
		Self: 2, Addr: "127.0.0.1:0", Peers: []Peer{{Node: 1}}, Hello: testHello(2),
		Server: readers(b),
	}, two)
	if err != nil {
		b.Fatal(err)
	}
	close(ready)
	defer closeNow(z)
	a, err := OpenLinks(LinkOptions{
		Self: 1, Addr: "127.0.0.1:0", Hello: testHello(1), Server: readers(b),
		Peers: []Peer{{Node: 2, Addr: z.Addr().String()}},
	}, one)
	if err != nil {
		b.Fatal(err)
	}
	defer closeNow(a)
	<-one.events
	<-two.events
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		a.Send(2, frame)
		<-back
	}
}

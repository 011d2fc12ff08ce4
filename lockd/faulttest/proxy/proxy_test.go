package proxy

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"lockd/netio/wire"
)

// rig is a Proxy with one connection through it: the test holds both ends.
type rig struct {
	*Proxy
	near, far *net.TCPConn
	listener  net.Listener
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Listen: "127.0.0.1:0", Target: ln.Addr().String(), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Proxy: p, listener: ln}
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), ln.Close()); err != nil {
			t.Error(err)
		}
	})
	r.near, r.far = r.link(t)
	return r
}

// link opens one connection through the Proxy.
func (r *rig) link(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	conns := [2]*net.TCPConn{}
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conns[0] = conn.(*net.TCPConn)
	if conn, err = r.listener.Accept(); err != nil {
		t.Fatal(err)
	}
	conns[1] = conn.(*net.TCPConn)
	for _, c := range conns {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	return conns[0], conns[1]
}

// numbered is a frame that carries its number.
func numbered(n int) []byte {
	payload := binary.LittleEndian.AppendUint32(nil, uint32(n))
	return wire.AppendPeer(nil, wire.PeerKindMessages, payload)
}

// send writes frames with the numbers from first to last.
func send(t *testing.T, to net.Conn, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		if _, err := to.Write(numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// receive reads so many frames and returns their numbers, -1 for a bad one.
func receive(t *testing.T, from io.Reader, frames int) []int {
	t.Helper()
	var got []int
	for range frames {
		frame := make([]byte, len(numbered(0)))
		if _, err := io.ReadFull(from, frame); err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		_, payload, err := wire.ParsePeer(frame)
		if err != nil {
			got = append(got, -1)
			continue
		}
		got = append(got, int(binary.LittleEndian.Uint32(payload)))
	}
	return got
}

// TestStrikes lets one frame among others suffer each harm that leaves the
// connection standing.
func TestStrikes(t *testing.T) {
	for _, row := range []struct {
		harm Harm
		want []int
	}{
		{Lose, []int{2, 3}},
		{Repeat, []int{1, 1, 2, 3}},
		{Swap, []int{2, 1, 3}},
	} {
		t.Run(row.harm.String(), func(t *testing.T) {
			r := newRig(t)
			r.Strike(Down, row.harm)
			send(t, r.far, 1, 3)
			if got := receive(t, r.near, len(row.want)); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
			if got := r.Stats().Done[row.harm]; got != 1 {
				t.Errorf("counted %d, want 1", got)
			}
			send(t, r.near, 7, 9)
			if got, want := receive(t, r.far, 3), []int{7, 8, 9}; !slices.Equal(got, want) {
				t.Errorf("the other direction: got %v, want %v", got, want)
			}
		})
	}
}

// TestReplayAfterReconnect injects a frame of an earlier connection.
func TestReplayAfterReconnect(t *testing.T) {
	r := newRig(t)
	send(t, r.near, 1, 2*pastFrames)
	receive(t, r.far, 2*pastFrames)
	r.Reset()
	near, far := r.link(t)
	r.Strike(Up, Replay)
	send(t, near, 1000, 1000)
	got := receive(t, far, 2)
	if got[0] != 1000 || got[1] <= pastFrames || got[1] > 2*pastFrames {
		t.Errorf("got %v, want 1000 and one of the last %d before it", got, pastFrames)
	}
}

func TestGarbleChangesOneByte(t *testing.T) {
	r := newRig(t)
	r.Strike(Up, Garble)
	send(t, r.near, 1, 1)
	frame := make([]byte, len(numbered(1)))
	if _, err := io.ReadFull(r.far, frame); err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i, b := range numbered(1) {
		if frame[i] != b {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d bytes changed, want 1", changed)
	}
}

func TestSeverResetsBothEnds(t *testing.T) {
	r := newRig(t)
	r.Strike(Up, Sever)
	send(t, r.near, 1, 1)
	got, err := io.ReadAll(r.far)
	if !errors.Is(err, syscall.ECONNRESET) || len(got) >= len(numbered(1)) {
		t.Errorf("receiver: got %d bytes and %v, want a part and a reset", len(got), err)
	}
	if _, err := r.near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("sender: got %v, want a reset", err)
	}
}

func TestHalfCloseLeavesTheOtherWay(t *testing.T) {
	r := newRig(t)
	r.Strike(Up, HalfClose)
	send(t, r.near, 1, 2)
	got, err := io.ReadAll(r.far)
	if err != nil || len(got) != len(numbered(1)) {
		t.Errorf("got %d bytes and %v, want one frame and the end", len(got), err)
	}
	send(t, r.far, 5, 5)
	if got := receive(t, r.near, 1); got[0] != 5 {
		t.Errorf("the other way: got %v, want 5", got)
	}
}

func TestEndlessNeverCompletes(t *testing.T) {
	r := newRig(t)
	r.Strike(Up, Endless)
	send(t, r.near, 1, 3)
	if err := r.near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.far)
	if err != nil || len(got) != len(numbered(1)) {
		t.Fatalf("got %d bytes and %v, want those of one frame", len(got), err)
	}
	if size, err := wire.PeerFrameBytes(got, wire.MaxPeerFrameBytes); err != nil ||
		size != wire.MaxPeerFrameBytes {
		t.Errorf("got a frame of %d bytes and %v, want %d", size, err, wire.MaxPeerFrameBytes)
	}
}

// TestHoldOutlivesTheSender shows what a network that stands still does: what
// was sent arrives later, even if its sender has gone.
func TestHoldOutlivesTheSender(t *testing.T) {
	r := newRig(t)
	r.Set(Up, Rules{Gate: Hold})
	send(t, r.near, 1, 3)
	for r.Stats().Frames[Up] < 3 {
		time.Sleep(time.Millisecond)
	}
	if err := r.near.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.far.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := r.far.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("the gate let something through: %v", err)
	}
	if err := r.far.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r.Set(Up, Rules{})
	if got, want := receive(t, r.far, 3), []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := r.far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
}

// TestOrphanDeliversLate shows what the epoch rule is for: frames of a
// connection that was given up arrive after those of its successor.
func TestOrphanDeliversLate(t *testing.T) {
	r := newRig(t)
	r.Set(Up, Rules{Delay: 20 * time.Millisecond})
	send(t, r.near, 1, 3)
	for r.Stats().Frames[Up] < 3 {
		time.Sleep(time.Millisecond)
	}
	const keep = 200 * time.Millisecond
	began := time.Now()
	r.Orphan(keep)
	if _, err := r.near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the end that dialed: got %v, want a reset", err)
	}
	near, far := r.link(t)
	send(t, near, 4, 4)
	receive(t, far, 1)
	if took := time.Since(began); took >= keep {
		t.Skipf("the successor took %v", took)
	}
	if got, want := receive(t, r.far, 3), []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if took := time.Since(began); took < keep {
		t.Errorf("they arrived after %v, want %v at least", took, keep)
	}
	if _, err := r.far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
}

func TestSwallowForgets(t *testing.T) {
	r := newRig(t)
	r.Set(Up, Rules{Gate: Swallow})
	send(t, r.near, 1, 3)
	for r.Stats().Swallowed < 3 {
		time.Sleep(time.Millisecond)
	}
	r.Set(Up, Rules{})
	send(t, r.near, 4, 4)
	if got := receive(t, r.far, 1); got[0] != 4 {
		t.Errorf("got %v, want 4", got)
	}
}

func TestDelayKeepsOrder(t *testing.T) {
	r := newRig(t)
	const delay = 30 * time.Millisecond
	r.SetBoth(Rules{Delay: delay, Jitter: delay})
	began := time.Now()
	send(t, r.near, 1, 50)
	got := receive(t, r.far, 50)
	if !slices.IsSorted(got) {
		t.Errorf("got %v, want them in order", got)
	}
	if took := time.Since(began); took < delay {
		t.Errorf("took %v, want %v at least", took, delay)
	}
}

// TestSlowLaneHoldsItsSender shows that what a slow receiver does not take stays
// with the sender.
func TestSlowLaneHoldsItsSender(t *testing.T) {
	r := newRig(t)
	r.Set(Up, Rules{BytesPerSecond: 1000})
	if err := r.near.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	big := wire.AppendPeer(nil, wire.PeerKindMessages, make([]byte, 4<<10))
	sent := 0
	for ; sent < 64<<20; sent += len(big) {
		if _, err := r.near.Write(big); err != nil {
			break
		}
	}
	if sent >= 64<<20 {
		t.Errorf("%d bytes were taken at 1000 a second", sent)
	}
}

// TestSameSeedSameHarm draws twice over the same frames.
func TestSameSeedSameHarm(t *testing.T) {
	run := func() []int {
		r := newRig(t)
		r.Set(Up, Rules{Odds: Odds{Lose: 200, Repeat: 200, Swap: 200}})
		send(t, r.near, 1, 200)
		for r.Stats().Frames[Up] < 200 {
			time.Sleep(time.Millisecond)
		}
		done := r.Stats().Done
		return receive(t, r.far, int(200-done[Lose]+done[Repeat])-1)
	}
	first, second := run(), run()
	if !slices.Equal(first, second) {
		t.Errorf("got %v, then %v", first, second)
	}
	if len(first) < 150 || slices.IsSorted(first) {
		t.Errorf("no harm done: %v", first)
	}
}

// TestOddsSpareGreetings shows that links come up however bad a direction is.
func TestOddsSpareGreetings(t *testing.T) {
	r := newRig(t)
	r.SetBoth(Rules{Odds: Odds{Lose: 1000}})
	hello := wire.AppendPeerHello(nil, wire.PeerKindHello, &wire.PeerHello{
		Version: wire.PeerVersion, MinVersion: wire.MinPeerVersion})
	if _, err := r.near.Write(append(numbered(1), hello...)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(hello))
	if _, err := io.ReadFull(r.far, got); err != nil || !slices.Equal(got, hello) {
		t.Errorf("got %x and %v, want the hello", got, err)
	}
}

// TestFramesOfClients cuts the other protocol.
func TestFramesOfClients(t *testing.T) {
	frame := wire.AppendGet(nil, wire.Header{Request: 1}, &wire.Get{Name: []byte("x")})
	if got := Clients.cut(append(frame, 1, 2)); got != len(frame) {
		t.Errorf("got a frame of %d bytes, want %d", got, len(frame))
	}
	if got := Clients.cut(frame[:len(frame)-1]); got != 0 {
		t.Errorf("a part: got %d, want 0", got)
	}
	if got := Clients.cut([]byte("GET / HTTP")); got != 10 {
		t.Errorf("garbage: got %d, want all of it", got)
	}
	if !Clients.greets(wire.AppendHello(nil, wire.Header{}, &wire.Hello{})) || Clients.greets(frame) {
		t.Error("a hello opens a conn, a get does not")
	}
}

package witness

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"lockd/netio/wire"
)

// rig is a tap with a node at the other end that the test plays.
type rig struct {
	t    *testing.T
	book *Book
	tap  *Tap
	now  int64
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t}
	r.book = NewBook(func() int64 { r.now++; return r.now })
	r.tap = r.book.Tap()
	return r
}

// dial returns both ends of a conn.
func (r *rig) dial() (client, node net.Conn) {
	r.t.Helper()
	ours, node := net.Pipe()
	r.tap.dial = func(context.Context, string) (net.Conn, error) { return ours, nil }
	client, err := r.tap.Dial(r.t.Context(), "node")
	if err != nil {
		r.t.Fatal(err)
	}
	return client, node
}

// send moves bytes from one end to the other, some at a time.
func (r *rig) send(from, to net.Conn, b []byte, pieces int) {
	r.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(to, make([]byte, len(b)))
		done <- err
	}()
	for i := range pieces {
		if _, err := from.Write(b[len(b)*i/pieces : len(b)*(i+1)/pieces]); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

func acquireFrame(request uint64) []byte {
	return wire.AppendAcquire(nil, wire.Header{Group: 3, Request: request, Flags: wire.FlagWait},
		&wire.Acquire{Session: 7, Epoch: 1, Mode: wire.ModePR, Name: []byte("a")})
}

func responseFrame(request uint64, x wire.Response) []byte {
	return wire.AppendResponse(nil, wire.Header{Group: 3, Request: request}, &x)
}

// TestTap: what crosses the conns becomes records, whatever the pieces in which
// it does; an acquire that is sent again elsewhere is known as such.
func TestTap(t *testing.T) {
	r := newRig(t)
	client, node := r.dial()
	r.send(client, node, append(acquireFrame(1), acquireFrame(2)...), 5)
	r.send(client, node, acquireFrame(3), 1)
	r.send(node, client, append(responseFrame(1, wire.Response{Status: wire.StatusOK, Token: 9,
		Slot: 4}), responseFrame(2, wire.Response{Status: wire.StatusBusy})...), 7)
	r.send(client, node, acquireFrame(2), 1) // refused before: not sent twice
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	client, node = r.dial()
	r.send(client, node, acquireFrame(3), 1)
	r.send(node, client, responseFrame(3, wire.Response{Status: wire.StatusOK, Token: 11,
		Slot: 6}), 1)
	r.send(node, client, responseFrame(3, wire.Response{Status: wire.StatusOK, Token: 12,
		Slot: 7}), 1)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 10)); err == nil {
		t.Error("a closed conn is read from")
	}
	h := r.book.Close()
	type short struct {
		request, token, slot uint64
		again                Again
		answered             bool
	}
	got := make(map[short]int)
	for _, x := range h.Records {
		if x.Kind != wire.KindAcquire || x.Group != 3 || x.Session != 7 || x.Mode != wire.ModePR ||
			h.Names[x.Name] != "a" || x.Ended <= x.Began {
			t.Errorf("got %+v", x)
		}
		got[short{x.Request, x.Token, x.Slot, x.Again, x.answered()}]++
	}
	for _, want := range []short{{1, 9, 4, First, true}, {2, 0, 0, First, false},
		{3, 0, 0, First, false}, {3, 11, 6, Resent, true}} {
		if got[want] != 1 {
			t.Errorf("got %+v, want one %+v", got, want)
		}
	}
	if len(h.Records) != 4 || len(h.Strays) != 1 {
		t.Errorf("got %d records and strays %q, want 4 and one", len(h.Records), h.Strays)
	}
}

// TestTapSessions: the lease of a session counts from the newest renewal that
// was answered, and from when that was sent.
func TestTapSessions(t *testing.T) {
	r := newRig(t)
	client, node := r.dial()
	k := SessionKey{Session: 7, Group: 3}
	r.send(client, node, wire.AppendOpenSession(nil, wire.Header{Group: 3, Request: 1},
		&wire.OpenSession{LeaseMillis: 2000}), 1)
	opened := r.now
	r.send(node, client, responseFrame(1, wire.Response{Status: wire.StatusOK, Token: 7, Slot: 1}), 1)
	s, ok := r.tap.Session(k)
	if !ok || s.LeaseMillis != 2000 || s.Renewed != opened || s.Closed != Open || s.Over != Open {
		t.Errorf("opened: got %+v, want renewed at %d", s, opened)
	}
	if before, after := r.tap.Opened(3, opened), r.tap.Opened(3, r.now); before != 1 || after != 0 {
		t.Errorf("got %d sessions opened since then and %d since now, want 1 and 0", before, after)
	}
	keepalive := func(request uint64) int64 {
		r.send(client, node, wire.AppendKeepalive(nil, wire.Header{Request: request},
			[]wire.SessionRef{{Session: 7, Group: 3}}), 1)
		return r.now
	}
	ack := func(request uint64, code wire.Code) {
		r.send(node, client, wire.AppendKeepaliveAck(nil, wire.Header{Request: request},
			[]wire.Renewal{{Session: 7, Group: 3, Code: code}}), 1)
	}
	sent := keepalive(2)
	keepalive(3)
	ack(2, wire.CodeRenewed)
	ack(3, wire.CodeNotLeader)
	if s, _ = r.tap.Session(k); s.Renewed != sent {
		t.Errorf("renewed: got %+v, want renewed at %d", s, sent)
	}
	r.send(client, node, wire.AppendCloseSession(nil, wire.Header{Group: 3, Request: 4},
		&wire.CloseSession{Session: 7}), 1)
	if s, _ = r.tap.Session(k); s.Closed != r.now || s.End(0) != r.now {
		t.Errorf("closed: got %+v, want closed at %d", s, r.now)
	}
	ack(3, wire.CodeUnknown)
	if s, _ = r.tap.Session(k); s.Over != r.now {
		t.Errorf("over: got %+v, want over at %d", s, r.now)
	}
}

// TestTapStops: while a tap is stopped nothing passes, and a close goes through.
func TestTapStops(t *testing.T) {
	r := newRig(t)
	client, node := r.dial()
	r.tap.Stop()
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(acquireFrame(1))
		sent <- err
	}()
	if err := node.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := node.Read(make([]byte, 100)); err == nil {
		t.Errorf("got %d bytes past a stopped tap", n)
	}
	r.tap.Resume()
	if err := node.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(node, make([]byte, len(acquireFrame(1)))); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	r.tap.Stop()
	go func() {
		_, err := client.Write(acquireFrame(2))
		sent <- err
	}()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := <-sent; err == nil {
		t.Error("write on a closed conn succeeded")
	}
}

package client

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"lockd/netio/wire"
)

// yesNode is a node on a real socket that leads one group, grants everything at
// once and allocates nothing while it does.
type yesNode struct {
	listener net.Listener
	wg       sync.WaitGroup
}

func newYesNode(t testing.TB) *yesNode {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	y := &yesNode{listener: l}
	y.wg.Go(func() {
		for {
			sock, err := l.Accept()
			if err != nil {
				return
			}
			y.wg.Go(func() { y.serve(sock) })
		}
	})
	t.Cleanup(func() { l.Close(); y.wg.Wait() })
	return y
}

func (y *yesNode) serve(sock net.Conn) {
	defer sock.Close()
	in, out := make([]byte, 256<<10), make([]byte, 0, 256<<10)
	have, token := 0, uint64(0)
	for {
		n, err := sock.Read(in[have:])
		if err != nil {
			return
		}
		have += n
		out = out[:0]
		used := 0
		for {
			size, _ := wire.FrameBytes(in[used:have], wire.MaxFrameBytes)
			if size == 0 || size > have-used {
				break
			}
			token++
			out = y.answer(out, in[used:used+size], token)
			used += size
		}
		have = copy(in, in[used:have])
		if _, err := sock.Write(out); err != nil {
			return
		}
	}
}

func (y *yesNode) answer(out, frame []byte, token uint64) []byte {
	h, body, _ := wire.Parse(frame)
	h.Flags = 0
	switch h.Kind {
	case wire.KindHello:
		address := []byte(y.listener.Addr().String())
		return wire.AppendWelcome(out, h, &wire.Welcome{
			Version: 1, Node: 1, Limits: wire.DefaultLimits(), Leaders: []uint16{1},
			Nodes: []wire.Node{{ID: 1, Address: address}},
		})
	case wire.KindKeepalive:
		k, _ := wire.DecodeKeepalive(body)
		if k.Len() == 0 {
			return wire.AppendKeepaliveAck(out, h, nil)
		}
		r := []wire.Renewal{{Session: k.At(0).Session, Code: wire.CodeRenewed}}
		return wire.AppendKeepaliveAck(out, h, r)
	default:
		return wire.AppendResponse(out, h, &wire.Response{Status: wire.StatusOK, Token: token})
	}
}

func yesClient(t testing.TB) *Client {
	t.Helper()
	address := newYesNode(t).listener.Addr().String()
	c, err := Dial(context.Background(), []string{address}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestAllocations guards the hot path: one Held for a lock that waits for its
// answer, nothing for one that is used again.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := yesClient(t)
	ctx := context.Background()
	pair := func() {
		h, err := c.Lock(ctx, "a")
		if err == nil {
			err = h.Unlock(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	pair()
	if got := testing.AllocsPerRun(2000, pair); got > 1 {
		t.Errorf("Lock and Unlock: got %v allocations, want 1", got)
	}
	done := make(chan error, 1)
	unlocked := func(_ *Held, err error) { done <- err }
	locked := func(h *Held, err error) { h.UnlockAsync(unlocked) }
	h := &Held{}
	if got := testing.AllocsPerRun(2000, func() {
		c.LockAsync(h, "a", LockOptions{}, locked)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}); got > 0 {
		t.Errorf("LockAsync and UnlockAsync: got %v allocations, want none", got)
	}
}

// BenchmarkPair measures lock and unlock by many goroutines on one conn.
func BenchmarkPair(b *testing.B) {
	for _, workers := range []int{1, 20, 320} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			c := yesClient(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for w := range workers {
				wg.Go(func() {
					name := fmt.Sprintf("lock/%d", w)
					for left.Add(-1) >= 0 {
						h, err := c.Lock(context.Background(), name)
						if err == nil {
							err = h.Unlock(context.Background())
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

// BenchmarkPairAsync is BenchmarkPair with callbacks.
func BenchmarkPairAsync(b *testing.B) {
	for _, workers := range []int{20, 320, 1000} {
		b.Run(fmt.Sprintf("inflight=%d", workers), func(b *testing.B) {
			c := yesClient(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			wg.Add(workers)
			b.ReportAllocs()
			b.ResetTimer()
			for w := range workers {
				name := fmt.Sprintf("lock/%d", w)
				var locked, unlocked func(*Held, error)
				locked = func(h *Held, err error) { h.UnlockAsync(unlocked) }
				unlocked = func(h *Held, err error) {
					if err != nil {
						b.Error(err)
					}
					if left.Add(-1) < 0 {
						wg.Done()
						return
					}
					c.LockAsync(h, name, LockOptions{}, locked)
				}
				unlocked(&Held{}, nil)
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

// FuzzReceive feeds a Core with bytes from a node: it must refuse or understand
// them, and not panic, whatever state it is in (I26, F-W1).
func FuzzReceive(f *testing.F) {
	y := &yesNode{}
	welcome := wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{
		Version: 1, Node: 1, Limits: wire.DefaultLimits(), Leaders: []uint16{1, 0},
	})
	f.Add(welcome)
	acquire := wire.AppendAcquire(nil, wire.Header{Request: 3}, &wire.Acquire{Name: []byte("a")})
	f.Add(y.answer(nil, acquire, 7))
	f.Add(wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	f.Add(wire.AppendSessionLost(nil, wire.Header{}, &wire.SessionLost{Session: 7}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, greeted := range []int{0, 1} {
			core := NewCore(CoreConfig{
				Endpoints: []string{"a"}, Lease: 10e9, Drift: 0.01, DialTimeout: 1e9, MaxInFlight: 10,
			}, 1)
			core.Reach(1)
			core.Connected(1, 1)
			if greeted == 1 {
				if _, err := core.Receive(2, 1, welcome); err != nil {
					t.Fatal(err)
				}
				core.Start(&Call{Kind: wire.KindAcquire, Name: "a", Flags: wire.FlagWait})
				core.Start(&Call{Kind: wire.KindGet, Name: "b", Timeout: 1e9})
				core.Tick(3)
			}
			used, err := core.Receive(4, 1, data)
			if err == nil && used > len(data) {
				t.Fatalf("used %d of %d bytes", used, len(data))
			}
			core.Tick(5)
			core.Disconnected(6, 1, net.ErrClosed)
			core.Tick(7)
		}
	})
}

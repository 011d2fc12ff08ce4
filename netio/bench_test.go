package netio

import (
	"bufio"
	"io"
	"net"
	"testing"

	"lockd/netio/wire"
)

// relay hands requests to an engine goroutine, as a node does: one wake per
// readiness event, one Flush per turn.
type relay struct {
	server *Server
	served chan struct{}
	ready  chan struct{} // capacity 1
	queue  chan ConnID   // requests in order
}

func (r *relay) Hello(ConnID, wire.Hello) ([]byte, bool) {
	<-r.served
	return wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{
		Version: wire.Version, Node: 1, Limits: wire.DefaultLimits(), Leaders: []uint16{1},
	}), true
}

func (r *relay) Request(c ConnID, _ []byte) { r.queue <- c }

func (r *relay) Flush() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

func (r *relay) Closed(ConnID) {}

func (r *relay) engine() {
	frame := response(1)
	for range r.ready {
		for {
			select {
			case c := <-r.queue:
				r.server.Send(c, frame)
				continue
			default:
			}
			break
		}
		r.server.Flush()
	}
}

func benchmarkEcho(b *testing.B, depth int) {
	r := &relay{
		served: make(chan struct{}),
		ready:  make(chan struct{}, 1),
		queue:  make(chan ConnID, 1<<14),
	}
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop(b.Context()) }()
	r.server = s
	close(r.served)
	go r.engine()
	defer close(r.ready)

	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	in := bufio.NewReaderSize(c, 64<<10)
	if _, err := c.Write(hello()); err != nil {
		b.Fatal(err)
	}
	welcome := wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{
		Version: wire.Version, Node: 1, Limits: wire.DefaultLimits(), Leaders: []uint16{1},
	})
	if _, err := io.ReadFull(in, welcome); err != nil {
		b.Fatal(err)
	}
	var batch []byte
	for range depth {
		batch = append(batch, statusRequest(1)...)
	}
	answers := make([]byte, depth*len(response(1)))
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += depth {
		if _, err := c.Write(batch); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(in, answers); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	stats := s.Stats()
	b.ReportMetric(float64(stats.FramesIn)/float64(stats.Writes), "responses/write")
}

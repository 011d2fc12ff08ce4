package netio

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

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

func (r *relay) Sent() {}

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

// benchmarkEcho answers requests of several conns, each with depth requests in
// flight. CPU per response is of the whole process, the clients included.
func benchmarkEcho(b *testing.B, conns, depth int) {
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

	var clients []net.Conn
	for range conns {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		welcome, _ := r.Hello(0, wire.Hello{})
		if err := exchange(c, hello(), welcome); err != nil {
			b.Fatal(err)
		}
		clients = append(clients, c)
	}
	var batch []byte
	for range depth {
		batch = append(batch, statusRequest(1)...)
	}
	b.ReportAllocs()
	before, began := s.Stats(), processTime(b)
	b.ResetTimer()
	var running sync.WaitGroup
	for _, c := range clients {
		running.Go(func() {
			answers := make([]byte, depth*len(response(1)))
			for n := 0; n < b.N; n += depth * conns {
				if err := exchange(c, batch, answers); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.StopTimer()
	stats := s.Stats()
	done := float64(stats.FramesIn - before.FramesIn)
	b.ReportMetric(done/float64(stats.Writes-before.Writes), "responses/write")
	b.ReportMetric(float64(processTime(b)-began)/done, "cpu-ns/op")
}

// exchange sends a batch and reads as many bytes as answers has.
func exchange(c net.Conn, batch, answers []byte) error {
	if _, err := c.Write(batch); err != nil {
		return err
	}
	_, err := io.ReadFull(c, answers)
	return err
}

// processTime is the processor time this process has used.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkEcho(b *testing.B) {
	for _, shape := range []struct{ conns, depth int }{
		{1, 1}, {20, 1}, {20, 16}, {4, 128}, {500, 1},
	} {
		b.Run(fmt.Sprintf("conns=%d/inflight=%d", shape.conns, shape.depth), func(b *testing.B) {
			benchmarkEcho(b, shape.conns, shape.depth)
		})
	}
}

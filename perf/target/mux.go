package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

const (
	muxReadBytes = 256 << 10
	// muxYieldBytes is the size from which a batch is written without letting
	// other callers add to it first.
	muxYieldBytes = 4 << 10
)

// reply is one answer on a mux: a number, an absence, or an error of the server.
type reply struct {
	number int64
	absent bool
	err    error
}

// parser reads one reply from the front of b and returns its length; 0 means
// that more bytes are needed.
type parser func(b []byte) (int, reply, error)

// mux shares one connection between many callers. Replies come in the order of
// the requests. The writing loop takes all that waits and writes once; the
// reading loop answers all that came.
type mux struct {
	conn  net.Conn
	parse parser
	// wake has room for one token: something waits to be written.
	wake chan struct{}
	done sync.WaitGroup
	free sync.Pool // of chan reply, capacity 1
	mu   struct {
		sync.Mutex
		out     []byte
		waiting []chan reply // one per request not yet seen by the reader, in order
		err     error        // why nothing can be sent any more
	}
}

var errMuxClosed = errors.New("target: connection closed")

func dialMux(ctx context.Context, address string, parse parser) (*mux, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	m := &mux{conn: conn, parse: parse, wake: make(chan struct{}, 1)}
	m.free.New = func() any { return make(chan reply, 1) }
	m.start()
	return m, nil
}

// do sends what add appends and waits for its reply. It does not end early: a
// reply that nobody awaits would have to be counted anyway.
func (m *mux) do(add func(out []byte) []byte) (reply, error) {
	answer := m.free.Get().(chan reply)
	m.mu.Lock()
	if err := m.mu.err; err != nil {
		m.mu.Unlock()
		return reply{}, err
	}
	m.mu.out = add(m.mu.out)
	m.mu.waiting = append(m.mu.waiting, answer)
	m.mu.Unlock()
	m.wakeWriter()
	r := <-answer
	m.free.Put(answer)
	return r, r.err
}

func (m *mux) wakeWriter() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// pending is how many bytes wait to be written.
func (m *mux) pending() (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.out), m.mu.err
}

// swapOut takes what waits and leaves an empty buffer.
func (m *mux) swapOut(empty []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	full := m.mu.out
	m.mu.out = empty[:0]
	return full
}

// swapWaiting takes the callers that wait and leaves an empty list.
func (m *mux) swapWaiting(empty []chan reply) []chan reply {
	m.mu.Lock()
	defer m.mu.Unlock()
	full := m.mu.waiting
	m.mu.waiting = empty[:0]
	return full
}

// fail ends the mux: everyone who waits gets the error, here and in rest.
func (m *mux) fail(err error, rest []chan reply) {
	m.mu.Lock()
	if m.mu.err == nil {
		m.mu.err = err
	}
	err = m.mu.err
	rest = append(rest, m.mu.waiting...)
	m.mu.waiting = nil
	m.mu.Unlock()
	for _, answer := range rest {
		answer <- reply{err: err}
	}
	m.wakeWriter()
}

// close ends both loops and waits for them.
func (m *mux) close() error {
	m.mu.Lock()
	if m.mu.err == nil {
		m.mu.err = errMuxClosed
	}
	m.mu.Unlock()
	err := m.conn.Close()
	m.wakeWriter()
	m.done.Wait()
	return err
}

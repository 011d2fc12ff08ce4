package verify

import (
	"context"
	"net"
	"sync"
)

// line is what lies between a client and the nodes. It is safe for concurrent use.
type line struct {
	dial  Dialer
	clock func() int64

	mu struct {
		sync.Mutex
		conns map[*lineConn]struct{}
		// open is closed while the line carries; another one while it is stalled.
		open  chan struct{}
		stall bool
		ended []int64 // when conns ended
	}
}

func newLine(dial Dialer, clock func() int64) *line {
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	l := &line{dial: dial, clock: clock}
	l.mu.conns = make(map[*lineConn]struct{})
	l.mu.open = make(chan struct{})
	close(l.mu.open)
	return l
}

// connect is the client's Dial. Nobody is reached while the line is stalled.
func (l *line) connect(ctx context.Context, address string) (net.Conn, error) {
	select {
	case <-l.opened():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	sock, err := l.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	k := &lineConn{Conn: sock, line: l, over: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.conns[k] = struct{}{}
	return k, nil
}

func (l *line) opened() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.open
}

// cut ends all conns and returns how many there were.
func (l *line) cut() int {
	l.mu.Lock()
	var all []*lineConn
	for k := range l.mu.conns {
		all = append(all, k)
	}
	l.mu.Unlock()
	for _, k := range all {
		_ = k.Close() // that is the fault
	}
	return len(all)
}

// pause stalls the line: nothing is lost, and nothing passes.
func (l *line) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.stall {
		l.mu.stall, l.mu.open = true, make(chan struct{})
	}
}

// resume lets pass what waits.
func (l *line) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stall {
		l.mu.stall = false
		close(l.mu.open)
	}
}

// endings returns when conns ended.
func (l *line) endings() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.ended[:len(l.mu.ended):len(l.mu.ended)]
}

// lineConn is a conn on a line.
type lineConn struct {
	net.Conn
	line *line
	once sync.Once
	over chan struct{} // closed by Close
}

// pass waits while the line is stalled.
func (k *lineConn) pass() error {
	select {
	case <-k.line.opened():
		return nil
	case <-k.over:
		return net.ErrClosed
	}
}

// Read implements net.Conn.
func (k *lineConn) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	if gone := k.pass(); gone != nil {
		return 0, gone
	}
	return n, err
}

// Write implements net.Conn.
func (k *lineConn) Write(b []byte) (int, error) {
	if err := k.pass(); err != nil {
		return 0, err
	}
	return k.Conn.Write(b)
}

// Close implements net.Conn.
func (k *lineConn) Close() error {
	k.once.Do(func() {
		close(k.over)
		k.line.mu.Lock()
		defer k.line.mu.Unlock()
		delete(k.line.mu.conns, k)
		k.line.mu.ended = append(k.line.mu.ended, k.line.clock())
	})
	return k.Conn.Close()
}

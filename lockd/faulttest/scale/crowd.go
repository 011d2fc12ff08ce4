package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"lockd/netio/wire"
)

// A Client has one session in each group, so a million sessions would be tens
// of thousands of processes. A crowd opens them over one conn a node instead,
// with frames of its own making, as a proxy for many clients would.
type crowd struct {
	lease   time.Duration
	conns   []*wireConn
	running sync.WaitGroup
	cancel  context.CancelFunc

	mu struct {
		sync.Mutex
		renewed, unknown int
		err              error
	}
}

// wireConn is one conn to one node and the sessions opened on it.
type wireConn struct {
	sock     net.Conn
	in       *bufio.Reader
	node     uint16
	leaders  []uint16
	sessions []wire.SessionRef
}

// openWindow is how many OpenSession frames are unanswered at a time.
const openWindow = 1000

// openCrowd opens n sessions, spread over all groups, and renews them.
func openCrowd(ctx context.Context, addresses []string, n int,
	lease time.Duration) (*crowd, error) {
	c := &crowd{lease: lease}
	for _, address := range addresses {
		w, err := greet(ctx, address)
		if err != nil {
			return nil, err
		}
		c.conns = append(c.conns, w)
	}
	groups := len(c.conns[0].leaders)
	err := each(len(c.conns), func(i int) error {
		w := c.conns[i]
		var asked []uint16
		for s := range n {
			if g := uint16(s % groups); w.leaders[g] == w.node {
				asked = append(asked, g)
			}
		}
		return w.open(asked, lease)
	})
	if err != nil {
		c.close()
		return nil, err
	}
	renewing, cancel := context.WithCancel(ctx)
	c.cancel = cancel
	for _, w := range c.conns {
		c.start(renewing, w)
	}
	return c, nil
}

// greet dials a node and says hello.
func greet(ctx context.Context, address string) (*wireConn, error) {
	var dialer net.Dialer
	sock, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	w := &wireConn{sock: sock, in: bufio.NewReaderSize(sock, 256<<10)}
	_, err = sock.Write(wire.AppendHello(nil, wire.Header{}, &wire.Hello{
		Version: wire.Version, MinVersion: wire.MinVersion, Name: []byte("crowd"),
	}))
	if err != nil {
		return nil, err
	}
	h, body, err := w.frame()
	if err != nil {
		return nil, err
	}
	if h.Kind != wire.KindWelcome {
		return nil, fmt.Errorf("%s answers with %s", address, h.Kind)
	}
	welcome, err := wire.DecodeWelcome(body)
	if err != nil {
		return nil, err
	}
	w.node, w.leaders = welcome.Node, slices.Clone(welcome.Leaders)
	return w, nil
}

// frame reads one frame.
func (w *wireConn) frame() (wire.Header, []byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return wire.Header{}, nil, err
	}
	size, err := wire.FrameBytes(head[:], wire.MaxFrameBytes)
	if err != nil {
		return wire.Header{}, nil, err
	}
	frame := make([]byte, size)
	copy(frame, head[:])
	if _, err := io.ReadFull(w.in, frame[4:]); err != nil {
		return wire.Header{}, nil, err
	}
	return wire.Parse(frame)
}

// open opens one session in each of these groups, which the node leads.
func (w *wireConn) open(groups []uint16, lease time.Duration) error {
	var out []byte
	next := 0
	ask := func(i int) {
		x := wire.OpenSession{Epoch: 1, LeaseMillis: uint32(lease / time.Millisecond)}
		binary.LittleEndian.PutUint64(x.Nonce[:], uint64(i)+1)
		binary.LittleEndian.PutUint16(x.Nonce[8:], w.node)
		x.Nonce[15] = 'c'
		out = wire.AppendOpenSession(out, wire.Header{Group: groups[i], Request: uint64(i) + 1}, &x)
	}
	for answered := 0; answered < len(groups); {
		for next < len(groups) && next-answered < openWindow {
			ask(next)
			next++
		}
		if _, err := w.sock.Write(out); err != nil {
			return err
		}
		out = out[:0]
		for more := true; more; more = w.in.Buffered() > 0 {
			h, body, err := w.frame()
			if err != nil {
				return err
			}
			x, err := wire.DecodeResponse(body)
			switch {
			case err != nil:
				return err
			case x.Status == wire.StatusBusy:
				ask(int(h.Request) - 1)
			case x.Status != wire.StatusOK:
				return fmt.Errorf("session %d in group %d: %s", h.Request, h.Group, x.Status)
			default:
				w.sessions = append(w.sessions, wire.SessionRef{Group: h.Group, Session: x.Token})
				answered++
			}
		}
	}
	return nil
}

// renew sends keepalives of all sessions of a conn, three in a lease, until ctx
// ends.
func (c *crowd) renew(ctx context.Context, w *wireConn) {
	beat := time.NewTicker(c.lease / 3)
	defer beat.Stop()
	for {
		renewed, unknown, err := w.renewAll()
		c.mu.Lock()
		c.mu.renewed += renewed
		c.mu.unknown += unknown
		if c.mu.err == nil {
			c.mu.err = err
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		if err != nil {
			return
		}
	}
}

// renewAll sends one keepalive for every thousand sessions, a few at a time,
// and waits for the answers.
func (w *wireConn) renewAll() (renewed, unknown int, err error) {
	const perFrame, perRound = wire.MaxGroups, 16 * wire.MaxGroups
	for part := range slices.Chunk(w.sessions, perRound) {
		var out []byte
		for frame := range slices.Chunk(part, perFrame) {
			out = wire.AppendKeepalive(out, wire.Header{Request: 1}, frame)
		}
		if _, err := w.sock.Write(out); err != nil {
			return renewed, unknown, err
		}
		for left := len(part); left > 0; {
			h, body, err := w.frame()
			if err != nil {
				return renewed, unknown, err
			}
			if h.Kind != wire.KindKeepaliveAck {
				return renewed, unknown, fmt.Errorf("a keepalive was answered by %s", h.Kind)
			}
			ack, err := wire.DecodeKeepaliveAck(body)
			if err != nil {
				return renewed, unknown, err
			}
			left -= ack.Len()
			for i := range ack.Len() {
				if ack.At(i).Code == wire.CodeRenewed {
					renewed++
				} else {
					unknown++
				}
			}
		}
	}
	return renewed, unknown, nil
}

// counts returns how many renewals were answered, and how many of them not with
// a renewed lease.
func (c *crowd) counts() (renewed, unknown int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.renewed, c.mu.unknown, c.mu.err
}

// stopRenewing lets all sessions run out.
func (c *crowd) stopRenewing() {
	c.cancel()
	c.running.Wait()
}

func (c *crowd) close() {
	if c.cancel != nil {
		c.stopRenewing()
	}
	for _, w := range c.conns {
		_ = w.sock.Close()
	}
}

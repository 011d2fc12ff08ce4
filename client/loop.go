package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"time"
)

const (
	// readBytes is the buffer of a conn: everything a read yields is one batch.
	readBytes = 256 << 10
	// eagerBytes is the batch above which the writer does not yield to let more
	// requests join it.
	eagerBytes = 4 << 10
)

// start begins the main loop. It is called by Dial; it and all it starts end
// with stop.
func (c *Client) start() {
	c.stopped.Add(1)
	go c.run()
}

// run is the main loop: it ticks the Core when that wants it, begins and ends
// conns, and tells callers what came of their calls. It is woken by kick and by
// its timer; a round is bounded by the number of open calls.
func (c *Client) run() {
	defer c.stopped.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var ready Ready
	for {
		now := c.clock()
		c.mu.Lock()
		if c.mu.core.Next() <= now {
			c.mu.core.Tick(now)
		}
		if c.mu.resuming {
			c.change()
		}
		c.take(&ready)
		next := c.mu.core.Next()
		c.mu.wakeAt = next
		c.mu.Unlock()
		c.deliver(&ready)
		if c.fileStale() {
			nudge(c.fileDue)
		}
		if next > now {
			timer.Reset(min(next.Sub(now), c.opts.Lease/20))
		} else {
			timer.Reset(0)
		}
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.quit:
			c.drain(&ready)
			return
		}
	}
}

// startFiling begins the loop that writes the session file when its sessions change: on a
// goroutine of its own, so that a disk that hangs holds up neither keepalives nor the word
// that a hold is lost. It is called by Dial, which has written the file; the main loop
// wakes it, a round writes the file once, and quit ends it, after a write that is under way.
func (c *Client) startFiling() {
	if c.opts.SessionFile == "" {
		return
	}
	c.filed.Add(1)
	go func() {
		defer c.filed.Done()
		for {
			select {
			case <-c.fileDue:
			case <-c.quit:
				return
			}
			if err := c.keepSessions(); err != nil {
				c.opts.Logger.Warn("sessions are not kept", "cause", err)
			}
		}
	}()
}

// onFile does something with the session file on a goroutine of its own, and waits for it
// no longer than Dial may take: the disk may hang. What goes on then ends when the disk
// answers; filed counts it.
func (c *Client) onFile(ctx context.Context, do func() error) error {
	if ctx.Err() != nil { // nothing is begun, and the file not locked for a moment
		return fmt.Errorf("client: session file %s: %w", c.opts.SessionFile, ended(ctx))
	}
	ctx, cancel := c.dialing(ctx)
	defer cancel()
	done := make(chan error, 1)
	c.filed.Add(1)
	go func() {
		defer c.filed.Done()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %s: %w: %w", ErrSessionFile, c.opts.SessionFile, errFileSilent,
			ended(ctx))
	}
}

// filePatience is how long Close waits for the disk of the session file.
const filePatience = time.Second

// endFiling lets go of the session file, and removes path if that is not empty, once
// nothing reads or writes it any more: else that would stand in the way of the next client.
// If the disk hangs, that happens when it answers; it is not waited for again if err says
// so already. Requires: quit is closed, or no loop was started.
func (c *Client) endFiling(path string, err error) {
	if c.opts.SessionFile == "" {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.filed.Wait()
		c.closeSessionFile(path)
	}()
	if errors.Is(err, errFileSilent) {
		return
	}
	timer := time.NewTimer(filePatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		c.opts.Logger.Warn("session file stays: its disk does not answer", "path",
			c.opts.SessionFile)
	}
}

// drain ends what is still open after the last tick. Whoever starts a call from now on
// finds it ended.
func (c *Client) drain(ready *Ready) {
	c.mu.Lock()
	c.mu.core.Close()
	c.take(ready)
	c.mu.drained = true
	c.mu.Unlock()
	c.deliver(ready)
}

// take empties the Core's Ready, carries out what concerns conns and leaves the
// rest in r. Requires: c.mu is held.
func (c *Client) take(r *Ready) {
	c.mu.core.Take(r)
	for _, d := range r.Dials {
		if !c.mu.stopped {
			c.open(d)
		}
	}
	for _, id := range r.Closes {
		if conn := c.mu.conns[id]; conn != nil {
			conn.close()
			delete(c.mu.conns, id)
		}
	}
	for _, id := range r.Writes {
		if conn := c.mu.conns[id]; conn != nil {
			conn.wakeWriter()
		}
	}
	if len(r.Dials)+len(r.Closes) > 0 || c.mu.core.closed {
		c.change()
	}
}

// change tells those in until to look again. Requires: c.mu is held.
func (c *Client) change() {
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}

// conn is one conn to a node: a reader loop and a writer loop.
type conn struct {
	id     ConnID
	ctx    context.Context // ends with the conn
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: there is output
}

func (k *conn) close() { k.cancel() }

func (k *conn) wakeWriter() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// open begins a conn. Requires: c.mu is held.
func (c *Client) open(d NewConn) {
	ctx, cancel := context.WithCancel(context.Background())
	k := &conn{id: d.Conn, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1)}
	c.mu.conns[d.Conn] = k
	c.stopped.Add(1)
	go c.serve(k, d.Address)
}

// serve dials, starts the writer and reads until the conn ends. One goroutine
// per conn; close ends it, at once and whatever it waits for.
func (c *Client) serve(k *conn, address string) {
	defer c.stopped.Done()
	defer k.cancel()
	sock, err := c.opts.Dial(k.ctx, address)
	if err == nil {
		unhook := context.AfterFunc(k.ctx, func() { sock.Close() })
		defer unhook()
		defer sock.Close()
		c.mu.Lock()
		c.mu.core.Connected(c.clock(), k.id)
		c.kick()
		c.mu.Unlock()
		c.stopped.Add(1)
		go c.write(k, sock)
		err = c.read(k, sock)
	}
	ours := k.ctx.Err() != nil
	if !ours {
		c.opts.Logger.Info("conn ended", "address", address, "cause", err)
	}
	c.mu.Lock()
	c.mu.core.Disconnected(c.clock(), k.id, err)
	delete(c.mu.conns, k.id)
	c.change()
	c.kick()
	c.mu.Unlock()
}

// write is the writer loop: it takes all output that waits and writes it at
// once. If that is little it yields first, so that callers who are about to run
// add theirs. It is started by serve, woken by kick and ended by the conn.
func (c *Client) write(k *conn, sock net.Conn) {
	defer c.stopped.Done()
	var buffer []byte
	for {
		select {
		case <-k.wake:
		case <-k.ctx.Done():
			return
		}
		c.mu.Lock()
		small := c.mu.core.pending(k.id) < eagerBytes
		c.mu.Unlock()
		if small {
			runtime.Gosched()
		}
		c.mu.Lock()
		buffer = c.mu.core.Output(k.id, buffer)
		c.mu.Unlock()
		if len(buffer) == 0 {
			continue
		}
		if _, err := sock.Write(buffer); err != nil {
			sock.Close() // the reader reports it
			return
		}
	}
}

// read is the reader loop: it hands everything that came to the Core, then
// wakes everybody whose call has ended.
func (c *Client) read(k *conn, sock net.Conn) error {
	buffer := make([]byte, readBytes)
	have := 0
	var ready Ready
	for {
		n, err := sock.Read(buffer[have:])
		if n == 0 && err == nil {
			err = errors.New("empty read")
		}
		if err != nil {
			return err
		}
		have += n
		now := c.clock()
		c.mu.Lock()
		up := c.mu.core.Groups() > 0
		used, err := c.mu.core.Receive(now, k.id, buffer[:have])
		c.take(&ready)
		if !up || c.mu.resuming {
			c.change()
		}
		if c.mu.core.Next() < c.mu.wakeAt {
			select {
			case c.wake <- struct{}{}:
			default:
			}
		}
		c.mu.Unlock()
		if err != nil {
			c.opts.Logger.Warn("conn closed", "cause", err)
		}
		c.deliver(&ready)
		have = copy(buffer, buffer[used:have])
	}
}

// awaitExit waits for a signal, closes the client and sends the signal on. Started
// by ReleaseOnExit; one signal, Close or the end of over ends it. A signal that has come
// by then is sent on too, for nobody else has heard of it.
func (c *Client) awaitExit(told chan os.Signal, over <-chan struct{}) {
	go func() {
		var s os.Signal
		select {
		case <-over:
		case <-c.quit:
		case s = <-told:
			_ = c.Close(context.Background()) // bounded by RequestTimeout
		}
		signal.Stop(told) // none comes after
		select {
		case first := <-told:
			s = cmp.Or(s, first)
		default:
		}
		if s == nil {
			return
		}
		if p, err := os.FindProcess(os.Getpid()); err == nil {
			_ = p.Signal(s)
		}
	}()
}

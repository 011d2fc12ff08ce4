package client

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"lockd/netio/wire"
)

// Client talks to a cluster. Its methods may be called by any number of goroutines,
// which share one conn per node. Close ends it; until then it renews what it holds.
type Client struct {
	opts  Options
	clock func() Instant

	wake    chan struct{} // capacity 1: the main loop has something to do
	fileDue chan struct{} // capacity 1: the session file is to be written
	quit    chan struct{} // closed by the end of Close
	stopped sync.WaitGroup
	filed   sync.WaitGroup // whatever reads or writes the session file
	chans   sync.Pool      // of chan struct{}, capacity 1, empty

	starts uint32 // of Options.SessionFile

	mu struct {
		sync.Mutex
		core    *Core
		conns   map[ConnID]*conn
		wakeAt  Instant // when the main loop will look by itself
		changed chan struct{}
		stopped bool  // the loops end, and nothing is dialed any more
		why     error // what Close returns once it is stopped, nil if the nodes have confirmed
		// drained says that no loop is left to deliver: what is started now has ended by
		// itself, and whoever has started it knows. What had ended before was delivered.
		drained bool
		// fileLock is of Options.SessionFile, nil if there is none or Close has it.
		fileLock io.Closer
		resumed  []*Held
		// resuming has until look again when bytes came.
		resuming bool
		// What the session file was last written for.
		fileWritten bool
		fileChange  uint64
		readFile    func(path string) (*sessionFile, error) // tests have others
		replaceFile func(path string, content []byte) error
	}
}

// must panics if there is no Client: a Semaphore, Latch or the like is a zero value.
func (c *Client) must() {
	if c == nil {
		panic(noClient)
	}
}

const noClient = "client: use of what no Client has made, such as a zero Semaphore or Latch"

// Dial connects to a cluster by some of its addresses (host:port); one that
// answers is enough, the others are learned from it. Ctx bounds only this call;
// without a deadline it ends when every address had DialTimeout to answer. The
// error matches ErrUnavailable and says what went wrong at each address, or
// ErrOptions, or ErrSessionFile: also if the disk of that file does not answer, for which
// it waits no longer.
func Dial(ctx context.Context, addresses []string, opts Options) (*Client, error) {
	return dialWith(ctx, addresses, opts, newClock())
}

// dialWith is Dial with another clock.
func dialWith(ctx context.Context, addresses []string, opts Options,
	clock func() Instant) (*Client, error) {
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: no addresses", ErrOptions)
	}
	opts, bad := opts.withDefaults()
	var bound *BoundError
	if errors.As(bad, &bound) {
		// The nodes know better what is taken; if none says, it is this. Nothing is
		// asked of them with such a lease.
		opts.SessionFile = ""
	} else if bad != nil {
		return nil, bad
	}
	c, err := dialChecked(ctx, addresses, opts, clock)
	if bound != nil && !errors.As(err, &bound) {
		err = bound
	}
	return c, sayHeartbeat(err, &opts)
}

// dialChecked is dialWith with options that were judged.
func dialChecked(ctx context.Context, addresses []string, opts Options,
	clock func() Instant) (*Client, error) {
	c, cfg, err := newClient(addresses, opts, clock)
	if err == nil {
		err = c.connect(ctx, cfg)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// newClient returns a client that has done nothing yet, and what its Core is to go by.
func newClient(addresses []string, opts Options, clock func() Instant) (*Client, CoreConfig,
	error) {
	cfg := CoreConfig{
		Name: opts.Name, Endpoints: addresses, Lease: opts.Lease, Drift: opts.Drift,
		Margin: opts.Margin, MaxInFlight: opts.MaxInFlight, DialTimeout: opts.DialTimeout,
		Beat: opts.Heartbeat, Grace: opts.ReleaseOnDisconnect,
	}
	var seed [8]byte
	if _, err := crand.Read(cfg.Nonce[:]); err != nil {
		return nil, cfg, fmt.Errorf("client: no random numbers: %w", err)
	}
	if _, err := crand.Read(seed[:]); err != nil {
		return nil, cfg, fmt.Errorf("client: no random numbers: %w", err)
	}
	cfg.Seed = binary.LittleEndian.Uint64(seed[:])
	c := &Client{
		opts: opts, clock: clock,
		wake: make(chan struct{}, 1), fileDue: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	c.chans.New = func() any { return make(chan struct{}, 1) }
	c.mu.readFile, c.mu.replaceFile = readSessionFile, replaceFile
	return c, cfg, nil
}

// connect makes a client of what newClient has returned, or leaves nothing of it, but for
// what waits for the disk of the session file.
func (c *Client) connect(ctx context.Context, cfg CoreConfig) error {
	old, err := c.openSessionFile(ctx)
	if err != nil {
		c.endFiling("", err)
		return err
	}
	if c.opts.SessionFile != "" {
		c.starts = 1
		if old != nil {
			c.starts = old.Starts + 1
		}
		cfg.FirstRequest = uint64(c.starts) * requestSpan
	}
	if old != nil {
		copy(cfg.Nonce[:8], old.Nonce[:8]) // who it is to others
	}
	now := c.clock()
	c.mu.core = NewCore(cfg, now)
	c.mu.conns = make(map[ConnID]*conn)
	c.mu.changed = make(chan struct{})
	c.mu.core.Reach(now)
	c.start()
	err = c.welcomed(ctx)
	if err == nil && old != nil {
		bounded, cancel := context.WithTimeout(ctx, c.opts.RequestTimeout)
		err = c.resume(bounded, old)
		cancel()
	}
	if err == nil && c.opts.SessionFile != "" {
		err = c.onFile(ctx, c.keepSessions)
	}
	if err != nil {
		_ = c.stop(err)
		c.endFiling("", err)
		return err
	}
	c.startFiling()
	return nil
}

// dialing returns ctx, with the deadline that Dial has if ctx has none.
func (c *Client) dialing(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	now := c.clock()
	until := now.Add(c.opts.DialTimeout).Add(c.opts.DialTimeout / 4)
	return context.WithTimeout(ctx, until.Sub(now))
}

// welcomed waits for the first Welcome, or until all nodes refuse the lease.
func (c *Client) welcomed(ctx context.Context) error {
	ctx, cancel := c.dialing(ctx)
	defer cancel()
	var bounds error
	err := c.until(ctx, func(core *Core) bool {
		bounds = core.refusedLease()
		return core.Groups() > 0 || bounds != nil
	})
	return cmp.Or(err, bounds)
}

// until waits for a condition of the Core. The error is ErrUnavailable.
func (c *Client) until(ctx context.Context, done func(*Core) bool) error {
	for {
		c.mu.Lock()
		ok, trouble, changed := done(c.mu.core), c.mu.core.trouble(), c.mu.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, ended(ctx), trouble)
		}
	}
}

// Close releases all the client holds by closing its sessions, ends every call
// with ErrClosed, and returns when the nodes have confirmed that, or with
// ErrUnavailable when ctx or RequestTimeout ends it: the nodes then free
// everything when the leases run out. As with Held.Unlock, a context that has ended
// already does not prevent it: then only RequestTimeout bounds the call. Detached
// holds stay with the nodes, but this client counts them as lost. A second Close
// returns what came of the first, for which it waits if need be: whichever of them gives
// up first ends that for both. A disk that hangs under SessionFile holds Close up for a
// second; the file then stays, and its lock until the disk answers or the process ends.
func (c *Client) Close(ctx context.Context) error {
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.RequestTimeout)
	defer cancel()
	c.mu.Lock()
	c.mu.core.Close()
	c.kick()
	c.mu.Unlock()
	err := c.until(ctx, func(core *Core) bool { return core.Closing() == 0 || c.mu.stopped })
	err = c.stop(err)
	c.endFiling(c.opts.SessionFile, nil)
	return err
}

// stop ends all goroutines of the client, but for a write of the session file that is
// under way. Any call still open ends. It returns the why of whoever was the first to
// stop it.
func (c *Client) stop(why error) error {
	c.mu.Lock()
	if !c.mu.stopped {
		c.mu.stopped, c.mu.why = true, why
		close(c.quit)
		c.change() // another Close may wait for what will not come
		for _, conn := range c.mu.conns {
			conn.close()
		}
	}
	why = c.mu.why
	c.mu.Unlock()
	c.stopped.Wait()
	return why
}

// kick makes sure that what the Core has ready is carried out. Requires: c.mu
// is held. Conns with output are told here; the rest is for the main loop.
func (c *Client) kick() {
	core := c.mu.core
	for _, id := range core.ready.Writes {
		if conn := c.mu.conns[id]; conn != nil {
			conn.wakeWriter()
		}
	}
	core.ready.Writes = core.ready.Writes[:0]
	if core.ready.busy() || core.next < c.mu.wakeAt {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// busy reports whether there is anything but writes.
func (r *Ready) busy() bool {
	return len(r.Dials)+len(r.Closes)+len(r.Done)+len(r.Lost)+len(r.Told) > 0
}

// call runs one Call to its end. When ctx ends first, the Call ends with the
// cause of ctx, and what it may have done is undone in the background.
func (c *Client) call(ctx context.Context, x *Call) error {
	c.begin(x)
	c.wait(ctx, x)
	return x.Err
}

// begin starts a Call that somebody will wait for.
func (c *Client) begin(x *Call) {
	x.wake = c.chans.Get().(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.core.Start(x)
	if c.mu.drained {
		c.mu.core.ready.Done = c.mu.core.ready.Done[:0]
		x.wake <- struct{}{}
		return
	}
	c.kick()
}

// wait waits for a started Call and takes its channel back.
func (c *Client) wait(ctx context.Context, x *Call) {
	done := ctx.Done()
	if done == nil {
		<-x.wake
		c.chans.Put(x.wake)
		x.wake = nil
		return
	}
	select {
	case <-x.wake:
	case <-done:
		c.mu.Lock()
		c.mu.core.Abandon(x, c.mu.core.gaveUp(c.clock(), x, ended(ctx)))
		c.kick()
		c.mu.Unlock()
		<-x.wake
	}
	c.chans.Put(x.wake)
	x.wake = nil
}

// deliver carries out what a Core had ready, outside the lock.
func (c *Client) deliver(r *Ready) {
	for _, l := range r.Lost {
		l.Call.held.lose(l.Use, l.Err)
	}
	for _, told := range r.Told {
		nudge(told)
	}
	for _, x := range r.Done {
		switch {
		case x.wake != nil:
			x.wake <- struct{}{}
		case x.Kind == wire.KindWatch:
			nudge(x.told)
		default:
			x.held.complete()
		}
	}
}

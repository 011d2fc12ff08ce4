package client

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"lockd/netio/wire"
)

// maxDrift bounds Options.Drift.
const maxDrift = 0.25

// Options configure a Client. The zero value of each field is its default.
type Options struct {
	// Name is what others see as the holder, at most 128 bytes. Default: none;
	// give one, it is what people look for when a lock is in their way.
	Name string
	// Lease is how long the nodes keep what this client holds without hearing
	// from it. Shorter frees the locks of a dead client sooner, and loses those
	// of a live one sooner when the network is cut. Default 10 s; 1 s to 1 h, and within
	// the cluster's lease_min and lease_max, which are the same unless it was told
	// otherwise: else Dial fails with a *BoundError that says what is taken.
	Lease time.Duration
	// Heartbeat and Misses say the lease in other words: the client is heard from every
	// Heartbeat, and what it holds is free when so many heartbeats in a row were
	// missed, and not when one less was. Lease must then not be set: it becomes
	// Heartbeat × (Misses + 1/2) and what Drift and Margin take of it. Heartbeat is
	// 500 ms to 1 h; Misses is 1 to 10, default 3. A heartbeat that is late by half
	// of one counts as missed. Default: a third of Lease, which may miss two.
	Heartbeat time.Duration
	Misses    int
	// ReleaseOnDisconnect has the nodes let go of all that this client holds when its
	// conn has ended, as that of a process that dies does at once, and no other has
	// come for so long: then others wait no longer than that. The price: a network
	// that resets or closes conns, and does not let others be made for so long, takes
	// the locks of a client that lives. The client renews three times in that time,
	// and counts on it instead of on the lease: SafeUntil is nearer, and it knows
	// first here, too. A conn that falls silent has not ended, and a change of the
	// leader lets nothing go: then the lease counts. All nodes must know this, else
	// locks fail with ErrUnsupported. 500 ms to Lease. Default 0, not at all.
	ReleaseOnDisconnect time.Duration
	// RequestTimeout bounds every call that does not wait for its turn: try,
	// unlock, get, and so on. Default 5 s.
	RequestTimeout time.Duration
	// DialTimeout bounds one attempt to reach one node, greeting included.
	// Default 2 s.
	DialTimeout time.Duration
	// MaxInFlight bounds the requests that wait for an answer, waiting locks
	// included; one more is refused as ErrBusy, unless it gives a lock back. What
	// asks all groups or nodes at once, as List, Status and the Watch of a prefix do,
	// counts once for each. Default 16384.
	MaxInFlight int
	// Drift is how much faster or slower than true time, as a fraction, a clock
	// may run: ours and that of each node. Default 0.01; at most 0.25. A hold is
	// believed in for Lease * (1 - 2*Drift) - Margin after a renewal was sent,
	// since ours may be slow while theirs is fast. That must be more than
	// Lease / 3, the time between renewals.
	Drift float64
	// Margin is taken off the lease besides: time to stop what a lost lock
	// guarded. Default Lease / 50; at most Lease / 2.
	Margin time.Duration
	// Logger gets one line per event of a conn or a session, none per lock.
	// Default: none.
	Logger *slog.Logger
	// SessionFile keeps what a client needs that is started again to go on with the
	// locks of the one before: Resumed returns them, if their lease has not run
	// out. The file is a secret, written with mode 0600 in one step; beside it stands
	// FILE.lock, which a running client has locked, so that a second one with the
	// same file is refused (ErrSessionFile). Close ends the sessions and removes the
	// file. All starts must have the same Lease. Default: none.
	SessionFile string
	// Dial makes a conn to a node's address (host:port) before ctx ends: for
	// tunnels, proxies and tests. Closing the conn must end its Read and Write.
	// Default: a net.Dialer for TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// withDefaults returns o with every default filled in, or ErrOptions.
func (o Options) withDefaults() (Options, error) {
	if o.Drift == 0 {
		o.Drift = 0.01
	}
	if err := o.setHeartbeat(); err != nil {
		return o, err
	}
	setDuration(&o.Lease, 10*time.Second)
	setDuration(&o.RequestTimeout, 5*time.Second)
	setDuration(&o.DialTimeout, 2*time.Second)
	setDuration(&o.Margin, o.Lease/50)
	if o.MaxInFlight == 0 {
		o.MaxInFlight = wire.DefaultInFlight
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	switch {
	case len(o.Name) > wire.MaxClientNameBytes:
		return o, fmt.Errorf("%w: Name of %d bytes, limit %d",
			ErrOptions, len(o.Name), wire.MaxClientNameBytes)
	case leaseOutOfBounds(o.Lease, nil) != nil:
		return o, leaseOutOfBounds(o.Lease, nil)
	case o.RequestTimeout < 0 || o.DialTimeout < 0:
		return o, fmt.Errorf("%w: negative timeout", ErrOptions)
	case o.MaxInFlight < 1 || o.MaxInFlight > 1<<20:
		return o, fmt.Errorf("%w: MaxInFlight %d, must be 1 to %d", ErrOptions, o.MaxInFlight, 1<<20)
	case !(o.Drift >= 0 && o.Drift <= maxDrift): // so that NaN is refused
		return o, fmt.Errorf("%w: Drift %v, must be 0 to %v", ErrOptions, o.Drift, maxDrift)
	case o.Margin < 0 || o.Margin > o.Lease/2:
		return o, fmt.Errorf("%w: Margin %s, must be 0 to Lease/2", ErrOptions, o.Margin)
	}
	if err := o.checkGrace(); err != nil {
		return o, err
	}
	if left := lessDrift(o.Lease, o.Drift) - o.Margin; o.Heartbeat == 0 && left <= o.Lease/3 {
		return o, fmt.Errorf("%w: Lease %s less twice the Drift of %v and a Margin of %s leaves %s, "+
			"must be more than Lease/3", ErrOptions, o.Lease, o.Drift, o.Margin, left)
	}
	return o, nil
}

// Bounds of what says the lease in other words.
const (
	leastBeat  = 500 * time.Millisecond
	mostMisses = 10
	// defaultMisses is what a third of the lease amounts to.
	defaultMisses = 3
)

// setHeartbeat makes a lease of a heartbeat: one that the client believes in until
// half a heartbeat after the one that may be missed last.
func (o *Options) setHeartbeat() error {
	switch {
	case o.Heartbeat == 0 && o.Misses == 0:
		return nil
	case o.Heartbeat < leastBeat:
		return fmt.Errorf("%w: Heartbeat %s, must be at least %s", ErrOptions, o.Heartbeat, leastBeat)
	case o.Heartbeat > mostLease: // whose multiples need not be lengths
		return fmt.Errorf("%w: Heartbeat %s, must be at most %s", ErrOptions, o.Heartbeat, mostLease)
	case o.Lease != 0:
		return fmt.Errorf("%w: Heartbeat %s says the lease, so Lease %s must not", ErrOptions,
			o.Heartbeat, o.Lease)
	case o.Misses < 0 || o.Misses > mostMisses:
		return fmt.Errorf("%w: Misses %d, must be 1 to %d", ErrOptions, o.Misses, mostMisses)
	case o.Misses == 0:
		o.Misses = defaultMisses
	}
	if !(o.Drift >= 0 && o.Drift <= maxDrift) || o.Margin < 0 {
		return nil // refused below
	}
	span := time.Duration(o.Misses)*o.Heartbeat + o.Heartbeat/2
	share := 1 - 2*o.Drift
	if o.Margin == 0 {
		share -= 1.0 / 50
	}
	lease := time.Duration(float64(span+o.Margin) / share)
	o.Lease = (lease + time.Millisecond - 1).Truncate(time.Millisecond)
	if most := time.Duration(o.Misses+1) * o.Heartbeat; o.Lease >= most {
		return fmt.Errorf("%w: %d Misses of a Heartbeat of %s need a lease of %s with a Drift of %v "+
			"and the Margin, must be below %s", ErrOptions, o.Misses, o.Heartbeat, o.Lease, o.Drift, most)
	}
	return nil
}

// checkGrace judges ReleaseOnDisconnect.
func (o *Options) checkGrace() error {
	d := o.ReleaseOnDisconnect
	if d == 0 {
		return nil
	}
	if d < leastBeat || d > o.Lease {
		return fmt.Errorf("%w: ReleaseOnDisconnect %s, must be %s to the lease of %s", ErrOptions, d,
			leastBeat, o.Lease)
	}
	left := lessDrift(d, o.Drift) - min(o.Margin, d/10)
	if left <= d/3 {
		return fmt.Errorf("%w: ReleaseOnDisconnect %s less twice the Drift of %v leaves %s, must be "+
			"more than a third", ErrOptions, d, o.Drift, left)
	}
	return nil
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}

func setDuration(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

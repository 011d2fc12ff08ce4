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
	// of a live one sooner when the network is cut. Default 10 s; 1 s to 1 h.
	Lease time.Duration
	// RequestTimeout bounds every call that does not wait for its turn: try,
	// unlock, get, and so on. Default 5 s.
	RequestTimeout time.Duration
	// DialTimeout bounds one attempt to reach one node, greeting included.
	// Default 2 s.
	DialTimeout time.Duration
	// MaxInFlight bounds the requests that wait for an answer, waiting locks
	// included; one more is refused as ErrBusy, unless it gives a lock back.
	// Default 16384.
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
	setDuration(&o.Lease, 10*time.Second)
	setDuration(&o.RequestTimeout, 5*time.Second)
	setDuration(&o.DialTimeout, 2*time.Second)
	setDuration(&o.Margin, o.Lease/50)
	if o.MaxInFlight == 0 {
		o.MaxInFlight = wire.DefaultInFlight
	}
	if o.Drift == 0 {
		o.Drift = 0.01
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	const least, most = wire.MinLeaseMillis * time.Millisecond, wire.MaxLeaseMillis * time.Millisecond
	switch {
	case len(o.Name) > wire.MaxClientNameBytes:
		return o, fmt.Errorf("%w: Name of %d bytes, limit %d",
			ErrOptions, len(o.Name), wire.MaxClientNameBytes)
	case o.Lease < least || o.Lease > most:
		return o, fmt.Errorf("%w: Lease %s, must be %s to %s", ErrOptions, o.Lease, least, most)
	case o.RequestTimeout < 0 || o.DialTimeout < 0:
		return o, fmt.Errorf("%w: negative timeout", ErrOptions)
	case o.MaxInFlight < 1 || o.MaxInFlight > 1<<20:
		return o, fmt.Errorf("%w: MaxInFlight %d, must be 1 to %d", ErrOptions, o.MaxInFlight, 1<<20)
	case !(o.Drift >= 0 && o.Drift <= maxDrift): // so that NaN is refused
		return o, fmt.Errorf("%w: Drift %v, must be 0 to %v", ErrOptions, o.Drift, maxDrift)
	case o.Margin < 0 || o.Margin > o.Lease/2:
		return o, fmt.Errorf("%w: Margin %s, must be 0 to Lease/2", ErrOptions, o.Margin)
	}
	if left := lessDrift(o.Lease, o.Drift) - o.Margin; left <= o.Lease/3 {
		return o, fmt.Errorf("%w: Lease %s less twice the Drift of %v and a Margin of %s leaves %s, "+
			"must be more than Lease/3", ErrOptions, o.Lease, o.Drift, o.Margin, left)
	}
	return o, nil
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

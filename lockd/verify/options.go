package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// Errors of Run. An error of the client is returned as it is.
var (
	// ErrOptions: what was asked for makes no sense, or would be too much.
	ErrOptions = errors.New("verify: bad options")
	// ErrUnhealthy: some node does not answer, or some group has no leader, before
	// any fault was injected.
	ErrUnhealthy = errors.New("verify: the cluster is not well")
	// ErrPrefixInUse: there are locks below the prefix already.
	ErrPrefixInUse = errors.New("verify: prefix is in use")
)

// Bounds of a run.
const (
	MaxWorkers    = 64
	MaxLocks      = 10_000
	MaxOperations = 4_000_000 // about 1 GB of memory
	MaxRate       = 100_000
)

// The faults that a run can do to its own clients.
const (
	KindConns = "conns"        // all conns are cut
	KindPause = "pause-client" // one client neither hears nor says anything until its lease is over
	KindForce = "force"        // some of the holds of all clients are ended by force
)

// Fault is a fault that needs more than a client. A run calls its methods one after
// the other.
type Fault interface {
	// Begin injects it and says what was done to whom. It counts as injected even
	// if it returns an error.
	Begin(ctx context.Context) (what string, err error)
	// Heal ends it. It may be called more than once.
	Heal(ctx context.Context) error
}

// Dialer makes a conn to the address of a node.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// Options say what a run does. Fields without a default are required.
type Options struct {
	// Addresses are those of nodes, for clients; one that answers is enough.
	Addresses []string
	// Name is what others see as the holder.
	Name string
	// Prefix is that of all names; Run adds a random part.
	Prefix string
	// For is how long there is load. Faults end before.
	For time.Duration
	// Workers are callers, each of which does one thing at a time, shared evenly by
	// Clients. Locks are the names they use, Rate the most operations a second.
	Workers, Clients, Locks, Rate int
	// Lease is that of all clients, if the cluster takes it; else the least that it
	// does. Timeout bounds a call that does not wait for its turn.
	Lease, Timeout time.Duration
	// Faults are the kinds that are injected, in turn and again from the first:
	// KindConns, KindPause, KindForce and those of Outside. None is no faults.
	Faults  []string
	Outside map[string]Fault
	// Length is how long a fault lasts that does not last by itself, Rest how long
	// nothing is done between two.
	Length, Rest time.Duration
	// Clock is monotonic, in nanoseconds, and goes on while the machine is suspended.
	Clock func() int64
	// Seed draws what workers do.
	Seed uint64
	// Home says whether every group is led by the node that is to lead it: a fault of a
	// node that leads nothing shows little. It is waited for, though not for ever, before
	// each fault. Default nil: nobody can tell.
	Home func(ctx context.Context) bool
	// Dial is how client number i dials. Default nil: TCP.
	Dial func(i int) Dialer
	// Tell is told what happens, for people, by one goroutine at a time. Default nil:
	// nobody wants to know.
	Tell func(line string)
	// History takes the record as lines of JSON. Default nil: nobody wants it.
	History io.Writer
}

// Validate says what is wrong with options. The error matches ErrOptions.
func (o *Options) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...)
	}
	switch {
	case len(o.Addresses) == 0 || o.Clock == nil:
		return bad("addresses and a clock are needed")
	case o.For < time.Second || o.For > 24*time.Hour:
		return bad("a run lasts 1s to 24h, not %s", o.For)
	case o.Workers < 2 || o.Workers > MaxWorkers || o.Clients < 2 || o.Clients > o.Workers:
		return bad("%d workers of %d clients: there must be 2 to %d workers, of 2 clients or more",
			o.Workers, o.Clients, MaxWorkers)
	case o.Locks < lockKinds || o.Locks > MaxLocks:
		return bad("%d locks, must be %d to %d", o.Locks, lockKinds, MaxLocks)
	case o.Rate < 1 || o.Rate > MaxRate:
		return bad("%d operations a second, must be 1 to %d", o.Rate, MaxRate)
	case o.For.Seconds()*float64(o.Rate) > MaxOperations:
		return bad("%d operations a second for %s are more than %d, which is the most that is "+
			"recorded: less of either", o.Rate, o.For, MaxOperations)
	case o.Lease < time.Second || o.Timeout <= 0 || o.Length <= 0 || o.Rest <= 0:
		return bad("a lease of 1s or more, a timeout, and lengths of a fault and a rest are needed")
	case o.Prefix == "" || strings.ContainsRune(o.Prefix, 0):
		return bad("the prefix is %q, must not be empty nor have a zero byte", o.Prefix)
	}
	for i, kind := range o.Faults {
		_, known := o.Outside[kind]
		if !known && kind != KindConns && kind != KindPause && kind != KindForce {
			return bad("fault %q is not known", kind)
		}
		if slices.Contains(o.Faults[:i], kind) {
			return bad("fault %q is named twice", kind)
		}
	}
	return nil
}

package target

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"lockd/perf/launch"
)

// FreshPrefix begins the keys that nobody used before and nobody will use again.
// A target may use any free name in place of such a key. HeldPrefix begins those
// that a client takes once and keeps.
const (
	FreshPrefix = "perf/fresh/"
	HeldPrefix  = "perf/held/"
)

// Target is a service that can be started and measured.
type Target struct {
	// Name is what the command line and the report call it.
	Name string
	// Durability says what an answer means after a crash.
	Durability string
	// Client names what is measured with: the module that it comes from, or "".
	Client string
	// Flags are what of its servers' command line was chosen.
	Flags []string
	// Launcher starts its servers.
	Launcher launch.Launcher
	// Open connects one client, as one process would have it.
	Open func(ctx context.Context, c *launch.Cluster) (Locker, error)
	// Survives says that the service is meant to outlive one of its processes.
	Survives bool
	// Keeps says that its locks are meant to outlive a restart of all of them.
	Keeps bool
	// Queues says that who waits stands in a queue instead of asking again.
	Queues bool
	// Sessions says that a client has a session which it renews.
	Sessions bool
	// Carries says that a hold carries data: its client is a Carrier.
	Carries bool
}

// Locks says that two callers cannot hold one key: it is a service and no floor.
func (t Target) Locks() bool {
	_, none := t.Launcher.(launch.Directory)
	_, echo := t.Launcher.(launch.Echo)
	return !none && !echo
}

// Locker is one client. All workers share it; its methods are safe for
// concurrent use.
type Locker interface {
	// Lock waits until the caller holds key.
	Lock(ctx context.Context, key string) (Hold, error)
	// Close gives up the connections. Holds must be unlocked before.
	Close() error
}

// Chainer is a Locker that keeps many pairs under way without a goroutine for
// each.
type Chainer interface {
	// Chain runs n chains of pairs at once and returns when all have ended. Each
	// asks next for the key of its next pair, and ends when there is none or when
	// a call fails. It tells done of every pair and of a failure. Both are called
	// from goroutines of the client and must not block.
	Chain(n int, next func() (key string, ok bool),
		done func(chain int, lock, pair time.Duration, err error))
}

// Reader is a Locker whose locks many may hold to read.
type Reader interface {
	// RLock waits until the caller may read under key.
	RLock(ctx context.Context, key string) (Hold, error)
}

// Carrier is a Locker whose holds carry data.
type Carrier interface {
	// LockCarrying is Lock for a hold with data. The payload is not kept.
	LockCarrying(ctx context.Context, key string, payload []byte) (Hold, error)
}

// Counter is a Locker that has semaphores.
type Counter interface {
	// Acquire waits until the caller has one of the permits of key. All callers
	// must name the same number of permits.
	Acquire(ctx context.Context, key string, permits int) (Hold, error)
}

// Hold is a lock held once.
type Hold interface {
	// Unlock gives the lock up. It is an error if it was not held any more.
	Unlock(ctx context.Context) error
}

// ErrNotHeld means that an unlock came too late: the lock was no longer its
// caller's. In a measurement that is a fault.
var ErrNotHeld = errors.New("target: the lock was not held any more")

// Programs says where the programs are that perf starts itself.
type Programs struct {
	// Lockd is the daemon's binary and LockdFlags what its processes get
	// besides the flags that make the cluster.
	Lockd      string
	LockdFlags []string
	// Redis, Etcd and ZooKeeper are the binaries, or the jar, of the others; ""
	// is where Debian puts them.
	Redis, Etcd, ZooKeeper string
	// Echo is the program, with arguments, that serves the echo target; the
	// address follows.
	Echo     string
	EchoArgs []string
}

// Find returns the targets of the given names, in that order.
func Find(names []string, programs Programs) ([]Target, error) {
	redis.SetLogger(goRedisQuiet{})
	all := list(programs)
	var found []Target
	for _, name := range names {
		at := -1
		var known []string
		for i, t := range all {
			known = append(known, t.Name)
			if t.Name == name {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("target: no target %q; there are %s",
				name, strings.Join(known, ", "))
		}
		found = append(found, all[at])
	}
	return found, nil
}

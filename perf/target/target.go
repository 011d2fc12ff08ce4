package target

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockd/perf/launch"
)

// Target is a service that can be started and measured.
type Target struct {
	// Name is what the command line and the report call it.
	Name string
	// Durability says what an answer means after a crash.
	Durability string
	// Launcher starts its servers.
	Launcher launch.Launcher
	// Open connects one client, as one process would have it.
	Open func(ctx context.Context, c *launch.Cluster) (Locker, error)
	// Survives says that the service is meant to outlive one of its processes.
	Survives bool
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
	// Echo is the program, with arguments, that serves the echo target; the
	// address follows.
	Echo     string
	EchoArgs []string
}

// Find returns the targets of the given names, in that order.
func Find(names []string, programs Programs) ([]Target, error) {
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

// list is every target there is.
func list(programs Programs) []Target {
	const memory = "none: in memory on one node"
	return []Target{
		{
			Name:       "lockd",
			Durability: "synced (fdatasync) by a majority of 3 nodes before every answer",
			Launcher:   launch.Lockd{Path: programs.Lockd, Flags: programs.LockdFlags},
			Open:       openLockd,
			Survives:   true,
		},
		{Name: "redis", Durability: memory, Launcher: launch.Redis{}, Open: openRueidis},
		{Name: "redis-go", Durability: memory, Launcher: launch.Redis{}, Open: openGoRedis},
		{Name: "redis-mux", Durability: memory, Launcher: launch.Redis{}, Open: openRedisMux},
		{
			Name:       "redis-aof",
			Durability: "synced (appendfsync always) on one node",
			Launcher:   launch.Redis{Sync: true},
			Open:       openRedisMux,
		},
		{
			Name:       "redis-wait",
			Durability: "synced (appendfsync always) on one node, received by one copy (WAIT 1)",
			Launcher:   launch.Redis{Sync: true, Replicas: 2},
			Open:       openRueidisWait,
		},
		{
			Name:       "echo",
			Durability: "none: no service at all, two round trips of 64 bytes",
			Launcher:   launch.Echo{Path: programs.Echo, Args: programs.EchoArgs},
			Open:       openEcho,
		},
	}
}

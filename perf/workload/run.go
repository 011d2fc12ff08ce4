package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"lockd/perf/launch"
	"lockd/perf/target"
)

// Names lists the workloads.
func Names() []string {
	return []string{
		"uncontended", "async", "contended", "readwrite", "semaphore", "open", "handoff", "crowd",
		"failover", "keepalive", "memory", "restart",
	}
}

// Subject is what a load runs against.
type Subject struct {
	// Clients are open. Most loads use the first; of a handoff and a crowd the
	// second is the other side.
	Clients [2]target.Locker
	// Cluster is the servers. A client process has their addresses only.
	Cluster *launch.Cluster
	// Open opens another client.
	Open func(ctx context.Context) (target.Locker, error)
	// Keys begins the names of the keys that callers share. It is of one measurement:
	// what calls that were given up at the end of another have left behind, which some
	// services keep for half a minute, is in nobody's way.
	Keys string
	// Sleep is how a lock is held for a time; nil waits for the kernel's own timer.
	Sleep func(time.Duration)
}

// NewKeys returns what no other measurement has for Keys.
func NewKeys() string { return strconv.FormatUint(rand.Uint64(), 36) }

// Unfit says in a few words why a load makes no sense for a target; "" if it
// does.
func Unfit(t target.Target, client target.Locker, load Load) string {
	servers := func() bool { _, none := t.Launcher.(launch.Directory); return !none }
	switch load.Workload {
	case "async":
		if _, ok := client.(target.Chainer); !ok {
			return "its client has no asynchronous calls"
		}
	case "contended", "handoff":
		if !t.Locks() {
			return "it has no locks"
		}
	case "readwrite":
		if _, ok := client.(target.Reader); !ok {
			return "its client has no read-write locks"
		}
	case "semaphore":
		if _, ok := client.(target.Counter); !ok {
			return "its client has no semaphores"
		}
	case "crowd":
		if !t.Queues {
			return "its waiters ask again or all wake: nothing is handed over"
		}
	case "failover":
		if !t.Survives {
			return "it is not meant to outlive one of its processes"
		}
	case "keepalive":
		if !t.Sessions {
			return "its clients have no sessions that they renew"
		}
	case "memory":
		if !t.Locks() {
			return "it has no locks"
		}
	case "restart":
		if !t.Keeps {
			return "it forgets its locks when its processes end"
		}
	}
	if load.Payload > 0 && !t.Carries {
		return "its holds carry no data"
	}
	if load.Held > 0 && !t.Locks() {
		return "it has no locks"
	}
	if load.Clients > 0 && !servers() {
		return "it has no servers that several processes could share"
	}
	return ""
}

// Run runs a load and calls began when the measurement begins. Requires: the load
// is not unfit for the target.
func Run(ctx context.Context, s Subject, load Load, began func()) (Result, error) {
	switch load.Workload {
	case "uncontended", "contended", "readwrite", "semaphore":
		return closed(ctx, s, load, began), nil
	case "async":
		return async(ctx, s.Clients[0], load, began), nil
	case "open":
		return open(ctx, s.Clients[0], load, began), nil
	case "handoff":
		return handoff(ctx, s.Clients, load, began), nil
	case "crowd":
		return crowd(ctx, s, load, began)
	case "failover":
		return failover(ctx, s.Clients[0], s.Cluster.Processes, load, began)
	case "keepalive":
		return keepalive(ctx, s, load, began)
	case "memory":
		return memory(ctx, s, load, began)
	case "restart":
		return restart(ctx, s, load, began)
	}
	return Result{}, fmt.Errorf("workload: no workload %q", load.Workload)
}

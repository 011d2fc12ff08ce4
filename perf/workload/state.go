package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"lockd/perf/launch"
	"lockd/perf/target"
)

const (
	// fillers is how many locks are asked for at once to fill a service.
	fillers = 512
	// openers is how many clients connect at once.
	openers = 32
	// keptSample is how many locks are looked for after a restart, and keptWait
	// how long somebody else must wait for one in vain.
	keptSample = 16
	keptWait   = 300 * time.Millisecond
	// fillTimeout bounds the taking of locks that are held beside a load.
	fillTimeout = 15 * time.Minute
	// serveTimeout bounds the wait for a service that was started again.
	serveTimeout = 2 * time.Minute
)

// errNotKept means that a lock was granted to somebody else after a restart.
var errNotKept = errors.New("workload: a lock that was held before the restart was granted anew")

// resident is the memory of all server processes.
func resident(c *launch.Cluster) (float64, error) {
	var sum uint64
	var errs []error
	for _, p := range c.Processes {
		used, err := p.Memory()
		sum += used
		errs = append(errs, err)
	}
	return float64(sum), errors.Join(errs...)
}

// spent is the CPU time of all server processes so far.
func spent(c *launch.Cluster) (time.Duration, error) {
	var sum time.Duration
	var errs []error
	for _, p := range c.Processes {
		used, err := p.CPU()
		sum += used
		errs = append(errs, err)
	}
	return sum, errors.Join(errs...)
}

// keepalive measures what clients cost that hold one lock each and do nothing
// but keep it, above what the servers use without any.
func keepalive(ctx context.Context, s Subject, load Load, began func()) (Result, error) {
	idle, err := spentDuring(ctx, s.Cluster, load.Duration)
	if err != nil {
		return Result{}, err
	}
	before, err := resident(s.Cluster)
	if err != nil {
		return Result{}, err
	}
	t := newTally()
	clients, err := openMany(ctx, s, load.Count)
	defer func() { closeMany(clients) }()
	if err != nil {
		return Result{}, err
	}
	pause(ctx, load.Warmup)
	began()
	t.recording.Store(true)
	busy, err := spentDuring(ctx, s.Cluster, load.Duration)
	if err != nil {
		return Result{}, err
	}
	after, err := resident(s.Cluster)
	r := t.result(load.Duration)
	n, seconds := float64(load.Count), load.Duration.Seconds()
	r.Figures = []Figure{
		{"server CPU, idle", idle.Seconds() * 1e3 / seconds, "ms/s"},
		{"server CPU per session, above idle", (busy - idle).Seconds() * 1e6 / seconds / n, "µs/s"},
		{"server memory per session and its conns", (after - before) / n, "B"},
	}
	return r, errors.Join(err, ctx.Err())
}

// spentDuring is the CPU time that the servers use in some time.
func spentDuring(ctx context.Context, c *launch.Cluster, d time.Duration) (time.Duration, error) {
	before, err := spent(c)
	if err != nil {
		return 0, err
	}
	pause(ctx, d)
	after, err := spent(c)
	return after - before, errors.Join(err, ctx.Err())
}

// openMany opens clients that take one lock each. With an error it returns those
// that are open.
func openMany(ctx context.Context, s Subject, n int) ([]target.Locker, error) {
	var all struct {
		sync.Mutex
		clients []target.Locker
		err     error
	}
	var next atomic.Int64
	group := &crew{}
	for range openers {
		group.start(func() {
			for next.Add(1) <= int64(n) {
				client, err := s.Open(ctx)
				if err == nil {
					_, err = client.Lock(ctx, freshKey())
				}
				all.Lock()
				if client != nil {
					all.clients = append(all.clients, client)
				}
				all.err = errors.Join(all.err, err)
				failed := all.err != nil
				all.Unlock()
				if failed {
					return
				}
			}
		})
	}
	group.wait()
	if all.err != nil {
		all.err = fmt.Errorf("workload: open %d clients: %w", n, all.err)
	}
	return all.clients, all.err
}

// closeMany closes clients with what they hold.
func closeMany(clients []target.Locker) {
	var next atomic.Int64
	group := &crew{}
	for range openers {
		group.start(func() {
			for i := next.Add(1) - 1; i < int64(len(clients)); i = next.Add(1) - 1 {
				// The servers end after this; what a close would say is of no use.
				_ = clients[i].Close()
			}
		})
	}
	group.wait()
}

// memory fills a service with locks that stay held and looks at the servers'
// memory.
func memory(ctx context.Context, s Subject, load Load, began func()) (Result, error) {
	before, err := resident(s.Cluster)
	if err != nil {
		return Result{}, err
	}
	began()
	r, keys := fill(ctx, s.Clients[0], load)
	pause(ctx, load.Warmup)
	after, err := resident(s.Cluster)
	if len(keys) == 0 {
		return r, errors.Join(errors.New("workload: no lock was granted"), err)
	}
	n := float64(len(keys))
	r.Figures = []Figure{
		{"locks held", n, ""},
		{"locks taken per second", r.PairsPerSecond, "/s"},
		{"server memory per lock, all processes", (after - before) / n, "B"},
		{"server memory per lock and process",
			(after - before) / n / float64(len(s.Cluster.Processes)), "B"},
	}
	return r, errors.Join(err, ctx.Err())
}

// Hold takes n locks that stay held until the client is closed, within
// fillTimeout. An error says how many could not be taken and why.
func Hold(ctx context.Context, locker target.Locker, n int) error {
	r, keys := fill(ctx, locker, Load{Count: n, Duration: fillTimeout})
	if len(keys) < n {
		return fmt.Errorf("workload: %d of %d locks are held: %s", len(keys), n, r.FirstError)
	}
	return nil
}

// fill takes fresh locks, many at once, until there are load.Count or
// load.Duration is over. It returns their keys.
func fill(ctx context.Context, locker target.Locker, load Load) (Result, []string) {
	t := newTally()
	t.recording.Store(true)
	running, cancel := context.WithTimeout(ctx, load.Duration)
	defer cancel()
	var all struct {
		sync.Mutex
		keys []string
	}
	var next atomic.Int64
	first := time.Now()
	group := &crew{}
	for worker := range fillers {
		group.start(func() {
			for next.Add(1) <= int64(load.Count) && running.Err() == nil {
				key, began := heldKey(), time.Now()
				if _, err := locker.Lock(running, key); err != nil {
					t.failed(running, err)
					continue
				}
				t.done(worker, time.Since(began), time.Since(began))
				all.Lock()
				all.keys = append(all.keys, key)
				all.Unlock()
			}
		})
	}
	group.wait()
	return t.result(time.Since(first)), all.keys
}

// restart fills a service with locks, ends all its processes at once, starts
// them again, and measures until they serve. Those that are looked for must still
// be held.
func restart(ctx context.Context, s Subject, load Load, began func()) (Result, error) {
	r, keys := fill(ctx, s.Clients[0], load)
	began()
	s.Cluster.Crash()
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	if err := s.Cluster.Restart(ctx); err != nil {
		return r, err
	}
	ready := time.Since(start)
	client, err := firstPair(ctx, s)
	if err != nil {
		return r, err
	}
	serves := time.Since(start)
	defer func() { _ = client.Close() }() // the servers end after it
	r.Elapsed = serves
	r.Figures = []Figure{
		{"locks held", float64(len(keys)), ""},
		{"until all processes are ready", ready.Seconds(), "s"},
		{"until another client has a pair", serves.Seconds(), "s"},
	}
	for _, key := range keys[:min(keptSample, len(keys))] {
		short, cancel := context.WithTimeout(ctx, keptWait)
		_, err := client.Lock(short, key)
		cancel()
		if err == nil {
			r.Errors++
			r.FirstError = errNotKept.Error()
		}
	}
	return r, ctx.Err()
}

// firstPair opens a client and tries until a pair went well.
func firstPair(ctx context.Context, s Subject) (target.Locker, error) {
	for {
		client, err := s.Open(ctx)
		if err == nil {
			var held target.Hold
			if held, err = client.Lock(ctx, freshKey()); err == nil {
				err = held.Unlock(ctx)
			}
			if err == nil {
				return client, nil
			}
			_ = client.Close() // it is of no use; the next one is opened anew
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("workload: no pair after the restart: %w", err)
		}
		pause(ctx, errorPause)
	}
}

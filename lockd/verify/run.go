package verify

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lockd/client"
	"lockd/lockd/verify/check"
	"lockd/netio/wire"
)

// run is one run. Load and faults run side by side; what they share is safe for that.
type run struct {
	opts        Options
	lease       time.Duration
	prefix      string
	names       []string // of the locks; name i is of kind i modulo lockKinds
	groups      int
	clients     []*client.Client // of the workers
	prober      *client.Client
	observer    *client.Client // whom no fault is done to
	lines       []*line        // of clients, in order, and of the prober
	workers     []*worker
	probes      *probes
	leaders     leaders
	began       time.Time
	injected    []Injected
	interrupted bool // somebody ended the run early
	// newest is the newest token of each name that a worker was told; the workers write it.
	newest map[string]*atomic.Uint64
	// forcing is while workers are to end holds by force; inject writes it.
	forcing atomic.Bool

	telling sync.Mutex // held while somebody is told something
	mu      struct {
		sync.Mutex
		unexpected error // the first
	}
}

// Run tries a cluster and returns what came of it. If ctx ends it stops early, heals
// what it did, gives back what it holds, and reports what was recorded so far. The
// error matches ErrOptions, ErrUnhealthy or ErrPrefixInUse, or is one of the client
// that says that there is no cluster; there was no load then.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &run{opts: o, lease: o.Lease}
	defer r.close()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	r.tell("load: %d workers of %d clients, %d locks below %q, at most %d operations a second",
		o.Workers, o.Clients, o.Locks, r.prefix, o.Rate)
	r.work(ctx)
	r.awaitFree()
	r.tidy()
	r.interrupted = ctx.Err() != nil
	return r.report(), nil
}

// work runs load and faults, one beside the other.
func (r *run) work(ctx context.Context) {
	load, stop := context.WithCancel(context.WithoutCancel(ctx))
	watch, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	r.began = time.Now()
	watched := r.startWatch(watch)
	wait := r.startLoad(load)
	r.inject(ctx)
	stop()
	wait()
	stopWatch()
	watched()
}

// connect dials all clients. A cluster that takes no lease so short has its least
// one taken.
func (r *run) connect(ctx context.Context) error {
	dial := func(i int, name string) (*client.Client, *line, error) {
		var d Dialer
		if r.opts.Dial != nil {
			d = r.opts.Dial(i)
		}
		l := newLine(d, r.opts.Clock)
		o := client.Options{Name: name, Lease: r.lease, RequestTimeout: r.opts.Timeout, Dial: l.connect,
			DialTimeout: min(2*time.Second, r.opts.Timeout*3/4)}
		bounded, cancel := context.WithTimeout(ctx, r.opts.Timeout)
		defer cancel()
		c, err := client.Dial(bounded, r.opts.Addresses, o)
		if bound := new(client.BoundError); errors.As(err, &bound) && bound.Least > r.lease {
			r.lease, o.Lease = bound.Least, bound.Least
			c, err = client.Dial(bounded, r.opts.Addresses, o)
		}
		return c, l, err
	}
	var err error
	if r.observer, _, err = dial(r.opts.Clients+1, r.opts.Name); err != nil {
		return err
	}
	for i := range r.opts.Clients {
		c, l, err := dial(i, r.opts.Name+" client "+strconv.Itoa(i))
		if err != nil {
			return err
		}
		r.clients, r.lines = append(r.clients, c), append(r.lines, l)
	}
	c, l, err := dial(r.opts.Clients, r.opts.Name+" probe")
	if err != nil {
		return err
	}
	r.prober, r.lines = c, append(r.lines, l)
	return nil
}

// prepare draws names, looks whether the cluster is well, and makes the workers.
func (r *run) prepare(ctx context.Context) error {
	var id [6]byte
	draw := rand.New(rand.NewPCG(r.opts.Seed, 0))
	for i := range id {
		id[i] = byte(draw.Uint32())
	}
	r.prefix = strings.TrimSuffix(r.opts.Prefix, "/") + "/" + hex.EncodeToString(id[:]) + "/"
	used, err := r.observer.List(ctx, r.prefix, client.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	if len(used) > 0 {
		return fmt.Errorf("%w: there is %q", ErrPrefixInUse, used[0].Name)
	}
	all, err := r.observer.Status(ctx)
	if err != nil {
		return err
	}
	if wrong := trouble(all); wrong != "" && len(r.opts.Faults) > 0 {
		return fmt.Errorf("%w: %s; no fault is injected on top of that (none are asked for by "+
			"--faults none)", ErrUnhealthy, wrong)
	}
	for i := range all {
		for _, g := range all[i].Groups {
			r.groups = max(r.groups, int(g.Group)+1)
		}
	}
	r.leaders.note(r.opts.Clock(), all)
	if r.groups == 0 {
		return fmt.Errorf("%w: no group is known", ErrUnhealthy)
	}
	r.nameLocks()
	r.probes = newProbes(r.prefix, r.groups, float64(r.opts.Rate))
	for i := range r.opts.Workers {
		w := &worker{run: r, number: i, client: i % r.opts.Clients, c: r.clients[i%r.opts.Clients],
			draw:   rand.New(rand.NewPCG(r.opts.Seed, uint64(i)+1)),
			record: record{clock: r.opts.Clock, limit: MaxOperations / r.opts.Workers},
			every:  time.Duration(2*r.opts.Workers) * time.Second / time.Duration(r.opts.Rate),
			next:   time.Now()}
		r.workers = append(r.workers, w)
	}
	return nil
}

// nameLocks names the locks. Two mutexes after each other are of one group, so that who asks
// for both does so in one request.
func (r *run) nameLocks() {
	r.newest = make(map[string]*atomic.Uint64)
	for i := range r.opts.Locks {
		name := r.prefix + string("mrsov"[i%lockKinds]) + "/" + strconv.Itoa(i/lockKinds)
		if i%lockKinds == kindMutex && i/lockKinds%2 == 1 {
			plain, group := name, r.groupOf(r.names[i-lockKinds])
			for k := 1; r.groupOf(name) != group; k++ {
				name = plain + "." + strconv.Itoa(k)
			}
		}
		r.names, r.newest[name] = append(r.names, name), new(atomic.Uint64)
	}
}

// reads reports whether a name has a value that is read.
func (r *run) reads(name string) bool { return name[len(r.prefix)] == 'v' }

// unexpected notes an error that no caller should have seen.
func (r *run) unexpected(err error) {
	r.mu.Lock()
	first := r.mu.unexpected == nil
	if first {
		r.mu.unexpected = err
	}
	r.mu.Unlock()
	if first {
		r.tell("unexpected: %v", err)
	}
}

func (r *run) tell(format string, args ...any) {
	if r.opts.Tell == nil {
		return
	}
	r.telling.Lock()
	defer r.telling.Unlock()
	r.opts.Tell(fmt.Sprintf(format, args...))
}

// awaitFree waits until nobody holds or waits for any of the locks: everybody has given
// back, or has lost, what he had. What is taken for much longer than a lease has leaked.
func (r *run) awaitFree() {
	if r.unwell() != nil {
		return // then it says nothing
	}
	limit := 2*r.lease + freeWithin
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for taken := ""; ; rest(ctx, 50*time.Millisecond) {
		var err error
		if taken, err = r.taken(ctx, taken); err == nil && taken == "" {
			return
		}
		if ctx.Err() == nil {
			continue
		}
		if taken != "" {
			r.unexpected(fmt.Errorf("%s after load has ended, although everybody gave back what he knew "+
				"to have, %w", taken, errLeak))
		}
		return
	}
}

// unwell is why the cluster is not well after the last fault, nil if it is.
func (r *run) unwell() error {
	if n := len(r.injected); n > 0 && errors.Is(r.injected[n-1].Err, ErrUnhealthy) {
		return r.injected[n-1].Err
	}
	return nil
}

// errLeak is that a lock stays taken by nobody.
var errLeak = errors.New("for longer than any lease: it has leaked")

// freeWithin is how long nodes may take, besides leases, to free what is nobody's.
const freeWithin = 3 * time.Second

// taken says which lock is still taken, empty if none is. If nobody can say, it is what
// was known before.
func (r *run) taken(ctx context.Context, before string) (string, error) {
	for after := ""; ; {
		page, err := r.observer.List(ctx, r.prefix, client.ListOptions{After: after})
		if err != nil {
			return before, err
		}
		if len(page) == 0 {
			return "", nil
		}
		for i := range page {
			e := &page[i]
			if e.HolderCount > 0 || e.WaiterCount > 0 {
				return fmt.Sprintf("lock %q has %d holders, the first %q with token %d, and %d waiters",
					e.Name, e.HolderCount, e.Client, e.Token, e.WaiterCount), nil
			}
			after = e.Name
		}
	}
}

// tidyWithin bounds what tidy may take.
const tidyWithin = 20 * time.Second

// tidy takes the values away: they would outlive their holders. All else ends with
// the sessions of the clients.
func (r *run) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), tidyWithin)
	defer cancel()
	for i := kindValue; i < len(r.names); i += lockKinds {
		h, err := r.observer.Lock(ctx, r.names[i])
		if err != nil {
			r.tell("the value of %q may stay: %v", r.names[i], err)
			continue
		}
		if err := h.SetValue(ctx, nil); err != nil {
			r.tell("the value of %q may stay: %v", r.names[i], err)
		}
		_ = h.Unlock(ctx) // its session ends soon
	}
}

// close ends all clients, and with them what they hold.
func (r *run) close() {
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.Timeout)
	defer cancel()
	for _, c := range append(slices.Clone(r.clients), r.prober, r.observer) {
		if c != nil {
			_ = c.Close(ctx) // leases end what is left
		}
	}
}

// history returns all that was recorded, in the order of calls.
func (r *run) history() []check.Operation {
	var all []check.Operation
	for _, w := range r.workers {
		of := w.record.all
		again(of, r.lines[w.client].endings(), int64(r.lease))
		all = append(all, of...)
		w.record.all = nil
	}
	slices.SortStableFunc(all, func(a, b check.Operation) int { return cmp.Compare(a.Call, b.Call) })
	return all
}

// groupOf returns the group of a name.
func (r *run) groupOf(name string) uint16 { return wire.GroupOf("", name, uint16(r.groups)) }

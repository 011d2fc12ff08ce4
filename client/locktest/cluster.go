package locktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockd/client"
	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/lockfsm"
)

// Options say what a cluster is like. The zero value of each field is its default.
type Options struct {
	// Nodes is how many nodes there are, 1 to 5. Of three one may be gone, of five
	// two. Default 3.
	Nodes int
	// Groups is how many groups the names are spread over, 1 to 64. With one, what
	// holds for names of one group holds for all: LockAll is granted at one moment,
	// LockOptions.Detect refuses every circle at once. Default 4.
	Groups int
}

// patience is how long a switch waits for what it promises, beyond a lease.
const patience = 20 * time.Second

// Cluster is a cluster of nodes. They are numbered from 1.
type Cluster struct {
	t        testing.TB
	opts     node.Options // of all nodes, but for Self and Seed
	members  []*member
	lastConn atomic.Uint64
	expired  blocklist

	mu struct {
		sync.Mutex
		observer *client.Client // for the switches, nil until it is needed
		plugs    map[*client.Client]*plug
	}
}

// New starts a cluster and returns when all its nodes serve. It ends with t.
func New(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Nodes == 0 {
		opts.Nodes = 3
	}
	if opts.Groups == 0 {
		opts.Groups = 4
	}
	if opts.Nodes < 1 || opts.Nodes > 5 || opts.Groups < 1 || opts.Groups > 64 {
		t.Fatalf("locktest: %d nodes, must be 1 to 5; %d groups, must be 1 to 64", opts.Nodes,
			opts.Groups)
	}
	c := &Cluster{t: t, opts: nodeOptions(opts)}
	c.mu.plugs = make(map[*client.Client]*plug)
	t.Cleanup(c.close)
	for i := range opts.Nodes {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("locktest: %v", err)
		}
		m := &member{cluster: c, id: uint16(i + 1), listener: ln, accepted: make(chan struct{}),
			past: history.Memory()}
		m.accept()
		c.members = append(c.members, m)
		c.opts.Nodes = append(c.opts.Nodes, node.Peer{ID: m.id, ClientAddress: ln.Addr().String()})
	}
	for _, m := range c.members {
		c.start(m)
	}
	c.await("the nodes do not get ready", func() bool {
		for _, m := range c.members {
			if s := m.status(); s == nil || !s.Ready() {
				return false
			}
		}
		return true
	})
	c.raise()
	return c
}

// raise has the nodes agree on the newest format, so that the first who needs it does
// not wait for that.
func (c *Cluster) raise() {
	c.t.Helper()
	change := placement.Change{Kind: placement.Raise, Format: lockfsm.FormatLatest}
	c.await("the nodes do not agree on a format", func() bool {
		done := make(chan error, 1)
		c.members[0].running().inbox.Change(change, func(err error) { done <- err })
		err := <-done
		return err == nil || errors.Is(err, placement.ErrNoChange)
	})
}

// nodeOptions are those of production, with shorter times: nothing takes long here.
func nodeOptions(opts Options) node.Options {
	o := node.Defaults()
	o.Cluster = "locktest"
	o.Groups = opts.Groups
	o.Replicas = min(opts.Nodes, o.Replicas)
	o.Limits.HoldMin = 1
	o.LogTick = 50 * node.Millisecond
	o.Tick = 10 * node.Millisecond
	o.HeartbeatTicks, o.ElectionTicks, o.RankDelayTicks = 5, 40, 2
	// Nothing is ever saved but the log, so all of it must be there for a node that
	// was away.
	o.CheckpointBytes = 1 << 50
	o.RetainSlots, o.RetainBytes = 1<<30, 1<<40
	o.Build = "locktest"
	return o
}

// Addrs returns the addresses of all nodes, in order, as client.Dial takes them. They
// stay the same for the life of the cluster.
func (c *Cluster) Addrs() []string {
	all := make([]string, len(c.members))
	for i, m := range c.members {
		all[i] = m.listener.Addr().String()
	}
	return all
}

// Client connects a client, which is closed when t ends. A Lease that is not given is
// two seconds, so that Expire does not take long. Opts.Dial, if there is one, is used.
func (c *Cluster) Client(t testing.TB, opts client.Options) *client.Client {
	t.Helper()
	if opts.Lease == 0 {
		opts.Lease = 2 * time.Second
	}
	p := &plug{dial: opts.Dial, conns: make(map[*pluggedConn]struct{})}
	opts.Dial = p.connect
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k, err := client.Dial(ctx, c.Addrs(), opts)
	if err != nil {
		t.Fatalf("locktest: %v", err)
	}
	c.mu.Lock()
	c.mu.plugs[k] = p
	c.mu.Unlock()
	t.Cleanup(func() {
		wait := patience
		if p.isOut() || !c.majority() {
			wait = 100 * time.Millisecond // nobody will answer
		}
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		_ = k.Close(ctx) // what it held ends with the cluster
		p.push()
		c.mu.Lock()
		delete(c.mu.plugs, k)
		c.mu.Unlock()
	})
	return k
}

// majority reports whether more than half of the nodes run and hear each other.
func (c *Cluster) majority() bool {
	up := 0
	for _, m := range c.members {
		if m.ready() != nil {
			up++
		}
	}
	return 2*up > len(c.members)
}

// look returns the client of the switches.
func (c *Cluster) look(ctx context.Context) (*client.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.observer != nil {
		return c.mu.observer, nil
	}
	k, err := client.Dial(ctx, c.Addrs(), client.Options{Name: "locktest"})
	c.mu.observer = k
	return k, err
}

// await waits for a condition of the nodes, which change by themselves.
func (c *Cluster) await(failure string, ok func() bool) {
	c.t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-limit.C:
			c.t.Fatalf("locktest: %s within %s", failure, patience)
		}
	}
}

// member returns a node by its number.
func (c *Cluster) member(number int) *member {
	c.t.Helper()
	if number < 1 || number > len(c.members) {
		c.t.Fatalf("locktest: there is no node %d of %d", number, len(c.members))
	}
	return c.members[number-1]
}

// close ends everything.
func (c *Cluster) close() {
	c.mu.Lock()
	observer := c.mu.observer
	c.mu.observer = nil
	c.mu.Unlock()
	if observer != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = observer.Close(ctx) // it holds nothing
	}
	for _, m := range c.members {
		if err := m.stop(node.DownClosed); err != nil {
			c.t.Errorf("locktest: node %d failed: %v", m.id, err)
		}
	}
	for _, m := range c.members {
		_ = m.listener.Close()
		<-m.accepted
	}
}

// String names the nodes and where they are.
func (c *Cluster) String() string { return fmt.Sprintf("cluster of %v", c.Addrs()) }

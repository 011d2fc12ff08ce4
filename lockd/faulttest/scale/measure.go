package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest"
	"lockd/netio/wire"
)

// measurement is one run. Its methods belong to one goroutine.
type measurement struct {
	options options
	cluster *faulttest.Cluster
	table   table
	clients []*client.Client
	watch   *client.Client
	probe   *probe
	base    memory
	// filled keeps the locks held.
	filled [][]client.Held
	// complaints are bounds that were broken, but for those of time.
	complaints []string
}

func (m *measurement) complain(format string, args ...any) {
	m.complaints = append(m.complaints, fmt.Sprintf(format, args...))
}

func newMeasurement(o options, c *faulttest.Cluster) *measurement {
	return &measurement{options: o, cluster: c}
}

// spikeBound is what a burst of work may cost somebody else.
const spikeBound = "max 100ms for others, no leader changes"

// price is what one thing is meant to cost in bytes on each node that keeps it,
// and what it must not exceed: with few things the tables are half empty and
// the log, which keeps every request until a checkpoint, counts for much.
type price struct{ goal, most float64 }

// fewThings are lost in what a process allocates anyhow.
const fewThings = 20_000

// The prices of a held lock, an idle session and a waiter. The leader remembers
// besides on which conn a session and a waiter are to be answered.
func lockPrice() price    { return price{160, 300} }
func sessionPrice() price { return price{160, 400} }
func waiterPrice() price  { return price{96, 600} }

// all measures one thing after the other.
func (m *measurement) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		m.start, m.fill, m.crowd, m.restart, m.endHolder, m.queue, m.restartAll,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) dial(ctx context.Context, name string, inFlight int) (*client.Client, error) {
	c, err := m.cluster.Dial(ctx, client.Options{Name: name, Lease: time.Minute,
		RequestTimeout: time.Minute, MaxInFlight: inFlight})
	if err == nil {
		m.clients = append(m.clients, c)
	}
	return c, err
}

// closeClients lets go of everything. The nodes are about to be killed.
func (m *measurement) closeClients() {
	if m.probe != nil {
		m.probe.stop()
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range m.clients {
		_ = c.Close(ended)
	}
}

// start starts the nodes and somebody who uses them all the while.
func (m *measurement) start(ctx context.Context) error {
	if err := m.cluster.Start(ctx); err != nil {
		return err
	}
	var err error
	if m.watch, err = m.dial(ctx, "watch", 0); err != nil {
		return err
	}
	other, err := m.dial(ctx, "somebody else", 0)
	if err != nil {
		return err
	}
	if err := m.settled(ctx); err != nil {
		return err
	}
	m.probe = startProbe(other)
	if err := wait(ctx, 3*time.Second); err != nil {
		return err
	}
	m.table.add("others, nothing else going on", m.probe.take().String(), "")
	m.base, err = memoryOf(ctx, m.cluster)
	m.table.add("memory of an empty node", mebibytes(m.base.resident/3), "")
	return err
}

// settled waits until every group has the leader it is meant to have.
func (m *measurement) settled(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		led, err := m.leaderships(ctx)
		if err != nil {
			return false, err
		}
		counts := make(map[uint16]int)
		for _, l := range led {
			counts[l.node]++
		}
		for node := range 3 {
			if k := counts[uint16(node+1)]; k < m.options.groups/3 {
				return false, nil
			}
		}
		return len(led) == m.options.groups, nil
	})
}

// leadership is who leads a group, and in which round.
type leadership struct {
	node  uint16
	round uint64
}

func (m *measurement) leaderships(ctx context.Context) (map[uint16]leadership, error) {
	all, err := m.watch.Status(ctx)
	if err != nil {
		return nil, err
	}
	led := make(map[uint16]leadership)
	for i := range all {
		for _, g := range all[i].Groups {
			if g.Leader == all[i].Node {
				led[g.Group] = leadership{g.Leader, g.Round}
			}
		}
	}
	return led, nil
}

// disturbed runs a load and reports what the others noticed of it.
func (m *measurement) disturbed(ctx context.Context, what string, load func() error) error {
	before, err := m.leaderships(ctx)
	if err != nil {
		return err
	}
	m.probe.take()
	began := time.Now()
	if err := load(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	took, others := time.Since(began), m.probe.take()
	after, err := m.leaderships(ctx)
	if err != nil {
		return err
	}
	changed := 0
	for g, l := range after {
		if before[g] != l {
			changed++
		}
	}
	if changed > 0 {
		m.complain("%s: %d groups changed their leader, want none", what, changed)
	}
	if len(others.failed) > 0 {
		m.complain("%s: %d pairs of others failed, the first: %v", what, len(others.failed),
			others.failed[0])
	}
	m.table.add(what, took.Round(time.Millisecond).String(), "")
	m.table.add("… others meanwhile", fmt.Sprintf("%s; %d leaders changed", others, changed),
		spikeBound)
	return nil
}

// fill takes the locks and says what one costs.
func (m *measurement) fill(ctx context.Context) error {
	const perClient = 2_000_000
	parts := (m.options.locks + perClient - 1) / perClient
	clients := make([]*client.Client, parts)
	for i := range clients {
		var err error
		if clients[i], err = m.dial(ctx, "filler", 0); err != nil {
			return err
		}
	}
	m.filled = make([][]client.Held, parts)
	began := time.Now()
	err := m.disturbed(ctx, fmt.Sprintf("%d locks taken", m.options.locks), func() error {
		return each(parts, func(i int) error {
			first, end := i*m.options.locks/parts, (i+1)*m.options.locks/parts
			var err error
			m.filled[i], err = fill(ctx, clients[i], end-first, func(k int) string {
				return lockName(0, first+k)
			})
			return err
		})
	})
	if err != nil {
		return err
	}
	rate := float64(m.options.locks) / time.Since(began).Seconds()
	m.table.add("… rate", fmt.Sprintf("%.0f locks/s", rate), "")
	if err := m.costs(ctx, "held lock", 3*m.options.locks, lockPrice()); err != nil {
		return err
	}
	return m.disk(ctx)
}

// costs reports what each of n more things needs, and makes that the new base.
func (m *measurement) costs(ctx context.Context, what string, n int, p price) error {
	now, err := memoryOf(ctx, m.cluster)
	if err != nil {
		return err
	}
	m.table.add("memory per "+what+", live", bytesEach(m.base.live, now.live, n),
		fmt.Sprintf("%.0f B", p.goal))
	if got := perOne(m.base.live, now.live, n); got > p.most && n >= fewThings {
		m.complain("memory per %s: got %.0f B, want at most %.0f", what, got, p.most)
	}
	m.table.add("memory per "+what+", resident", bytesEach(m.base.resident, now.resident, n), "")
	m.base = now
	return nil
}

// disk reports what the checkpoints and the log take.
func (m *measurement) disk(ctx context.Context) error {
	values, err := metrics(ctx, m.cluster.Nodes[0])
	if err != nil {
		return err
	}
	m.table.add("checkpoints saved, segments in use", fmt.Sprintf("%.0f, %.0f",
		values["lockd_checkpoints_total"], values["lockd_wal_segments"]), "16 segments")
	return nil
}

// restart kills a node and measures how long it takes until it serves.
func (m *measurement) restart(ctx context.Context) error {
	n := m.cluster.Nodes[2]
	if err := n.Kill(); err != nil {
		return err
	}
	m.probe.take()
	if err := wait(ctx, 3*time.Second); err != nil {
		return err
	}
	m.table.add("others, a node having been killed", m.probe.take().String(), "")
	began := time.Now()
	if err := n.Start(); err != nil {
		return err
	}
	if err := n.AwaitReady(ctx); err != nil {
		return err
	}
	m.table.add(fmt.Sprintf("restart with %d locks, until ready", m.options.locks),
		time.Since(began).Round(10*time.Millisecond).String(), "10s for 10M")
	m.table.add("… of it reading the directory", tookReading(n.Log()), "")
	m.table.add("… others meanwhile", m.probe.take().String(), "")
	return m.settled(ctx)
}

// restartAll kills all nodes and measures how long it takes until each serves
// again, and until somebody is granted a lock.
func (m *measurement) restartAll(ctx context.Context) error {
	for _, n := range m.cluster.Nodes {
		if err := n.Kill(); err != nil {
			return err
		}
	}
	m.probe.take()
	began := time.Now()
	for _, n := range m.cluster.Nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	err := each(len(m.cluster.Nodes), func(i int) error { return m.cluster.Nodes[i].AwaitReady(ctx) })
	if err != nil {
		return err
	}
	m.table.add(fmt.Sprintf("restart of all nodes with %d locks, until all are ready",
		m.options.locks), time.Since(began).Round(10*time.Millisecond).String(), "10s for 10M")
	for _, n := range m.cluster.Nodes {
		m.table.add(fmt.Sprintf("… of it reading the directory, node %d", n.ID),
			tookReading(n.Log()), "")
	}
	if err := m.settled(ctx); err != nil {
		return err
	}
	m.table.add("… others meanwhile", m.probe.take().String(), "")
	return nil
}

// tookReading finds in a node's log how long its last start took to read.
func tookReading(log string) string {
	at := strings.LastIndex(log, "directory read")
	if at < 0 {
		return "not logged"
	}
	line, _, _ := strings.Cut(log[at:], "\n")
	_, took, _ := strings.Cut(line, "took=")
	return strings.Fields(took + " ?")[0]
}

// poll asks until the answer is yes.
func poll(ctx context.Context, ask func() (bool, error)) error {
	for {
		ok, err := ask()
		if ok || err != nil {
			return err
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// wait waits a while, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func mebibytes(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }

// nameOfGroup returns the k-th name from first on that belongs to group 0.
func nameOfGroup(groups, k int) string {
	for i := k * groups; ; i++ {
		name := fmt.Sprintf("one-group/%d/%d", k, i)
		if wire.GroupOf("", name, uint16(groups)) == 0 {
			return name
		}
	}
}

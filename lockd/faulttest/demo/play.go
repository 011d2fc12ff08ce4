package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest"
	"lockd/netio/wire"
)

const (
	// lockName is the lock of the demo.
	lockName = "orders/42"
	// waiterCount is how many queue for it.
	waiterCount = 3
	// probePause is how long to wait before the lock is asked for again.
	probePause = 2 * time.Millisecond
)

// play is one performance.
type play struct {
	cluster *faulttest.Cluster
	began   time.Time
	clients []*client.Client

	alice   *client.Client
	held    *client.Held
	waiters []*faulttest.Waiter
	group   int
	victim  *faulttest.Node

	gap, back, handOver time.Duration
}

// say prints one line of the story with the time since the beginning.
func (p *play) say(format string, args ...any) {
	fmt.Printf("%7.3fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

func (p *play) run(ctx context.Context) error {
	for _, act := range []func(context.Context) error{
		p.start, p.lock, p.queue, p.kill, p.stillHeld, p.passOn, p.comeBack,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	p.sum()
	return nil
}

func (p *play) dial(ctx context.Context, name string) (*client.Client, error) {
	c, err := p.cluster.Dial(ctx, client.Options{Name: name})
	if err == nil {
		p.clients = append(p.clients, c)
	}
	return c, err
}

func (p *play) closeClients() {
	for _, c := range p.clients {
		// What was not given back ends with the cluster.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = c.Close(ctx)
		cancel()
	}
}

func (p *play) start(ctx context.Context) error {
	if err := p.cluster.Start(ctx); err != nil {
		return err
	}
	for _, n := range p.cluster.Nodes {
		p.say("node %d is up: pid %d, clients %s, data synced to %s", n.ID, n.PID(), n.Client, n.Dir)
	}
	return nil
}

func (p *play) lock(ctx context.Context) error {
	var err error
	if p.alice, err = p.dial(ctx, "alice"); err != nil {
		return err
	}
	asked := time.Now()
	if p.held, err = p.alice.Lock(ctx, lockName); err != nil {
		return err
	}
	p.say("alice holds %q with token %d (%v, three disks involved, two must have synced)", lockName,
		p.held.Token(), time.Since(asked).Round(10*time.Microsecond))
	return nil
}

// queue lets the waiters line up one after the other, so that their order is
// known.
func (p *play) queue(ctx context.Context) error {
	for i, name := range []string{"bob", "carol", "dave"}[:waiterCount] {
		c, err := p.dial(ctx, name)
		if err != nil {
			return err
		}
		p.waiters = append(p.waiters, faulttest.StartWaiter(c, lockName))
		if err := p.await(ctx, func(info *client.LockInfo) bool {
			return info.WaiterCount == i+1
		}); err != nil {
			return err
		}
	}
	p.say("bob, carol and dave wait for it, in this order")
	return nil
}

// await asks for the lock until it is as wanted.
func (p *play) await(ctx context.Context, as func(*client.LockInfo) bool) error {
	for {
		info, err := p.alice.Get(ctx, lockName)
		if err != nil {
			return err
		}
		if as(info) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(probePause):
		}
	}
}

// kill ends the node that leads the lock's group.
func (p *play) kill(ctx context.Context) error {
	all, err := p.alice.Status(ctx)
	if err != nil {
		return err
	}
	groups := 0
	for i := range all {
		groups = max(groups, len(all[i].Groups))
	}
	p.group = int(wire.GroupOf("", lockName, uint16(groups)))
	if p.victim, err = p.cluster.Leader(ctx, p.alice, p.group); err != nil {
		return err
	}
	killed := time.Now()
	if err := p.victim.Kill(); err != nil {
		return err
	}
	p.say("kill -9 %d: node %d, which leads the lock's group (%d of %d), is gone", p.victim.PID(),
		p.victim.ID, p.group, groups)
	if _, err := p.alice.Get(ctx, lockName); err != nil {
		return fmt.Errorf("nobody answers for the lock after the kill: %w", err)
	}
	p.gap = time.Since(killed)
	return nil
}

func (p *play) stillHeld(ctx context.Context) error {
	leader, err := p.cluster.Leader(ctx, p.alice, p.group)
	if err != nil {
		return err
	}
	if leader == p.victim {
		return fmt.Errorf("the dead node %d is still said to lead", leader.ID)
	}
	info, err := p.alice.Get(ctx, lockName)
	if err != nil {
		return err
	}
	switch {
	case len(info.Holders) != 1 || info.Holders[0].Token != p.held.Token() ||
		info.Holders[0].Client != "alice":
		return fmt.Errorf("the lock is held by %+v, want alice with token %d", info.Holders,
			p.held.Token())
	case !p.held.Valid():
		return fmt.Errorf("alice believes that she lost it: %w", context.Cause(p.held.Context()))
	case info.WaiterCount != waiterCount:
		return fmt.Errorf("%d wait, want %d", info.WaiterCount, waiterCount)
	}
	p.say("node %d leads now, %v after the kill: alice still holds the lock, token %d; %d still wait",
		leader.ID, p.gap.Round(100*time.Microsecond), p.held.Token(), waiterCount)
	return nil
}

// passOn gives the lock from one to the next.
func (p *play) passOn(ctx context.Context) error {
	names := []string{"alice", "bob", "carol", "dave"}
	h := p.held
	for i, w := range p.waiters {
		given := time.Now()
		if err := h.Unlock(ctx); err != nil {
			return err
		}
		next, err := w.Await(ctx)
		if err != nil {
			return fmt.Errorf("%s waits in vain: %w", names[i+1], err)
		}
		took := time.Since(given)
		p.handOver += took / waiterCount
		if next.Token() <= h.Token() {
			return fmt.Errorf("%s got token %d after token %d", names[i+1], next.Token(), h.Token())
		}
		for k, later := range p.waiters[i+1:] {
			select {
			case <-later.Done():
				return fmt.Errorf("%s was granted before its turn", names[i+2+k])
			default:
			}
		}
		p.say("%s gives it back, %s has it after %v, token %d", names[i], names[i+1],
			took.Round(10*time.Microsecond), next.Token())
		h = next
	}
	return h.Unlock(ctx)
}

// comeBack starts the killed node again and waits until it has applied what
// the others have.
func (p *play) comeBack(ctx context.Context) error {
	began := time.Now()
	if err := p.victim.Start(); err != nil {
		return err
	}
	if err := p.victim.AwaitReady(ctx); err != nil {
		return err
	}
	if err := p.cluster.AwaitEqual(ctx, p.alice); err != nil {
		return err
	}
	p.back = time.Since(began)
	p.say("node %d is back after %v and has applied the same slots of every group as the others",
		p.victim.ID, p.back.Round(time.Millisecond))
	if _, err := p.alice.Get(ctx, lockName); !errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("the lock should be free at the end: %w", err)
	}
	return nil
}

func (p *play) sum() {
	fmt.Printf(`
As claimed:
  the lock outlived the node that led it, with its token %d and its queue of %d
  the first answer about it came %v after kill -9
  it went from hand to hand in order, in %v each, with a larger token each time
  the killed node was back and equal to the others %v after its start
`, p.held.Token(), waiterCount, p.gap.Round(100*time.Microsecond),
		p.handOver.Round(10*time.Microsecond), p.back.Round(time.Millisecond))
}

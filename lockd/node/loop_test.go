package node

import (
	"errors"
	"sync/atomic"
	"testing"

	"lockd/lockd/placement"
)

// looped starts the loop of a cluster of one on a clock that moves with every
// look at it.
func looped(t *testing.T) (*testNode, *Loop) {
	t.Helper()
	o := testOptions()
	o.Nodes = o.Nodes[:1]
	w := newWorld(t, o)
	n := w.nodes[1]
	var now atomic.Int64
	now.Store(int64(w.now))
	return n, Start(n.node, func() Nanos { return Nanos(now.Add(int64(Millisecond / 10))) }, nil)
}

// news has fn called within a turn: a change of no kind is refused as soon as it is
// looked at.
func (n *testNode) news(fn func()) {
	n.inbox.Change(placement.Change{}, func(error) { fn() })
}

// Who brings news must get away again even if there is always more of it.
func TestRunnerIsLetGoUnderLoad(t *testing.T) {
	n, l := looped(t)
	var again func()
	turns, enough := 0, make(chan struct{})
	again = func() {
		if turns++; turns == 1000 {
			close(enough)
		}
		n.news(again)
	}
	n.news(again)
	<-enough
	l.Stop()
	n.inbox.Wake() // nobody looks at news any more; it must return
}

func TestNewsAfterAFailureAreIgnored(t *testing.T) {
	n, l := looped(t)
	bad := errors.New("disk on fire")
	n.inbox.Failed(bad)
	<-l.Done()
	if !errors.Is(l.Err(), bad) {
		t.Errorf("got %v, want %v", l.Err(), bad)
	}
	n.news(func() { t.Error("a turn ran after the failure") })
	l.Stop()
}

// After a stop nobody is asked for a turn: the event loops end, and what wakes one
// whose descriptor was closed writes into whatever file has its number by then.
func TestNobodyIsAskedAfterAStop(t *testing.T) {
	o := testOptions()
	o.Nodes = o.Nodes[:1]
	w := newWorld(t, o)
	n := w.nodes[1]
	var stopped atomic.Bool
	l := Start(n.node, func() Nanos { return w.now }, func() bool {
		if stopped.Load() {
			t.Error("asked after the stop")
		}
		return false
	})
	l.Stop()
	stopped.Store(true)
	n.inbox.Durable(1)
	n.inbox.ConnClosed(1)
}

// A sync that fails while a turn runs ends that turn too: nothing of it leaves (I11).
func TestFD5TurnBesideAFailedSync(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	n := w.leaderOf(0)
	w.queue, n.broken = nil, errors.New("disk on fire")
	u.acquire(w.nameIn(0, 1), 0)
	if err := n.node.Turn(w.now); !errors.Is(err, n.broken) {
		t.Errorf("got %v, want %v", err, n.broken)
	}
	for _, f := range w.queue {
		t.Errorf("%d bytes left for node %d", len(f.frame), f.to)
	}
}

func TestManyBringersLoseNoNews(t *testing.T) {
	n, l := looped(t)
	const bringers, each = 4, 2000
	var seen atomic.Int64
	all := make(chan struct{})
	for range bringers {
		go func() {
			for range each {
				n.news(func() {
					if seen.Add(1) == bringers*each {
						close(all)
					}
				})
			}
		}()
	}
	<-all
	l.Stop()
	if l.Err() != nil {
		t.Errorf("got %v, want no failure", l.Err())
	}
}

// News that come while the clock is read belong to the next turn: whatever a turn
// deals with had come before its moment (I21).
func TestTurnReadsTheClockAfterItsNews(t *testing.T) {
	o := testOptions()
	o.Nodes = o.Nodes[:1]
	w := newWorld(t, o)
	n := w.nodes[1]
	now := w.now
	asked, late := make(chan struct{}), make(chan Nanos, 1)
	l := Start(n.node, func() Nanos {
		now += Millisecond
		select {
		case <-asked:
			now += Second // the process does not run for a while
			end := now
			n.news(func() { late <- n.node.now - end })
		default:
		}
		return now
	}, nil)
	asked <- struct{}{}
	if got := <-late; got <= 0 {
		t.Errorf("news that came in a pause: got a turn of %d ns after its end, want a later one", got)
	}
	l.Stop()
}

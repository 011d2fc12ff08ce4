package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// ring has clients who each hold a name and wait for that of the next, in a circle over
// all groups.
type ring struct {
	n     *testNodes
	names []string
	c     []*Client
	held  []*Held
	done  []chan error // of each wait; the hold it led to is in got
	got   []*Held
}

func newRing(t *testing.T, clients int, owner func(i int) uint64) *ring {
	r := &ring{n: newNodes(t, 4), names: names(clients), done: make([]chan error, clients),
		got: make([]*Held, clients)}
	for i := range clients {
		r.c = append(r.c, r.n.client(t, Options{Name: fmt.Sprint("client ", i)}))
		h, err := r.c[i].LockWith(t.Context(), r.names[i], LockOptions{Owner: owner(i)})
		if err != nil {
			t.Fatal(err)
		}
		r.held = append(r.held, h)
	}
	return r
}

// wait has the i-th client wait for what the next holds.
func (r *ring) wait(ctx context.Context, i int, opts LockOptions) {
	r.done[i] = make(chan error, 1)
	go func() {
		h, err := r.c[i].LockWith(ctx, r.names[(i+1)%len(r.names)], opts)
		r.got[i] = h
		r.done[i] <- err
	}()
	synctest.Wait()
}

// victim returns who was refused, and wants that it is one, told the whole circle.
func (r *ring) victim(t *testing.T, within time.Duration) int {
	t.Helper()
	time.Sleep(within)
	synctest.Wait()
	victim := -1
	for i, done := range r.done {
		var err error
		select {
		case err = <-done:
		default:
			continue
		}
		var circle *DeadlockError
		if victim >= 0 || !errors.Is(err, ErrDeadlock) || !errors.As(err, &circle) ||
			circle.Count != len(r.c) || len(circle.Steps) != len(r.c) {
			t.Fatalf("client %d: got %v, want one of all to be told the circle", i, err)
		}
		victim = i
		for k, s := range circle.Steps {
			who, next := (i+k)%len(r.c), (i+k+1)%len(r.c)
			want := DeadlockStep{fmt.Sprint("client ", who), s.Session, s.Owner, r.names[next],
				r.held[next].Token()}
			if s != want || s.Owner != r.held[who].call.Owner {
				t.Errorf("step %d: got %+v, want %+v", k, s, want)
			}
		}
	}
	if victim < 0 {
		t.Fatalf("nobody was refused within %s", within)
	}
	return victim
}

// resolve has the victim give back what it holds, and then everybody in turn.
func (r *ring) resolve(t *testing.T, victim int) {
	t.Helper()
	unlock(t, r.held[victim])
	for k := 1; k < len(r.c); k++ {
		i := (victim - k + len(r.c)) % len(r.c)
		if err := <-r.done[i]; err != nil {
			t.Fatalf("client %d: got %v, want the lock", i, err)
		}
		unlock(t, r.got[i])
		unlock(t, r.held[i])
	}
	for _, name := range r.names {
		free(t, r.n, name)
	}
	for i, c := range r.c {
		synctest.Wait()
		if calls, holds := c.busyWith(); calls+holds != 0 {
			t.Errorf("client %d: got %d calls and %d holds left, want none", i, calls, holds)
		}
	}
}

// TestDeadlockAcrossGroups proves that of a circle over names of several groups exactly
// one is told, soon, with all of it, be there owners or none, and also when conns
// break and leaders move meanwhile; that it keeps what it holds; and that all others
// go on when it has given that back.
func TestDeadlockAcrossGroups(t *testing.T) {
	owners := map[string]func(i int) uint64{
		"no owner": func(int) uint64 { return 0 }, "owners": func(i int) uint64 { return uint64(i + 1) },
	}
	for name, owner := range owners { // order: each by itself
		for _, clients := range []int{2, 3, 10} {
			for _, trouble := range []string{"none", "conns break", "leaders move"} {
				t.Run(fmt.Sprint(name, " ", clients, " ", trouble), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRing(t, clients, owner)
						for i := range r.c {
							r.wait(t.Context(), i, LockOptions{Owner: owner(i), Detect: true})
						}
						within := 300 * time.Millisecond
						if trouble != "none" {
							within = 8 * time.Second
						}
						time.AfterFunc(60*time.Millisecond, func() { r.disturb(trouble) })
						r.resolve(t, r.victim(t, within))
					})
				})
			}
		}
	}
}

func (r *ring) disturb(trouble string) {
	switch trouble {
	case "conns break":
		for node := range uint16(3) {
			r.n.resetNode(node + 1)
		}
	case "leaders move":
		r.n.with(func(d *dumbCluster) {
			for g := range d.groups {
				d.lead(g, 1+d.groups[g].leader%3)
			}
		})
	}
}

// TestLeastWeightIsTheVictim proves that who asked with more weight is spared.
func TestLeastWeightIsTheVictim(t *testing.T) {
	for light := range 4 {
		synctest.Test(t, func(t *testing.T) {
			r := newRing(t, 4, func(int) uint64 { return 0 })
			for i := range r.c {
				weight := uint8(1 + i)
				if i == light {
					weight = 0
				}
				r.wait(t.Context(), i, LockOptions{Weight: weight, Detect: true,
					Payload: []byte("x")}) // an Ask has it too
			}
			if got := r.victim(t, time.Second); got != light {
				t.Fatalf("victim: got %d, want %d", got, light)
			}
			r.resolve(t, light)
		})
	}
}

// TestNoDeadlockWithoutTheWord proves that a circle through one who has not given his
// word is none, and that it is one as soon as that waits so too.
func TestNoDeadlockWithoutTheWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing(t, 4, func(int) uint64 { return 0 })
		giveUp, cancel := context.WithCancel(t.Context())
		for i := range r.c {
			ctx := t.Context()
			if i == 2 {
				ctx = giveUp
			}
			r.wait(ctx, i, LockOptions{Detect: i != 2})
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		for i, done := range r.done {
			if len(done) > 0 {
				t.Fatalf("client %d: got %v, want it to wait", i, <-done)
			}
		}
		cancel()
		if err := <-r.done[2]; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the end of the context", err)
		}
		r.wait(t.Context(), 2, LockOptions{Detect: true})
		r.resolve(t, r.victim(t, 4*time.Second))
	})
}

// TestVictimThatDiesLeavesTheCircleOpen proves that a circle whose victim never says a
// word again ends with its session, and that nobody else is refused for it.
func TestVictimThatDiesLeavesTheCircleOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing(t, 3, func(int) uint64 { return 0 })
		for i := range r.c {
			r.wait(t.Context(), i, LockOptions{Detect: true, Weight: uint8(min(i, 1))})
		}
		// The first would be the victim. Its process stops before it knows.
		r.c[0].stop(nil)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if err := <-r.done[2]; err != nil {
			t.Fatalf("who waited for the dead: got %v, want the lock", err)
		}
		unlock(t, r.got[2])
		unlock(t, r.held[2])
		if err := <-r.done[1]; err != nil {
			t.Fatalf("the last: got %v, want the lock", err)
		}
		unlock(t, r.got[1])
		unlock(t, r.held[1])
	})
}

// TestNobodyElsePaysForDetect proves that who does not ask for it, or does not wait
// long, sends no question and keeps no search.
func TestNobodyElsePaysForDetect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		h, err := a.Lock(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan *Held)
		go func() {
			h, _ := b.Lock(t.Context(), "x")
			done <- h
		}()
		time.Sleep(time.Minute)
		unlock(t, h)
		unlock(t, <-done)
		for range 1000 {
			h, err := b.LockWith(t.Context(), "y", LockOptions{Detect: true})
			if err != nil {
				t.Fatal(err)
			}
			unlock(t, h)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		n.with(func(d *dumbCluster) {
			if d.chases != 0 {
				t.Errorf("got %d questions, want none", d.chases)
			}
		})
		b.mu.Lock()
		defer b.mu.Unlock()
		if got := len(b.mu.core.chases); got != 0 {
			t.Errorf("got %d searches left, want none", got)
		}
	})
}

// TestChaseOfAHolderWhoDoesNotWait proves that a long wait costs a few questions a
// second at most.
func TestChaseOfAHolderWhoDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		h, err := a.Lock(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := b.LockWith(ctx, "x", LockOptions{Detect: true}); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Fatalf("got %v, want the end of the context", err)
		}
		n.with(func(d *dumbCluster) {
			if d.chases < 60 || d.chases > 300 {
				t.Errorf("got %d questions in a minute, want 60 to 300", d.chases)
			}
		})
		unlock(t, h)
	})
}

// TestResumedClientIsTheSame proves that a client that is started again is known over
// all groups as the one before.
func TestResumedClientIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		file := t.TempDir() + "/session"
		var flows []wire.Flow
		for range 3 {
			c := n.client(t, Options{SessionFile: file})
			for _, name := range names(8) {
				h, err := c.Lock(t.Context(), name)
				if err != nil {
					h = nil
				}
				if h != nil {
					c.mu.Lock()
					flows = append(flows, c.mu.core.flow(&h.call))
					c.mu.Unlock()
					unlock(t, h)
				}
			}
			c.stop(nil)
			c.closeSessionFile("")
		}
		if len(slices.Compact(flows)) != 1 {
			t.Errorf("got %x, want all the same", flows)
		}
	})
}

// TestCircleThatOpensIsNone proves that a circle is looked at twice: one of which a wait
// ends between the two is told to nobody.
func TestCircleThatOpensIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing(t, 2, func(int) uint64 { return 0 })
		ctx, cancel := context.WithCancel(t.Context())
		opened := false
		r.n.with(func(d *dumbCluster) {
			d.filter = func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
				if h.Kind == wire.KindChase && !opened { // of a group: the second look
					opened = true
					l := d.groups[groupOf(r.names[0])].lock(r.names[0])
					l.queue = slices.DeleteFunc(l.queue, func(x dumbClaim) bool { return x.detects })
				}
				return 0
			}
		})
		r.wait(ctx, 1, LockOptions{Detect: true, Weight: 1})
		r.wait(t.Context(), 0, LockOptions{Detect: true})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(r.done[0]) > 0 || !opened {
			t.Fatalf("opened %v: got %v, want it to wait", opened, <-r.done[0])
		}
		cancel()
		<-r.done[1]
		unlock(t, r.held[1])
		if err := <-r.done[0]; err != nil {
			t.Fatal(err)
		}
		unlock(t, r.got[0])
		unlock(t, r.held[0])
	})
}

// TestCancelledForACircleIsNotSent proves that a request which is cancelled for a
// circle does not follow its Cancel, to another node or after a refusal as busy: it
// would be granted to nobody. One that was granted before the Cancel is found.
func TestCancelledForACircleIsNotSent(t *testing.T) {
	for _, found := range []wire.Status{wire.StatusCancelled, wire.StatusAlreadyGranted} {
		t.Run(found.String(), func(t *testing.T) {
			b := newBench(t)
			for _, e := range b.core.endpoints {
				e.version = wire.Version
			}
			x := &Call{Kind: wire.KindEnter, Flags: wire.FlagWait | wire.FlagDetect, Name: "a",
				Mode: wire.ModeEX, Owner: 7}
			b.core.Start(x)
			b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
			b.one(1, wire.KindEnter)
			b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
			enter := b.one(2, wire.KindEnter)
			b.core.condemn(x, &DeadlockError{Name: "a"})
			cancel := b.one(2, wire.KindCancel)
			b.respond(2, enter, wire.Response{Status: wire.StatusBusy, RetryMillis: 10})
			b.after(100 * time.Millisecond)
			if n := len(b.sent(2, wire.KindEnter)); n != 0 {
				t.Errorf("got it sent %d times behind its Cancel, want never", n)
			}
			b.respond(2, cancel, wire.Response{Status: found, Token: 5})
			if found == wire.StatusCancelled {
				if x.State() != StateDone || !errors.Is(x.Err, ErrDeadlock) {
					t.Errorf("got state %d, %v, want a deadlock", x.State(), x.Err)
				}
				return
			}
			b.respond(2, b.one(2, wire.KindEnter), wire.Response{Status: wire.StatusOK, Token: 5})
			if x.State() != StateHeld || x.Token != 5 {
				t.Errorf("got state %d with token %d, want held with 5", x.State(), x.Token)
			}
		})
	}
}

// TestChasedInTheNextSession proves that a request which was cancelled for a circle when
// its session ended is looked after again where it waits next.
func TestChasedInTheNextSession(t *testing.T) {
	b := newBench(t)
	b.core.endpoints[0].version = wire.Version
	x := &Call{Kind: wire.KindEnter, Flags: wire.FlagWait | wire.FlagDetect, Name: "a",
		Mode: wire.ModeEX, Owner: 7}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	b.respond(1, b.one(1, wire.KindEnter), wire.Response{Status: wire.StatusQueued})
	b.core.condemn(x, &DeadlockError{Name: "a"})
	b.after(time.Second)
	b.receive(1, wire.AppendSessionLost(nil, wire.Header{}, &wire.SessionLost{
		Session: 9, Reason: wire.ReasonExpired}))
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 10})
	b.respond(1, b.one(1, wire.KindEnter), wire.Response{Status: wire.StatusQueued})
	b.after(time.Second)
	if n := len(b.sent(1, wire.KindChase)); n == 0 {
		t.Error("got no question about its circle, want one")
	}
}

package locktest_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
)

// within is a context that ends before the test would be given up.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func lock(ctx context.Context, t *testing.T, c *client.Client, name string) *client.Held {
	t.Helper()
	h, err := c.Lock(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// waiting has a client wait for a lock, and returns when it does.
func waiting(ctx context.Context, t *testing.T, c *client.Client, name string) <-chan *client.Held {
	t.Helper()
	waits, got := make(chan struct{}, 1), make(chan *client.Held, 1)
	go func() {
		h, err := c.LockWith(ctx, name, client.LockOptions{OnWait: func(client.WhyInfo) {
			select {
			case waits <- struct{}{}:
			default:
			}
		}})
		if err != nil {
			t.Errorf("%s: got %v, want the lock", name, err)
		}
		got <- h
	}()
	select {
	case <-waits:
	case <-ctx.Done():
		t.Fatalf("%s: nobody waits", name)
	}
	return got
}

func TestStart(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	cluster := locktest.New(t, locktest.Options{})
	t.Logf("ready after %s", time.Since(begin))
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{Name: "a"}), cluster.Client(t, client.Options{Name: "b"})
	h := lock(ctx, t, a, "orders/42")
	var held *client.HeldError
	_, err := b.TryLock(ctx, "orders/42")
	if !errors.As(err, &held) || held.Info.Holders[0].Client != "a" {
		t.Fatalf("try: got %v, want it held by a", err)
	}
	got := waiting(ctx, t, b, "orders/42")
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if second := <-got; second == nil || second.Token() <= h.Token() {
		t.Errorf("second: got %v, want a larger token than %d", second, h.Token())
	}
	direct, err := client.Dial(ctx, cluster.Addrs(), client.Options{}) // as another process would
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(ctx)
	if info, err := direct.Get(ctx, "orders/42"); err != nil || info.Holders[0].Client != "b" {
		t.Errorf("get: got %+v, %v, want it held by b", info, err)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 2, 5} {
		cluster := locktest.New(t, locktest.Options{Nodes: nodes, Groups: 1})
		ctx := within(t)
		h := lock(ctx, t, cluster.Client(t, client.Options{}), "a")
		if err := h.Unlock(ctx); err != nil || len(cluster.Addrs()) != nodes {
			t.Errorf("%d nodes: got %v at %v", nodes, err, cluster.Addrs())
		}
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	testWork(t)
}

func TestExpire(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a := cluster.Client(t, client.Options{Lease: time.Second})
	b := cluster.Client(t, client.Options{})
	lost, stays := lock(ctx, t, a, "lost"), lock(ctx, t, b, "stays")
	got := waiting(ctx, t, b, "lost")
	cluster.Expire("lost")
	var why *client.LostError
	select {
	case <-lost.Lost():
		if cause := context.Cause(lost.Context()); !errors.As(cause, &why) ||
			!errors.Is(cause, client.ErrSessionEnded) {
			t.Errorf("cause: got %v, want a LostError of the session", cause)
		}
	default:
		t.Error("got a lock that is passed on and not lost, want it lost first")
	}
	next := <-got
	if next == nil || next.Token() <= lost.Token() || !stays.Valid() {
		t.Errorf("next: got %v, other %v, want it granted and the other held", next, stays.Valid())
	}
	if err := lost.Unlock(ctx); !errors.Is(err, client.ErrLost) {
		t.Errorf("unlock: got %v, want ErrLost", err)
	}
	again := waiting(ctx, t, a, "lost") // in a new session
	cluster.Expire("lost")
	if h := <-again; h == nil || h.Token() <= next.Token() {
		t.Errorf("again: got %v, want it granted", h)
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	h := lock(ctx, t, a, "job")
	got := waiting(ctx, t, b, "job")
	for range 3 {
		leader := cluster.Leader("job")
		cluster.Kill(leader)
		if now := cluster.Leader("job"); now == leader || now == 0 {
			t.Fatalf("killed %d: got leader %d, want another", leader, now)
		}
		cluster.Kill(leader) // again: nothing
		cluster.Start(leader)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatalf("unlock: got %v, want it held over three leaders", err)
	}
	if next := <-got; next == nil || !next.Valid() {
		t.Fatalf("next: got %v, want its place kept", next)
	}
	for n := range 3 { // all at once: what was answered is kept
		cluster.Kill(n + 1)
	}
	for n := range 3 {
		cluster.Start(n + 1)
	}
	if _, err := a.TryLock(ctx, "job"); !errors.Is(err, client.ErrHeld) {
		t.Errorf("after all were killed: got %v, want it held", err)
	}
}

func TestIsolateAndMoveLeader(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 1})
	ctx := within(t)
	// That of a cluster of the test's, 2 s, a crowded machine takes to find the leader.
	c := cluster.Client(t, client.Options{Lease: 30 * time.Second})
	h := lock(ctx, t, c, "job")
	moved := 0
	for range 6 { // meanwhile it may have gone back by itself
		from := cluster.Leader("job")
		if to := cluster.MoveLeader("job"); to == 0 {
			t.Fatalf("move: nobody leads after it, want another than %d", from)
		} else if to != from {
			moved++
		}
	}
	if moved == 0 {
		t.Fatal("move: it was led by the same node after each of six moves")
	}
	from := cluster.Leader("job")
	cluster.Isolate(from)
	if to := cluster.Leader("job"); to == from || to == 0 {
		t.Fatalf("isolate: got leader %d from %d, want another", to, from)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatalf("unlock: got %v, want it given back at the new leader", err)
	}
	cluster.Rejoin(from)
	lock(ctx, t, c, "job")
}

func TestUnplug(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a := cluster.Client(t, client.Options{Lease: time.Second})
	b := cluster.Client(t, client.Options{})
	h := lock(ctx, t, a, "job")
	got := waiting(ctx, t, b, "job")
	cluster.Unplug(a)
	select {
	case next := <-got:
		if h.Valid() {
			t.Error("got two who hold, want the first to know")
		}
		if err := next.Unlock(ctx); err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("the lock was not passed on")
	}
	<-h.Lost()
	cluster.Plug(a)
	lock(ctx, t, a, "job")
}

// TestUnplugIsSilent has a client that is to be let go of when its conn ends be cut off:
// its conn has not ended, so its lease counts.
func TestUnplugIsSilent(t *testing.T) {
	t.Parallel()
	const lease = 4 * time.Second
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a := cluster.Client(t, client.Options{Lease: lease, ReleaseOnDisconnect: time.Second})
	h, b := lock(ctx, t, a, "job"), cluster.Client(t, client.Options{})
	cut := time.Now()
	cluster.Unplug(a)
	lock(ctx, t, b, "job")
	// The lease counts from the last renewal, a third of a second ago at most.
	if took := time.Since(cut); took < lease-time.Second || h.Valid() {
		t.Errorf("passed on after %v, valid %t, want the lease of %v", took, h.Valid(), lease)
	}
}

// TestStaysTaken keeps a lock for its min hold after it was given back, and for its
// lock delay after it was lost.
func TestStaysTaken(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	const span = time.Second
	stays := func(name string, since time.Time) {
		var held *client.HeldError
		if _, err := b.TryLock(ctx, name); !errors.As(err, &held) || !held.Info.Holders[0].Kept {
			t.Errorf("%s: got %v, want it to stay taken", name, err)
		}
		lock(ctx, t, b, name)
		if took := time.Since(since); took < span {
			t.Errorf("%s: passed on after %v, want %v", name, took, span)
		}
	}
	began := time.Now()
	h, err := a.LockWith(ctx, "min", client.LockOptions{MinHold: span})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	stays("min", began)
	if h, err = a.LockWith(ctx, "delay", client.LockOptions{LockDelay: span}); err != nil {
		t.Fatal(err)
	}
	until := h.SafeUntil() // of a lease that is renewed no more, or later
	cluster.Expire("delay")
	<-h.Lost()
	stays("delay", until)
}

// TestPermitsOfTheDead has a client die that holds most permits of a semaphore: all of
// them come free, and are granted to one who waits for all, who is not passed meanwhile.
func TestPermitsOfTheDead(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	const all = 8
	var holds []*client.Held
	for _, n := range []int{5, 2} {
		h, err := a.Semaphore("gpu", all).Acquire(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		holds = append(holds, h)
	}
	got := make(chan *client.Held, 1)
	waits := make(chan struct{}, 1)
	go func() {
		h, err := b.Semaphore("gpu", all).AcquireWith(ctx, all,
			client.LockOptions{OnWait: func(client.WhyInfo) {
				select {
				case waits <- struct{}{}:
				default:
				}
			}})
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	<-waits
	if _, err := a.Semaphore("gpu", all).TryAcquire(ctx, 1); !errors.Is(err, client.ErrHeld) {
		t.Errorf("one more: got %v, want it behind who waits for all", err)
	}
	cluster.Expire("gpu")
	h := <-got
	if h == nil || h.Permits() != all || holds[0].Valid() || holds[1].Valid() {
		t.Errorf("got %v beside the dead, want all permits and the dead told", h)
	}
	info, err := b.Get(ctx, "gpu")
	if err != nil || info.Taken != all || info.HolderCount != 1 {
		t.Errorf("got %+v, %v, want one who holds all", info, err)
	}
}

// TestNothingIsLeft has a cluster end with faults of every kind under way.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("cluster", func(t *testing.T) {
		cluster := locktest.New(t, locktest.Options{})
		ctx := within(t)
		a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
		lock(ctx, t, a, "a")
		cluster.Kill(3)
		cluster.Isolate(1)
		cluster.Unplug(b)
	})
	limit := time.NewTimer(10 * time.Second)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-poll.C:
		case <-limit.C:
			stacks := make([]byte, 1<<20)
			t.Fatalf("got %d goroutines, had %d before:\n%s", runtime.NumGoroutine(), before,
				stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// fake notes what a test would be failed with.
type fake struct {
	testing.TB
	fatal string
}

func (f *fake) Helper() {}
func (f *fake) Fatalf(format string, args ...any) {
	f.fatal = format
	panic(f)
}

// TestMisuse asks for what there is not.
func TestMisuse(t *testing.T) {
	for _, opts := range []locktest.Options{{Nodes: 6}, {Nodes: -1}, {Groups: 65}} {
		f := &fake{TB: t}
		func() {
			defer func() { _ = recover() == f }()
			locktest.New(f, opts)
		}()
		if !strings.Contains(f.fatal, "must be") {
			t.Errorf("%+v: got %q, want it refused", opts, f.fatal)
		}
	}
}

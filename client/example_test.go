package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"lockd/client"
)

// A lock is taken, used and given back. The unlock does not depend on the
// context of the work.
func ExampleClient_Lock() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "billing"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "orders/42")
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	fmt.Println("has a token:", h.Token() > 0) // for what the lock guards
	// Output:
	// has a token: true
}

// A try says who is in the way.
func ExampleClient_TryLock() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "ci-runner-7"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.TryLock(ctx, "prod/deploy")
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	_, err = c.TryLock(ctx, "prod/deploy") // somewhere else
	var held *client.HeldError
	if errors.As(err, &held) && held.Info != nil {
		fmt.Println("held by", held.Info.Holders[0].Client)
	}
	// Output:
	// held by ci-runner-7
}

// A context bounds how long one waits, and only that: a lock that is held stays so.
func ExampleClient_Lock_timeout() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "report"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	wait, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	h, err := c.Lock(wait, "report")
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	wait, stop = context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	_, err = c.Lock(wait, "report") // somewhere else
	fmt.Println(errors.Is(err, context.DeadlineExceeded), h.Valid())
	// Output:
	// true true
}

// Do is the form to prefer: the context it hands to the work ends when the lock
// is lost.
func ExampleClient_Do() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "nightly"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	err = c.Do(ctx, "nightly", func(ctx context.Context, h *client.Held) error {
		for part := range 3 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fmt.Println("part", part)
		}
		return nil
	})
	if errors.Is(err, client.ErrLost) {
		log.Print("lost the lock before the work was done: ", err)
	}
	// Output:
	// part 0
	// part 1
	// part 2
}

// A semaphore is a name and how many may use it; nothing is set up beforehand.
func ExampleClient_Semaphore() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "trainer"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Semaphore("gpu", 8).Acquire(ctx, 2)
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	info, err := c.Get(ctx, "gpu")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.Permits(), "mine,", info.Taken, "of", info.Capacity, "taken")
	// Output:
	// 2 mine, 2 of 8 taken
}

// An owner gets what it holds once more, and holds it until it has given it back as
// often. The nodes count, so that a request that is sent again counts once.
func ExampleLockOptions_owner() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "importer"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	mine := client.LockOptions{Owner: 7} // any number that means this job
	outer, err := c.LockWith(ctx, "table", mine)
	if err != nil {
		log.Fatal(err)
	}
	defer outer.Unlock(context.WithoutCancel(ctx))
	inner, err := c.LockWith(ctx, "table", mine) // in a function that needs it too
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("same token:", inner.Token() == outer.Token())
	if err := inner.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("still held:", outer.Valid())
	// Output:
	// same token: true
	// still held: true
}

// Whoever has the larger weight goes first, unless another has waited for long already.
func ExampleLockOptions_weight() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "db"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "db/schema") // somebody, somewhere
	if err != nil {
		log.Fatal(err)
	}
	order := make(chan uint8, 2)
	for i, weight := range []uint8{0, 200} { // the heavier one comes later
		opts := client.LockOptions{Weight: weight}
		c.LockAsync(new(client.Held), "db/schema", opts, func(h *client.Held, err error) {
			order <- weight // in earnest: look at the error
			h.UnlockAsync(func(*client.Held, error) {})
		})
		for waiting := 0; waiting <= i; {
			info, err := c.Get(ctx, "db/schema")
			if err != nil {
				log.Fatal(err)
			}
			waiting = info.WaiterCount
		}
	}
	if err := h.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-order, "before", <-order)
	// Output:
	// 200 before 0
}

// The modes of the VMS lock manager go beyond read and write: here one updates a
// table while others read single rows of it, and nobody reads or writes all of it.
func ExampleLockOptions_mode() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "planner"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	updater, err := c.LockWith(ctx, "rows", client.LockOptions{Mode: client.Update})
	if err != nil {
		log.Fatal(err)
	}
	defer updater.Unlock(context.WithoutCancel(ctx))
	reader, err := c.TryLockWith(ctx, "rows", client.LockOptions{Mode: client.ConcurrentRead})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Unlock(context.WithoutCancel(ctx))
	_, err = c.TryLockWith(ctx, "rows", client.LockOptions{Mode: client.Shared})
	fmt.Println("all of it:", errors.Is(err, client.ErrHeld))
	// Output:
	// all of it: true
}

// A hold may carry data for others to read: a payload for programs, labels for
// people.
func ExampleHeld_SetPayload() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "ci-runner-7"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.LockWith(ctx, "prod/deploy", client.LockOptions{
		Payload: []byte(`{"step":1}`), Labels: map[string]string{"run": "1234"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	if err := h.SetPayload(ctx, []byte(`{"step":2}`)); err != nil {
		log.Fatal(err)
	}
	info, err := c.Get(ctx, "prod/deploy")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %v", info.Holders[0].Payload, info.Holders[0].Labels)
	// Output:
	// {"step":2} map[run:1234]
}

// What one holder leaves the next one finds, with the lock: here, how far the work has
// come. If somebody was lost who could have written it, it is doubtful.
func ExampleHeld_SetValue() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	for range 2 {
		h, err := c.LockWith(ctx, "import/cursor", client.LockOptions{Value: true})
		if err != nil {
			log.Fatal(err)
		}
		from := h.Value()
		fmt.Printf("from %q, doubtful: %v\n", from.Data, from.Doubtful)
		if err := h.SetValue(ctx, []byte("page 7")); err != nil {
			log.Fatal(err)
		}
		if err := h.Unlock(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// from "", doubtful: false
	// from "page 7", doubtful: false
}

// A transfer needs two accounts, and the book that it is entered in only to read:
// it gets all of them or none, so that two transfers never wait for each other.
func ExampleClient_LockAllWith() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "bank"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	all, err := c.LockAllWith(ctx, []client.Want{
		{Name: "account/7"}, {Name: "account/3"}, {Name: "book", Mode: client.Shared},
	}, client.LockAllOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer all.Unlock(context.WithoutCancel(ctx))
	for _, t := range all.Tokens() {
		fmt.Println(t.Name, t.Token > 0) // the store refuses smaller tokens, name by name
	}
	// Output:
	// account/3 true
	// account/7 true
	// book true
}

// A refused try says who has the lock.
func ExampleHeldError() {
	err := error(&client.HeldError{
		Name: "prod/deploy", Position: 4,
		Info: &client.LockInfo{HolderCount: 1, WaiterCount: 3, Holders: []client.Holder{{
			Client: "ci-runner-7", Token: 88123, Mode: client.Exclusive, Held: 252 * time.Second,
			Since:     time.Date(2026, 11, 22, 7, 11, 3, 0, time.UTC),
			LeaseLeft: 7400 * time.Millisecond,
		}}},
	})
	fmt.Println(errors.Is(err, client.ErrHeld))
	fmt.Println(err)
	// Output:
	// true
	// lock "prod/deploy" is held
	//   holder : ci-runner-7
	//   mode   : exclusive   token: 88123   since: 2026-11-22T07:11:03Z (4m12s)   lease: 7.4s left
	//   queue  : 3 waiting, you would be 4th
}

// A resource that can remember nothing may ask whether a token is still good. The
// answer is of a moment: what can remember the largest token should do that.
func ExampleClient_CheckToken() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "store"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	shown := uint64(1) // by somebody who says that he holds the lock
	state, err := c.CheckToken(ctx, "orders/43", shown)
	if err != nil {
		log.Fatal(err)
	}
	if !state.Current {
		fmt.Println("stale; the newest is", state.Newest)
	}
	// Output:
	// stale; the newest is 0
}

// A reader that finds something to write becomes the writer. If another reader wants
// the same, one of the two must give way.
func ExampleRWMutex_Upgrade() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "settings"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	rw := c.RWMutex("settings")
	h, err := rw.RLock(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	// Read; it turns out that something is to be changed.
	switch err := rw.Upgrade(ctx, h); {
	case errors.Is(err, client.ErrDeadlock):
		log.Print("another reader writes: unlock, and begin anew: ", err)
	case err != nil:
		log.Fatal(err)
	default:
		// Write with h.Token(), which is a new one.
		fmt.Println("writes:", h.Mode() == client.Exclusive)
		if err := rw.Downgrade(ctx, h); err != nil {
			log.Fatal(err)
		}
		fmt.Println("reads:", h.Mode() == client.Shared)
	}
	// Output:
	// writes: true
	// reads: true
}

// A worker who needs a second lock while it holds the first says that it gives nothing
// back meanwhile. If it waits in a circle with others who say so, one of them is told
// who is in it.
func ExampleDeadlockError() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "worker-7"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	// Each worker of a client is an owner of its own. Of a circle the least weight is
	// told, if its locks do not all happen to be in one group of the cluster.
	mine := client.LockOptions{Owner: 1, Detect: true}
	other := client.LockOptions{Owner: 2, Detect: true, Weight: 1}
	from, err := c.LockWith(ctx, "account/12", mine)
	if err != nil {
		log.Fatal(err)
	}
	both := make(chan struct{})
	done := make(chan error, 1)
	go func() { // the other worker, who begins at the other end
		to, err := c.LockWith(ctx, "account/56", other)
		close(both)
		if err == nil {
			var from *client.Held
			if from, err = c.LockWith(ctx, "account/12", other); err == nil {
				err = errors.Join(from.Unlock(ctx), to.Unlock(ctx))
			}
		}
		done <- err
	}()
	<-both
	_, err = c.LockWith(ctx, "account/56", mine)
	var circle *client.DeadlockError
	if !errors.As(err, &circle) {
		log.Fatal(err)
	}
	for _, s := range circle.Steps {
		fmt.Printf("owner %d of %s waits for %s\n", s.Owner, s.Client, s.Name)
	}
	if err := from.Unlock(ctx); err != nil { // and begin anew
		log.Fatal(err)
	}
	fmt.Println("the other went on:", <-done)
	// Output:
	// owner 1 of worker-7 waits for account/56
	// owner 2 of worker-7 waits for account/12
	// the other went on: <nil>
}

// Somebody waits until a number of jobs is done, whoever does them.
func ExampleLatch() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "import"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	done := c.Latch("import/2026-11-28")
	// A day at most: those who wait learn that it broke, should the workers be gone.
	err = done.SetWith(ctx, 3, client.GateOptions{TTL: 24 * time.Hour})
	if err != nil && !errors.Is(err, client.ErrAlreadySet) {
		log.Fatal(err)
	}
	for range 3 { // in each worker, here and elsewhere, when it has done its job
		left, err := done.CountDown(ctx, 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(left, "left")
	}
	if err := done.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("all is imported")
	// Output:
	// 2 left
	// 1 left
	// 0 left
	// all is imported
}

// Two workers begin each round together.
func ExampleBarrier() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "worker-3"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	start := c.Barrier("training/round", 2)
	other := make(chan uint64, 3)
	go func() { // the other worker, elsewhere
		for range 3 {
			round, _ := start.Wait(ctx) // in earnest: look at the error
			other <- round
		}
	}()
	for range 3 {
		round, err := start.Wait(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("together:", round == <-other)
	}
	// Output:
	// together: true
	// together: true
	// together: true
}

// Workers do nothing while the event is not set, and go on when it is.
func ExampleEvent() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "mailer"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	open := c.Event("mail/open")
	if err := open.Set(ctx); err != nil { // whoever may let the others work
		log.Fatal(err)
	}
	if err := open.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("send mail")
	// Output:
	// send mail
}

// A watch tells what becomes of locks without taking part, through changes of
// leaders. Leaving the loop ends it.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "dashboard"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "shop/orders/7") // somebody, somewhere
	if err != nil {
		log.Fatal(err)
	}
	opts := client.WatchOptions{Prefix: client.NamePrefix}
	for e, err := range c.Watch(ctx, "shop/", opts) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Name, e.Change)
		if e.Free() {
			break
		}
		if err := h.Unlock(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// shop/orders/7 present
	// shop/orders/7 released
}

// Who waits can say for what.
func ExampleLockOptions_onWait() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "deploy"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	other, err := c.Lock(ctx, "prod/migrate") // somebody, somewhere
	if err != nil {
		log.Fatal(err)
	}
	told := make(chan struct{})
	go func() { // who gives it back once the next waits
		<-told
		_ = other.Unlock(ctx)
	}()
	h, err := c.LockWith(ctx, "prod/migrate", client.LockOptions{OnWait: func(w client.WhyInfo) {
		fmt.Printf("place %d behind %s\n", w.Position, w.Holders[0].Client)
		close(told)
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	// Output:
	// place 1 behind deploy
}

// What hangs holds nobody up for longer than its max hold: the hold ends by itself, and
// the context with it, before somebody else can have the lock.
func ExampleLockOptions_maxHold() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "report"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.LockWith(ctx, "reports/daily", client.LockOptions{MaxHold: 300 * time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	<-h.Context().Done() // the work, which takes too long
	fmt.Println("by its max hold:", errors.Is(context.Cause(h.Context()), client.ErrMaxHold))
	next, err := c.Lock(ctx, "reports/daily") // somewhere else
	if err != nil {
		log.Fatal(err)
	}
	defer next.Unlock(context.WithoutCancel(ctx))
	fmt.Println("the next has a larger token:", next.Token() > h.Token())
	fmt.Println("to be given back:", !errors.Is(h.Unlock(ctx), client.ErrLost))
	// Output:
	// by its max hold: true
	// the next has a larger token: true
	// to be given back: false
}

// The locks of a worker that is killed are free a second later, not when its lease is
// over; and a worker that hangs is heard from no more, and loses them after three
// heartbeats.
func ExampleOptions_releaseOnDisconnect() {
	ctx := context.Background()
	var p process // of the worker: an example cannot kill its own
	worker, err := client.Dial(ctx, nodes(), client.Options{Name: "worker-7", Dial: p.dial,
		Heartbeat: 20 * time.Second, Misses: 3, ReleaseOnDisconnect: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	h, err := worker.Lock(ctx, "shards/7") // a killed worker closes nothing
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "worker-8"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	p.kill()
	killed := time.Now()
	next, err := c.Lock(ctx, "shards/7")
	if err != nil {
		log.Fatal(err)
	}
	defer next.Unlock(context.WithoutCancel(ctx))
	fmt.Println("long before the lease of a minute is over:", time.Since(killed) < 20*time.Second)
	fmt.Println("the next has a larger token:", next.Token() > h.Token())
	// Output:
	// long before the lease of a minute is over: true
	// the next has a larger token: true
}

// One of many candidates leads; the work ends with the leadership.
func ExampleElection() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "scheduler-1"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	election := c.Election("scheduler", []byte("10.0.0.1:8080"))
	leading, err := election.Campaign(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer leading.Resign(context.WithoutCancel(ctx))
	work, stop := context.WithCancel(leading.Context()) // ends with the leadership
	defer stop()
	leader, err := election.Leader(work) // as anybody may ask
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s leads at %s", leader.Client, leader.Value)
	// Output:
	// scheduler-1 leads at 10.0.0.1:8080
}

// A detached hold outlives the process that took it, and ends by its own time.
func ExampleClient_TryDetached() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "cron"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.TryDetached(ctx, "cron/2026-11-28", time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Renew(ctx, 2*time.Hour); err != nil {
		log.Fatal(err)
	}
	fmt.Println("more than an hour:", time.Until(h.SafeUntil()) > time.Hour)
	// Output:
	// more than an hour: true
}

// A caller with very many requests under way needs no goroutine for each.
func ExampleClient_LockAsync() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "router"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	done := make(chan error, 3)
	for i := range 3 {
		name := fmt.Sprintf("async/%d", i)
		c.LockAsync(new(client.Held), name, client.LockOptions{}, func(h *client.Held, err error) {
			if err != nil {
				done <- err
				return
			}
			h.UnlockAsync(func(_ *client.Held, err error) { done <- err })
		})
	}
	for range 3 {
		fmt.Println(<-done)
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
}

// A client that is started again goes on with the locks of the one before.
func ExampleClient_Resumed() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	opts := client.Options{Name: "worker", SessionFile: filepath.Join(dir, "session")}
	c, err := client.Dial(ctx, nodes(), opts)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	for _, h := range c.Resumed() { // of a process that died
		fmt.Println("has still", h.Name())
	}
	fmt.Println("resumed:", len(c.Resumed()))
	// Output:
	// resumed: 0
}

// Whoever is always to hold a lock, when he can, takes it again when it was lost.
func ExampleClient_LockAgain() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "standby"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	terms := 0
	for h, err := range c.LockAgain(ctx, "standby", client.LockOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		if terms++; terms == 2 {
			break
		}
		_ = h.Unlock(ctx) // in earnest: work until h.Lost()
	}
	fmt.Println("held it", terms, "times")
	// Output:
	// held it 2 times
}

// Who looks after a cluster ends the hold of a client that does not let go. The token
// is that of the hold that was looked at, so no later one ends in its place.
func ExampleClient_ForceRelease() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "operator"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "prod/deploy") // the runner, somewhere, who does not let go
	if err != nil {
		log.Fatal(err)
	}
	info, err := c.Get(ctx, "prod/deploy")
	if err != nil || info.HolderCount == 0 {
		log.Fatal("nobody holds it: ", err)
	}
	err = c.ForceRelease(ctx, "prod/deploy", info.Holders[0].Token, "runner is gone, INC-17")
	var stale *client.StaleTokenError
	if errors.As(err, &stale) {
		log.Print("it has passed on meanwhile, to token ", stale.Present)
	}
	<-h.Lost() // the runner is told
	fmt.Println("forced:", errors.Is(context.Cause(h.Context()), client.ErrForced))
	// Output:
	// forced: true
}

// All names under a prefix are read page by page.
func ExampleClient_Locks() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "dashboard"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	for i := range 5 {
		if _, err := c.Lock(ctx, fmt.Sprint("shelf/", i)); err != nil {
			log.Fatal(err)
		}
	}
	for e, err := range c.Locks(ctx, "shelf/", client.ListOptions{Limit: 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Name, "held by", e.Client)
	}
	// Output:
	// shelf/0 held by dashboard
	// shelf/1 held by dashboard
	// shelf/2 held by dashboard
	// shelf/3 held by dashboard
	// shelf/4 held by dashboard
}

// Who does not wait can ask what he would wait for.
func ExampleClient_Why() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "report"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "reports/weekly") // somebody, somewhere
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	why, err := c.Why(ctx, "reports/weekly")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("place %d behind %s", why.Position, why.Holders[0].Client)
	if why.Estimate >= 0 { // known once a hold has ended for which somebody waited
		fmt.Printf(", some %s", why.Estimate)
	}
	// Output:
	// place 1 behind report
}

// Anybody may look on, and hears when another leads or the leader says something else.
func ExampleElection_Observe() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "proxy"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	election := c.Election("primary", []byte("10.0.0.7:5432")) // of a candidate
	leading, err := election.Campaign(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for leader, err := range election.Observe(ctx) {
		switch {
		case err != nil:
			log.Fatal(err)
		case leader.Token == 0:
			fmt.Println("nobody leads")
			return
		}
		fmt.Printf("%s leads\n", leader.Value)
		if err := leading.Resign(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 10.0.0.7:5432 leads
	// nobody leads
}

// A job that many may start is done by one, and not again for a while; if the one is
// lost while it works, the others leave it time to end.
func ExampleLockOptions_minHold() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "cron-3"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	once := client.LockOptions{MinHold: 30 * time.Second, LockDelay: 10 * time.Second}
	h, err := c.TryLockWith(ctx, "cron/mail", once)
	if err != nil {
		log.Fatal(err) // ErrHeld: another does it, or has just done it
	}
	if err := h.Unlock(ctx); err != nil { // it took no time
		log.Fatal(err)
	}
	_, err = c.TryLockWith(ctx, "cron/mail", once)
	var held *client.HeldError
	fmt.Println("taken still:", errors.As(err, &held) && held.Info.Holders[0].Kept)
	// Output:
	// taken still: true
}

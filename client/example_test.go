package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"lockd/client"
)

// A lock is taken, used and given back. The unlock does not depend on the
// context of the work.
func ExampleClient_Lock() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "billing"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "orders/42")
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	fmt.Println("token", h.Token())
}

// Do is the form to prefer: the context it hands to the work ends when the lock
// is lost.
func ExampleClient_Do() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "nightly"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	err = c.Do(ctx, "nightly", func(ctx context.Context, h *client.Held) error {
		select {
		case <-time.After(time.Minute): // the work
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if errors.Is(err, client.ErrLost) {
		log.Print("lost the lock before the work was done: ", err)
	}
}

// A semaphore is a name and how many may use it; nothing is set up beforehand.
func ExampleClient_Semaphore() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "trainer"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Semaphore("gpu", 8).Acquire(ctx, 2)
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	fmt.Println("permits", h.Permits())
}

// A hold may carry data for others to read: a payload for programs, labels for
// people.
func ExampleHeld_SetPayload() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "ci-runner-7"})
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
}

// A transfer needs two accounts, and the book that it is entered in only to read:
// it gets all of them or none, so that two transfers never wait for each other.
func ExampleClient_LockAllWith() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "bank"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	all, err := c.LockAllWith(ctx, []client.Want{
		{Name: "account/7"}, {Name: "account/3"}, {Name: "book", Mode: client.Shared},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer all.Unlock(context.WithoutCancel(ctx))
	for _, t := range all.Tokens() {
		fmt.Println(t.Name, t.Token) // the store refuses smaller tokens, name by name
	}
}

// A refused try says who has the lock.
func ExampleHeldError() {
	err := error(&client.HeldError{
		Name: "prod/deploy", Position: 4,
		Info: &client.LockInfo{HolderCount: 1, WaiterCount: 3, Holders: []client.Holder{{
			Client: "ci-runner-7", Token: 88123, Mode: 5, Held: 252 * time.Second,
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
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "store"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	state, err := c.CheckToken(ctx, "orders/42", 88123)
	if err != nil {
		log.Fatal(err)
	}
	if !state.Current {
		fmt.Println("stale; the newest is", state.Newest)
	}
}

// A reader that finds something to write becomes the writer. If another reader wants
// the same, one of the two must give way.
func ExampleRWMutex_Upgrade() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "settings"})
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
		fmt.Println("write with token", h.Token()) // a new one
		if err := rw.Downgrade(ctx, h); err != nil {
			log.Fatal(err)
		}
	}
}

// A worker who needs a second lock while it holds the first says that it gives nothing
// back meanwhile. If it would wait in a circle, it is told who is in it.
func ExampleDeadlockError() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "worker-7"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	mine := client.LockOptions{Detect: true} // give an Owner if others of this client lock too
	from, err := c.LockWith(ctx, "account/12", mine)
	if err != nil {
		log.Fatal(err)
	}
	defer from.Unlock(context.WithoutCancel(ctx))
	to, err := c.LockWith(ctx, "account/34", mine)
	var circle *client.DeadlockError
	if errors.As(err, &circle) {
		for _, s := range circle.Steps {
			log.Printf("%s waits for %s", s.Client, s.Name)
		}
		return // unlock the first, and begin anew
	}
	if err != nil {
		log.Fatal(err)
	}
	defer to.Unlock(context.WithoutCancel(ctx))
}

// Somebody waits until a number of jobs is done, whoever does them.
func ExampleLatch() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "import"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	done := c.Latch("import/2026-11-28")
	// A day at most: those who wait learn that it broke, should the workers be gone.
	err = done.SetWith(ctx, 12, client.GateOptions{TTL: 24 * time.Hour})
	if err != nil && !errors.Is(err, client.ErrAlreadySet) {
		log.Fatal(err)
	}
	// In each worker, here and elsewhere, when it has done its job:
	if _, err := done.CountDown(ctx, 1); err != nil {
		log.Fatal(err)
	}
	if err := done.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("all is imported")
}

// Eight workers begin each round together.
func ExampleBarrier() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "worker-3"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	start := c.Barrier("training/round", 8)
	for range 100 {
		round, err := start.Wait(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("round", round)
	}
}

// Workers do nothing while the event is not set, and go on when it is.
func ExampleEvent() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "mailer"})
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
}

// A watch tells what becomes of locks without taking part, through changes of
// leaders. Leaving the loop ends it.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "dashboard"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	opts := client.WatchOptions{Prefix: client.NamePrefix}
	for e, err := range c.Watch(ctx, "orders/", opts) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Name, e.Change, e.Client, e.Waiters)
	}
}

// Who waits can say for what.
func ExampleLockOptions_onWait() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "deploy"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.LockWith(ctx, "prod/deploy", client.LockOptions{OnWait: func(w client.WhyInfo) {
		fmt.Printf("place %d behind %s, perhaps %s\n", w.Position, w.Holders[0].Client, w.Estimate)
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
}

// What hangs holds nobody up for longer than a minute: the hold ends by itself, and the
// context with it.
func ExampleLockOptions_maxHold() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "report"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.LockWith(ctx, "reports/daily", client.LockOptions{MaxHold: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	<-h.Context().Done() // the work
	if err := h.Unlock(context.WithoutCancel(ctx)); errors.Is(err, client.ErrMaxHold) {
		log.Print("took too long: somebody else may write now, with a larger token")
	}
}

// One of many candidates leads; the work ends with the leadership.
func ExampleElection() {
	ctx := context.Background()
	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "scheduler-1"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	leading, err := c.Election("scheduler", []byte("10.0.0.1:8080")).Campaign(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer leading.Resign(context.WithoutCancel(ctx))
	<-leading.Context().Done() // the work
}

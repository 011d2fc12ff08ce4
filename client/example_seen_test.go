package client_test

import (
	"context"
	"fmt"
	"log"

	"lockd/client"
)

// Any number may read together, and who writes is alone.
func ExampleClient_RWMutex() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "catalogue"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	rw := c.RWMutex("catalogue")
	one, err := rw.RLock(ctx)
	if err != nil {
		log.Fatal(err)
	}
	two, err := rw.RLock(ctx) // somewhere else
	if err != nil {
		log.Fatal(err)
	}
	_, err = rw.TryLock(ctx)
	fmt.Println("written beside readers:", err == nil)
	for _, h := range []*client.Held{one, two} {
		if err := h.Unlock(ctx); err != nil {
			log.Fatal(err)
		}
	}
	w, err := rw.Lock(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Unlock(context.WithoutCancel(ctx))
	fmt.Println("written:", w.Mode() == client.Exclusive)
	// Output:
	// written beside readers: false
	// written: true
}

// Several locks are had all or none, whatever the order in which others name them:
// nobody who takes them so waits for one of these while holding another of a group.
func ExampleClient_LockAll() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "transfer"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	all, err := c.LockAll(ctx, "account/7", "account/3")
	if err != nil {
		log.Fatal(err)
	}
	defer all.Unlock(context.WithoutCancel(ctx))
	for _, x := range all.Tokens() {
		fmt.Println(x.Name, x.Token > 0) // for what each of them guards
	}
	// Unordered output:
	// account/3 true
	// account/7 true
}

// A watch of a prefix goes on from what another was told, after a restart for instance:
// of what is as it was known it tells nothing.
func ExampleWatchOptions_known() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "mirror"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	var holds []*client.Held
	for _, name := range []string{"mirror/a", "mirror/b"} { // somebody, somewhere
		h, err := c.Lock(ctx, name)
		if err != nil {
			log.Fatal(err)
		}
		holds = append(holds, h)
	}
	known := make(map[string]client.Version) // kept in a file, perhaps
	opts := client.WatchOptions{Prefix: client.NamePrefix}
	for e, err := range c.Watch(ctx, "mirror/", opts) {
		if err != nil {
			log.Fatal(err)
		}
		if known[e.Name] = e.Version; len(known) == len(holds) {
			break
		}
	}
	if err := holds[1].Unlock(ctx); err != nil { // while nobody watches
		log.Fatal(err)
	}
	opts.Known = known
	for e, err := range c.Watch(ctx, "mirror/", opts) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Name, e.Change)
		break
	}
	// Output:
	// mirror/b released
}

// Who waits can hear what becomes of the lock until it is granted.
func ExampleClient_WatchAndLock() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "standby"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	first, err := c.Lock(ctx, "primary") // somebody, somewhere
	if err != nil {
		log.Fatal(err)
	}
	told := false
	h, err := c.WatchAndLock(ctx, "primary", client.LockOptions{}, func(e client.WatchEvent) {
		if e.Token == first.Token() && !told {
			told = true
			fmt.Println("held by", e.Client)
			first.UnlockAsync(func(*client.Held, error) {})
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	fmt.Println("took over:", h.Token() > first.Token())
	// Output:
	// held by standby
	// took over: true
}

// Who held a lock, and how that ended, is written down by the nodes.
func ExampleClient_History() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "nightly"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "backup/7")
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	past, err := c.History(ctx, "backup/7", client.HistoryOptions{Limit: 10})
	if err != nil {
		log.Fatal(err)
	}
	for i := range past.Holds {
		p := &past.Holds[i]
		fmt.Println(p.Client, p.How, p.Token == h.Token(), p.End.Before(p.Start))
	}
	// Output:
	// nightly released true false
}

// Which names are waited for most is what their leaders have counted of late.
func ExampleClient_Top() {
	ctx := context.Background()
	c, err := client.Dial(ctx, nodes(), client.Options{Name: "dashboard"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	h, err := c.Lock(ctx, "hot")
	if err != nil {
		log.Fatal(err)
	}
	defer h.Unlock(context.WithoutCancel(ctx))
	for range 9 {
		_, _ = c.TryLock(ctx, "hot") // somebody, somewhere, in vain
	}
	top, err := c.Top(ctx, 64)
	if err != nil {
		log.Fatal(err)
	}
	for i := range top {
		if top[i].Name == "hot" {
			fmt.Println(top[i].Name, top[i].Refusals)
		}
	}
	// Output:
	// hot 9
}

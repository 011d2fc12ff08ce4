//go:build fault

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"lockd/client"
)

// TestFK1UpgradesSurviveAKill has two readers of each of many names, of whom the first
// waits to write when a node is killed: the second, who asks too, is told of the
// deadlock, and when it has gone the first writes, with a token above both.
func TestFK1UpgradesSurviveAKill(t *testing.T) {
	const names = 24
	c := startCluster(t, Options{Nodes: 3})
	a := dial(t, c, client.Options{Name: "first", Lease: time.Minute})
	b := dial(t, c, client.Options{Name: "second", Lease: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	read := func(c *client.Client, name string) *client.Held {
		h, err := c.RWMutex(name).RLock(ctx)
		if err != nil {
			t.Fatalf("read %q: %v", name, err)
		}
		return h
	}
	type pair struct {
		one, two *client.Held
		up       chan error
	}
	var all []pair
	for i := range names {
		name := fmt.Sprint("upgrade/", i)
		p := pair{read(a, name), read(b, name), make(chan error, 1)}
		began := make(chan struct{})
		go func() {
			close(began)
			p.up <- p.one.Convert(ctx, client.Exclusive)
		}()
		<-began
		all = append(all, p)
	}
	if err := c.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, p := range all {
		try, end := context.WithTimeout(ctx, 5*time.Second)
		err := p.two.Convert(try, client.Exclusive)
		end()
		switch {
		case errors.Is(err, client.ErrDeadlock):
			refused++
		default: // it was first, or is not alone
			t.Logf("%q: second upgrade ended as %v", p.two.Name(), err)
		}
		before := p.two.Token()
		if err := p.two.Unlock(ctx); err != nil {
			t.Fatalf("unlock %q: %v", p.two.Name(), err)
		}
		err = <-p.up
		if errors.Is(err, client.ErrDeadlock) {
			continue // the second came first
		}
		if err != nil || p.one.Mode() != client.Exclusive || p.one.Token() <= before {
			t.Errorf("%q: upgrade got %v, mode %v, token %d after %d", p.one.Name(), err,
				p.one.Mode(), p.one.Token(), before)
		}
		if err := p.one.Unlock(ctx); err != nil {
			t.Errorf("unlock %q: %v", p.one.Name(), err)
		}
	}
	if refused < names/2 {
		t.Errorf("got %d deadlocks told of %d, want most", refused, names)
	}
}

package locktest_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
	"lockd/netio/wire"
)

// apart returns n names that all belong to other groups.
func apart(n int) (names []string) {
	seen := map[uint16]bool{}
	for i := 0; len(names) < n; i++ {
		name := fmt.Sprint("account/", i)
		if g := wire.GroupOf("", name, 64); !seen[g] {
			seen[g] = true
			names = append(names, name)
		}
	}
	return names
}

// TestDeadlockRing proves on a cluster of three, with 64 groups, that of clients who each
// hold a name and wait for the next one's exactly one is told, and that the others go
// on; it says how long that took.
func TestDeadlockRing(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 64})
	ctx := within(t)
	for _, size := range []int{2, 10} {
		names := apart(size)
		type end struct {
			who  int
			held *client.Held
			err  error
		}
		ends, held := make(chan end, size), make([]*client.Held, size)
		clients := make([]*client.Client, size)
		for i := range size {
			clients[i] = cluster.Client(t, client.Options{Name: fmt.Sprint("client ", i)})
			held[i] = lock(ctx, t, clients[i], names[i])
		}
		began := time.Now()
		for i, c := range clients {
			h := new(client.Held)
			c.LockAsync(h, names[(i+1)%size], client.LockOptions{Detect: true},
				func(h *client.Held, err error) { ends <- end{i, h, err} })
		}
		first := <-ends
		var circle *client.DeadlockError
		if !errors.As(first.err, &circle) || len(circle.Steps) != size {
			t.Fatalf("first of %d: got %v, want a circle of all", size, first.err)
		}
		t.Logf("%d in a circle: told after %s: %v", size, time.Since(began), circle)
		next := first.who
		for range size - 1 {
			if err := held[next].Unlock(ctx); err != nil {
				t.Fatal(err)
			}
			x := <-ends
			if next = (next + size - 1) % size; x.err != nil || x.who != next {
				t.Fatalf("of %d: client %d got %v, want client %d to get its lock", size, x.who, x.err,
					next)
			}
			if err := x.held.Unlock(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := held[next].Unlock(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

package locktest_test

import (
	"context"
	"errors"
	"testing"

	"lockd/client"
	"lockd/client/locktest"
)

// work is what is to be tested: it works while it holds the lock, and stops when it has
// lost it.
func work(ctx context.Context, c *client.Client, begun func()) error {
	return c.Do(ctx, "job", func(ctx context.Context, h *client.Held) error {
		begun()
		<-ctx.Done() // here is the work
		return context.Cause(ctx)
	})
}

// testWork is how it is tested. TestExample runs it.
func testWork(t *testing.T) {
	cluster := locktest.New(t, locktest.Options{})
	c := cluster.Client(t, client.Options{Name: "worker"})
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- work(t.Context(), c, func() { close(begun) }) }()
	<-begun
	cluster.Kill(cluster.Leader("job")) // makes no difference
	cluster.Expire("job")
	if err := <-ended; !errors.Is(err, client.ErrLost) {
		t.Errorf("got %v, want the work to end because the lock is lost", err)
	}
}

// A worker is to stop when it has lost its lock, and not because a node dies.
func Example() {
	var t *testing.T // of the test
	testWork(t)
}

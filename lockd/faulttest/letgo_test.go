package faulttest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"lockd/client"
)

// cord are the conns of a client, which end together as those of a process that is
// killed do.
type cord struct {
	mu struct {
		sync.Mutex
		conns []net.Conn
		cut   bool
	}
}

func (x *cord) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.cut {
		conn.Close()
		return nil, errors.New("cut")
	}
	x.mu.conns = append(x.mu.conns, conn)
	return conn, nil
}

// end ends the conns for good.
func (x *cord) end() {
	x.mu.Lock()
	x.mu.cut = true
	x.mu.Unlock()
	x.reset()
}

// reset ends the conns that there are.
func (x *cord) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, conn := range x.mu.conns {
		conn.Close()
	}
	x.mu.conns = nil
}

// TestReleaseOnDisconnect: on a cluster of processes, what a client held whose conns
// end is another's its grace later, long before the lease, and the holder knew first.
func TestReleaseOnDisconnect(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	const grace = 2 * time.Second
	var line cord
	ctx := within(t, 60*time.Second)
	holder, err := client.Dial(ctx, c.Addresses(), client.Options{Name: "holder", Lease: time.Hour,
		ReleaseOnDisconnect: grace, Dial: line.dial})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = holder.Close(ended) // it has no conn any more
	}()
	h, err := holder.Lock(ctx, "letgo")
	if err != nil {
		t.Fatal(err)
	}
	other := dial(t, c, client.Options{Name: "other"})
	if _, err := other.TryLock(ctx, "letgo"); !errors.Is(err, client.ErrHeld) {
		t.Fatalf("try: got %v, want held", err)
	}
	line.end()
	began := time.Now()
	next, err := other.Lock(ctx, "letgo")
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if h.Valid() {
		t.Error("the holder believes in what another has")
	}
	if took < grace/2 || took > 20*time.Second {
		t.Errorf("passed on after %v, want the grace of %v", took, grace)
	}
	t.Logf("passed on after %v, grace %v", took.Round(time.Millisecond), grace)
	if err := next.Unlock(ctx); err != nil {
		t.Error(err)
	}
}

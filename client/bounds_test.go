package client

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// TestBounds asks for times that the cluster does not take.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.hold = [2]uint32{100, 60_000}
		c, ctx := n.client(t, Options{}), t.Context()
		gate := func(ttl time.Duration) GateOptions { return GateOptions{TTL: ttl} }
		h, err := c.TryDetached(ctx, "detached", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		_, short := c.TryDetached(ctx, "a", 99*time.Millisecond)
		_, long := c.TryDetached(ctx, "a", time.Hour)
		_, hold := c.TryLockWith(ctx, "a", LockOptions{MinHold: time.Hour})
		_, delay := c.LockWith(ctx, "a", LockOptions{LockDelay: time.Minute + 1})
		for what, x := range map[string]struct {
			err     error
			setting string
		}{
			"time to live of 99ms": {short, "hold_min"}, "time to live of 1h0m0s": {long, "hold_max"},
			"MinHold of 1h0m0s": {hold, "hold_max"}, "LockDelay of 1m0.001s": {delay, "hold_max"},
			"time to live of 1ms":   {h.Renew(ctx, time.Millisecond), "hold_min"},
			"time to live of 2h0m":  {c.Latch("l").SetWith(ctx, 1, gate(2*time.Hour)), "hold_max"},
			"time to live of 2h1m0": {c.Event("e").SetWith(ctx, gate(121*time.Minute)), "hold_max"},
		} {
			var bound *BoundError
			if !errors.As(x.err, &bound) || !errors.Is(x.err, ErrOptions) || bound.Most == 0 {
				t.Errorf("%s: got %v, want a BoundError that says what the cluster takes", what, x.err)
				continue
			}
			if text := x.err.Error(); !strings.Contains(text, what) ||
				!strings.Contains(text, "cluster.limits."+x.setting) {
				t.Errorf("%s: got %q, want the time and %s in it", what, text, x.setting)
			}
		}
		if _, err := c.TryLockWith(ctx, "b", LockOptions{MinHold: time.Millisecond}); err != nil {
			t.Errorf("a min hold below hold_min: got %v, want no error", err)
		}
	})
}

// TestLeaseOutOfBounds dials a cluster that takes no such lease: it is told at once which
// it takes.
func TestLeaseOutOfBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.lease = [2]uint32{5_000, 60_000}
		for _, x := range []struct {
			lease   time.Duration
			setting string
		}{{2 * time.Second, "lease_min"}, {time.Hour, "lease_max"},
			{500 * time.Millisecond, "lease_min"}, {2 * time.Hour, "lease_max"}, {-1, "lease_min"}} {
			began := time.Now()
			_, err := dialWith(t.Context(), []string{"node1", "node2"},
				Options{Lease: x.lease, Dial: n.dial}, n.now)
			var bound *BoundError
			if !errors.As(err, &bound) || !errors.Is(err, ErrOptions) || errors.Is(err, ErrUnavailable) ||
				bound.Least != 5*time.Second || bound.Most != time.Minute {
				t.Errorf("%s: got %v, want a BoundError that says what the cluster takes", x.lease, err)
				continue
			}
			if !strings.Contains(err.Error(), "cluster.limits."+x.setting) {
				t.Errorf("%s: got %v, want %s in it", x.lease, err, x.setting)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s: took %s, want it said at once", x.lease, took)
			}
		}
	})
}

// TestHeartbeatOutOfBounds: who said the lease as a heartbeat is told so of it, and what
// to do; of a lease that no client may have the client's bounds, if the cluster's are
// wider or no node says.
func TestHeartbeatOutOfBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.down["nowhere"] = true
		for _, x := range []struct {
			bounds  [2]uint32
			opts    Options
			address string
			want    string
		}{
			{[2]uint32{5_000, 60_000}, Options{Heartbeat: 500 * time.Millisecond, Misses: 2}, "node1",
				"Lease (from Heartbeat 500ms, Misses 2) of 1.303s, must be 5s to 1m0s " +
					"(cluster.limits.lease_min): give a longer Heartbeat or more Misses"},
			{[2]uint32{5_000, 60_000}, Options{Heartbeat: time.Hour, Misses: 3}, "node1",
				"must be 5s to 1m0s (cluster.limits.lease_max): give a shorter Heartbeat or fewer Misses"},
			{[2]uint32{100, 3600_000}, Options{Lease: 500 * time.Millisecond}, "node1",
				"Lease of 500ms, must be 1s to 1h0m0s (the least and the most of any client)"},
			{[2]uint32{5_000, 60_000}, Options{Lease: 500 * time.Millisecond}, "nowhere",
				"Lease of 500ms, must be 1s to 1h0m0s (the least and the most of any client)"},
		} {
			n.mu.d.lease = x.bounds
			x.opts.Dial = n.dial
			_, err := dialWith(t.Context(), []string{x.address}, x.opts, n.now)
			var bound *BoundError
			if !errors.As(err, &bound) || !errors.Is(err, ErrOptions) ||
				!strings.Contains(err.Error(), x.want) {
				t.Errorf("%+v: got %v, want it to say %q", x.opts, err, x.want)
			}
		}
	})
}

// TestRefusedBounds is told of bounds by a refusal only, by nodes that do not announce
// them.
func TestRefusedBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.filter = func(k *dumbConn, h wire.Header, body []byte) wire.Status {
			return wire.StatusBadRequest
		}
		c := n.client(t, Options{})
		_, err := c.TryDetached(t.Context(), "a", time.Millisecond)
		var bound *BoundError
		if !errors.As(err, &bound) || bound.Value != time.Millisecond ||
			!strings.Contains(err.Error(), "cluster.limits.hold_min, cluster.limits.hold_max") {
			t.Errorf("got %v, want a BoundError that names both settings", err)
		}
		if _, err := c.Get(t.Context(), "a"); !errors.Is(err, ErrProtocol) {
			t.Errorf("without a time: got %v, want ErrProtocol", err)
		}
	})
}

// TestTooMuchDataNamesTheLimit proves that who has no room is told how much there is.
func TestTooMuchDataNamesTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.mostData, n.mu.d.hold = 10, [2]uint32{1, 1000}
		much := LockOptions{Payload: make([]byte, 11)}
		_, err := n.client(t, Options{}).LockWith(t.Context(), "a", much)
		if !errors.Is(err, ErrTooMuchData) || !strings.Contains(err.Error(), "more than 1048576 bytes") ||
			!strings.Contains(err.Error(), "cluster.limits.data") {
			t.Errorf("got %v, want ErrTooMuchData with the limit and its setting", err)
		}
	})
}

// TestLabelsAreText proves that labels which no JSON could show are refused, and that a
// payload may be any bytes.
func TestLabelsAreText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		for _, labels := range []map[string]string{{"k\xff": "v"}, {"k": "\xfe"}} {
			_, err := c.LockWith(t.Context(), "a", LockOptions{Labels: labels})
			if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "not UTF-8") {
				t.Errorf("%q: got %v, want it refused", labels, err)
			}
		}
		h, err := c.LockWith(t.Context(), "a", LockOptions{Payload: []byte("\xff")})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.SetLabels(t.Context(), map[string]string{"a": "\xff"}); !errors.Is(err, ErrOptions) {
			t.Errorf("set: got %v, want it refused", err)
		}
	})
}

// TestFullSaysWhatToDo proves that who is refused for want of room hears which bound that is.
func TestFullSaysWhatToDo(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct {
		kind   wire.Kind
		status wire.Status
		says   string
	}{
		{wire.KindAcquire, wire.StatusBusy, "try again later"},
		{wire.KindAcquire, wire.StatusTooManyWaiters, "cluster.limits.waiters_per_lock"},
		{wire.KindWatch, wire.StatusTooManyWaiters, "watch a prefix"},
		{wire.KindAcquire, wire.StatusTooManyHolds, "cluster.limits.claims_per_session"},
		{wire.KindOpenSession, wire.StatusTooManySessions, "cluster.limits.sessions"},
	} {
		err := b.core.statusError(&Call{Kind: row.kind, Name: "a"}, row.status)
		if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), row.says) ||
			!strings.Contains(err.Error(), row.status.String()) {
			t.Errorf("%v, %v: got %v, want busy and %q", row.kind, row.status, err, row.says)
		}
	}
}

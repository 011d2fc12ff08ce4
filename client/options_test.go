package client

import (
	"errors"
	"math"
	"testing"
	"time"
)

// TestDriftOfBothClocks proves that a client stops believing in a hold before
// the nodes can end it when its own clock is as slow and theirs as fast as Drift
// allows (G6, I25): for the lease of a session and the time to live of a
// detached hold.
func TestDriftOfBothClocks(t *testing.T) {
	for _, drift := range []float64{0, 0.001, 0.01, 0.1, maxDrift} {
		c := NewCore(CoreConfig{Lease: benchLease, Drift: drift}, 1)
		for what, span := range map[string]time.Duration{
			"lease": c.leaseSpan, "time to live": c.ttlSpan(benchLease),
		} {
			believed := float64(span) / (1 - drift) // in true time
			kept := float64(benchLease) / (1 + drift)
			if believed > kept {
				t.Errorf("%s, drift %v: believed in for %.3fs, kept for %.3fs",
					what, drift, believed/1e9, kept/1e9)
			}
			if least := 1 - 2*drift - 1e-9; float64(span) < least*float64(benchLease) {
				t.Errorf("%s, drift %v: got %s, gives up more than twice the drift", what, drift, span)
			}
		}
	}
}

// TestPartsOfMilliseconds proves that a client counts on no more than the nodes are
// asked for, who are told whole milliseconds (I25).
func TestPartsOfMilliseconds(t *testing.T) {
	const more = time.Millisecond - 1
	c := NewCore(CoreConfig{Lease: time.Second + more, Grace: 500*time.Millisecond + more,
		Drift: 1e-9, Margin: 1}, 1)
	if c.leaseSpan > 500*time.Millisecond {
		t.Errorf("grace: got %s, want no more than 500ms", c.leaseSpan)
	}
	c = NewCore(CoreConfig{Lease: time.Second + more, Drift: 1e-9, Margin: 1}, 1)
	if c.leaseSpan > time.Second {
		t.Errorf("lease: got %s, want no more than 1s", c.leaseSpan)
	}
	for _, ttl := range []time.Duration{time.Millisecond, 100 * time.Millisecond} {
		if got := c.ttlSpan(ttl + more); got > ttl {
			t.Errorf("time to live: got %s, want no more than %s", got, ttl)
		}
	}
}

// TestOptionsLeaveLease proves that options which would leave too little of the
// lease to renew it in time are refused, and those at the bounds are not.
func TestOptionsLeaveLease(t *testing.T) {
	for _, c := range []struct {
		lease, margin time.Duration
		drift         float64
		ok            bool
	}{
		{lease: 0, ok: true}, // all defaults
		{lease: 10e9, margin: 5e9, ok: true},
		{lease: 10e9, margin: 1, drift: maxDrift, ok: true},
		{lease: 10e9, margin: 5e9, drift: maxDrift},
		{lease: 10e9, margin: 5e9 + 1},
		{lease: 10e9, margin: -1},
		{lease: 10e9, drift: maxDrift + 0.01},
		{lease: 10e9, drift: -0.01},
		{lease: 10e9, drift: math.NaN()},
	} {
		o, err := Options{Lease: c.lease, Margin: c.margin, Drift: c.drift}.withDefaults()
		if c.ok != (err == nil) || (err != nil && !errors.Is(err, ErrOptions)) {
			t.Errorf("lease %s, margin %s, drift %v: got %v", c.lease, c.margin, c.drift, err)
		}
		if err != nil {
			continue
		}
		core := NewCore(CoreConfig{Lease: o.Lease, Drift: o.Drift, Margin: o.Margin}, 1)
		if core.leaseSpan <= o.Lease/3 {
			t.Errorf("lease %s: got %s of belief, less than between keepalives",
				o.Lease, core.leaseSpan)
		}
	}
}

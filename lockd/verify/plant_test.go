//go:build plant && !invariants

package verify

import (
	"testing"
	"time"

	"lockd/client/locktest"
	"lockd/lockfsm"
)

// TestPlanted shows that a run finds bugs of the machine that callers can notice,
// planted one at a time, and none in a machine without. It is built without invariants,
// which would end the nodes first.
func TestPlanted(t *testing.T) {
	all := []string{KindConns, KindForce, KindPause}
	for _, row := range []struct {
		bug    string
		faults []string
		lasts  time.Duration
	}{
		{"", all, 6 * time.Second},
		{"permits-over-capacity", nil, 2 * time.Second},
		{"any-token-current", nil, 2 * time.Second},
		{"token-per-key", nil, 2 * time.Second},
		{"reentry-counted-twice", []string{KindConns}, 2 * time.Second},
		{"parts-granted-early", nil, 2 * time.Second},
		{"upgrade-keeps-token", nil, 2 * time.Second},
		{"max-hold-forgotten", nil, 2 * time.Second},
		{"force-without-token", []string{KindForce}, 2 * time.Second},
		{"unlock-without-token", nil, 5 * time.Second},
		{"release-counted-twice", []string{KindConns}, 8 * time.Second},
		{"close-leaves-waits", []string{KindPause}, 4 * time.Second},
	} {
		t.Run("bug="+row.bug, func(t *testing.T) {
			lockfsm.Planted = row.bug
			c := locktest.New(t, locktest.Options{})
			t.Cleanup(func() { lockfsm.Planted = "" })
			o := options(c)
			o.For, o.Faults, o.Rest = row.lasts, row.faults, 50*time.Millisecond
			o.Length = 50 * time.Millisecond // a cut lasts no time
			if row.bug == "force-without-token" {
				o.Length = time.Second
			}
			o.Workers, o.Clients, o.Rate = 16, 2, 6000
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Violated() != (row.bug != "") {
				t.Errorf("got %v, unexpected %v", r.Verdict.Violations, r.Unexpected)
			}
		})
	}
}

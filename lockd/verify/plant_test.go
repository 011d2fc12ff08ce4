//go:build plant && !invariants

package verify

import (
	"testing"
	"time"

	"lockd/client/locktest"
	"lockd/lockfsm"
)

// TestPlanted shows that a run finds bugs of the machine that callers can notice,
// planted one at a time. It is built without invariants, which would end the nodes
// first.
func TestPlanted(t *testing.T) {
	for _, bug := range []string{"", "permits-over-capacity", "any-token-current",
		"reentry-counted-twice", "token-per-key"} {
		t.Run("bug="+bug, func(t *testing.T) {
			lockfsm.Planted = bug
			c := locktest.New(t, locktest.Options{})
			t.Cleanup(func() { lockfsm.Planted = "" })
			o := options(c)
			o.For, o.Faults, o.Rest = 3*time.Second, []string{KindConns}, 50*time.Millisecond
			o.Workers, o.Rate = 16, 6000
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Violated() != (bug != "") {
				t.Errorf("got %v, unexpected %v", r.Verdict.Violations, r.Unexpected)
			}
		})
	}
}

//go:build plant

package lockfsm

import (
	"fmt"
	"testing"
)

// TestPlanted shows that the tests find each planted bug: a random world must
// fail with it, and none may fail without.
func TestPlanted(t *testing.T) {
	for _, bug := range []string{"", "dedup-off", "unknown-session-recreated", "tick-uncapped",
		"late-step-counts",
		"expire-before-renew", "grant-to-dead-session", "token-per-key", "unlock-without-token",
		"checkpoint-order-from-table", "dedup-not-in-checkpoint",
		"permits-over-capacity", "reentry-counted-twice", "release-counted-twice",
		"capacity-forgotten-in-checkpoint", "stale-epoch-executed", "cancel-drops-grant",
		"close-leaves-waits", "reader-passes-writer", "grant-to-parked-session",
		"token-counter-not-in-checkpoint", "second-upgrader-waits",
		"circle-not-seen", "circle-through-what-lets-pass", "circle-past-other-names",
		"parts-granted-early", "parts-passed-by-all",
		"upgrade-keeps-token", "weight-never-ages", "amend-repeated", "nothing-kept",
		"terms-forgotten-in-checkpoint",
		"claims-in-order-of-table",
		"gate-dedup-off", "answers-not-in-checkpoint", "barrier-counts-the-dead", "latch-opens-early",
		"latch-releases-one", "force-without-token", "value-never-doubtful"} {
		t.Run("bug="+bug, func(t *testing.T) {
			Planted = bug
			defer func() { Planted = "" }()
			found := ""
			met := tally{codes: map[Code]int{}, events: map[string]int{}}
			for seed := uint64(1); seed <= 600 && found == ""; seed++ {
				if err := fallingWorld(seed, &met); err != nil {
					found = err.Error()
				}
			}
			switch {
			case bug == "" && found != "":
				t.Errorf("without a bug: got %s", found)
			case bug != "" && found == "":
				t.Errorf("got 600 seeds without failure, want %s found", bug)
			default:
				t.Logf("%.300s", found)
			}
		})
	}
}

// fallingWorld runs a seed and turns a panic into an error.
func fallingWorld(seed uint64, met *tally) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return runWorld(seed, 200, met)
}

package node

import (
	"errors"
	"strings"
	"testing"

	"lockd/lockfsm"
)

// TestIdentityNamesTheLimitsItWasBornWith: a directory with the default counts of
// an earlier version is refused with what to set, one with others is refused, one
// with the same is taken.
func TestIdentityNamesTheLimitsItWasBornWith(t *testing.T) {
	o := Defaults()
	o.Cluster, o.Self = "c", 1
	o.Limits.Locks, o.Limits.Claims, o.Limits.ClaimsPerSession = 8440, 8440, 8440
	born := func(l lockfsm.Limits) error {
		then := o
		then.Limits = l
		id := Identity{Cluster: o.Cluster, Node: 1, Groups: uint16(o.Groups),
			Settings: then.Digest()}
		return id.Check(&o)
	}
	if err := born(o.Limits); err != nil {
		t.Errorf("the same limits: %v", err)
	}
	earlier := lockfsm.DefaultLimits()
	earlier.AgeStep = 0 // there was none
	err := born(earlier)
	for _, want := range []string{"cluster.limits.sessions = 131072", "locks = 1048576",
		"claims = 1048576", "detached = 262144", "claims_per_session = 65536",
		"waiters_per_lock = 10000", "node.memory"} {
		if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), want) {
			t.Errorf("earlier defaults: got %v, want it to say %q", err, want)
		}
	}
	other := lockfsm.DefaultLimits()
	other.Locks++
	if err := born(other); !errors.Is(err, ErrSettings) || strings.Contains(err.Error(), "set them") {
		t.Errorf("other limits: got %v", err)
	}
}

// TestIdentityOfAClusterWithoutAgeing: one that was born before there was ageing
// goes on without, unless the step is set to something else.
func TestIdentityOfAClusterWithoutAgeing(t *testing.T) {
	o := Defaults()
	o.Cluster, o.Self = "c", 1
	then := o
	then.Limits.AgeStep = 0
	id := Identity{Cluster: o.Cluster, Node: 1, Groups: uint16(o.Groups), Settings: then.Digest()}
	rec := NewRecovery(id, o)
	if err, got := id.Check(&o), rec.Limits().AgeStep; err != nil || got != 0 {
		t.Errorf("born before: got %v, step %d, want none", err, got)
	}
	id.Settings = o.Digest()
	rec = NewRecovery(id, o)
	if err, got := id.Check(&o), rec.Limits().AgeStep; err != nil || got != o.Limits.AgeStep {
		t.Errorf("born today: got %v, step %d, want %d", err, got, o.Limits.AgeStep)
	}
	id.Settings, o.Limits.AgeStep = then.Digest(), 77
	if err := id.Check(&o); !errors.Is(err, ErrSettings) {
		t.Errorf("another step: got %v, want %v", err, ErrSettings)
	}
}

package config

import (
	"slices"
	"testing"
)

// TestFixedDifferences: each setting that is fixed at birth and differs is named
// with both values, and not what merely follows from it.
func TestFixedDifferences(t *testing.T) {
	load := func(flags ...Given) Config {
		c, _, err := Load(Sources{File: write(t, example), Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	born := load()
	fixed := born.AppendFixed(nil)
	for _, row := range []struct {
		flags []Given
		want  []string
	}{
		{nil, nil},
		{[]Given{{"data", "elsewhere"}, {"heartbeat", "40ms"}, {"memory", "0"}}, nil},
		{[]Given{{"replicas", "1"}, {"window", "8"}, {"log-tick", "100ms"}}, []string{
			"cluster.replicas is 1, must be 3", "cluster.log_tick is 100ms, must be 200ms",
			"node.window is 8, must be 16"}},
		{[]Given{{"limit-memory", "512MiB"}},
			[]string{"cluster.limits.memory is 512MiB, must be 1GiB"}},
		{[]Given{{"groups", "32"}}, []string{"cluster.groups is 32, must be 64"}},
		{[]Given{{"limit-locks", "100"}, {"limit-lease-min", "500ms"}}, []string{
			"cluster.limits.locks is 100, must be 7048",
			"cluster.limits.lease_min is 500ms, must be 1s"}},
	} {
		c := load(row.flags...)
		if got := c.FixedDifferences(fixed); !slices.Equal(got, row.want) {
			t.Errorf("%v: got %q, want %q", row.flags, got, row.want)
		}
	}
	if got := born.FixedDifferences([]byte("what is this\n\n = \n")); got != nil {
		t.Errorf("what is no such list: got %q, want nothing", got)
	}
}

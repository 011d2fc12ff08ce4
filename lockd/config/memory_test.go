package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestMemoryAddsUp: the printed bounds are comments of a file that reads back, and
// every limit that is raised raises them (I22).
func TestMemoryAddsUp(t *testing.T) {
	sum := func(flags ...Given) (all uint64, printed string) {
		flags = append(flags, Given{"memory", "0"})
		c, _, err := Load(Sources{File: write(t, example), Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		return c.Memory().Sum() + c.Disk().Sum(), string(c.AppendMemory(c.AppendTOML(nil)))
	}
	base, printed := sum()
	c, _, err := Load(Sources{File: write(t, printed)})
	if err != nil {
		t.Errorf("printed with its memory: %v", err)
	}
	for _, parts := range []Parts{c.Memory(), c.Disk()} {
		if want := fmt.Sprintf("%d MiB  together", parts.Sum()>>20); !strings.Contains(printed, want) {
			t.Errorf("got no %q in\n%s", want, printed)
		}
	}
	for _, raised := range []Given{
		{"groups", "128"}, {"limit-memory", "2GiB"}, {"limit-locks", "2000000"},
		{"limit-claims", "2000000"}, {"limit-sessions", "1000000"},
		{"wal-segments-max", "64"}, {"wal-segment", "128MiB"}, {"retain", "1GiB"},
		{"inbox", "1GiB"}, {"checkpoint-cache", "1GiB"}, {"conns", "100000"},
		{"outbound", "1GiB"},
	} {
		if more, _ := sum(raised); more <= base {
			t.Errorf("--%s %s: got %d bytes, want more than %d", raised.Flag, raised.Value, more, base)
		}
	}
}

// nodesFlags lists so many nodes.
func nodesFlags(n int) (all []Given) {
	for i := 1; i <= n; i++ {
		all = append(all, Given{"node", fmt.Sprintf("%d=h%d:1/h%d:2", i, i, i)})
	}
	return all
}

// TestDefaultsFitTheDeclaredMemory: with default settings the bounds add up to
// node.memory at most, whatever the number of nodes and of cores, and nearly all
// of cluster.limits.memory is used (I22).
func TestDefaultsFitTheDeclaredMemory(t *testing.T) {
	for nodes := 1; nodes <= 7; nodes++ {
		for _, loops := range []string{"1", "2", "4", "8"} {
			c, _, err := Load(Sources{File: write(t, example),
				Flags: append(nodesFlags(nodes), Given{"event-loops", loops})})
			if err != nil {
				t.Errorf("%d nodes, %s event loops: %v", nodes, loops, err)
				continue
			}
			machines := uint64(c.Groups) * c.Limits.MemoryBytes()
			if declared := uint64(c.MachineBytes); machines > declared || machines < declared*9/10 {
				t.Errorf("machines: got %d bytes, want nearly the %d that are declared", machines,
					declared)
			}
		}
	}
}

// TestCountsFollowFromClusterSettingsAlone: what decides results is the same on
// nodes with different memory, inboxes and logs.
func TestCountsFollowFromClusterSettingsAlone(t *testing.T) {
	load := func(flags ...Given) Config {
		c, _, err := Load(Sources{File: write(t, example), Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one := load()
	other := load(Given{"memory", "64GiB"}, Given{"inbox", "1GiB"}, Given{"wal-segments-max", "99"},
		Given{"conns", "50000"}, Given{"event-loops", "8"})
	if one.Limits != other.Limits {
		t.Errorf("got %+v on one node and %+v on another, want the same", one.Limits, other.Limits)
	}
	small := load(Given{"limit-memory", "64MiB"}, Given{"limit-sessions", "100"})
	if small.Limits.Sessions != 100 || small.Limits.Locks >= one.Limits.Locks {
		t.Errorf("got %+v, want 100 sessions and fewer locks than %d", small.Limits, one.Limits.Locks)
	}
	if got := uint64(small.Groups) * small.Limits.MemoryBytes(); got > 84<<20 {
		t.Errorf("machines with 64 MiB declared: got %d bytes", got)
	}
}

// TestNodeThatNeedsMoreThanItDeclaresIsRefused: the complaint names the sum, the
// settings and what each costs.
func TestNodeThatNeedsMoreThanItDeclaresIsRefused(t *testing.T) {
	_, _, err := Load(Sources{File: write(t, example),
		Flags: []Given{{"limit-locks", "2000000"}, {"memory", "8GiB"}}})
	for _, want := range []string{"node.memory is 8GiB", "locks, sessions and waiters",
		"cluster.limits, cluster.groups", "together"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

// TestListsSayWhatTheyCount: how many nodes the sums are for, and what one more takes.
func TestListsSayWhatTheyCount(t *testing.T) {
	c, _, err := Load(Sources{File: write(t, example)})
	if err != nil {
		t.Fatal(err)
	}
	more := c
	more.Nodes = append(slices.Clone(c.Nodes), Node{ID: 4})
	text := string(c.AppendMemory(nil))
	for _, want := range []string{"for the 3 nodes of cluster.nodes", fmt.Sprintf(
		"takes %d MiB of memory and %d MiB of disk more", (more.Memory().Sum()-c.Memory().Sum())>>20,
		(more.Disk().Sum()-c.Disk().Sum())>>20)} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant it to say %q", text, want)
		}
	}
}

// TestFilesOfALargeHistoryAreKeptAwayFromConns: each segment is an open file, and a conn
// that takes the last one would end the node.
func TestFilesOfALargeHistoryAreKeptAwayFromConns(t *testing.T) {
	load := func(flags ...Given) int {
		c, _, err := Load(Sources{File: write(t, example), Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		return c.ServerOptions().ReservedFiles
	}
	if got := load(); got != 0 {
		t.Errorf("by default: got %d, want what netio takes", got)
	}
	large := []Given{{"history-size", "32GiB"}, {"memory", "64GiB"}}
	if got, want := load(large...), 2048+otherFiles; got < want {
		t.Errorf("a history of 32 GiB: got %d, want %d at least", got, want)
	}
	more := append(large, Given{"wal-segments-max", "500"})
	if got, less := load(more...), load(large...); got != less+500-16 {
		t.Errorf("a log of 500 segments: got %d, want %d more than %d", got, 500-16, less)
	}
}

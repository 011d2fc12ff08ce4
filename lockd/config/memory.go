package config

import (
	"fmt"
	"slices"
	"strings"

	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio"
	"lockd/wal"
)

// Part is one part of what a node may need at most.
type Part struct {
	What string
	// Settings are the keys that decide it.
	Settings string
	Bytes    uint64
}

// Parts are bounds that hold at the same time.
type Parts []Part

// Sum is what all of them come to.
func (p Parts) Sum() (sum uint64) {
	for _, x := range p {
		sum += x.Bytes
	}
	return sum
}

// bufferedBytes bounds the half-read frames and unsent responses of all conns.
const bufferedBytes = 56 << 20

// Memory lists what a node with these settings may need, each part when all of
// it is used up at the same time (I22). It is a bound, not a forecast: most of it
// are names of the greatest length, of which a lock with an ordinary one needs
// nothing. Pages of files that the kernel keeps are not counted.
func (c *Config) Memory() Parts {
	groups, nodes := uint64(c.Groups), uint64(max(1, len(c.Nodes)))
	server := c.ServerOptions()
	links := netio.LinkOptions{Peers: make([]netio.Peer, nodes-1)}
	group := c.Limits.MemoryBytes()
	parts := Parts{
		{"locks, sessions and waiters", "cluster.limits, cluster.groups", groups * group},
		{"sessions and waiters of conns", "cluster.limits, cluster.groups",
			groups * (uint64(c.Limits.Sessions)*boundBytes + uint64(c.Limits.Claims)*waitBytes)},
		{"machines of snapshots that arrive", "cluster.limits", (nodes - 1) * group},
		{"slots that no checkpoint covers", "node.wal_segments_max, node.wal_segment",
			uint64(c.WALBound) * uint64(c.WALSegmentBytes)},
		{"batches that wait for the disk", "", node.BacklogBytes(wal.MaxBatchBytes)},
		{"slots kept for peers that lag", "node.retain", uint64(c.RetainBytes)},
		// The commands, with room to grow, and three quarters as much for who sent them.
		{"batches of the groups", "node.batch, cluster.groups", groups * 2 * uint64(c.BatchBytes)},
		{"inbox, and what waits for its turn", "node.inbox", 9 * uint64(c.InboxBytes) / 4},
		{"conns of clients", "node.conns, node.event_loops, node.outbound", server.MemoryBytes()},
		{"watches, and contended names", "cluster.groups", node.WatchBytes(c.Groups)},
		{"names found for lists", "", node.SearchBytes()},
		{"questions that wait for an answer", "", node.QuestionBytes()},
		{"requests held for want of a leader", "", node.EarlyBytes()},
		{"room for answers that conns keep", "", node.RoomBytes()},
		{"history", historyKey, history.MemoryBytes(c.HistoryBytes, c.Groups)},
		{"links to peers", "cluster.nodes", links.MemoryBytes()},
		{"checkpoints", "node.checkpoint_cache, cluster.limits",
			uint64(c.CheckpointCacheBytes) + writeBuffers + 2*group},
	}
	garbage := parts.Sum()/8 + runtimeBytes
	return append(parts, Part{"garbage, and the program itself", "", garbage})
}

const (
	// boundBytes is what a node keeps for a session whose conn it has, and
	// waitBytes for a claim that is waited for: entries of two maps and of one. To the
	// former come two of a list, for when the conn is gone.
	boundBytes, waitBytes = 160 + 64, 80
	// writeBuffers are the two of the store of checkpoints. A change set on its
	// way there is as large as twice its group.
	writeBuffers = 2 * 16 << 20
	// runtimeBytes is the program with its stacks and small tables.
	runtimeBytes = 48 << 20
)

// Disk lists what the directory of the node may grow to.
func (c *Config) Disk() Parts {
	machines := uint64(c.Groups) * c.Limits.MemoryBytes()
	return Parts{
		{"log", "node.wal_segments_max, node.wal_segment",
			uint64(c.WALBound+2) * uint64(c.WALSegmentBytes)},
		// The store merges: old and new of it are there together, and some more.
		{"checkpoints", "cluster.limits, cluster.groups", 3 * machines},
		{"room for answers that conns keep", "", node.RoomBytes()},
		{"history", historyKey, uint64(c.HistoryBytes)},
		{"snapshots that arrive", "cluster.limits",
			2 * uint64(max(0, len(c.Nodes)-1)) * c.Limits.MemoryBytes()},
	}
}

// unsetCounts leaves the counts of l to fitCounts.
func unsetCounts(l lockfsm.Limits) lockfsm.Limits {
	l.Sessions, l.Locks, l.Claims, l.Detached, l.DataBytes = 0, 0, 0, 0, 0
	return l
}

// The counts that are not given stand in this proportion.
const locksPart, claimsPart, sessionsPart, detachedPart = 8, 8, 8, 1

// fitCounts gives the counts that are zero what the given ones leave of
// MachineBytes. They are a function of cluster settings alone, so that all nodes
// come to the same.
func (c *Config) fitCounts() {
	c.asked = c.Limits
	l := &c.Limits
	perGroup := uint64(c.MachineBytes) / uint64(max(1, c.Groups))
	if l.DataBytes == 0 {
		l.DataBytes = uint32(min(perGroup/dataShare, 1<<30))
	}
	counts := []struct {
		at   *uint32
		part uint64
	}{{&l.Locks, locksPart}, {&l.Claims, claimsPart}, {&l.Sessions, sessionsPart},
		{&l.Detached, detachedPart}}
	given, unit := *l, *l
	unit.Locks, unit.Claims, unit.Sessions, unit.Detached = 0, 0, 0, 0
	base := unit.MemoryBytes()
	for i, at := range []*uint32{&unit.Locks, &unit.Claims, &unit.Sessions, &unit.Detached} {
		if *counts[i].at == 0 {
			*at = uint32(counts[i].part)
		}
	}
	cost := unit.MemoryBytes() - base
	if cost == 0 {
		return
	}
	room := int64(perGroup) - int64(given.MemoryBytes())
	for i := range counts {
		if *counts[i].at == 0 {
			n := max(0, room) / int64(cost) * int64(counts[i].part)
			*counts[i].at = uint32(min(max(leastCount, n), mostCount))
		}
	}
	if given.Detached == 0 {
		l.Detached = min(l.Detached, l.Claims)
	}
	// The defaults of these are for groups that are not small.
	d := lockfsm.DefaultLimits()
	if l.ClaimsPerSession == d.ClaimsPerSession {
		l.ClaimsPerSession = min(l.ClaimsPerSession, l.Claims)
	}
	if l.WaitersPerLock == d.WaitersPerLock {
		l.WaitersPerLock = min(l.WaitersPerLock, l.Claims)
	}
}

const (
	// dataShare is the part of a group's memory that data gets if it is not given.
	// It counts twice in the bound.
	dataShare = 32
	// leastCount is what a count is made to be at least: a group with less is of
	// no use. The sum then shows that it does not fit.
	leastCount = 64
	mostCount  = 1 << 30
)

// checkMemory compares the bounds with what the node may take.
func (c *Config) checkMemory() error {
	parts := c.Memory()
	if c.MemoryBytes == 0 || parts.Sum() <= uint64(c.MemoryBytes) {
		return nil
	}
	return fmt.Errorf("node.memory is %s, and the bounds of this node add up to %d MiB; raise it "+
		"or lower what is largest:\n%s", formatBytes(c.MemoryBytes), parts.Sum()>>20,
		parts.append(nil))
}

// append appends a line for each part.
func (p Parts) append(dst []byte) []byte {
	for _, x := range p {
		line := fmt.Sprintf("#   %9d MiB  %-36s %s", x.Bytes>>20, x.What, x.Settings)
		dst = append(append(dst, strings.TrimRight(line, " ")...), '\n')
	}
	return fmt.Appendf(dst, "#   %9d MiB  together\n", p.Sum()>>20)
}

// AppendMemory appends the two lists as comments of a file, and what they count.
func (c *Config) AppendMemory(dst []byte) []byte {
	dst = append(dst, "\n# Memory at most, if everything is used up at the same time:\n"...)
	dst = c.Memory().append(dst)
	dst = append(dst, "\n# Disk at most:\n"...)
	dst = c.Disk().append(dst)
	memory, disk := c.More()
	return fmt.Appendf(dst, "\n# Counted for the %d nodes of cluster.nodes. Each the cluster has "+
		"beside them,\n# because it was added, takes %d MiB of memory and %d MiB of disk more: write "+
		"it in.\n", len(c.Nodes), memory>>20, disk>>20)
}

// More returns the bytes of memory and of disk that each node of the cluster takes beside
// those of Memory and Disk which Nodes lacks.
func (c *Config) More() (memory, disk uint64) {
	more := *c
	more.Nodes = append(slices.Clone(c.Nodes), Node{})
	return more.Memory().Sum() - c.Memory().Sum(), more.Disk().Sum() - c.Disk().Sum()
}

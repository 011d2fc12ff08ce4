package config

import (
	"fmt"

	"lockd/netio"
)

// Memory is one part of what a node may need at most.
type Memory struct {
	What  string
	Bytes uint64
}

// Memory lists what a node with these settings may need, each part when all of
// it is used up at the same time (I22). It is a bound, not a forecast: most of it
// are names of the greatest length, of which a lock with an ordinary one needs
// nothing. The collector of garbage adds an eighth, and pages of files that the
// kernel keeps are not counted.
func (c *Config) Memory() []Memory {
	groups := uint64(c.Groups)
	server := c.ServerOptions()
	links := netio.LinkOptions{Peers: make([]netio.Peer, max(0, len(c.Nodes)-1))}
	return []Memory{
		{"locks, sessions and waiters", groups * c.Limits.MemoryBytes()},
		{"slots that no checkpoint covers", uint64(c.WALBound) * uint64(c.WALSegmentBytes)},
		{"slots kept for peers that lag", uint64(c.RetainBytes)},
		{"batches of the groups", groups * 2 * uint64(c.BatchBytes)},
		{"inbox", 2 * uint64(c.InboxBytes)},
		{"conns of clients", server.MemoryBytes()},
		{"links to peers", links.MemoryBytes()},
		{"checkpoints", uint64(c.CheckpointCacheBytes) + checkpointMemory},
	}
}

// checkpointMemory is what the store of checkpoints needs beside its cache: two
// write buffers, and a change set on its way.
const checkpointMemory = 2*16<<20 + 256<<20

// AppendMemory appends the list as comments of a file.
func (c *Config) AppendMemory(dst []byte) []byte {
	var sum uint64
	dst = append(dst, "\n# Memory at most, if everything is used up at the same time:\n"...)
	for _, m := range c.Memory() {
		sum += m.Bytes
		dst = fmt.Appendf(dst, "#   %9d MiB  %s\n", m.Bytes>>20, m.What)
	}
	return fmt.Appendf(dst, "#   %9d MiB  together\n", sum>>20)
}

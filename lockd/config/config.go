package config

import (
	"time"

	"lockd/lockd/node"
	"lockd/lockfsm"
)

// Config is every setting of a node, checked. Load makes it; the methods in
// options.go turn it into the options of each package.
type Config struct {
	// Cluster, Groups, Replicas, LogTick and Limits are equal on all nodes, and so
	// is Nodes when the cluster is born.
	Cluster  string
	Nodes    []Node
	Groups   int
	Replicas int
	LogTick  time.Duration
	Limits   lockfsm.Limits
	// MachineBytes is what the machines of all groups may take on a node. Counts
	// of Limits that are not given are made to fit it.
	MachineBytes int64
	// asked are the limits as they were given, before counts were made to fit.
	asked lockfsm.Limits

	// ID is this node's number and DataDir its directory.
	ID      uint16
	DataDir string
	// MemoryBytes is what the node may take; zero is what its bounds add up to.
	MemoryBytes int64
	// ClientListen and PeerListen are where this node listens; empty means the
	// address under which Nodes lists it.
	ClientListen, PeerListen string
	// AdminListen is the address of the admin HTTP listener, "off" for none.
	AdminListen string
	// SecretFile holds the secret that peers prove to know; empty means none.
	SecretFile string
	// LogLevel is debug, info, warn or error; LogFormat text or json.
	LogLevel, LogFormat string
	// DrainTimeout bounds how long a stop may take.
	DrainTimeout time.Duration
	// AllowFaults is true if the node does faults to itself on request, of who
	// knows the secret in FaultsSecretFile; else false.
	AllowFaults      string
	FaultsSecretFile string

	// Heartbeat, ElectionTimeout and RankDelay are lengths on this node's
	// clock, whole numbers of ticks.
	Heartbeat, ElectionTimeout, RankDelay time.Duration
	// Window is slots in flight per group, RetainSlots applied slots kept.
	Window, RetainSlots int
	// RetainBytes bounds the values of the applied slots kept.
	RetainBytes int64
	// BatchBytes bounds the commands of one slot, InboxBytes what waits for
	// the engine.
	BatchBytes, InboxBytes int64
	// CheckpointBytes of log lie between two rounds of checkpoints, which are
	// read through a cache of CheckpointCacheBytes.
	CheckpointBytes, CheckpointCacheBytes int64
	// SnapshotRate is how many bytes of snapshots leave in a second at most.
	SnapshotRate int64

	// HistoryBytes is what a node keeps of holds that ended, 0 for nothing.
	HistoryBytes int64

	// WALSegmentBytes is the size of a segment, which should have room for a slot of any
	// node of the cluster, since one that has not takes a segment for itself. WALTarget
	// are the segments before the oldest is freed, and WALBound the most there may be.
	WALSegmentBytes     int64
	WALTarget, WALBound int
	// Conns is the most conns of clients, 0 for what the file limit leaves;
	// ConnsInFlight the most unanswered requests of one.
	Conns, ConnsInFlight int
	// EventLoops serve the conns; 0 means half the cores.
	EventLoops int
	// OutboundBytes is what one conn may leave unread, IdleTimeout how long it
	// may be silent.
	OutboundBytes int64
	IdleTimeout   time.Duration
}

// Node is one node of the cluster as the file or a flag names it.
type Node struct {
	// ID is the node's number, 1 to 65535, never reused.
	ID uint16
	// Peer is where the other nodes reach it and Client where clients do,
	// both host:port.
	Peer, Client string
}

// tick is the beat of the protocol clock: the resolution of every timeout
// between nodes.
const tick = 20 * time.Millisecond

// Defaults returns the settings of a node that was told nothing. Cluster,
// Nodes, ID and DataDir have no default.
func Defaults() Config {
	n := node.Defaults()
	ticks := func(t uint32) time.Duration { return time.Duration(t) * time.Duration(n.Tick) }
	return Config{
		Groups:   n.Groups,
		Replicas: n.Replicas,
		LogTick:  time.Duration(n.LogTick),
		Limits:   unsetCounts(n.Limits),

		MachineBytes: 1 << 30,
		MemoryBytes:  4 << 30,

		AdminListen:  "127.0.0.1:7602",
		LogLevel:     "info",
		LogFormat:    "text",
		DrainTimeout: 10 * time.Second,
		AllowFaults:  "false",

		Heartbeat:            ticks(n.HeartbeatTicks),
		ElectionTimeout:      ticks(n.ElectionTicks),
		RankDelay:            ticks(n.RankDelayTicks),
		Window:               n.Window,
		BatchBytes:           int64(n.MaxBatchBytes),
		InboxBytes:           int64(n.MaxInboxBytes),
		RetainSlots:          n.RetainSlots,
		RetainBytes:          n.RetainBytes,
		CheckpointBytes:      n.CheckpointBytes,
		CheckpointCacheBytes: 48 << 20,
		SnapshotRate:         n.SnapshotBytesPerSecond,

		HistoryBytes: 256 << 20,

		WALSegmentBytes: 64 << 20,
		WALTarget:       4,
		WALBound:        16,
		ConnsInFlight:   n.MaxInFlight,
		OutboundBytes:   4 << 20,
		IdleTimeout:     2 * time.Hour,
	}
}

// Self returns this node's entry of Nodes. Requires: Load returned c.
func (c *Config) Self() Node {
	for _, n := range c.Nodes {
		if n.ID == c.ID {
			return n
		}
	}
	return Node{}
}

package config

// tuningSettings are the settings of a node that have a good default: times of
// the protocol, then memory, disk and conns.
func tuningSettings() []setting {
	all := []setting{
		{key: "node.heartbeat", flag: "heartbeat", kind: kindDuration, min: 20 * ms, max: 10 * sec,
			usage: "how often a leader is heard; a whole number of 20ms",
			at:    func(c *Config) any { return &c.Heartbeat }},
		{key: "node.election_timeout", flag: "election-timeout", kind: kindDuration,
			min: 80 * ms, max: 60 * sec,
			usage: "silence after which a leader is replaced, at least 4 heartbeats; a shorter " +
				"one mistakes pauses for failures",
			at: func(c *Config) any { return &c.ElectionTimeout }},
		{key: "node.rank_delay", flag: "rank-delay", kind: kindDuration, min: 20 * ms, max: 10 * sec,
			usage: "head start of a group's first successor over the second",
			at:    func(c *Config) any { return &c.RankDelay }},
		{key: "node.window", flag: "window", kind: kindCount, min: 1, max: 4096,
			usage: "slots of one group in flight, equal on all nodes and fixed at the cluster's " +
				"birth; more help when the round trip is long",
			at: func(c *Config) any { return &c.Window }},
		{key: "node.retain_slots", flag: "retain-slots", kind: kindCount, min: 1, max: 1 << 24,
			usage: "applied slots of each group kept in memory for a peer that lags; one that " +
				"lags further needs a snapshot",
			at: func(c *Config) any { return &c.RetainSlots }},
		{key: "node.conns", flag: "conns", kind: kindCount, min: 0, max: 1 << 24,
			usage: "conns of clients at one time; 0 means 10000 or what the file limit leaves",
			at:    func(c *Config) any { return &c.Conns }},
		{key: "node.conn_in_flight", flag: "conn-in-flight", kind: kindCount, min: 1, max: 1 << 24,
			usage: "unanswered requests of one conn; above it the answer is Busy",
			at:    func(c *Config) any { return &c.ConnsInFlight }},
		{key: "node.event_loops", flag: "event-loops", kind: kindCount, min: 0, max: 64,
			usage: "loops that serve client conns; 0 means half the cores, at most 8",
			at:    func(c *Config) any { return &c.EventLoops }},
		{key: "node.idle_timeout", flag: "idle-timeout", kind: kindDuration,
			min: sec, max: 30 * 24 * 3600 * sec,
			usage: "a conn that sent nothing for so long is closed",
			at:    func(c *Config) any { return &c.IdleTimeout }},
	}
	return append(all, byteSettings()...)
}

func byteSettings() []setting {
	return []setting{
		{key: "node.memory", flag: "memory", kind: kindBytes, min: 0, max: 1 << 50,
			usage: "memory the node may take: a node whose bounds add up to more does not start; " +
				"0 means what they add up to",
			at: func(c *Config) any { return &c.MemoryBytes }},
		{key: "node.batch", flag: "batch", kind: kindBytes, min: 4 * kib, max: 1 * mib,
			usage: "commands in one slot, in bytes",
			at:    func(c *Config) any { return &c.BatchBytes }},
		{key: "node.inbox", flag: "inbox", kind: kindBytes, min: 1 * mib, max: 4 * gib,
			usage: "what may wait for the engine; above it the answer is Busy",
			at:    func(c *Config) any { return &c.InboxBytes }},
		{key: "node.retain", flag: "retain", kind: kindBytes, min: 1 * mib, max: 1 << 40,
			usage: "memory for the applied slots kept for a peer that lags, of all groups",
			at:    func(c *Config) any { return &c.RetainBytes }},
		{key: "node.outbound", flag: "outbound", kind: kindBytes, min: 64 * kib, max: gib,
			usage: "unread answers of one conn; a conn above it is closed",
			at:    func(c *Config) any { return &c.OutboundBytes }},
		{key: "node.checkpoint", flag: "checkpoint", kind: kindBytes, min: 64 * kib, max: 1 << 40,
			usage: "log written between two rounds of checkpoints; more makes restarts slower",
			at:    func(c *Config) any { return &c.CheckpointBytes }},
		{key: "node.checkpoint_cache", flag: "checkpoint-cache", kind: kindBytes,
			min: 1 * mib, max: 1 << 40,
			usage: "memory for reading checkpoints",
			at:    func(c *Config) any { return &c.CheckpointCacheBytes }},
		{key: "node.snapshot_rate", flag: "snapshot-rate", kind: kindBytes,
			min: 64 * kib, max: 64 * gib,
			usage: "bytes of snapshots sent in a second; more brings a node that was away back " +
				"sooner and takes bandwidth from the others",
			at: func(c *Config) any { return &c.SnapshotRate }},
		{key: "node.wal_segment", flag: "wal-segment", kind: kindBytes, min: 64 * kib, max: gib,
			usage: "size of one file of the log, a multiple of 4KiB",
			at:    func(c *Config) any { return &c.WALSegmentBytes }},
		{key: "node.wal_segments", flag: "wal-segments", kind: kindCount, min: 2, max: 1 << 16,
			usage: "files of the log in use before the oldest is freed",
			at:    func(c *Config) any { return &c.WALTarget }},
		{key: "node.wal_segments_max", flag: "wal-segments-max", kind: kindCount,
			min: 3, max: 1 << 16,
			usage: "files of the log at most; a node that needs more stops",
			at:    func(c *Config) any { return &c.WALBound }},
	}
}

package config

import (
	"fmt"
	"strings"
	"time"

	"lockd/lockd/placement"
)

// kind is how a value is written.
type kind uint8

const (
	kindText     kind = iota // anything
	kindPath                 // of a file or directory
	kindAddress              // host:port
	kindChoice               // one of a few words
	kindCount                // a whole number
	kindBytes                // a number of bytes: 65536, "64KiB", "4MiB"
	kindDuration             // a length of time: "200ms", "10s", "1h"
)

// Setting describes one setting to people: to the help of a flag and to the
// reference.
type Setting struct {
	// Key is its name in the file, as in node.data_dir.
	Key string
	// Flag and Env are its other names; Env is derived from Flag.
	Flag, Env string
	// Usage says in one sentence what it does and what it costs.
	Usage string
	// Default and Allowed are for reading; either may be empty.
	Default, Allowed string
}

// setting is a Setting with what Load needs.
type setting struct {
	key, flag string
	usage     string
	kind      kind
	// min and max bound counts, bytes, nanoseconds, or the length of a text.
	min, max int64
	choices  []string
	// at points into a Config: *string, *int, *int64, *uint16, *uint32,
	// *time.Duration or *lockfsm.Millis.
	at func(*Config) any
}

// env is the environment variable of a flag.
func (s *setting) env() string {
	return "LOCKD_" + strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_"))
}

// nodesKey, nodesFlag and nodesEnv name the one setting that is a list.
const (
	nodesKey  = "cluster.nodes"
	nodesFlag = "node"
	nodesEnv  = "LOCKD_NODE"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	ms  = int64(time.Millisecond)
	sec = int64(time.Second)
)

// Settings returns the reference, in the order of the file.
func Settings() []Setting {
	d := Defaults()
	all := []Setting{{
		Key:  nodesKey,
		Flag: nodesFlag,
		Env:  nodesEnv,
		Usage: "every node as {id, peer, client}; as a flag, repeated, or in the environment, " +
			"with commas: ID=PEERHOST:PORT/CLIENTHOST:PORT",
		Allowed: fmt.Sprintf("1 to %d nodes", placement.MaxKeepers),
	}}
	for _, s := range settings() {
		all = append(all, Setting{
			Key:     s.key,
			Flag:    s.flag,
			Env:     s.env(),
			Usage:   s.usage,
			Default: s.format(&d),
			Allowed: s.allowed(),
		})
	}
	return all
}

// settings is the list of all settings but the nodes.
func settings() []setting {
	all := clusterSettings()
	all = append(all, limitSettings()...)
	all = append(all, nodeSettings()...)
	all = append(all, tuningSettings()...)
	all = append(all, faultSettings()...)
	return append(all, setting{key: historyKey, flag: "history-size", kind: kindBytes,
		min: 0, max: 1 << 40,
		usage: "what a node keeps of holds that ended, for lockd history: some 20 to 60 bytes for " +
			"each; the oldest go first; 0 keeps none",
		at: func(c *Config) any { return &c.HistoryBytes }})
}

// historyKey is the setting that is about the history.
const historyKey = "history.size"

func clusterSettings() []setting {
	return []setting{
		{key: "cluster.name", flag: "cluster", kind: kindText, min: 1, max: 64,
			usage: "name of the cluster; nodes of another name are refused",
			at:    func(c *Config) any { return &c.Cluster }},
		{key: "cluster.groups", flag: "groups", kind: kindCount, min: 1, max: 1024,
			usage: "groups that share the names, fixed at the cluster's birth; more spread the " +
				"load more evenly and cost heartbeat bytes",
			at: func(c *Config) any { return &c.Groups }},
		{key: "cluster.replicas", flag: "replicas", kind: kindCount, min: 1, max: 7,
			usage: "nodes that keep each group, fixed at the cluster's birth; more survive more " +
				"losses and make each request dearer; 3 survive one",
			at: func(c *Config) any { return &c.Replicas }},
		{key: "cluster.log_tick", flag: "log-tick", kind: kindDuration, min: 20 * ms, max: 10 * sec,
			usage: "beat of log time: leases end exact to two of them; a shorter one writes more",
			at:    func(c *Config) any { return &c.LogTick }},
	}
}

func limitSettings() []setting {
	const many = 1 << 30
	count := func(name, usage string, max int64, at func(*Config) any) setting {
		return setting{key: "cluster.limits." + name, flag: "limit-" + dashed(name),
			kind: kindCount, min: 1, max: max, usage: usage, at: at}
	}
	fitted := func(name, usage string, at func(*Config) any) setting {
		s := count(name, usage, many, at)
		s.min = 0
		return s
	}
	length := func(name, usage string, at func(*Config) any) setting {
		return setting{key: "cluster.limits." + name, flag: "limit-" + dashed(name),
			kind: kindDuration, min: 100 * ms, max: 24 * 3600 * sec, usage: usage, at: at}
	}
	return []setting{
		{key: "cluster.limits.memory", flag: "limit-memory", kind: kindBytes,
			min: 16 * mib, max: 1 << 40,
			usage: "memory of a node for locks, sessions and waiters of all groups; the counts " +
				"that are 0 are made to fit it",
			at: func(c *Config) any { return &c.MachineBytes }},
		fitted("sessions", "sessions alive in one group; 0 fits cluster.limits.memory",
			func(c *Config) any { return &c.Limits.Sessions }),
		fitted("locks", "names held or waited for in one group; 0 fits cluster.limits.memory",
			func(c *Config) any { return &c.Limits.Locks }),
		fitted("claims", "holds and waits together in one group; 0 fits cluster.limits.memory",
			func(c *Config) any { return &c.Limits.Claims }),
		fitted("detached", "detached holds in one group; 0 fits cluster.limits.memory",
			func(c *Config) any { return &c.Limits.Detached }),
		count("claims_per_session", "holds and waits of one session", many,
			func(c *Config) any { return &c.Limits.ClaimsPerSession }),
		count("waiters_per_lock", "length of one queue; above it an acquire is refused", many,
			func(c *Config) any { return &c.Limits.WaitersPerLock }),
		count("holders_per_lock", "holders of one lock together; above it a reader waits",
			1<<16-1, func(c *Config) any { return &c.Limits.HoldersPerLock }),
		count("name_bytes", "length of a lock's name", 512,
			func(c *Config) any { return &c.Limits.NameBytes }),
		count("session_name_bytes", "length of a client's name", 128,
			func(c *Config) any { return &c.Limits.SessionNameBytes }),
		{key: "cluster.limits.data", flag: "limit-data", kind: kindBytes, max: 1 << 30,
			usage: "payloads, labels and other terms of the claims of one group and the values of " +
				"its locks, each of which counts for 128 bytes beside its data; 0 fits " +
				"cluster.limits.memory",
			at: func(c *Config) any { return &c.Limits.DataBytes }},
		length("lease_min", "shortest session lease; a client with less is told when it dials",
			func(c *Config) any { return &c.Limits.LeaseMin }),
		length("lease_max", "longest session lease; a client with more is told when it dials",
			func(c *Config) any { return &c.Limits.LeaseMax }),
		length("hold_min", "shortest time to live of a detached hold, latch or event, and max hold",
			func(c *Config) any { return &c.Limits.HoldMin }),
		length("hold_max", "longest of these, and of a min hold and a lock delay",
			func(c *Config) any { return &c.Limits.HoldMax }),
		{key: "cluster.limits.age_step", flag: "limit-age-step", kind: kindDuration,
			max: 3600 * sec,
			usage: "how much earlier each unit of weight counts as having come; a waiter is " +
				"passed by no more than came in weight times this; 0s lets weight alone decide",
			at: func(c *Config) any { return &c.Limits.AgeStep }},
		count("work_per_apply", "expiries handled in one slot; more wait for the next", many,
			func(c *Config) any { return &c.Limits.WorkPerApply }),
	}
}

func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

func nodeSettings() []setting {
	return []setting{
		{key: "node.id", flag: "id", kind: kindCount, min: 1, max: 65535,
			usage: "number of this node among the nodes of the cluster",
			at:    func(c *Config) any { return &c.ID }},
		{key: "node.data_dir", flag: "data", kind: kindPath, min: 1, max: 4096,
			usage: "directory of the log, the checkpoints and the identity; one process at a time",
			at:    func(c *Config) any { return &c.DataDir }},
		{key: "node.client_listen", flag: "client-listen", kind: kindAddress,
			usage: "where to listen for clients, if not at the address in cluster.nodes",
			at:    func(c *Config) any { return &c.ClientListen }},
		{key: "node.peer_listen", flag: "peer-listen", kind: kindAddress,
			usage: "where to listen for peers, if not at the address in cluster.nodes",
			at:    func(c *Config) any { return &c.PeerListen }},
		{key: "node.admin_listen", flag: "admin-listen", kind: kindAddress, choices: []string{"off"},
			usage: "where to serve metrics, health and JSON over HTTP; it asks for no password",
			at:    func(c *Config) any { return &c.AdminListen }},
		{key: "node.secret_file", flag: "secret-file", kind: kindPath, max: 4096,
			usage: "file with the secret that all peers must know; its first line counts",
			at:    func(c *Config) any { return &c.SecretFile }},
		{key: "node.log_level", flag: "log-level", kind: kindChoice,
			choices: []string{"debug", "info", "warn", "error"},
			usage:   "least severe line that is logged",
			at:      func(c *Config) any { return &c.LogLevel }},
		{key: "node.log_format", flag: "log-format", kind: kindChoice,
			choices: []string{"text", "json"},
			usage:   "form of a log line on standard error",
			at:      func(c *Config) any { return &c.LogFormat }},
		{key: "node.drain_timeout", flag: "drain-timeout", kind: kindDuration,
			min: 0, max: 600 * sec,
			usage: "how long a stop may take to move leaderships and answer what is in flight",
			at:    func(c *Config) any { return &c.DrainTimeout }},
	}
}

func faultSettings() []setting {
	return []setting{
		{key: "faults.allow", flag: "allow-faults", kind: kindChoice, choices: []string{"false", "true"},
			usage: "whether the node does faults to itself when lockd verify asks for them: cuts and " +
				"slows its links, stalls its disk, pauses, crashes; not where that may cost anything",
			at: func(c *Config) any { return &c.AllowFaults }},
		{key: "faults.secret_file", flag: "faults-secret-file", kind: kindPath, max: 4096,
			usage: "file with the secret that who asks for faults must know; its first line counts",
			at:    func(c *Config) any { return &c.FaultsSecretFile }},
	}
}

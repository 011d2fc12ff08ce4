package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lockd/lockd/history"
	"lockd/lockfsm"
)

// Given is one value from the command line.
type Given struct{ Flag, Value string }

// Sources are what Load merges, weakest first.
type Sources struct {
	// File is the path of a TOML file, empty for none.
	File string
	// Env is the environment, as NAME=value.
	Env []string
	// Flags are the flags of the command line, in order.
	Flags []Given
}

// Load merges the sources over the defaults and checks the result. The error
// lists every problem, one per line. Warnings are what is probably a mistake
// and may be none.
func Load(from Sources) (c Config, warnings []string, err error) {
	c = Defaults()
	f := &file{}
	if from.File != "" {
		if f, err = readFile(from.File); err != nil {
			return c, nil, err
		}
	}
	found := f.apply(&c)
	env, warnings := applyEnv(&c, from.Env)
	found = append(found, env...)
	found = append(found, applyFlags(&c, from.Flags)...)
	c.fitCounts()
	found = append(found, f.relations(&c, found, from)...)
	// Those of no line, of the environment and of flags, come last.
	slices.SortStableFunc(found, func(a, b problem) int {
		return cmp.Compare(uint(a.line-1), uint(b.line-1))
	})
	var problems []error
	for _, p := range found {
		problems = append(problems, p.err)
	}
	return c, warnings, errors.Join(problems...)
}

// problem is one mistake in what was given.
type problem struct {
	// line is that of the file, zero if it stands in no file.
	line int
	// keys are the settings whose values are therefore not known.
	keys []string
	err  error
}

// relations are what is missing and what contradicts something else, each with the
// line of the first setting it names, if the file has that and nothing overrides it.
// What is about a setting whose value is not known is left out.
func (f *file) relations(c *Config, found []problem, from Sources) []problem {
	var unknown []string
	for _, p := range found {
		unknown = append(unknown, p.keys...)
	}
	var related []problem
	for _, err := range c.check() {
		text := err.Error()
		if slices.ContainsFunc(unknown, func(key string) bool { return names(text, key) }) {
			continue
		}
		p := problem{err: err}
		first, _, _ := strings.Cut(text, "\n") // what follows is a list
		for _, s := range Settings() {
			if !names(first, s.Key) || overridden(&s, from) {
				continue
			}
			if line := f.lineOf(s.Key); line > 0 && (p.line == 0 || line < p.line) {
				p.line = line
			}
		}
		if p.line > 0 {
			p.err = fmt.Errorf("%s:%d: %w", f.path, p.line, err)
		}
		related = append(related, p)
	}
	return related
}

// names reports whether a text speaks of a setting.
func names(text, key string) bool {
	for {
		i := strings.Index(text, key)
		if i < 0 {
			return false
		}
		text = text[i+len(key):]
		if text == "" || !strings.ContainsRune("_.abcdefghijklmnopqrstuvwxyz", rune(text[0])) {
			return true
		}
	}
}

// overridden reports whether the environment or a flag gives a setting.
func overridden(s *Setting, from Sources) bool {
	return slices.ContainsFunc(from.Flags, func(g Given) bool { return g.Flag == s.Flag }) ||
		slices.ContainsFunc(from.Env, func(line string) bool {
			return strings.HasPrefix(line, s.Env+"=") && len(line) > len(s.Env)+1
		})
}

// applyEnv stores what the environment says. One that is nearly a setting is a
// setting that silently does not hold, as in a file. Any other of this prefix may
// be of another program, and is only worth a warning.
func applyEnv(c *Config, env []string) (problems []problem, warnings []string) {
	all := settings()
	names := []string{nodesEnv}
	for i := range all {
		names = append(names, all[i].env())
	}
	env = slices.Sorted(slices.Values(env))
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "LOCKD_") || value == "" {
			continue
		}
		i := slices.Index(names, name)
		var err error
		key := nodesKey
		switch {
		case i < 0 && notSettings(name):
		case i < 0:
			near := nearestEnv(name, names)
			if near == "" {
				warnings = append(warnings, fmt.Sprintf("environment variable %s is no setting and is "+
					"ignored; lockd help serve lists all", name))
				continue
			}
			problems = append(problems, problem{err: fmt.Errorf("unknown environment variable %s; did "+
				"you mean %s? Correct it or unset it", name, near)})
		case i == 0:
			err = c.setNodes(strings.Split(value, ","))
		default:
			key, err = all[i-1].key, all[i-1].set(c, value)
		}
		if err != nil {
			problems = append(problems, problem{keys: []string{key}, err: fmt.Errorf("%s: %w", name, err)})
		}
	}
	return problems, warnings
}

// MistypedEnv finds a variable that was probably meant to be name and is none that
// lockd knows, empty if there is none.
func MistypedEnv(env []string, name string) string {
	var known []string
	for _, s := range Settings() {
		known = append(known, s.Env)
	}
	for _, line := range slices.Sorted(slices.Values(env)) {
		given, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(given, "LOCKD_") || value == "" || given == name ||
			slices.Contains(known, given) || notSettings(given) {
			continue
		}
		if nearestEnv(given, append(known, name)) == name {
			return given
		}
	}
	return ""
}

// notSettings lists the variables that have this prefix and are no settings: what
// clients and the command line read, what lockd run, lock and try hand on, and what
// container platforms set for a service of this name.
func notSettings(name string) bool {
	return slices.Contains([]string{"LOCKD_ADDR", "LOCKD_ADMIN", "LOCKD_CONFIG", "LOCKD_NAME",
		"LOCKD_TOKEN", "LOCKD_TOKENS", "LOCKD_SESSION", "LOCKD_UNTIL", "LOCKD_PORT",
		"LOCKD_SERVICE_HOST", "LOCKD_SERVICE_PORT"}, name) ||
		strings.HasPrefix(name, "LOCKD_PORT_") || strings.HasPrefix(name, "LOCKD_SERVICE_PORT_")
}

// nearestEnv returns the variable that one was probably meant to be, empty if none is
// near. The prefix, which all of them have, does not make them alike.
func nearestEnv(name string, names []string) string {
	bare := make([]string, len(names))
	for i, n := range names {
		bare[i] = strings.TrimPrefix(n, "LOCKD_")
	}
	near := Nearest(strings.TrimPrefix(name, "LOCKD_"), bare)
	if near == "" {
		return ""
	}
	return "LOCKD_" + near
}

func applyFlags(c *Config, flags []Given) []problem {
	all := settings()
	var problems []problem
	var nodes []string
	for _, g := range flags {
		if g.Flag == nodesFlag {
			nodes = append(nodes, g.Value)
			continue
		}
		i := slices.IndexFunc(all, func(s setting) bool { return s.flag == g.Flag })
		if i < 0 {
			problems = append(problems, problem{err: fmt.Errorf("--%s: no such setting", g.Flag)})
			continue
		}
		if err := all[i].set(c, g.Value); err != nil {
			problems = append(problems, problem{keys: []string{all[i].key},
				err: fmt.Errorf("--%s: %w", g.Flag, err)})
		}
	}
	if nodes != nil {
		if err := c.setNodes(nodes); err != nil {
			problems = append(problems, problem{keys: []string{nodesKey},
				err: fmt.Errorf("--%s: %w", nodesFlag, err)})
		}
	}
	return problems
}

// setNodes replaces the list of nodes.
func (c *Config) setNodes(texts []string) error {
	c.Nodes = nil
	for _, text := range texts {
		n, err := ParseNode(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
	}
	return nil
}

// check finds what is missing and what contradicts something else.
func (c *Config) check() []error {
	problems := c.checkNodes()
	missing := func(key, flag, example string) {
		problems = append(problems, fmt.Errorf("%s is missing: set it in the file, by --%s %s, "+
			"or in the environment", key, flag, example))
	}
	if c.Cluster == "" {
		missing("cluster.name", "cluster", "NAME")
	}
	if len(c.Nodes) == 0 {
		missing(nodesKey, nodesFlag, "1=127.0.0.1:7601/127.0.0.1:7600")
	}
	if c.ID == 0 {
		missing("node.id", "id", "1")
	}
	if c.DataDir == "" {
		missing("node.data_dir", "data", "DIR")
	}
	if c.Self().ID == 0 && c.ID != 0 && len(c.Nodes) > 0 {
		problems = append(problems, fmt.Errorf("node.id is %d, must be one of %s: %s; write all "+
			"nodes, this one too, into %s", c.ID, nodesKey, nodeIDs(c.Nodes), nodesKey))
	}
	problems = append(problems, c.checkListeners()...)
	return append(problems, c.checkRelations()...)
}

// checkRelations checks settings against each other.
func (c *Config) checkRelations() []error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	for _, d := range []struct {
		key    string
		length time.Duration
	}{
		{"node.heartbeat", c.Heartbeat},
		{"node.election_timeout", c.ElectionTimeout},
		{"node.rank_delay", c.RankDelay},
	} {
		if d.length%tick != 0 {
			add("%s is %s, must be a whole number of %s", d.key, formatDuration(d.length),
				formatDuration(tick))
		}
	}
	if c.ElectionTimeout < 4*c.Heartbeat {
		add("node.election_timeout is %s, must be at least 4 heartbeats of %s, node.heartbeat",
			formatDuration(c.ElectionTimeout), formatDuration(c.Heartbeat))
	}
	if c.InboxBytes < c.BatchBytes {
		add("node.inbox is %s, must be at least node.batch of %s",
			formatBytes(c.InboxBytes), formatBytes(c.BatchBytes))
	}
	if c.WALSegmentBytes%4096 != 0 {
		add("node.wal_segment is %s, must be a multiple of 4KiB", formatBytes(c.WALSegmentBytes))
	}
	o := c.WALOptions()
	if need := 2*c.BatchBytes + slotOverheadBytes; int64(o.MaxRecordBytes()) < need {
		add("node.wal_segment is %s, which has room for records of %d bytes; a slot may hold two "+
			"node.batch of %s, %d bytes", formatBytes(c.WALSegmentBytes), o.MaxRecordBytes(),
			formatBytes(c.BatchBytes), need)
	}
	if c.HistoryBytes != 0 && c.HistoryBytes < history.MinBytes {
		add("%s is %s, must be 0, for none, or at least %s", historyKey, formatBytes(c.HistoryBytes),
			formatBytes(history.MinBytes))
	}
	if c.WALTarget >= c.WALBound {
		add("node.wal_segments is %d, must be below node.wal_segments_max of %d",
			c.WALTarget, c.WALBound)
	}
	if most := int64(c.WALTarget-1) * c.WALSegmentBytes; c.CheckpointBytes > most {
		// Until it is covered by a checkpoint nearly all that is written stays,
		// and past its target the log would copy it forward again and again.
		add("node.checkpoint is %s, must be at most %s: node.wal_segments of %d, less one, of %s",
			formatBytes(c.CheckpointBytes), formatBytes(most), c.WALTarget,
			formatBytes(c.WALSegmentBytes))
	}
	if c.AllowFaults == "true" && c.FaultsSecretFile == "" {
		add("faults.allow is true, and faults.secret_file is missing: whoever reaches the admin " +
			"listener could stop the node")
	}
	if c.AllowFaults == "true" && c.AdminListen == "off" {
		add("faults.allow is true, and node.admin_listen is off: nobody could ask for faults")
	}
	return append(problems, c.checkLimits()...)
}

// slotOverheadBytes is what a record of the log needs beside the batches of its
// slot: a register that the cluster writes on top, and the entry itself.
const slotOverheadBytes = lockfsm.MaxRegisterBytes + 4<<10

// checkLimits checks the limits of the machine against each other.
func (c *Config) checkLimits() []error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	l := &c.Limits
	leaseMin, leaseMax := milliseconds(l.LeaseMin), milliseconds(l.LeaseMax)
	holdMin, holdMax := milliseconds(l.HoldMin), milliseconds(l.HoldMax)
	if leaseMin > leaseMax {
		add("cluster.limits.lease_min is %s, must be at most cluster.limits.lease_max of %s",
			formatDuration(leaseMin), formatDuration(leaseMax))
	}
	if holdMin > holdMax {
		add("cluster.limits.hold_min is %s, must be at most cluster.limits.hold_max of %s",
			formatDuration(holdMin), formatDuration(holdMax))
	}
	if 2*c.LogTick > leaseMin {
		add("cluster.log_tick is %s, must be at most half of cluster.limits.lease_min of %s",
			formatDuration(c.LogTick), formatDuration(leaseMin))
	}
	if leaseMax > c.IdleTimeout {
		add("node.idle_timeout is %s, must be at least cluster.limits.lease_max of %s",
			formatDuration(c.IdleTimeout), formatDuration(leaseMax))
	}
	for _, part := range []struct {
		name  string
		count uint32
	}{
		{"detached", l.Detached},
		{"claims_per_session", l.ClaimsPerSession},
		{"waiters_per_lock", l.WaitersPerLock},
	} {
		if part.count > l.Claims {
			add("cluster.limits.%s is %d, must be at most cluster.limits.claims of %d",
				part.name, part.count, l.Claims)
		}
	}
	if err := c.checkMemory(); len(problems) == 0 && err != nil {
		problems = append(problems, err)
	}
	return problems
}

func nodeIDs(nodes []Node) string {
	var ids []string
	for _, n := range nodes {
		ids = append(ids, fmt.Sprint(n.ID))
	}
	return strings.Join(ids, ", ")
}

// milliseconds returns a length of time that the limits of the machine count.
func milliseconds(n lockfsm.Millis) time.Duration { return time.Duration(n) * time.Millisecond }

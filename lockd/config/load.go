package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
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
	var problems []error
	if from.File != "" {
		f, err := readFile(from.File)
		if err != nil {
			return c, nil, err
		}
		problems = append(problems, f.apply(&c)...)
	}
	more, warnings := applyEnv(&c, from.Env)
	problems = append(problems, more...)
	problems = append(problems, applyFlags(&c, from.Flags)...)
	c.fitCounts()
	if len(problems) == 0 {
		problems = c.check()
	}
	return c, warnings, errors.Join(problems...)
}

// applyEnv stores what the environment says. Other programs put variables of
// this prefix there, so an unknown one is only worth a warning, and only when
// it looks like one of ours.
func applyEnv(c *Config, env []string) (problems []error, warnings []string) {
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
		switch {
		case i < 0:
			if near := Nearest(name, names); near != "" && !forClients(name) {
				warnings = append(warnings, fmt.Sprintf("ignoring environment variable %s; "+
					"did you mean %s?", name, near))
			}
		case i == 0:
			if err := c.setNodes(strings.Split(value, ",")); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", name, err))
			}
		default:
			if err := all[i-1].set(c, value); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return problems, warnings
}

// forClients lists the variables that clients read or lockd run sets.
func forClients(name string) bool {
	return slices.Contains([]string{"LOCKD_ADDR", "LOCKD_NAME", "LOCKD_TOKEN", "LOCKD_SESSION"},
		name)
}

func applyFlags(c *Config, flags []Given) []error {
	all := settings()
	var problems []error
	var nodes []string
	for _, g := range flags {
		if g.Flag == nodesFlag {
			nodes = append(nodes, g.Value)
			continue
		}
		i := slices.IndexFunc(all, func(s setting) bool { return s.flag == g.Flag })
		if i < 0 {
			problems = append(problems, fmt.Errorf("--%s: no such setting", g.Flag))
			continue
		}
		if err := all[i].set(c, g.Value); err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", g.Flag, err))
		}
	}
	if nodes != nil {
		if err := c.setNodes(nodes); err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", nodesFlag, err))
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
	if len(problems) > 0 {
		return problems
	}
	if c.Self().ID == 0 {
		return []error{fmt.Errorf("node.id is %d, must be one of %s: %s", c.ID, nodesKey,
			nodeIDs(c.Nodes))}
	}
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
			add("%s is %v, must be a whole number of %v", d.key, d.length, tick)
		}
	}
	if c.ElectionTimeout < 4*c.Heartbeat {
		add("node.election_timeout is %v, must be at least 4 heartbeats of %v",
			c.ElectionTimeout, c.Heartbeat)
	}
	if c.InboxBytes < c.BatchBytes {
		add("node.inbox is %s, must be at least node.batch of %s",
			formatBytes(c.InboxBytes), formatBytes(c.BatchBytes))
	}
	if c.WALSegmentBytes%4096 != 0 {
		add("node.wal_segment is %d, must be a multiple of 4096", c.WALSegmentBytes)
	}
	o := c.WALOptions()
	if need := 2*c.BatchBytes + slotOverheadBytes; int64(o.MaxRecordBytes()) < need {
		add("node.wal_segment is %s, which has room for records of %d bytes; a slot may hold two "+
			"node.batch of %s, %d bytes", formatBytes(c.WALSegmentBytes), o.MaxRecordBytes(),
			formatBytes(c.BatchBytes), need)
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
	return append(problems, c.checkLimits()...)
}

// slotOverheadBytes is what a record of the log needs beside the batches of its
// slot: the last command, which may overshoot the bound, and the entry itself.
const slotOverheadBytes = 4 << 10

// checkLimits checks the limits of the machine against each other.
func (c *Config) checkLimits() []error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	l := &c.Limits
	if l.LeaseMin > l.LeaseMax {
		add("cluster.limits.lease_min is %d ms, must be at most lease_max of %d ms",
			l.LeaseMin, l.LeaseMax)
	}
	if l.HoldMin > l.HoldMax {
		add("cluster.limits.hold_min is %d ms, must be at most hold_max of %d ms",
			l.HoldMin, l.HoldMax)
	}
	if 2*c.LogTick > time.Duration(l.LeaseMin)*time.Millisecond {
		add("cluster.log_tick is %v, must be at most half of lease_min of %d ms",
			c.LogTick, l.LeaseMin)
	}
	if time.Duration(l.LeaseMax)*time.Millisecond > c.IdleTimeout {
		add("node.idle_timeout is %v, must be at least lease_max of %d ms",
			c.IdleTimeout, l.LeaseMax)
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
			add("cluster.limits.%s is %d, must be at most claims of %d",
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

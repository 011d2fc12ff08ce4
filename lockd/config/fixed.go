package config

import (
	"fmt"
	"strings"

	"lockd/lockfsm"
)

// fixedAtBirth reports whether a setting is equal on all nodes and cannot be
// changed after the cluster's birth. The name is no part of it: who has another
// is of another cluster.
func (s *setting) fixedAtBirth() bool {
	return s.key == "node.window" || strings.HasPrefix(s.key, "cluster.") && s.key != "cluster.name"
}

// AppendFixed appends the settings that are fixed at the cluster's birth, one to a
// line as key = value, as they are in force.
func (c *Config) AppendFixed(dst []byte) []byte {
	for _, s := range settings() {
		if s.fixedAtBirth() {
			dst = fmt.Appendf(dst, "%s = %s\n", s.key, s.format(c))
		}
	}
	return dst
}

// FixedDifferences compares what AppendFixed once wrote with the settings in force
// and returns a line for each that differs, with both values. Counts that were made
// to fit cluster.limits.memory are left out where something differs that they
// follow from. What it does not understand of fixed it passes over.
func (c *Config) FixedDifferences(fixed []byte) []string {
	born := make(map[string]string)
	for line := range strings.Lines(string(fixed)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		born[key] = value
	}
	var causes, all []string
	for _, s := range settings() {
		have := s.format(c)
		was, known := born[s.key]
		if !s.fixedAtBirth() || !known || was == have {
			continue
		}
		line := fmt.Sprintf("%s is %s, must be %s", s.key, have, was)
		all = append(all, line)
		if !c.isFitted(&s) {
			causes = append(causes, line)
		}
	}
	if len(causes) > 0 {
		return causes
	}
	return all
}

// isFitted reports whether a setting is a count that was left to fitCounts. Of two
// the default may be lowered by it.
func (c *Config) isFitted(s *setting) bool {
	asked, d := *c, lockfsm.DefaultLimits()
	asked.Limits = c.asked
	switch s.key {
	case "cluster.limits.claims_per_session":
		return c.asked.ClaimsPerSession == d.ClaimsPerSession
	case "cluster.limits.waiters_per_lock":
		return c.asked.WaitersPerLock == d.WaitersPerLock
	default:
		return s.format(&asked) != s.format(c)
	}
}

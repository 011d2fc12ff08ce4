package config

import (
	"fmt"
	"strconv"
	"strings"
)

// AppendTOML appends the configuration in force as a file that Load reads back
// to the same. Settings that have no value are left out; a secret is named by
// its file and never shown.
func (c *Config) AppendTOML(dst []byte) []byte {
	table := ""
	for _, s := range settings() {
		value := s.format(c)
		if value == "" {
			continue
		}
		at := strings.LastIndexByte(s.key, '.')
		if s.key[:at] != table {
			if table == "cluster" {
				dst = c.appendNodes(dst)
			}
			if table != "" {
				dst = append(dst, '\n')
			}
			table = s.key[:at]
			dst = fmt.Appendf(dst, "[%s]\n", table)
		}
		if s.kind != kindCount {
			value = strconv.Quote(value)
		}
		dst = fmt.Appendf(dst, "%s = %s\n", s.key[at+1:], value)
	}
	return dst
}

func (c *Config) appendNodes(dst []byte) []byte {
	dst = append(dst, "nodes = [\n"...)
	for _, n := range c.Nodes {
		dst = fmt.Appendf(dst, "  {id = %d, peer = %q, client = %q},\n", n.ID, n.Peer, n.Client)
	}
	return append(dst, "]\n"...)
}

// Value is a setting in force, as it is written in a file but for the quotation marks.
type Value struct{ Key, Text string }

// Values returns all settings in force that have a value, in the order of a file; Nodes has
// the one that is a list.
func (c *Config) Values() []Value {
	var all []Value
	for _, s := range settings() {
		if text := s.format(c); text != "" {
			all = append(all, Value{s.key, text})
		}
	}
	return all
}

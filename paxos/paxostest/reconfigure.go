package paxostest

import (
	"fmt"
	"slices"

	"lockd/paxos"
)

// firstConfig is the configuration from slot 1 on.
func (w *World) firstConfig() paxos.Configuration {
	c := paxos.Configuration{From: 1}
	for i, n := range w.nodes {
		if w.opts.Acceptors == 0 || i < w.opts.Acceptors {
			c.Acceptors = append(c.Acceptors, paxos.Acceptor{Node: n.ID, Disk: n.Disk})
		} else {
			c.Observers = append(c.Observers, n.ID)
		}
	}
	return c
}

// Change returns the value that makes a node an acceptor, or an observer if it
// is one, of all slots at least a window above the one it is chosen in.
func Change(node paxos.NodeID) []byte { return fmt.Appendf(nil, "change %d", node) }

// decide lets a chosen value change the configuration, one node at a time and
// never while the last change is not in effect. It depends on the log alone.
func (w *World) decide(n *Node, e paxos.Entry) {
	var id paxos.NodeID
	if _, err := fmt.Sscanf(string(e.Value), "change %d", &id); err != nil {
		return
	}
	last := n.machine.configs[len(n.machine.configs)-1]
	if last.From > e.Slot || int(id) > len(w.nodes) {
		return
	}
	next := paxos.Configuration{From: e.Slot + paxos.Slot(w.opts.Config.Window)}
	for _, m := range w.nodes {
		in := slices.ContainsFunc(last.Acceptors,
			func(a paxos.Acceptor) bool { return a.Node == m.ID })
		if in != (m.ID == id) {
			next.Acceptors = append(next.Acceptors, paxos.Acceptor{Node: m.ID, Disk: m.Disk})
		} else {
			next.Observers = append(next.Observers, m.ID)
		}
	}
	if len(next.Acceptors) == 0 {
		return
	}
	n.machine.configs = append(slices.Clip(n.machine.configs), next)
	w.Checker.configured(next)
}

// configure tells n's replica of the configurations after the first known.
func (w *World) configure(n *Node, known int) {
	for _, c := range n.machine.configs[min(known, len(n.machine.configs)):] {
		if err := n.Replica.Configure(c); err != nil {
			w.Checker.fail("I5: node %d: %v", n.ID, err)
		}
		w.opts.Trace("%d has %d acceptors from slot %d", n.ID, len(c.Acceptors), c.From)
	}
}

// configured sees a configuration that the log decided.
func (c *Checker) configured(next paxos.Configuration) {
	if next.From > c.configs[len(c.configs)-1].From {
		c.configs = append(c.configs, next)
	}
}

// enough reports whether holders are a majority of the acceptors of slot (I5).
func (c *Checker) enough(slot paxos.Slot, holders map[paxos.NodeID]bool) bool {
	i := len(c.configs) - 1
	for i > 0 && c.configs[i].From > slot {
		i--
	}
	count := 0
	for _, a := range c.configs[i].Acceptors {
		if holders[a.Node] {
			count++
		}
	}
	return count > len(c.configs[i].Acceptors)/2
}

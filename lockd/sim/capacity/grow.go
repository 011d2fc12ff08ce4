package main

import (
	"errors"
	"strconv"

	"lockd/lockd/placement"
	"lockd/paxos"
)

// Step is a cluster that has grown by some nodes under load.
type Step struct {
	Nodes int
	// Moves is what was seen from the first wish until every group was at home
	// and led by its first node; After what was seen when that was over.
	Moves, After Window
	// Changes of acceptors, of leaders, and snapshots that were taken over.
	Seats, Deposed, Snapshots int
	Replicas, Leaders         []int
}

// grow adds nodes, one after the other, while clients work, and waits until all
// that is to move has moved.
func (w *World) grow(nodes int, window Time) Step {
	seats, deposed := w.seatChanges, w.deposed
	before := w.begun()
	for range nodes {
		w.addNode()
	}
	w.await("all groups to be at home", w.settled)
	step := Step{Nodes: len(w.sites), Moves: w.measured(before),
		Seats: w.seatChanges - seats, Deposed: w.deposed - deposed}
	for _, s := range w.sites {
		step.Snapshots += s.store.installed
	}
	step.After = w.measure(window)
	step.Replicas, step.Leaders = w.spread()
	for _, c := range w.clients {
		if err := c.intact(); err != nil {
			w.failf("%w", err)
		}
	}
	return step
}

// addNode invites a node as an operator does, starts it, and waits until the
// cluster has taken it in. What was refused or is uncertain is asked for again.
func (w *World) addNode() {
	s := w.addSite()
	name := strconv.Itoa(int(s.id))
	asking, made := false, false
	w.await("an invitation of node "+name, func() bool {
		if !asking && !made {
			asking = true
			at := w.sites[0]
			at.inbox.Change(placement.Change{Kind: placement.Add, Node: paxos.NodeID(s.id),
				Peer: "peer " + name, Client: name}, func(err error) {
				asking = false
				made = err == nil || errors.Is(err, placement.ErrNoChange)
			})
			at.turn()
		}
		return made
	})
	s.start()
	w.await("node "+name+" to be a member", func() bool {
		st := w.sites[0].node.Status()
		n := st.Record.Node(paxos.NodeID(s.id))
		return n != nil && n.State == placement.Member && s.node.Status().Born
	})
}

// settled reports whether every group is at home and led by its first node, as
// all nodes know.
func (w *World) settled() bool {
	for _, s := range w.sites {
		if s.node == nil {
			return false
		}
		st := s.node.Status()
		if st == nil || !st.Born || st.Moving > 0 {
			return false
		}
		for g, leader := range st.Leaders {
			if leader != st.Record.Homes[g][0] {
				return false
			}
		}
	}
	return true
}

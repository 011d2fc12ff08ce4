package placement

import (
	"slices"

	"lockd/paxos"
)

// keepers are the nodes that may keep groups.
func (r *Record) keepers() []paxos.NodeID {
	var ids []paxos.NodeID
	for i := range r.Nodes {
		if r.Nodes[i].State == Member {
			ids = append(ids, r.Nodes[i].ID)
		}
	}
	return ids
}

// rehome gives every group a home among the members. It moves as little as it
// can: what must leave a node that leaves, and then one replica at a time from
// the node with most to the node with least until they differ by one at most.
// Leaderships are spread in the same way, within the homes.
func (r *Record) rehome() {
	members := r.keepers()
	if len(members) == 0 {
		return
	}
	want := min(int(r.Replicas), len(members))
	load := make(map[paxos.NodeID]int, len(members))
	for g, home := range r.Homes {
		home = slices.DeleteFunc(home, func(id paxos.NodeID) bool {
			return !slices.Contains(members, id)
		})
		r.Homes[g] = home
		for _, id := range home {
			load[id]++
		}
	}
	for g := range r.Homes {
		for len(r.Homes[g]) < want {
			id := least(members, load, r.Homes[g])
			r.Homes[g] = append(r.Homes[g], id)
			load[id]++
		}
	}
	for r.shift(members, load) {
	}
	for r.shiftLead(members) {
	}
}

// least returns the member with the smallest load that is not in home.
func least(members []paxos.NodeID, load map[paxos.NodeID]int, home []paxos.NodeID) paxos.NodeID {
	best := paxos.NoNode
	for _, id := range members {
		if !slices.Contains(home, id) && (best == paxos.NoNode || load[id] < load[best]) {
			best = id
		}
	}
	return best
}

// shift moves one replica from a node with many to one with few, and reports
// whether there was one to move.
func (r *Record) shift(members []paxos.NodeID, load map[paxos.NodeID]int) bool {
	few := least(members, load, nil)
	for g, home := range r.Homes {
		if slices.Contains(home, few) {
			continue
		}
		at := 0
		for i, id := range home {
			if load[id] > load[home[at]] {
				at = i
			}
		}
		if load[home[at]]-load[few] < 2 || !r.heaviest(load, home[at]) {
			continue
		}
		load[home[at]]--
		load[few]++
		r.Homes[g][at] = few
		return true
	}
	return false
}

// heaviest reports whether no node has more than id.
func (r *Record) heaviest(load map[paxos.NodeID]int, id paxos.NodeID) bool {
	for _, n := range load { // order: a maximum
		if n > load[id] {
			return false
		}
	}
	return true
}

// shiftLead makes a node with few leaderships the first of a home whose first
// has two or more above it.
func (r *Record) shiftLead(members []paxos.NodeID) bool {
	leads := make(map[paxos.NodeID]int, len(members))
	for _, home := range r.Homes {
		leads[home[0]]++
	}
	for _, home := range r.Homes {
		for i := 1; i < len(home); i++ {
			if leads[home[0]]-leads[home[i]] >= 2 {
				home[0], home[i] = home[i], home[0]
				return true
			}
		}
	}
	return false
}

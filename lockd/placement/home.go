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
// Leaderships are spread in the same way, within the homes; they differ by one at
// most, too.
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
	for r.evenLeads(members) {
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

// evenLeads gives one leadership from a node to one with two or more below it,
// and reports whether there was one to give. Where no home holds both, others
// between them pass one on each. With replicas that differ by one at most that
// ends when leaderships do: were a set of nodes to lead too much among
// themselves, their homes would be more than their share of the replicas.
func (r *Record) evenLeads(members []paxos.NodeID) bool {
	leads := make(map[paxos.NodeID]int, len(members))
	for _, home := range r.Homes {
		leads[home[0]]++
	}
	for _, from := range members {
		if r.passLead(leads, from) {
			return true
		}
	}
	return false
}

// passLead looks for the shortest way, home by home, from a node to one with two
// leaderships less, and passes one along it.
func (r *Record) passLead(leads map[paxos.NodeID]int, from paxos.NodeID) bool {
	// by is the group whose leadership would bring one to a node.
	by := map[paxos.NodeID]int{}
	for next := []paxos.NodeID{from}; len(next) > 0; next = next[1:] {
		for g, home := range r.Homes {
			if home[0] != next[0] {
				continue
			}
			for _, id := range home[1:] {
				if _, seen := by[id]; seen || id == from {
					continue
				}
				by[id] = g
				next = append(next, id)
				if leads[id] <= leads[from]-2 {
					r.passAlong(by, from, id)
					return true
				}
			}
		}
	}
	return false
}

// passAlong makes each node on the way found the first of the home that brings
// it there, the last one first.
func (r *Record) passAlong(by map[paxos.NodeID]int, from, to paxos.NodeID) {
	for to != from {
		home := r.Homes[by[to]]
		giver := home[0]
		at := slices.Index(home, to)
		home[0], home[at] = home[at], home[0]
		to = giver
	}
}

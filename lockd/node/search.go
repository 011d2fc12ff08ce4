package node

import (
	"bytes"
	"slices"

	"lockd/lockfsm"
)

// Names are listed in order, and the machine keeps them in none: to find the first
// behind a name all must be looked at. A leader does so a piece a turn, so that nobody
// else waits for it, and finds some thousands at once, which it keeps for the pages
// that are asked for next. Meanwhile its machine says which names it touches.

const (
	// maxSearches bounds those of a node, and with searchBytes their memory.
	maxSearches = 32
	searchBytes = 64 << 10
	// mostSearchNames is the largest Options.SearchNames.
	mostSearchNames = 2 << 10
	// searchKept is how long one is kept that nobody uses, and searchIdle how long one
	// that another could use the room of: who waits for it uses it in each turn.
	searchKept = 2 * Second
	searchIdle = 100 * Millisecond
	// placesPerUnit is how many places of locks are looked at for one unit of share.go.
	placesPerUnit = 64
)

// SearchBytes bounds the memory of the names that a node has found and not listed yet.
func SearchBytes() uint64 { return 2 * maxSearches * (searchBytes + 16*mostSearchNames) }

// search is names of a group that were found, or are being looked for.
type search struct {
	*lockfsm.Search
	used Nanos
}

// namesBehind leaves in n.names the first names of a group in use that begin with
// prefix, behind after, and says whether there may be more. It looks at a bounded
// number of places: if those were not all it is not ready, and to be called again in
// another turn. cost is what it cost, in the units of share.go.
func (n *Node) namesBehind(g *group, prefix, after []byte, limit int) (more, ready bool, cost int) {
	for {
		s := n.searchFor(g, prefix, after)
		if s == nil {
			return false, false, 1
		}
		if !s.Done() {
			cost += 1 + n.opts.SearchStep/placesPerUnit
			if !s.Look(g.machine, n.opts.SearchStep) {
				return false, false, cost
			}
			n.stats.Searches++
		}
		names, covered := s.Names(n.names[:0], g.machine, after, limit)
		n.names = names
		if len(names) > 0 || covered == nil {
			return covered != nil, true, cost + pageCost(len(names))
		}
		cost++ // all that it found have gone since, or what came since stands before after
		if bytes.Compare(covered, after) > 0 {
			after = covered
		}
	}
}

// pageCost is what a page of so many entries costs whose names are found.
func pageCost(entries int) int { return 16 + entries/4 }

// searchFor returns the search that has the names behind one, or begins it. It is nil
// if too many are under way.
func (n *Node) searchFor(g *group, prefix, after []byte) *search {
	for _, s := range g.searches {
		if s.Covers(prefix, after) {
			s.used = n.now
			return s
		}
	}
	if !n.roomToSearch() {
		return nil
	}
	s := &search{used: n.now, Search: g.machine.Search(prefix, after,
		lockfsm.SearchBounds{Names: n.opts.SearchNames, Bytes: searchBytes})}
	g.searches = append(g.searches, s)
	return s
}

// roomToSearch makes room for one more search, if need be in place of that which was
// used longest ago and is done or nobody seems to wait for.
func (n *Node) roomToSearch() bool {
	all := 0
	var of *group
	var oldest *search
	for _, g := range n.hosted {
		all += len(g.searches)
		for _, s := range g.searches {
			free := s.Done() || n.now-s.used > searchIdle
			if free && (oldest == nil || s.used < oldest.used) {
				of, oldest = g, s
			}
		}
	}
	if all < maxSearches {
		return true
	}
	if oldest == nil {
		return false
	}
	of.searches = slices.DeleteFunc(of.searches, func(s *search) bool { return s == oldest })
	return true
}

// dropSearches forgets what nobody has asked for of late.
func (n *Node) dropSearches() {
	for _, g := range n.hosted {
		if len(g.searches) == 0 {
			continue
		}
		g.searches = slices.DeleteFunc(g.searches, func(s *search) bool {
			return n.now-s.used > searchKept
		})
	}
}

// answerLists answers the lists that are confirmed, in order, as their names are
// found. What is not found yet is left for the next turn.
func (n *Node) answerLists(g *group) {
	for len(g.lists) > 0 {
		if n.turnstile.spent > n.turnstile.most {
			n.leaveLate(g)
			return
		}
		r := &g.lists[0]
		if n.conns.find(r.conn) != nil {
			var cost int
			var ready bool
			n.moreNames, ready, cost = n.namesBehind(g, r.name, r.after, listLimit(r.limit))
			if n.turnstile.spent += cost; !ready {
				n.leaveLate(g)
				return
			}
		}
		n.countOff(r)
		n.answerRead(g, r)
		g.lists = slices.Delete(g.lists, 0, 1)
	}
	g.lists = nil
}

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
	// maxSearches bounds those of a node, and with searchBytes their memory. maxLooking
	// bounds those of a group that are not done: what is touched meanwhile costs each
	// of them, whether it is used or not.
	maxSearches = 24
	maxLooking  = 4
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

// SearchBytes bounds the memory of the names that a node has found and not listed yet,
// with those that were touched meanwhile.
func SearchBytes() uint64 { return (2 + 1) * maxSearches * (searchBytes + 16*mostSearchNames) }

// search is names of a group that were found, or are being looked for.
type search struct {
	*lockfsm.Search
	used Nanos
	// heard is how many of the names touched it has taken: it has to take all before it
	// is asked for any.
	heard uint64
}

// touches are names that were touched while a group has searches, in order. They cost
// an Apply the same however many searches there are: each takes them when it is used,
// which is charged to whom it is used for.
type touches struct {
	first uint64 // how many were dropped before names[0]
	names []string
	bytes int
}

func (t *touches) end() uint64 { return t.first + uint64(len(t.names)) }

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
		g.hear(s)
		looked := !s.Done()
		if looked && s.Look(g.machine, n.opts.SearchStep) {
			n.stats.Searches++
		}
		if !s.Done() {
			return false, false, cost + 1 + s.Spent()/placesPerUnit
		}
		names, covered := s.Names(n.names[:0], g.machine, after, limit)
		n.names = names
		cost += s.Spent() / placesPerUnit
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
	if !n.roomToSearch(g) {
		return nil
	}
	s := &search{used: n.now, heard: g.touches.end(), Search: g.machine.Search(prefix, after,
		lockfsm.SearchBounds{Names: n.opts.SearchNames, Bytes: searchBytes})}
	g.searches = append(g.searches, s)
	return s
}

// roomToSearch makes room for one more search of a group, if need be in place of that
// which was used longest ago and is done or nobody seems to wait for.
func (n *Node) roomToSearch(in *group) bool {
	all, looking := 0, 0
	var of *group
	var oldest, idle *search // of all, and of those of the group that are not done
	for _, g := range n.hosted {
		all += len(g.searches)
		for _, s := range g.searches {
			left := n.now-s.used > searchIdle
			if (s.Done() || left) && (oldest == nil || s.used < oldest.used) {
				of, oldest = g, s
			}
			if g != in || s.Done() {
				continue
			}
			looking++
			if left && (idle == nil || s.used < idle.used) {
				idle = s
			}
		}
	}
	switch {
	case looking >= maxLooking && idle == nil:
		return false
	case looking >= maxLooking:
		in.dropSearch(idle)
	case all < maxSearches:
	case oldest == nil:
		return false
	default:
		of.dropSearch(oldest)
	}
	return true
}

func (g *group) dropSearch(drop *search) {
	g.searches = slices.DeleteFunc(g.searches, func(s *search) bool { return s == drop })
}

// forgetSearches forgets all of a group.
func (g *group) forgetSearches() { g.searches, g.touches = nil, touches{} }

// hear has a search take what was touched since it was used last.
func (g *group) hear(s *search) {
	for _, name := range g.touches.names[s.heard-g.touches.first:] {
		if !plantedIs("list-misses-what-came") {
			s.Note(g.machine, []byte(name))
		}
	}
	s.heard = g.touches.end()
}

// noteTouch keeps a name for the searches of a group. If there is no room for it, half
// of those that are kept go: a search that is done and has not heard them goes, too.
func (n *Node) noteTouch(g *group, name []byte) {
	t := &g.touches
	for len(t.names) >= n.opts.SearchNames ||
		t.bytes+len(name) > searchBytes && len(t.names) > 0 {
		cut := (len(t.names) + 1) / 2
		g.searches = slices.DeleteFunc(g.searches, func(s *search) bool {
			late := s.heard < t.first+uint64(cut)
			if late && !s.Done() {
				g.hear(s) // it would be begun again and again
			}
			return late && s.Done()
		})
		for _, old := range t.names[:cut] {
			t.bytes -= len(old)
		}
		t.names = slices.Delete(t.names, 0, cut)
		t.first += uint64(cut)
	}
	t.names = append(t.names, string(name))
	t.bytes += len(name)
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
		if len(g.searches) == 0 {
			g.forgetSearches()
		}
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
		n.countOff(g, r)
		n.answerRead(g, r)
		g.lists = slices.Delete(g.lists, 0, 1)
	}
	g.lists = nil
}

package node

import (
	"cmp"
	"slices"

	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// contention remembers, for the names that were waited for or refused most of late,
// how often, and how long holds of them take. It is memory of a node, bounded and
// lost with it: what is not known is said to be unknown. A name comes in with
// the first request that waits or is refused; nothing is kept of others.
type contention struct {
	of      map[string]int32 // place in entries
	entries []contended
	hand    int            // where to look next for a place
	known   map[uint16]int // names by group
	// page is what a Top was told last, told to all that come before pageUntil.
	page      []wire.TopEntry
	pageUntil Nanos
}

const (
	// maxContended bounds the names, and with that the memory: 2 MiB at most.
	maxContended = 2048
	// contendedLook is how many entries are looked at for the one to give up.
	contendedLook = 8
	// scoreHalf is the time in which a score falls to a half.
	scoreHalf = 60 * Second
	// samples is how many holds of a name are remembered.
	samples = 8
)

// contended is one name.
type contended struct {
	name            string
	group           uint16
	score           uint32 // as it was at
	at              Nanos
	waits, refusals uint64
	held            [samples]uint32 // the last lengths of holds, in milliseconds
	count           int             // of holds, ever
}

// now is the score as it has fallen since.
func (x *contended) now(at Nanos) uint32 {
	return x.score >> min(31, max(0, (at-x.at)/scoreHalf))
}

// usual is the middle one of the lengths that are known, and how many those are.
func (x *contended) usual() (millis uint32, known int) {
	known = min(x.count, samples)
	if known == 0 {
		return wire.UnknownMillis, 0
	}
	sorted := x.held
	slices.Sort(sorted[:known])
	return sorted[known/2], known
}

// find returns what is known of a name, nil if nothing is.
func (t *contention) find(name []byte) *contended {
	if i, ok := t.of[string(name)]; ok {
		return &t.entries[i]
	}
	return nil
}

// note takes in what happened to a lock.
func (t *contention) note(g paxos.GroupID, x *lockfsm.Touch, at Nanos) {
	switch {
	case x.Changes&lockfsm.ChangedQueue != 0:
		e := t.raise(uint16(g), x.Name, at)
		e.waits++
	case x.Changes&(lockfsm.ChangedRelease|lockfsm.ChangedExpiry) != 0:
		if e := t.find(x.Name); e != nil {
			e.held[e.count%samples] = uint32(min(x.Held, lockfsm.Time(wire.UnknownMillis-1)))
			e.count++
		}
	}
}

// refused notes that a try was refused.
func (t *contention) refused(g paxos.GroupID, name []byte, at Nanos) {
	if len(name) > 0 {
		t.raise(uint16(g), name, at).refusals++
	}
}

// raise raises the score of a name, which takes a place if it has none.
func (t *contention) raise(g uint16, name []byte, at Nanos) *contended {
	e := t.find(name)
	if e == nil {
		i := t.place(at)
		e = &t.entries[i]
		*e = contended{name: string(name), group: g}
		t.of[e.name] = int32(i)
		t.known[g]++
	}
	e.score, e.at = e.now(at)+1, at
	return e
}

// place returns a new entry or, when there are enough, the one with the lowest
// score of the next few, which is given up.
func (t *contention) place(at Nanos) int {
	if t.of == nil {
		t.of, t.known = make(map[string]int32), make(map[uint16]int)
	}
	if len(t.entries) < maxContended {
		t.entries = append(t.entries, contended{})
		return len(t.entries) - 1
	}
	least := t.hand
	for range contendedLook {
		if t.entries[t.hand].now(at) < t.entries[least].now(at) {
			least = t.hand
		}
		t.hand = (t.hand + 1) % len(t.entries)
	}
	old := &t.entries[least]
	delete(t.of, old.name)
	t.known[old.group]--
	return least
}

// namesPerUnit is how many names that are remembered are looked at, and put in order,
// for a unit of cost.
const namesPerUnit = 4

// top returns the names with the highest scores of the groups that are led, at most
// limit and MaxPage of them. It is found for whoever asks first, at whose cost, and
// holds for statusEvery: all names are looked at for it. The entries are borrowed
// until the next call.
func (n *Node) top(limit int) []wire.TopEntry {
	t := &n.contention
	if n.now >= t.pageUntil {
		n.turnstile.spent += len(t.entries) / namesPerUnit
		t.page, t.pageUntil = n.topNow(), n.now+statusEvery
	}
	return t.page[:min(limit, len(t.page))]
}

// forgetTop drops what was found: it may name what this node leads no more.
func (t *contention) forgetTop() { t.page, t.pageUntil = nil, 0 }

// topNow finds the page as it is now.
func (n *Node) topNow() []wire.TopEntry {
	t := &n.contention
	var all []*contended
	for i := range t.entries {
		e := &t.entries[i]
		if g := n.group(e.group); g != nil && g.leading && e.now(n.now) > 0 {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *contended) int {
		if c := cmp.Compare(b.now(n.now), a.now(n.now)); c != 0 && !plantedIs("top-by-name") {
			return c
		}
		return cmp.Compare(a.name, b.name)
	})
	var page []wire.TopEntry
	for _, e := range all[:min(wire.MaxPage, len(all))] {
		usual, _ := e.usual()
		page = append(page, wire.TopEntry{Score: e.now(n.now), Waits: e.waits,
			Refusals: e.refusals, UsualMillis: usual, Name: []byte(e.name)})
	}
	return page
}

// onTop answers a Top.
func (n *Node) onTop(c *conn, h wire.Header, body []byte) {
	x, err := wire.DecodeTop(body)
	if err != nil {
		n.respond(c, h, wire.StatusBadRequest)
		return
	}
	limit := int(x.Limit)
	if limit == 0 || limit > wire.MaxPage {
		limit = wire.MaxPage
	}
	page := wire.TopPage{Entries: n.top(limit)}
	n.scratch = wire.AppendTopPage(n.scratch[:0], &page)
	n.answer(c, h, &wire.Response{Status: wire.StatusOK, Payload: n.scratch})
}

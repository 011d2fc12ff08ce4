package wal

import (
	"fmt"
	"sort"
)

// liveness knows which records must survive the removal of their segment
// (I10): for every key, the LSN of its newest record, and for every stretch of
// the log, how many such records lie in it. It is pure.
type liveness struct {
	groups []groupLive
	// stretches covers the log from the oldest segment to the last record,
	// ordered and without gaps. The last one takes in what is appended next.
	stretches []stretch
	// records and bytes are the sums over all stretches.
	records, bytes int64
}

// stretch counts the live records of one segment, or of one batch that has no
// segment yet.
type stretch struct {
	first LSN
	// records and bytes are live in the stretch; headers included.
	records, bytes int64
	// killer is the largest LSN that made a record of the stretch dead. The
	// stretch must not go before that one is durable: until then the dead
	// record is still what a crash would bring back.
	killer LSN
}

// located is where the newest record of a key is. Zero means there is none.
type located struct {
	lsn   LSN
	bytes uint32
}

// groupLive is what is live of one group.
type groupLive struct {
	state located
	// hint speaks of hintSlot and those below it.
	hint     located
	hintSlot uint64
	// released is the last slot whose entry is not needed any more.
	released uint64
	// newest is at or above the slots of all entries: where the next one goes is known
	// without a look at the last, which has long left the processor's caches.
	newest uint64
	// entries[head:] are the live entries, by slot. Slots come almost in order
	// and leave in order.
	entries []slotLive
	head    int
}

// slotLive is the newest record of one slot.
type slotLive struct {
	slot uint64
	at   located
}

// group returns the state of g, making room for it on first use.
func (l *liveness) group(g uint16) *groupLive {
	if more := int(g) + 1 - len(l.groups); more > 0 {
		l.groups = append(l.groups, make([]groupLive, more)...)
	}
	return &l.groups[g]
}

// appended takes note of the record at lsn, which is the newest of the log.
func (l *liveness) appended(r *Record, lsn LSN) {
	at := located{lsn: lsn, bytes: uint32(recordBytes(len(r.Data)))}
	switch r.Kind {
	case KindState:
		if plantedIs("wal-removal-forgets-promise") {
			return
		}
		g := l.group(r.Group)
		l.dead(g.state, lsn)
		g.state = at
		l.born(at)
	case KindEntry:
		g := l.group(r.Group)
		if r.Slot <= g.released {
			return
		}
		e := g.entry(r.Slot)
		l.dead(e.at, lsn)
		e.at = at
		l.born(at)
	case KindHint:
		g := l.group(r.Group)
		if r.Slot <= g.released {
			return
		}
		l.dead(g.hint, lsn)
		g.hint, g.hintSlot = at, r.Slot
		l.born(at)
	default:
		// A newer binary of the same format may know more kinds; what it calls
		// live it must say in the version.
	}
}

// isLive reports whether the record at lsn is the newest of its key.
func (l *liveness) isLive(r *Record, lsn LSN) bool {
	if int(r.Group) >= len(l.groups) {
		return false
	}
	g := &l.groups[r.Group]
	switch r.Kind {
	case KindState:
		return g.state.lsn == lsn
	case KindEntry:
		i := g.find(r.Slot)
		return i < len(g.entries) && g.entries[i].slot == r.Slot && g.entries[i].at.lsn == lsn
	case KindHint:
		return g.hint.lsn == lsn
	default:
		return false
	}
}

// release makes the entries of group up to slot dead.
func (l *liveness) release(group uint16, slot uint64) {
	g := l.group(group)
	if slot <= g.released {
		return
	}
	g.released = slot
	if g.hintSlot <= slot {
		l.dead(g.hint, 0)
		g.hint, g.hintSlot = located{}, 0
	}
	for g.head < len(g.entries) && g.entries[g.head].slot <= slot {
		// A released entry needs no successor in the log to be dead.
		l.dead(g.entries[g.head].at, 0)
		g.head++
	}
	if g.head > len(g.entries)/2 {
		n := copy(g.entries, g.entries[g.head:])
		g.entries = g.entries[:n]
		g.head = 0
	}
}

// reopen takes back the releases of group: entries that are appended from now on
// are live whatever their slots.
func (l *liveness) reopen(group uint16) { l.group(group).released = 0 }

// born counts a record that has become the newest of its key.
func (l *liveness) born(at located) {
	s := l.stretch(at.lsn)
	s.records++
	s.bytes += int64(at.bytes)
	l.records++
	l.bytes += int64(at.bytes)
}

// dead takes back what born counted, because of the record at killer.
func (l *liveness) dead(at located, killer LSN) {
	if at.lsn == 0 {
		return
	}
	s := l.stretch(at.lsn)
	s.records--
	s.bytes -= int64(at.bytes)
	s.killer = max(s.killer, killer)
	l.records--
	l.bytes -= int64(at.bytes)
}

// stretch finds the stretch that holds lsn.
func (l *liveness) stretch(lsn LSN) *stretch {
	last := len(l.stretches) - 1
	if l.stretches[last].first <= lsn {
		return &l.stretches[last]
	}
	i := sort.Search(last, func(i int) bool { return l.stretches[i].first > lsn })
	return &l.stretches[i-1]
}

// merge counts stretch i+1 as part of stretch i.
func (l *liveness) merge(i int) {
	into, from := &l.stretches[i], l.stretches[i+1]
	into.records += from.records
	into.bytes += from.bytes
	into.killer = max(into.killer, from.killer)
	l.stretches = append(l.stretches[:i+1], l.stretches[i+2:]...)
}

// forget makes every record before lsn dead: the log says that nothing there
// is needed, and how it came to that need not be in the log.
func (l *liveness) forget(lsn LSN) {
	for i := range l.groups {
		g := &l.groups[i]
		if g.state.lsn < lsn {
			l.dead(g.state, 0)
			g.state = located{}
		}
		if g.hint.lsn < lsn {
			l.dead(g.hint, 0)
			g.hint, g.hintSlot = located{}, 0
		}
		kept := g.entries[:0]
		for _, e := range g.entries[g.head:] {
			if e.at.lsn < lsn {
				l.dead(e.at, 0)
			} else {
				kept = append(kept, e)
			}
		}
		g.entries, g.head = kept, 0
	}
}

// drop forgets the first n stretches, in which nothing is live.
func (l *liveness) drop(n int) {
	for i := range n {
		if s := l.stretches[i]; s.records != 0 {
			panic(fmt.Sprintf("wal: live records in a removed segment: have %d, want 0",
				s.records))
		}
	}
	l.stretches = append(l.stretches[:0], l.stretches[n:]...)
}

// find returns the place of slot in entries, or where it would go.
func (g *groupLive) find(slot uint64) int {
	n := len(g.entries)
	if n == g.head || g.entries[n-1].slot < slot {
		return n
	}
	tail := g.entries[g.head:]
	return g.head + sort.Search(len(tail), func(i int) bool { return tail[i].slot >= slot })
}

// entry returns the entry of slot, making one if needed.
func (g *groupLive) entry(slot uint64) *slotLive {
	if slot > g.newest {
		g.newest = slot
		g.entries = append(g.entries, slotLive{slot: slot})
		return &g.entries[len(g.entries)-1]
	}
	i := g.find(slot)
	if i == len(g.entries) || g.entries[i].slot != slot {
		g.entries = append(g.entries, slotLive{})
		copy(g.entries[i+1:], g.entries[i:])
		g.entries[i] = slotLive{slot: slot}
	}
	return &g.entries[i]
}

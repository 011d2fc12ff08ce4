package paxos

import (
	"fmt"

	"lockd/paxos/quorum"
)

// cell is what a replica holds of one slot.
type cell struct {
	// ballot is that of the accepted entry; zero if nothing is accepted.
	ballot Ballot
	value  []byte
	// accepted are the acceptors, by their place in the slot's configuration,
	// that accepted the entry at the ballot this replica leads. Leaders only.
	accepted quorum.Set
	// chosen marks a slot above a gap that is known to be chosen; the run of
	// window.chosen does not need it.
	chosen bool
}

// window is the part of a group's log that a replica holds in memory.
//
// Four watermarks divide it; zero stands for "none":
//
//	Invariant: released ≤ applied ≤ chosen, and released ≤ last.
//
// All slots in (released, chosen] hold their chosen value, at a ballot at or
// above one it was chosen in. chosen and last are not ordered after a snapshot.
type window struct {
	// released is the last slot whose entry is dropped.
	released Slot
	// applied is the last slot handed out in Ready.Chosen.
	applied Slot
	// chosen is the last slot of the unbroken run of chosen slots.
	chosen Slot
	// last is the highest slot with an accepted entry.
	last Slot
	// cells is a ring; slot s lives at s modulo its length, a power of two.
	cells []cell
	// values copies the values of the cells.
	values values
}

const windowCells = 64

// at returns the cell of slot s, or nil if the window does not hold s.
func (w *window) at(s Slot) *cell {
	if s <= w.released || s > w.last {
		return nil
	}
	return &w.cells[s&Slot(len(w.cells)-1)]
}

// put sets the entry of e.Slot and makes room for it. The window keeps e.Value.
// Requires: e.Slot > released.
func (w *window) put(e Entry) *cell {
	if e.Slot <= w.released {
		panic(fmt.Sprintf("paxos: entry of slot %d, released up to %d", e.Slot, w.released))
	}
	if need := e.Slot - w.released; need > Slot(len(w.cells)) {
		w.grow(need)
	}
	w.last = max(w.last, e.Slot)
	c := w.at(e.Slot)
	c.ballot, c.value, c.accepted = e.Ballot, e.Value, 0
	return c
}

func (w *window) grow(need Slot) {
	size := Slot(max(len(w.cells), windowCells))
	for size < need {
		size *= 2
	}
	cells := make([]cell, size)
	for s := w.released + 1; s <= w.last; s++ {
		cells[s&(size-1)] = *w.at(s)
	}
	w.cells = cells
}

// ballot returns the ballot accepted in s, zero if none.
func (w *window) ballot(s Slot) Ballot {
	if c := w.at(s); c != nil {
		return c.ballot
	}
	return Ballot{}
}

// entry returns the entry of s; its ballot is zero if nothing is accepted.
func (w *window) entry(s Slot) Entry {
	c := w.at(s)
	if c == nil {
		return Entry{Slot: s}
	}
	return Entry{Slot: s, Ballot: c.ballot, Value: c.value}
}

// spare returns the last slot that can be dropped if of those up to s only the
// last so many are kept, with values of so many bytes.
func (w *window) spare(s, slots Slot, bytes int) Slot {
	last := w.released
	if s > slots {
		last = max(last, s-slots)
	}
	for ; s > last; s-- {
		if c := w.at(s); c != nil {
			bytes -= len(c.value)
		}
		if bytes < 0 {
			return s
		}
	}
	return last
}

// release drops all slots up to s. Requires: s ≤ applied.
func (w *window) release(s Slot) {
	if s > w.applied {
		panic(fmt.Sprintf("paxos: release of slot %d, applied up to %d", s, w.applied))
	}
	for w.released < s {
		if c := w.at(w.released + 1); c != nil {
			*c = cell{}
		}
		w.released++
	}
	w.last = max(w.last, w.released)
}

// install moves the watermarks to s, whose state came as a snapshot, and drops
// the slots up to it. Requires: s > applied.
func (w *window) install(s Slot) {
	w.applied = s
	w.chosen = max(w.chosen, s)
	if s >= w.last {
		clear(w.cells)
		w.released, w.last = s, s
		return
	}
	w.release(s)
}

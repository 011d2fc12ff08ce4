package paxos

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrIncomplete means that the log calls slots chosen that it no longer holds.
// The caller must not start: entries it once synced are gone.
var ErrIncomplete = errors.New("paxos: recovered log has a hole")

// Recovered collects what a node's disk remembers of one group: Base with the
// checkpoint's slot first, then Add with each record in log order. The zero
// Recovered is a replica that never ran.
type Recovered struct {
	base     Slot
	chosen   Slot
	last     Slot
	promised Ballot
	entries  map[Slot]Entry
	any      bool
}

// Base names the slot of the checkpoint. Requires: no Add before it.
func (r *Recovered) Base(slot Slot) {
	if len(r.entries) > 0 {
		panic(fmt.Sprintf("paxos: Base(%d) after %d entries", slot, len(r.entries)))
	}
	r.base = slot
	r.any = r.any || slot > 0
}

// Add adds one record; it copies what it keeps. Of several entries of a slot
// the one with the highest ballot counts, as does the highest promise. The
// error is ErrMalformed or ErrTooNew.
func (r *Recovered) Add(rec Record) error {
	e, err := decodeRecord(&rec)
	if err != nil {
		return err
	}
	r.any = true
	switch rec.Kind {
	case RecordPromise:
		if r.promised.Less(e.Ballot) {
			r.promised = e.Ballot
		}
	case RecordAccept:
		r.addEntry(e)
	case RecordChosen:
		r.chosen = max(r.chosen, e.Slot)
	}
	return nil
}

// Forget drops everything but the promise, which binds the disk for ever: the
// group has left the node and may come back to it.
func (r *Recovered) Forget() {
	for _, e := range r.entries { // order: a maximum
		if r.promised.Less(e.Ballot) {
			r.promised = e.Ballot
		}
	}
	if plantedIs("left-group-forgets-promise") {
		r.promised = Ballot{}
	}
	*r = Recovered{promised: r.promised, any: r.any}
}

// Promise adds the promise of a replica that ran before in this process.
// Requires: no Base before it.
func (r *Recovered) Promise(b Ballot) {
	if r.promised.Less(b) {
		r.promised = b
	}
}

// Promised returns the highest promise added.
func (r *Recovered) Promised() Ballot { return r.promised }

// Slots returns how many slots above the checkpoint have an entry.
func (r *Recovered) Slots() int { return len(r.entries) }

func (r *Recovered) addEntry(e Entry) {
	if e.Slot <= r.base {
		return
	}
	if have, ok := r.entries[e.Slot]; ok && !have.Ballot.Less(e.Ballot) {
		return
	}
	if r.entries == nil {
		r.entries = make(map[Slot]Entry)
	}
	e.Value = bytes.Clone(e.Value)
	r.entries[e.Slot] = e
	r.last = max(r.last, e.Slot)
}

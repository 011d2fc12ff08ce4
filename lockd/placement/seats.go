package placement

import (
	"encoding/binary"
	"fmt"
	"slices"

	"lockd/paxos"
)

// Seats are who accepts and who observes for a group: up to the slot before
// Now.From those of Before, then those of Now.
type Seats struct {
	Before, Now paxos.Configuration
}

const seatsVersion = 1

// Configurations returns the seats as a replica takes them, in rising order.
func (s *Seats) Configurations() []paxos.Configuration {
	if s.Before.From == 0 {
		return []paxos.Configuration{s.Now}
	}
	return []paxos.Configuration{s.Before, s.Now}
}

// AppendSeats appends encoded seats. The slot in which Now begins is not known
// before the write is chosen: it is Window above that slot, and decoding is
// told.
func AppendSeats(dst []byte, before, now *paxos.Configuration) []byte {
	dst = appendConfiguration(append(dst, seatsVersion), before)
	return appendConfiguration(dst, now)
}

func appendConfiguration(dst []byte, c *paxos.Configuration) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, uint64(c.From))
	dst = append(dst, byte(len(c.Acceptors)))
	for _, a := range c.Acceptors {
		dst = le.AppendUint16(dst, uint16(a.Node))
		dst = le.AppendUint64(dst, uint64(a.Disk))
	}
	dst = append(dst, byte(len(c.Observers)))
	for _, id := range c.Observers {
		dst = le.AppendUint16(dst, uint16(id))
	}
	return dst
}

// DecodeSeats reads what AppendSeats wrote; from is the slot in which Now
// begins. The error is ErrMalformed.
func DecodeSeats(b []byte, from paxos.Slot) (Seats, error) {
	c := cursor{b: b}
	if v := c.u8(); v != seatsVersion {
		return Seats{}, fmt.Errorf("%w: seats of version %d, want %d", ErrMalformed, v, seatsVersion)
	}
	s := Seats{Before: c.configuration(), Now: c.configuration()}
	s.Now.From = from
	if c.failed || c.at != len(b) || s.Before.From == 0 || s.Before.From >= from ||
		len(s.Before.Acceptors) == 0 || len(s.Now.Acceptors) == 0 {
		return Seats{}, fmt.Errorf("%w: seats of %d bytes from slot %d", ErrMalformed, len(b), from)
	}
	return s, nil
}

func (c *cursor) configuration() paxos.Configuration {
	x := paxos.Configuration{From: paxos.Slot(c.u64())}
	for range c.u8() {
		x.Acceptors = append(x.Acceptors,
			paxos.Acceptor{Node: paxos.NodeID(c.u16()), Disk: paxos.DiskID(c.u64())})
	}
	for range c.u8() {
		x.Observers = append(x.Observers, paxos.NodeID(c.u16()))
	}
	return x
}

const seenVersion = 1

// AppendSeen appends what a group's log says of the newest record it has seen: its
// version.
func AppendSeen(dst []byte, version uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, seenVersion), version)
}

// DecodeSeen reads what AppendSeen wrote. The error is ErrMalformed.
func DecodeSeen(b []byte) (version uint64, err error) {
	c := cursor{b: b}
	v := c.u8()
	if version = c.u64(); v != seenVersion || c.failed || c.at != len(b) {
		return 0, fmt.Errorf("%w: a record that was seen, in %d bytes of version %d", ErrMalformed,
			len(b), v)
	}
	return version, nil
}

// Condition is what must be so before a step is taken.
type Condition uint8

// The conditions.
const (
	// Always: at once.
	Always Condition = iota
	// CaughtUp: every observer that becomes an acceptor has what is chosen.
	CaughtUp
	// Settled: the acceptors hold everything below their first slot
	// (paxos.Replica.Settled).
	Settled
)

// Next returns the seats that follow now on the way to a home, and under what
// condition; ok is false when there is nothing left to do. From is left open.
// The newcomers of a CaughtUp step are the acceptors of next that now lacks.
func Next(now *paxos.Configuration, home []paxos.Acceptor,
) (next paxos.Configuration, when Condition, ok bool) {
	var newcomers, leavers []paxos.NodeID
	for _, a := range home {
		if !slices.Contains(now.Acceptors, a) {
			newcomers = append(newcomers, a.Node)
		}
	}
	for _, a := range now.Acceptors {
		if !slices.Contains(home, a) {
			leavers = append(leavers, a.Node)
		}
	}
	if len(newcomers) == 0 && len(leavers) == 0 {
		if len(now.Observers) == 0 {
			return paxos.Configuration{}, Always, false
		}
		return paxos.Configuration{Acceptors: home}, Settled, true
	}
	if missing := without(newcomers, now.Observers); len(missing) > 0 {
		return paxos.Configuration{
			Acceptors: slices.Clone(now.Acceptors),
			Observers: append(slices.Clone(now.Observers), missing...),
		}, Always, true
	}
	// Who is an acceptor now hears of the group all the same.
	stay := without(append(without(now.Observers, leavers), leavers...), nodesOf(home))
	return paxos.Configuration{Acceptors: slices.Clone(home), Observers: stay}, CaughtUp, true
}

// Newcomers returns the acceptors of next that are none of now.
func Newcomers(now, next *paxos.Configuration) []paxos.Acceptor {
	var fresh []paxos.Acceptor
	for _, a := range next.Acceptors {
		if !slices.Contains(now.Acceptors, a) {
			fresh = append(fresh, a)
		}
	}
	return fresh
}

func nodesOf(as []paxos.Acceptor) []paxos.NodeID {
	ids := make([]paxos.NodeID, 0, len(as))
	for _, a := range as {
		ids = append(ids, a.Node)
	}
	return ids
}

// without returns the ids that are not in other.
func without(ids, other []paxos.NodeID) []paxos.NodeID {
	var kept []paxos.NodeID
	for _, id := range ids {
		if !slices.Contains(other, id) && !slices.Contains(kept, id) {
			kept = append(kept, id)
		}
	}
	return kept
}

package check

import (
	"fmt"
	"math/bits"

	"lockd/paxos"
)

// Disks is a set of disks by number. A node that is given a new disk is another
// acceptor.
type Disks uint64

// MaxDisks is how many disks a world may have, numbered from zero.
const MaxDisks = 64

// Chosen is what all nodes together have accepted and applied, of every group.
type Chosen struct {
	groups [][]slotSeen
	seats  [][]seated // by group, rising
}

// seated says whose accepts count from a slot on.
type seated struct {
	from  paxos.Slot
	disks Disks
}

// slotSeen is one slot.
type slotSeen struct {
	offers []offer
	known  bool
	value  uint64 // fingerprint of what was applied
	result uint64 // fingerprint of what applying it did
	digest uint64 // of the machine afterwards
}

// offer is a value in a slot at a ballot, with the disks that have it synced.
type offer struct {
	ballot paxos.Ballot
	value  uint64
	disks  Disks
}

// NewChosen makes the checker of a cluster.
func NewChosen(groups int) *Chosen {
	return &Chosen{groups: make([][]slotSeen, groups), seats: make([][]seated, groups)}
}

// Configure notes who accepts from a slot on. A slot has one configuration, so
// one may follow the other whatever they have in common; but they come in order
// (I5).
func (c *Chosen) Configure(g paxos.GroupID, from paxos.Slot, disks Disks) error {
	if k := len(c.seats[g]); k > 0 {
		if last := c.seats[g][k-1]; last.from >= from {
			return fmt.Errorf("I5: group %d: acceptors from slot %d after those from %d", g, from,
				last.from)
		}
	}
	c.seats[g] = append(c.seats[g], seated{from, disks})
	return nil
}

func (d Disks) count() int    { return bits.OnesCount64(uint64(d)) }
func (d Disks) majority() int { return d.count()/2 + 1 }

// Seats are the acceptors of a group's newest configuration.
func (c *Chosen) Seats(g paxos.GroupID) Disks {
	if k := len(c.seats[g]); k > 0 {
		return c.seats[g][k-1].disks
	}
	return 0
}

// Written reports whether a disk, by number, is an acceptor of a slot by seats that were
// written, and not by those of the birth.
func (c *Chosen) Written(g paxos.GroupID, s paxos.Slot, disk int) bool {
	return len(c.seats[g]) > 1 && s >= c.seats[g][1].from && c.acceptors(g, s)&(1<<disk) != 0
}

// Survives reports whether sound disks, by number, are a quorum of the group's
// newest configuration and of the one before, in which slots may still be open.
func (c *Chosen) Survives(g paxos.GroupID, sound []int) bool {
	var set Disks
	for _, n := range sound {
		set |= 1 << n
	}
	all := c.seats[g]
	for _, s := range all[max(0, len(all)-2):] {
		if (s.disks & set).count() < s.disks.majority() {
			return false
		}
	}
	return true
}

// LetGo judges a disk that keeps a group no longer (I5): of some configuration
// without it a quorum must hold all slots before its first. holds says so of a
// disk.
func (c *Chosen) LetGo(
	g paxos.GroupID, disk int, holds func(disk int, last paxos.Slot) bool,
) error {
	all := c.seats[g]
	if len(all) == 0 {
		return nil
	}
	for k := len(all) - 1; k >= 0 && all[k].disks&(1<<disk) == 0; k-- {
		if k > 0 && all[k-1].disks == all[k].disks {
			continue // only its observers changed
		}
		held := 0
		for n := range 64 {
			if all[k].disks&(1<<n) != 0 && holds(n, all[k].from-1) {
				held++
			}
		}
		if held >= all[k].disks.majority() {
			return nil
		}
	}
	return fmt.Errorf("I5: group %d is let go by disk %d, and no quorum after it holds all before", g,
		disk)
}

// acceptors are those of one slot.
func (c *Chosen) acceptors(g paxos.GroupID, s paxos.Slot) Disks {
	all := c.seats[g]
	for k := len(all) - 1; k >= 0; k-- {
		if all[k].from <= s {
			return all[k].disks
		}
	}
	return 0
}

func (c *Chosen) at(g paxos.GroupID, s paxos.Slot) *slotSeen {
	seen := c.groups[g]
	for len(seen) <= int(s) {
		seen = append(seen, slotSeen{})
	}
	c.groups[g] = seen
	return &seen[s]
}

// Offered notes that a value stands at a ballot in a slot, in a message or in a
// record. One ballot has one value in a slot (I2).
func (c *Chosen) Offered(g paxos.GroupID, e *paxos.Entry) error {
	_, err := c.offer(g, e)
	return err
}

func (c *Chosen) offer(g paxos.GroupID, e *paxos.Entry) (*offer, error) {
	seen, value := c.at(g, e.Slot), Hash(e.Value)
	for i := range seen.offers {
		o := &seen.offers[i]
		if o.ballot != e.Ballot {
			continue
		}
		if o.value != value {
			return nil, fmt.Errorf("I2: group %d slot %d ballot %v: two values, %016x and %016x",
				g, e.Slot, e.Ballot, o.value, value)
		}
		return o, nil
	}
	seen.offers = append(seen.offers, offer{ballot: e.Ballot, value: value})
	return &seen.offers[len(seen.offers)-1], nil
}

// Synced notes that disk number disk has the accepted entry for good.
func (c *Chosen) Synced(disk int, g paxos.GroupID, e *paxos.Entry) error {
	o, err := c.offer(g, e)
	if err == nil {
		o.disks |= 1 << disk
	}
	return err
}

// ByQuorum reports whether a quorum has synced this very entry's value, at any
// one ballot.
func (c *Chosen) ByQuorum(g paxos.GroupID, e *paxos.Entry) bool {
	seen, value := c.at(g, e.Slot), Hash(e.Value)
	if seen.known {
		return seen.value == value
	}
	all := c.acceptors(g, e.Slot)
	for _, o := range seen.offers {
		if o.value == value && all != 0 && (o.disks&all).count() >= all.majority() {
			return true
		}
	}
	return false
}

// Known reports whether some node has applied a slot.
func (c *Chosen) Known(g paxos.GroupID, s paxos.Slot) bool { return c.at(g, s).known }

// Applied notes what a node applied, and reports whether it is the first to. It must say
// by a digest how its machine then stands, others may: zero is not to be compared.
func (c *Chosen) Applied(
	node int, g paxos.GroupID, e *paxos.Entry, result, digest uint64,
) (first bool, err error) {
	seen, value := c.at(g, e.Slot), Hash(e.Value)
	if seen.known {
		switch {
		case seen.value != value:
			return false, fmt.Errorf("I1: group %d slot %d: node %d applied %016x, another %016x",
				g, e.Slot, node, value, seen.value)
		case seen.result != result:
			return false, fmt.Errorf("I13: group %d slot %d: node %d had other results", g, e.Slot, node)
		case digest != 0 && seen.digest != digest:
			return false, fmt.Errorf("I13: group %d slot %d: node %d has digest %016x, another %016x",
				g, e.Slot, node, digest, seen.digest)
		}
		return false, nil
	}
	if !c.ByQuorum(g, e) {
		return false, fmt.Errorf("I1: group %d slot %d: node %d applied %d bytes at %v that no "+
			"quorum of disks %b has synced", g, e.Slot, node, len(e.Value), e.Ballot,
			c.acceptors(g, e.Slot))
	}
	*seen = slotSeen{offers: seen.offers, known: true, value: value, result: result, digest: digest}
	return true, nil
}

// Adopted notes that a node goes on with a machine at slot.
func (c *Chosen) Adopted(node int, g paxos.GroupID, slot paxos.Slot, digest uint64) error {
	if slot == 0 {
		return nil
	}
	seen := c.at(g, slot)
	if !seen.known {
		return fmt.Errorf("I12: group %d: node %d adopts slot %d, which nobody applied", g, node, slot)
	}
	if seen.digest != digest {
		return fmt.Errorf("I12: group %d slot %d: node %d adopts digest %016x, others had %016x",
			g, slot, node, digest, seen.digest)
	}
	return nil
}

// Last is the last slot anybody applied.
func (c *Chosen) Last(g paxos.GroupID) paxos.Slot {
	for s := len(c.groups[g]) - 1; s > 0; s-- {
		if c.groups[g][s].known {
			return paxos.Slot(s)
		}
	}
	return 0
}

// Hash is the FNV-1a fingerprint of b, never zero.
func Hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, x := range b {
		h = (h ^ uint64(x)) * 1099511628211
	}
	return h | 1
}

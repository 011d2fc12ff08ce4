package witness

import (
	"cmp"
	"slices"

	"lockd/netio/wire"
)

// names holds what is known of each name against itself.
func (c *checker) names() {
	slices.SortFunc(c.holds, func(a, b hold) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.token, b.token))
	})
	slices.SortFunc(c.reads, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Slot, b.Slot))
	})
	holds, reads := c.holds, c.reads
	for len(holds) > 0 || len(reads) > 0 {
		name := ^uint32(0)
		if len(holds) > 0 {
			name = holds[0].name
		}
		if len(reads) > 0 {
			name = min(name, reads[0].Name)
		}
		n, m := 0, 0
		for n < len(holds) && holds[n].name == name {
			n++
		}
		for m < len(reads) && reads[m].Name == name {
			m++
		}
		c.exclusion(holds[:n])
		c.permits(holds[:n])
		c.inferences(name, holds[:n])
		c.counts(name, holds[:n], reads[:m])
		holds, reads = holds[n:], reads[m:]
	}
}

// exclusion checks that at each grant every hold that it excludes can have
// ended. Requires: holds of one name, in the order of their tokens.
func (c *checker) exclusion(holds []hold) {
	var last [wire.ModeEX + 1]*hold // by mode, the one that ends last
	for i := range holds {
		h := &holds[i]
		if h.origin == inferred || h.capacity > 0 {
			continue // its mode is not known, or it has none
		}
		for mode, other := range last {
			if other != nil && excludes(wire.Mode(mode), h.mode) && other.endLow > h.grantHigh {
				c.bad("I14", "%q was granted in %s with token %d at slot %d while it was held in %s "+
					"with token %d from slot %d, which cannot end before slot %d: not before %s",
					c.nameOf(h.name), h.mode, h.token, h.grantHigh, other.mode, other.token,
					other.grantLow, other.endLow, c.reason(other))
			}
		}
		if old := last[h.mode]; old == nil || old.endLow < h.endLow {
			last[h.mode] = h
		}
	}
}

// permits checks semaphores: at each grant the permits of those that cannot have
// ended, and its own, are within the capacity, which is the same for all; and no
// lock with modes is held under the name. Requires: holds of one name, in the
// order of their tokens.
func (c *checker) permits(holds []hold) {
	if !slices.ContainsFunc(holds, func(h hold) bool { return h.capacity > 0 }) {
		return
	}
	var current []*hold
	for i := range holds {
		h := &holds[i]
		if h.origin == inferred {
			continue
		}
		current = slices.DeleteFunc(current, func(o *hold) bool { return o.endLow <= h.grantHigh })
		used := h.permits
		for _, o := range current {
			if used += o.permits; o.capacity != h.capacity {
				c.bad("I14", "%q was granted with capacity %d and token %d at slot %d while it was "+
					"held with capacity %d and token %d", c.nameOf(h.name), h.capacity, h.token,
					h.grantHigh, o.capacity, o.token)
			}
		}
		if used > h.capacity && h.capacity > 0 {
			c.bad("I14", "%q has %d permits, and %d are held after token %d at slot %d",
				c.nameOf(h.name), h.capacity, used, h.token, h.grantHigh)
		}
		current = append(current, h)
	}
}

// reason says from when on a hold may end.
func (c *checker) reason(h *hold) string {
	if h.end == released {
		return "its release"
	}
	return seconds(c.mayEnd(h))
}

// inferences checks that holds that nobody was told of are explained by
// acquires that were not answered.
func (c *checker) inferences(name uint32, holds []hold) {
	n := 0
	for i := range holds {
		if holds[i].origin != inferred {
			continue
		}
		if n++; n > c.tries[name] {
			c.bad("I23", "%q is said to be held with token %d at slot %d, and %d acquires of it were "+
				"not answered", c.nameOf(name), holds[i].token, holds[i].grantHigh, c.tries[name])
		}
	}
}

// counts checks reads: not fewer holders than surely held, and not more than can
// have. Requires: reads in the order of their slots.
func (c *checker) counts(name uint32, holds []hold, reads []Record) {
	if len(reads) == 0 {
		return
	}
	var begins, ends, mayBegin, mustEnd []uint64
	for i := range holds {
		h := &holds[i]
		if h.endLow > h.grantHigh {
			begins, ends = append(begins, h.grantHigh), append(ends, h.endLow)
		}
		mayBegin = append(mayBegin, h.grantLow)
		mustEnd = append(mustEnd, h.endHigh)
	}
	for _, s := range [][]uint64{begins, ends, mayBegin, mustEnd} {
		slices.Sort(s)
	}
	for i := range reads {
		r := &reads[i]
		if !r.answered() || r.Status != wire.StatusOK && r.Status != wire.StatusNotFound {
			continue
		}
		least := upTo(begins, r.Slot) - upTo(ends, r.Slot)
		most := upTo(mayBegin, r.Slot) - upTo(mustEnd, r.Slot) + c.tries[name]
		if int(r.Count) < least || int(r.Count) > most {
			c.bad("I24", "%q is read with %d holders, and has %d to %d: %s", c.nameOf(name), r.Count,
				least, most, r.says())
		}
	}
}

// upTo counts the slots that are not above one.
func upTo(sorted []uint64, slot uint64) int {
	n, _ := slices.BinarySearch(sorted, slot+1) // no slot of an answer is never
	return n
}

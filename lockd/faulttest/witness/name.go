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
		if h.origin == inferred {
			continue // its mode is not known
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

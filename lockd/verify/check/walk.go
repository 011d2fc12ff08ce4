package check

import "slices"

// MaxConfigurations bounds the states that one name may be in at one moment. Above
// that it is undecided.
const MaxConfigurations = 1 << 14

// maxUnderWay is how many operations of one name may be under way at a time.
const maxUnderWay = 256

// walk goes through the events of one name. It belongs to one goroutine.
type walk struct {
	*history
	now      int64
	configs  []*config
	under    []int32 // steps under way, in the order of their calls
	free     []int16 // bits of no step
	most     int     // configurations at a time
	overflow bool
}

// run walks to the end, or to the first step that nothing explains.
func (h *history) run() (most int, v *Violation, decided bool) {
	w := &walk{history: h, configs: []*config{{value: -1}}}
	for bit := int16(maxUnderWay - 1); bit >= 0; bit-- {
		w.free = append(w.free, bit)
	}
	for _, e := range h.events {
		w.now = e.at
		s := &h.steps[e.step]
		if !e.back {
			if !w.begin(e.step) {
				return w.most, nil, false
			}
			continue
		}
		before := w.configs
		w.settle(s)
		if w.overflow {
			return w.most, nil, false
		}
		if len(w.configs) == 0 {
			return w.most, w.explain(before, s), true
		}
		w.end(e.step)
		if s.Kind == Force {
			w.retire() // whether they came before makes no difference any more
		}
	}
	return w.most, nil, true
}

// begin takes a step under way. A question is answered by the states that do.
func (w *walk) begin(i int32) bool {
	if len(w.free) == 0 {
		w.retire()
	}
	n := len(w.free)
	if n == 0 {
		return false
	}
	s := &w.steps[i]
	s.bit, w.free = w.free[n-1], w.free[:n-1]
	w.under = append(w.under, i)
	if s.changes {
		return true
	}
	for k, c := range w.configs {
		if w.answers(c, s) {
			d := *c
			d.done.add(s.bit)
			w.configs[k] = &d
		}
	}
	return true
}

// end takes a step out that every configuration has behind it.
func (w *walk) end(i int32) {
	s := &w.steps[i]
	w.under = slices.DeleteFunc(w.under, func(u int32) bool { return u == i })
	for _, c := range w.configs {
		c.done.drop(s.bit)
	}
	w.free = append(w.free, s.bit)
	s.bit = -1
	if len(w.configs) > 1 {
		w.configs = w.prune(w.configs)
	}
}

// retire ends optional steps that cannot happen any more: their hold is over.
func (w *walk) retire() {
	for _, i := range slices.Clone(w.under) {
		s := &w.steps[i]
		over := s.optional && !slices.ContainsFunc(w.configs, func(c *config) bool {
			return s.grant >= c.next || c.at(s.grant) >= 0
		})
		if over {
			w.end(i)
		}
	}
}

// settle has every configuration put a step behind it that returns now, in every
// way in which it can, and drops those that cannot.
func (w *walk) settle(s *step) {
	if s.Kind == Release && len(w.under) > maxUnderWay/2 {
		w.retire()
	}
	var found []*config
	seen := make(map[uint64][]*config)
	var open []*config
	for _, c := range w.configs {
		if c.done.has(s.bit) {
			found = w.keep(seen, found, c)
		} else if n := len(open); len(w.keep(seen, open, c)) > n {
			open = append(open, c)
		}
	}
	for len(open) > 0 && !w.overflow {
		c := open[len(open)-1]
		open = open[:len(open)-1]
		for _, d := range w.after(c) {
			if d.done.has(s.bit) {
				found = w.keep(seen, found, d)
			} else {
				open = w.keep(seen, open, d)
			}
		}
		w.overflow = len(found)+len(open) > MaxConfigurations
	}
	w.most = max(w.most, len(found))
	if len(found) > 1 {
		found = w.prune(found)
	}
	w.configs = found
}

// keep appends a configuration that was not seen before.
func (w *walk) keep(seen map[uint64][]*config, to []*config, c *config) []*config {
	h := c.hash()
	if slices.ContainsFunc(seen[h], c.equal) {
		return to
	}
	seen[h] = append(seen[h], c)
	return append(to, c)
}

// after returns what one more change can make of a configuration.
func (w *walk) after(c *config) []*config {
	var all []*config
	for _, i := range w.under {
		s := &w.steps[i]
		if !s.changes || c.done.has(s.bit) {
			continue
		}
		for _, d := range w.apply(c, s) {
			d.done.add(s.bit)
			w.answer(d)
			all = append(all, d)
		}
	}
	for i, k := range c.holds {
		if w.loose(k) {
			d := c.without(i)
			w.answer(d)
			all = append(all, d)
		}
	}
	return all
}

// answer has the state of a new configuration answer the questions that are open.
func (w *walk) answer(c *config) {
	for _, i := range w.under {
		s := &w.steps[i]
		if !s.changes && !c.done.has(s.bit) && w.answers(c, s) {
			c.done.add(s.bit)
		}
	}
}

// pruneAtMost bounds the work of prune: more are left as they are.
const pruneAtMost = 256

// prune drops each configuration that another can still become without anybody
// noticing: with the same past, but for holds that may end at any moment, and
// with all questions behind it that the dropped one has.
func (w *walk) prune(all []*config) []*config {
	if len(all) > pruneAtMost {
		return all
	}
	kept := all[:0:0]
	for i, c := range all {
		worse := false
		for j, d := range all {
			if i != j && w.covers(d, c) && (j < i || !w.covers(c, d)) {
				worse = true
				break
			}
		}
		if !worse {
			kept = append(kept, c)
		}
	}
	return kept
}

// covers reports whether c can become d.
func (w *walk) covers(c, d *config) bool {
	if c.next != d.next || c.value != d.value || !d.done.within(&c.done) || !w.sameChanges(c, d) {
		return false
	}
	k := 0
	for _, h := range c.holds {
		switch {
		case k < len(d.holds) && d.holds[k] == h:
			k++
		case !w.loose(h):
			return false
		}
	}
	return k == len(d.holds)
}

// sameChanges reports whether two configurations have the same changes behind them.
func (w *walk) sameChanges(c, d *config) bool {
	for _, i := range w.under {
		if s := &w.steps[i]; s.changes && c.done.has(s.bit) != d.done.has(s.bit) {
			return false
		}
	}
	return true
}

// indexOf returns where a step under way is.
func (w *walk) indexOf(s *step) int32 {
	for _, i := range w.under {
		if &w.steps[i] == s {
			return i
		}
	}
	return -1
}

package check

import "slices"

// set is a set of up to 256 bits, one for each operation under way.
type set [4]uint64

func (s *set) has(bit int16) bool { return s[bit>>6]>>(bit&63)&1 != 0 }
func (s *set) add(bit int16)      { s[bit>>6] |= 1 << (bit & 63) }
func (s *set) drop(bit int16)     { s[bit>>6] &^= 1 << (bit & 63) }

// within reports whether all of s is in t.
func (s *set) within(t *set) bool {
	return s[0]&^t[0]|s[1]&^t[1]|s[2]&^t[2]|s[3]&^t[3] == 0
}

// holding is a present hold.
type holding struct {
	grant int32
	count uint32 // Acquires not given back; zero if it may end at any moment
	mode  uint8  // a bit for that it was converted to, zero for that of its grant
}

// config is one state that the lock may be in, and how that came about as far as
// operations under way go: done has the bits of those that are through. What else it
// says is not changed once it is among others.
type config struct {
	next  int32 // of the grants: which comes next
	value int32 // the step that wrote the value, -1 for none
	done  set
	holds []holding // by grant
}

func (c *config) equal(d *config) bool {
	return c.next == d.next && c.value == d.value && c.done == d.done &&
		slices.Equal(c.holds, d.holds)
}

// hash tells most configurations apart.
func (c *config) hash() uint64 {
	const mix = 0x9e3779b97f4a7c15
	h := uint64(uint32(c.next))*mix ^ uint64(uint32(c.value))
	for _, x := range c.done {
		h = (h ^ x) * mix
		h ^= h >> 29
	}
	for _, k := range c.holds {
		h = (h ^ uint64(k.grant)<<20 ^ uint64(k.count) ^ uint64(k.mode)<<56) * mix
		h ^= h >> 31
	}
	return h
}

// at returns which of the holds is of a grant, or -1.
func (c *config) at(grant int32) int {
	return slices.IndexFunc(c.holds, func(k holding) bool { return k.grant == grant })
}

// with returns c with other holds.
func (c *config) with(holds []holding) *config {
	d := *c
	d.holds = holds
	return &d
}

// without returns c with one hold less.
func (c *config) without(i int) *config {
	holds := make([]holding, 0, len(c.holds))
	return c.with(append(append(holds, c.holds[:i]...), c.holds[i+1:]...))
}

// counting returns c with another count of one hold.
func (c *config) counting(i int, count uint32) *config {
	holds := slices.Clone(c.holds)
	holds[i].count = count
	return c.with(holds)
}

// apply carries out a step that changes something, and returns what may come of
// it: nothing if it cannot happen in this state.
func (w *walk) apply(c *config, s *step) []*config {
	switch s.Kind {
	case Acquire:
		return w.enter(c, s)
	case Release:
		return w.leave(c, s)
	case Force:
		return w.force(c, s)
	case Convert:
		return w.turn(c, s)
	case Write:
		if s.grant < 0 || c.at(s.grant) < 0 {
			return nil
		}
		d := *c
		d.value = w.indexOf(s)
		return []*config{&d}
	default:
		return nil
	}
}

// enter grants a lock, or once more to its owner.
func (w *walk) enter(c *config, s *step) []*config {
	if s.Reads != nil && !w.holdsValue(c, s.Reads) {
		return nil
	}
	if i := c.at(s.grant); i >= 0 {
		if w.grants[s.grant].entries < 2 || c.holds[i].count == 0 {
			return nil
		}
		return []*config{c.counting(i, c.holds[i].count+1)}
	}
	if s.grant != c.next || !w.fits(c, &w.grants[s.grant]) {
		return nil
	}
	d := c.with(append(slices.Clone(c.holds), holding{grant: s.grant, count: 1}))
	d.next++
	return []*config{d}
}

// leave gives a hold back. If its owner may have entered unheard, it may stay.
func (w *walk) leave(c *config, s *step) []*config {
	i := -1
	if s.grant >= 0 {
		i = c.at(s.grant)
	}
	if i < 0 || c.holds[i].count == 0 {
		return nil
	}
	if n := c.holds[i].count; n > 1 {
		return []*config{c.counting(i, n-1)}
	}
	left := []*config{c.without(i)}
	if w.mayStay(s.grant) {
		left = append(left, c.counting(i, 0))
	}
	return left
}

// force ends a hold with all that its owner entered, if it is not over.
func (w *walk) force(c *config, s *step) []*config {
	if s.grant >= 0 {
		if i := c.at(s.grant); i >= 0 {
			return []*config{c.without(i)}
		}
	}
	d := *c
	return []*config{&d}
}

// turn converts a hold, which has another token from then on, or a mode that is no
// stronger.
func (w *walk) turn(c *config, s *step) []*config {
	i := -1
	if s.grant >= 0 {
		i = c.at(s.grant)
	}
	if i < 0 || c.holds[i].count < 1 {
		return nil
	}
	if s.to == s.grant {
		if !weakens(w.modesOf(c.holds[i]), s.Mode) {
			return nil
		}
		holds := slices.Clone(c.holds)
		holds[i].mode = 1 << s.Mode
		return []*config{c.with(holds)}
	}
	d := c.without(i)
	if s.to != c.next || !w.fits(d, &w.grants[s.to]) {
		return nil
	}
	d.holds = append(d.holds, holding{grant: s.to, count: 1})
	d.next++
	return []*config{d}
}

// weakens reports whether some of these modes is no weaker than another.
func weakens(these uint8, to Mode) bool {
	for m := range modes {
		if these>>m&1 != 0 && m.noStronger(to) {
			return true
		}
	}
	return false
}

// modesOf are the modes that a hold may have now.
func (w *walk) modesOf(k holding) uint8 {
	g := &w.grants[k.grant]
	switch {
	case k.mode == 0:
		return g.modes
	case g.unsure <= w.now:
		return g.modes | k.mode
	default:
		return k.mode
	}
}

// mayStay reports whether a hold may have been entered once more than was heard.
func (w *walk) mayStay(g int32) bool {
	at, ok := w.entered[w.grants[g].owner]
	return ok && w.grants[g].owner != 0 && at <= w.now
}

// loose reports whether a hold may end at this moment.
func (w *walk) loose(k holding) bool { return k.count == 0 || w.grants[k.grant].mayEnd <= w.now }

// fits reports whether a grant gets along with all present holds, each taken for
// the least that it can be.
func (w *walk) fits(c *config, g *grant) bool {
	used := g.least
	for _, k := range c.holds {
		other := &w.grants[k.grant]
		if used += other.least; w.capacity == 0 && !agree(g.modes, w.modesOf(k)) {
			return false
		}
	}
	return w.capacity == 0 || used <= w.capacity
}

// agree reports whether some of these modes get along with some of those.
func agree(these, those uint8) bool {
	for m := range modes {
		if these>>m&1 != 0 && m.agreeing()&those != 0 {
			return true
		}
	}
	return false
}

// clash reports whether some of these modes do not get along with some of those.
func clash(these, those uint8) bool {
	for m := range modes {
		if these>>m&1 != 0 && ^m.agreeing()&those != 0 {
			return true
		}
	}
	return false
}

// full reports whether the present holds are in the way of an Acquire, each taken
// for the most that it can be.
func (w *walk) full(c *config, s *step) bool {
	used := s.Permits
	for _, k := range c.holds {
		other := &w.grants[k.grant]
		if used += other.most; w.capacity == 0 && clash(1<<s.Mode, w.modesOf(k)) {
			return true
		}
	}
	return w.capacity > 0 && used > w.capacity
}

// answers reports whether a question would be answered so in this state.
func (w *walk) answers(c *config, s *step) bool {
	if s.Reads != nil && !w.holdsValue(c, s.Reads) {
		return false
	}
	switch s.Kind {
	case Acquire:
		return w.refuses(c, s)
	case Get:
		return w.lists(c, s)
	case Test:
		newest := uint64(0)
		if n := len(c.holds); n > 0 {
			newest = w.grants[c.holds[n-1].grant].token
		}
		return newest == s.Newest && s.Current == (s.grant >= 0 && c.at(s.grant) >= 0)
	default:
		return false
	}
}

// refuses reports whether a try is refused. An owner is not refused what it has,
// unless that may be of an earlier session.
func (w *walk) refuses(c *config, s *step) bool {
	for _, k := range c.holds {
		if s.Owner != 0 && w.grants[k.grant].owner == s.Owner && !w.loose(k) {
			return false
		}
	}
	if s.Token != 0 && (s.grant < 0 || c.at(s.grant) < 0) {
		return false
	}
	return s.crowded || s.excused || w.full(c, s)
}

// lists reports whether the present holds are those that a Get lists.
func (w *walk) lists(c *config, s *step) bool {
	if len(s.Holders) != len(c.holds) {
		return false
	}
	for i := range s.Holders {
		at := -1
		if g := w.find(s.Holders[i].Token); g >= 0 {
			at = c.at(g)
		}
		if at < 0 || !w.tells(c.holds[at], &s.Holders[i]) {
			return false
		}
	}
	return true
}

// tells reports whether a Get tells of a hold what is so.
func (w *walk) tells(k holding, h *Holder) bool {
	g := &w.grants[k.grant]
	switch {
	case w.modesOf(k)>>h.Mode&1 == 0, h.Permits < g.least, h.Permits > g.most:
		return false
	case h.Depth == 0 || g.first == nil || w.mayStay(k.grant) || g.mayEnd <= w.now:
		return true
	default:
		return h.Depth == k.count
	}
}

// holdsValue reports whether the value is what was read.
func (w *walk) holdsValue(c *config, v *Value) bool {
	if c.value < 0 || w.steps[c.value].Value == "" {
		return v.Data == ""
	}
	at := &w.steps[c.value]
	return at.Value == v.Data && at.Token == v.Token
}

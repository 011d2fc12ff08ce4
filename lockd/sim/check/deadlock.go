package check

import (
	"slices"

	"lockd/lockfsm"
)

// An owner who waits with Detect gives nothing back meanwhile. The model looks for
// circles by depth and by names, not as the machine does, and judges two things: a
// circle that is told must be one, step by step; and who may wait must not close one.

// surest bounds the claims of a group in which the model expects every circle to be
// found: the machine looks at so many claims only.
const surest = 20

// promiser is the owner who waits with a claim: of a conversion that of its hold.
func (c *Claim) promiser() lockfsm.Owner {
	if c.hold != nil {
		return c.hold.owner
	}
	return c.owner
}

// lets reports whether w, which stands behind c, waits only until c is in turn at their
// lock, whatever else c waits for.
func (c *Claim) lets(w *Claim) bool { return c.all != nil && compatible(c.mode, w.mode) }

// detected judges the refusal of k, of several the first, which is in nobody's list.
func (s *step) detected(k *Claim, c *lockfsm.Command, r *lockfsm.Result) error {
	at, n := int(r.StepsAt), int(r.Steps)
	if c.Flags&lockfsm.Detect == 0 || c.Flags&lockfsm.Wait == 0 || n == 0 ||
		at+n > len(s.out.Steps) {
		return s.bad("I17: request %d of session %d with flags %d answered %v with %d steps of %d",
			c.Request, c.Session, c.Flags, r.Code, n, len(s.out.Steps))
	}
	steps := s.out.Steps[at : at+n]
	first, parts := &steps[0], k.parts()
	if first.Session != c.Session || first.Owner != k.promiser() || int(r.Part) >= len(parts) ||
		string(first.Name) != parts[r.Part].name || first.Token != r.HolderToken {
		return s.bad("I17: request %d of session %d closes a circle that begins with %+v", c.Request,
			c.Session, *first)
	}
	for i := range steps {
		if x, next := &steps[i], &steps[(i+1)%n]; !s.stands(k, x, next) {
			return s.bad("I17: request %d of session %d: owner %d of session %d does not wait for %q "+
				"behind owner %d of session %d with token %d", c.Request, c.Session, x.Owner, x.Session, x.Name,
				next.Owner, next.Session, x.Token)
		}
	}
	s.Circles++
	return nil
}

// stands reports whether a step of a circle is as it is told, of any of the waits of
// its owner for the name: owner zero may have several.
func (s *step) stands(k *Claim, x, next *lockfsm.Step) bool {
	return slices.ContainsFunc(s.waiting(k, x), func(w *Claim) bool {
		return s.waitsFor(k, w, x, next)
	})
}

// waitsFor reports whether the wait w is that of a step of a circle as it is told.
func (s *step) waitsFor(k, w *Claim, x, next *lockfsm.Step) bool {
	l := s.locks[w.name]
	if x.Token == 0 {
		return slices.ContainsFunc(s.waiting(k, next), func(o *Claim) bool {
			return slices.ContainsFunc(o.parts(), func(before *Claim) bool {
				return before != w && before.name == w.name && (before == o || !before.lets(w)) &&
					s.goesBefore(k, before, w)
			})
		})
	}
	for _, h := range l.holders {
		if h.token == x.Token && !h.kept {
			return h.key.session == next.Session && !h.key.detached && h.owner == next.Owner &&
				h != w.hold && h.bars(w)
		}
	}
	return false
}

// goesBefore reports whether a wait stands before another in a queue, of which one may
// be of k, which asks.
func (s *step) goesBefore(k, before, w *Claim) bool {
	l := s.locks[w.name]
	queue := slices.Clone(l.waiters)
	for _, p := range k.parts() {
		switch at := 0; {
		case p.name != w.name:
		case p.hold != nil:
			for at < len(queue) && queue[at].hold != nil {
				at++
			}
			queue = slices.Insert(queue, at, p)
		default:
			queue = slices.Insert(queue, s.place(l, p), p)
		}
	}
	return slices.Index(queue, before) < slices.Index(queue, w)
}

// waiting finds the waits of which one is that of a step: k, or what has been there.
func (s *step) waiting(k *Claim, x *lockfsm.Step) (all []*Claim) {
	for _, p := range k.parts() {
		if x.Session == k.key.session && x.Owner == k.promiser() && string(x.Name) == p.name {
			all = append(all, p)
		}
	}
	l := s.locks[string(x.Name)]
	if l == nil {
		return all
	}
	there := slices.Concat(l.waiters, l.holders)
	for _, h := range l.holders {
		if h.turn != nil && h.turn.done && h.turn.eventSlot == s.slot {
			there = append(there, h.turn)
		}
	}
	for _, w := range there {
		waits := w.token == 0 || w.eventSlot == s.slot // it may have waited yet
		if waits && w.detects && w.promiser() == x.Owner && w.key.session == x.Session && !w.gone() {
			all = append(all, w)
		}
	}
	return all
}

// mayWait judges that k, which waits now, closes no circle that is sure.
func (s *step) mayWait(k *Claim) error {
	if !k.detects || s.pending || len(s.claims) > surest {
		return nil
	}
	for _, p := range k.parts() {
		if s.comesTo(k, p, p, make(map[*Claim]bool)) {
			return s.bad("I17: owner %d of session %d waits for %q in a circle", k.promiser(),
				k.key.session, p.name)
		}
	}
	return nil
}

// comesTo reports whether what w waits for, which root of k leads to, stays until the
// owner of k gives way, or until root has its turn, which thus never comes.
func (s *step) comesTo(k, root, w *Claim, seen map[*Claim]bool) bool {
	if seen[w] {
		return false
	}
	seen[w] = true
	l := s.locks[w.name]
	for _, h := range l.holders {
		switch {
		case h.session == nil || h.kept || h.gone() || h.eventSlot == s.slot || h == w.hold || !h.bars(w):
		case h.session == k.session && h.owner == k.promiser():
			return true
		default:
			for _, first := range s.claims { // order: any one is enough
				for _, o := range first.parts() {
					if o.session == h.session && o.promiser() == h.owner && o.stays() &&
						s.comesTo(k, root, o, seen) {
						return true
					}
				}
			}
		}
	}
	for _, o := range l.waiters[:slices.Index(l.waiters, w)] {
		asks, before := slices.Contains(k.parts(), o), o.parts()
		if o.lets(w) {
			asks, before = o == root, []*Claim{o}
		}
		if asks || slices.ContainsFunc(before, func(p *Claim) bool {
			return p.stays() && s.comesTo(k, root, p, seen)
		}) {
			return true
		}
	}
	return false
}

// bars reports whether w cannot hold a lock beside h, whoever else does or does not.
func (h *Claim) bars(w *Claim) bool {
	return !compatible(h.mode, w.mode) || uint64(h.permits)+uint64(w.permits) > uint64(w.capacity)
}

// stays reports whether a claim is a wait that ends by its grant only.
func (c *Claim) stays() bool {
	return c.detects && c.token == 0 && c.base == nil && !c.done && !c.gone()
}

package history

import "slices"

// Mutex is a lock with at most one hold at a time.
func Mutex() Model { return (&rules{capacity: 1}).model("mutex") }

// ReadWrite is a lock that many may hold as Shared, or one as Exclusive.
func ReadWrite() Model { return (&rules{shares: true}).model("read-write lock") }

// Reentrant is a Mutex whose owner may take it again, under the same token, and
// has to give it back as often.
func Reentrant() Model { return (&rules{capacity: 1, counts: true}).model("re-entrant lock") }

// Semaphore is a lock whose holds have permits, at most capacity together.
func Semaphore(capacity uint32) Model { return (&rules{capacity: capacity}).model("semaphore") }

// rules are in what the locks differ.
type rules struct {
	capacity uint32 // of all holds together, unless they share
	shares   bool   // Shared holds agree with each other
	counts   bool   // an owner may hold several times
}

func (r *rules) model(name string) Model { return Model{name: name, step: r.step} }

func (r *rules) step(s *state, o *attempt) bool {
	switch o.Kind {
	case Acquire:
		switch o.Outcome {
		case Granted:
			return r.grant(s, o)
		case Refused:
			return r.refuse(s, o)
		default:
			r.perhaps(s, o)
			return true
		}
	case Release:
		return r.release(s, o)
	case Expire:
		if i := s.find(o.Token); i >= 0 {
			s.remove(i)
			return true
		}
		return o.Token <= s.last // not before its grant: it would have no effect
	case Look:
		return looked(s, o)
	default:
		return false
	}
}

func permits(o *attempt) uint32 { return max(1, o.Permits) }

// excludes reports whether a hold, be it the only one, leaves no room for o.
func (r *rules) excludes(h *hold, o *attempt) bool {
	if r.shares {
		return h.mode == Exclusive || o.Mode == Exclusive
	}
	return h.permits+permits(o) > r.capacity
}

// room reports whether the holds for which counts is true leave room for o.
func (r *rules) room(s *state, o *attempt, counts func(*hold) bool) bool {
	used := permits(o)
	for i := range s.holds {
		h := &s.holds[i]
		if !counts(h) {
			continue
		}
		if used += h.permits; r.excludes(h, o) {
			return false
		}
	}
	return r.shares || used <= r.capacity
}

func isCertain(h *hold) bool { return !h.loose() }
func isAny(*hold) bool       { return true }

// owned returns which hold the asking owner of a re-entrant lock has already.
func (r *rules) owned(s *state, o *attempt) int {
	if !r.counts {
		return -1
	}
	return slices.IndexFunc(s.holds, func(h hold) bool { return h.owner == o.Owner && !h.loose() })
}

// grant gives a hold with a token above all before, or one more of the same.
func (r *rules) grant(s *state, o *attempt) bool {
	if i := r.owned(s, o); i >= 0 {
		h := &s.holds[i]
		if h.token != o.Token || o.Count <= h.count || o.Count > h.count+h.unsure+1 {
			return false
		}
		h.count++
		h.unsure = o.Count - h.count
		return true
	}
	if o.Token <= s.last || r.counts && o.Count != 1 || !r.room(s, o, isCertain) {
		return false
	}
	r.evict(s, o)
	s.add(hold{token: o.Token, since: o.Token, owner: o.Owner, permits: permits(o), count: 1,
		mode: o.Mode})
	return true
}

// evict takes out the loose holds that must have ended for o to be granted.
func (r *rules) evict(s *state, o *attempt) {
	s.holds = slices.DeleteFunc(s.holds, func(h hold) bool { return h.loose() && r.excludes(&h, o) })
}

// perhaps gives a loose hold if there is room. That nothing happened needs no
// step of its own: an open operation may as well stand at the end.
func (r *rules) perhaps(s *state, o *attempt) {
	if i := r.owned(s, o); i >= 0 {
		s.holds[i].unsure++
		return
	}
	if r.room(s, o, isCertain) {
		r.evict(s, o)
		s.add(hold{since: s.last, owner: o.Owner, permits: permits(o), unsure: 1, mode: o.Mode})
	}
}

// refuse accepts a refusal if there is no room, or if somebody may have waited,
// and if it names a hold: that of a loose one it tells.
func (r *rules) refuse(s *state, o *attempt) bool {
	switch {
	case len(s.holds) == 0 || !o.crowded && r.room(s, o, isAny):
		return false
	case o.Token == 0 || s.find(o.Token) >= 0:
		return true
	}
	i := s.nameless(o.Token)
	if i < 0 || !o.unknown(o.Token) {
		return false
	}
	h := s.holds[i]
	s.remove(i)
	h.token = o.Token
	s.add(h)
	return true
}

func (r *rules) release(s *state, o *attempt) bool {
	i := s.find(o.Token)
	switch {
	case i >= 0 && s.holds[i].owner != o.Owner:
		return o.Outcome != Granted // of a stranger
	case o.Outcome == Refused:
		return i < 0
	case i < 0:
		return o.Outcome == Uncertain && o.Token <= s.last
	}
	h := &s.holds[i]
	if h.loose() {
		return o.Outcome == Uncertain
	}
	if o.Outcome == Uncertain {
		h.count--
	} else if !r.counts {
		h.count, h.unsure = 0, 0
	} else {
		if o.Count+1 < h.count || o.Count+1 > h.count+h.unsure {
			return false
		}
		h.count--
		h.unsure = o.Count - h.count
	}
	if h.count+h.unsure == 0 {
		s.remove(i)
	}
	return true
}

// looked accepts an answer that names every hold but loose ones, which may have
// ended, and nothing else but loose ones, whose tokens it tells.
func looked(s *state, o *attempt) bool {
	for i := range s.holds {
		if h := &s.holds[i]; !h.loose() && !slices.Contains(o.Holders, h.token) {
			return false
		}
	}
	left, seen := s.clone(), &state{last: s.last, value: s.value}
	for _, token := range o.Holders {
		i := left.find(token)
		if i < 0 && o.unknown(token) {
			i = left.nameless(token)
		}
		if i < 0 {
			return false
		}
		h := left.holds[i]
		left.remove(i)
		h.token = token
		seen.add(h)
	}
	*s = *seen
	return true
}

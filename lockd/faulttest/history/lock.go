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

func (r *rules) model(name string) Model {
	return Model{name: name, step: r.step, counts: r.counts}
}

func (r *rules) step(s *state, o *attempt) bool {
	switch o.Kind {
	case Acquire:
		switch o.Outcome {
		case Granted:
			return r.grant(s, o)
		case Refused:
			return r.refuse(s, o)
		default:
			if i := r.owned(s, o); i >= 0 {
				s.holds[i].unsure++
			}
			return true
		}
	case Release:
		return r.release(s, o)
	case Expire:
		if i := s.find(o.Token); i >= 0 {
			s.remove(i)
			return true
		}
		return r.counts && o.Token <= s.last // given back before, without an answer
	case Look:
		return looked(s, o)
	default:
		return false
	}
}

// owned returns which hold the asking owner of a re-entrant lock has, or -1.
func (r *rules) owned(s *state, o *attempt) int {
	if !r.counts || o.Owner == 0 {
		return -1
	}
	return slices.IndexFunc(s.holds, func(h hold) bool { return h.owner == o.Owner && !h.loose() })
}

// grant gives a hold with a token above all before, or one more of the same.
// Loose holds have ended if they are in the way.
func (r *rules) grant(s *state, o *attempt) bool {
	if i := r.owned(s, o); i >= 0 {
		if s.holds[i].token != o.Token {
			return false
		}
		s.holds[i].count++
		return true
	}
	if o.Token <= s.last || !r.room(s, o) {
		return false
	}
	s.last = o.Token
	if !r.shares {
		s.holds = slices.DeleteFunc(s.holds, func(h hold) bool { return h.loose() })
	}
	s.holds = append(s.holds, hold{token: o.Token, owner: o.Owner, permits: permits(o.Operation),
		most: o.most, count: 1, mode: o.Mode, strongest: o.strongest})
	return true
}

// room reports whether the holds leave room for o, taking each for the least
// that it can be.
func (r *rules) room(s *state, o *attempt) bool {
	used := permits(o.Operation)
	for i := range s.holds {
		h := &s.holds[i]
		if h.loose() {
			continue
		}
		if used += h.permits; r.shares && (h.mode == Exclusive || o.Mode == Exclusive) {
			return false
		}
	}
	return r.shares || used <= r.capacity
}

// full reports whether the holds leave no room for o, taking each for the most
// that it can be.
func (r *rules) full(s *state, o *attempt) bool {
	used := o.most
	for i := range s.holds {
		h := &s.holds[i]
		if used += h.most; r.shares && (h.strongest == Exclusive || o.strongest == Exclusive) {
			return true
		}
	}
	return !r.shares && used > r.capacity
}

// refuse accepts a refusal if there is no room, or if somebody may have waited,
// and if it names a hold. An owner is not refused what it has.
func (r *rules) refuse(s *state, o *attempt) bool {
	switch {
	case r.owned(s, o) >= 0:
		return false
	case o.Token == 0 && o.excused:
		return true
	case len(s.holds) == 0 || !o.crowded && !r.full(s, o):
		return false
	default:
		return o.Token == 0 || s.find(o.Token) >= 0
	}
}

func (r *rules) release(s *state, o *attempt) bool {
	i := s.find(o.Token)
	switch {
	case i >= 0 && s.holds[i].owner != o.Owner:
		return o.Outcome != Granted // of a stranger
	case o.Outcome == Refused:
		return i < 0
	case i < 0 || s.holds[i].loose():
		return o.Outcome == Uncertain && o.Token <= s.last
	}
	h := &s.holds[i]
	if h.count--; h.count+h.unsure == 0 {
		s.remove(i)
	}
	return true
}

// looked accepts an answer that names every hold but loose ones, which may have
// ended, and nothing else. Counts are told within what is sure.
func looked(s *state, o *attempt) bool {
	var seen []hold
	for i := range s.holds {
		h := s.holds[i]
		at := slices.Index(o.Holders, h.token)
		if at < 0 {
			if !h.loose() {
				return false
			}
			continue
		}
		if len(o.Counts) > 0 {
			if o.Counts[at] < h.count || o.Counts[at] > h.count+h.unsure {
				return false
			}
			h.unsure = o.Counts[at] - h.count
		}
		seen = append(seen, h)
	}
	s.holds = seen
	return len(seen) == len(o.Holders)
}

package check

import "lockd/lockfsm"

// tick moves log time and renews.
func (s *step) tick(b *Batch) error {
	// What an older leader measured is late when a newer one has been heard of.
	if !b.Clock.Less(s.clock) {
		s.clock = b.Clock
		s.logTime += min(uint64(b.Delta), uint64(s.limits.TickCap))
		s.Still = 0
	} else {
		s.Late++
	}
	missing := 0
	for _, id := range b.Renewed {
		if p := s.sessions[lockfsm.SessionID(id)]; p != nil && !p.ended {
			p.deadline, p.letGo = s.logTime+p.lease, false
			continue
		}
		if missing >= len(s.out.NotRenewed) || uint64(s.out.NotRenewed[missing]) != id {
			return s.bad("I19: renewal of session %d, which is not alive, is not refused", id)
		}
		missing++
	}
	if missing != len(s.out.NotRenewed) {
		return s.bad("I21: %d renewals refused, %d sessions are not alive",
			len(s.out.NotRenewed), missing)
	}
	return s.follow()
}

package check

import (
	"fmt"
	"slices"

	"lockd/lockfsm"
)

// Told is how a watch was told that a lock stands.
type Told struct {
	Holders, Waiters int
	Token            lockfsm.Token // of the newest hold, zero if it is not said
}

// Told judges what a watch was told of a lock as of a slot: the lock must have been
// so after it.
func (m *Model) Told(name string, slot uint64, x Told) error {
	if slot > m.slot {
		return fmt.Errorf("watch: group %d: %q is told as of slot %d, nobody applied more than %d",
			m.group, name, slot, m.slot)
	}
	v := m.At(name, slot)
	if v.Vague {
		return nil
	}
	want := Told{Holders: v.Holders, Waiters: v.Waiters}
	if len(v.Tokens) > 0 && x.Token != 0 {
		want.Token = slices.Max(v.Tokens)
	}
	if x != want {
		return fmt.Errorf("watch: group %d: %q is told as %+v at slot %d, the log says %+v", m.group,
			name, x, slot, want)
	}
	return nil
}

// sure reports whether the holders of a lock are now those that the machine saw: none
// is of an ended session, and none was let in by an event of this slot, which may have
// come later.
func (s *step) sure(l *lockModel) bool {
	return !slices.ContainsFunc(l.holders, func(h *Claim) bool {
		return h.gone() || h.eventSlot == s.slot || h.turn != nil && h.turn.eventSlot == s.slot
	})
}

// held judges which hold a refused try is told of: one in its way, the oldest of all if
// only others who wait are, none if nobody holds the lock.
func (s *step) held(l *lockModel, k *Claim, r *lockfsm.Result) error {
	if !s.sure(l) {
		return nil
	}
	want := lockfsm.Token(0)
	for _, h := range l.holders {
		if barred := !compatible(h.mode, k.mode); barred || want == 0 {
			if want = h.token; barred {
				break
			}
		}
	}
	if r.HolderToken != want {
		return s.bad("I23: request %d of session %d for %q in %v is told that token %d is in its way, "+
			"it is %d", k.key.request, k.key.session, k.name, k.mode, r.HolderToken, want)
	}
	return nil
}

// queued judges a request that waits now: that it may, and its place.
func (s *step) queued(l *lockModel, k *Claim, r *lockfsm.Result) error {
	if err := s.mayWait(k); err != nil {
		return err
	}
	vague := !s.sure(l) || slices.ContainsFunc(l.waiters, (*Claim).gone)
	if !vague && int(r.Waiting) != len(l.waiters) {
		return s.bad("I23: request %d of session %d for %q is told that %d wait, %d do", k.key.request,
			k.key.session, k.name, r.Waiting, len(l.waiters))
	}
	return nil
}

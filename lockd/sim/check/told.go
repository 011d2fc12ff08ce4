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

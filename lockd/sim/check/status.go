package check

import (
	"bytes"
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// size is how much there is of a group after a slot.
type size struct {
	sessions, names int
	// vague says that sessions have ended that the machine may not have taken apart yet.
	vague bool
}

// use notes whether the name of a lock that looks like v is in use.
func (m *Model) use(l *lockModel, v *Version) {
	used := v.Holders+v.Waiters > 0 || v.Value != "" || v.gate != 0
	switch {
	case used && !l.used:
		m.used++
	case !used && l.used:
		m.used--
	}
	l.used = used
}

// measure notes how much there is after a slot, and who was told in it that he waits.
func (m *Model) measure(b *Batch, out *lockfsm.Outcome) {
	m.sizes = append(m.sizes, size{len(m.sessions), m.used, m.pending})
	for i := range out.Results {
		if out.Results[i].Code != lockfsm.CodeQueued {
			continue
		}
		c := &b.Commands[i]
		if c.Op != lockfsm.OpAcquireAll {
			m.joins[string(c.Name)]++
			continue
		}
		for rest := c.Parts; len(rest) > 0; {
			var x lockfsm.Part
			x, rest = rest.Next()
			m.joins[string(x.Name)]++
		}
	}
}

// Counted judges how a node says that a group stands: it knows no slot of which nobody
// has heard, and counts as the log does after the last one it has applied.
func (m *Model) Counted(x *wire.GroupStatus) error {
	if x.Applied > m.slot || x.Chosen < x.Applied {
		return fmt.Errorf("status: group %d: slot %d is said to be applied and %d to be chosen, nobody "+
			"applied more than %d", m.group, x.Applied, x.Chosen, m.slot)
	}
	have := m.sizes[x.Applied]
	if have.vague || int(x.Sessions) == have.sessions && int(x.Locks) == have.names {
		return nil
	}
	return fmt.Errorf("status: group %d has %d sessions and %d names at slot %d; the log says %d, %d",
		m.group, x.Sessions, x.Locks, x.Applied, have.sessions, have.names)
}

// Contended judges which locks a node says are wanted most. group is that of a name.
func Contended(x *wire.TopPage, group func(name []byte) *Model) error {
	seen := make(map[string]bool)
	for i := range x.Entries {
		e := &x.Entries[i]
		m := group(e.Name)
		switch joins := m.joins[string(e.Name)]; {
		case seen[string(e.Name)]:
			return fmt.Errorf("top: %q is told twice", e.Name)
		case i > 0 && !before(&x.Entries[i-1], e):
			return fmt.Errorf("top: %q with score %d comes before %q with %d", x.Entries[i-1].Name,
				x.Entries[i-1].Score, e.Name, e.Score)
		case e.Waits > joins:
			return fmt.Errorf("top: %d are said to have waited for %q; the log says %d", e.Waits, e.Name,
				joins)
		case e.Score == 0 || uint64(e.Score) > e.Waits+e.Refusals:
			return fmt.Errorf("top: %q has score %d of %d waits and %d refusals", e.Name, e.Score, e.Waits,
				e.Refusals)
		case m.locks[string(e.Name)] == nil:
			return fmt.Errorf("top: nobody ever asked for %q", e.Name)
		case e.UsualMillis != wire.UnknownMillis && uint64(e.UsualMillis) > m.logTime:
			return fmt.Errorf("top: a hold of %q is said to take %d ms, its group has gone on for %d",
				e.Name, e.UsualMillis, m.logTime)
		}
		seen[string(e.Name)] = true
	}
	return nil
}

// before reports whether an entry comes before another: by score, then by name.
func before(a, b *wire.TopEntry) bool {
	return a.Score > b.Score || a.Score == b.Score && bytes.Compare(a.Name, b.Name) < 0
}

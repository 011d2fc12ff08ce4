package check

import (
	"bytes"
	"fmt"
	"strings"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// listed judges a page of a group's names: each is as the log says at that slot, they
// come in order, and none that is in use is left out between the ends of the page.
func (h *History) listed(q *Question, x *wire.Response) error {
	page, err := q.page(x.Payload)
	if x.Status != wire.StatusOK || err != nil {
		return fmt.Errorf("I23: List of group %d is answered %v, %v", q.Group, x.Status, err)
	}
	m, told, last := h.models[q.Group], make(map[string]bool), []byte(q.After)
	for i := range page.Entries {
		e := &page.Entries[i]
		if bytes.Compare(e.Name, last) <= 0 || !strings.HasPrefix(string(e.Name), q.Name) {
			return fmt.Errorf("I23: List of %q in group %d has %q after %q", q.Name, q.Group, e.Name, last)
		}
		last, told[string(e.Name)] = e.Name, true
		v := m.At(string(e.Name), x.Slot)
		if got, want := entryOf(e, q.Version), m.entry(&v, x.Slot, q.Version); !v.Vague && got != want {
			return fmt.Errorf("I24: List shows %q at slot %d of group %d as %+v; the log says %+v", e.Name,
				x.Slot, q.Group, got, want)
		}
	}
	for name := range m.locks { // order: any one is enough
		v := m.At(name, x.Slot)
		beyond := name <= q.After || page.More != 0 && name > string(last)
		if !v.Vague && v.Holders+v.Waiters > 0 && !beyond && !told[name] &&
			strings.HasPrefix(name, q.Name) {
			return fmt.Errorf("I24: List of %q at slot %d of group %d leaves %q out", q.Name, x.Slot,
				q.Group, name)
		}
	}
	return nil
}

// entry is how a List shows a lock.
type entry struct {
	holders, waiters int
	token            lockfsm.Token // of the first holder, as is what follows
	mode             lockfsm.Mode
	held             uint64
	client           string
	flags            wire.HolderFlags
	taken, capacity  lockfsm.Permits
	gate             lockfsm.GateKind
	number           uint32
}

// entryOf is what an entry of a page says, as far as a version of the protocol has it.
func entryOf(e *wire.ListEntry, version uint16) entry {
	x := entry{int(e.HolderCount), int(e.WaiterCount), lockfsm.Token(e.Token), lockfsm.Mode(e.Mode),
		e.HeldMillis, string(e.Client), e.Flags, lockfsm.Permits(e.Taken), lockfsm.Permits(e.Capacity),
		lockfsm.GateKind(e.Gate), e.Number}
	return x.in(version)
}

// entry is what the log says of a lock that looked like v after a slot.
func (m *Model) entry(v *Version, slot uint64, version uint16) entry {
	x := entry{holders: v.Holders, waiters: v.Waiters, taken: v.taken, capacity: v.capacity,
		gate: v.gate, number: v.number}
	if len(v.Tokens) > 0 {
		first := &v.Whose[0]
		x.token, x.mode, x.held = v.Tokens[0], v.Modes[0], m.times[slot]-first.since
		x.client = first.name
		switch {
		case first.kept:
			x.flags = wire.HolderKept
		case first.detached:
			x.flags = wire.HolderDetached
		}
	}
	return x.in(version)
}

// in leaves what a version of the protocol has.
func (x entry) in(version uint16) entry {
	if version < wire.VersionKinds {
		x.taken, x.capacity = 0, 0
	}
	if version < wire.VersionWhole {
		x.gate, x.number, x.flags = 0, 0, 0
	}
	return x
}

// page decodes the answer to a List in the version in which it was asked for: one of
// another may decode too, as what nobody said.
func (q *Question) page(b []byte) (wire.ListPage, error) {
	switch {
	case q.Version >= wire.VersionWhole:
		return wire.DecodeListPage3(b)
	case q.Version >= wire.VersionKinds:
		return wire.DecodeListPage2(b)
	default:
		return wire.DecodeListPage(b)
	}
}

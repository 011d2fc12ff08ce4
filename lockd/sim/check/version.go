package check

import (
	"slices"

	"lockd/lockfsm"
)

// Version is what a lock looked like from a slot on.
type Version struct {
	Slot    uint64
	Holders int
	Waiters int
	// Tokens and Modes are those of the holders, oldest first.
	Tokens []lockfsm.Token
	Modes  []lockfsm.Mode
	// Value is that of the lock, see ValueText.
	Value string
	// Data is what they let others read, see DataText.
	Data []string
	// Live are the tokens of the holders whose sessions have not ended, which are
	// exact where the rest is vague.
	Live []lockfsm.Token
	// Over is, for each of Live, the log time at which its max hold has lasted, zero
	// if it has none.
	Over []uint64
	// Whose are the holders, in the order of Tokens, and Detects the waits with detect,
	// in that of the queue, that end by their grant only.
	Whose, Detects []Whose
	// Line are all who wait for a lock, in the order of the queue; nobody at a gate.
	Line []Whose
	// Permits says that the holders have permits: taken of a capacity, if anybody holds or
	// waits.
	Permits         bool
	taken, capacity lockfsm.Permits
	// gate says that the name is one, with its number, and at it who waits there.
	gate   lockfsm.GateKind
	number uint32
	at     []claimKey
	// Vague versions contain claims of ended sessions, which the machine may or
	// may not have released yet.
	Vague bool
}

// At returns what a lock looked like after slot.
func (m *Model) At(name string, slot uint64) Version {
	l := m.locks[name]
	if l == nil {
		return Version{}
	}
	i := len(l.history)
	for i > 0 && l.history[i-1].Slot > slot {
		i--
	}
	if i == 0 {
		return Version{}
	}
	return l.history[i-1]
}

// refuses reports whether a lock that looks like v refuses a try in mode, or of permits,
// and names the hold with token for it: the oldest of those that mode does not get along
// with or, if there is no room, the oldest of all. A hold of an ended session may be there
// or not.
func (v *Version) refuses(
	mode lockfsm.Mode, permits lockfsm.Permits, token lockfsm.Token, most uint32,
) bool {
	if v.gate != 0 || (v.capacity > 0) != (permits > 0) {
		return false
	}
	i := slices.Index(v.Tokens, token)
	if i < 0 {
		return false
	}
	barred := !compatible(v.Modes[i], mode)
	for k := range v.Tokens {
		older, bars := k < i, !compatible(v.Modes[k], mode)
		if !v.Whose[k].gone && (older && (bars || !barred) || bars && !barred) {
			return false // that one would be named
		}
	}
	if barred {
		return true
	}
	holders, taken := 0, permits
	for k := i; k < len(v.Tokens); k++ {
		if compatible(v.Modes[k], mode) { // the others have gone
			holders, taken = holders+1, taken+v.Whose[k].Permits
		}
	}
	return holders >= int(most) || taken > v.capacity
}

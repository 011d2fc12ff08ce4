package check

import "lockd/lockfsm"

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

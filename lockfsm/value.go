package lockfsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A lock with modes may have a value, which outlives its holders: as the lock value
// block of VMS. Who holds the lock in a mode that lets nobody else write (PW or EX)
// may write it, by an OpAmend, so a write that is repeated counts once. It belongs to
// the name: a lock with a value stays in the table when nobody holds it, as a lock
// with modes. An empty value takes it away. If a hold that may write ends without
// being given back, or by force, what it was about to write nobody knows: the value
// is doubtful from then on until it is written again.

// value is what the machine keeps of a lock with a value.
type value struct {
	data     []byte // not empty
	token    Token  // of the hold that wrote it, at that moment
	doubtful bool
}

const (
	// MaxValueBytes bounds the value of one lock.
	MaxValueBytes = 4096
	// valueBytes is what a value counts for in Limits.DataBytes beside its data: what
	// the entry takes.
	valueBytes = 128

	valueDoubtful = 1 << 0
)

// LockValue is the value of a lock.
type LockValue struct {
	// Data is borrowed from the machine until its next Apply, empty for none.
	Data []byte
	// Token is that of the hold that wrote it.
	Token Token
	// Doubtful says that a hold which could have written it has ended otherwise than
	// by being given back since.
	Doubtful bool
}

// Value returns the value of a lock, zero if it has none.
func (m *Machine) Value(name []byte) LockValue {
	r := m.findLock(name, m.hashName(name))
	if r == 0 {
		return LockValue{}
	}
	return m.lockValue(r)
}

func (m *Machine) lockValue(r ref) LockValue {
	if m.locks.at(r).flags&entryValued == 0 {
		return LockValue{}
	}
	v := m.values[r]
	return LockValue{Data: v.data, Token: v.token, Doubtful: v.doubtful}
}

// charge is what a value counts for in Limits.DataBytes.
func (v *value) charge() uint64 { return valueBytes + uint64(len(v.data)) }

// writes reports whether a hold in the mode may write the value.
func (m Mode) writes() bool { return m == ModePW || m == ModeEX }

// valueCharges returns what the value of a lock counts for, and what another would.
func (m *Machine) valueCharges(r ref, data []byte) (from, to uint64) {
	if m.locks.at(r).flags&entryValued != 0 {
		from = m.values[r].charge()
	}
	if len(data) > 0 {
		to = valueBytes + uint64(len(data))
	}
	return from, to
}

// setValue gives a lock a value, or takes it away if that is empty. It copies.
func (m *Machine) setValue(r ref, v value) {
	l := m.locks.at(r)
	if l.flags&entryValued != 0 {
		m.dataBytes -= m.values[r].charge()
		delete(m.values, r)
		l.flags &^= entryValued
	}
	if len(v.data) == 0 {
		return
	}
	if m.values == nil {
		m.values = make(map[ref]*value)
	}
	v.data = bytes.Clone(v.data)
	m.values[r] = &v
	l.flags |= entryValued
	m.dataBytes += v.charge()
}

// doubt notes that a hold ends. If it may have been about to write the value, and
// was not given back, the value is doubtful. What is kept after its end is nobody's.
func (m *Machine) doubt(c *claim, how ending) {
	l := m.locks.at(c.lock)
	if l.flags&entryValued == 0 || how == endReleased || c.state != claimHolds ||
		!c.mode.writes() || m.sessions.at(c.session).id.kept() || plantedIs("value-never-doubtful") {
		return
	}
	m.values[c.lock].doubtful = true
	m.touchLock(c.lock)
}

// appendValue appends the value of a lock to its record.
func (m *Machine) appendValue(dst []byte, r ref) []byte {
	if m.locks.at(r).flags&entryValued == 0 {
		return dst
	}
	v, flags := m.values[r], byte(0)
	if v.doubtful {
		flags |= valueDoubtful
	}
	dst = append(binary.LittleEndian.AppendUint64(dst, uint64(v.token)), flags)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(v.data)))
	return append(dst, v.data...)
}

// loadValue reads the value of a lock.
func (m *Machine) loadValue(r ref, in *reader) error {
	v := value{token: Token(in.u64())}
	flags := in.u8()
	v.data, v.doubtful = in.take(int(in.u16())), flags&valueDoubtful != 0
	if in.failed || len(v.data) == 0 || len(v.data) > MaxValueBytes || flags&^valueDoubtful != 0 ||
		v.token == 0 || v.token > m.stamps {
		return fmt.Errorf("%w: value of %d bytes, token %d", ErrDamaged, len(v.data), v.token)
	}
	m.setValue(r, v)
	return nil
}

// validateValues checks the values and returns what they count for.
func (m *Machine) validateValues() (uint64, error) {
	sum := uint64(0)
	for r, v := range m.values { // order: sums
		l := m.locks.at(r)
		switch {
		case l.flags&(entryUsed|entryValued) != entryUsed|entryValued || l.flags&entrySemaphore != 0:
			return 0, fmt.Errorf("value of lock entry %d with flags %#x", r, l.flags)
		case len(v.data) == 0 || len(v.data) > MaxValueBytes || v.token == 0 || v.token > m.stamps:
			return 0, fmt.Errorf("value of lock %q: %d bytes, token %d", m.lockName(l), len(v.data),
				v.token)
		}
		sum += v.charge()
	}
	return sum, nil
}

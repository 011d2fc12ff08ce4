package lockfsm

import (
	"bytes"
	"fmt"
	"slices"
)

// A register is a small record that is no lock: who accepts for the group, or
// what the cluster is made of. The machine keeps it with everything else, in
// checkpoints, snapshots and digests, and does not look inside.
//
// A write names the version it replaces, so that of two writers who read the
// same version one is refused: [CodeConflict]. The version of a register is the
// slot of its last write, zero before the first.
type register struct {
	name    []byte
	value   []byte
	version uint64
	dirty   bool
}

// Bounds of registers. They are constants, not limits: each register is written
// by the cluster itself, for a purpose known in advance.
const (
	maxRegisters         = 16
	maxRegisterNameBytes = 64
	// MaxRegisterBytes bounds the value of one register.
	MaxRegisterBytes = 64 << 10
)

// findRegister returns the place of a register, or where it would stand.
func (m *Machine) findRegister(name []byte) (int, bool) {
	return slices.BinarySearchFunc(m.registers, name, func(r register, name []byte) int {
		return bytes.Compare(r.name, name)
	})
}

// Register returns the value of a register and its version, zero if it was
// never written. The value is borrowed until the next Apply.
func (m *Machine) Register(name string) (value []byte, version uint64) {
	if at, ok := m.findRegister([]byte(name)); ok {
		return m.registers[at].value, m.registers[at].version
	}
	return nil, 0
}

// write executes OpWrite: the result's Token is the version then in force.
func (m *Machine) write(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op}
	at, ok := m.findRegister(c.Name)
	switch {
	case len(c.Name) == 0:
		res.Code = CodeBadName
		return res
	case len(c.Name) > maxRegisterNameBytes:
		res.Code = CodeNameTooLong
		return res
	case len(c.Value) > MaxRegisterBytes:
		res.Code = CodeBadRequest
		return res
	}
	if ok {
		res.Token = Token(m.registers[at].version)
	}
	// A second write of a slot would leave the version as it is.
	if res.Token != c.Token && !plantedIs("register-conflict-ignored") ||
		uint64(res.Token) == m.applied {
		res.Code = CodeConflict
		return res
	}
	if !ok {
		if len(m.registers) >= maxRegisters {
			res.Code = CodeTooManyRegisters
			return res
		}
		m.registers = slices.Insert(m.registers, at, register{name: bytes.Clone(c.Name)})
	}
	r := &m.registers[at]
	r.value = append([]byte{}, c.Value...)
	r.version, r.dirty = m.applied, true
	res.Code, res.Token = CodeOK, Token(r.version)
	out.Events = append(out.Events, Event{
		Kind: EventWritten, Token: res.Token, Name: out.copyName(c.Name),
	})
	return res
}

func (m *Machine) loadRegister(name []byte, r *reader) error {
	reg := register{name: bytes.Clone(name), version: r.u64()}
	reg.value = append([]byte{}, r.rest()...)
	if r.failed || len(name) == 0 || len(name) > maxRegisterNameBytes ||
		len(reg.value) > MaxRegisterBytes || reg.version == 0 || reg.version > m.applied ||
		len(m.registers) >= maxRegisters {
		return fmt.Errorf("%w: register of version %d", ErrDamaged, reg.version)
	}
	m.registers = append(m.registers, reg) // keys ascend
	return nil
}

func (m *Machine) emitRegister(r *register, fn func(key, value []byte)) {
	m.scratch = append(append(m.scratch[:0], keyRegister), r.name...)
	m.emit(len(m.scratch), r.append(m.scratch), fn)
}

// emitRegisters hands out all registers, or those written since the last call.
func (m *Machine) emitRegisters(which registerSet, fn func(key, value []byte)) {
	for i := range m.registers {
		r := &m.registers[i]
		if which == registersWritten {
			if !r.dirty {
				continue
			}
			r.dirty = false
		}
		m.emitRegister(r, fn)
	}
}

// registerSet chooses registers.
type registerSet uint8

const (
	registersAll registerSet = iota
	registersWritten
)

func (m *Machine) validateRegisters() error {
	for i := range m.registers {
		r := &m.registers[i]
		if i > 0 && bytes.Compare(m.registers[i-1].name, r.name) >= 0 {
			return fmt.Errorf("register %q: not after %q", r.name, m.registers[i-1].name)
		}
		if r.version == 0 || r.version > m.applied || len(r.value) > MaxRegisterBytes {
			return fmt.Errorf("register %q: version %d at slot %d, %d bytes", r.name, r.version,
				m.applied, len(r.value))
		}
	}
	return nil
}

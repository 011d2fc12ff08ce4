package lockfsm

import (
	"encoding/binary"
	"fmt"
)

// A machine at rest is a set of records. Keys sort so that what a record refers
// to comes before it. Key numbers are big-endian, value numbers little-endian,
// and the first byte of every value is its format version: the least that can say
// it.
//
//	record    key            value after the version
//	meta      00             applied u64 | log time u64 | stamps u64 |
//	                         last session u64 | endings u64 |
//	                         locks u32 | claims u32 | sessions u32 | detached u32 |
//	                         registers u32
//	session   01 id u64      deadline u64 | lease u32 | epoch u32 | order u64 |
//	                         state u8 (1: parked, 2: ending) | nonce 16 B | name
//	detached  02 token u64   owner u64 | deadline u64 | hold time u32
//	lock      03 name        holders u32 | waiters u32 | claims
//	claim                    flags u8 (1: detached) | mode u8 | weight u8 |
//	                         session u64 | request u64 | stamp u64 | since u64
//	register  04 name        version u64 | value
//
// Once a step of log time has named its clock, the meta record has version 3:
//
//	meta      00             as above, then round u64 | node u16 of the newest clock
//
// A semaphore, and a lock of which a claim has an owner, has version 2:
//
//	lock      03 name        holders u32 | waiters u32 | capacity u32, zero for a
//	                         lock with modes | claims
//	claim                    as above, with flags 1: detached, 2: owned; then
//	                         permits u32 if the capacity is not zero; then, if
//	                         owned, owner u64 | n u32 | n × level
//	level                    request u64 | stamp u64 | since u64
//
// A lock of which a hold has been converted, or waits for that, has version 3. It
// is as version 2, with two more flags of a claim, 4: converted, 8: conversion, and
// if that is set, at the end of the claim,
//
//	conversion               request u64 | stamp u64 | since u64 | mode u8 |
//	                         state u8 (1: waits, 2: granted, 3: waits, and its
//	                         owner gives nothing back meanwhile)
//
// Waiters are then those only who hold nothing. What waits for another mode
// stands before them in the queue, in the order of the stamps.
//
// A lock of which a claim is part of an acquire of several names has version 3 too:
//
//	claim                    as version 2, with flags 128: part; then number u8 if so
//
// And one with a wait whose owner gives nothing back meanwhile, which has the flag 32.
//
// A lock of which a claim has terms has version 3 too, with the flag 16 of such a
// claim, at whose end then follow
//
//	                         request u64 of the newest amend, or 0 | terms
//	terms                    as in a batch
//
// A hold that is kept after its end is a detached one, whose owner is the bit 2^62
// and its token.
//
// A lock with a value has version 3, with the state 1: valued, also if nobody holds
// it or waits for it:
//
//	lock      03 name        holders u16 | gate u8 | state u8 | waiters u32 |
//	                         number u32 | claims as above | value
//	value                    token u64 | flags u8 (1: doubtful) | length u16 | bytes
//
// A gate has version 3, as has what stands of one, a detached hold of owner zero
// (hold time and deadline as they are, also without a time of its own), and a
// session for which answers are kept:
//
//	lock      03 name        holders u16 | gate u8 | 0 u8 | waiters u32 |
//	                         number u32 | claims as above
//	session   01 id u64      as above up to the nonce, then n u32 |
//	                         n × answer | name
//	answer                   request u64 | value u64 | opcode u8 | code u8
//
// Holders stand in the order of their stamps, waiters in queue order, levels in
// that of their stamps, so equal states have equal bytes. A newer version is
// ErrTooNew; anything else that this table does not describe is ErrDamaged.
const (
	keyMeta     = 0x00
	keySession  = 0x01
	keyDetached = 0x02
	keyLock     = 0x03
	keyRegister = 0x04

	stateParked = 1 << 0
	stateEnding = 1 << 1

	claimDetached   = 1 << 0
	claimOwned      = 1 << 1
	claimMovedBit   = 1 << 2
	claimTurnsBit   = 1 << 3
	claimTermsBit   = 1 << 4
	claimDetectsBit = 1 << 5
	claimPartBit    = 1 << 7

	lockValued = 1 << 0

	conversionWaits   = 1
	conversionGranted = 2
	conversionDetects = 3

	claimRecordBytes  = 35
	answerRecordBytes = 18
	levelRecordBytes  = 24

	// recordHashSeed begins the hash of every record, whatever its version.
	recordHashSeed = 1
)

// RecordHash hashes one record. The sum over all records of a machine, modulo
// 2^64, is its Digest; a store can keep the sum up to date record by record.
func RecordHash(key, value []byte) uint64 {
	return hashBytes(hashBytes(recordHashSeed, key), value)
}

// appendKey appends the key of a session or detached hold.
func (s *session) appendKey(dst []byte) []byte {
	if s.kind == kindDetached {
		return binary.BigEndian.AppendUint64(append(dst, keyDetached), s.order)
	}
	return binary.BigEndian.AppendUint64(append(dst, keySession), uint64(s.id))
}

func (m *Machine) appendMeta(dst []byte) []byte {
	le := binary.LittleEndian
	version := byte(FormatFirst)
	if m.clock != (Clock{}) {
		version = FormatWhole
	}
	dst = append(dst, version)
	dst = le.AppendUint64(dst, m.applied)
	dst = le.AppendUint64(dst, uint64(m.logTime))
	dst = le.AppendUint64(dst, uint64(m.stamps))
	dst = le.AppendUint64(dst, uint64(m.lastSession))
	dst = le.AppendUint64(dst, m.endings)
	dst = le.AppendUint32(dst, m.lockCount)
	dst = le.AppendUint32(dst, m.claimCount)
	dst = le.AppendUint32(dst, m.sessionCount)
	dst = le.AppendUint32(dst, m.detachedCount)
	dst = le.AppendUint32(dst, uint32(len(m.registers)))
	if version >= FormatWhole {
		dst = le.AppendUint64(dst, m.clock.Round)
		dst = le.AppendUint16(dst, m.clock.Node)
	}
	return dst
}

func (m *Machine) appendSession(dst []byte, s *session) []byte {
	le := binary.LittleEndian
	version := byte(FormatFirst)
	if s.lastAnswer() != 0 || s.kind == kindDetached && s.id == 0 {
		version = FormatWhole
	}
	dst = append(dst, version)
	if s.kind == kindDetached {
		dst = le.AppendUint64(dst, uint64(s.id))
		dst = le.AppendUint64(dst, uint64(s.deadline))
		return le.AppendUint32(dst, uint32(s.lease))
	}
	var state byte
	if s.flags&entryParked != 0 {
		state |= stateParked
	}
	if s.flags&entryEnding != 0 {
		state |= stateEnding
	}
	dst = le.AppendUint64(dst, uint64(s.deadline))
	dst = le.AppendUint32(dst, uint32(s.lease))
	dst = le.AppendUint32(dst, uint32(s.epoch))
	dst = le.AppendUint64(dst, s.order)
	dst = append(dst, state)
	dst = append(dst, s.nonce[:]...)
	if version >= FormatWhole {
		dst = m.appendAnswers(dst, s)
	}
	return append(dst, m.sessionName(s)...)
}

// appendAnswers appends what is kept for a session, oldest first.
func (m *Machine) appendAnswers(dst []byte, s *session) []byte {
	le := binary.LittleEndian
	last := s.lastAnswer()
	dst = le.AppendUint32(dst, m.answersOf(s))
	if plantedIs("answers-not-in-checkpoint") {
		le.PutUint32(dst[len(dst)-4:], 0)
		return dst
	}
	for r := last; r != 0; {
		r = m.answers.at(r).next
		a := m.answers.at(r)
		dst = le.AppendUint64(dst, uint64(a.request))
		dst = le.AppendUint64(dst, a.value)
		dst = append(dst, byte(a.op), byte(a.code))
		if r == last {
			break
		}
	}
	return dst
}

func (m *Machine) sessionName(s *session) []byte {
	if s.nameBytes == 0 {
		return nil
	}
	return m.names.block(s.name, int(s.nameBytes))
}

func (m *Machine) appendLock(dst []byte, lr ref) []byte {
	le := binary.LittleEndian
	l, state := m.locks.at(lr), uint32(0)
	if l.flags&entryValued != 0 {
		state = lockValued
	}
	version := m.lockFormat(l)
	dst = append(dst, version)
	dst = le.AppendUint32(dst, l.holderCount()|uint32(l.gate())<<16|state<<24)
	waiters := m.firstWaiter(l)
	dst = le.AppendUint32(dst, l.waiting-m.conversions(l))
	if version >= FormatKinds {
		dst = le.AppendUint32(dst, l.number())
	}
	for r := l.holders; r != 0; r = m.claims.at(r).next {
		dst = m.appendKinds(m.appendClaim(dst, l, m.claims.at(r)), l, m.claims.at(r))
		dst = m.appendTerms(m.appendConversion(dst, r), r)
	}
	for r := waiters; r != 0; r = m.claims.at(r).next {
		dst = m.appendKinds(m.appendClaim(dst, l, m.claims.at(r)), l, m.claims.at(r))
		dst = m.appendTerms(dst, r)
	}
	return m.appendValue(dst, lr)
}

func (r *register) append(dst []byte) []byte {
	dst = append(dst, FormatFirst)
	dst = binary.LittleEndian.AppendUint64(dst, r.version)
	return append(dst, r.value...)
}

// lockFormat returns the least format that can say what a lock is.
func (m *Machine) lockFormat(l *lock) byte {
	format := byte(FormatFirst)
	if l.gate() != 0 || l.flags&entryValued != 0 {
		return FormatWhole
	}
	if l.semaphore() {
		format = FormatKinds
	}
	if m.convertedCount > 0 {
		for r := l.holders; r != 0; r = m.claims.at(r).next {
			if m.claims.at(r).flags&claimTurned != 0 {
				return FormatWhole
			}
		}
	}
	if m.stackCount+m.partCount+m.detectCount == 0 && len(m.terms) == 0 {
		return format
	}
	for _, head := range [...]ref{l.holders, l.waiters} {
		for r := head; r != 0; r = m.claims.at(r).next {
			switch c := m.claims.at(r); {
			case c.flags&(claimTermed|claimPart|claimDetects) != 0:
				return FormatWhole
			case c.extra != 0:
				format = FormatKinds
			}
		}
	}
	return format
}

func (m *Machine) appendClaim(dst []byte, l *lock, c *claim) []byte {
	le := binary.LittleEndian
	s := m.sessions.at(c.session)
	var flags byte
	if s.kind == kindDetached {
		flags |= claimDetached
	}
	if m.stack(l, c) != nil {
		flags |= claimOwned
	}
	if c.flags&claimMoved != 0 {
		flags |= claimMovedBit
	}
	if c.flags&claimHasConversion != 0 {
		flags |= claimTurnsBit
	}
	if c.flags&claimTermed != 0 && !plantedIs("terms-forgotten-in-checkpoint") {
		flags |= claimTermsBit
	}
	if c.isPart() {
		flags |= claimPartBit
	}
	if c.flags&claimDetects != 0 {
		flags |= claimDetectsBit
	}
	dst = append(dst, flags, byte(c.mode), c.weight)
	dst = le.AppendUint64(dst, uint64(s.id))
	dst = le.AppendUint64(dst, uint64(c.request))
	dst = le.AppendUint64(dst, uint64(c.stamp))
	return le.AppendUint64(dst, uint64(c.since))
}

// appendKinds appends what a claim of version 2 or 3 has beyond one of version 1.
func (m *Machine) appendKinds(dst []byte, l *lock, c *claim) []byte {
	le := binary.LittleEndian
	if l.semaphore() {
		return le.AppendUint32(dst, uint32(l.permits(c)))
	}
	if c.isPart() {
		return append(dst, c.part())
	}
	k := m.stack(l, c)
	if k == nil {
		return dst
	}
	dst = le.AppendUint64(dst, uint64(k.owner))
	dst = le.AppendUint32(dst, k.count)
	for r := k.levels; r != 0; r = m.claims.at(r).next {
		up := m.claims.at(r)
		dst = le.AppendUint64(dst, uint64(up.request))
		dst = le.AppendUint64(dst, uint64(up.stamp))
		dst = le.AppendUint64(dst, uint64(up.since))
	}
	return dst
}

// firstWaiter returns the first of the queue who holds nothing.
func (m *Machine) firstWaiter(l *lock) ref {
	r := l.waiters
	for r != 0 && m.claims.at(r).state == claimConverts {
		r = m.claims.at(r).next
	}
	return r
}

// conversions counts those that wait.
func (m *Machine) conversions(l *lock) uint32 {
	n := uint32(0)
	for r := l.waiters; r != 0 && m.claims.at(r).state == claimConverts; r = m.claims.at(r).next {
		n++
	}
	return n
}

// appendConversion appends what a hold has of a conversion.
func (m *Machine) appendConversion(dst []byte, hold ref) []byte {
	r := m.conversionOf(hold)
	if r == 0 {
		return dst
	}
	le := binary.LittleEndian
	c := m.claims.at(r)
	state := byte(conversionGranted)
	switch {
	case c.flags&claimDetects != 0:
		state = conversionDetects
	case c.state == claimConverts:
		state = conversionWaits
	}
	dst = le.AppendUint64(dst, uint64(c.request))
	dst = le.AppendUint64(dst, uint64(c.stamp))
	dst = le.AppendUint64(dst, uint64(c.since))
	return append(dst, byte(c.mode), state)
}

// openValue checks the version of a value and returns a reader behind it.
// Requires: key is not empty.
func openValue(key, value []byte, newest uint8) (reader, error) {
	if key[0] > keyLock {
		newest = FormatFirst
	}
	switch {
	case len(value) == 0 || value[0] == 0:
		return reader{}, fmt.Errorf("%w: record %x has no version", ErrDamaged, key)
	case value[0] > newest:
		return reader{}, fmt.Errorf("%w: record %x has version %d, want at most %d",
			ErrTooNew, key, value[0], newest)
	default:
		return reader{b: value, at: 1, version: value[0]}, nil
	}
}

// rest returns all bytes not read yet.
func (r *reader) rest() []byte { return r.take(len(r.b) - r.at) }

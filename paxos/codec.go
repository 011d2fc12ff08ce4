package paxos

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed means that bytes are not what AppendMessage or a Record's Data
// would be. The link that carried them is closed; the log that held them is
// damaged.
var ErrMalformed = errors.New("paxos: malformed")

// ErrTooNew means that bytes were written by a later version of this package.
// They are not damaged: upgrade this node.
var ErrTooNew = errors.New("paxos: written by a newer version")

// A message is a head, the fields that are not zero, in this order, and the
// entries. All numbers are little-endian:
//
//	head      kind 1, flags 1, present 2, group 2, from 2, to 2
//	ballot    round 8, node 2          present bit 0
//	promised  round 8, node 2          present bit 1
//	slot      8                        present bit 2
//	last      8                        present bit 3
//	chosen    8                        present bit 4
//	seq       8                        present bit 5
//	entries   count 4, then each:      present bit 6
//	          slot 8, round 8, node 2, length 4, value
//
// A field that is zero is left out, so every message has one form only. The
// version of this form is that of the frame the message travels in.
const (
	presentBallot = 1 << iota
	presentPromised
	presentSlot
	presentLast
	presentChosen
	presentSeq
	presentEntries

	presentEnd
)

const (
	headBytes   = 10
	ballotBytes = 10
	entryBytes  = 8 + ballotBytes + 4
)

// AppendMessage appends m's bytes to dst.
func AppendMessage(dst []byte, m *Message) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(m.Kind), byte(m.Flags))
	dst = le.AppendUint16(dst, m.present())
	dst = le.AppendUint16(dst, uint16(m.Group))
	dst = le.AppendUint16(dst, uint16(m.From))
	dst = le.AppendUint16(dst, uint16(m.To))
	if !m.Ballot.IsZero() {
		dst = appendBallot(dst, m.Ballot)
	}
	if !m.Promised.IsZero() {
		dst = appendBallot(dst, m.Promised)
	}
	for _, n := range [...]uint64{uint64(m.Slot), uint64(m.Last), uint64(m.Chosen), m.Seq} {
		if n != 0 {
			dst = le.AppendUint64(dst, n)
		}
	}
	if len(m.Entries) == 0 {
		return dst
	}
	dst = le.AppendUint32(dst, uint32(len(m.Entries)))
	for i := range m.Entries {
		e := &m.Entries[i]
		dst = le.AppendUint64(dst, uint64(e.Slot))
		dst = appendBallot(dst, e.Ballot)
		dst = le.AppendUint32(dst, uint32(len(e.Value)))
		dst = append(dst, e.Value...)
	}
	return dst
}

func (m *Message) present() (bits uint16) {
	set := func(bit uint16, zero bool) {
		if !zero {
			bits |= bit
		}
	}
	set(presentBallot, m.Ballot.IsZero())
	set(presentPromised, m.Promised.IsZero())
	set(presentSlot, m.Slot == 0)
	set(presentLast, m.Last == 0)
	set(presentChosen, m.Chosen == 0)
	set(presentSeq, m.Seq == 0)
	set(presentEntries, len(m.Entries) == 0)
	return bits
}

func appendBallot(dst []byte, b Ballot) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, b.Round)
	return binary.LittleEndian.AppendUint16(dst, uint16(b.Node))
}

// DecodeMessage decodes the first message of b into m, replacing all of it but
// the memory of m.Entries, and returns what follows. Values borrow from b. The
// error is ErrMalformed; m is then half written.
func DecodeMessage(b []byte, m *Message) (rest []byte, err error) {
	d := decoder{b: b}
	entries := m.Entries[:0]
	*m = Message{Kind: Kind(d.u8()), Flags: Flags(d.u8())}
	present := d.u16()
	m.Group, m.From, m.To = GroupID(d.u16()), NodeID(d.u16()), NodeID(d.u16())
	if d.short {
		return nil, fmt.Errorf("%w: message of %d bytes, want at least %d",
			ErrMalformed, len(b), headBytes)
	}
	if m.Kind == 0 || m.Kind >= kindEnd || m.Flags >= flagsEnd || present >= presentEnd {
		return nil, fmt.Errorf("%w: message with kind %d, flags %#x, fields %#x",
			ErrMalformed, m.Kind, m.Flags, present)
	}
	if present&presentBallot != 0 {
		m.Ballot = d.ballot()
	}
	if present&presentPromised != 0 {
		m.Promised = d.ballot()
	}
	if present&presentSlot != 0 {
		m.Slot = Slot(d.u64())
	}
	if present&presentLast != 0 {
		m.Last = Slot(d.u64())
	}
	if present&presentChosen != 0 {
		m.Chosen = Slot(d.u64())
	}
	if present&presentSeq != 0 {
		m.Seq = d.u64()
	}
	if present&presentEntries != 0 {
		m.Entries, err = d.entries(entries)
	} else {
		m.Entries = entries
	}
	switch {
	case err != nil:
		return nil, err
	case d.short:
		return nil, fmt.Errorf("%w: %v of %d bytes ends too early", ErrMalformed, m.Kind, len(b))
	case m.present() != present:
		return nil, fmt.Errorf("%w: %v with fields %#x writes out a zero, want %#x",
			ErrMalformed, m.Kind, present, m.present())
	}
	return d.b, nil
}

// decoder reads numbers off the front of b; once b is too short it stays short
// and yields zeros.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if d.short || len(d.b) < n {
		d.short = true
		return nil
	}
	head := d.b[:n:n]
	d.b = d.b[n:]
	return head
}

func (d *decoder) u8() byte {
	if h := d.take(1); h != nil {
		return h[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if h := d.take(2); h != nil {
		return binary.LittleEndian.Uint16(h)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if h := d.take(4); h != nil {
		return binary.LittleEndian.Uint32(h)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if h := d.take(8); h != nil {
		return binary.LittleEndian.Uint64(h)
	}
	return 0
}

func (d *decoder) ballot() Ballot {
	return Ballot{Round: d.u64(), Node: NodeID(d.u16())}
}

func (d *decoder) entries(dst []Entry) ([]Entry, error) {
	count := d.u32()
	if int64(count)*entryBytes > int64(len(d.b)) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", ErrMalformed, count, len(d.b))
	}
	for range count {
		e := Entry{Slot: Slot(d.u64()), Ballot: d.ballot()}
		e.Value = d.take(int(d.u32()))
		if d.short {
			return nil, fmt.Errorf("%w: entry of slot %d ends too early", ErrMalformed, e.Slot)
		}
		if len(dst) > 0 && e.Slot <= dst[len(dst)-1].Slot {
			return nil, fmt.Errorf("%w: slot %d follows slot %d",
				ErrMalformed, e.Slot, dst[len(dst)-1].Slot)
		}
		dst = append(dst, e)
	}
	return dst, nil
}

// A record's data is its version, and then by kind:
//
//	promise  round 8, node 2
//	accept   round 8, node 2, value
//	chosen   nothing
const recordVersion = 1

func appendRecordData(dst []byte, kind RecordKind, e *Entry) []byte {
	dst = append(dst, recordVersion)
	switch kind {
	case RecordPromise:
		return appendBallot(dst, e.Ballot)
	case RecordAccept:
		return append(appendBallot(dst, e.Ballot), e.Value...)
	case RecordChosen:
		return dst
	default:
		panic(fmt.Sprintf("paxos: record kind %d, want 1 to %d", kind, RecordChosen))
	}
}

// decodeRecord returns what rec says; the value borrows from rec.Data.
func decodeRecord(rec *Record) (Entry, error) {
	d := decoder{b: rec.Data}
	version := d.u8()
	if version > recordVersion {
		return Entry{}, fmt.Errorf("%w: record version %d of slot %d; this node reads up to %d",
			ErrTooNew, version, rec.Slot, recordVersion)
	}
	e := Entry{Slot: rec.Slot}
	switch rec.Kind {
	case RecordPromise:
		e.Ballot = d.ballot()
	case RecordAccept:
		e.Ballot = d.ballot()
		e.Value, d.b = d.b, nil
	case RecordChosen:
	default:
		return Entry{}, fmt.Errorf("%w: record of kind %d", ErrMalformed, rec.Kind)
	}
	if d.short || version == 0 || len(d.b) > 0 {
		return Entry{}, fmt.Errorf("%w: record of kind %d, slot %d, %d bytes, version %d",
			ErrMalformed, rec.Kind, rec.Slot, len(rec.Data), version)
	}
	return e, nil
}

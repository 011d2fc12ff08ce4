package check

import (
	"encoding/binary"
	"errors"

	"lockd/lockfsm"
	"lockd/paxos"
)

// Batch is a decoded value of a slot.
type Batch struct {
	Ticked bool
	// Clock is the ballot of the leader that measured Delta, zero if it does not say.
	Clock    paxos.Ballot
	Delta    uint32
	Renewed  []uint64
	Commands []lockfsm.Command
}

var errBatch = errors.New("check: value is no batch")

// scanner reads numbers off the front of a value.
type scanner struct {
	b   []byte
	bad bool
}

func (s *scanner) take(n int) []byte {
	if s.bad || n > len(s.b) {
		s.bad = true
		return make([]byte, min(n, 8))
	}
	head := s.b[:n:n]
	s.b = s.b[n:]
	return head
}

func (s *scanner) u8() uint8   { return s.take(1)[0] }
func (s *scanner) u16() uint16 { return binary.LittleEndian.Uint16(s.take(2)) }
func (s *scanner) u32() uint32 { return binary.LittleEndian.Uint32(s.take(4)) }
func (s *scanner) u64() uint64 { return binary.LittleEndian.Uint64(s.take(8)) }

// DecodeBatch reads a value by the table in the machine's documentation. Names
// borrow from it. An empty value is an empty batch.
func DecodeBatch(value []byte) (Batch, error) {
	var b Batch
	if len(value) == 0 {
		return b, nil
	}
	s := scanner{b: value}
	version, flags := s.u8(), s.u8()
	if version < 1 || version > lockfsm.FormatLatest || flags == 2 || flags > 3 ||
		flags == 3 && version < lockfsm.FormatWhole {
		return b, errBatch
	}
	if flags == 3 {
		b.Clock.Round, b.Clock.Node = s.u64(), paxos.NodeID(s.u16())
	}
	if flags != 0 {
		b.Ticked, b.Delta = true, s.u32()
		for n := s.u32(); n > 0 && !s.bad; n-- {
			b.Renewed = append(b.Renewed, s.u64())
		}
	}
	for len(s.b) > 0 && !s.bad {
		b.Commands = append(b.Commands, s.command())
	}
	if s.bad {
		return b, errBatch
	}
	return b, nil
}

func (s *scanner) command() (c lockfsm.Command) {
	c.Op = lockfsm.Op(s.u8())
	if c.Op == lockfsm.OpWith {
		c.Terms = s.terms()
		c.Op = lockfsm.Op(s.u8())
	}
	switch c.Op {
	case lockfsm.OpOpenSession:
		c.Epoch, c.Lease = lockfsm.Epoch(s.u32()), lockfsm.Millis(s.u32())
		copy(c.Nonce[:8], s.take(8))
		copy(c.Nonce[8:], s.take(8))
	case lockfsm.OpCloseSession, lockfsm.OpPark, lockfsm.OpLetGo:
		s.session(&c)
		return c
	case lockfsm.OpAcquire:
		c.Flags, c.Mode, c.Weight = lockfsm.Flags(s.u8()), lockfsm.Mode(s.u8()), s.u8()
		c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
		c.Request = lockfsm.RequestID(s.u64())
		if c.Flags&lockfsm.Detached != 0 {
			c.Lease = lockfsm.Millis(s.u32())
		}
	case lockfsm.OpTake:
		c.Flags, c.Weight = lockfsm.Flags(s.u8()), s.u8()
		c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
		c.Request = lockfsm.RequestID(s.u64())
		c.Permits, c.Capacity = lockfsm.Permits(s.u32()), lockfsm.Permits(s.u32())
		if c.Flags&lockfsm.Detached != 0 {
			c.Lease = lockfsm.Millis(s.u32())
		}
	case lockfsm.OpEnter:
		c.Flags, c.Mode, c.Weight = lockfsm.Flags(s.u8()), lockfsm.Mode(s.u8()), s.u8()
		c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
		c.Request, c.Owner = lockfsm.RequestID(s.u64()), lockfsm.Owner(s.u64())
	case lockfsm.OpLeave:
		c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
		c.Request, c.Token = lockfsm.RequestID(s.u64()), lockfsm.Token(s.u64())
	case lockfsm.OpAcquireAll, lockfsm.OpReleaseAll:
		s.several(&c)
		return c
	case lockfsm.OpConvert, lockfsm.OpGiveBack:
		s.convert(&c)
	case lockfsm.OpAmend:
		c.Flags = lockfsm.Flags(s.u8())
		c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
		c.Request, c.Target = lockfsm.RequestID(s.u64()), lockfsm.RequestID(s.u64())
		c.Token, c.Terms = lockfsm.Token(s.u64()), s.terms()
	case lockfsm.OpRelease:
		c.Flags = lockfsm.Flags(s.u8())
		c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
		c.Token = lockfsm.Token(s.u64())
	case lockfsm.OpCancel:
		c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
		c.Request = lockfsm.RequestID(s.u64())
	case lockfsm.OpRenewHold:
		c.Session, c.Token = lockfsm.SessionID(s.u64()), lockfsm.Token(s.u64())
		c.Lease = lockfsm.Millis(s.u32())
	case lockfsm.OpAwait, lockfsm.OpCountDown, lockfsm.OpSet, lockfsm.OpReset:
		s.gate(&c)
	case lockfsm.OpForce, lockfsm.OpWrite:
		s.ofNobody(&c)
	default:
		s.bad = true
		return c
	}
	c.Name = s.take(int(s.u16()))
	return c
}

// session reads what a command about a session has that has no name.
func (s *scanner) session(c *lockfsm.Command) {
	c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
	if c.Op == lockfsm.OpLetGo {
		c.Lease = lockfsm.Millis(s.u32())
	}
}

// gate reads what a command at a gate has.
func (s *scanner) gate(c *lockfsm.Command) {
	c.Flags, c.Gate = lockfsm.Flags(s.u8()), lockfsm.GateKind(s.u8())
	c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
	c.Request, c.Done = lockfsm.RequestID(s.u64()), lockfsm.RequestID(s.u64())
	c.Count, c.Lease = s.u32(), lockfsm.Millis(s.u32())
}

// ofNobody reads what a command has that belongs to no session.
func (s *scanner) ofNobody(c *lockfsm.Command) {
	c.Token = lockfsm.Token(s.u64())
	if c.Op == lockfsm.OpForce {
		c.Who = s.take(int(s.u8()))
		c.Value = s.take(int(s.u16()))
		return
	}
	c.Value = s.take(int(s.u32()))
}

// several reads what a request for several names has.
func (s *scanner) several(c *lockfsm.Command) {
	if c.Op == lockfsm.OpAcquireAll {
		c.Flags, c.Weight = lockfsm.Flags(s.u8()), s.u8()
	}
	c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
	c.Request = lockfsm.RequestID(s.u64())
	if c.Op == lockfsm.OpReleaseAll {
		c.Token = lockfsm.Token(s.u64())
		return
	}
	for n := s.u8(); n > 0 && !s.bad; n-- {
		mode, name := lockfsm.Mode(s.u8()), s.take(int(s.u16()))
		c.Parts = c.Parts.AppendPart(lockfsm.Part{Mode: mode, Name: name})
	}
}

// convert reads what a conversion has, and the end of what was converted.
func (s *scanner) convert(c *lockfsm.Command) {
	c.Flags = lockfsm.Flags(s.u8())
	if c.Op == lockfsm.OpConvert {
		c.Mode = lockfsm.Mode(s.u8())
	}
	c.Session, c.Epoch = lockfsm.SessionID(s.u64()), lockfsm.Epoch(s.u32())
	if c.Op == lockfsm.OpConvert {
		c.Request = lockfsm.RequestID(s.u64())
	}
	c.Target, c.Token = lockfsm.RequestID(s.u64()), lockfsm.Token(s.u64())
}

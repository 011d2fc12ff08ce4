package lockfsm

import "encoding/binary"

// reader decodes a batch in place. It never reads past its end: the first read
// that would sets failed, and every later one returns zeros.
type reader struct {
	b      []byte
	at     int
	failed bool
	// newest is the newest format of a batch to read, version that of this one.
	newest, version uint8
}

func (r *reader) take(n int) []byte {
	if r.failed || len(r.b)-r.at < n {
		r.failed = true
		return nil
	}
	p := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return p
}

func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// command decodes one command into c, whose name then borrows from the batch.
// It reports ErrTooNew for an opcode or flag that the format does not have.
func (r *reader) command(c *Command) error {
	start := r.at
	*c = Command{Op: Op(r.u8())}
	if c.Op.Format() > r.version {
		r.at = start
		return ErrTooNew
	}
	if c.Op == OpWith {
		if err := r.with(c); err != nil {
			return err
		}
	}
	if err := r.fields(c); err != nil || c.Op == OpCloseSession || c.Op == OpPark || c.Op == OpLetGo {
		return err
	}
	known := knownFlags
	if c.Op.detects() && r.version >= FormatWhole {
		known |= Detect
	}
	if c.Flags&^known != 0 {
		r.at = start
		return ErrTooNew
	}
	if c.Op != OpAcquireAll && c.Op != OpReleaseAll {
		c.Name = r.take(int(r.u16()))
	}
	return r.checked()
}

// with decodes the terms that stand before an acquire, and its opcode.
func (r *reader) with(c *Command) error {
	if err := r.terms(&c.Terms); err != nil {
		return err
	}
	start := r.at
	if c.Op = Op(r.u8()); !c.Op.hasTerms() || c.Terms.Fields == 0 {
		r.at = start
		return ErrMalformed
	}
	return nil
}

// fields decodes what stands between the opcode and the name.
func (r *reader) fields(c *Command) error {
	switch c.Op {
	case OpOpenSession:
		c.Epoch = Epoch(r.u32())
		c.Lease = Millis(r.u32())
		copy(c.Nonce[:], r.take(len(c.Nonce)))
	case OpCloseSession, OpPark:
		c.Session = SessionID(r.u64())
		c.Epoch = Epoch(r.u32())
		return r.checked()
	case OpAcquire:
		c.Flags = Flags(r.u8())
		c.Mode = Mode(r.u8())
		c.Weight = r.u8()
		r.request(c)
		if c.Flags&Detached != 0 {
			c.Lease = Millis(r.u32())
		}
	case OpRelease:
		c.Flags = Flags(r.u8())
		c.Session = SessionID(r.u64())
		c.Epoch = Epoch(r.u32())
		c.Token = Token(r.u64())
	case OpCancel:
		r.request(c)
	case OpRenewHold:
		c.Session = SessionID(r.u64())
		c.Token = Token(r.u64())
		c.Lease = Millis(r.u32())
	case OpWrite:
		c.Token = Token(r.u64())
		c.Value = r.take(int(r.u32()))
	case OpTake:
		r.takeCommand(c)
	case OpEnter:
		c.Flags = Flags(r.u8())
		c.Mode = Mode(r.u8())
		c.Weight = r.u8()
		r.request(c)
		c.Owner = Owner(r.u64())
	case OpLeave, OpReleaseAll:
		r.request(c)
		c.Token = Token(r.u64())
	case OpConvert, OpGiveBack:
		r.convertCommand(c)
	case OpAmend:
		return r.amend(c)
	case OpForce:
		c.Token = Token(r.u64())
		c.Who = r.take(int(r.u8()))
		c.Value = r.take(int(r.u16()))
	case OpLetGo:
		c.Session = SessionID(r.u64())
		c.Epoch = Epoch(r.u32())
		c.Lease = Millis(r.u32())
	case OpAcquireAll:
		r.acquireAllCommand(c)
	case OpAwait, OpCountDown, OpSet, OpReset:
		r.gateCommand(c)
	default:
		r.at--
		return ErrTooNew
	}
	return r.checked()
}

// request decodes who asks and what the request is called.
func (r *reader) request(c *Command) {
	c.Session = SessionID(r.u64())
	c.Epoch = Epoch(r.u32())
	c.Request = RequestID(r.u64())
}

func (r *reader) acquireAllCommand(c *Command) {
	c.Flags = Flags(r.u8())
	c.Weight = r.u8()
	r.request(c)
	n, start := r.u8(), r.at
	for range n {
		r.u8()
		r.take(int(r.u16()))
	}
	if !r.failed {
		c.Parts = Parts(r.b[start:r.at:r.at])
	}
}

func (r *reader) takeCommand(c *Command) {
	c.Flags = Flags(r.u8())
	c.Weight = r.u8()
	c.Session = SessionID(r.u64())
	c.Epoch = Epoch(r.u32())
	c.Request = RequestID(r.u64())
	c.Permits = Permits(r.u32())
	c.Capacity = Permits(r.u32())
	if c.Flags&Detached != 0 {
		c.Lease = Millis(r.u32())
	}
}

func (r *reader) convertCommand(c *Command) {
	c.Flags = Flags(r.u8())
	if c.Op == OpConvert {
		c.Mode = Mode(r.u8())
	}
	c.Session = SessionID(r.u64())
	c.Epoch = Epoch(r.u32())
	if c.Op == OpConvert {
		c.Request = RequestID(r.u64())
	}
	c.Target = RequestID(r.u64())
	c.Token = Token(r.u64())
}

func (r *reader) amend(c *Command) error {
	c.Flags = Flags(r.u8())
	c.Session = SessionID(r.u64())
	c.Epoch = Epoch(r.u32())
	c.Request = RequestID(r.u64())
	c.Target = RequestID(r.u64())
	c.Token = Token(r.u64())
	return r.terms(&c.Terms)
}

func (r *reader) gateCommand(c *Command) {
	c.Flags = Flags(r.u8())
	c.Gate = GateKind(r.u8())
	c.Session = SessionID(r.u64())
	c.Epoch = Epoch(r.u32())
	c.Request = RequestID(r.u64())
	c.Done = RequestID(r.u64())
	c.Count = r.u32()
	c.Lease = Millis(r.u32())
}

func (r *reader) checked() error {
	if r.failed {
		return ErrMalformed
	}
	return nil
}

// tick is the decoded tick of a batch. ids is borrowed: eight bytes each.
type tick struct {
	present bool
	by      Clock
	delta   Millis
	ids     []byte
}

// header decodes everything before the first command.
func (r *reader) header() (tick, error) {
	r.version = r.u8()
	if !r.failed && r.version == 0 {
		r.failed = true
	}
	if !r.failed && r.version > r.newest {
		r.at = 0
		return tick{}, ErrTooNew
	}
	flags, known := r.u8(), byte(batchTick)
	if r.version >= FormatWhole {
		known |= batchClock
	}
	if !r.failed && flags&^known != 0 {
		r.at = 1
		return tick{}, ErrTooNew
	}
	if flags == batchClock {
		r.failed = true // a clock that measured nothing
	}
	if flags&batchTick == 0 {
		return tick{}, r.checked()
	}
	t := tick{present: true}
	if flags&batchClock != 0 {
		t.by = r.clock()
	}
	t.delta = Millis(r.u32())
	n := r.u32()
	if uint64(n)*8 > uint64(len(r.b)) {
		r.failed = true
	}
	t.ids = r.take(int(n) * 8)
	return t, r.checked()
}

// clock decodes a clock that has a name.
func (r *reader) clock() Clock {
	c := Clock{Round: r.u64(), Node: r.u16()}
	if c == (Clock{}) {
		r.failed = true
	}
	return c
}

// Plain reports whether Apply would take a value and would write no register, so
// that nobody but the machine need know of it.
func (m *Machine) Plain(value []byte) bool {
	if len(value) == 0 {
		return true
	}
	r := reader{b: value, newest: m.limits.format()}
	if _, err := r.header(); err != nil {
		return false
	}
	var c Command
	for r.at < len(r.b) {
		if err := r.command(&c); err != nil || c.Op == OpWrite {
			return false
		}
	}
	return true
}

// checkBatch decodes the whole of a batch without executing any of it, so that
// a batch is executed in full or not at all. It returns the offset at which it
// stopped.
func checkBatch(value []byte, newest uint8) (int, error) {
	r := reader{b: value, newest: newest}
	if _, err := r.header(); err != nil {
		return r.at, err
	}
	var c Command
	for r.at < len(r.b) {
		if err := r.command(&c); err != nil {
			return r.at, err
		}
	}
	return r.at, nil
}

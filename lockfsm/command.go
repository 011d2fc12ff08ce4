package lockfsm

import (
	"encoding/binary"
	"fmt"
)

// Op is the opcode of a command. Numbers are append-only.
type Op uint8

// The opcodes, with the fields of Command that each uses.
const (
	// OpOpenSession opens a session or finds it by its nonce: Nonce, Lease,
	// Epoch, Name.
	OpOpenSession Op = 1
	// OpCloseSession ends a session and releases all it has: Session, Epoch.
	OpCloseSession Op = 2
	// OpAcquire asks for a lock: Session, Epoch, Request, Name, Mode, Weight,
	// Flags, and Lease (the hold time) if Detached.
	OpAcquire Op = 3
	// OpRelease gives a hold back: Session, Epoch, Token, Name, and Flags to
	// say Detached.
	OpRelease Op = 4
	// OpCancel gives up a request: Session, Epoch, Request, Name.
	OpCancel Op = 5
	// OpPark sets a session's waits aside, its conn being gone: Session, Epoch.
	OpPark Op = 6
	// OpRenewHold extends a detached hold: Session (its owner), Token, Lease,
	// Name.
	OpRenewHold Op = 7
	// OpWrite replaces a register if it has the version named: Token (that
	// version), Name, Value. It is the cluster's own; clients have no such request.
	OpWrite Op = 8

	// OpTake asks for permits of a semaphore: Session, Epoch, Request, Name,
	// Permits, Capacity, Weight, Flags, and Lease if Detached. OpRelease gives
	// them back, all of one hold together.
	OpTake Op = 16
	// OpEnter asks for a lock that its owner may ask for again while it holds it:
	// Session, Epoch, Request, Owner, Name, Mode, Weight, Flags without Detached.
	OpEnter Op = 17
	// OpLeave takes one OpEnter back, the one with that request; the lock comes
	// free with the last of its owner: Session, Epoch, Request, Token, Name.
	OpLeave Op = 18

	// OpConvert asks for another mode of a hold: Session, Epoch, Request, Target
	// (the request of the acquire it came of), Token, Name, Mode, Flags.
	OpConvert Op = 19
	// OpGiveBack gives a hold back that may have been converted, in the way of
	// OpLeave: Session, Epoch, Target, Token, Name, and Flags to say Detached.
	OpGiveBack Op = 20
	// OpWith stands before an acquire and gives it terms, an OpAcquireAll its owner. It
	// is no command of its own: Terms of the command says that it is there.
	OpWith Op = 21
	// OpAmend changes the data of a hold: Session, Epoch, Request, Target (the
	// request of the acquire it came of), Token, Name, Terms, and Flags to say
	// Detached.
	OpAmend Op = 22
	// OpForce ends the hold that has Token, whoever has it: Token, Name, Who, and Value,
	// which is the reason. It belongs to no session.
	OpForce Op = 23

	// OpAcquireAll asks for several locks, for all or none: Session, Epoch, Request,
	// Parts, Weight, Flags without Detached, and Terms, which may name an Owner.
	OpAcquireAll Op = 24
	// OpReleaseAll gives back what is left of an OpAcquireAll, the one with that
	// request and first token: Session, Epoch, Request, Token.
	OpReleaseAll Op = 25
	// OpLetGo says that the conn of a session is gone, which is to end Lease after
	// that unless it is renewed: Session, Epoch, Lease. The node proposes it.
	OpLetGo Op = 26
	// OpAwait waits at a gate until it lets through: Session, Epoch, Request, Done,
	// Gate, Name, Count (of those a barrier wants), Flags. Without Wait, which a
	// barrier must have, it is refused if the gate is shut.
	OpAwait Op = 28
	// OpCountDown counts a latch down by Count: Session, Epoch, Request, Done, Gate,
	// Name, Count.
	OpCountDown Op = 29
	// OpSet gives a latch its Count or sets an event: Session, Epoch, Request, Done,
	// Gate, Name, Count of a latch, Lease (how long it stands, zero for ever).
	OpSet Op = 30
	// OpReset takes a latch away, sets an event back, or breaks a barrier: Session,
	// Epoch, Request, Done, Gate, Name.
	OpReset Op = 31
)

// Formats of batches and records. A batch or record has the least format that
// can say what it says, so that a cluster in which nobody uses what is new
// writes what an older binary reads.
const (
	// FormatFirst is the format of sessions, modes and detached holds.
	FormatFirst = 1
	// FormatKinds adds permits and owners: OpTake, OpEnter and OpLeave.
	FormatKinds = 2
	// FormatWhole adds what else a lock service has: see the opcodes from 19 on.
	FormatWhole = 3
	// FormatLatest is the newest format this binary reads and writes.
	FormatLatest = FormatWhole
)

// Format returns the first format that has the opcode.
func (o Op) Format() uint8 {
	switch o {
	case OpTake, OpEnter, OpLeave:
		return FormatKinds
	default:
		if o > OpLeave {
			return FormatWhole
		}
		return FormatFirst
	}
}

// Acquires reports whether the opcode asks for a lock.
func (o Op) Acquires() bool {
	return o == OpAcquire || o == OpTake || o == OpEnter || o == OpAcquireAll
}

// detects reports whether the opcode may say Detect.
func (o Op) detects() bool { return o.Acquires() || o == OpConvert }

// hasTerms reports whether the opcode may have an OpWith before it.
func (o Op) hasTerms() bool {
	return o == OpAcquire || o == OpTake || o == OpEnter || o == OpAcquireAll
}

// String returns the name of the opcode.
func (o Op) String() string {
	switch o {
	case OpOpenSession:
		return "open"
	case OpCloseSession:
		return "close"
	case OpAcquire:
		return "acquire"
	case OpRelease:
		return "release"
	case OpCancel:
		return "cancel"
	case OpPark:
		return "park"
	case OpRenewHold:
		return "renew"
	case OpWrite:
		return "write"
	case OpTake:
		return "take"
	case OpEnter:
		return "enter"
	case OpLeave:
		return "leave"
	case OpConvert:
		return "convert"
	case OpGiveBack:
		return "give-back"
	case OpWith:
		return "with"
	case OpAmend:
		return "amend"
	case OpForce:
		return "force"
	case OpAcquireAll:
		return "acquire-all"
	case OpReleaseAll:
		return "release-all"
	case OpLetGo:
		return "let-go"
	case OpAwait:
		return "await"
	case OpCountDown:
		return "count-down"
	case OpSet:
		return "set"
	case OpReset:
		return "reset"
	default:
		return fmt.Sprintf("Op(%d)", uint8(o))
	}
}

// Flags qualify an acquire or a release.
type Flags uint8

// The flags.
const (
	// Wait puts an acquire that cannot be granted at once into the queue.
	Wait Flags = 1 << 0
	// Detached makes a hold live by its own time instead of by a session.
	// Session is then the owner's id. A detached acquire never waits.
	Detached Flags = 1 << 1
	// Detect says of an acquire or OpConvert that waits that its owner gives nothing
	// back meanwhile, and refuses it if it would wait in a circle of such. The owner
	// is that of an OpEnter or of the hold to be converted; of all else the session, as
	// far as it names no owner.
	Detect Flags = 1 << 2

	knownFlags = Wait | Detached
)

// Command is one command of a batch. Which fields an opcode uses is said at
// the opcode; the others are neither encoded nor read.
type Command struct {
	Op       Op
	Flags    Flags
	Mode     Mode
	Weight   uint8 // larger goes first in the queue
	Epoch    Epoch
	Lease    Millis // of a session, or of a detached hold
	Permits  Permits
	Capacity Permits // of the semaphore, by all who use it
	Session  SessionID
	Request  RequestID
	Target   RequestID // of the acquire that a hold came of
	Token    Token
	Owner    Owner
	Nonce    Nonce
	// Gate, Count and Done are of commands at a gate. Done is below or at the lowest
	// request of the session that its client has no answer to: answers to earlier
	// ones are not kept any longer.
	Gate  GateKind
	Count uint32
	Done  RequestID

	Name  []byte // borrowed; at most 65535 bytes
	Value []byte // of a register, or the reason of an OpForce; borrowed
	Who   []byte // asked for an OpForce, as far as it is known; at most 255 bytes; borrowed
	Terms Terms  // of an acquire, none if no field is set; of an OpAmend
	Parts Parts  // ascending by name, at most MaxParts; borrowed
}

// Format returns the first format that can say the command.
func (c *Command) Format() uint8 {
	if c.Terms.Fields != 0 && c.Op.hasTerms() || c.Flags&Detect != 0 {
		return FormatWhole
	}
	return c.Op.Format()
}

const batchHeaderBytes = 2

// In the second byte batchTick says that a tick follows, and batchClock that it
// names its clock.
const (
	batchTick  = 1 << 0
	batchClock = 1 << 1
)

// Clock names the clock by which a step of log time was measured: that of a leader,
// for as long as it leads in one ballot, which this is. Later leaderships have
// larger ones. Zero is a clock without a name, as it was before FormatWhole.
type Clock struct {
	Round uint64
	Node  uint16
}

// Before reports whether the leadership of c is an earlier one than that of d.
func (c Clock) Before(d Clock) bool {
	return c.Round < d.Round || c.Round == d.Round && c.Node < d.Node
}

// BatchBuilder encodes the value of a slot. The zero value is an empty batch;
// it keeps its memory over Reset and belongs to one goroutine.
type BatchBuilder struct {
	b        []byte
	commands int
	ticked   bool
}

// Reset empties the batch.
func (b *BatchBuilder) Reset() {
	b.b = b.b[:0]
	b.commands = 0
	b.ticked = false
}

// Tick says that log time moves by delta, measured by a clock without a name, and
// that the sessions in renewed are renewed. Requires: it comes before the first
// Append, once per batch. It copies renewed.
func (b *BatchBuilder) Tick(delta Millis, renewed []SessionID) {
	b.TickBy(Clock{}, delta, renewed)
}

// TickBy is Tick with the clock that measured delta. The step counts only if no
// later clock has counted one: log time has then moved by that one instead. A clock
// with a name needs FormatWhole.
func (b *BatchBuilder) TickBy(by Clock, delta Millis, renewed []SessionID) {
	if b.ticked || b.commands > 0 {
		panic(fmt.Sprintf("lockfsm: tick must come first: have %d commands, ticked %t",
			b.commands, b.ticked))
	}
	b.begin()
	b.ticked = true
	b.b[1] |= batchTick
	if by != (Clock{}) {
		b.b[0], b.b[1] = max(b.b[0], FormatWhole), b.b[1]|batchClock
		b.b = binary.LittleEndian.AppendUint64(b.b, by.Round)
		b.b = binary.LittleEndian.AppendUint16(b.b, by.Node)
	}
	b.b = binary.LittleEndian.AppendUint32(b.b, uint32(delta))
	b.b = binary.LittleEndian.AppendUint32(b.b, uint32(len(renewed)))
	for _, id := range renewed {
		b.b = binary.LittleEndian.AppendUint64(b.b, uint64(id))
	}
}

// Append adds a command, copying its name. Requires: its opcode is known and
// its name is at most 65535 bytes; everything else is judged by Apply.
func (b *BatchBuilder) Append(c *Command) {
	b.begin()
	b.commands++
	b.b[0] = max(b.b[0], c.Format())
	b.b = appendCommand(b.b, c)
}

// AppendBatch adds the commands of other. Requires: other has no tick.
func (b *BatchBuilder) AppendBatch(other *BatchBuilder) {
	if other.ticked {
		panic("lockfsm: batch to append: have one with a tick, want one without")
	}
	if other.commands == 0 {
		return
	}
	b.begin()
	b.commands += other.commands
	b.b[0] = max(b.b[0], other.b[0])
	b.b = append(b.b, other.b[batchHeaderBytes:]...)
}

// Len returns the number of commands.
func (b *BatchBuilder) Len() int { return b.commands }

// Size returns the encoded length in bytes.
func (b *BatchBuilder) Size() int { return len(b.b) }

// Bytes returns the batch, borrowed until the next call of another method. It
// is empty, and so a no-op, if neither Tick nor Append was called.
func (b *BatchBuilder) Bytes() []byte { return b.b[:len(b.b):len(b.b)] }

func (b *BatchBuilder) begin() {
	if len(b.b) == 0 {
		b.b = append(b.b, FormatFirst, 0)
	}
}

func appendCommand(dst []byte, c *Command) []byte {
	le := binary.LittleEndian
	if c.Terms.Fields != 0 && c.Op.hasTerms() {
		dst = c.Terms.append(append(dst, byte(OpWith)))
	}
	dst = append(dst, byte(c.Op))
	switch c.Op {
	case OpOpenSession:
		dst = le.AppendUint32(dst, uint32(c.Epoch))
		dst = le.AppendUint32(dst, uint32(c.Lease))
		dst = append(dst, c.Nonce[:]...)
	case OpCloseSession, OpPark, OpLetGo:
		return appendSessionCommand(dst, c)
	case OpAcquire:
		dst = append(dst, byte(c.Flags), byte(c.Mode), c.Weight)
		dst = le.AppendUint64(dst, uint64(c.Session))
		dst = le.AppendUint32(dst, uint32(c.Epoch))
		dst = le.AppendUint64(dst, uint64(c.Request))
		if c.Flags&Detached != 0 {
			dst = le.AppendUint32(dst, uint32(c.Lease))
		}
	case OpRelease:
		dst = append(dst, byte(c.Flags))
		dst = le.AppendUint64(dst, uint64(c.Session))
		dst = le.AppendUint32(dst, uint32(c.Epoch))
		dst = le.AppendUint64(dst, uint64(c.Token))
	case OpCancel:
		dst = le.AppendUint64(dst, uint64(c.Session))
		dst = le.AppendUint32(dst, uint32(c.Epoch))
		dst = le.AppendUint64(dst, uint64(c.Request))
	case OpRenewHold:
		dst = le.AppendUint64(dst, uint64(c.Session))
		dst = le.AppendUint64(dst, uint64(c.Token))
		dst = le.AppendUint32(dst, uint32(c.Lease))
	case OpWrite:
		dst = le.AppendUint64(dst, uint64(c.Token))
		dst = le.AppendUint32(dst, uint32(len(c.Value)))
		dst = append(dst, c.Value...)
	case OpTake:
		dst = appendTake(dst, c)
	case OpEnter:
		dst = append(dst, byte(c.Flags), byte(c.Mode), c.Weight)
		dst = le.AppendUint64(dst, uint64(c.Session))
		dst = le.AppendUint32(dst, uint32(c.Epoch))
		dst = le.AppendUint64(dst, uint64(c.Request))
		dst = le.AppendUint64(dst, uint64(c.Owner))
	case OpLeave:
		dst = le.AppendUint64(dst, uint64(c.Session))
		dst = le.AppendUint32(dst, uint32(c.Epoch))
		dst = le.AppendUint64(dst, uint64(c.Request))
		dst = le.AppendUint64(dst, uint64(c.Token))
	case OpConvert, OpGiveBack, OpAmend, OpForce:
		dst = appendOfHold(dst, c)
	case OpAcquireAll, OpReleaseAll:
		return appendAll(dst, c)
	case OpAwait, OpCountDown, OpSet, OpReset:
		dst = appendGate(dst, c)
	default:
		panic(fmt.Sprintf("lockfsm: opcode: have %d, want one that is known", uint8(c.Op)))
	}
	if len(c.Name) > 1<<16-1 {
		panic(fmt.Sprintf("lockfsm: name: have %d bytes, want at most %d", len(c.Name), 1<<16-1))
	}
	dst = le.AppendUint16(dst, uint16(len(c.Name)))
	return append(dst, c.Name...)
}

// appendOfHold encodes what is about a hold that is there.
func appendOfHold(dst []byte, c *Command) []byte {
	switch c.Op {
	case OpAmend:
		return appendAmend(dst, c)
	case OpForce:
		return appendForce(dst, c)
	default:
		return appendConvert(dst, c)
	}
}

// appendSessionCommand appends a command that is about a session and has no name.
func appendSessionCommand(dst []byte, c *Command) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Session))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(c.Epoch))
	if c.Op == OpLetGo {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(c.Lease))
	}
	return dst
}

func appendAmend(dst []byte, c *Command) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(c.Flags))
	dst = le.AppendUint64(dst, uint64(c.Session))
	dst = le.AppendUint32(dst, uint32(c.Epoch))
	dst = le.AppendUint64(dst, uint64(c.Request))
	dst = le.AppendUint64(dst, uint64(c.Target))
	dst = le.AppendUint64(dst, uint64(c.Token))
	return c.Terms.append(dst)
}

func appendForce(dst []byte, c *Command) []byte {
	le := binary.LittleEndian
	if len(c.Who) > 1<<8-1 || len(c.Value) > 1<<16-1 {
		panic(fmt.Sprintf("lockfsm: force: have %d and %d bytes of who and why, want at most %d and %d",
			len(c.Who), len(c.Value), 1<<8-1, 1<<16-1))
	}
	dst = le.AppendUint64(dst, uint64(c.Token))
	dst = append(append(dst, byte(len(c.Who))), c.Who...)
	return append(le.AppendUint16(dst, uint16(len(c.Value))), c.Value...)
}

func appendGate(dst []byte, c *Command) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(c.Flags), byte(c.Gate))
	dst = le.AppendUint64(dst, uint64(c.Session))
	dst = le.AppendUint32(dst, uint32(c.Epoch))
	dst = le.AppendUint64(dst, uint64(c.Request))
	dst = le.AppendUint64(dst, uint64(c.Done))
	dst = le.AppendUint32(dst, c.Count)
	return le.AppendUint32(dst, uint32(c.Lease))
}

func appendTake(dst []byte, c *Command) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(c.Flags), c.Weight)
	dst = le.AppendUint64(dst, uint64(c.Session))
	dst = le.AppendUint32(dst, uint32(c.Epoch))
	dst = le.AppendUint64(dst, uint64(c.Request))
	dst = le.AppendUint32(dst, uint32(c.Permits))
	dst = le.AppendUint32(dst, uint32(c.Capacity))
	if c.Flags&Detached != 0 {
		dst = le.AppendUint32(dst, uint32(c.Lease))
	}
	return dst
}

func appendConvert(dst []byte, c *Command) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(c.Flags))
	if c.Op == OpConvert {
		dst = append(dst, byte(c.Mode))
	}
	dst = le.AppendUint64(dst, uint64(c.Session))
	dst = le.AppendUint32(dst, uint32(c.Epoch))
	if c.Op == OpConvert {
		dst = le.AppendUint64(dst, uint64(c.Request))
	}
	dst = le.AppendUint64(dst, uint64(c.Target))
	return le.AppendUint64(dst, uint64(c.Token))
}

func appendAll(dst []byte, c *Command) []byte {
	le := binary.LittleEndian
	if c.Op == OpReleaseAll {
		dst = le.AppendUint64(dst, uint64(c.Session))
		dst = le.AppendUint32(dst, uint32(c.Epoch))
		dst = le.AppendUint64(dst, uint64(c.Request))
		return le.AppendUint64(dst, uint64(c.Token))
	}
	n := c.Parts.Len()
	if n > 1<<8-1 {
		panic(fmt.Sprintf("lockfsm: names of an acquire: have %d, want at most %d", n, 1<<8-1))
	}
	dst = append(dst, byte(c.Flags), c.Weight)
	dst = le.AppendUint64(dst, uint64(c.Session))
	dst = le.AppendUint32(dst, uint32(c.Epoch))
	dst = le.AppendUint64(dst, uint64(c.Request))
	dst = append(dst, byte(n))
	return append(dst, c.Parts...)
}

package wire

import (
	"encoding/binary"
	"strconv"
)

// GateKind is what sort of gate a name is. The numbers are those of the machine.
type GateKind uint8

// The kinds of gate. Zero is none of them: a lock, or a semaphore.
const (
	GateLatch   GateKind = 1 // opens when it has been counted down to zero
	GateEvent   GateKind = 2 // is open while it is set
	GateBarrier GateKind = 3 // opens for those who wait when they are enough

	gateEnd = 4
)

// String returns the name of the kind as it appears in texts, empty for none.
func (g GateKind) String() string {
	switch g {
	case 0:
		return ""
	case GateLatch:
		return "latch"
	case GateEvent:
		return "event"
	case GateBarrier:
		return "barrier"
	default:
		return "gate " + strconv.Itoa(int(g))
	}
}

// Gate is the body of the four requests at a gate. An Await waits until the gate
// lets it through, all who wait together; without FlagWait, which at a barrier it
// must have, it is refused as Held if the gate is shut. A CountDown counts a latch
// down, a SetGate gives a latch its count or sets an event, a ResetGate takes a
// latch away, sets an event back or breaks a barrier.
type Gate struct {
	Session uint64
	// Done is at most the request of this frame. The client has the answers to all
	// requests of the session below it, and will not ask for one again.
	Done  uint64
	Epoch uint32
	// Count is of an Await how many the barrier wants, of a CountDown how much is
	// counted, of a SetGate the count of the latch, and else zero.
	Count     uint32
	TTLMillis uint32 // of a SetGate: how long it stands, zero until it is reset
	Kind      GateKind
	Name      []byte // borrowed when decoded
}

// AppendGate appends a whole frame of one of the four kinds.
func AppendGate(dst []byte, k Kind, h Header, x *Gate) []byte {
	start := len(dst)
	dst = appendHeader(dst, k, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Done)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, x.Count)
	dst = binary.LittleEndian.AppendUint32(dst, x.TTLMillis)
	dst = append(dst, byte(x.Kind), 0)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeGate decodes the body of one of the four kinds.
func DecodeGate(body []byte) (Gate, error) {
	c := cursor{b: body}
	x := Gate{Session: c.u64(), Done: c.u64(), Epoch: c.u32(), Count: c.u32(), TTLMillis: c.u32(),
		Kind: GateKind(c.u8())}
	c.zero(1)
	if x.Kind == 0 || x.Kind >= gateEnd {
		c.fail(ErrField)
	}
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Gate")
}

// OtherKind is the token of a response with StatusOtherKind: what the name is in
// use as.
type OtherKind struct {
	Gate   GateKind // zero for a lock with modes or a semaphore
	Number uint32   // its capacity, what is left of its count, or how many it wants
}

// Token packs k into the token of a response.
func (k OtherKind) Token() uint64 { return uint64(k.Gate)<<32 | uint64(k.Number) }

// OtherKindOf unpacks the token of a response.
func OtherKindOf(token uint64) OtherKind {
	return OtherKind{Gate: GateKind(token >> 32), Number: uint32(token)}
}

package wire

import "encoding/binary"

// The requests of version 2.

// Take asks for permits of a semaphore, at once or, with FlagWait, in its turn.
// A Release gives them back.
type Take struct {
	Session   uint64 // or, with FlagDetached, an owner id
	Epoch     uint32
	TTLMillis uint32 // of a detached hold, else zero
	Permits   uint32 // at least 1, at most Capacity
	Capacity  uint32 // the same for all who use the semaphore
	Weight    uint8  // of the request in the queue; larger first
	Name      []byte // borrowed when decoded
}

// AppendTake appends a whole Take frame.
func AppendTake(dst []byte, h Header, x *Take) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindTake, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, x.TTLMillis)
	dst = binary.LittleEndian.AppendUint32(dst, x.Permits)
	dst = binary.LittleEndian.AppendUint32(dst, x.Capacity)
	dst = append(dst, x.Weight, 0)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeTake decodes the body of a Take.
func DecodeTake(body []byte) (Take, error) {
	c := cursor{b: body}
	x := Take{Session: c.u64(), Epoch: c.u32(), TTLMillis: c.u32(), Permits: c.u32(),
		Capacity: c.u32(), Weight: c.u8()}
	c.zero(1)
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Take")
}

// Enter asks for a lock which its owner may ask for again while it holds it. A
// Leave takes one Enter back.
type Enter struct {
	Session uint64
	Owner   uint64 // chosen by the client, not zero
	Epoch   uint32
	Mode    Mode   // the same in all requests of the owner
	Weight  uint8  // of the first request of the owner in the queue
	Name    []byte // borrowed when decoded
}

// AppendEnter appends a whole Enter frame.
func AppendEnter(dst []byte, h Header, x *Enter) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindEnter, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Owner)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = append(dst, byte(x.Mode), x.Weight)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeEnter decodes the body of an Enter.
func DecodeEnter(body []byte) (Enter, error) {
	c := cursor{b: body}
	x := Enter{Session: c.u64(), Owner: c.u64(), Epoch: c.u32(), Mode: c.mode(), Weight: c.u8()}
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Enter")
}

// Leave takes one Enter back: the lock comes free with the last of its owner.
type Leave struct {
	Session uint64
	Token   uint64
	Target  uint64 // the request id of the Enter
	Epoch   uint32
	Name    []byte // borrowed when decoded
}

// AppendLeave appends a whole Leave frame.
func AppendLeave(dst []byte, h Header, x *Leave) []byte {
	return appendLeave(dst, KindLeave, h, x)
}

// appendLeave appends a frame with the body of a Leave.
func appendLeave(dst []byte, k Kind, h Header, x *Leave) []byte {
	start := len(dst)
	dst = appendHeader(dst, k, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = binary.LittleEndian.AppendUint64(dst, x.Target)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = append(dst, 0, 0)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeLeave decodes the body of a Leave.
func DecodeLeave(body []byte) (Leave, error) { return decodeLeave(body, "Leave") }

// decodeLeave decodes the body of a Leave, or of a kind that looks like one.
func decodeLeave(body []byte, kind string) (Leave, error) {
	c := cursor{b: body}
	x := Leave{Session: c.u64(), Token: c.u64(), Target: c.u64(), Epoch: c.u32()}
	c.zero(2)
	x.Name = c.text(MaxNameBytes)
	return x, c.end(kind)
}

package wire

import "encoding/binary"

// The requests of version 3 for several names at once.

// MaxWants bounds the names of one AcquireAll.
const MaxWants = 64

const (
	acquireAllFixedBytes = 24 + askTermsBytes
	// wantFixedBytes is the least that a want takes.
	wantFixedBytes = 3
)

// Want is one name of an AcquireAll, and the mode in which it is wanted.
type Want struct {
	Mode Mode
	Name []byte // borrowed when decoded
}

// Wants are the names of an AcquireAll as they stand in the frame: mode, then
// name, one after another.
type Wants []byte

// Append adds a name. Requires: it is of at most MaxNameBytes.
func (w Wants) Append(x Want) Wants {
	return appendText(append(w, byte(x.Mode)), x.Name, MaxNameBytes)
}

// Each calls fn with every name, in order, until it returns false.
func (w Wants) Each(fn func(i int, x Want) bool) {
	c := cursor{b: w}
	for i := 0; len(c.b) > 0 && c.err == nil; i++ {
		x := Want{Mode: c.mode()}
		if x.Name = c.text(MaxNameBytes); !fn(i, x) {
			return
		}
	}
}

// Len counts the names.
func (w Wants) Len() int {
	n := 0
	w.Each(func(int, Want) bool {
		n++
		return true
	})
	return n
}

// AcquireAll asks for several locks of one group, for all of them or none, at
// once or, with FlagWait, in its turn.
type AcquireAll struct {
	Session uint64
	Owner   uint64 // who asks, as far as circles go; it enters nothing. Zero is nobody
	Epoch   uint32
	Weight  uint8 // of the request in every queue; larger first
	Terms   Terms // of each name, as in an Ask
	Wants   Wants // ascending by the bytes of their names; borrowed when decoded
}

// AppendAcquireAll appends a whole AcquireAll frame. Requires: 1 to MaxWants
// wants.
func AppendAcquireAll(dst []byte, h Header, x *AcquireAll) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindAcquireAll, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Owner)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = appendTerms(append(dst, x.Weight, 0), &x.Terms)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(x.Wants.Len()))
	return finish(append(dst, x.Wants...), start)
}

// DecodeAcquireAll decodes the body of an AcquireAll.
func DecodeAcquireAll(body []byte) (AcquireAll, error) {
	c := cursor{b: body}
	x := AcquireAll{Session: c.u64(), Owner: c.u64(), Epoch: c.u32(), Weight: c.u8()}
	c.zero(1)
	x.Terms = c.terms()
	n := c.count(MaxWants, wantFixedBytes)
	if c.err == nil && (n == 0 || x.Terms.Fields&^askTerms != 0) {
		c.fail(ErrField)
	}
	rest := c.b
	for range n {
		c.mode()
		c.text(MaxNameBytes)
	}
	if c.err == nil {
		end := len(rest) - len(c.b)
		x.Wants = Wants(rest[:end:end])
	}
	return x, c.end("AcquireAll")
}

// ReleaseAll gives back what is left of an AcquireAll.
type ReleaseAll struct {
	Session uint64
	Token   uint64 // of the first name
	Target  uint64 // the request id of the AcquireAll
	Epoch   uint32
}

// AppendReleaseAll appends a whole ReleaseAll frame.
func AppendReleaseAll(dst []byte, h Header, x *ReleaseAll) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindReleaseAll, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = binary.LittleEndian.AppendUint64(dst, x.Target)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	return finish(dst, start)
}

// DecodeReleaseAll decodes the body of a ReleaseAll.
func DecodeReleaseAll(body []byte) (ReleaseAll, error) {
	c := cursor{b: body}
	x := ReleaseAll{Session: c.u64(), Token: c.u64(), Target: c.u64(), Epoch: c.u32()}
	return x, c.end("ReleaseAll")
}

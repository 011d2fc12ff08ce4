package wire

import "encoding/binary"

// The answer to who would close a circle of owners who wait, of version 3.

// MaxSteps bounds the steps that a Circle lists.
const MaxSteps = 32

// CircleStep is one wait of a circle: an owner waits for Name, where the hold with
// Token, of the owner of the next step, is in the way.
type CircleStep struct {
	Session uint64
	Owner   uint64
	Token   uint64 // zero: the next step's wait stands before it in the queue
	Client  []byte // the name of the session's client; borrowed when decoded
	Name    []byte // borrowed when decoded
}

const (
	circleFixedBytes = 4
	stepFixedBytes   = 28
)

// Circle is the payload of the answer to a request with FlagDetect which is
// StatusDeadlock. The first step is that request; after the last comes the first.
type Circle struct {
	Count uint16 // of all steps, of which the first are listed
	Steps []CircleStep
}

// AppendCircle appends a Circle. Requires: at most MaxSteps steps.
func AppendCircle(dst []byte, x *Circle) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, x.Count)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Steps)))
	for i := range x.Steps {
		s := &x.Steps[i]
		dst = binary.LittleEndian.AppendUint64(dst, s.Session)
		dst = binary.LittleEndian.AppendUint64(dst, s.Owner)
		dst = binary.LittleEndian.AppendUint64(dst, s.Token)
		dst = appendText(dst, s.Client, MaxClientNameBytes)
		dst = appendText(dst, s.Name, MaxNameBytes)
	}
	return dst
}

// DecodeCircle decodes a Circle. ErrField if it counts fewer steps than it lists.
func DecodeCircle(payload []byte) (Circle, error) {
	c := cursor{b: payload}
	x := Circle{Count: c.u16()}
	x.Steps = make([]CircleStep, c.count(MaxSteps, stepFixedBytes))
	if int(x.Count) < len(x.Steps) {
		c.fail(ErrField)
	}
	for i := range x.Steps {
		s := &x.Steps[i]
		s.Session, s.Owner, s.Token = c.u64(), c.u64(), c.u64()
		s.Client = c.text(MaxClientNameBytes)
		s.Name = c.text(MaxNameBytes)
	}
	return x, c.end("Circle")
}

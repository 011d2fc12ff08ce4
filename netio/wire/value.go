package wire

import "encoding/binary"

// LockValue is the value of a lock: what those who write it leave for the next. It
// outlives its holders. Version 3.
type LockValue struct {
	Data  []byte // at most MaxValueBytes, empty for none; borrowed when decoded
	Token uint64 // of the hold that wrote it, when it did; zero for none
	Flags ValueFlags
}

// ValueFlags say more about a value.
type ValueFlags uint8

// ValueDoubtful: since it was written, a hold which could have written it has ended
// otherwise than by being given back.
const ValueDoubtful ValueFlags = 1 << 0

// valueFixedBytes is what a value takes beside its data, infoValued the flag of a
// LockInfo that has one at its end.
const (
	valueFixedBytes = 11
	infoValued      = 1 << 0
)

// AppendLockValue appends the payload of the grant of a request with FlagValue.
func AppendLockValue(dst []byte, x *LockValue) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = append(dst, byte(x.Flags))
	return appendText(dst, x.Data, MaxValueBytes)
}

// DecodeLockValue decodes it.
func DecodeLockValue(payload []byte) (LockValue, error) {
	c := cursor{b: payload}
	x := c.lockValue()
	return x, c.end("LockValue")
}

func (c *cursor) lockValue() LockValue {
	x := LockValue{Token: c.u64(), Flags: ValueFlags(c.u8()), Data: c.text(MaxValueBytes)}
	none := len(x.Data) == 0
	if x.Flags&^ValueDoubtful != 0 || none != (x.Token == 0) || none && x.Flags != 0 {
		c.fail(ErrField)
	}
	return x
}

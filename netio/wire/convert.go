package wire

import "encoding/binary"

// The requests of version 3 about a hold that changes its mode.

// Convert asks for another mode of a hold, at once or, with FlagWait, in its turn.
type Convert struct {
	Session uint64 // or, with FlagDetached, the owner id
	Token   uint64 // of the hold, as far as the client knows
	Target  uint64 // the request id of the Acquire or Enter that it came of
	Epoch   uint32
	Mode    Mode
	Name    []byte // borrowed when decoded
}

// AppendConvert appends a whole Convert frame.
func AppendConvert(dst []byte, h Header, x *Convert) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindConvert, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = binary.LittleEndian.AppendUint64(dst, x.Target)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = append(dst, byte(x.Mode), 0)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeConvert decodes the body of a Convert.
func DecodeConvert(body []byte) (Convert, error) {
	c := cursor{b: body}
	x := Convert{Session: c.u64(), Token: c.u64(), Target: c.u64(), Epoch: c.u32(), Mode: c.mode()}
	c.zero(1)
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Convert")
}

// GiveBack gives back what came of one Acquire or Enter, whatever a Convert made
// of it meanwhile. It has the fields of a Leave: Session is the owner id with
// FlagDetached, Token that of the hold as far as the client knows, and Target the
// request id of the Acquire or Enter.
type GiveBack Leave

// AppendGiveBack appends a whole GiveBack frame.
func AppendGiveBack(dst []byte, h Header, x *GiveBack) []byte {
	return appendLeave(dst, KindGiveBack, h, (*Leave)(x))
}

// DecodeGiveBack decodes the body of a GiveBack.
func DecodeGiveBack(body []byte) (GiveBack, error) {
	x, err := decodeLeave(body, "GiveBack")
	return GiveBack(x), err
}

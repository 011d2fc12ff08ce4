package wire

import "encoding/binary"

// LetGo asks that a session ends soon if the conn on which this is said ends: after
// so long without another conn of it, instead of its lease. It is said anew on every
// conn; the node that leads the group remembers it with the conn.
type LetGo struct {
	Session     uint64
	Epoch       uint32
	GraceMillis uint32 // zero is at once
}

// AppendLetGo appends a whole LetGo frame.
func AppendLetGo(dst []byte, h Header, x *LetGo) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindLetGo, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, x.GraceMillis)
	return finish(dst, start)
}

// DecodeLetGo decodes the body of a LetGo.
func DecodeLetGo(body []byte) (LetGo, error) {
	c := cursor{b: body}
	x := LetGo{Session: c.u64(), Epoch: c.u32(), GraceMillis: c.u32()}
	return x, c.end("LetGo")
}

package wire

import (
	"encoding/binary"
	"unicode/utf8"
)

// MaxReasonBytes bounds why a hold is ended by force; the least is one byte.
const MaxReasonBytes = 256

// Force ends the hold of a lock that has a token, whoever has it. It belongs to no
// session: sent again it ends nothing more, for tokens are not given out again.
type Force struct {
	Token  uint64
	Client []byte // the name of the client that asks, for the nodes' logs; borrowed when decoded
	Reason []byte // why: 1 to MaxReasonBytes of UTF-8, for the same; borrowed when decoded
	Name   []byte // borrowed when decoded
}

// AppendForce appends a whole Force frame.
func AppendForce(dst []byte, h Header, x *Force) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindForce, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = appendText(dst, x.Client, MaxClientNameBytes)
	dst = appendText(dst, x.Reason, MaxReasonBytes)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeForce decodes the body of a Force.
func DecodeForce(body []byte) (Force, error) {
	c := cursor{b: body}
	x := Force{Token: c.u64(), Client: c.text(MaxClientNameBytes), Reason: c.text(MaxReasonBytes)}
	if c.err == nil && (len(x.Reason) == 0 || !utf8.Valid(x.Reason)) {
		c.fail(ErrField)
	}
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Force")
}

package wire

import (
	"encoding/binary"
	"fmt"
)

const responseFixedBytes = 24

// Response ends a request: the one whose id and group its header carries.
type Response struct {
	Token       uint64 // of a grant, of the first holder, a session id, or a capacity
	Slot        uint64 // where the outcome stands in the group's log; zero if nowhere
	Leader      uint16 // whom to ask instead, or zero
	Position    uint16 // place in the queue, saturating
	RetryMillis uint16 // with StatusBusy: how long to wait
	Status      Status
	Payload     []byte // of the kind that doc.go has for the request; borrowed when decoded
}

// AppendResponse appends a whole Response frame.
func AppendResponse(dst []byte, h Header, x *Response) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindResponse, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = binary.LittleEndian.AppendUint64(dst, x.Slot)
	dst = binary.LittleEndian.AppendUint16(dst, x.Leader)
	dst = binary.LittleEndian.AppendUint16(dst, x.Position)
	dst = binary.LittleEndian.AppendUint16(dst, x.RetryMillis)
	dst = append(dst, byte(x.Status), 0)
	return finish(append(dst, x.Payload...), start)
}

// DecodeResponse decodes the body of a Response. ErrField on a status this
// version does not know.
func DecodeResponse(body []byte) (Response, error) {
	if len(body) < responseFixedBytes {
		return Response{}, fmt.Errorf("Response: %w", ErrTruncated)
	}
	x := Response{
		Token:       binary.LittleEndian.Uint64(body),
		Slot:        binary.LittleEndian.Uint64(body[8:]),
		Leader:      binary.LittleEndian.Uint16(body[16:]),
		Position:    binary.LittleEndian.Uint16(body[18:]),
		RetryMillis: binary.LittleEndian.Uint16(body[20:]),
		Status:      Status(body[22]),
		Payload:     body[responseFixedBytes:],
	}
	if !x.Status.Known() || body[23] != 0 {
		return Response{}, fmt.Errorf("Response: %w: status %d, reserved %d",
			ErrField, body[22], body[23])
	}
	return x, nil
}

const (
	sessionRefBytes = 10
	renewalBytes    = 11
)

// SessionRef names a session: ids count up per group.
type SessionRef struct {
	Session uint64
	Group   uint16
}

// Keepalive is the decoded body of a Keepalive; it borrows it.
type Keepalive struct{ b []byte }

// AppendKeepalive appends a whole Keepalive frame. Requires: at most MaxGroups
// sessions.
func AppendKeepalive(dst []byte, h Header, sessions []SessionRef) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindKeepalive, h)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(sessions)))
	for i := range sessions {
		dst = binary.LittleEndian.AppendUint16(dst, sessions[i].Group)
		dst = binary.LittleEndian.AppendUint64(dst, sessions[i].Session)
	}
	return finish(dst, start)
}

// DecodeKeepalive decodes the body of a Keepalive.
func DecodeKeepalive(body []byte) (Keepalive, error) {
	items, err := fixedItems(body, sessionRefBytes, "Keepalive")
	return Keepalive{items}, err
}

// fixedItems checks a count and the items of itemBytes after it.
func fixedItems(body []byte, itemBytes int, what string) ([]byte, error) {
	c := cursor{b: body}
	n := c.count(MaxGroups, itemBytes)
	items := c.take(n * itemBytes)
	return items, c.end(what)
}

// Len returns the number of sessions.
func (k Keepalive) Len() int { return len(k.b) / sessionRefBytes }

// At returns session i. Requires: 0 ≤ i < Len.
func (k Keepalive) At(i int) SessionRef {
	b := k.b[i*sessionRefBytes:]
	return SessionRef{
		Group:   binary.LittleEndian.Uint16(b),
		Session: binary.LittleEndian.Uint64(b[2:]),
	}
}

// Renewal is what became of one session in a keepalive.
type Renewal struct {
	Session uint64
	Group   uint16
	Code    Code
}

// KeepaliveAck is the decoded body of a KeepaliveAck; it borrows it.
type KeepaliveAck struct{ b []byte }

// AppendKeepaliveAck appends a whole KeepaliveAck frame; its header carries the
// request id of the keepalive. Requires: at most MaxGroups renewals.
func AppendKeepaliveAck(dst []byte, h Header, renewals []Renewal) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindKeepaliveAck, h)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(renewals)))
	for i := range renewals {
		dst = binary.LittleEndian.AppendUint16(dst, renewals[i].Group)
		dst = binary.LittleEndian.AppendUint64(dst, renewals[i].Session)
		dst = append(dst, byte(renewals[i].Code))
	}
	return finish(dst, start)
}

// DecodeKeepaliveAck decodes the body of a KeepaliveAck.
func DecodeKeepaliveAck(body []byte) (KeepaliveAck, error) {
	items, err := fixedItems(body, renewalBytes, "KeepaliveAck")
	return KeepaliveAck{items}, err
}

// Len returns the number of renewals.
func (k KeepaliveAck) Len() int { return len(k.b) / renewalBytes }

// At returns renewal i. Requires: 0 ≤ i < Len.
func (k KeepaliveAck) At(i int) Renewal {
	b := k.b[i*renewalBytes:]
	return Renewal{
		Group:   binary.LittleEndian.Uint16(b),
		Session: binary.LittleEndian.Uint64(b[2:]),
		Code:    Code(b[10]),
	}
}

// Moved says that this node no longer leads the group of the header. All that
// is in flight for the group on this conn is to be sent again, to the leader,
// with a raised epoch.
type Moved struct {
	Leader uint16 // zero if unknown
}

// AppendMoved appends a whole Moved frame.
func AppendMoved(dst []byte, h Header, x *Moved) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindMoved, h)
	return finish(binary.LittleEndian.AppendUint16(dst, x.Leader), start)
}

// DecodeMoved decodes the body of a Moved.
func DecodeMoved(body []byte) (Moved, error) {
	c := cursor{b: body}
	x := Moved{Leader: c.u16()}
	return x, c.end("Moved")
}

// Lost says that a hold in the group of the header ended unasked.
type Lost struct {
	Session uint64 // or owner id
	Token   uint64
	Reason  Reason
	Name    []byte // borrowed when decoded
}

// AppendLost appends a whole Lost frame.
func AppendLost(dst []byte, h Header, x *Lost) []byte {
	n := named{x.Session, x.Token, uint32(x.Reason), x.Name}
	return appendNamed(dst, KindLost, h, n)
}

// DecodeLost decodes the body of a Lost.
func DecodeLost(body []byte) (Lost, error) {
	n, err := decodeNamed(body, "Lost")
	if err == nil && n.small > 255 {
		err = fmt.Errorf("Lost: %w: reason %d", ErrField, n.small)
	}
	return Lost{n.session, n.number, Reason(n.small), n.name}, err
}

// SessionLost says that a session in the group of the header ended unasked, and
// with it all its holds.
type SessionLost struct {
	Session uint64
	Reason  Reason
}

// AppendSessionLost appends a whole SessionLost frame.
func AppendSessionLost(dst []byte, h Header, x *SessionLost) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindSessionLost, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	return finish(append(dst, byte(x.Reason)), start)
}

// DecodeSessionLost decodes the body of a SessionLost.
func DecodeSessionLost(body []byte) (SessionLost, error) {
	c := cursor{b: body}
	x := SessionLost{Session: c.u64(), Reason: Reason(c.u8())}
	return x, c.end("SessionLost")
}

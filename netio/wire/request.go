package wire

import (
	"encoding/binary"
	"fmt"
)

// OpenSession asks a group for a session. It is answered with the session id in
// the token field.
type OpenSession struct {
	Nonce       Nonce  // finds the session again if the answer was lost
	Epoch       uint32 // of the client in this group
	LeaseMillis uint32
	Name        []byte // of the client; borrowed when decoded
}

// AppendOpenSession appends a whole OpenSession frame.
func AppendOpenSession(dst []byte, h Header, x *OpenSession) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindOpenSession, h)
	dst = append(dst, x.Nonce[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, x.LeaseMillis)
	dst = appendText(dst, x.Name, MaxClientNameBytes)
	return finish(dst, start)
}

// DecodeOpenSession decodes the body of an OpenSession.
func DecodeOpenSession(body []byte) (OpenSession, error) {
	c := cursor{b: body}
	var x OpenSession
	copy(x.Nonce[:], c.take(len(x.Nonce)))
	x.Epoch, x.LeaseMillis = c.u32(), c.u32()
	x.Name = c.text(MaxClientNameBytes)
	return x, c.end("OpenSession")
}

// CloseSession ends a session and releases all it holds and waits for.
type CloseSession struct {
	Session uint64
	Epoch   uint32
}

// AppendCloseSession appends a whole CloseSession frame.
func AppendCloseSession(dst []byte, h Header, x *CloseSession) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindCloseSession, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	return finish(dst, start)
}

// DecodeCloseSession decodes the body of a CloseSession.
func DecodeCloseSession(body []byte) (CloseSession, error) {
	c := cursor{b: body}
	x := CloseSession{Session: c.u64(), Epoch: c.u32()}
	return x, c.end("CloseSession")
}

// Acquire asks for a lock, at once or, with FlagWait, in its turn.
type Acquire struct {
	Session   uint64 // or, with FlagDetached, an owner id
	Epoch     uint32
	TTLMillis uint32 // of a detached hold, else zero
	Mode      Mode
	Weight    uint8  // of the request in the queue; larger first
	Name      []byte // borrowed when decoded
}

const acquireFixedBytes = 20

// AppendAcquire appends a whole Acquire frame.
func AppendAcquire(dst []byte, h Header, x *Acquire) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindAcquire, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, x.TTLMillis)
	dst = append(dst, byte(x.Mode), x.Weight)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeAcquire decodes the body of an Acquire.
func DecodeAcquire(body []byte) (Acquire, error) {
	if len(body) < acquireFixedBytes {
		return Acquire{}, fmt.Errorf("Acquire: %w", ErrTruncated)
	}
	x := Acquire{
		Session:   binary.LittleEndian.Uint64(body),
		Epoch:     binary.LittleEndian.Uint32(body[8:]),
		TTLMillis: binary.LittleEndian.Uint32(body[12:]),
		Mode:      Mode(body[16]),
		Weight:    body[17],
	}
	if x.Mode >= modeEnd {
		return Acquire{}, fmt.Errorf("Acquire: %w: mode %d", ErrField, x.Mode)
	}
	var err error
	x.Name, err = lastName(body[18:], "Acquire")
	return x, err
}

// lastName reads the name that ends a body.
func lastName(b []byte, what string) ([]byte, error) {
	n := int(binary.LittleEndian.Uint16(b))
	b = b[2:]
	switch {
	case n > MaxNameBytes:
		return nil, fmt.Errorf("%s: name of %d bytes: %w", what, n, ErrTooLarge)
	case n > len(b):
		return nil, fmt.Errorf("%s: %w", what, ErrTruncated)
	case n < len(b):
		return nil, fmt.Errorf("%s: %w", what, ErrTrailing)
	}
	return b[:n:n], nil
}

// Release gives back one grant.
type Release struct {
	Session uint64 // or owner id
	Token   uint64
	Epoch   uint32
	Name    []byte // borrowed when decoded
}

// AppendRelease appends a whole Release frame.
func AppendRelease(dst []byte, h Header, x *Release) []byte {
	n := named{x.Session, x.Token, x.Epoch, x.Name}
	return appendNamed(dst, KindRelease, h, n)
}

// DecodeRelease decodes the body of a Release.
func DecodeRelease(body []byte) (Release, error) {
	n, err := decodeNamed(body, "Release")
	return Release{n.session, n.number, n.small, n.name}, err
}

// Cancel gives up a request, whatever became of it.
type Cancel struct {
	Session uint64
	Target  uint64 // the request id of the Acquire
	Epoch   uint32
	Name    []byte // borrowed when decoded
}

// AppendCancel appends a whole Cancel frame.
func AppendCancel(dst []byte, h Header, x *Cancel) []byte {
	n := named{x.Session, x.Target, x.Epoch, x.Name}
	return appendNamed(dst, KindCancel, h, n)
}

// DecodeCancel decodes the body of a Cancel.
func DecodeCancel(body []byte) (Cancel, error) {
	n, err := decodeNamed(body, "Cancel")
	return Cancel{n.session, n.number, n.small, n.name}, err
}

// RenewHold gives a detached hold a new time to live, from now.
type RenewHold struct {
	Session   uint64 // the owner id
	Token     uint64
	TTLMillis uint32
	Name      []byte // borrowed when decoded
}

// AppendRenewHold appends a whole RenewHold frame.
func AppendRenewHold(dst []byte, h Header, x *RenewHold) []byte {
	n := named{x.Session, x.Token, x.TTLMillis, x.Name}
	return appendNamed(dst, KindRenewHold, h, n)
}

// DecodeRenewHold decodes the body of a RenewHold.
func DecodeRenewHold(body []byte) (RenewHold, error) {
	n, err := decodeNamed(body, "RenewHold")
	return RenewHold{n.session, n.number, n.small, n.name}, err
}

// named is the common shape of Release, Cancel and RenewHold.
type named struct {
	session uint64
	number  uint64
	small   uint32
	name    []byte
}

const namedFixedBytes = 24

func appendNamed(dst []byte, k Kind, h Header, x named) []byte {
	start := len(dst)
	dst = appendHeader(dst, k, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.session)
	dst = binary.LittleEndian.AppendUint64(dst, x.number)
	dst = binary.LittleEndian.AppendUint32(dst, x.small)
	dst = append(dst, 0, 0)
	dst = appendText(dst, x.name, MaxNameBytes)
	return finish(dst, start)
}

func decodeNamed(body []byte, what string) (named, error) {
	if len(body) < namedFixedBytes {
		return named{}, fmt.Errorf("%s: %w", what, ErrTruncated)
	}
	if body[20]|body[21] != 0 {
		return named{}, fmt.Errorf("%s: %w: reserved bytes", what, ErrField)
	}
	x := named{
		session: binary.LittleEndian.Uint64(body),
		number:  binary.LittleEndian.Uint64(body[8:]),
		small:   binary.LittleEndian.Uint32(body[16:]),
	}
	var err error
	x.name, err = lastName(body[22:], what)
	return x, err
}

// Get asks for what a group knows of one lock.
type Get struct {
	Name []byte // borrowed when decoded
}

// AppendGet appends a whole Get frame.
func AppendGet(dst []byte, h Header, x *Get) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindGet, h)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeGet decodes the body of a Get.
func DecodeGet(body []byte) (Get, error) {
	c := cursor{b: body}
	x := Get{Name: c.text(MaxNameBytes)}
	return x, c.end("Get")
}

// List asks a group for its locks with a prefix, in the order of their bytes.
type List struct {
	Limit  uint16 // of entries; zero is MaxPage; the node may return fewer, at most MaxListPage
	Prefix []byte // borrowed when decoded
	After  []byte // the last name of the page before, empty for the first
}

// AppendList appends a whole List frame.
func AppendList(dst []byte, h Header, x *List) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindList, h)
	dst = binary.LittleEndian.AppendUint16(dst, x.Limit)
	dst = appendText(dst, x.Prefix, MaxNameBytes)
	dst = appendText(dst, x.After, MaxNameBytes)
	return finish(dst, start)
}

// DecodeList decodes the body of a List.
func DecodeList(body []byte) (List, error) {
	c := cursor{b: body}
	x := List{Limit: c.u16(), Prefix: c.text(MaxNameBytes), After: c.text(MaxNameBytes)}
	return x, c.end("List")
}

// AppendStatus appends a whole Status frame, which has no body.
func AppendStatus(dst []byte, h Header) []byte {
	start := len(dst)
	return finish(appendHeader(dst, KindStatus, h), start)
}

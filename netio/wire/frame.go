package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Version is the protocol version this package writes; MinVersion the oldest
// it still speaks. VersionKinds is the first with semaphores and owners: Take,
// Enter, Leave, FlagVersion2 and the statuses from StatusOtherKind on. VersionWhole
// is the first with what else a lock service has: the kinds from 15 on.
const (
	Version      uint16 = 3
	MinVersion   uint16 = 1
	VersionKinds uint16 = 2
	VersionWhole uint16 = 3
)

// Kind says what a client frame is. Numbers are append-only; requests are
// below 128, what a node sends is from 128 up.
type Kind uint8

// Frames from client to node.
const (
	KindHello        Kind = 1
	KindOpenSession  Kind = 2
	KindCloseSession Kind = 3
	KindAcquire      Kind = 4
	KindRelease      Kind = 5
	KindCancel       Kind = 6
	KindRenewHold    Kind = 7
	KindKeepalive    Kind = 8
	KindGet          Kind = 9
	KindList         Kind = 10
	KindStatus       Kind = 11
	KindTake         Kind = 12
	KindEnter        Kind = 13
	KindLeave        Kind = 14

	// Those from 15 on are of version 3.
	KindConvert     Kind = 15
	KindGiveBack    Kind = 16
	KindAsk         Kind = 17
	KindAmend       Kind = 18
	KindForce       Kind = 19
	KindAcquireAll  Kind = 20
	KindReleaseAll  Kind = 21
	KindWatch       Kind = 22
	KindUnwatch     Kind = 23
	KindWhy         Kind = 24
	KindTop         Kind = 25
	KindSeen        Kind = 26
	KindAwait       Kind = 28
	KindCountDown   Kind = 29
	KindSetGate     Kind = 30
	KindResetGate   Kind = 31
	KindCheckTokens Kind = 32
	KindFindSession Kind = 33
	KindLetGo       Kind = 34
	KindChase       Kind = 35
	KindHistory     Kind = 36
)

// Frames from node to client.
const (
	KindWelcome      Kind = 128
	KindRefused      Kind = 129
	KindResponse     Kind = 130
	KindKeepaliveAck Kind = 131
	KindMoved        Kind = 132
	KindLost         Kind = 133
	KindSessionLost  Kind = 134
	KindWatched      Kind = 135
	KindWatchSynced  Kind = 136
	KindWaiting      Kind = 137

	responseEnd = 138
)

// IsRequest reports whether k is a known kind that only a client sends.
func (k Kind) IsRequest() bool {
	return k >= KindHello && k <= KindSeen ||
		k.AtGate() || k == KindCheckTokens || k == KindFindSession || k == KindChase ||
		k == KindLetGo || k == KindHistory
}

// Acquires reports whether k asks for a lock.
func (k Kind) Acquires() bool {
	return k == KindAcquire || k == KindTake || k == KindEnter || k == KindAsk ||
		k == KindAcquireAll
}

// Asks reports whether k is a question to a group, which changes nothing. A Chase is
// one unless it asks a node.
func (k Kind) Asks() bool {
	return k == KindGet || k == KindList || k == KindCheckTokens || k == KindFindSession ||
		k == KindWatch || k == KindWhy || k == KindChase
}

// AtGate reports whether k is a request at a gate.
func (k Kind) AtGate() bool { return k >= KindAwait && k <= KindResetGate }

// Waits reports whether k may have to wait for its turn.
func (k Kind) Waits() bool { return k.Acquires() || k == KindConvert || k == KindAwait }

// Releases reports whether k gives back what was granted.
func (k Kind) Releases() bool {
	return k == KindRelease || k == KindLeave || k == KindGiveBack || k == KindReleaseAll
}

// String returns the name of k as it appears in logs and documents.
func (k Kind) String() string {
	switch k {
	case KindHello:
		return "Hello"
	case KindOpenSession:
		return "OpenSession"
	case KindCloseSession:
		return "CloseSession"
	case KindAcquire:
		return "Acquire"
	case KindRelease:
		return "Release"
	case KindCancel:
		return "Cancel"
	case KindRenewHold:
		return "RenewHold"
	case KindKeepalive:
		return "Keepalive"
	case KindGet:
		return "Get"
	case KindList:
		return "List"
	case KindStatus:
		return "Status"
	case KindTake:
		return "Take"
	case KindEnter:
		return "Enter"
	case KindLeave:
		return "Leave"
	case KindConvert:
		return "Convert"
	case KindGiveBack:
		return "GiveBack"
	case KindAcquireAll:
		return "AcquireAll"
	case KindReleaseAll:
		return "ReleaseAll"
	case KindCheckTokens:
		return "CheckTokens"
	case KindFindSession:
		return "FindSession"
	case KindLetGo:
		return "LetGo"
	case KindAsk:
		return "Ask"
	case KindAmend:
		return "Amend"
	case KindForce:
		return "Force"
	case KindAwait:
		return "Await"
	case KindCountDown:
		return "CountDown"
	case KindSetGate:
		return "SetGate"
	case KindResetGate:
		return "ResetGate"
	case KindChase:
		return "Chase"
	case KindHistory:
		return "History"
	case KindWatch:
		return "Watch"
	case KindUnwatch:
		return "Unwatch"
	case KindWhy:
		return "Why"
	case KindTop:
		return "Top"
	case KindSeen:
		return "Seen"
	case KindWelcome:
		return "Welcome"
	case KindRefused:
		return "Refused"
	case KindResponse:
		return "Response"
	case KindKeepaliveAck:
		return "KeepaliveAck"
	case KindMoved:
		return "Moved"
	case KindLost:
		return "Lost"
	case KindSessionLost:
		return "SessionLost"
	case KindWatched:
		return "Watched"
	case KindWatchSynced:
		return "WatchSynced"
	case KindWaiting:
		return "Waiting"
	default:
		return "kind " + strconv.Itoa(int(k))
	}
}

// Flags qualify a frame; bits a kind does not define are zero.
type Flags uint8

// The flags of Acquire, Take, Enter, Ask and Convert. An Await has FlagWait; Get and
// List have FlagVersion2 and FlagVersion3 too, and a Status the latter.
const (
	// FlagWait: queue if the lock cannot be granted at once.
	FlagWait Flags = 1 << 0
	// FlagDetached: the hold lives by its own time to live, without a session.
	// The session field is then an owner id with DetachedOwner set.
	FlagDetached Flags = 1 << 1
	// FlagDetails: add a LockInfo to a StatusHeld response; of a CheckTokens, say what
	// is left of max holds.
	FlagDetails Flags = 1 << 2
	// FlagVersion2: answer as version 2 does, in status and payload. Requires: a
	// conn of version 2.
	FlagVersion2 Flags = 1 << 3
	// FlagVersion3: answer as version 3 does, in status and payload. Requires: a
	// conn of version 3.
	FlagVersion3 Flags = 1 << 4
	// FlagDetect: of an Acquire, Take or Enter that waits, an Ask that is one, an
	// AcquireAll and a Convert. Its owner, of a Convert that of the hold, gives nothing
	// back meanwhile; refuse it if it would wait in a circle of such, with a Circle.
	// Requires: a conn of version 3.
	FlagDetect Flags = 1 << 5
	// FlagValue: of an Acquire or Enter, and an Ask that is one. The payload of a grant
	// is the LockValue of the lock. Requires: FlagVersion3.
	FlagValue Flags = 1 << 6
)

// DetachedOwner is the bit that tells an owner id, which a client draws at
// random, from a session id, which a group counts up.
const DetachedOwner uint64 = 1 << 63

// HeaderBytes is the size of the header of a client frame.
const HeaderBytes = 16

// minLength is the least value of a length field: a header and no body.
const minLength = HeaderBytes - 4

// Header is the head of every client frame. An AppendX function writes the
// length and the kind itself; the other fields are the caller's.
type Header struct {
	Kind    Kind
	Flags   Flags
	Group   uint16
	Request uint64 // chosen by the client; zero in what no one asked for
}

// Version returns the version in which a request wants to be answered.
func (h Header) Version() uint16 {
	if h.Kind > KindLeave && h.Kind < KindWelcome || h.Flags&FlagVersion3 != 0 {
		return VersionWhole
	}
	if h.Kind >= KindTake && h.Kind <= KindLeave || h.Flags&FlagVersion2 != 0 {
		return VersionKinds
	}
	return MinVersion
}

// FrameBytes returns the size of the frame that b begins with, header
// included, or zero if b is too short to tell. ErrTooLarge if it exceeds limit,
// ErrTruncated if its length leaves no room for a header; both as soon as four
// bytes are there.
func FrameBytes(b []byte, limit int) (int, error) {
	if len(b) < 4 {
		return 0, nil
	}
	length := binary.LittleEndian.Uint32(b)
	if length < minLength {
		return 0, fmt.Errorf("%w: frame length %d, least %d", ErrTruncated, length, minLength)
	}
	if uint64(length)+4 > uint64(limit) {
		return 0, fmt.Errorf("%w: frame of %d bytes, limit %d",
			ErrTooLarge, uint64(length)+4, limit)
	}
	return int(length) + 4, nil
}

// Parse splits one whole frame into header and body. The body borrows frame.
// ErrTruncated or ErrTrailing if the length does not say len(frame).
func Parse(frame []byte) (Header, []byte, error) {
	if len(frame) < HeaderBytes {
		return Header{}, nil, fmt.Errorf("%w: frame of %d bytes", ErrTruncated, len(frame))
	}
	length := uint64(binary.LittleEndian.Uint32(frame)) + 4
	if length > uint64(len(frame)) {
		return Header{}, nil, fmt.Errorf("%w: frame of %d bytes says %d",
			ErrTruncated, len(frame), length)
	}
	if length < uint64(len(frame)) {
		return Header{}, nil, fmt.Errorf("%w: frame of %d bytes says %d",
			ErrTrailing, len(frame), length)
	}
	return Header{
		Kind:    Kind(frame[4]),
		Flags:   Flags(frame[5]),
		Group:   binary.LittleEndian.Uint16(frame[6:]),
		Request: binary.LittleEndian.Uint64(frame[8:]),
	}, frame[HeaderBytes:], nil
}

// appendHeader begins a frame of kind k; finish patches its length.
func appendHeader(dst []byte, k Kind, h Header) []byte {
	dst = append(dst, 0, 0, 0, 0, byte(k), byte(h.Flags))
	dst = binary.LittleEndian.AppendUint16(dst, h.Group)
	return binary.LittleEndian.AppendUint64(dst, h.Request)
}

// finish writes the length of the frame that begins at start.
func finish(dst []byte, start int) []byte {
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

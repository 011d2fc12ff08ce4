package wire

import "encoding/binary"

// The question what a session has, of version 3.

// MaxFound bounds the claims of one SessionClaims.
const MaxFound = 256

// FindSession asks for a session by the nonce with which it was opened, and for
// what it has: for a client that was started again.
type FindSession struct {
	Nonce Nonce
	After uint64 // the request id of the last claim of the page before, or zero
}

// AppendFindSession appends a whole FindSession frame.
func AppendFindSession(dst []byte, h Header, x *FindSession) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindFindSession, h)
	dst = append(dst, x.Nonce[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, x.After)
	return finish(dst, start)
}

// DecodeFindSession decodes the body of a FindSession.
func DecodeFindSession(body []byte) (FindSession, error) {
	c := cursor{b: body}
	var x FindSession
	copy(x.Nonce[:], c.take(len(x.Nonce)))
	x.After = c.u64()
	return x, c.end("FindSession")
}

// Claim is a hold or a wait of a session.
type Claim struct {
	Request  uint64 // by which it was asked for
	Token    uint64 // zero of a wait
	Owner    uint64 // who may enter again; zero is nobody
	Permits  uint32 // of a semaphore, else zero
	Capacity uint32
	Mode     Mode
	Flags    ClaimFlags
	Name     []byte // borrowed when decoded
}

// ClaimFlags say what is rare of a Claim; append-only.
type ClaimFlags uint8

const (
	// ClaimMaxHold: the hold has a max hold. A CheckTokens says what is left of it.
	ClaimMaxHold ClaimFlags = 1 << 0
	// ClaimPart: it was asked for with others, by an AcquireAll. No Convert changes it.
	ClaimPart ClaimFlags = 1 << 1

	knownClaims = ClaimMaxHold | ClaimPart
)

const claimBytes = 36

// SessionClaims is the payload of the answer to a FindSession.
type SessionClaims struct {
	Session     uint64
	Epoch       uint32 // that it has seen
	LeaseMillis uint32
	More        More
	Claims      []Claim
}

// AppendSessionClaims appends the payload of the answer to a FindSession.
// Requires: at most MaxFound claims.
func AppendSessionClaims(dst []byte, x *SessionClaims) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, x.LeaseMillis)
	dst = append(dst, byte(x.More), 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Claims)))
	for i := range x.Claims {
		y := &x.Claims[i]
		dst = binary.LittleEndian.AppendUint64(dst, y.Request)
		dst = binary.LittleEndian.AppendUint64(dst, y.Token)
		dst = binary.LittleEndian.AppendUint64(dst, y.Owner)
		dst = binary.LittleEndian.AppendUint32(dst, y.Permits)
		dst = binary.LittleEndian.AppendUint32(dst, y.Capacity)
		dst = append(dst, byte(y.Mode), byte(y.Flags))
		dst = appendText(dst, y.Name, MaxNameBytes)
	}
	return dst
}

// DecodeSessionClaims decodes the payload of the answer to a FindSession.
func DecodeSessionClaims(payload []byte) (SessionClaims, error) {
	c := cursor{b: payload}
	x := SessionClaims{Session: c.u64(), Epoch: c.u32(), LeaseMillis: c.u32(), More: More(c.u8())}
	c.zero(1)
	if x.More > MorePages {
		c.fail(ErrField)
	}
	x.Claims = make([]Claim, c.count(MaxFound, claimBytes))
	for i := range x.Claims {
		y := &x.Claims[i]
		y.Request, y.Token, y.Owner = c.u64(), c.u64(), c.u64()
		y.Permits, y.Capacity = c.u32(), c.u32()
		y.Mode = c.mode()
		if y.Flags = ClaimFlags(c.u8()); y.Flags&^knownClaims != 0 {
			c.fail(ErrField)
		}
		y.Name = c.text(MaxNameBytes)
	}
	return x, c.end("SessionClaims")
}

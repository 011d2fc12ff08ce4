package wire

import "encoding/binary"

// The question whether tokens are in force, of version 3.

// MaxChecks bounds the tokens of one CheckTokens.
const MaxChecks = 1000

const (
	tokenRefBytes   = 10
	tokenStateBytes = 10
)

// TokenRef names one grant: a token of a name.
type TokenRef struct {
	Token uint64
	Name  []byte // borrowed when decoded
}

// CheckTokens asks whether tokens are those of present holds. All names belong
// to the group of the header.
type CheckTokens struct {
	refs []byte // as on the wire, checked when decoded
	n    int
}

// AppendCheckTokens appends a whole CheckTokens frame. Requires: 1 to MaxChecks
// refs, and a frame within the limit of the cluster.
func AppendCheckTokens(dst []byte, h Header, refs []TokenRef) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindCheckTokens, h)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(refs)))
	for i := range refs {
		dst = binary.LittleEndian.AppendUint64(dst, refs[i].Token)
		dst = appendText(dst, refs[i].Name, MaxNameBytes)
	}
	return finish(dst, start)
}

// DecodeCheckTokens decodes the body of a CheckTokens.
func DecodeCheckTokens(body []byte) (CheckTokens, error) {
	c := cursor{b: body}
	x := CheckTokens{n: c.count(MaxChecks, tokenRefBytes)}
	if c.err == nil && x.n == 0 {
		c.fail(ErrField)
	}
	x.refs = c.b
	for range x.n {
		c.u64()
		c.text(MaxNameBytes)
	}
	return x, c.end("CheckTokens")
}

// Len returns how many tokens are asked about.
func (x *CheckTokens) Len() int { return x.n }

// Each calls fn with every token asked about, in order, until it returns false.
func (x *CheckTokens) Each(fn func(i int, ref TokenRef) bool) {
	c := cursor{b: x.refs}
	for i := range x.n {
		ref := TokenRef{Token: c.u64()}
		ref.Name = c.text(MaxNameBytes)
		if !fn(i, ref) {
			return
		}
	}
}

// Standing says whether a token is that of a present hold.
type Standing uint8

// The two answers; append-only.
const (
	TokenStale   Standing = 0 // no present hold has it, be it of the past or of none
	TokenCurrent Standing = 1 // a present hold has it

	standingEnd = 2
)

// TokenState is the answer to one TokenRef.
type TokenState struct {
	// Newest is the largest token of a present hold of the name, zero if nobody
	// holds it.
	Newest   uint64
	Standing Standing
	// LeftMillis is for how much longer the hold may last, if it is current and has a
	// max hold, else NoMaxHold. Only in the answer to a question with FlagDetails.
	LeftMillis uint32
}

// NoMaxHold stands for a hold that ends by no max hold.
const NoMaxHold uint32 = 1<<32 - 1

// TokenStates is the payload of the answer to a CheckTokens: the states of the
// first tokens asked about, at least of one.
type TokenStates struct {
	States []TokenState
}

// AppendTokenStates appends the payload of the answer to a CheckTokens.
// Requires: at most MaxChecks states.
func AppendTokenStates(dst []byte, x *TokenStates) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.States)))
	for i := range x.States {
		dst = binary.LittleEndian.AppendUint64(dst, x.States[i].Newest)
		dst = append(dst, byte(x.States[i].Standing), 0)
	}
	return dst
}

// AppendTokensLeft is AppendTokenStates for the answer to a question with
// FlagDetails.
func AppendTokensLeft(dst []byte, x *TokenStates) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.States)))
	for i := range x.States {
		dst = binary.LittleEndian.AppendUint64(dst, x.States[i].Newest)
		dst = append(dst, byte(x.States[i].Standing), 0)
		dst = binary.LittleEndian.AppendUint32(dst, x.States[i].LeftMillis)
	}
	return dst
}

// DecodeTokensLeft decodes what AppendTokensLeft wrote.
func DecodeTokensLeft(payload []byte) (TokenStates, error) {
	c := cursor{b: payload}
	x := TokenStates{States: make([]TokenState, c.count(MaxChecks, tokenStateBytes+4))}
	for i := range x.States {
		c.tokenState(&x.States[i])
		x.States[i].LeftMillis = c.u32()
	}
	return x, c.end("TokenStates")
}

// tokenState reads what every TokenState has.
func (c *cursor) tokenState(s *TokenState) {
	if s.Newest, s.Standing = c.u64(), Standing(c.u8()); s.Standing >= standingEnd {
		c.fail(ErrField)
	}
	c.zero(1)
}

// DecodeTokenStates decodes the payload of the answer to a CheckTokens.
func DecodeTokenStates(payload []byte) (TokenStates, error) {
	c := cursor{b: payload}
	x := TokenStates{States: make([]TokenState, c.count(MaxChecks, tokenStateBytes))}
	for i := range x.States {
		c.tokenState(&x.States[i])
	}
	return x, c.end("TokenStates")
}

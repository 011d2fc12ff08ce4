package wire

import (
	"encoding/binary"
	"fmt"
)

// Terms are what an Ask says beyond an Acquire, Take or Enter, and an AcquireAll of each
// of its names, and what an Amend changes.
type Terms struct {
	Fields  TermFields // which of the others are there
	Payload []byte     // at most MaxPayloadBytes; borrowed when decoded
	Labels  []byte     // as AppendLabels writes them; borrowed when decoded
	// MaxHoldMillis is how long after its grant the hold ends by itself. Not in an
	// Amend.
	MaxHoldMillis uint32
	// MinHoldMillis is how long after its grant the lock stays taken at least,
	// DelayMillis for how long it does if the hold is lost. Not in an Amend.
	MinHoldMillis, DelayMillis uint32
	// Value is that of the lock, at most MaxValueBytes, empty to take it away. Only in an
	// Amend; borrowed when decoded.
	Value []byte
}

// TermFields is a set of fields of Terms. The bits are those of the machine.
type TermFields uint16

// The fields.
const (
	TermPayload TermFields = 1 << 0
	TermLabels  TermFields = 1 << 1
	TermMaxHold TermFields = 1 << 2
	TermMinHold TermFields = 1 << 3
	TermDelay   TermFields = 1 << 4
	TermValue   TermFields = 1 << 5

	askTerms   = TermPayload | TermLabels | TermMaxHold | TermMinHold | TermDelay
	knownTerms = askTerms | TermValue

	// askTermsBytes is the most that the terms of a request take.
	askTermsBytes = 2 + 2 + MaxPayloadBytes + 2 + MaxLabelBytes + 3*4
)

func appendTerms(dst []byte, t *Terms) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t.Fields))
	if t.Fields&TermPayload != 0 {
		dst = appendText(dst, t.Payload, MaxPayloadBytes)
	}
	if t.Fields&TermLabels != 0 {
		dst = appendText(dst, t.Labels, MaxLabelBytes)
	}
	if t.Fields&TermMaxHold != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, t.MaxHoldMillis)
	}
	if t.Fields&TermMinHold != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, t.MinHoldMillis)
	}
	if t.Fields&TermDelay != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, t.DelayMillis)
	}
	if t.Fields&TermValue != 0 {
		dst = appendText(dst, t.Value, MaxValueBytes)
	}
	return dst
}

// terms reads terms, and refuses labels that do not decode.
func (c *cursor) terms() Terms {
	t := Terms{Fields: TermFields(c.u16())}
	if t.Fields&^knownTerms != 0 {
		c.fail(ErrField)
		return Terms{}
	}
	if t.Fields&TermPayload != 0 {
		t.Payload = c.text(MaxPayloadBytes)
	}
	if t.Fields&TermLabels != 0 {
		t.Labels = c.text(MaxLabelBytes)
		var room [MaxLabels]Label
		if _, err := DecodeLabels(room[:0], t.Labels); err != nil {
			c.fail(err)
		}
	}
	if t.Fields&TermMaxHold != 0 {
		t.MaxHoldMillis = c.u32()
	}
	if t.Fields&TermMinHold != 0 {
		t.MinHoldMillis = c.u32()
	}
	if t.Fields&TermDelay != 0 {
		t.DelayMillis = c.u32()
	}
	if t.Fields&TermValue != 0 {
		t.Value = c.text(MaxValueBytes)
	}
	return t
}

// Ask asks for a lock with terms: it is an Acquire, a Take or an Enter that has
// more to say. Fields of the two that it is not are zero.
type Ask struct {
	Kind      Kind   // KindAcquire, KindTake or KindEnter
	Session   uint64 // or, with FlagDetached, an owner id
	Owner     uint64 // of an Enter
	Epoch     uint32
	TTLMillis uint32 // of a detached hold, else zero
	Permits   uint32 // of a Take
	Capacity  uint32 // of a Take
	Mode      Mode   // of an Acquire and an Enter
	Weight    uint8
	Terms     Terms
	Name      []byte // borrowed when decoded
}

// AppendAsk appends a whole Ask frame.
func AppendAsk(dst []byte, h Header, x *Ask) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindAsk, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Owner)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, x.TTLMillis)
	dst = binary.LittleEndian.AppendUint32(dst, x.Permits)
	dst = binary.LittleEndian.AppendUint32(dst, x.Capacity)
	dst = append(dst, byte(x.Kind), byte(x.Mode), x.Weight, 0)
	dst = appendTerms(dst, &x.Terms)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeAsk decodes the body of an Ask.
func DecodeAsk(body []byte) (Ask, error) {
	c := cursor{b: body}
	x := Ask{Session: c.u64(), Owner: c.u64(), Epoch: c.u32(), TTLMillis: c.u32(),
		Permits: c.u32(), Capacity: c.u32(), Kind: Kind(c.u8()), Mode: c.mode(), Weight: c.u8()}
	c.zero(1)
	x.Terms = c.terms()
	x.Name = c.text(MaxNameBytes)
	take, enter := x.Kind == KindTake, x.Kind == KindEnter
	if !take && !enter && x.Kind != KindAcquire || !take && x.Permits|x.Capacity != 0 ||
		take && x.Mode != ModeNL || !enter && x.Owner != 0 || enter && x.TTLMillis != 0 ||
		x.Terms.Fields&^askTerms != 0 {
		c.fail(ErrField)
	}
	return x, c.end("Ask")
}

// Amend changes the data of a hold, or the value of its lock. An Amend whose request
// id is not larger than that of one which has had its effect has none, and is answered
// OK.
type Amend struct {
	Session uint64 // or, with FlagDetached, an owner id
	Target  uint64 // the request id of the acquire that the hold came of
	Token   uint64 // that the hold has or had
	Epoch   uint32
	Terms   Terms
	Name    []byte // borrowed when decoded
}

// AppendAmend appends a whole Amend frame.
func AppendAmend(dst []byte, h Header, x *Amend) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindAmend, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Target)
	dst = binary.LittleEndian.AppendUint64(dst, x.Token)
	dst = binary.LittleEndian.AppendUint32(dst, x.Epoch)
	dst = appendTerms(dst, &x.Terms)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeAmend decodes the body of an Amend.
func DecodeAmend(body []byte) (Amend, error) {
	c := cursor{b: body}
	x := Amend{Session: c.u64(), Target: c.u64(), Token: c.u64(), Epoch: c.u32()}
	x.Terms = c.terms()
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Amend")
}

// Label is one label of a hold.
type Label struct {
	Key   []byte // 1 to MaxLabelKeyBytes
	Value []byte // at most MaxLabelValueBytes
}

// AppendLabels appends labels as they stand in Terms and in a HolderData. It
// fails with ErrField if they are not in ascending order of their keys, each once,
// or beyond a bound; dst is then as it was.
func AppendLabels(dst []byte, labels []Label) ([]byte, error) {
	if len(labels) == 0 {
		return dst, nil
	}
	if len(labels) > MaxLabels {
		return dst, fmt.Errorf("%w: %d labels, at most %d", ErrField, len(labels), MaxLabels)
	}
	start := len(dst)
	dst = append(dst, byte(len(labels)))
	for i := range labels {
		l := &labels[i]
		if len(l.Key) > MaxLabelKeyBytes || len(l.Value) > MaxLabelValueBytes {
			return dst[:start], fmt.Errorf("%w: label %.80q of %d and %d bytes, at most %d and %d",
				ErrField, l.Key, len(l.Key), len(l.Value), MaxLabelKeyBytes, MaxLabelValueBytes)
		}
		dst = append(append(dst, byte(len(l.Key))), l.Key...)
		dst = append(append(dst, byte(len(l.Value))), l.Value...)
	}
	if _, err := DecodeLabels(nil, dst[start:]); err != nil {
		return dst[:start], err
	}
	return dst, nil
}

// DecodeLabels appends the labels that b holds to dst; they borrow b. No bytes are
// no labels. ErrField and others if b is not what AppendLabels writes.
func DecodeLabels(dst []Label, b []byte) ([]Label, error) {
	if len(b) == 0 {
		return dst, nil
	}
	c := cursor{b: b}
	n := int(c.u8())
	if n == 0 || n > MaxLabels || len(b) > MaxLabelBytes {
		return dst, fmt.Errorf("%w: %d labels in %d bytes", ErrField, n, len(b))
	}
	last := []byte(nil)
	for range n {
		key := c.take(int(c.u8()))
		value := c.take(int(c.u8()))
		if c.err == nil && (len(key) == 0 || len(key) > MaxLabelKeyBytes ||
			len(value) > MaxLabelValueBytes || last != nil && string(key) <= string(last)) {
			c.fail(fmt.Errorf("%w: label %q", ErrField, key))
		}
		last = key
		dst = append(dst, Label{key, value})
	}
	return dst, c.end("labels")
}

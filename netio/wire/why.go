package wire

import "encoding/binary"

// Why asks what stands before one request in the queue of a lock or, without one,
// before a request that came now.
type Why struct {
	Session uint64
	Target  uint64 // a request of that session, or zero
	Mode    Mode   // without a target, of the request that would come
	Name    []byte // borrowed when decoded
}

// AppendWhy appends a whole Why frame.
func AppendWhy(dst []byte, h Header, x *Why) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindWhy, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Session)
	dst = binary.LittleEndian.AppendUint64(dst, x.Target)
	dst = append(dst, byte(x.Mode), 0)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeWhy decodes the body of a Why.
func DecodeWhy(body []byte) (Why, error) {
	c := cursor{b: body}
	x := Why{Session: c.u64(), Target: c.u64(), Mode: c.mode()}
	c.zero(1)
	x.Name = c.text(MaxNameBytes)
	return x, c.end("Why")
}

// Top asks a node for the most contended of the locks it answers for.
type Top struct {
	Limit uint16 // zero is MaxPage
}

// AppendTop appends a whole Top frame.
func AppendTop(dst []byte, h Header, x *Top) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindTop, h)
	return finish(binary.LittleEndian.AppendUint16(dst, x.Limit), start)
}

// DecodeTop decodes the body of a Top.
func DecodeTop(body []byte) (Top, error) {
	c := cursor{b: body}
	x := Top{Limit: c.u16()}
	return x, c.end("Top")
}

// UnknownMillis stands for a length of time that is not known.
const UnknownMillis uint32 = 1<<32 - 1

// blockageBytes is what a Blockage has before its LockInfo.
const blockageBytes = 16

// Blockage is what a request waits for: the payload of a Why, and of a Waiting.
type Blockage struct {
	Position       uint32 // in the queue, from 1; zero if it neither waits nor would
	Samples        uint32 // holds of the lock whose lengths are known, at most 8
	UsualMillis    uint32 // the middle one of those
	EstimateMillis uint32 // until the grant, by that; UnknownMillis if there is none
	Info           LockInfo
}

// AppendBlockage appends the payload of a Why.
func AppendBlockage(dst []byte, x *Blockage) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, x.Position)
	dst = binary.LittleEndian.AppendUint32(dst, x.Samples)
	dst = binary.LittleEndian.AppendUint32(dst, x.UsualMillis)
	dst = binary.LittleEndian.AppendUint32(dst, x.EstimateMillis)
	return AppendLockInfo3(dst, &x.Info)
}

// DecodeBlockage decodes the payload of a Why.
func DecodeBlockage(payload []byte) (Blockage, error) {
	c := cursor{b: payload}
	x := Blockage{Position: c.u32(), Samples: c.u32(), UsualMillis: c.u32(),
		EstimateMillis: c.u32()}
	if c.err != nil {
		return x, c.end("Blockage")
	}
	var err error
	x.Info, err = DecodeLockInfo3(c.b)
	return x, err
}

// Waiting tells a Watch with ScopeWaiter how its request stands.
type Waiting struct {
	Slot uint64 // as of which it is so
	Blockage
}

// AppendWaiting appends a whole Waiting frame.
func AppendWaiting(dst []byte, h Header, x *Waiting) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindWaiting, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.Slot)
	return finish(AppendBlockage(dst, &x.Blockage), start)
}

// DecodeWaiting decodes the body of a Waiting.
func DecodeWaiting(body []byte) (Waiting, error) {
	c := cursor{b: body}
	x := Waiting{Slot: c.u64()}
	if c.err != nil {
		return x, c.end("Waiting")
	}
	var err error
	x.Blockage, err = DecodeBlockage(c.b)
	return x, err
}

const topEntryFixedBytes = 26

// TopEntry is one contended lock.
type TopEntry struct {
	Score       uint32 // requests that waited or were refused of late: halved every minute
	Waits       uint64 // requests that waited, since the node counts
	Refusals    uint64 // tries that were refused
	UsualMillis uint32 // how long a hold usually takes, or UnknownMillis
	Name        []byte // borrowed when decoded
}

// TopPage is the most contended locks of a node, most contended first.
type TopPage struct {
	Entries []TopEntry
}

// AppendTopPage appends the payload of a Top. Requires: at most MaxPage entries.
func AppendTopPage(dst []byte, x *TopPage) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Entries)))
	for i := range x.Entries {
		e := &x.Entries[i]
		dst = binary.LittleEndian.AppendUint32(dst, e.Score)
		dst = binary.LittleEndian.AppendUint64(dst, e.Waits)
		dst = binary.LittleEndian.AppendUint64(dst, e.Refusals)
		dst = binary.LittleEndian.AppendUint32(dst, e.UsualMillis)
		dst = appendText(dst, e.Name, MaxNameBytes)
	}
	return dst
}

// DecodeTopPage decodes the payload of a Top.
func DecodeTopPage(payload []byte) (TopPage, error) {
	c := cursor{b: payload}
	var x TopPage
	if n := c.count(MaxPage, topEntryFixedBytes); n > 0 {
		x.Entries = make([]TopEntry, n)
	}
	for i := range x.Entries {
		x.Entries[i] = TopEntry{Score: c.u32(), Waits: c.u64(), Refusals: c.u64(),
			UsualMillis: c.u32(), Name: c.text(MaxNameBytes)}
	}
	return x, c.end("TopPage")
}

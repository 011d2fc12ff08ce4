package wire

import "encoding/binary"

// History asks a node which holds of a lock it knows that ended, newest first. Times are
// of the clock of the node, in milliseconds since 1970.
type History struct {
	// FromMillis and ToMillis bound what is asked for: holds of which some part lies
	// between them, both included.
	FromMillis, ToMillis uint64
	// Block and Index say where to go on: those of the page before, or zero.
	Block uint64
	Index uint32
	Limit uint16 // zero is MaxPage
	Name  []byte // borrowed when decoded
}

// AppendHistory appends a whole History frame.
func AppendHistory(dst []byte, h Header, x *History) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindHistory, h)
	dst = binary.LittleEndian.AppendUint64(dst, x.FromMillis)
	dst = binary.LittleEndian.AppendUint64(dst, x.ToMillis)
	dst = binary.LittleEndian.AppendUint64(dst, x.Block)
	dst = binary.LittleEndian.AppendUint32(dst, x.Index)
	dst = binary.LittleEndian.AppendUint16(dst, x.Limit)
	dst = appendText(dst, x.Name, MaxNameBytes)
	return finish(dst, start)
}

// DecodeHistory decodes the body of a History.
func DecodeHistory(body []byte) (History, error) {
	c := cursor{b: body}
	x := History{FromMillis: c.u64(), ToMillis: c.u64(), Block: c.u64(), Index: c.u32(),
		Limit: c.u16()}
	x.Name = c.text(MaxNameBytes)
	return x, c.end("History")
}

// HoldEnd says how a hold ended. Numbers are append-only; a reader takes those that it
// does not know for other ends.
type HoldEnd uint8

// The ends.
const (
	EndReleased  HoldEnd = 1 // its holder gave it back
	EndClosed    HoldEnd = 2 // its session was closed by its client
	EndExpired   HoldEnd = 3 // the lease of its session ran out, or it was let go with its conn
	EndTTL       HoldEnd = 4 // it was detached, and its own time ran out
	EndMaxHold   HoldEnd = 5 // it had lasted as long as it may
	EndForced    HoldEnd = 6 // somebody else ended it
	EndConverted HoldEnd = 7 // it went on in another mode
	EndFreed     HoldEnd = 8 // it was over, and had stayed taken until then
)

// String returns the end in a word or two.
func (e HoldEnd) String() string {
	switch e {
	case EndReleased:
		return "released"
	case EndClosed:
		return "session closed"
	case EndExpired:
		return "session expired"
	case EndTTL:
		return "ttl over"
	case EndMaxHold:
		return "max hold over"
	case EndForced:
		return "forced"
	case EndConverted:
		return "converted"
	case EndFreed:
		return "freed"
	default:
		return "other"
	}
}

// PastFlags say more about a hold that ended.
type PastFlags uint8

// The flags of a hold that ended.
const (
	// PastDetached: it was detached; its session is the number of its owner.
	PastDetached PastFlags = 1 << 0
	// PastKept: what ended was a hold that was over and stayed taken.
	PastKept PastFlags = 1 << 1
	// PastStays: the lock stayed taken after it, for its min hold or delay.
	PastStays PastFlags = 1 << 2
	// PastMoved: it had been converted before; it begins with its first grant.
	PastMoved PastFlags = 1 << 3
)

const (
	pastFixedBytes        = 72
	spanBytes             = 36
	historyPageFixedBytes = 26
	// MaxSpans bounds the spans of a HistoryPage.
	MaxSpans = 64
)

// PastHold is one hold that ended. Slot and Index, which are the same on all nodes,
// name it among those of its group.
type PastHold struct {
	Slot  uint64 // in which it ended
	Index uint16 // among the holds that ended in the slot
	How   HoldEnd
	Flags PastFlags
	Mode  Mode
	To    Mode // in which a converted hold went on
	// Permits is of a semaphore, else zero; Owner who entered it, zero for nobody.
	Permits     uint32
	Session     uint64
	Token       uint64
	Owner       uint64
	StartMillis uint64 // since 1970
	EndMillis   uint64
	StartAbout  uint32 // it may have begun so many milliseconds later; UnknownMillis: earlier
	EndAbout    uint32 // the same of its end
	Client      []byte // the name its client gave; borrowed when decoded
	Who, Reason []byte // of a force; borrowed when decoded
}

// Span is a range of slots of which a node knows all holds that ended: those above
// After, up to To.
type Span struct {
	After, To             uint64
	AfterMillis, ToMillis uint64 // when they were, since 1970
	AboutMillis           uint32 // by how much AfterMillis may be too early
}

// HistoryPage is the payload of a History.
type HistoryPage struct {
	NowMillis uint64 // the clock of the node
	// Block and Index are where to go on, zero at the end.
	Block uint64
	Index uint32
	// Flags: HistoryDamaged.
	Flags HistoryFlags
	// Spans are what the node knows of the group, ascending, the newest MaxSpans.
	Spans []Span
	Holds []PastHold
}

// HistoryFlags say more about a HistoryPage.
type HistoryFlags uint8

// HistoryDamaged: a part of what the node kept could not be read. The spans leave it
// out.
const HistoryDamaged HistoryFlags = 1

// AppendHistoryPage appends the payload of a History. Requires: at most MaxSpans spans
// and MaxPage holds.
func AppendHistoryPage(dst []byte, x *HistoryPage) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, x.NowMillis)
	dst = le.AppendUint64(dst, x.Block)
	dst = le.AppendUint32(dst, x.Index)
	dst = append(dst, byte(x.Flags), 0)
	dst = le.AppendUint16(dst, uint16(len(x.Spans)))
	for i := range x.Spans {
		s := &x.Spans[i]
		dst = le.AppendUint64(dst, s.After)
		dst = le.AppendUint64(dst, s.To)
		dst = le.AppendUint64(dst, s.AfterMillis)
		dst = le.AppendUint64(dst, s.ToMillis)
		dst = le.AppendUint32(dst, s.AboutMillis)
	}
	dst = le.AppendUint16(dst, uint16(len(x.Holds)))
	for i := range x.Holds {
		p := &x.Holds[i]
		dst = le.AppendUint64(dst, p.Slot)
		dst = le.AppendUint16(dst, p.Index)
		dst = append(dst, byte(p.How), byte(p.Flags), byte(p.Mode), byte(p.To))
		dst = le.AppendUint32(dst, p.Permits)
		dst = le.AppendUint64(dst, p.Session)
		dst = le.AppendUint64(dst, p.Token)
		dst = le.AppendUint64(dst, p.Owner)
		dst = le.AppendUint64(dst, p.StartMillis)
		dst = le.AppendUint64(dst, p.EndMillis)
		dst = le.AppendUint32(dst, p.StartAbout)
		dst = le.AppendUint32(dst, p.EndAbout)
		dst = appendText(dst, p.Client, MaxClientNameBytes)
		dst = appendText(dst, p.Who, MaxClientNameBytes)
		dst = appendText(dst, p.Reason, MaxReasonBytes)
	}
	return dst
}

// DecodeHistoryPage decodes the payload of a History.
func DecodeHistoryPage(payload []byte) (HistoryPage, error) {
	c := cursor{b: payload}
	x := HistoryPage{NowMillis: c.u64(), Block: c.u64(), Index: c.u32(),
		Flags: HistoryFlags(c.u8())}
	c.zero(1)
	if n := c.count(MaxSpans, spanBytes); n > 0 {
		x.Spans = make([]Span, n)
	}
	for i := range x.Spans {
		x.Spans[i] = Span{After: c.u64(), To: c.u64(), AfterMillis: c.u64(), ToMillis: c.u64(),
			AboutMillis: c.u32()}
	}
	if n := c.count(MaxPage, pastFixedBytes); n > 0 {
		x.Holds = make([]PastHold, n)
	}
	for i := range x.Holds {
		x.Holds[i] = c.pastHold()
	}
	return x, c.end("HistoryPage")
}

func (c *cursor) pastHold() PastHold {
	p := PastHold{Slot: c.u64(), Index: c.u16(), How: HoldEnd(c.u8()), Flags: PastFlags(c.u8()),
		Mode: c.mode(), To: c.mode(), Permits: c.u32(), Session: c.u64(), Token: c.u64(),
		Owner: c.u64(), StartMillis: c.u64(), EndMillis: c.u64(), StartAbout: c.u32(),
		EndAbout: c.u32()}
	p.Client = c.text(MaxClientNameBytes)
	p.Who = c.text(MaxClientNameBytes)
	p.Reason = c.text(MaxReasonBytes)
	return p
}

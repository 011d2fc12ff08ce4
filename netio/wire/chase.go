package wire

import (
	"cmp"
	"encoding/binary"
)

// The question what owners wait for, of version 3: with it clients find circles of
// owners who wait that lead through several groups.

const (
	// MaxFlows bounds the owners that a Chase asks about.
	MaxFlows = 64
	// MaxChased bounds the waits that the answer lists.
	MaxChased = 32
	// MaxBlockers bounds what is listed in the way of one wait.
	MaxBlockers = 16
)

// ChaseScope says whom a Chase asks.
type ChaseScope uint8

// The scopes; append-only.
const (
	// ChaseNode asks a node, in no group, for all groups it leads, as it knows them.
	// What it says was so at some moment before the answer.
	ChaseNode ChaseScope = 0
	// ChaseGroup asks one group; the answer is as fresh as that to a Get.
	ChaseGroup ChaseScope = 1

	chaseScopeEnd = 2
)

// Flow is one who does one thing at a time: an owner of a client or, with owner zero,
// all of the client that names none. Client is the first half of the nonces of its
// sessions, in every group the same.
type Flow struct {
	Client uint64
	Owner  uint64
}

const flowBytes = 16

// Chase asks which requests with FlagDetect of these owners wait, and for what.
type Chase struct {
	Scope ChaseScope
	// After is zero or the Next of the answer to the same question, which this one goes
	// on from.
	After uint32
	Flows []Flow // 1 to MaxFlows
}

// AppendChase appends a whole Chase frame. Requires: at most MaxFlows owners.
func AppendChase(dst []byte, h Header, x *Chase) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindChase, h)
	dst = append(dst, byte(x.Scope), 0)
	dst = binary.LittleEndian.AppendUint32(dst, x.After)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Flows)))
	for _, f := range x.Flows {
		dst = appendFlow(dst, f)
	}
	return finish(dst, start)
}

func appendFlow(dst []byte, f Flow) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, f.Client)
	return binary.LittleEndian.AppendUint64(dst, f.Owner)
}

func (c *cursor) flow() Flow { return Flow{Client: c.u64(), Owner: c.u64()} }

// DecodeChase decodes the body of a Chase.
func DecodeChase(body []byte) (Chase, error) {
	c := cursor{b: body}
	x := Chase{Scope: ChaseScope(c.u8())}
	c.zero(1)
	x.After = c.u32()
	x.Flows = make([]Flow, c.count(MaxFlows, flowBytes))
	if x.Scope >= chaseScopeEnd || len(x.Flows) == 0 {
		c.fail(ErrField)
	}
	for i := range x.Flows {
		x.Flows[i] = c.flow()
	}
	return x, c.end("Chase")
}

// Blocker is what keeps a request waiting: a hold, or a request with FlagDetect that
// goes before it.
type Blocker struct {
	Flow    Flow
	Session uint64
	Request uint64 // by which it was asked for
	Token   uint64 // of a hold, zero of a request that waits
}

// ChasedWait is a request with FlagDetect that waits, and what is in its way. An
// AcquireAll is listed once for each name at which something is.
type ChasedWait struct {
	Flow     Flow
	Session  uint64
	Request  uint64
	Group    uint16
	Weight   uint8
	Client   []byte // the name of the session's client; borrowed when decoded
	Name     []byte // of the lock; borrowed when decoded
	Blockers []Blocker
	// Near counts the last of the Blockers, which are AcquireAlls that go before: this
	// request waits for each only until that is in turn for Name, whatever else it waits
	// for.
	Near uint8
}

const (
	chasedWaitFixedBytes = 42
	blockerBytes         = 40
	maxChasedBytes       = HeaderBytes + responseFixedBytes + 6 + MaxChased*
		(chasedWaitFixedBytes+MaxClientNameBytes+MaxNameBytes+MaxBlockers*blockerBytes)

	_ = uint(MaxFrameBytes - maxChasedBytes)
)

// Chased is the payload of the answer to a Chase.
type Chased struct {
	// Next is how many names at which these owners wait were gone past, if there was no
	// room or time for all; zero at the end. As names come and go one may be told twice
	// or not at all.
	Next  uint32
	Waits []ChasedWait
}

// AppendChased appends the payload of the answer to a Chase. Requires: at most
// MaxChased waits, with at most MaxBlockers each.
func AppendChased(dst []byte, x *Chased) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, x.Next)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Waits)))
	for i := range x.Waits {
		w := &x.Waits[i]
		dst = appendFlow(dst, w.Flow)
		dst = binary.LittleEndian.AppendUint64(dst, w.Session)
		dst = binary.LittleEndian.AppendUint64(dst, w.Request)
		dst = binary.LittleEndian.AppendUint16(dst, w.Group)
		dst = append(dst, w.Weight, w.Near)
		dst = appendText(dst, w.Client, MaxClientNameBytes)
		dst = appendText(dst, w.Name, MaxNameBytes)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(w.Blockers)))
		for _, b := range w.Blockers {
			dst = appendFlow(dst, b.Flow)
			dst = binary.LittleEndian.AppendUint64(dst, b.Session)
			dst = binary.LittleEndian.AppendUint64(dst, b.Request)
			dst = binary.LittleEndian.AppendUint64(dst, b.Token)
		}
	}
	return dst
}

// DecodeChased decodes the payload of the answer to a Chase. ErrField if more are near
// than are listed.
func DecodeChased(payload []byte) (Chased, error) {
	c := cursor{b: payload}
	x := Chased{Next: c.u32()}
	x.Waits = make([]ChasedWait, c.count(MaxChased, chasedWaitFixedBytes))
	for i := range x.Waits {
		w := &x.Waits[i]
		w.Flow, w.Session, w.Request = c.flow(), c.u64(), c.u64()
		w.Group, w.Weight, w.Near = c.u16(), c.u8(), c.u8()
		w.Client, w.Name = c.text(MaxClientNameBytes), c.text(MaxNameBytes)
		w.Blockers = make([]Blocker, c.count(MaxBlockers, blockerBytes))
		for j := range w.Blockers {
			w.Blockers[j] = Blocker{Flow: c.flow(), Session: c.u64(), Request: c.u64(),
				Token: c.u64()}
		}
		if int(w.Near) > len(w.Blockers) {
			c.fail(ErrField)
		}
	}
	return x, c.end("Chased")
}

// Yields reports whether w, and not v, is the victim of a circle of the two: that of
// less weight, else of the larger rank, which every request draws anew.
func (w *ChasedWait) Yields(v *ChasedWait) bool {
	return cmp.Or(cmp.Compare(v.Weight, w.Weight), cmp.Compare(w.rank(), v.rank()),
		cmp.Compare(w.Group, v.Group), cmp.Compare(w.Session, v.Session),
		cmp.Compare(w.Request, v.Request)) > 0
}

func (w *ChasedWait) rank() uint64 {
	return mix64(mix64(mix64(uint64(w.Group))^w.Session) ^ w.Request)
}

func mix64(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

package client

import (
	"time"

	"lockd/netio/wire"
)

// Instant is a moment as a Core is told it: on a clock that counts while the machine is
// suspended, in nanoseconds from an arbitrary start. Only differences mean anything.
type Instant int64

// never is later than every moment.
const never Instant = 1<<63 - 1

// Add returns the moment d after t, the last there is if that is beyond it.
func (t Instant) Add(d time.Duration) Instant {
	sum := t + Instant(d)
	if d > 0 && sum < t {
		return never
	}
	return sum
}

// Sub returns how long t is after u.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }

// State is where a Call of a Core stands.
type State uint8

// The states of a Call. A Call of another kind than Acquire never is
// StateHeld or StateLost.
const (
	StateIdle State = iota // not with the Core
	StateOpen              // started, its outcome not yet known
	StateHeld              // an Acquire that was granted
	StateLost              // an Acquire whose hold ended unasked
	StateDone              // ended; see Err
)

// Call is one request to a Core and, for an Acquire, the hold it leads to. The caller sets
// the first block of fields, hands the Call to Core.Start and does not touch it
// again until it comes back in Ready.Done. A Call that is idle, done or lost may
// be used anew.
type Call struct {
	// Kind is KindAcquire, KindTake, KindEnter, KindRelease, KindLeave,
	// KindRenewHold, KindConvert, KindAmend, KindForce, KindGet, KindList, KindCheckTokens,
	// KindFindSession or KindStatus.
	// What is said of an Acquire holds for a Take, an Enter and an AcquireAll too,
	// and of a Release for a Leave and a ReleaseAll, which give back what came of an
	// Enter and of an AcquireAll, and a GiveBack, which a Release becomes if a Convert
	// of its hold was sent.
	Kind     wire.Kind
	Flags    wire.Flags    // of an Acquire
	Name     string        // of the lock, or the prefix of a List
	After    string        // cursor of a List
	Limit    uint16        // of a List
	Checks   []NameToken   // of a CheckTokens: 1 to wire.MaxChecks, all of Group
	Group    uint16        // of a List, CheckTokens and FindSession; else the Core sets it
	Node     uint16        // of a Status, a Top, a History and a Chase that asks a node
	Flows    []wire.Flow   // of a Chase
	Skip     uint32        // of a Chase that goes on: the Next of the one before
	View     *View         // of a Watch: what it was told
	Place    *Place        // of an Acquire that waits: where it is told how it stands, or nil
	Mode     wire.Mode     // of an Acquire and an Enter
	Weight   uint8         // of an Acquire
	Permits  uint32        // of a Take
	Capacity uint32        // of a Take: all the permits there are
	Owner    uint64        // of an Enter: who may enter again; else zero
	For      uint64        // of an AcquireAll: who asks, as far as circles go
	Gate     wire.GateKind // of a call at a gate
	Count    uint32        // of a call at a gate: see wire.Gate
	TTL      time.Duration // of a detached Acquire and of a RenewHold
	Reason   string        // of a Force
	Wants    wire.Wants    // of an AcquireAll: ascending, all of Group; Name is the first
	Terms    *wire.Terms   // of an Acquire, nil for none; of an Amend. Not changed
	Timeout  time.Duration // after which it ends as ErrUnavailable; zero is never

	// Find is what a FindSession asks for.
	Find wire.FindSession
	// Past is what a History asks for, of Node.
	Past *wire.History
	// Use is the caller's, to tell uses of one Call apart in Ready.Lost.
	Use uint64
	// Session is the session the hold belongs to, or the owner id, which the
	// caller chooses, of a detached one.
	Session uint64
	// Hold is the detached hold that a RenewHold renews, nil if this Core does not
	// have it, the hold whose data or value an Amend changes, or the one that a Convert
	// converts to Mode. The mode of a hold is Mode
	// of its Call; while a Convert is open it is what the hold may be used for whatever
	// becomes of that.
	Hold *Call
	// Token is the fencing token: the outcome of an Acquire, an input of
	// Release, RenewHold and Force.
	Token uint64

	// Value is, of an Acquire with wire.FlagValue that was granted, the value of the
	// lock, nil for none.
	Value *LockValue

	// Response is the outcome of an ended Call that was answered; Err is nil
	// exactly if that outcome is the one asked for. The payload is a copy.
	Response wire.Response
	Err      error

	state      State
	lost       error // why, in StateLost
	background bool  // belongs to the Core: does not come back in Done
	request    uint64
	conn       ConnID // on which it was last sent
	sentEpoch  uint32 // in which it was last sent; zero is never
	sends      int
	// refused says that the last send is known to have done nothing, unsure that one
	// before it is not.
	refused, unsure bool
	scouted         bool      // of a question to a node: others were asked where that is
	target          uint64    // request id: of a Cancel, and of what was granted
	was             wire.Mode // of a Convert: that of the hold before
	moves           bool      // of a hold: a Convert of it was sent
	stays           bool      // of a Cancel: what was granted before it stays a hold
	part            bool      // of a hold: it was taken over, and granted with others
	turns           uint32    // of a hold: Converts that were started; of a Convert: its number
	// became is, of an Enter, what its owner converted the hold with becameToken to
	// while the Enter had no answer.
	became      wire.Mode
	becameToken uint64
	version     uint16  // of the protocol, in which the answer to the last send comes
	firstSent   Instant // exact for a timed Call only
	notBefore   Instant // after a refusal for lack of room
	deadline    Instant // set by the first sweep that sees it; zero is not yet
	validUntil  Instant // of a detached hold
	late        late    // of a detached hold
	cappedUntil Instant // when the max hold of a hold is over; zero is none. See renewedUntil
	cappedAt    int     // place in Core.capped
	left        *Call   // of an Acquire that was granted: the question how long it lasts
	prev, next  *Call   // in the open calls of a group, or among the holds
	list        *callList
	// changeBefore and changeAfter are, of a change that is open, the next of the same hold.
	changeBefore, changeAfter *Call
	place                     *Call // the Watch that tells Place
	// of is, of such a Watch, of the question in left and of the Cancel of one in a
	// circle, the Acquire.
	of    *Call
	chase *chase // of an Acquire with FlagDetect, and of a Chase: the search

	told chan struct{} // of the shell: capacity 1, for Ready.Told; nil is nobody

	wake chan struct{} // of the shell: capacity 1, told when the Call is done
	held *Held         // of the shell
}

// State returns where the Call stands.
func (x *Call) State() State { return x.state }

func (x *Call) detached() bool { return x.Flags&wire.FlagDetached != 0 }

// needsSession reports whether the Call can be sent only in an open session.
func (x *Call) needsSession() bool {
	return x.Kind.Acquires() && !x.detached() || x.Kind.AtGate()
}

// direct reports whether the Call is put to a node, not to a group.
func (x *Call) direct() bool {
	return x.Kind == wire.KindStatus || x.Kind == wire.KindTop || x.Kind == wire.KindHistory ||
		x.Kind == wire.KindChase && x.Node != 0
}

// needsVersion returns the least version of the protocol that can say the Call.
func (x *Call) needsVersion() uint16 {
	if x.termed() || x.Kind.Acquires() && x.Flags&(wire.FlagDetect|wire.FlagValue) != 0 {
		return wire.VersionWhole
	}
	switch x.Kind {
	case wire.KindTake, wire.KindEnter, wire.KindLeave:
		return wire.VersionKinds
	case wire.KindCheckTokens, wire.KindConvert, wire.KindGiveBack, wire.KindAcquireAll,
		wire.KindReleaseAll, wire.KindFindSession, wire.KindAwait, wire.KindCountDown,
		wire.KindSetGate, wire.KindResetGate, wire.KindWatch, wire.KindUnwatch, wire.KindWhy,
		wire.KindTop, wire.KindHistory, wire.KindChase, wire.KindForce, wire.KindLetGo:
		return wire.VersionWhole
	default:
		return wire.MinVersion
	}
}

// back returns a background Call that gives back what x was granted.
func (x *Call) back(token uint64) *Call {
	y := &Call{Kind: wire.KindRelease, Name: x.Name, Session: x.Session, Flags: x.Flags,
		Group: x.Group, Token: token, TTL: x.TTL}
	if x.Owner != 0 {
		y.Kind, y.Owner, y.target = wire.KindLeave, x.Owner, x.target
	} else if x.moves {
		y.Kind, y.moves, y.target = wire.KindGiveBack, true, x.target
	}
	if x.Wants != nil {
		y.Kind, y.Wants, y.target = wire.KindReleaseAll, x.Wants, x.target
	}
	return y
}

// reset forgets an earlier use, keeping what the caller sets.
func (x *Call) reset() {
	x.Response, x.Err, x.lost = wire.Response{}, nil, nil
	x.request, x.conn, x.sentEpoch, x.sends = 0, 0, 0, 0
	x.place, x.left, x.refused, x.unsure, x.scouted = nil, nil, false, false, false
	x.cappedUntil, x.late = 0, late{}
	x.firstSent, x.notBefore, x.deadline, x.validUntil = 0, 0, 0, 0
	if x.Kind.Acquires() {
		x.Token, x.moves, x.part, x.becameToken, x.Value = 0, false, false, 0, nil
	}
}

// callList is a list of calls threaded through them: a Call is in at most one. It does
// not look at them: who unlocks a hold changes its Call before the Core has it again.
type callList struct {
	head, tail *Call
	count      int
}

func (l *callList) push(x *Call) {
	x.list, x.prev, x.next = l, l.tail, nil
	if l.tail != nil {
		l.tail.next = x
	} else {
		l.head = x
	}
	l.tail = x
	l.count++
}

func (l *callList) remove(x *Call) {
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		l.head = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		l.tail = x.prev
	}
	x.list, x.prev, x.next = nil, nil, nil
	l.count--
}

// callTable finds open calls by request id. A Call sits at the low bits of its
// id; ids whose place is taken are skipped, so long waits cost nothing.
type callTable struct {
	slots []*Call // a power of two of them, at most half in use
	count int
	last  uint64 // newest id
}

// newID returns an id no Call has, for a frame that is not kept in the table.
func (t *callTable) newID() uint64 {
	t.last++
	return t.last
}

// put gives x a fresh id and a place.
func (t *callTable) put(x *Call) {
	if 2*(t.count+1) > len(t.slots) {
		t.grow()
	}
	mask := uint64(len(t.slots) - 1)
	for {
		t.last++
		if t.slots[t.last&mask] == nil {
			break
		}
	}
	x.request = t.last
	t.slots[t.last&mask] = x
	t.count++
}

// grow doubles the table. Ids that differ in their low bits still do in more.
func (t *callTable) grow() {
	old := t.slots
	t.slots = make([]*Call, max(64, 2*len(old)))
	mask := uint64(len(t.slots) - 1)
	for _, x := range old {
		if x != nil {
			t.slots[x.request&mask] = x
		}
	}
}

// get returns the open Call with an id, or nil.
func (t *callTable) get(request uint64) *Call {
	if len(t.slots) == 0 {
		return nil
	}
	x := t.slots[request&uint64(len(t.slots)-1)]
	if x == nil || x.request != request {
		return nil
	}
	return x
}

// replace gives the id and the place of x to y.
func (t *callTable) replace(x, y *Call) {
	if x.request == 0 {
		return
	}
	t.slots[x.request&uint64(len(t.slots)-1)] = y
	x.request = 0
}

// drop frees the place of x and makes its id unknown.
func (t *callTable) drop(x *Call) {
	if x.request == 0 {
		return
	}
	t.slots[x.request&uint64(len(t.slots)-1)] = nil
	x.request = 0
	t.count--
}

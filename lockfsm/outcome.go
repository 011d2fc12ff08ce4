package lockfsm

import "fmt"

// Outcome is what one Apply did. The caller reuses one: Apply resets it and
// keeps its memory. Names in it are borrowed from it and valid until the next
// Apply that is given it.
type Outcome struct {
	// Results has one entry per command of the batch, in order.
	Results []Result
	// Events are the consequences for others, in the order in which they
	// happened: a session's end or a lost hold stands before the grants that
	// follow from it.
	Events []Event
	// NotRenewed lists the sessions named by the tick that are not alive.
	NotRenewed []SessionID
	// Touched lists what happened to which lock, in order, if the machine notes
	// that; a lock may stand there several times.
	Touched []Touch
	// Steps are the circles that results with CodeDeadlock refer to.
	Steps []Step
	// Forced are the holds that were ended by force, one for each EventForced.
	Forced []Forced
	// Ended are the holds that ended, in order, if the machine notes that: the same,
	// in the same order, on every replica.
	Ended []Ended

	names []byte
}

func (o *Outcome) reset() {
	o.Results = o.Results[:0]
	o.Events = o.Events[:0]
	o.NotRenewed = o.NotRenewed[:0]
	o.Touched = o.Touched[:0]
	o.Steps = o.Steps[:0]
	o.Forced = o.Forced[:0]
	o.Ended = o.Ended[:0]
	o.names = o.names[:0]
}

// Result is the outcome of one command.
type Result struct {
	Op   Op
	Code Code
	// Detached tells whether Session is the owner of a detached hold.
	Detached bool
	// HolderDetached tells the same of Holder.
	HolderDetached bool
	// Part is, for an OpAcquireAll that was refused for one of its names, which
	// of them, counted from 0.
	Part uint8
	// Waiting is, for CodeQueued, the length of the queue, this waiter included;
	// of several, the longest.
	Waiting uint32
	// Session is the session of the command, or the one that was opened; of a force
	// that of the holder.
	Session SessionID
	// Request is the request of an acquire, or the target of a cancel.
	Request RequestID
	// Token is the token of the hold granted, entered, found, released or renewed; of
	// several, that of the first name. Of an await it tells openings of gates apart,
	// zero if there was nothing to open; of a set it is that of what stands.
	Token Token
	// Left is, for a count-down and CodeAlreadySet, what is left to count.
	Left uint32
	// Capacity is, for CodeOtherKind, that of the semaphore in force, zero if the
	// name is in use as a lock with modes. If it is in use as a gate, Gate says which
	// and Capacity is its number.
	Capacity Permits
	Gate     GateKind
	// Steps are, for CodeDeadlock of an OpEnter, how many of Outcome.Steps from
	// StepsAt on are the circle.
	StepsAt, Steps uint32
	// Holder and HolderToken name, for CodeHeld, the oldest hold in the way, and
	// for CodeDeadlock that whose conversion is, or the first of the circle. For
	// CodeNotHolder of a force HolderToken is the largest token of a present hold,
	// zero if there is none.
	Holder      SessionID
	HolderToken Token
}

// EventKind tells what happened without the session concerned having asked.
type EventKind uint8

// The kinds of event.
const (
	// EventGranted: a waiting request got its lock, or its gate let it through.
	// Session, Request, Token and Name are set. The requests of one owner, which
	// wait in one place, get one event each, with one token; an acquire of several
	// names gets one for each, in their order, with a token each. If the same batch
	// carries a retry of a request, its result says so too, with the same token.
	EventGranted EventKind = 1
	// EventLost: a detached hold ran out, or what stood of a gate did. Session is the
	// owner, zero for a gate; Request, Token and Name are set. With ReasonMaxHold it
	// is a hold of a session or an owner that has lasted as long as it may, with all
	// that entered it; Request is that of one of them.
	EventLost EventKind = 2
	// EventSessionEnded: a session was closed or its lease ran out (Reason). Its
	// holds and waits are released in this Apply or in later ones.
	EventSessionEnded EventKind = 3
	// EventWaitEnded: a waiting request of an ended session was removed.
	// Session, Request and Name are set; of several names it is the first.
	EventWaitEnded EventKind = 4
	// EventWritten: a register was written. Name is the register's, Token its
	// version.
	EventWritten EventKind = 5
	// EventConversionEnded: the hold that a request waited to convert was given
	// back. Session, Request and Name are set.
	EventConversionEnded EventKind = 6
	// EventBroken: a request that waited at a gate waits no longer, because the gate
	// was taken away or ran out. Session, Request and Name are set.
	EventBroken EventKind = 31
)

// More kinds of event.
const (
	// EventKept: a hold is over for its holder and stays taken for a while. Session,
	// Request, Token and Name are set. [EventFreed] follows in a later Apply.
	EventKept EventKind = 8
	// EventFreed: what was kept is free. Session is nobody's; Request, Token and
	// Name are set.
	EventFreed EventKind = 9
	// EventForced: a hold was ended by force, with all that its owner entered. It stands
	// before what follows from that. Session is the holder's, the owner's, or nobody's
	// for one that was kept; Request, Token and Name are set.
	EventForced EventKind = 23
)

// String returns the name of the kind.
func (k EventKind) String() string {
	switch k {
	case EventKept:
		return "kept"
	case EventFreed:
		return "freed"
	case EventForced:
		return "forced"
	case EventGranted:
		return "granted"
	case EventLost:
		return "lost"
	case EventSessionEnded:
		return "session-ended"
	case EventWaitEnded:
		return "wait-ended"
	case EventWritten:
		return "written"
	case EventConversionEnded:
		return "conversion-ended"
	case EventBroken:
		return "broken"
	default:
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
}

// Reason tells why a session, or a hold, ended.
type Reason uint8

// The reasons.
const (
	ReasonNone    Reason = 0
	ReasonClosed  Reason = 1 // the client closed it
	ReasonExpired Reason = 2 // its lease ran out
	ReasonMaxHold Reason = 3 // of a hold: it has lasted as long as it may
)

// Event is one consequence of a batch.
type Event struct {
	Kind    EventKind
	Reason  Reason
	Session SessionID
	Request RequestID
	Token   Token
	// Name is that of the lock or register, borrowed from the Outcome.
	Name []byte
}

// copyName keeps a copy of name for as long as the outcome lives.
func (o *Outcome) copyName(name []byte) []byte {
	start := len(o.names)
	o.names = append(o.names, name...)
	return o.names[start:len(o.names):len(o.names)]
}

package wire

import "strconv"

// Status is the outcome of a request. Numbers are append-only and never
// reused; zero is no status and never travels.
type Status uint8

// The outcomes.
const (
	// StatusOK: done; for Acquire, granted with the token of the response.
	StatusOK Status = 1
	// StatusQueued: waiting. Given as the result of a Get-like question only;
	// an Acquire with FlagWait has one response, at its end.
	StatusQueued Status = 2
	// StatusHeld: a try was refused; the token is the first holder's, position
	// is the place the request would have got.
	StatusHeld Status = 3
	// StatusNotLeader: this node did not execute it. Leader is a hint, zero if
	// unknown. Send it again, elsewhere, with a raised epoch.
	StatusNotLeader Status = 4
	// StatusUncertain: the node stopped leading after it proposed or queued the
	// request. It may have taken effect: send it again with a raised epoch, and
	// the session and request id find what became of it.
	StatusUncertain Status = 5
	// StatusBusy: refused before anything happened, for lack of room. Try again
	// after the retry hint of the response.
	StatusBusy Status = 6
	// StatusStaleEpoch: not executed, because the group has seen a higher epoch
	// of this session.
	StatusStaleEpoch Status = 7
	// StatusSessionUnknown: the group has no such session. It is never
	// re-created; whatever it held is released.
	StatusSessionUnknown Status = 8
	// StatusSessionEnded: the session is being taken down.
	StatusSessionEnded Status = 9
	// StatusNotHolder: token and session do not name a present hold. Nothing
	// changed. After a retried Release it means: released.
	StatusNotHolder Status = 10
	// StatusCancelled: the target of a Cancel does not wait and never will; also
	// the end of the cancelled Acquire itself.
	StatusCancelled Status = 11
	// StatusAlreadyGranted: the target of a Cancel holds the lock, with the
	// token of the response.
	StatusAlreadyGranted Status = 12
	// StatusTooManyWaiters: the queue of this lock is full, or there are too many
	// watches.
	StatusTooManyWaiters Status = 13
	// StatusTooManySessions: the group takes no more sessions.
	StatusTooManySessions Status = 14
	// StatusTooManyHolds: the session, or the group, takes no more holds.
	StatusTooManyHolds Status = 15
	// StatusBadRequest: the request contradicts itself or an earlier one with
	// the same id.
	StatusBadRequest Status = 16
	// StatusNameTooLong: the name is empty, too long or holds a zero byte.
	StatusNameTooLong Status = 17
	// StatusNotFound: nothing is known under this name.
	StatusNotFound Status = 18
	// StatusWrongGroup: the name does not belong to the group of the header.
	StatusWrongGroup Status = 19
	// StatusStopping: the node is going down and did not execute it.
	StatusStopping Status = 20
	// StatusPermission: this client may not do that.
	StatusPermission Status = 21
	// StatusOtherKind: the name is in use as another kind of lock, or as a
	// semaphore of another capacity, until nobody holds it or waits for it. The
	// token is the capacity in force, zero for a lock with modes, and in version 3
	// what OtherKind says of a gate. Version 2; in version 1 it is StatusBadRequest.
	StatusOtherKind Status = 22
	// StatusOtherMode: the owner holds the lock, or waits for it, in another
	// mode, and would wait for itself.
	StatusOtherMode Status = 23
	// StatusUnsupported: all nodes must be upgraded first; until then nobody may
	// use what a node of the cluster does not know.
	StatusUnsupported Status = 24
	// StatusDeadlock: the request would have waited for one that waits for it, so
	// that neither would ever have been granted. Nothing changed; what the client
	// holds it holds as before. The token is that of the hold whose own request is
	// in the way; the payload, after FlagDetect, is a Circle. Version 3.
	StatusDeadlock Status = 25
	// StatusTooMuchData: the group takes no more payloads, labels and other terms.
	StatusTooMuchData Status = 26
	// StatusNotWriter: the mode of the hold does not let it write the value of the
	// lock: that takes PW or EX.
	StatusNotWriter Status = 27

	statusEnd = 28

	// StatusAlreadySet: the latch has a count already; the token is what is left.
	StatusAlreadySet Status = 30
	// StatusBroken: while the request waited there, the latch was taken away or ran
	// out, or the barrier was broken.
	StatusBroken Status = 31
)

// Known reports whether this version knows s.
func (s Status) Known() bool {
	return s >= StatusOK && s < statusEnd || s == StatusAlreadySet || s == StatusBroken
}

// String returns the name of s as it appears in logs and documents.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "ok"
	case StatusQueued:
		return "queued"
	case StatusHeld:
		return "held"
	case StatusNotLeader:
		return "not leader"
	case StatusUncertain:
		return "uncertain"
	case StatusBusy:
		return "busy"
	case StatusStaleEpoch:
		return "stale epoch"
	case StatusSessionUnknown:
		return "session unknown"
	case StatusSessionEnded:
		return "session ended"
	case StatusNotHolder:
		return "not holder"
	case StatusCancelled:
		return "cancelled"
	case StatusAlreadyGranted:
		return "already granted"
	case StatusTooManyWaiters:
		return "too many waiters"
	case StatusTooManySessions:
		return "too many sessions"
	case StatusTooManyHolds:
		return "too many holds"
	case StatusBadRequest:
		return "bad request"
	case StatusNameTooLong:
		return "bad name"
	case StatusNotFound:
		return "not found"
	case StatusWrongGroup:
		return "wrong group"
	case StatusStopping:
		return "stopping"
	case StatusPermission:
		return "permission denied"
	case StatusOtherKind:
		return "other kind of lock"
	case StatusOtherMode:
		return "other mode"
	case StatusUnsupported:
		return "unsupported: all nodes must be upgraded first"
	case StatusTooMuchData:
		return "too much data"
	case StatusDeadlock:
		return "deadlock"
	case StatusNotWriter:
		return "not a writer"
	case StatusAlreadySet:
		return "already set"
	case StatusBroken:
		return "broken"
	default:
		return "status " + strconv.Itoa(int(s))
	}
}

// Code says what became of one session in a keepalive.
type Code uint8

// The codes of a keepalive; append-only.
const (
	CodeRenewed   Code = 1 // its lease runs anew from the send of the keepalive
	CodeUnknown   Code = 2 // the group has no such session
	CodeNotLeader Code = 3 // ask the leader; nothing was renewed
)

// Reason says why a hold or a session ended without its owner asking.
type Reason uint8

// The reasons; append-only.
const (
	ReasonExpired Reason = 1 // its lease, or its own time to live, ran out
	ReasonClosed  Reason = 2 // closed by another conn of the same client
	ReasonForced  Reason = 3 // an operator released it
	ReasonMaxHold Reason = 4 // it was held for as long as its max hold says
)

// String returns the name of r as it appears in logs and errors.
func (r Reason) String() string {
	switch r {
	case ReasonExpired:
		return "expired"
	case ReasonClosed:
		return "closed"
	case ReasonForced:
		return "released by force"
	case ReasonMaxHold:
		return "held for its max hold"
	default:
		return "reason " + strconv.Itoa(int(r))
	}
}

// Mode is a lock mode of the DLM. The numbers are those of the machine.
type Mode uint8

// The modes, weakest first.
const (
	ModeNL Mode = 0 // null: interest only
	ModeCR Mode = 1 // concurrent read
	ModeCW Mode = 2 // concurrent write
	ModePR Mode = 3 // protected read: shared
	ModePW Mode = 4 // protected write: update
	ModeEX Mode = 5 // exclusive

	modeEnd = 6
)

// String returns the two letters of the mode.
func (m Mode) String() string {
	switch m {
	case ModeNL:
		return "NL"
	case ModeCR:
		return "CR"
	case ModeCW:
		return "CW"
	case ModePR:
		return "PR"
	case ModePW:
		return "PW"
	case ModeEX:
		return "EX"
	default:
		return "mode " + strconv.Itoa(int(m))
	}
}

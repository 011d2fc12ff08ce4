package lockfsm

import "fmt"

// Code is the outcome of one command. Every code is definite: it stands in the
// log, and what it says of the state is true on every replica at that slot.
// Numbers are append-only.
type Code uint8

// The codes. Those after CodeAlreadyGranted change nothing.
const (
	// CodeOK: done; for an acquire, granted with the token of the result.
	CodeOK Code = 1
	// CodeQueued: the acquire waits; [EventGranted] follows in a later Apply.
	CodeQueued Code = 2
	// CodeCancelled: the request neither waits nor holds.
	CodeCancelled Code = 3
	// CodeAlreadyGranted: the cancel came too late; the token is in the result.
	CodeAlreadyGranted Code = 4

	// CodeHeld: an acquire without [Wait] was refused; the result names a
	// holder.
	CodeHeld Code = 16
	// CodeNotHolder: no claim of this session on this lock has this token.
	CodeNotHolder Code = 17
	// CodeStaleEpoch: the session has been used with a higher epoch, or this is
	// an acquire and the session is parked at this epoch.
	CodeStaleEpoch Code = 18
	// CodeSessionUnknown: there is no such session. It never comes back.
	CodeSessionUnknown Code = 19
	// CodeSessionEnded: the session has ended; some of its claims are still
	// being released.
	CodeSessionEnded Code = 20
	// CodeConflict: the register has another version than the write names; the
	// result's Token is that version.
	CodeConflict Code = 21
	// CodeOtherKind: the name is in use as another kind of lock, or as a
	// semaphore of another capacity. The result says the capacity in force, zero
	// for a lock with modes. It is so until nobody holds the name or waits for it.
	CodeOtherKind Code = 24
	// CodeOtherMode: the owner holds the lock, or waits for it, in another mode,
	// or the hold waits to be converted already.
	CodeOtherMode Code = 25
	// CodeDeadlock: the conversion would wait for another that waits for its hold.
	// The result names the hold of that one. Or the owner would wait in a circle of
	// owners who all wait; the result refers to its steps.
	CodeDeadlock Code = 26
	// CodeNotWriter: the mode of the hold does not let it write the value of the lock:
	// that takes PW or EX.
	CodeNotWriter Code = 27
	// CodeAlreadySet: the latch has a count already; the result says what is left.
	CodeAlreadySet Code = 30
	// CodeBroken: the latch was taken away, or the barrier broken, while the request
	// waited there.
	CodeBroken Code = 31

	// CodeBadRequest: the fields of the command contradict each other, or one
	// that must not be zero is.
	CodeBadRequest Code = 32
	// CodeBadMode: the mode is none of the six.
	CodeBadMode Code = 33
	// CodeBadLease: the lease or hold time is outside the limits.
	CodeBadLease Code = 34
	// CodeBadName: the lock name is empty.
	CodeBadName Code = 35
	// CodeNameTooLong: the lock or session name is above its limit.
	CodeNameTooLong Code = 36
	// CodeRequestReused: the request id belongs to another acquire: of another
	// name, mode, owner or number of permits.
	CodeRequestReused Code = 37

	// CodeTooManySessions and those below: the limit of that name is reached.
	CodeTooManySessions Code = 48
	// CodeTooManyLocks refuses a name that is not in use yet.
	CodeTooManyLocks Code = 49
	// CodeTooManyClaims refuses for all holds and waits of the group.
	CodeTooManyClaims Code = 50
	// CodeTooManySessionClaims refuses for those of one session.
	CodeTooManySessionClaims Code = 51
	// CodeTooManyWaiters refuses for the queue of one lock.
	CodeTooManyWaiters Code = 52
	// CodeTooManyDetached refuses for all detached holds of the group.
	CodeTooManyDetached Code = 53
	// CodeTooManyRegisters refuses a register that does not exist yet.
	CodeTooManyRegisters Code = 54
	// CodeTooMuchData refuses for the payloads, labels and other terms of all
	// claims, and the values of all locks, of the group.
	CodeTooMuchData Code = 55
)

// OverLimit reports whether the machine has no room for what was asked.
func (c Code) OverLimit() bool { return c >= CodeTooManySessions && c <= CodeTooMuchData }

// String returns the name of the code in lower case.
func (c Code) String() string {
	switch c {
	case CodeOK:
		return "ok"
	case CodeQueued:
		return "queued"
	case CodeCancelled:
		return "cancelled"
	case CodeAlreadyGranted:
		return "already granted"
	case CodeHeld:
		return "held"
	case CodeNotHolder:
		return "not holder"
	case CodeStaleEpoch:
		return "stale epoch"
	case CodeSessionUnknown:
		return "session unknown"
	case CodeSessionEnded:
		return "session ended"
	case CodeOtherKind:
		return "other kind"
	case CodeOtherMode:
		return "other mode"
	case CodeDeadlock:
		return "deadlock"
	case CodeNotWriter:
		return "not a writer"
	case CodeAlreadySet:
		return "already set"
	case CodeBroken:
		return "broken"
	case CodeBadRequest:
		return "bad request"
	case CodeBadMode:
		return "bad mode"
	case CodeBadLease:
		return "bad lease"
	case CodeBadName:
		return "bad name"
	case CodeNameTooLong:
		return "name too long"
	case CodeRequestReused:
		return "request reused"
	case CodeTooManySessions:
		return "too many sessions"
	case CodeTooManyLocks:
		return "too many locks"
	case CodeTooManyClaims:
		return "too many claims"
	case CodeTooManySessionClaims:
		return "too many claims of the session"
	case CodeTooManyWaiters:
		return "too many waiters"
	case CodeTooManyDetached:
		return "too many detached holds"
	case CodeConflict:
		return "conflict"
	case CodeTooManyRegisters:
		return "too many registers"
	case CodeTooMuchData:
		return "too much data"
	default:
		return fmt.Sprintf("Code(%d)", uint8(c))
	}
}

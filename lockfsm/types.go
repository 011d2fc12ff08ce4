package lockfsm

import "fmt"

// SessionID names a session of one group, or the owner of a detached hold.
//
// The machine gives session ids out from a per-group counter that begins at 1
// and is never reused. The owner of a detached hold chooses its id at random;
// the two never meet, because every command says by [Detached] which it means.
type SessionID uint64

// RequestID names one acquire of one session or owner. The client chooses it
// and never gives it to another acquire of the same session.
type RequestID uint64

// Epoch counts the routes a client has taken to a group. A client sends each
// request at most once per epoch and raises the epoch before it sends open
// requests again. The machine executes nothing below the highest epoch it has
// seen of a session, so a frame delayed on an old conn never executes.
type Epoch uint32

// Token is the fencing token of one grant. Within a group a later grant always
// has a larger token, whatever the name, and zero is never granted (I15).
// Tokens are not dense: a waiter that joins a queue uses one up as its place.
type Token uint64

// Time is a moment in log time: milliseconds on a clock that only the ticks of
// chosen batches move. It never goes back and is the same on every replica.
type Time uint64

// Millis is a length of log time in milliseconds.
type Millis uint32

// Permits counts the permits of a semaphore: those a claim takes, or all there
// are.
type Permits uint32

// Owner names who re-enters a lock within a session: the process, a thread, a
// goroutine, whatever the client numbers. Two sessions may use the same number
// without meeting. Zero is nobody.
type Owner uint64

// Nonce is chosen at random by a client for each session it opens. While that
// session lives, opening it again with the same nonce finds it.
type Nonce [16]byte

// Mode is what a claim on a lock allows others to do meanwhile. The six modes
// and their matrix are those of the VMS distributed lock manager. The numbers
// are part of the wire, log and checkpoint formats.
type Mode uint8

// The modes, weakest first. A mutex uses ModeEX; a read-write lock uses ModePR
// and ModeEX.
const (
	ModeNL Mode = 0 // null: interest only, compatible with everything
	ModeCR Mode = 1 // concurrent read: others may read and write
	ModeCW Mode = 2 // concurrent write: others may read and write unprotected
	ModePR Mode = 3 // protected read: others may read, nobody writes
	ModePW Mode = 4 // protected write: others may read unprotected
	ModeEX Mode = 5 // exclusive

	modeCount = 6
)

// modeSet has bit m set for each mode m in it.
type modeSet uint8

// compatible is the row of the matrix for m: the modes that other claims may
// hold while m is held. Requires: m is one of the six modes.
func (m Mode) compatible() modeSet {
	switch m {
	case ModeNL:
		return 1<<ModeNL | 1<<ModeCR | 1<<ModeCW | 1<<ModePR | 1<<ModePW | 1<<ModeEX
	case ModeCR:
		return 1<<ModeNL | 1<<ModeCR | 1<<ModeCW | 1<<ModePR | 1<<ModePW
	case ModeCW:
		return 1<<ModeNL | 1<<ModeCR | 1<<ModeCW
	case ModePR:
		return 1<<ModeNL | 1<<ModeCR | 1<<ModePR
	case ModePW:
		return 1<<ModeNL | 1<<ModeCR
	case ModeEX:
		return 1 << ModeNL
	default:
		panic(fmt.Sprintf("lockfsm: mode: have %d, want 0 to %d", uint8(m), modeCount-1))
	}
}

// Compatible reports whether m and other may be held together. It is symmetric.
// Requires: both are one of the six modes.
func (m Mode) Compatible(other Mode) bool {
	return m.compatible()&(1<<other) != 0
}

// Valid reports whether m is one of the six modes.
func (m Mode) Valid() bool { return m < modeCount }

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
		return fmt.Sprintf("Mode(%d)", uint8(m))
	}
}

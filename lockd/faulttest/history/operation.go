package history

import (
	"fmt"
	"math"
	"strings"
)

// Open is the end of an operation that was never answered.
const Open = math.MaxInt64

// Kind is what a client asked for.
type Kind uint8

// The kinds, with the fields of Operation that each uses besides those that all
// do.
const (
	// Acquire asks for a hold: Owner, Mode, Permits, Waits. Granted with Token,
	// or refused because of the hold with Token (zero: not told).
	Acquire Kind = iota + 1
	// Release gives the hold with Token back: Owner.
	Release
	// Expire is the end of the hold with Token unasked. Nobody answers it: its
	// outcome is Uncertain.
	Expire
	// Look asks who holds: Holders, and Counts unless it is empty.
	Look
	// Write offers Value to a register, with Token, in place of Before, which
	// the writer has read. Granted is accepted.
	Write
	// Read asks a register for its Value, with Token. Granted is answered.
	Read
)

// Mode is how a hold of a read-write lock agrees with others.
type Mode uint8

// The modes.
const (
	Exclusive Mode = iota
	Shared
)

// Outcome is how an operation ended.
type Outcome uint8

// The outcomes.
const (
	// Uncertain: no definite answer. It may have taken effect once, or not.
	Uncertain Outcome = iota
	// Granted: it took effect.
	Granted
	// Refused: it did not, because of what it found.
	Refused
)

// Operation is one operation of one client. Began and Ended are moments on one
// monotonic clock, equal for all operations that are judged together.
type Operation struct {
	Began, Ended int64
	Name         string // of the lock or the register
	Token        uint64
	// Owner is who holds: whoever else names a hold is a stranger to it. It may be
	// zero where nothing is known of who asked.
	Owner   uint64
	Value   int64
	Before  int64
	Holders []uint64 // tokens
	Counts  []uint32 // how often the owner of each has a re-entrant lock
	Client  int      // for the reader of a failure
	Permits uint32   // zero counts as one
	Kind    Kind
	Mode    Mode
	Outcome Outcome
	Waits   Waits
}

// Waits says what an Acquire does when others are in the way.
type Waits uint8

// The two ways.
const (
	Tries  Waits = iota // it is refused at once
	Queues              // it waits for its turn
)

// String says in one line what was asked and answered.
func (o *Operation) String() string {
	var b strings.Builder
	end := "open"
	if o.Ended != Open {
		end = fmt.Sprintf("%.6f", float64(o.Ended)/1e9)
	}
	fmt.Fprintf(&b, "client %d [%.6f %s] ", o.Client, float64(o.Began)/1e9, end)
	switch o.Kind {
	case Acquire:
		fmt.Fprintf(&b, "%s %s", map[Waits]string{Tries: "try", Queues: "lock"}[o.Waits], o.Name)
		if o.Mode == Shared {
			b.WriteString(" shared")
		}
		if o.Permits > 1 {
			fmt.Fprintf(&b, " permits %d", o.Permits)
		}
	case Release:
		fmt.Fprintf(&b, "unlock %s", o.Name)
	case Expire:
		fmt.Fprintf(&b, "%s may expire", o.Name)
	case Look:
		fmt.Fprintf(&b, "look at %s: holders %d", o.Name, o.Holders)
		if len(o.Counts) > 0 {
			fmt.Fprintf(&b, " counts %d", o.Counts)
		}
	case Write:
		fmt.Fprintf(&b, "write %s %d for %d", o.Name, o.Value, o.Before)
	case Read:
		fmt.Fprintf(&b, "read %s %d", o.Name, o.Value)
	}
	if o.Owner != 0 {
		fmt.Fprintf(&b, " owner %d", o.Owner)
	}
	if o.Token != 0 {
		fmt.Fprintf(&b, " token %d", o.Token)
	}
	fmt.Fprintf(&b, ": %s", o.Outcome)
	return b.String()
}

// String returns the word for the outcome.
func (o Outcome) String() string {
	switch o {
	case Uncertain:
		return "uncertain"
	case Granted:
		return "granted"
	case Refused:
		return "refused"
	default:
		return fmt.Sprintf("Outcome(%d)", uint8(o))
	}
}

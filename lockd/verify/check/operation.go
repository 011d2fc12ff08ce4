package check

import (
	"fmt"
	"math"
	"strings"
)

// Open is the return of an operation that has no outcome.
const Open = math.MaxInt64

// Kind is what a caller asked for.
type Kind uint8

// The kinds, with the fields of Operation that each uses besides those of all.
const (
	// Acquire asks for a hold: Mode or Permits and Capacity, Owner, Waits. Granted
	// with Token, and with what it Reads; or refused, because of Token.
	Acquire Kind = iota + 1
	// Release gives the hold with Token back. Owner as in its Acquire.
	Release
	// Get lists all Holders, and what it Reads.
	Get
	// Test asks whether Token is Current, and for the Newest.
	Test
	// Write leaves Value, under Token.
	Write
	// Loss is the end of the hold with Token unasked, from Call on. Nobody is
	// answered: it has no outcome.
	Loss
	// Force ends the hold with Token, of whoever has it, with all that was entered. It
	// may have been over before.
	Force
	// Convert turns the hold with Token from the mode it Was in to Mode. Newest is its
	// token from then on: a new one, unless the mode is no stronger. Nobody's owner has
	// the hold.
	Convert
)

// Outcome is how an operation ended.
type Outcome uint8

// The outcomes.
const (
	// Uncertain: no answer. It may have taken effect once, or not.
	Uncertain Outcome = iota
	// Done: it took effect, and what it says is so.
	Done
	// Refused: an Acquire found the lock taken.
	Refused
)

// Mode is how holds get along with each other, by the matrix of the VMS lock
// manager.
type Mode uint8

// The modes.
const (
	Exclusive Mode = iota
	Shared
	Update
	ConcurrentWrite
	ConcurrentRead
	Null
	modes
)

// String returns the two letters of the mode.
func (m Mode) String() string {
	if m >= modes {
		return fmt.Sprintf("Mode(%d)", uint8(m))
	}
	return [modes]string{"EX", "PR", "PW", "CW", "CR", "NL"}[m]
}

// agreeing returns the modes that get along with m, a bit for each.
func (m Mode) agreeing() uint8 {
	const null, reads = 1 << Null, 1<<Null | 1<<ConcurrentRead
	return [modes]uint8{null, reads | 1<<Shared, reads, reads | 1<<ConcurrentWrite,
		1<<modes - 1 - 1<<Exclusive, 1<<modes - 1}[m]
}

// noStronger reports whether whatever gets along with m does so with to.
func (m Mode) noStronger(to Mode) bool { return m.agreeing()&^to.agreeing() == 0 }

// Waits says what an Acquire does when others are in the way.
type Waits uint8

// The two ways.
const (
	Tries  Waits = iota // it is refused at once
	Queues              // it waits for its turn
)

// Holder is one hold as a Get lists it.
type Holder struct {
	Token   uint64
	Mode    Mode
	Permits uint32 // of a semaphore
	Depth   uint32 // how often its owner has entered; zero if it was not said
}

// Value is what a lock was found to have: empty Data, with Token zero, is none.
type Value struct {
	Data  string
	Token uint64 // under which it was written
}

// Operation is one operation of one caller. Call and Return are moments on one
// monotonic clock, in nanoseconds, the same for the whole history.
type Operation struct {
	Call, Return   int64
	Name           string
	Token          uint64
	Owner          uint64 // who may enter again; zero is nobody. Unique over all clients
	Newest         uint64 // of a Test, or a Convert
	Client, Worker int    // for the reader of a violation
	Holders        []Holder
	// Reads is the value that was read; nil if none was asked for.
	Reads    *Value
	Value    string // that a Write leaves; empty takes it away. Else no two are equal
	Permits  uint32 // of a semaphore, at least 1; zero of a lock with modes
	Capacity uint32 // of a semaphore
	// Again is how often an Acquire may have been granted besides what it was told.
	Again   uint32
	Kind    Kind
	Outcome Outcome
	Mode    Mode
	Was     Mode // of a Convert
	Waits   Waits
	Current bool // of a Test
}

// String says in one line what was asked and answered, with times in seconds.
func (o *Operation) String() string {
	var b strings.Builder
	end := "no answer"
	if o.Return != Open {
		end = fmt.Sprintf("%.6f", float64(o.Return)/1e9)
	}
	fmt.Fprintf(&b, "[%.6f, %s] client %d worker %d: %s", float64(o.Call)/1e9, end, o.Client,
		o.Worker, o.asked())
	if o.Owner != 0 {
		fmt.Fprintf(&b, " owner %x", o.Owner)
	}
	switch {
	case o.Kind == Loss:
		b.WriteString(", from then on")
	case o.Outcome == Uncertain:
		b.WriteString(": uncertain")
	case o.Kind == Acquire && o.Outcome == Done:
		fmt.Fprintf(&b, ": granted with token %d", o.Token)
	case o.Kind == Convert:
		fmt.Fprintf(&b, ": done, it has token %d", o.Newest)
	case o.Outcome == Refused:
		fmt.Fprintf(&b, ": refused because of token %d", o.Token)
	case o.Kind == Test:
		fmt.Fprintf(&b, ": current %v, newest %d", o.Current, o.Newest)
	case o.Kind == Get:
		b.WriteString(": " + holdersText(o.Holders))
	default:
		b.WriteString(": done")
	}
	if o.Reads != nil && o.Outcome == Done {
		fmt.Fprintf(&b, ", value %q of token %d", o.Reads.Data, o.Reads.Token)
	}
	return b.String()
}

func (o *Operation) asked() string {
	switch o.Kind {
	case Acquire:
		how := [...]string{Tries: "try", Queues: "lock"}[o.Waits&1]
		if o.Capacity > 0 {
			return fmt.Sprintf("%s %q, %d of %d permits", how, o.Name, o.Permits, o.Capacity)
		}
		return fmt.Sprintf("%s %q %s", how, o.Name, o.Mode)
	case Release:
		return fmt.Sprintf("unlock %q token %d", o.Name, o.Token)
	case Get:
		return fmt.Sprintf("get %q", o.Name)
	case Test:
		return fmt.Sprintf("check token %d of %q", o.Token, o.Name)
	case Write:
		return fmt.Sprintf("set value %q of %q with token %d", o.Value, o.Name, o.Token)
	case Force:
		return fmt.Sprintf("force token %d of %q", o.Token, o.Name)
	case Convert:
		return fmt.Sprintf("convert token %d of %q from %s to %s", o.Token, o.Name, o.Was, o.Mode)
	case Loss:
		return fmt.Sprintf("token %d of %q may be lost", o.Token, o.Name)
	default:
		return fmt.Sprintf("kind %d of %q", o.Kind, o.Name)
	}
}

func holdersText(all []Holder) string {
	if len(all) == 0 {
		return "nobody holds it"
	}
	words := make([]string, len(all))
	for i, h := range all {
		words[i] = fmt.Sprint(h.Token)
	}
	return "held with token " + strings.Join(words, ", ")
}

package witness

import (
	"fmt"
	"math"

	"lockd/netio/wire"
)

// Open is the end of a send that was never answered.
const Open = math.MaxInt64

// Record is one request as it was sent once, with its answer. The same request
// sent again, on another conn, is another Record.
type Record struct {
	Began, Ended int64 // on the clock of the Book; Open if not answered
	Session      uint64
	Request      uint64 // the target, of a Cancel and a Leave
	// Token is what a Release, Leave or RenewHold named; of an Acquire, Cancel and Get
	// what the answer did; of an OpenSession the session.
	Token     uint64
	Slot      uint64
	Owner     uint64 // of an Enter
	TTLMillis uint32 // the lease, of an OpenSession
	Count     uint32 // of holders, of a Get
	Permits   uint32 // of a Take
	Capacity  uint32 // of a Take
	Name      uint32 // index of the name in the Book
	Group     uint16
	Kind      wire.Kind
	Status    wire.Status // zero if not answered
	Mode      wire.Mode
	Again     Again
	version   uint16 // in which it is answered
}

// Again says whether an Acquire had been sent before, on another conn. Its
// answer then names a slot at which it was found granted, perhaps not that of
// the grant.
type Again uint8

// The two answers.
const (
	First Again = iota
	Resent
)

func (r *Record) answered() bool { return r.Ended != Open }

func (r *Record) detached() bool { return r.Session&wire.DetachedOwner != 0 }

// subject is the token of the hold that r says something about, or zero.
func (r *Record) subject() uint64 {
	switch r.Kind {
	case wire.KindAcquire, wire.KindTake, wire.KindEnter, wire.KindGet:
		if r.Status == wire.StatusOK || r.Status == wire.StatusHeld {
			return r.Token
		}
	case wire.KindCancel:
		if r.Status == wire.StatusAlreadyGranted {
			return r.Token
		}
	case wire.KindRelease, wire.KindLeave, wire.KindRenewHold:
		return r.Token
	}
	return 0
}

// logged reports whether the answer stands at a slot of its own: reads, and
// refusals answered like reads, are of the state after a slot.
func (r *Record) logged() bool {
	return !r.Kind.Asks() && r.Status != wire.StatusHeld
}

// says describes the record in a violation.
func (r *Record) says() string {
	if !r.answered() {
		return fmt.Sprintf("%s of session %d request %d token %d sent at %s, not answered",
			r.Kind, r.Session, r.Request, r.Token, seconds(r.Began))
	}
	return fmt.Sprintf("%s of session %d request %d sent at %s: %s token %d slot %d at %s",
		r.Kind, r.Session, r.Request, seconds(r.Began), r.Status, r.Token, r.Slot, seconds(r.Ended))
}

// seconds writes a moment.
func seconds(at int64) string {
	if at == Open {
		return "never"
	}
	return fmt.Sprintf("%.6f s", float64(at)/1e9)
}

// SessionKey names a session: each group numbers its own.
type SessionKey struct {
	Session uint64
	Group   uint16
}

// Session is what the conns showed of one session.
type Session struct {
	LeaseMillis uint32
	// Renewed is when the newest renewal that was answered was sent, the opening
	// included.
	Renewed int64
	// Closed is when its client first sent that it closes it, or Open.
	Closed int64
	// Over is when a node first said that it has ended, or Open.
	Over int64
}

// End is the earliest moment at which the nodes may end the session, by clocks
// that run fast by at most drift.
func (s *Session) End(drift float64) int64 {
	return min(s.Closed, s.expiry(drift))
}

// expiry is the earliest moment at which its lease may be over.
func (s *Session) expiry(drift float64) int64 {
	return s.Renewed + span(s.LeaseMillis, drift)
}

// span is how long a time counted by a fast clock lasts.
func span(millis uint32, drift float64) int64 {
	return int64(float64(millis) * 1e6 * (1 - drift))
}

// History is what all conns together showed.
type History struct {
	Records  []Record
	Sessions map[SessionKey]Session
	Names    []string
	// Strays are answers that nobody had asked for.
	Strays []string
}

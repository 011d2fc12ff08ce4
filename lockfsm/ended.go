package lockfsm

import "fmt"

// HoldEnd says how a hold ended. The numbers are part of the formats of those who
// keep account.
type HoldEnd uint8

// The ways in which a hold ends.
const (
	// HoldReleased: its holder gave it back.
	HoldReleased HoldEnd = 1
	// HoldClosed: its session was closed by its client.
	HoldClosed HoldEnd = 2
	// HoldExpired: the lease of its session ran out, be it that it was let go with its
	// conn. What a closed session has left when its lease would have run out, because it
	// had more than one Apply can release, counts as this too.
	HoldExpired HoldEnd = 3
	// HoldTTL: it was detached, and its own time ran out.
	HoldTTL HoldEnd = 4
	// HoldMaxHold: it had lasted as long as it may.
	HoldMaxHold HoldEnd = 5
	// HoldForced: somebody else ended it.
	HoldForced HoldEnd = 6
	// HoldConverted: it goes on in another mode, with a new token if that is stronger.
	HoldConverted HoldEnd = 7
	// HoldFreed: it was over for its holder and stayed taken for its min hold or delay,
	// until now.
	HoldFreed HoldEnd = 8

	holdEndCount = 9
)

// Known reports whether this version knows e.
func (e HoldEnd) Known() bool { return e >= HoldReleased && e < holdEndCount }

// String returns the end in a few letters, as logs have it.
func (e HoldEnd) String() string {
	switch e {
	case HoldReleased:
		return "released"
	case HoldClosed:
		return "closed"
	case HoldExpired:
		return "expired"
	case HoldTTL:
		return "ttl"
	case HoldMaxHold:
		return "max-hold"
	case HoldForced:
		return "forced"
	case HoldConverted:
		return "converted"
	case HoldFreed:
		return "freed"
	default:
		return fmt.Sprintf("HoldEnd(%d)", uint8(e))
	}
}

// EndedFlags say more about a hold that ended.
type EndedFlags uint8

// The flags.
const (
	// EndedDetached: the hold was detached; Session is the number of its owner.
	EndedDetached EndedFlags = 1 << 0
	// EndedKept: what ended was a hold that was over and stayed taken. Session is nobody's.
	EndedKept EndedFlags = 1 << 1
	// EndedStays: the lock stays taken for a while, for its min hold or delay.
	EndedStays EndedFlags = 1 << 2
	// EndedMoved: the hold had been converted before; Since is that of its first grant.
	EndedMoved EndedFlags = 1 << 3
)

// Ended is one hold from its beginning to its end. It ended at the machine's log
// time. Bytes are borrowed from the Outcome.
type Ended struct {
	How   HoldEnd
	Flags EndedFlags
	Mode  Mode
	// To is the mode in which a converted hold goes on.
	To      Mode
	Permits Permits // of a semaphore, else zero
	Session SessionID
	Token   Token
	Owner   Owner // who re-entered it, zero for nobody
	// Since is when it was granted; of one that stayed taken, when it was over for its
	// holder.
	Since Time

	Name, Client []byte
	// Who forced it, and why.
	Who, Reason []byte
}

// NoteEnds has every Apply from now on say in Outcome.Ended which holds ended, or no
// more. It is no part of the state, as Note is not.
func (m *Machine) NoteEnds(n Noting) { m.notingEnds = n }

// lossOf says what it is that ends a hold which is lost.
func (m *Machine) lossOf(r ref) HoldEnd {
	s := m.sessions.at(m.claims.at(r).session)
	switch {
	case s.kind == kindDetached && s.id.kept():
		return HoldFreed
	case m.cappedFrom(r) <= m.logTime:
		return HoldMaxHold
	case s.kind == kindDetached:
		return HoldTTL
	case s.deadline <= m.logTime:
		return HoldExpired
	default:
		return HoldClosed
	}
}

// noteEnd notes that the claim r is about to end, if it holds. One that is left
// before its levels goes on for them, and what stands of a gate is nobody's hold.
func (m *Machine) noteEnd(r ref, how ending, stays EndedFlags) {
	if m.ends == nil {
		return
	}
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	if c.state != claimHolds || l.gate() != 0 {
		return
	}
	k := m.stack(l, c)
	if k != nil && k.levels != 0 {
		return
	}
	e := m.addEnded(r)
	e.Flags |= stays
	switch how {
	case endReleased:
		e.How = HoldReleased
	case endLost:
		e.How = m.lossOf(r)
	case endForced:
		e.How = HoldForced
		if n := len(m.ends.Forced); n > 0 {
			f := &m.ends.Forced[n-1]
			e.Who, e.Reason = f.Who, f.Reason
		}
	default:
		panic(fmt.Sprintf("lockfsm: end of a hold: have %d, want one that is known", how))
	}
}

// noteConverted notes that a hold is about to have another mode.
func (m *Machine) noteConverted(r ref, to Mode) {
	if m.ends != nil {
		e := m.addEnded(r)
		e.How, e.To = HoldConverted, to
	}
}

// addEnded appends what is known of the hold r. The pointer is valid until the next.
func (m *Machine) addEnded(r ref) *Ended {
	out := m.ends
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	s := m.sessions.at(c.session)
	e := Ended{Mode: c.mode, Permits: l.permits(c), Session: s.id, Token: c.stamp,
		Owner: m.ownerOf(r), Since: c.since, Name: out.copyName(m.lockName(l))}
	switch {
	case s.kind == kindSession:
		e.Client = out.copyName(m.sessionName(s))
	case s.id.kept():
		e.Flags |= EndedKept
		e.Since = s.deadline - Time(s.lease)
	default:
		e.Flags |= EndedDetached
	}
	if c.flags&claimMoved != 0 {
		e.Flags |= EndedMoved
	}
	out.Ended = append(out.Ended, e)
	return &out.Ended[len(out.Ended)-1]
}

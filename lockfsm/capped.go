package lockfsm

import "fmt"

// A hold may have a max hold: however often its session is renewed, it ends by
// itself when it is that old. It ends as one does whose time ran out, with all
// that its owner has entered and with its delay if it has one, and the next who
// waits is granted the lock in the same Apply. Log time may be up to a tick behind
// the moment at which a lock is granted, so the hold lasts a tick longer than asked
// for: who counts from before it asked is always first.

// capped is one hold that has a max hold, with the moment at which that is over.
type capped struct {
	at  Time
	ref ref
}

// cappedHeap orders them by (moment, token). A moment never changes; a token does
// when its hold is converted to a stronger mode. It is a binary heap, and terms
// know the place of their claim in it. Holds without a max hold cost nothing.
type cappedHeap []capped

// cappedFrom returns when a hold is over by its max hold, forever if it has none.
func (m *Machine) cappedFrom(r ref) Time {
	x := m.termsOf(r)
	if x == nil || x.maxHold == 0 || m.claims.at(r).state != claimHolds {
		return forever
	}
	return m.claims.at(r).since + Time(x.maxHold) + Time(m.limits.TickCap)
}

// maxHold returns the max hold of a claim, zero if it has none.
func (m *Machine) maxHold(r ref) Millis {
	if x := m.termsOf(r); x != nil {
		return x.maxHold
	}
	return 0
}

// maxHold is the max hold that terms ask for, zero if they do not.
func (t *Terms) maxHold() Millis {
	if t.Fields&TermMaxHold == 0 {
		return 0
	}
	return t.MaxHold
}

// leftOf returns for how much longer a hold may last, and whether it has a max hold.
func (m *Machine) leftOf(r ref) (left Millis, capped bool) {
	over := m.cappedFrom(r)
	if over == forever {
		return 0, false
	}
	if over -= Time(m.limits.TickCap); over > m.logTime {
		left = Millis(over - m.logTime)
	}
	return left, true
}

// cap begins the max hold of a claim that has become a hold, if it has one.
func (m *Machine) cap(r ref) {
	at := m.cappedFrom(r)
	if at == forever {
		return
	}
	m.capped = append(m.capped, capped{})
	m.raiseCapped(len(m.capped)-1, capped{at, r})
}

// uncap ends it, if the claim is a hold that has one. Its terms are still there.
func (m *Machine) uncap(r ref) {
	if m.cappedFrom(r) == forever {
		return
	}
	i, n := int(m.terms[r].cappedAt), len(m.capped)-1
	last := m.capped[n]
	m.capped = m.capped[:n]
	switch {
	case i == n:
	case i > 0 && m.cappedBefore(last, m.capped[(i-1)/2]):
		m.raiseCapped(i, last)
	default:
		m.sinkCapped(i, last)
	}
}

func (m *Machine) cappedBefore(a, b capped) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return m.claims.at(a.ref).stamp < m.claims.at(b.ref).stamp
}

func (m *Machine) putCapped(i int, c capped) {
	m.capped[i] = c
	m.terms[c.ref].cappedAt = uint32(i)
}

// raiseCapped moves c up from the free place i.
func (m *Machine) raiseCapped(i int, c capped) {
	for i > 0 && m.cappedBefore(c, m.capped[(i-1)/2]) {
		m.putCapped(i, m.capped[(i-1)/2])
		i = (i - 1) / 2
	}
	m.putCapped(i, c)
}

// sinkCapped moves c down from the free place i.
func (m *Machine) sinkCapped(i int, c capped) {
	for {
		least := 2*i + 1
		if least >= len(m.capped) {
			break
		}
		if right := least + 1; right < len(m.capped) &&
			m.cappedBefore(m.capped[right], m.capped[least]) {
			least = right
		}
		if !m.cappedBefore(m.capped[least], c) {
			break
		}
		m.putCapped(i, m.capped[least])
		i = least
	}
	m.putCapped(i, c)
}

// overdue returns the hold whose max hold is over first, zero if there is none
// that is before a moment.
func (m *Machine) overdue(before Time) ref {
	if len(m.capped) == 0 || plantedIs("max-hold-forgotten") {
		return 0
	}
	if first := m.capped[0]; first.at <= m.logTime && first.at < before {
		return first.ref
	}
	return 0
}

// overstay ends a hold whose max hold is over, with all that entered it. Its session
// lives on. It returns what that counts for in the work of an Apply.
func (m *Machine) overstay(r ref, out *Outcome) int {
	c := m.claims.at(r)
	l := m.locks.at(c.lock)
	work := 1
	if k := m.stack(l, c); k != nil {
		for k.levels != 0 {
			m.dropLevel(k.levels)
			work++
		}
	}
	out.Events = append(out.Events, Event{Kind: EventLost, Reason: ReasonMaxHold,
		Session: m.sessions.at(c.session).id, Request: c.request, Token: c.stamp,
		Name: out.copyName(m.lockName(l))})
	return work + m.dropClaim(r, endLost, out)
}

// validateCapped checks that exactly the holds with a max hold are capped, in order.
func (m *Machine) validateCapped() error {
	n := 0
	for r := range m.terms { // order: counts
		if m.cappedFrom(r) != forever {
			n++
		}
	}
	if n != len(m.capped) {
		return fmt.Errorf("max holds: have %d in order, counted %d", len(m.capped), n)
	}
	for i, x := range m.capped {
		switch {
		case m.cappedFrom(x.ref) != x.at || int(m.terms[x.ref].cappedAt) != i:
			return fmt.Errorf("max hold of claim %d: at %d in place %d", x.ref, x.at, i)
		case i > 0 && m.cappedBefore(x, m.capped[(i-1)/2]):
			return fmt.Errorf("max hold of claim %d: before its parent in the heap", x.ref)
		}
	}
	return nil
}

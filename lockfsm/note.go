package lockfsm

import "bytes"

// Noting says whether a machine notes which locks it touches. It is no part of
// the state: no result depends on it, and it may differ between replicas.
type Noting uint8

// The two choices.
const (
	NotingOff Noting = iota
	NotingOn
)

// Note has every Apply from now on say in Outcome.Touched which locks it touched,
// or no more. Without it only new waits are noted.
func (m *Machine) Note(n Noting) { m.noting = n }

// Changes is a set of things that happened to one lock.
type Changes uint8

// What may have happened. An empty set stands for anything else that the record
// of the lock shows.
const (
	ChangedGrant   Changes = 1 << iota // a claim became a hold
	ChangedRelease                     // a hold was given back, by its owner or with its session
	ChangedExpiry                      // a hold ended because its time or its session's lease ran out
	ChangedQueue                       // a request began to wait
	ChangedForce                       // a hold was ended by force
)

// Touch says that an Apply did something to a lock. What the lock has become, the
// machine says.
type Touch struct {
	Changes Changes
	// Held is how long the hold was held that a release or an expiry ended.
	Held Time
	// Name is borrowed from the Outcome.
	Name []byte
}

// noteTouch notes that the record of a lock is not what it was.
func (m *Machine) noteTouch(r ref) {
	if m.noted == nil {
		return
	}
	name := m.lockName(m.locks.at(r))
	if k := len(m.noted.Touched); k > 0 && bytes.Equal(m.noted.Touched[k-1].Name, name) {
		return
	}
	m.noted.Touched = append(m.noted.Touched, Touch{Name: m.noted.copyName(name)})
}

// noteHold notes that a claim holds or has ceased to.
func (m *Machine) noteHold(r ref, what Changes) {
	if m.noted == nil {
		return
	}
	c := m.claims.at(r)
	t := Touch{Changes: what, Name: m.noted.copyName(m.lockName(m.locks.at(c.lock)))}
	if what == ChangedRelease {
		t.Held = m.logTime - c.since
		if min(m.sessions.at(c.session).deadline, m.cappedFrom(r)) <= m.logTime {
			t.Changes = ChangedExpiry
		}
	}
	m.noted.Touched = append(m.noted.Touched, t)
}

// noteForce notes that a hold is about to be ended by force.
func (m *Machine) noteForce(r ref) {
	if m.noted == nil {
		return
	}
	m.noted.Touched = append(m.noted.Touched,
		Touch{Changes: ChangedForce, Name: m.noted.copyName(m.lockName(m.locks.at(r)))})
}

// noteQueue notes that a request waits from now on.
func (m *Machine) noteQueue(l *lock, out *Outcome) {
	out.Touched = append(out.Touched,
		Touch{Changes: ChangedQueue, Name: out.copyName(m.lockName(l))})
}

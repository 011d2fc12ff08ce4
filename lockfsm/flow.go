package lockfsm

import "encoding/binary"

// Circles that lead through several groups are beyond one machine. It says, to whoever
// looks for them, what an owner waits for and what is in the way of that. Sessions of
// one client have an id of their own in every group; what they have in common is the
// first half of their nonces.

// ClientID tells over all groups whose a session is.
type ClientID uint64

// Client returns the client of a session that was opened with the nonce.
func (n *Nonce) Client() ClientID { return ClientID(binary.LittleEndian.Uint64(n[:8])) }

// Flow is one who does one thing at a time, if it says so by [Detect]: an owner of a
// client or, with owner zero, all of the client that names no owner.
type Flow struct {
	Client ClientID
	Owner  Owner
}

const (
	// flowWaits bounds the waits of one flow that are found, of which it promises that
	// it has one.
	flowWaits = 8
	// MaxBlockers bounds what is listed in the way of one wait, and flowLooks the
	// claims that are looked at for that.
	MaxBlockers = 16
	flowLooks   = 256
)

// flowsMost bounds the waits in the index. What is not in it waits as well, and no circle
// over several groups is found through it.
func (l *Limits) flowsMost() int { return 8 + int(l.Claims/16) }

// FlowWait is a wait with Detect for one name, and what stays in its way as long as the
// owner of that waits so itself.
type FlowWait struct {
	Flow     Flow
	Session  SessionID
	Request  RequestID
	Weight   uint8
	Client   []byte // the name of the session; borrowed until the next Apply
	Name     []byte // of the lock; borrowed until the next Apply
	Blockers []Blocker
	// Near counts the last of the Blockers, which are waits for several names: this one
	// waits only until they are in turn for this name.
	Near int
}

// Blocker is a hold that is in the way, or a wait with Detect that goes first.
type Blocker struct {
	Flow    Flow
	Session SessionID
	Request RequestID // by which it was asked for
	Token   Token     // of a hold, zero of a wait
}

// FlowSpan says which of the names at which a flow waits are told: those after the first
// Skip, and Most of them.
type FlowSpan struct {
	Skip, Most int
}

// FlowWalk says how far an answer about a flow has come, and what it costs.
type FlowWalk struct {
	Passed int  // names gone past, be something in the way at them or not
	Looked int  // claims looked at, those that were skipped included
	More   bool // there are more names
}

// FlowWaits appends the waits with Detect of a flow to dst, of eight at most, one for
// several names once for each that has something in its way. That is listed up to
// MaxBlockers: holds in the order of their tokens, then waits in that of the queue,
// those last that are near. It stops too when it has looked at a lot.
func (m *Machine) FlowWaits(dst []FlowWait, f Flow, span FlowSpan) ([]FlowWait, FlowWalk) {
	at, looked := FlowWalk{}, 0
	if m.byFlow.n == 0 {
		return dst, at
	}
	most := len(dst) + span.Most
	for n := range uint64(flowWaits) {
		p := m.byFlow.probe(m.hashFlow(f, n))
		for r := p.next(); r != 0; r = p.next() {
			if m.flowOf(r) != f || m.ending(m.claims.at(r)) {
				continue
			}
			for part := r; part != 0; part = m.nextName(part) {
				switch {
				case at.Passed < span.Skip:
					at.Looked++
				case len(dst) >= most || looked >= flowWaits*flowLooks:
					at.More = true
					return dst, at
				default:
					c := m.claims.at(part)
					w, n := m.flowWait(c, f)
					at.Looked, looked = at.Looked+n, looked+n
					if !c.isPart() || len(w.Blockers) > 0 {
						dst = append(dst, w)
					}
				}
				at.Passed++
			}
		}
	}
	return dst, at
}

// nextName returns the next part of the acquire of r, zero if that asks for no more.
func (m *Machine) nextName(r ref) ref {
	if !m.claims.at(r).isPart() {
		return 0
	}
	return m.partAfter(r)
}

// flowWait describes one wait, and counts what it looks at for that.
func (m *Machine) flowWait(c *claim, f Flow) (w FlowWait, looked int) {
	l, s := m.locks.at(c.lock), m.sessions.at(c.session)
	w = FlowWait{Flow: f, Session: s.id, Request: c.request, Weight: c.weight,
		Client: m.sessionName(s), Name: m.lockName(l)}
	blocker := func(r ref, token Token) Blocker {
		b := m.claims.at(r)
		return Blocker{Flow: m.flowOf(r), Session: m.sessions.at(b.session).id, Request: b.request,
			Token: token}
	}
	for r := l.holders; r != 0 && looked < flowLooks && len(w.Blockers) < MaxBlockers; {
		looked++
		h := m.claims.at(r)
		if m.owned(h) && !m.ending(h) && r != c.converting() && l.bars(h, c) {
			w.Blockers = append(w.Blockers, blocker(r, h.stamp))
		}
		r = h.next
	}
	var near []Blocker
	for r := l.waiters; m.claims.at(r) != c && looked < flowLooks && len(w.Blockers) < MaxBlockers; {
		looked++
		at, b := r, m.claims.at(r)
		r = b.next
		switch {
		case b.flags&claimDetects == 0 || m.sessions.at(b.session).dormant():
		case b.isPart() && !b.passable(c):
			w.Blockers = append(w.Blockers, blocker(at, 0))
		case !l.adds(b, c):
		case b.passable(c):
			near = append(near, blocker(at, 0))
		default:
			w.Blockers = append(w.Blockers, blocker(at, 0))
		}
	}
	near = near[:min(len(near), MaxBlockers-len(w.Blockers))]
	w.Blockers, w.Near = append(w.Blockers, near...), len(near)
	return w, looked
}

// owned reports whether a hold is that of a flow: of a session, not detached or kept.
func (m *Machine) owned(h *claim) bool { return m.sessions.at(h.session).kind == kindSession }

func (m *Machine) ending(c *claim) bool {
	return m.sessions.at(c.session).flags&entryEnding != 0
}

// bars reports whether a hold keeps a wait out whatever the other holders do.
func (l *lock) bars(h, c *claim) bool {
	if l.semaphore() {
		return uint64(l.permits(h))+uint64(l.permits(c)) > uint64(l.capacity())
	}
	return !h.mode.Compatible(c.mode)
}

// adds reports whether something of this lock may keep b waiting, which goes before c,
// that does not keep c itself. Else there is no circle through b without one past it,
// unless b waits for other locks too. The hold that c is to convert is nothing of the
// kind: b does not wait for it, or c would have been refused.
func (l *lock) adds(b, c *claim) bool {
	if l.semaphore() {
		return l.permits(b) > l.permits(c)
	}
	return c.mode.compatible()&^b.mode.compatible() != 0
}

// flowOf returns the flow of a claim.
func (m *Machine) flowOf(r ref) Flow {
	return Flow{m.sessions.at(m.claims.at(r).session).nonce.Client(), m.promiser(r)}
}

// promiser returns the owner of a claim who waits with it, if it waits: of a conversion
// that of its hold.
func (m *Machine) promiser(r ref) Owner {
	if h := m.claims.at(r).converting(); h != 0 {
		r = h
	}
	return m.ownerOf(r)
}

// hashFlow is where the n-th wait of a flow stands. Each has a hash of its own, so that
// no flow makes long runs.
func (m *Machine) hashFlow(f Flow, n uint64) uint32 {
	return hashPair(m.limits.Seed+n, uint64(f.Client), uint64(f.Owner))
}

// detect notes that a claim, which waits, says Detect. Of parts the first stands in the
// index for all.
func (m *Machine) detect(r ref) {
	c := m.claims.at(r)
	c.flags |= claimDetects
	m.detectCount++
	if m.byFlow.n >= m.limits.flowsMost() || c.part() > 1 {
		return
	}
	f := m.flowOf(r)
	for n := range uint64(flowWaits) {
		hash := m.hashFlow(f, n)
		if p := m.byFlow.probe(hash); p.next() == 0 {
			m.byFlow.insert(hash, r)
			return
		}
	}
}

// undetect undoes detect. Requires: the claim has its owner and its session yet.
func (m *Machine) undetect(r ref) {
	if m.claims.at(r).flags&claimDetects == 0 {
		return
	}
	if hash, ok := m.flowPlace(r); ok {
		m.byFlow.remove(hash, r)
	}
	m.claims.at(r).flags &^= claimDetects
	m.detectCount--
}

// flowPlace returns the hash under which a claim stands in the index, if it does.
func (m *Machine) flowPlace(r ref) (uint32, bool) {
	if m.claims.at(r).part() > 1 {
		return 0, false
	}
	f := m.flowOf(r)
	for n := range uint64(flowWaits) {
		hash := m.hashFlow(f, n)
		for p := m.byFlow.probe(hash); ; {
			switch p.next() {
			case r:
				return hash, true
			case 0:
			default:
				continue
			}
			break
		}
	}
	return 0, false
}

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
	// flowWaits bounds the waits of one flow that are found. It promises that it
	// has one.
	flowWaits = 8
	// MaxBlockers bounds what is listed in the way of one wait, and flowLooks the
	// claims that are looked at for that.
	MaxBlockers = 16
	flowLooks   = 256
)

// flowsMost bounds the waits in the index. What is not in it waits as well, and no circle
// over several groups is found through it.
func (l *Limits) flowsMost() int { return 8 + int(l.Claims/16) }

// FlowWait is a wait with Detect, and what stays in its way as long as the owner of
// that waits so itself.
type FlowWait struct {
	Flow     Flow
	Session  SessionID
	Request  RequestID
	Weight   uint8
	Client   []byte // the name of the session; borrowed until the next Apply
	Name     []byte // of the lock; borrowed until the next Apply
	Blockers []Blocker
	// Looked is how many claims were looked at, which is what the answer costs.
	Looked int
}

// Blocker is a hold that is in the way, or a wait with Detect that goes first.
type Blocker struct {
	Flow    Flow
	Session SessionID
	Request RequestID // by which it was asked for
	Token   Token     // of a hold, zero of a wait
}

// FlowWaits appends the waits with Detect of a flow to dst, eight at most. What is in
// the way of each is listed up to MaxBlockers: holds in the order of their tokens, then
// waits in that of the queue.
func (m *Machine) FlowWaits(dst []FlowWait, f Flow) []FlowWait {
	if m.byFlow.n == 0 {
		return dst
	}
	for n := range uint64(flowWaits) {
		p := m.byFlow.probe(m.hashFlow(f, n))
		for r := p.next(); r != 0; r = p.next() {
			if c := m.claims.at(r); m.flowOf(c) == f && !m.ending(c) {
				dst = append(dst, m.flowWait(c, f))
			}
		}
	}
	return dst
}

func (m *Machine) flowWait(c *claim, f Flow) FlowWait {
	l, s := m.locks.at(c.lock), m.sessions.at(c.session)
	w := FlowWait{Flow: f, Session: s.id, Request: c.request, Weight: c.weight,
		Client: m.sessionName(s), Name: m.lockName(l)}
	list := func(b *claim, token Token) bool {
		w.Blockers = append(w.Blockers, Blocker{Flow: m.flowOf(b),
			Session: m.sessions.at(b.session).id, Request: b.request, Token: token})
		return len(w.Blockers) < MaxBlockers
	}
	for r := l.holders; r != 0 && w.Looked < flowLooks; r = m.claims.at(r).next {
		w.Looked++
		if h := m.claims.at(r); m.owned(h) && !m.ending(h) && l.bars(h, c) && !list(h, h.stamp) {
			return w
		}
	}
	for r := l.waiters; m.claims.at(r) != c && w.Looked < flowLooks; r = m.claims.at(r).next {
		w.Looked++
		b := m.claims.at(r)
		dormant := m.sessions.at(b.session).dormant()
		if b.flags&claimDetects != 0 && !dormant && l.adds(b, c) && !list(b, 0) {
			return w
		}
	}
	return w
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

// adds reports whether something may keep b waiting, which goes before c, that does not
// keep c itself. Else there is no circle through b without one past it.
func (l *lock) adds(b, c *claim) bool {
	if l.semaphore() {
		return l.permits(b) > l.permits(c)
	}
	return c.mode.compatible()&^b.mode.compatible() != 0
}

// flowOf returns the flow of a claim.
func (m *Machine) flowOf(c *claim) Flow {
	return Flow{m.sessions.at(c.session).nonce.Client(), m.ownerOf(m.locks.at(c.lock), c)}
}

// hashFlow is where the n-th wait of a flow stands. Each has a hash of its own, so that
// no flow makes long runs.
func (m *Machine) hashFlow(f Flow, n uint64) uint32 {
	return hashPair(m.limits.Seed+n, uint64(f.Client), uint64(f.Owner))
}

// detect notes that a claim, which waits, says Detect.
func (m *Machine) detect(r ref) {
	m.claims.at(r).flags |= claimDetects
	m.detectCount++
	if m.byFlow.n >= m.limits.flowsMost() {
		return
	}
	f := m.flowOf(m.claims.at(r))
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
	f := m.flowOf(m.claims.at(r))
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

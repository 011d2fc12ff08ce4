package lockfsm

// Somebody who has no part in a lock may end a hold of it, because its holder does
// not and cannot be made to. The hold is named by the token that it has now, so what
// was decided about one hold never ends another, and a request that is repeated ends
// nothing more: tokens are not given out again. Nobody has to have a session for it.
// The log keeps who did it and why.

const (
	// MaxReasonBytes bounds the reason of an OpForce; the shortest is one byte.
	MaxReasonBytes = 256
	// MaxWhoBytes bounds who is said to have asked for it.
	MaxWhoBytes = 128
)

// Forced is one hold that was ended by an OpForce, for those who keep account.
// Everything but numbers is borrowed from the Outcome.
type Forced struct {
	// Session is that of the holder, or the owner of a detached hold. Client is the
	// name that its client gave.
	Session  SessionID
	Detached bool
	Token    Token
	Mode     Mode
	Held     Time // how long it was held

	Name, Client []byte
	// Who asked for it, and why, as the command says.
	Who, Reason []byte
}

// force ends a hold, with all that its owner entered, whoever has it. What the
// holder asked to be kept after the end is not: whoever forces wants the lock free.
// What waits to be granted is let in by the same Apply.
func (m *Machine) force(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Token: c.Token}
	if len(c.Value) == 0 || len(c.Value) > MaxReasonBytes || len(c.Who) > MaxWhoBytes {
		return res.with(CodeBadRequest)
	}
	lr := m.findLock(c.Name, m.hashName(c.Name))
	if lr == 0 || m.locks.at(lr).ghost() {
		return res.with(CodeNotHolder)
	}
	l := m.locks.at(lr)
	if l.gate() != 0 {
		return l.otherKind(res) // what stands of it is nobody's hold
	}
	r := m.holdWith(l, c.Token)
	if r == 0 {
		if l.holders != 0 {
			res.HolderToken = m.claims.at(m.claims.at(l.holders).prev).stamp
		}
		return res.with(CodeNotHolder)
	}
	cl := m.claims.at(r)
	s := m.sessions.at(cl.session)
	res.Session, res.Detached, res.Request = s.id, s.kind == kindDetached, cl.request
	m.tellForced(l, cl, c, out)
	m.noteForce(lr)
	if k := m.stack(l, cl); k != nil {
		for k.levels != 0 {
			m.dropLevel(k.levels)
		}
	}
	m.dropClaim(r, endForced, out)
	return res.with(CodeOK)
}

// holdWith returns the hold of a lock that has a token, zero if none has. A detached hold
// has an entry of its own. For any other it looks at the holds from both ends at once,
// until it is past the token: at twice as many as are on the shorter side of that, and
// HoldersPerLock at most.
func (m *Machine) holdWith(l *lock, t Token) ref {
	if l.holders == 0 {
		return 0
	}
	if plantedIs("force-without-token") {
		return m.claims.at(l.holders).prev
	}
	if sr := m.findDetached(t); sr != 0 {
		if r := m.sessions.at(sr).claims; m.locks.at(m.claims.at(r).lock) == l {
			return r
		}
		return 0
	}
	for old, young := l.holders, m.claims.at(l.holders).prev; ; {
		m.looks++
		switch {
		case m.claims.at(old).stamp == t:
			return old
		case m.claims.at(young).stamp == t:
			return young
		case !m.between(old, young, t):
			return 0
		}
		old, young = m.claims.at(old).next, m.claims.at(young).prev
	}
}

// tellForced says what is about to end by force.
func (m *Machine) tellForced(l *lock, cl *claim, c *Command, out *Outcome) {
	s := m.sessions.at(cl.session)
	name := out.copyName(m.lockName(l))
	out.Events = append(out.Events, Event{Kind: EventForced, Session: s.id, Request: cl.request,
		Token: cl.stamp, Name: name})
	f := Forced{Session: s.id, Detached: s.kind == kindDetached, Token: cl.stamp, Mode: cl.mode,
		Held: m.logTime - cl.since, Name: name, Who: out.copyName(c.Who),
		Reason: out.copyName(c.Value)}
	if s.kind == kindSession {
		f.Client = out.copyName(m.sessionName(s))
	}
	out.Forced = append(out.Forced, f)
}

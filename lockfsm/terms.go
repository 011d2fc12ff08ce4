package lockfsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Terms are what an acquire asks for beyond a mode or permits, and what
// [OpAmend] changes of a hold. Most claims have none, so they stand in a table of
// their own, which costs nothing while it is empty.
type Terms struct {
	// Fields says which of the others are there.
	Fields TermFields
	// Payload and Labels are data for others to read. The machine does not look
	// inside; labels are kept apart because they are shown in other places.
	// Borrowed.
	Payload []byte // at most MaxPayloadBytes
	Labels  []byte // at most MaxLabelBytes
	// MaxHold is how long after its grant a hold ends by itself, HoldMin to HoldMax
	// of the limits; an OpAmend does not change it.
	MaxHold Millis
	// Value is that of the lock, of an OpAmend only: at most MaxValueBytes, empty to take
	// it away. Borrowed.
	Value []byte
	// MinHold is how long after its grant the lock stays taken, even if it is given
	// back earlier, and Delay for how long it does if the hold is lost. Both are 1
	// to Limits.HoldMax; an OpAmend does not change them.
	MinHold, Delay Millis
	// Owner is who asks for several names, of an OpAcquireAll only; not zero. It enters
	// nothing: see parts.go.
	Owner Owner
}

// TermFields is a set of the fields of Terms. The bits are part of the wire, log
// and checkpoint formats.
type TermFields uint16

// The fields.
const (
	TermPayload TermFields = 1 << 0
	TermLabels  TermFields = 1 << 1
	// TermMaxHold says that a hold ends by itself some time after its grant.
	TermMaxHold TermFields = 1 << 2
	// TermMinHold and TermDelay say that a hold may stay taken after its end.
	TermMinHold TermFields = 1 << 3
	TermDelay   TermFields = 1 << 4
	// TermValue is the value of the lock: of an OpAmend only.
	TermValue TermFields = 1 << 5
	// TermOwner is the owner of an acquire of several names: of an OpAcquireAll only.
	TermOwner TermFields = 1 << 6

	dataTerms  = TermPayload | TermLabels
	knownTerms = dataTerms | TermMaxHold | TermMinHold | TermDelay | TermValue | TermOwner
)

const (
	// MaxPayloadBytes bounds the payload of one claim.
	MaxPayloadBytes = 4096
	// MaxLabelBytes bounds its labels, all together.
	MaxLabelBytes = 512
	// termsBytes is what a claim with terms counts for in Limits.DataBytes beside
	// its data: what the entry takes.
	termsBytes = 128
)

// Bytes is the length of the data.
func (t *Terms) Bytes() int { return len(t.Payload) + len(t.Labels) + len(t.Value) }

// append encodes the terms: which fields, and then each that is there.
func (t *Terms) append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint16(dst, uint16(t.Fields))
	if t.Fields&TermPayload != 0 {
		dst = append(le.AppendUint16(dst, uint16(len(t.Payload))), t.Payload...)
	}
	if t.Fields&TermLabels != 0 {
		dst = append(le.AppendUint16(dst, uint16(len(t.Labels))), t.Labels...)
	}
	if t.Fields&TermMaxHold != 0 {
		dst = le.AppendUint32(dst, uint32(t.MaxHold))
	}
	if t.Fields&TermMinHold != 0 {
		dst = le.AppendUint32(dst, uint32(t.MinHold))
	}
	if t.Fields&TermDelay != 0 {
		dst = le.AppendUint32(dst, uint32(t.Delay))
	}
	if t.Fields&TermValue != 0 {
		dst = append(le.AppendUint16(dst, uint16(len(t.Value))), t.Value...)
	}
	if t.Fields&TermOwner != 0 {
		dst = le.AppendUint64(dst, uint64(t.Owner))
	}
	return dst
}

// terms decodes what append wrote. It reports ErrTooNew for a field that is not
// known.
func (r *reader) terms(t *Terms) error {
	start := r.at
	t.Fields = TermFields(r.u16())
	if t.Fields&^knownTerms != 0 {
		r.at = start
		return ErrTooNew
	}
	if t.Fields&TermPayload != 0 {
		t.Payload = r.take(int(r.u16()))
	}
	if t.Fields&TermLabels != 0 {
		t.Labels = r.take(int(r.u16()))
	}
	if t.Fields&TermMaxHold != 0 {
		t.MaxHold = Millis(r.u32())
	}
	if t.Fields&TermMinHold != 0 {
		t.MinHold = Millis(r.u32())
	}
	if t.Fields&TermDelay != 0 {
		t.Delay = Millis(r.u32())
	}
	if t.Fields&TermValue != 0 {
		t.Value = r.take(int(r.u16()))
	}
	if t.Fields&TermOwner != 0 {
		t.Owner = Owner(r.u64())
	}
	return r.checked()
}

// valid reports whether the terms are within their bounds.
func (t *Terms) valid() bool {
	return len(t.Payload) <= MaxPayloadBytes && len(t.Labels) <= MaxLabelBytes &&
		len(t.Value) <= MaxValueBytes
}

// timely reports whether the times that are there are within the limits, and the
// hold may last as long as it is to.
func (t *Terms) timely(l *Limits) bool {
	both := t.Fields&(TermMaxHold|TermMinHold) == TermMaxHold|TermMinHold
	return (t.Fields&TermMinHold == 0 || t.MinHold > 0 && t.MinHold <= l.HoldMax) &&
		(t.Fields&TermDelay == 0 || t.Delay > 0 && t.Delay <= l.HoldMax) &&
		(t.Fields&TermMaxHold == 0 || t.MaxHold >= l.HoldMin && t.MaxHold <= l.HoldMax) &&
		(!both || t.MinHold <= t.MaxHold)
}

// describe appends the terms to the text of a command.
func (t *Terms) describe(dst []byte) []byte {
	if t.Fields&TermPayload != 0 {
		dst = fmt.Appendf(dst, " payload of %d bytes", len(t.Payload))
	}
	if t.Fields&TermLabels != 0 {
		dst = fmt.Appendf(dst, " labels of %d bytes", len(t.Labels))
	}
	if t.Fields&TermMaxHold != 0 {
		dst = fmt.Appendf(dst, " max hold %d ms", t.MaxHold)
	}
	if t.Fields&TermMinHold != 0 {
		dst = fmt.Appendf(dst, " min hold %d ms", t.MinHold)
	}
	if t.Fields&TermDelay != 0 {
		dst = fmt.Appendf(dst, " delay %d ms", t.Delay)
	}
	if t.Fields&TermValue != 0 {
		dst = fmt.Appendf(dst, " value of %d bytes", len(t.Value))
	}
	if t.Fields&TermOwner != 0 {
		dst = fmt.Appendf(dst, " for owner %d", t.Owner)
	}
	return dst
}

// termed is what the machine keeps of a claim with terms.
type termed struct {
	payload, labels []byte
	minHold, delay  Millis // zero for none
	maxHold         Millis // zero for none
	owner           Owner  // of a part, zero for none
	cappedAt        uint32 // place among the capped while it holds, see capped.go
	// amended is the request of the newest OpAmend that took effect: an older one
	// that comes late changes nothing any more.
	amended RequestID
}

// fields says which of the terms a claim has.
func (x *termed) fields() (f TermFields) {
	if len(x.payload) > 0 {
		f |= TermPayload
	}
	if len(x.labels) > 0 {
		f |= TermLabels
	}
	if x.maxHold > 0 {
		f |= TermMaxHold
	}
	if x.minHold > 0 {
		f |= TermMinHold
	}
	if x.delay > 0 {
		f |= TermDelay
	}
	if x.owner != 0 {
		f |= TermOwner
	}
	return f
}

// charge is what a claim counts for in Limits.DataBytes.
func (x *termed) charge() uint64 {
	return termsBytes + uint64(len(x.payload)) + uint64(len(x.labels))
}

// after returns what a claim has once t has been taken over. It borrows from both.
func (x *termed) after(t *Terms) termed {
	y := *x
	if t.Fields&TermPayload != 0 {
		y.payload = t.Payload
	}
	if t.Fields&TermLabels != 0 {
		y.labels = t.Labels
	}
	if t.Fields&TermMaxHold != 0 {
		y.maxHold = t.MaxHold
	}
	if t.Fields&TermMinHold != 0 {
		y.minHold = t.MinHold
	}
	if t.Fields&TermDelay != 0 {
		y.delay = t.Delay
	}
	if t.Fields&TermOwner != 0 {
		y.owner = t.Owner
	}
	return y
}

// fitsData reports whether the data of all claims may grow from one amount to
// another.
func (m *Machine) fitsData(from, to uint64) bool {
	return to <= from || m.dataBytes-from+to <= uint64(m.limits.DataBytes)
}

// roomForTerms checks the limits that the terms of so many more claims could break.
func (m *Machine) roomForTerms(c *Command, n uint32) Code {
	if c.Terms.Fields == 0 {
		return CodeOK
	}
	none := termed{}
	x := none.after(&c.Terms)
	switch {
	case !m.fitsData(0, uint64(n)*x.charge()):
		return CodeTooMuchData
	case x.lingers() && c.Flags&Detached == 0 &&
		m.detachedCount+m.lingers+n > m.limits.Detached:
		return CodeTooManyDetached
	default:
		return CodeOK
	}
}

// termsOf returns what a claim has beyond those without terms, nil for nothing.
func (m *Machine) termsOf(r ref) *termed {
	if m.claims.at(r).flags&claimTermed == 0 {
		return nil
	}
	return m.terms[r]
}

// setTerms gives a claim terms, or others than it has, and copies what it keeps.
func (m *Machine) setTerms(r ref, x termed) {
	if old := m.termsOf(r); old != nil {
		m.dataBytes -= old.charge()
		m.countLinger(r, old, -1)
	}
	if m.terms == nil {
		m.terms = make(map[ref]*termed)
	}
	x.payload, x.labels = bytes.Clone(x.payload), bytes.Clone(x.labels)
	m.terms[r] = &x
	m.claims.at(r).flags |= claimTermed
	m.dataBytes += x.charge()
	m.countLinger(r, &x, 1)
}

// dropTerms forgets the terms of a claim that goes.
func (m *Machine) dropTerms(r ref) {
	if x := m.termsOf(r); x != nil {
		m.uncap(r)
		m.dataBytes -= x.charge()
		m.countLinger(r, x, -1)
		delete(m.terms, r)
	}
}

// amend changes the data of a hold. A request that is not newer than the last
// which did so has had its effect, or was overtaken: it changes nothing and is
// told that it is done, so that a retry counts once.
func (m *Machine) amend(c *Command, out *Outcome) Result {
	res := Result{Op: c.Op, Session: c.Session, Request: c.Request, Token: c.Token,
		Detached: c.Flags&Detached != 0}
	if c.Flags&Wait != 0 || c.Request == 0 || c.Target == 0 || !c.Terms.valid() ||
		c.Terms.Fields&^(dataTerms|TermValue) != 0 {
		return res.with(CodeBadRequest)
	}
	r, code := m.namedHold(c, out)
	if code != CodeOK {
		return res.with(code)
	}
	old, from := m.termsOf(r), uint64(0)
	if old == nil {
		old = &termed{}
	} else {
		from = old.charge()
	}
	if c.Request <= old.amended && !plantedIs("amend-repeated") {
		return res.with(CodeOK)
	}
	next := old.after(&c.Terms)
	next.amended = c.Request
	to, writes := next.charge(), c.Terms.Fields&TermValue != 0
	if writes {
		l := m.locks.at(m.claims.at(r).lock)
		switch {
		case l.semaphore():
			return l.otherKind(res)
		case !m.claims.at(r).mode.writes():
			return res.with(CodeNotWriter)
		}
		was, is := m.valueCharges(m.claims.at(r).lock, c.Terms.Value)
		from, to = from+was, to+is
	}
	if !m.fitsData(from, to) {
		return res.with(CodeTooMuchData)
	}
	m.setTerms(r, next)
	if writes {
		m.setValue(m.claims.at(r).lock, value{data: c.Terms.Value, token: m.claims.at(r).stamp})
	}
	m.touchLock(m.claims.at(r).lock)
	return res.with(CodeOK)
}

// namedHold finds the hold that a command names by its Target and a token that it
// has or had, or the code with which to refuse.
func (m *Machine) namedHold(c *Command, out *Outcome) (ref, Code) {
	owner := session{id: c.Session, kind: kindDetached}
	s := &owner
	if c.Flags&Detached == 0 {
		r, code := m.enter(c, out)
		if code != CodeOK {
			return 0, code
		}
		s = m.sessions.at(r)
	}
	r := m.findClaim(s, c.Target)
	if r != 0 && m.claims.at(r).isPart() {
		r = m.partNamed(r, c.Name)
	}
	if r == 0 || m.claims.at(r).converts() {
		return 0, CodeNotHolder
	}
	r = m.baseOf(r)
	h := m.claims.at(r)
	if h.state != claimHolds || !h.knows(c.Token) ||
		string(m.lockName(m.locks.at(h.lock))) != string(c.Name) {
		return 0, CodeNotHolder
	}
	return r, CodeOK
}

// appendTerms appends what a claim of version 3 has beyond one of version 2.
func (m *Machine) appendTerms(dst []byte, r ref) []byte {
	x := m.termsOf(r)
	if x == nil {
		return dst
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(x.amended))
	t := Terms{Fields: x.fields(), Payload: x.payload, Labels: x.labels, MinHold: x.minHold,
		Delay: x.delay, MaxHold: x.maxHold, Owner: x.owner}
	return t.append(dst)
}

// loadTerms reads the terms of a claim.
func (m *Machine) loadTerms(n ref, r *reader) error {
	x, t := termed{amended: RequestID(r.u64())}, Terms{}
	if err := r.terms(&t); err != nil {
		return fmt.Errorf("%w: terms of claim %d", ErrDamaged, n)
	}
	x = x.after(&t)
	if !t.valid() || !t.timely(&m.limits) || x.fields() != t.Fields ||
		x.owner != 0 && !m.claims.at(n).isPart() {
		return fmt.Errorf("%w: terms %#x of claim %d", ErrDamaged, t.Fields, n)
	}
	m.setTerms(n, x)
	if m.claims.at(n).state == claimHolds {
		m.cap(n)
	}
	return nil
}

// countTermed counts the claims that say that they have terms.
func (m *Machine) countTermed() int {
	n := 0
	for r := ref(1); r <= m.claims.used; r++ {
		if c := m.claims.at(r); c.state != claimFree && c.flags&claimTermed != 0 {
			n++
		}
	}
	return n
}

// validateTerms checks what terms count for. termed is how many claims have some.
func (m *Machine) validateTerms(claims int) error {
	sum, lingers := uint64(0), uint32(0)
	for r, x := range m.terms { // order: sums
		if m.claims.at(r).flags&claimTermed == 0 || m.claims.at(r).state == claimFree {
			return fmt.Errorf("terms of claim %d, which has none", r)
		}
		sum += x.charge()
		if s := m.sessions.at(m.claims.at(r).session); x.lingers() && s.kind == kindSession {
			lingers++
		}
	}
	if lingers != m.lingers || uint64(lingers)+uint64(m.detachedCount) > uint64(m.limits.Detached) {
		return fmt.Errorf("terms: %d holds may be kept, counted %d, beside %d detached of %d",
			m.lingers, lingers, m.detachedCount, m.limits.Detached)
	}
	values, err := m.validateValues()
	if err != nil {
		return err
	}
	sum += values
	if len(m.terms) != claims || sum != m.dataBytes || sum > uint64(m.limits.DataBytes) {
		return fmt.Errorf("terms: have %d with %d bytes, counted %d with %d, limit %d",
			len(m.terms), m.dataBytes, claims, sum, m.limits.DataBytes)
	}
	return nil
}

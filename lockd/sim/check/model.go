package check

import (
	"fmt"
	"slices"

	"lockd/lockfsm"
	"lockd/paxos"
)

// Model is one group's locks, worked out from the log alone with maps and
// slices. It does not predict results: it is shown what the machine did in each
// slot and accepts it only if its own state justifies every result and every
// event, and if nothing that was due is missing. Where the machine is free in
// when it does a thing (an ended session's claims may be released over several
// slots), the model takes the machine's word for the moment and only for that.
type Model struct {
	group   uint16
	limits  lockfsm.Limits
	slot    uint64
	logTime uint64
	clock   paxos.Ballot // of the newest leader that moved it
	// token is the highest token granted, lastSession the newest session.
	token       lockfsm.Token
	lastSession lockfsm.SessionID
	// sessions are alive or ending, past have ended for good.
	sessions map[lockfsm.SessionID]*Session
	past     map[lockfsm.SessionID]*Session
	nonces   map[lockfsm.Nonce]*Session
	locks    map[string]*lockModel
	// written are the versions of the registers.
	written map[string]lockfsm.Token
	claims  map[claimKey]*Claim
	// times is the log time after each slot, sizes how much there was, and used how many
	// names are in use. joins is how often a request for a name was told that it waits.
	times []uint64
	sizes []size
	used  int
	joins map[string]uint64
	gates gates
	// granted remembers every grant of a session's request: a second one would
	// be a second execution (I19).
	granted map[claimKey]lockfsm.Token
	// levels counts the claims that are levels on others.
	levels int
	// pending: the machine says that it has endings left to do. It has for so many time
	// steps, and there was so much at most that could end.
	pending           bool
	endless, couldEnd int
	// Grants and Ends are what the last slot granted and ended.
	Grants []Grant
	Ends   []Ending
	Opens  []Opening
	// Opened counts the gates that the last slot opened for several, Broken those
	// that broke while somebody waited.
	Opened, Broken uint64
	// Aged counts those of the last slot who could not pass a waiter of less weight,
	// because that had come too long before.
	Aged uint64
	// Overstayed counts the holds of the last slot that ended by their max hold.
	Overstayed uint64
	// Circles counts the requests of the last slot that would have closed one.
	Circles uint64
	// Forced are the holds that the last slot ended by force.
	Forced []Force
	// Late counts the steps of the last slot that an earlier leader had measured, and
	// Still the slots since log time was last moved in which a leader's own step, by the
	// slot's ballot, counted for nothing.
	Late  uint64
	Still int
}

// Claim is a hold or a wait.
type Claim struct {
	key  claimKey
	name string
	mode lockfsm.Mode
	// permits are taken of a semaphore of so large a capacity; both are zero for
	// a lock with modes.
	permits, capacity lockfsm.Permits
	// owner may enter again, if not zero; levels are its further acquires, oldest
	// first, each of which has the first as its base. untold ones wait with it.
	owner  lockfsm.Owner
	levels []*Claim
	base   *Claim
	untold bool
	// detects says that its owner gave his word with it: see deadlock.go.
	detects bool
	// hold is what a conversion is to convert, done that it has; turn is, of a
	// hold, the conversion that waits or was granted last. A hold that was
	// converted is moved, and was are the tokens it had.
	hold, turn  *Claim
	done, moved bool
	was         []lockfsm.Token

	// all are the claims that are left of an acquire of several names, of which this
	// is part, counted from 1; nil for any other.
	all  *[]*Claim
	part int

	weight   uint8
	since    uint64 // log time of the grant, or of joining the queue
	terms    terms
	kept     bool // it is over and stays taken, which began in the slot keptIn
	keptIn   uint64
	token    lockfsm.Token // zero while it waits
	session  *Session      // nil for a detached hold
	deadline uint64        // of a detached hold
	// eventSlot is the slot that granted it by an event. The event does not say
	// between which commands of the slot that was.
	eventSlot uint64
	// seated is the slot that put it among the holders.
	seated uint64
}

// claimKey names a request.
type claimKey struct {
	session  lockfsm.SessionID
	request  lockfsm.RequestID
	detached bool
}

type lockModel struct {
	holders, waiters []*Claim
	value            value
	history          []Version
	used             bool // by the newest
}

// Grant is one grant of the last slot.
type Grant struct {
	Session  lockfsm.SessionID
	Detached bool
	Request  lockfsm.RequestID
	Token    lockfsm.Token
	Name     string
	Mode     lockfsm.Mode
	// Permits of a Capacity, zero for a lock with modes.
	Permits, Capacity lockfsm.Permits
	// Again says that the owner had the lock already, with this token.
	Again bool
	// Was are the tokens that the hold had before it was converted.
	Was []lockfsm.Token
}

// Ending is one session that the last slot ended.
type Ending struct {
	Session *Session
	Reason  lockfsm.Reason
	// LetGo says that its conn was gone, and its lease not over.
	LetGo bool
}

// Opening is one session that the last slot opened or found again.
type Opening struct {
	Session lockfsm.SessionID
	Nonce   lockfsm.Nonce
}

// NewModel makes the model of an empty group.
func NewModel(group uint16, limits lockfsm.Limits) *Model {
	return &Model{
		group: group, limits: limits,
		sessions: make(map[lockfsm.SessionID]*Session),
		past:     make(map[lockfsm.SessionID]*Session),
		nonces:   make(map[lockfsm.Nonce]*Session),
		locks:    make(map[string]*lockModel),
		written:  make(map[string]lockfsm.Token),
		claims:   make(map[claimKey]*Claim),
		granted:  make(map[claimKey]lockfsm.Token),
		gates:    newGates(),
		times:    make([]uint64, 1),
		sizes:    make([]size, 1),
		joins:    make(map[string]uint64),
	}
}

// Slot is the last slot the model took in.
func (m *Model) Slot() uint64 { return m.slot }

// Session returns a session the group has or had, nil if it never did.
func (m *Model) Session(id lockfsm.SessionID) *Session {
	if p := m.sessions[id]; p != nil {
		return p
	}
	return m.past[id]
}

// Size is how many sessions and claims there are.
func (m *Model) Size() int { return len(m.sessions) + len(m.claims) + len(m.gates.waits) }

// Alive reports whether a session has not ended.
func (m *Model) Alive(id uint64) bool {
	p := m.sessions[lockfsm.SessionID(id)]
	return p != nil && !p.ended
}

// Holds reports whether a session lives, or something it had is still there.
func (m *Model) Holds(id lockfsm.SessionID) bool {
	if p := m.sessions[id]; p != nil && !p.ended {
		return true
	}
	for key := range m.claims { // order: any one is enough
		if key.session == id && !key.detached {
			return true
		}
	}
	return false
}

// step is one slot being judged.
type step struct {
	*Model
	out     *lockfsm.Outcome
	event   int               // the next one not yet justified
	closing lockfsm.SessionID // the session that the command at hand closes
	results lockfsm.Token
	events  lockfsm.Token
	touched map[string]struct{}
	names   []string
	// owed are conversions of which it is yet to be told that their holds ended.
	owed []claimKey
	// toTell are holds of which it is yet to be told that they were forced.
	toTell []lockfsm.Event
}

func (s *step) bad(format string, args ...any) error {
	return fmt.Errorf("model: group %d slot %d: %s", s.group, s.slot, fmt.Sprintf(format, args...))
}

func (s *step) touch(name string) *lockModel {
	if _, ok := s.touched[name]; !ok {
		s.touched[name] = struct{}{}
		s.names = append(s.names, name)
	}
	l := s.locks[name]
	if l == nil {
		l = &lockModel{}
		s.locks[name] = l
	}
	return l
}

// Apply judges one slot: its value, what the machine said of it, and whether
// the machine says that endings are left to do.
func (m *Model) Apply(slot uint64, value []byte, out *lockfsm.Outcome, pending Pending) error {
	m.Grants, m.Ends, m.Opens = m.Grants[:0], m.Ends[:0], m.Opens[:0]
	m.Opened, m.Broken = 0, 0
	m.Aged, m.Circles, m.Overstayed, m.Late, m.Forced = 0, 0, 0, 0, nil
	s := &step{Model: m, out: out, results: m.token, events: m.token,
		touched: make(map[string]struct{})}
	if slot != m.slot+1 {
		return s.bad("I6: slot %d follows", slot)
	}
	m.slot, m.pending = slot, pending == StillEnding
	b, err := DecodeBatch(value)
	if err != nil {
		return s.bad("value of %d bytes: %v", len(value), err)
	}
	if b.Ticked {
		if err := s.tick(&b); err != nil {
			return err
		}
	}
	// Waiters behind those of a session that ended may have become first.
	if err := s.follow(); err != nil {
		return err
	}
	if len(b.Commands) != len(out.Results) {
		return s.bad("%d results of %d commands", len(out.Results), len(b.Commands))
	}
	for i := range b.Commands {
		if err := s.command(&b.Commands[i], &out.Results[i]); err != nil {
			return err
		}
		if err := s.follow(); err != nil {
			return err
		}
		if err := s.closed(); err != nil {
			return err
		}
	}
	if s.event < len(out.Events) {
		e := &out.Events[s.event]
		return s.bad("I17: nothing justifies %v of session %d request %d token %d on %q",
			e.Kind, e.Session, e.Request, e.Token, e.Name)
	}
	if err := s.allTold(); err != nil {
		return err
	}
	m.token = max(s.results, s.events)
	m.times = append(m.times, m.logTime)
	if err := s.endsInTime(&b); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	m.measure(&b, out)
	return nil
}

// Pending says whether a machine has endings left to do after a slot.
type Pending uint8

// The two answers.
const (
	AllDone Pending = iota
	StillEnding
)

// follow takes in events for as long as the state justifies them.
func (s *step) follow() error {
	for ; s.event < len(s.out.Events); s.event++ {
		e := &s.out.Events[s.event]
		var ok bool
		switch e.Kind {
		case lockfsm.EventSessionEnded:
			ok = s.sessionEnded(e)
		case lockfsm.EventWaitEnded:
			ok = s.waitEnded(e) || s.gateWaitEnded(e)
		case lockfsm.EventLost:
			if e.Session != 0 {
				ok = s.lost(e)
				break
			}
			var err error
			if ok, err = s.gateLost(e); err != nil {
				return err
			}
		case lockfsm.EventFreed:
			ok = s.lost(e)
		case lockfsm.EventKept:
			ok = s.eventKept(e)
		case lockfsm.EventForced:
			ok = s.eventForced(e)
		case lockfsm.EventWritten:
			ok = s.written[string(e.Name)] == e.Token
		case lockfsm.EventConversionEnded:
			ok = s.conversionEnded(e)
		case lockfsm.EventGranted:
			var err error
			if ok, err = s.eventGrant(e); err != nil {
				return err
			}
		}
		if !ok {
			return nil
		}
	}
	return nil
}

func (s *step) waitEnded(e *lockfsm.Event) bool {
	c := s.claims[claimKey{e.Session, e.Request, false}]
	if c == nil || c.root().token != 0 || !c.session.ended || c.name != string(e.Name) {
		return false
	}
	s.drop(c)
	return true
}

func (s *step) eventGrant(e *lockfsm.Event) (bool, error) {
	c := s.claims[claimKey{e.Session, e.Request, false}]
	if c != nil && c.base != nil {
		return s.eventEnters(c, e), nil
	}
	if c != nil && c.hold != nil {
		return s.eventTurns(c, e)
	}
	if c != nil && c.all != nil {
		return s.eventGrantAll(c, e)
	}
	if c == nil || c.token != 0 || c.name != string(e.Name) || !s.mayGrant(c) {
		return false, nil
	}
	if e.Token <= s.events {
		return false, s.bad("I15: token %d granted after %d", e.Token, s.events)
	}
	s.events, c.eventSlot = e.Token, s.slot
	return true, s.grant(c, e.Token)
}

// mayGrant reports whether a waiting claim is next in line and is let in.
func (s *step) mayGrant(c *Claim) bool {
	if c.session.ended || c.session.parked {
		return false
	}
	l := s.locks[c.name]
	at := slices.Index(l.waiters, c)
	return at >= 0 && s.lets(l, l.waiters[:at], c, s.admits)
}

// admits reports whether the holders that still count let a claim in.
func (s *step) admits(l *lockModel, c *Claim) bool {
	n, taken := 0, lockfsm.Permits(0)
	for _, h := range l.holders {
		if h.gone() || h == c.hold {
			continue
		}
		if n++; !compatible(h.mode, c.mode) || h.capacity != c.capacity {
			return false
		}
		taken += h.permits
	}
	return n < int(s.limits.HoldersPerLock) && taken+c.permits <= c.capacity
}

// compatible is the DLM matrix, written out by rows.
func compatible(a, b lockfsm.Mode) bool {
	rows := [6]string{"111111", "111110", "111000", "110100", "110000", "100000"}
	return rows[a][b] == '1'
}

// grant makes a claim a hold; what stood in its way and may be gone is gone.
func (s *step) grant(c *Claim, t lockfsm.Token) error {
	if before, ok := s.granted[c.key]; ok && !c.key.detached {
		return s.bad("I19: request %d of session %d granted again: token %d, before %d",
			c.key.request, c.key.session, t, before)
	}
	s.seat(c, t)
	s.claims[c.key], s.granted[c.key] = c, t
	return nil
}

// seat puts a claim among the holders.
func (s *step) seat(c *Claim, t lockfsm.Token) {
	l := s.touch(c.name)
	for _, h := range slices.Clone(l.holders) {
		if h.gone() && !compatible(h.mode, c.mode) {
			s.purge(h)
		}
	}
	l.waiters = without(l.waiters, c)
	// A grant by an event of this slot may have been taken in before one by a result.
	at := len(l.holders)
	for at > 0 && l.holders[at-1].seated == s.slot && l.holders[at-1].token > t {
		at--
	}
	l.holders = slices.Insert(l.holders, at, c)
	c.token, c.since, c.seated = t, s.logTime, s.slot
	s.Grants = append(s.Grants, Grant{Session: c.key.session, Detached: c.key.detached,
		Request: c.key.request, Token: t, Name: c.name, Mode: c.mode, Permits: c.permits,
		Capacity: c.capacity})
}

func without(all []*Claim, c *Claim) []*Claim {
	if i := slices.Index(all, c); i >= 0 {
		return slices.Delete(all, i, i+1)
	}
	return all
}

// drop takes a claim out of everything.
func (s *step) drop(c *Claim) {
	l := s.touch(c.name)
	if c.base != nil || len(c.levels) > 0 {
		s.dropLevel(c)
		return
	}
	if c.all != nil {
		s.dropPart(c)
		return
	}
	s.dropTurn(c)
	l.holders, l.waiters = without(l.holders, c), without(l.waiters, c)
	delete(s.claims, c.key)
	if c.session != nil {
		c.session.claims--
	}
}

// settle checks what must hold between two slots and records what every
// touched lock looks like from here on.
func (s *step) settle() error {
	if !s.pending {
		if err := s.nothingLeft(); err != nil {
			return err
		}
		if err := s.nobodyLeftAtGates(); err != nil {
			return err
		}
	}
	slices.Sort(s.names) // so that of several complaints the same is the first
	for _, name := range s.names {
		l := s.locks[name]
		if len(l.waiters) > int(s.limits.WaitersPerLock) {
			return s.bad("I22: %d wait for %q, %d at most", len(l.waiters), name,
				s.limits.WaitersPerLock)
		}
		v := Version{Slot: s.slot, Holders: len(l.holders), Waiters: len(l.waiters),
			Value: l.value.text()}
		taken := lockfsm.Permits(0)
		for i, h := range l.holders {
			if !h.gone() {
				taken += h.permits
			}
			if taken > h.capacity {
				return s.bad("I14: %d permits of %q are taken, its capacity is %d", taken, name,
					h.capacity)
			}
			v.Tokens, v.Modes = append(v.Tokens, h.token), append(v.Modes, h.mode)
			v.Whose = append(v.Whose, h.whose())
			v.Data = append(v.Data, h.terms.payload+"|"+h.terms.labels)
			if h.live() {
				v.Live, v.Over = append(v.Live, h.token), append(v.Over, h.over())
			}
			v.Vague, v.Permits = v.Vague || h.gone(), h.capacity > 0
			v.taken, v.capacity = v.taken+h.permits, h.capacity
			for _, other := range l.holders[:i] {
				if !h.gone() && !other.gone() && !compatible(h.mode, other.mode) {
					return s.bad("I14: %q is held in %v and %v", name, other.mode, h.mode)
				}
			}
		}
		for _, w := range l.waiters {
			v.Vague, v.Line = v.Vague || w.gone(), append(v.Line, w.whose())
			v.capacity = w.capacity
			if w.stays() {
				v.Detects = append(v.Detects, w.whose())
			}
		}
		s.gates.byName[name].addTo(&v)
		s.use(l, &v)
		l.history = append(l.history, v)
		if !s.pending {
			if err := s.pumped(name, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// nothingLeft checks that a machine which calls its endings done has ended all
// that was due, and takes the claims of ended sessions out of the model.
func (s *step) nothingLeft() error {
	for id, p := range s.sessions { // order: any one is enough
		if p.ended {
			delete(s.sessions, id)
			s.past[id] = p
			continue
		}
		if p.deadline <= s.logTime {
			return s.bad("I21: session %d is past its deadline %d at %d", p.ID, p.deadline, s.logTime)
		}
	}
	var gone []*Claim
	for _, c := range s.claims { // order: sorted below
		switch {
		case c.gone() && c.root().token == 0:
			return s.bad("I16: request %d of ended session %d still waits for %q",
				c.key.request, c.key.session, c.name)
		case c.gone() && c.base == nil && c.hold == nil:
			gone = append(gone, c)
		case c.session == nil && c.deadline <= s.logTime:
			return s.bad("I21: detached hold %d is past its deadline", c.token)
		case s.overstays(c) && (c.session == nil || !c.session.ended):
			return s.bad("I20: hold %d of %q is past its max hold", c.token, c.name)
		}
	}
	slices.SortFunc(gone, func(a, b *Claim) int { return int(a.token) - int(b.token) })
	for _, c := range gone {
		for _, p := range slices.Clone(c.parts()) {
			s.purge(p)
		}
	}
	return nil
}

package lockfsm

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// twin is the machine in the plainest words: maps, slices and full scans. It
// decides results by the rules of the package comment and shares no code with
// the machine but the matrix of modes.
type twin struct {
	l           Limits
	now         Time
	stamps      Token
	lastSession SessionID
	sessions    map[SessionID]*twinSession
	ending      []*twinSession
	detached    []*twinClaim
	locks       map[string]*twinLock
	registers   map[string]Token // versions
	answers     []twinAnswer     // in the order in which they were given
	shorter     []*twinLock      // that must be pumped yet
	shortened   int              // how many that let in
	passMost    int              // how many parts that wait for others may be passed
	slot        uint64
	clock       Clock // newest by which log time was moved
	work        int
	out         *Outcome
	// Steps of circles that were waits of conversions and of parts.
	throughTurns, throughParts, throughOneTurn int
}

type twinSession struct {
	id       SessionID
	nonce    Nonce
	name     string
	lease    Millis
	epoch    Epoch
	deadline Time
	parked   bool
	ending   bool
}

type twinClaim struct {
	s        *twinSession // for a detached hold one of its own
	request  RequestID
	stamp    Token
	since    Time
	mode     Mode
	weight   uint8
	lock     *twinLock
	detached bool
	permits  Permits
	owner    Owner
	levels   []*twinClaim // further acquires of the owner, oldest first
	on       *twinClaim   // what a level is on
	moved    bool         // a hold that has been converted
	turn     *twinClaim   // the conversion of a hold
	hold     *twinClaim   // the hold of a conversion
	done     bool         // a conversion that was granted
	terms    *twinTerms
	kept     bool          // it is over and stays taken
	detects  bool          // it waits, and its owner gives nothing back meanwhile
	part     uint8         // number of the name in an acquire of several, else zero
	all      *[]*twinClaim // what is left of that acquire
}

type twinLock struct {
	name             string
	capacity         Permits // zero for a lock with modes; of a gate its number
	gate             GateKind
	holders, waiters []*twinClaim
	value            twinValue
}

// place is the claim that stands in the lock's lists for c.
func (c *twinClaim) place() *twinClaim {
	switch {
	case c.on != nil:
		return c.on
	case c.done:
		return c.hold
	default:
		return c
	}
}

// knows reports whether a token is, or may have been, that of a hold.
func (c *twinClaim) knows(t Token) bool {
	return t == c.stamp || c.moved && 0 < t && t < c.stamp
}

func (c *twinClaim) holds() bool { return slices.Contains(c.lock.holders, c.place()) }

func newTwin(l Limits) *twin {
	return &twin{l: l, sessions: map[SessionID]*twinSession{}, locks: map[string]*twinLock{},
		registers: map[string]Token{}, passMost: 64}
}

// twinStep is a step of log time.
type twinStep struct {
	by      Clock
	delta   Millis
	renewed []SessionID
}

// apply takes in a slot, whose step is nil if it has none.
func (t *twin) apply(step *twinStep, cs []Command, out *Outcome) {
	out.reset()
	t.slot++
	t.out, t.work = out, int(t.l.WorkPerApply)
	if step != nil {
		if !step.by.Before(t.clock) {
			t.clock = step.by
			t.now += Time(min(step.delta, t.l.TickCap))
		}
		t.drain()
		for _, id := range step.renewed {
			if s := t.sessions[id]; s != nil && !s.ending {
				s.deadline = t.now + Time(s.lease)
			} else {
				out.NotRenewed = append(out.NotRenewed, id)
			}
		}
		t.expire()
	}
	for i := range cs {
		out.Results = append(out.Results, t.command(&cs[i]))
	}
}

func (t *twin) write(c *Command) Result {
	have, known := t.registers[string(c.Name)]
	res := Result{Op: c.Op, Token: have}
	switch {
	case have != c.Token || have == Token(t.slot):
		return res.with(CodeConflict)
	case !known && len(t.registers) == 16:
		return res.with(CodeTooManyRegisters)
	}
	res.Token = Token(t.slot)
	t.registers[string(c.Name)] = res.Token
	t.out.Events = append(t.out.Events, Event{
		Kind: EventWritten, Token: res.Token, Name: bytes.Clone(c.Name),
	})
	return res.with(CodeOK)
}

func (t *twin) command(c *Command) Result {
	res := Result{Op: c.Op, Session: c.Session, Detached: c.Flags&Detached != 0}
	if c.Session>>62 == 1 && (res.Detached || c.Op == OpRenewHold) {
		res.Detached = true
		return res.with(CodeNotHolder)
	}
	switch c.Op {
	case OpOpenSession:
		res.Code, res.Session = t.open(c)
		return res
	case OpWrite:
		return t.write(c)
	case OpForce:
		return t.force(c, res)
	case OpRenewHold:
		res.Token, res.Detached = c.Token, true
		if c.Lease < t.l.HoldMin || c.Lease > t.l.HoldMax {
			return res.with(CodeBadLease)
		}
		h := t.hold(c, true)
		if h == nil {
			return res.with(CodeNotHolder)
		}
		h.s.lease, h.s.deadline, res.Request = c.Lease, t.now+Time(c.Lease), h.request
		return res.with(CodeOK)
	case OpAwait, OpCountDown, OpSet, OpReset:
		res.Request, res.Detached = c.Request, false
	case OpAcquire, OpTake, OpEnter, OpCancel:
		res.Request = c.Request
	case OpAcquireAll:
		res.Request, res.Detached = c.Request, false
	case OpLeave, OpReleaseAll, OpAmend:
		res.Request, res.Token = c.Request, c.Token
		if c.Op == OpAmend && !amendable(c) {
			return res.with(CodeBadRequest)
		}
	case OpConvert:
		res.Request = c.Request
		if c.Request == 0 || c.Target == 0 || res.Detached && c.Flags&Wait != 0 {
			return res.with(CodeBadRequest)
		}
	case OpGiveBack:
		res.Request, res.Token = c.Target, c.Token
		if c.Flags&Wait != 0 || c.Target == 0 {
			return res.with(CodeBadRequest)
		}
	case OpRelease:
		res.Token = c.Token
		if c.Flags&Wait != 0 {
			return res.with(CodeBadRequest)
		}
	}
	s := &twinSession{id: c.Session, lease: c.Lease, deadline: t.now + Time(c.Lease)}
	if !res.Detached {
		s = t.sessions[c.Session]
		switch {
		case s == nil:
			return res.with(CodeSessionUnknown)
		case s.ending:
			return res.with(CodeSessionEnded)
		case c.Epoch < s.epoch || c.Op == OpPark && c.Epoch != s.epoch,
			(c.Op.Acquires() || c.Op == OpConvert || c.Op == OpAwait) && c.Epoch == s.epoch && s.parked:
			return res.with(CodeStaleEpoch)
		}
		if c.Op != OpLetGo {
			t.raise(s, c.Epoch)
		}
	}
	return t.execute(c, s, res)
}

// execute runs a command of a session that may.
func (t *twin) execute(c *Command, s *twinSession, res Result) Result {
	switch c.Op {
	case OpCloseSession:
		t.end(s, ReasonClosed)
		t.drain()
	case OpPark:
		if !s.parked {
			s.parked = true
			t.pumpAllOf(s)
		}
	case OpLetGo:
		s.deadline = min(s.deadline, t.now+Time(c.Lease))
	case OpAcquire, OpTake, OpEnter:
		return t.acquire(c, s, res)
	case OpAcquireAll:
		return t.acquireAll(c, s, res)
	case OpReleaseAll:
		return t.releaseAll(c, res)
	case OpLeave:
		return t.leave(c, res)
	case OpConvert:
		return t.convert(c, res)
	case OpGiveBack:
		return t.giveBack(c, res)
	case OpAmend:
		return t.amend(c, res)
	case OpAwait, OpCountDown, OpSet, OpReset:
		return t.atGate(c, s, res)
	case OpRelease:
		h := t.hold(c, res.Detached)
		switch {
		case h == nil:
			return res.with(CodeNotHolder)
		case h.owner != 0 && h.all == nil:
			return res.with(CodeBadRequest)
		}
		res.Request = h.request
		t.part(h, endReleased)
	case OpCancel:
		cl := t.find(c.Session, c.Request, false)
		switch {
		case c.Request == 0:
			return res.with(CodeBadRequest)
		case t.through(s, c.Request) != nil:
			res.Token = Token(t.through(s, c.Request).value)
			return res.with(CodeAlreadyGranted)
		case cl == nil:
			return res.with(CodeCancelled)
		case cl.lock.name != string(c.Name):
			return res.with(CodeRequestReused)
		case cl.holds():
			res.Token = cl.token()
			return res.with(CodeAlreadyGranted)
		}
		t.drop(cl)
		return res.with(CodeCancelled)
	}
	return res.with(CodeOK)
}

func (t *twin) open(c *Command) (Code, SessionID) {
	switch {
	case c.Nonce == Nonce{}:
		return CodeBadRequest, 0
	case c.Lease < t.l.LeaseMin || c.Lease > t.l.LeaseMax:
		return CodeBadLease, 0
	case len(c.Name) > int(t.l.SessionNameBytes):
		return CodeNameTooLong, 0
	}
	for _, s := range t.sessions {
		if s.nonce == c.Nonce && !s.ending {
			if s.lease != c.Lease {
				return CodeBadRequest, s.id
			}
			s.deadline = t.now + Time(s.lease)
			t.raise(s, c.Epoch)
			return CodeOK, s.id
		}
	}
	if len(t.sessions) >= int(t.l.Sessions) {
		return CodeTooManySessions, 0
	}
	t.lastSession++
	t.sessions[t.lastSession] = &twinSession{id: t.lastSession, nonce: c.Nonce,
		name: string(c.Name), lease: c.Lease, epoch: c.Epoch, deadline: t.now + Time(c.Lease)}
	return CodeOK, t.lastSession
}

func (t *twin) raise(s *twinSession, e Epoch) {
	if e > s.epoch {
		s.epoch = e
		if s.parked {
			s.parked = false
			t.pumpAllOf(s)
		}
	}
}

func (t *twin) acquire(c *Command, s *twinSession, res Result) Result {
	switch {
	case c.Request == 0, res.Detached && (c.Flags&Wait != 0 || c.Session == 0),
		c.Op == OpTake && (c.Permits == 0 || c.Permits > c.Capacity),
		c.Op == OpEnter && (c.Owner == 0 || res.Detached), !fitting(&c.Terms),
		c.Terms.Fields&(TermValue|TermOwner) != 0:
		return res.with(CodeBadRequest)
	case !timely(&c.Terms, &t.l):
		return res.with(CodeBadLease)
	case c.Op != OpTake && c.Mode > ModeEX:
		return res.with(CodeBadMode)
	case res.Detached && (c.Lease < t.l.HoldMin || c.Lease > t.l.HoldMax):
		return res.with(CodeBadLease)
	case len(c.Name) == 0:
		return res.with(CodeBadName)
	case len(c.Name) > int(t.l.NameBytes):
		return res.with(CodeNameTooLong)
	}
	mode, want, capacity, owner := kindOf(c)
	if cl := t.find(c.Session, c.Request, res.Detached); cl != nil {
		switch {
		case cl.all != nil || cl.lock.gate != 0 || cl.hold != nil ||
			cl.place().mode != mode && !cl.place().moved ||
			cl.permits != want || cl.lock.capacity != capacity ||
			cl.owner != owner || cl.lock.name != string(c.Name):
			return res.with(CodeRequestReused)
		case cl.holds():
			res.Token = cl.place().stamp
			return res.with(CodeOK)
		}
		res.Waiting = uint32(len(cl.lock.waiters))
		return res.with(CodeQueued)
	}
	lock := t.locks[string(c.Name)]
	if lock != nil && (lock.capacity != capacity || lock.gate != 0) {
		res.Capacity, res.Gate = lock.capacity, lock.gate
		return res.with(CodeOtherKind)
	}
	switch {
	case len(t.claims()) >= int(t.l.Claims):
		return res.with(CodeTooManyClaims)
	case res.Detached && len(t.detached)+t.lingering() >= int(t.l.Detached):
		return res.with(CodeTooManyDetached)
	case len(t.claimsOf(s)) >= int(t.l.ClaimsPerSession):
		return res.with(CodeTooManySessionClaims)
	case lock == nil && len(t.locks) >= int(t.l.Locks):
		return res.with(CodeTooManyLocks)
	case c.Terms.Fields != 0 && lock.owned(s, owner) == nil &&
		t.dataBytes()+newTerms(&c.Terms).bytes() > int(t.l.DataBytes):
		return res.with(CodeTooMuchData)
	case newTerms(&c.Terms).lingers() && lock.owned(s, owner) == nil && !res.Detached &&
		len(t.detached)+t.lingering() >= int(t.l.Detached):
		return res.with(CodeTooManyDetached)
	case lock == nil:
		lock = &twinLock{name: string(c.Name), capacity: capacity}
		t.locks[lock.name] = lock
	}
	if cl := lock.owned(s, owner); cl != nil {
		return t.again(c, cl, res)
	}
	return t.place(c, s, lock, res)
}

// owned is the claim that an owner has already, nil if there is none.
func (l *twinLock) owned(s *twinSession, o Owner) *twinClaim {
	if l == nil || o == 0 {
		return nil
	}
	for _, cl := range append(slices.Clone(l.holders), l.waiters...) {
		if cl.s == s && cl.owner == o && cl.all == nil {
			return cl
		}
	}
	return nil
}

// kindOf says what an acquire asks for.
func kindOf(c *Command) (Mode, Permits, Permits, Owner) {
	switch c.Op {
	case OpTake:
		return ModeNL, c.Permits, c.Capacity, 0
	case OpEnter:
		return c.Mode, 0, 0, c.Owner
	default:
		return c.Mode, 0, 0, 0
	}
}

// again enters once more what the owner has or waits for.
func (t *twin) again(c *Command, cl *twinClaim, res Result) Result {
	switch {
	case cl.mode != c.Mode || cl.terms.most() != newTerms(&c.Terms).most():
		return res.with(CodeOtherMode)
	case !cl.holds() && c.Flags&Wait == 0:
		return t.held(cl.lock, c.Mode, res)
	}
	t.stamps++
	cl.levels = append(cl.levels, &twinClaim{s: cl.s, request: c.Request, since: t.now,
		stamp: t.stamps, mode: cl.mode, owner: cl.owner, lock: cl.lock, on: cl})
	if cl.holds() {
		res.Token = cl.stamp
		return res.with(CodeOK)
	}
	res.Waiting = uint32(len(cl.lock.waiters))
	return res.with(CodeQueued)
}

// held refuses for the oldest hold that is in the way.
func (t *twin) held(lock *twinLock, mode Mode, res Result) Result {
	if len(lock.holders) == 0 {
		return res.with(CodeHeld)
	}
	in := lock.holders[0]
	for _, h := range slices.Backward(lock.holders) {
		if !h.mode.Compatible(mode) {
			in = h
		}
	}
	res.Holder, res.HolderToken, res.HolderDetached = in.s.id, in.stamp, in.detached
	return res.with(CodeHeld)
}

// leave takes back one acquire of an owner.
func (t *twin) leave(c *Command, res Result) Result {
	cl := t.find(c.Session, c.Request, false)
	switch {
	case cl == nil || cl.hold != nil || !cl.holds() || !cl.place().knows(c.Token) ||
		cl.lock.name != string(c.Name):
		return res.with(CodeNotHolder)
	case cl.owner == 0 || cl.all != nil:
		return res.with(CodeBadRequest)
	}
	t.part(cl, endReleased)
	return res.with(CodeOK)
}

// place puts a claim into the queue and pumps.
func (t *twin) place(c *Command, s *twinSession, lock *twinLock, res Result) Result {
	mode, want, _, owner := kindOf(c)
	cl := &twinClaim{s: s, request: c.Request, since: t.now, mode: mode, weight: c.Weight,
		lock: lock, detached: res.Detached, permits: want, owner: owner,
		detects: c.Flags&Detect != 0}
	if c.Terms.Fields != 0 {
		cl.terms = newTerms(&c.Terms)
	}
	if len(lock.waiters) > 0 || !t.admits(lock, cl) {
		if len(lock.waiters) > 0 || c.Flags&Wait != 0 {
			t.stamps++ // its place
		}
		cl.stamp = t.stamps
	}
	at := 0
	for at < len(lock.waiters) && t.ahead(lock.waiters[at], cl) {
		at++
	}
	lock.waiters = slices.Insert(lock.waiters, at, cl)
	t.pump(lock, cl)
	if slices.Contains(lock.holders, cl) {
		res.Token = cl.stamp
		if cl.detached {
			t.detached = append(t.detached, cl)
		}
		return res.with(CodeOK)
	}
	if c.Flags&Wait == 0 {
		res = t.held(lock, mode, res)
	} else if cl.detects && t.circle(cl, &res) {
		res.Code = CodeDeadlock
	} else if len(lock.waiters) > int(t.l.WaitersPerLock) {
		res.Code = CodeTooManyWaiters
	} else {
		res.Waiting = uint32(len(lock.waiters))
		return res.with(CodeQueued)
	}
	t.drop(cl)
	return res
}

func (t *twin) admits(l *twinLock, c *twinClaim) bool {
	if c.hold != nil {
		return !slices.ContainsFunc(l.holders, func(h *twinClaim) bool {
			return h != c.hold && !h.mode.Compatible(c.mode)
		})
	}
	taken := uint64(c.permits)
	for _, h := range l.holders {
		if !h.mode.Compatible(c.mode) {
			return false
		}
		taken += uint64(h.permits)
	}
	if taken > uint64(l.capacity) {
		return false
	}
	return len(l.holders) < int(t.l.HoldersPerLock)
}

// pump grants at a lock, and then at those whose queues that made shorter.
func (t *twin) pump(l *twinLock, asking *twinClaim) int {
	n := t.pumpOne(l, asking)
	for len(t.shorter) > 0 {
		l, t.shorter = t.shorter[0], t.shorter[1:]
		more := t.pumpOne(l, asking)
		t.shortened += more
		n += more
	}
	return n
}

func (t *twin) pumpOne(l *twinLock, asking *twinClaim) int {
	n := 0
	if l.gate != 0 {
		return 0
	}
	for _, w := range slices.Clone(l.waiters) {
		if w.s.parked || w.s.ending {
			continue
		}
		if !t.inTurn(w) {
			break
		}
		if t.ready(w) {
			n += t.grant(w, asking)
		}
	}
	return n
}

func (t *twin) event(k EventKind, c *twinClaim, token Token) {
	t.out.Events = append(t.out.Events, Event{Kind: k, Session: c.s.id, Request: c.request,
		Token: token, Name: []byte(c.lock.name)})
}

// drop takes a claim out and pumps.
func (t *twin) drop(c *twinClaim) int {
	gone := func(x *twinClaim) bool { return x == c }
	switch {
	case c.done:
		c.hold.turn = nil
		return 0
	case c.hold != nil:
		c.hold.turn = nil
	case c.on != nil:
		c.on.levels = slices.DeleteFunc(c.on.levels, gone)
		return 0
	case len(c.levels) > 0:
		c.request, c.levels = c.levels[0].request, c.levels[1:]
		return 0
	case c.turn != nil:
		t.endTurn(c.turn)
	case c.all != nil && !c.holds():
		return t.dropAll(*c.all)
	case c.all != nil:
		*c.all = slices.DeleteFunc(*c.all, gone)
	}
	c.lock.holders = slices.DeleteFunc(c.lock.holders, gone)
	c.lock.waiters = slices.DeleteFunc(c.lock.waiters, gone)
	t.detached = slices.DeleteFunc(t.detached, gone)
	n := t.pump(c.lock, nil)
	t.unuse(c.lock)
	return n
}

func (t *twin) pumpAllOf(s *twinSession) {
	for _, c := range t.claimsOf(s) {
		if slices.Contains(c.lock.waiters, c) {
			t.pump(c.lock, nil)
		}
	}
}

func (t *twin) end(s *twinSession, why Reason) {
	s.ending = true
	t.ending = append(t.ending, s)
	t.work--
	t.out.Events = append(t.out.Events,
		Event{Kind: EventSessionEnded, Session: s.id, Reason: why})
}

func (t *twin) drain() {
	for len(t.ending) > 0 {
		s := t.ending[0]
		for all := t.claimsOf(s); len(all) > 0; all = t.claimsOf(s) {
			if t.work <= 0 {
				return
			}
			c := all[0]
			if !c.holds() {
				t.event(EventWaitEnded, c, 0)
			}
			t.work -= 1 + t.part(c, endLost)
		}
		for own := (func(a twinAnswer) bool { return a.s == s }); slices.ContainsFunc(t.answers, own); {
			if t.work <= 0 {
				return
			}
			t.work--
			i := slices.IndexFunc(t.answers, own)
			t.answers = slices.Delete(t.answers, i, i+1)
		}
		t.ending = t.ending[1:]
		delete(t.sessions, s.id)
	}
}

// overdue returns what must end first, or neither.
func (t *twin) overdue() (*twinSession, *twinClaim) {
	var first *twinSession
	for _, s := range t.sessions {
		if !s.ending && s.deadline <= t.now && (first == nil || s.deadline < first.deadline ||
			s.deadline == first.deadline && s.id < first.id) {
			first = s
		}
	}
	var hold *twinClaim
	for _, c := range t.detached {
		if c.s.deadline <= t.now && (first == nil || c.s.deadline < first.deadline) &&
			(hold == nil || c.s.deadline < hold.s.deadline ||
				c.s.deadline == hold.s.deadline && c.stamp < hold.stamp) {
			hold = c
		}
	}
	return first, hold
}

func (t *twin) expire() {
	for t.work > 0 {
		s, hold := t.overdue()
		due := t.now + 1
		if hold != nil {
			due = hold.s.deadline
		} else if s != nil {
			due = s.deadline
		}
		if c := t.overstayed(); c != nil && t.most(c) < due {
			t.overstay(c)
			continue
		}
		switch {
		case hold != nil && hold.lock.gate != 0:
			t.event(EventLost, hold, hold.stamp)
			t.work -= 1 + t.openGate(hold.lock, CodeBroken, 0, nil)
			t.fall(hold.lock)
		case hold != nil:
			t.event(lostOrFreed(hold), hold, hold.stamp)
			t.work -= 1 + t.part(hold, endLost)
		case s != nil:
			t.end(s, ReasonExpired)
			t.drain()
		default:
			return
		}
	}
}

func (t *twin) pending() bool {
	s, hold := t.overdue()
	return len(t.ending) > 0 || s != nil || hold != nil || t.overstayed() != nil
}

func (t *twin) claims() []*twinClaim {
	var all []*twinClaim
	for _, l := range t.locks {
		all = append(append(all, l.holders...), l.waiters...)
	}
	for _, c := range all {
		all = append(all, c.levels...)
		if c.turn != nil && c.turn.done {
			all = append(all, c.turn)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].stamp < all[j].stamp })
	return all
}

func (t *twin) claimsOf(s *twinSession) []*twinClaim {
	return slices.DeleteFunc(t.claims(), func(c *twinClaim) bool { return c.s != s })
}

func (t *twin) find(id SessionID, q RequestID, detached bool) *twinClaim {
	for _, c := range t.claims() {
		if c.s.id == id && id != 0 && c.request == q && c.detached == detached {
			return c
		}
	}
	return nil
}

func (t *twin) hold(c *Command, detached bool) *twinClaim {
	l := t.locks[string(c.Name)]
	if l == nil || l.gate != 0 {
		return nil
	}
	for _, h := range l.holders {
		if h.s.id == c.Session && h.stamp == c.Token && h.detached == detached {
			return h
		}
	}
	return nil
}

// check says whether a token is that of a hold whose session lives, and which is
// the largest of such.
func (t *twin) check(name string, token Token) (current bool, newest Token) {
	for _, h := range t.locks[name].holders {
		if !h.s.ending && !h.kept && t.locks[name].gate == 0 {
			current, newest = current || h.stamp == token, max(newest, h.stamp)
		}
	}
	return current, newest
}

// through returns the answer that let a request of a session have its way.
func (t *twin) through(s *twinSession, q RequestID) *twinAnswer {
	for i, a := range t.answers {
		if a.s == s && a.request == q && a.code == CodeOK {
			return &t.answers[i]
		}
	}
	return nil
}

// dump writes the whole state, sorted.
func (t *twin) dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "time %d pending %t\n", t.now, t.pending())
	for id := SessionID(1); id <= t.lastSession; id++ {
		if s := t.sessions[id]; s != nil {
			fmt.Fprintf(&b, "session %d %q lease %d deadline %d epoch %d claims %d %t %t\n", id,
				s.name, s.lease, s.deadline, s.epoch, len(t.claimsOf(s)), s.parked, s.ending)
		}
	}
	var names []string
	for n := range t.locks {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		taken := Permits(0)
		for _, h := range t.locks[n].holders {
			taken += h.permits
		}
		dumpLock(&b, n, taken, t.locks[n].capacity, t.locks[n].gate)
		dumpValue(&b, t.locks[n].value.data, t.locks[n].value.token, t.locks[n].value.doubtful)
		for _, h := range t.locks[n].holders {
			t.dumpClaim(&b, h, h.stamp)
		}
		for _, w := range t.locks[n].waiters {
			t.dumpClaim(&b, w, 0)
		}
	}
	return b.String()
}

func (t *twin) dumpClaim(b *strings.Builder, c *twinClaim, token Token) {
	info := ClaimInfo{Session: c.s.id, Detached: c.detached, Parked: c.s.parked,
		Request: c.request, Token: token, Mode: c.mode, Weight: c.weight, Since: c.since,
		Permits: c.permits, Owner: c.owner, Depth: uint32(1 + len(c.levels)),
		Detects: c.detects, Part: c.part, Deadline: c.s.deadline, Moved: c.moved, Kept: c.kept,
		Payload: c.terms.data().Payload, Labels: c.terms.data().Labels}
	if at := t.most(c); at != 0 && c.holds() {
		info.Deadline = min(info.Deadline, at)
	}
	if c.hold != nil {
		info.Converts = c.hold.stamp
	}
	if c.turn != nil {
		info.Conversion = c.turn.request
	}
	dumpInfo(b, info)
}

func dumpLock(b *strings.Builder, name string, taken, capacity Permits, gate GateKind) {
	fmt.Fprintf(b, "lock %q", name)
	if gate != 0 {
		fmt.Fprintf(b, " %v %d", gate, capacity)
	} else if capacity > 0 {
		fmt.Fprintf(b, " %d of %d permits", taken, capacity)
	}
	b.WriteByte('\n')
}

func dumpInfo(b *strings.Builder, c ClaimInfo) {
	fmt.Fprintf(b, "  %d.%d detached=%t parked=%t token=%d %v w%d since=%d until=%d", c.Session,
		c.Request, c.Detached, c.Parked, c.Token, c.Mode, c.Weight, c.Since, c.Deadline)
	if c.Permits > 0 {
		fmt.Fprintf(b, " permits=%d", c.Permits)
	}
	if c.Owner != 0 || c.Depth != 1 {
		fmt.Fprintf(b, " owner=%d depth=%d", c.Owner, c.Depth)
	}
	if c.Converts != 0 {
		fmt.Fprintf(b, " converts=%d", c.Converts)
	}
	if c.Moved || c.Conversion != 0 {
		fmt.Fprintf(b, " moved=%t conversion=%d", c.Moved, c.Conversion)
	}
	if c.Kept {
		b.WriteString(" kept")
	}
	if len(c.Payload)+len(c.Labels) > 0 {
		fmt.Fprintf(b, " payload=%q labels=%q", c.Payload, c.Labels)
	}
	if c.Detects {
		b.WriteString(" detects")
	}
	if c.Part != 0 {
		fmt.Fprintf(b, " part=%d", c.Part)
	}
	b.WriteByte('\n')
}

// dumpMachine writes a machine in the form of twin.dump.
func dumpMachine(m *Machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "time %d pending %t\n", m.LogTime(), m.Pending())
	m.ForEachSession(func(s *SessionInfo) bool {
		fmt.Fprintf(&b, "session %d %q lease %d deadline %d epoch %d claims %d %t %t\n", s.ID,
			s.Name, s.Lease, s.Deadline, s.Epoch, s.Claims, s.Parked, s.Ending)
		return true
	})
	m.ForEachLock(func(l *LockInfo) bool {
		dumpLock(&b, string(l.Name), l.Taken, max(l.Capacity, Permits(l.Number)), l.Gate)
		dumpValue(&b, string(l.Value.Data), l.Value.Token, l.Value.Doubtful)
		for _, c := range l.Holders {
			dumpInfo(&b, c)
		}
		for _, c := range l.Waiters {
			dumpInfo(&b, c)
		}
		return true
	})
	return b.String()
}

package lockfsm

import "fmt"

// Machine is the lock state of one group. It is pure and belongs to one
// goroutine. See the package comment for its rules.
type Machine struct {
	limits Limits

	// applied is the last slot consumed; slots come without gap.
	applied uint64
	logTime Time
	// clock is that of the newest leadership by which log time was moved.
	clock Clock
	// stamps is the counter behind tokens and places in queues: the last one
	// given out.
	stamps Token
	// lastSession is the last session id given out.
	lastSession SessionID
	// endings counts the sessions that began to end.
	endings uint64

	locks    arena[lock]
	claims   arena[claim]
	stacks   arena[stack]   // of claims that have an owner
	answers  arena[answer]  // that are kept for retries at gates
	sessions arena[session] // sessions and detached holds
	names    nameStore

	registers []register // by name

	// terms are those of claims that have some, nil before the first; dataBytes is
	// what they, and values, count for.
	terms     map[ref]*termed
	dataBytes uint64
	// values are those of locks that have one, nil before the first.
	values map[ref]*value
	// lingers counts the claims of sessions that may be kept after their end, each
	// of which has a place among the detached holds.
	lingers uint32

	freeLock, freeClaim, freeStack, freeSession, freeAnswer ref

	byName    table // locks
	byRequest table // claims
	byOwner   table // claims that have a stack
	byHold    table // conversions, by the hold
	byAnswer  table // answers
	byID      table // sessions, ending ones included
	byNonce   table // sessions that are alive
	byFlow    table // waits that say Detect, by whose they are; see flow.go
	byToken   table // detached holds

	due dueHeap
	// capped are the holds with a max hold, see capped.go.
	capped cappedHeap
	// endingHead and endingTail are the sessions that have ended and still have
	// claims, in the order in which they ended.
	endingHead, endingTail ref

	// Counts of what is in use, ghosts excluded.
	lockCount, claimCount, sessionCount, detachedCount uint32
	// stackCount is how many claims have an owner; levels have none of their own.
	stackCount uint32
	// convertedCount is how many holds have been converted, or wait for that.
	convertedCount uint32
	// partCount is how many claims are parts of an acquire of several names.
	partCount uint32
	// detectCount is how many claims wait with Detect.
	detectCount uint32
	// answerCount is how many answers are kept.
	answerCount uint32

	dirtyLocks, dirtySessions []ref
	// quiet are the locks with dormant waiters that were pumped since any
	// session last became dormant or came back, with nobody in the queue who may be
	// refused yet. Every other change of a lock pumps it, but for the going of who
	// was refused, so another pump would grant nothing until one of these happens
	// again. No result depends on which are remembered.
	quiet []ref
	// shorter are the locks that the pump which runs must pump yet, see grantAll.
	shorter []ref

	// looks counts how often it was asked of a part whether it is in turn, and how
	// many claims were gone past to find one or its place in a queue, see Walked.
	looks uint64
	// passMost is passMost, less in tests.
	passMost int
	// unchecked is how much was done since mustBeValid last looked.
	unchecked int
	// packs counts how often names were packed, for tests.
	packs int
	// passed counts dormant waiters that pumping passed over, for tests.
	passed uint64
	// noting is what Note was told; noted is the outcome of the Apply that runs, if
	// it is to note what it touches.
	noting Noting
	noted  *Outcome
	// notingEnds and ends are the same for NoteEnds.
	notingEnds Noting
	ends       *Outcome
	// adds is what AddsRecord reports.
	adds bool

	// work is what the current Apply may still do for endings.
	work int

	loading loading
	scratch []byte
	order   []ref
	keyed   []keyed
	found   []wait // of searches for circles
}

// New returns an empty machine at slot 0 and log time 0. It fails with
// ErrLimits.
func New(limits Limits) (*Machine, error) {
	if err := limits.validate(); err != nil {
		return nil, err
	}
	m := &Machine{limits: limits, passMost: passMost}
	m.due.m = m
	return m, nil
}

// Applied returns the last slot consumed, 0 at first.
func (m *Machine) Applied() uint64 { return m.applied }

// Clock returns that of the latest leadership by which log time was moved.
func (m *Machine) Clock() Clock { return m.clock }

// LogTime returns the machine's clock.
func (m *Machine) LogTime() Time { return m.logTime }

// Used reports whether anybody ever held a lock, or waited for one.
func (m *Machine) Used() bool { return m.stamps > 0 }

// Limits returns the limits the machine was made with.
func (m *Machine) Limits() Limits { return m.limits }

// Pending reports whether ended sessions still have claims to release, or
// sessions or holds past their deadline are left to end. The leader then
// proposes another batch with a tick (its delta may be zero) soon, whether or
// not there are commands.
func (m *Machine) Pending() bool {
	if m.endingHead != 0 || m.overdue(forever) != 0 {
		return true
	}
	r := m.due.earliest(m.logTime)
	return r != 0 && m.sessions.at(r).deadline <= m.logTime
}

// Apply executes the value chosen for slot and says in out what it did. An
// empty value is a no-op that only consumes the slot.
//
// It returns a *BatchError wrapping ErrTooNew, having changed nothing, for a
// batch of a later version: the node must stop. It returns one wrapping
// ErrMalformed, having consumed the slot and changed nothing else, for bytes
// that are no batch at all: every replica does the same, so the caller reports
// it and may go on. No bytes make it panic.
//
// Requires: slot is Applied()+1; anything else is a broken invariant of the
// caller and panics. Apply keeps nothing of value.
func (m *Machine) Apply(slot uint64, value []byte, out *Outcome) error {
	if slot != m.applied+1 {
		panic(fmt.Sprintf("lockfsm: slot out of order: have %d applied, got %d", m.applied, slot))
	}
	out.reset()
	if len(value) > 0 {
		if at, err := checkBatch(value, m.limits.format()); err != nil {
			if err == ErrMalformed {
				m.applied = slot
			}
			return &BatchError{Slot: slot, Offset: at, Err: err}
		}
	}
	m.applied = slot
	m.work = int(m.limits.WorkPerApply)
	if m.names.bytes() > m.limits.nameStoreBytes() {
		m.packNames()
	}
	if m.noting == NotingOn {
		m.noted = out
	}
	if m.notingEnds == NotingOn {
		m.ends = out
	}
	if len(value) > 0 {
		m.run(value, out)
	}
	m.noted, m.ends = nil, nil
	if checkInvariants {
		m.mustBeValid(len(out.Results))
	}
	return nil
}

// run executes a batch that checkBatch has passed.
func (m *Machine) run(value []byte, out *Outcome) {
	r := reader{b: value, newest: m.limits.format()}
	t, _ := r.header()
	if t.present {
		m.tick(t, out)
	}
	var c Command
	for r.at < len(r.b) {
		if err := r.command(&c); err != nil {
			panic(fmt.Sprintf("lockfsm: checked batch at byte %d: have %v, want a command",
				r.at, err))
		}
		out.Results = append(out.Results, m.execute(&c, out))
	}
}

func (m *Machine) execute(c *Command, out *Outcome) Result {
	if c.Session.kept() && (c.Flags&Detached != 0 || c.Op == OpRenewHold) {
		// Nobody has what is kept.
		res := Result{Op: c.Op, Session: c.Session, Detached: true}
		return res.with(CodeNotHolder)
	}
	switch c.Op {
	case OpOpenSession:
		return m.openSession(c, out)
	case OpCloseSession:
		return m.closeSession(c, out)
	case OpAcquire, OpTake, OpEnter:
		return m.acquire(c, out)
	case OpRelease:
		return m.release(c, out)
	case OpCancel:
		return m.cancel(c, out)
	case OpPark:
		return m.park(c, out)
	case OpLetGo:
		return m.letGo(c, out)
	case OpRenewHold:
		return m.renewHold(c)
	case OpWrite:
		return m.write(c, out)
	case OpLeave:
		return m.leave(c, out)
	case OpConvert:
		return m.convert(c, out)
	case OpGiveBack:
		return m.giveBack(c, out)
	case OpAmend:
		return m.amend(c, out)
	case OpForce:
		return m.force(c, out)
	case OpAcquireAll:
		return m.acquireAll(c, out)
	case OpReleaseAll:
		return m.releaseAll(c, out)
	case OpAwait, OpCountDown, OpSet, OpReset:
		return m.atGate(c, out)
	default:
		panic(fmt.Sprintf("lockfsm: opcode: have %d, want one that decodes", uint8(c.Op)))
	}
}

// mustBeValid panics if an invariant is broken after a slot with so many results.
// A look at everything costs more the larger the machine is: it is taken when
// a fourth as much was done since the last.
func (m *Machine) mustBeValid(results int) {
	m.unchecked += 1 + results
	if 4*m.unchecked < int(m.lockCount+m.claimCount+m.sessionCount) {
		return
	}
	m.unchecked = 0
	if err := m.Validate(); err != nil {
		panic(fmt.Sprintf("lockfsm: slot %d: %v", m.applied, err))
	}
}

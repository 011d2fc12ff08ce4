package check

import (
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// History holds responses against the log and against real time. The log order
// is the witness of linearizability: an operation that was answered before
// another began must stand before it, and an answer must be what the slot it
// names says.
type History struct {
	models []*Model
	groups []groupHistory
	// refused are the acquires that a client knows were refused for good.
	refused map[refusedKey]struct{}
}

type refusedKey struct {
	group            uint16
	session, request uint64
}

type groupHistory struct {
	// floor is the highest slot any response so far has named.
	floor uint64
	slots []happened
}

// happened is what one slot did, by command.
type happened struct {
	commands []lockfsm.Command
	results  []lockfsm.Result
	events   []lockfsm.Event
}

// NewHistory makes the checker of a cluster's clients. The models, one a group,
// say what locks looked like.
func NewHistory(models []*Model) *History {
	return &History{models: models, groups: make([]groupHistory, len(models)),
		refused: make(map[refusedKey]struct{})}
}

// Granted checks that a grant is not of a request that was refused (I19).
func (h *History) Granted(g uint16, grant *Grant) error {
	key := refusedKey{g, uint64(grant.Session), uint64(grant.Request)}
	if _, ok := h.refused[key]; ok {
		return fmt.Errorf("I19: group %d grants %q with token %d to request %d of session %d, which "+
			"was told that it was refused", g, grant.Name, grant.Token, grant.Request, grant.Session)
	}
	return nil
}

// Record notes what a slot did; it copies what it keeps.
func (h *History) Record(g uint16, slot uint64, value []byte, out *lockfsm.Outcome) {
	b, err := DecodeBatch(append([]byte(nil), value...))
	gh := &h.groups[g]
	for uint64(len(gh.slots)) <= slot {
		gh.slots = append(gh.slots, happened{})
	}
	if err != nil {
		return
	}
	gh.slots[slot] = happened{
		commands: b.Commands,
		results:  append([]lockfsm.Result(nil), out.Results...),
		events:   append([]lockfsm.Event(nil), out.Events...),
	}
}

// Began returns the floor of an operation that begins now.
func (h *History) Began(g uint16) uint64 { return h.groups[g].floor }

// Question is what a client asked.
type Question struct {
	Kind    wire.Kind
	Group   uint16
	Session uint64
	Request uint64
	// Target is the request a Cancel or a Leave names, or after which a FindSession goes
	// on, Token the one a Release, a Leave or a RenewHold names.
	Target, Token uint64
	// Name is that of the lock, or the prefix of a List, After where that goes on.
	Name, After string
	Mode        lockfsm.Mode
	// Permits are those that a Take asks for, zero for any other.
	Permits lockfsm.Permits
	// Version is the one in which the answer at hand was asked for, that of the send on
	// the conn on which it came; zero is the first.
	Version uint16
	// Nonce is that of the session that a FindSession asks for, or an OpenSession opens.
	Nonce wire.Nonce
	// Checks are what a CheckTokens asks about.
	Checks []TokenRef
	// OfNode says that a node is asked what it knows of all groups, as of no slot.
	OfNode bool
	// Left says that it asks what is left of max holds too, Value that a grant is to
	// bring the value of the lock.
	Left, Value bool
	// Floor is what Began said when the question was first put.
	Floor uint64
}

// TokenRef is a token of a name.
type TokenRef struct {
	Token lockfsm.Token
	Name  string
}

// Answered judges a response that a client takes as the definite answer.
func (h *History) Answered(q *Question, x *wire.Response) error {
	// A detached acquire has no session whose epoch could shut a late frame out;
	// what that takes lives no longer than its own time.
	if x.Slot != 0 && q.Kind.Waits() && q.Session&wire.DetachedOwner == 0 &&
		x.Status != wire.StatusOK && x.Status != wire.StatusStaleEpoch {
		h.refused[refusedKey{q.Group, q.Session, q.Request}] = struct{}{}
	}
	return h.Witnessed(q, x)
}

// Witnessed judges a definite response that reached a client, which may not go
// by it because it has put the question again since.
func (h *History) Witnessed(q *Question, x *wire.Response) error {
	if x.Slot == 0 && !q.reads(x) {
		return q.withoutSlot(x)
	}
	gh := &h.groups[q.Group]
	read := q.Kind.Asks() || h.unlogged(q, x)
	if x.Slot < q.Floor || x.Slot == q.Floor && !read {
		return fmt.Errorf("I24: %v of group %d began after slot %d was answered, and stands at %d",
			q.Kind, q.Group, q.Floor, x.Slot)
	}
	gh.floor = max(gh.floor, x.Slot)
	switch q.Kind {
	case wire.KindGet:
		return h.shown(q, x)
	case wire.KindCheckTokens:
		return h.checked(q, x)
	case wire.KindFindSession:
		return h.found(q, x)
	case wire.KindChase:
		return h.chased(q, x)
	case wire.KindList:
		return h.listed(q, x)
	}
	if read {
		return nil
	}
	if x.Slot >= uint64(len(gh.slots)) {
		return fmt.Errorf("I23: %v of group %d answered from slot %d, which nobody applied",
			q.Kind, q.Group, x.Slot)
	}
	if !gh.slots[x.Slot].explains(q, x) {
		return fmt.Errorf("I23: %v of group %d, session %d request %d: %v token %d is not in slot %d",
			q.Kind, q.Group, q.Session, q.Request, x.Status, x.Token, x.Slot)
	}
	return nil
}

// checked judges where a node says that tokens stand.
func (h *History) checked(q *Question, x *wire.Response) error {
	if x.Status != wire.StatusOK {
		return fmt.Errorf("I23: CheckTokens of group %d is answered %v", q.Group, x.Status)
	}
	decode := wire.DecodeTokenStates
	if q.Left {
		decode = wire.DecodeTokensLeft
	}
	got, err := decode(x.Payload)
	if err != nil || len(got.States) == 0 || len(got.States) > len(q.Checks) {
		return fmt.Errorf("I23: CheckTokens of group %d: %d answers about %d tokens, %v",
			q.Group, len(got.States), len(q.Checks), err)
	}
	for i, s := range got.States {
		ref := q.Checks[i]
		v := h.models[q.Group].At(ref.Name, x.Slot)
		newest := lockfsm.Token(0)
		want := wire.TokenStale
		for _, t := range v.Live {
			if newest = max(newest, t); t == ref.Token {
				want = wire.TokenCurrent
			}
		}
		if s.Standing != want || s.Newest != uint64(newest) {
			return fmt.Errorf("I24: token %d of %q at slot %d of group %d: standing %d, newest %d; "+
				"the log says %d, %d", ref.Token, ref.Name, x.Slot, q.Group, s.Standing, s.Newest,
				want, newest)
		}
		if err := h.leftOf(q, x.Slot, ref, s); err != nil {
			return err
		}
	}
	return nil
}

// leftOf judges what a node says is left of a max hold.
func (h *History) leftOf(q *Question, slot uint64, ref TokenRef, s wire.TokenState) error {
	if !q.Left {
		return nil
	}
	m := h.models[q.Group]
	want, v, now := wire.NoMaxHold, m.At(ref.Name, slot), m.times[slot]
	for i, t := range v.Live {
		if over := v.Over[i]; t == ref.Token && over > 0 {
			want = uint32(max(over, now) - now)
		}
	}
	if s.LeftMillis != want {
		return fmt.Errorf("I24: token %d of %q at slot %d of group %d: %d ms left, the log says %d",
			ref.Token, ref.Name, slot, q.Group, s.LeftMillis, want)
	}
	return nil
}

// unlogged reports whether a try was refused as a read is answered: from the
// state at a slot in which it does not stand itself.
func (h *History) unlogged(q *Question, x *wire.Response) bool {
	if !q.Kind.Acquires() || q.Kind == wire.KindAcquireAll || x.Status != wire.StatusHeld {
		return false
	}
	m := h.models[q.Group]
	if x.Slot > m.Slot() {
		return false
	}
	if p := m.Session(lockfsm.SessionID(q.Session)); q.Session&wire.DetachedOwner == 0 &&
		(p == nil || !p.stood(x.Slot)) {
		return false // that would be said by the log
	}
	v := m.At(q.Name, x.Slot)
	return v.refuses(q.Mode, q.Permits, lockfsm.Token(x.Token), m.limits.HoldersPerLock)
}

// reads reports whether an answer tells of the state of a group, which may have no slot
// yet. A watch is answered when it ends, and tells nothing by that.
func (q *Question) reads(x *wire.Response) bool {
	return q.Kind.Asks() && q.Kind != wire.KindWatch && !q.OfNode && saysSomething(x.Status)
}

// withoutSlot accepts only answers that say nothing of the state.
func (q *Question) withoutSlot(x *wire.Response) error {
	switch {
	case !saysSomething(x.Status),
		(q.Kind == wire.KindStatus || q.Kind == wire.KindTop || q.OfNode) &&
			x.Status == wire.StatusOK:
		return nil
	case q.Kind == wire.KindWatch &&
		(x.Status == wire.StatusCancelled || x.Status == wire.StatusTooManyWaiters):
		return nil
	}
	return fmt.Errorf("I23: %v of group %d request %d: %v names no slot",
		q.Kind, q.Group, q.Request, x.Status)
}

// saysSomething reports whether a status tells of the state of a group.
func saysSomething(x wire.Status) bool {
	switch x {
	case wire.StatusNotLeader, wire.StatusBusy, wire.StatusUncertain, wire.StatusStopping,
		wire.StatusBadRequest, wire.StatusNameTooLong, wire.StatusWrongGroup,
		wire.StatusUnsupported:
		return false
	default:
		return true
	}
}

// explains reports whether the answer follows from what the slot did.
func (p *happened) explains(q *Question, x *wire.Response) bool {
	for i := range p.commands {
		if p.matches(i, q) && agrees(&p.results[i], x) {
			return true
		}
		if q.Kind.Waits() && x.Status == wire.StatusCancelled &&
			p.commands[i].Op == lockfsm.OpCancel && uint64(p.commands[i].Session) == q.Session &&
			uint64(p.commands[i].Request) == q.Request {
			return true
		}
	}
	if !q.Kind.Waits() {
		return false
	}
	for i := range p.events {
		e := &p.events[i]
		if uint64(e.Session) != q.Session || uint64(e.Request) != q.Request {
			continue
		}
		switch {
		case e.Kind == lockfsm.EventGranted && x.Status == wire.StatusOK && uint64(e.Token) == x.Token,
			e.Kind == lockfsm.EventConversionEnded && x.Status == wire.StatusNotHolder,
			e.Kind == lockfsm.EventWaitEnded && x.Status == wire.StatusSessionEnded,
			e.Kind == lockfsm.EventBroken && x.Status == wire.StatusBroken:
			return true
		}
	}
	return false
}

func (p *happened) matches(i int, q *Question) bool {
	c, r := &p.commands[i], &p.results[i]
	session := uint64(c.Session) == q.Session
	switch q.Kind {
	case wire.KindOpenSession:
		return c.Op == lockfsm.OpOpenSession && c.Nonce == lockfsm.Nonce(q.Nonce)
	case wire.KindCloseSession:
		return c.Op == lockfsm.OpCloseSession && session
	case wire.KindAcquire:
		return c.Op == lockfsm.OpAcquire && session && uint64(c.Request) == q.Request
	case wire.KindTake:
		return c.Op == lockfsm.OpTake && session && uint64(c.Request) == q.Request
	case wire.KindEnter:
		return c.Op == lockfsm.OpEnter && session && uint64(c.Request) == q.Request
	case wire.KindLeave:
		return c.Op == lockfsm.OpLeave && session && uint64(c.Request) == q.Target &&
			uint64(c.Token) == q.Token
	case wire.KindAcquireAll:
		return c.Op == lockfsm.OpAcquireAll && session && uint64(c.Request) == q.Request
	case wire.KindReleaseAll:
		return c.Op == lockfsm.OpReleaseAll && session && uint64(c.Request) == q.Target &&
			uint64(c.Token) == q.Token
	case wire.KindConvert:
		return c.Op == lockfsm.OpConvert && session && uint64(c.Request) == q.Request
	case wire.KindGiveBack:
		return c.Op == lockfsm.OpGiveBack && session && uint64(c.Target) == q.Target
	case wire.KindAmend:
		return c.Op == lockfsm.OpAmend && session && uint64(c.Request) == q.Request
	case wire.KindForce:
		return c.Op == lockfsm.OpForce && uint64(c.Token) == q.Token && string(c.Name) == q.Name
	case wire.KindRelease:
		return c.Op == lockfsm.OpRelease && session && uint64(c.Token) == q.Token
	case wire.KindCancel:
		return c.Op == lockfsm.OpCancel && session && uint64(r.Request) == q.Target
	case wire.KindAwait:
		return c.Op == lockfsm.OpAwait && session && uint64(c.Request) == q.Request
	case wire.KindCountDown:
		return c.Op == lockfsm.OpCountDown && session && uint64(c.Request) == q.Request
	case wire.KindSetGate:
		return c.Op == lockfsm.OpSet && session && uint64(c.Request) == q.Request
	case wire.KindResetGate:
		return c.Op == lockfsm.OpReset && session && uint64(c.Request) == q.Request
	case wire.KindRenewHold:
		return c.Op == lockfsm.OpRenewHold && session && uint64(c.Token) == q.Token
	default:
		return false
	}
}

// agrees reports whether a response says what a result says.
func agrees(r *lockfsm.Result, x *wire.Response) bool {
	switch r.Code {
	case lockfsm.CodeOK:
		switch r.Op {
		case lockfsm.OpOpenSession:
			return x.Status == wire.StatusOK && x.Token == uint64(r.Session)
		case lockfsm.OpAcquire, lockfsm.OpTake, lockfsm.OpEnter, lockfsm.OpConvert,
			lockfsm.OpAcquireAll, lockfsm.OpAwait, lockfsm.OpSet:
			return x.Status == wire.StatusOK && x.Token == uint64(r.Token)
		case lockfsm.OpCountDown:
			return x.Status == wire.StatusOK && x.Token == uint64(r.Left)
		default:
			return x.Status == wire.StatusOK
		}
	case lockfsm.CodeAlreadyGranted:
		return x.Status == wire.StatusAlreadyGranted && x.Token == uint64(r.Token)
	case lockfsm.CodeCancelled:
		return x.Status == wire.StatusCancelled
	case lockfsm.CodeHeld:
		return x.Status == wire.StatusHeld && x.Token == uint64(r.HolderToken)
	case lockfsm.CodeOtherKind:
		// An older client knows no word for it.
		return x.Status == wire.StatusBadRequest || x.Status == wire.StatusOtherKind &&
			(r.Gate != 0 || x.Token == uint64(r.Capacity))
	case lockfsm.CodeNotWriter:
		return x.Status == wire.StatusNotWriter
	case lockfsm.CodeOtherMode:
		return x.Status == wire.StatusOtherMode
	case lockfsm.CodeDeadlock:
		return x.Status == wire.StatusDeadlock && x.Token == uint64(r.HolderToken)
	case lockfsm.CodeAlreadySet:
		return x.Status == wire.StatusAlreadySet && x.Token == uint64(r.Left)
	case lockfsm.CodeBroken:
		return x.Status == wire.StatusBroken
	case lockfsm.CodeNotHolder:
		if r.Op == lockfsm.OpForce && x.Token != uint64(r.HolderToken) {
			return false
		}
		return x.Status == wire.StatusNotHolder
	case lockfsm.CodeStaleEpoch:
		return x.Status == wire.StatusStaleEpoch
	case lockfsm.CodeSessionUnknown:
		return x.Status == wire.StatusSessionUnknown
	case lockfsm.CodeSessionEnded:
		return x.Status == wire.StatusSessionEnded
	default:
		return x.Status == refusal(r.Code)
	}
}

// refusal is how a refusal that changes nothing is told, zero for what none is.
func refusal(code lockfsm.Code) wire.Status {
	switch code {
	case lockfsm.CodeBadRequest, lockfsm.CodeBadMode, lockfsm.CodeBadLease,
		lockfsm.CodeRequestReused:
		return wire.StatusBadRequest
	case lockfsm.CodeBadName, lockfsm.CodeNameTooLong:
		return wire.StatusNameTooLong
	case lockfsm.CodeTooManySessions:
		return wire.StatusTooManySessions
	case lockfsm.CodeTooManyLocks, lockfsm.CodeTooManyClaims, lockfsm.CodeTooManySessionClaims,
		lockfsm.CodeTooManyDetached:
		return wire.StatusTooManyHolds
	case lockfsm.CodeTooMuchData:
		return wire.StatusTooMuchData
	case lockfsm.CodeTooManyWaiters:
		return wire.StatusTooManyWaiters
	default:
		return 0
	}
}

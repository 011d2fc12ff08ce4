package check

import (
	"fmt"
	"slices"

	"lockd/lockfsm"
)

// Leases holds what clients believe against what the log decided, on the true
// clock of the simulated world, in nanoseconds.
type Leases struct {
	// slack is how much faster than true time a node's clock may run, in
	// millionths.
	slack    int64
	sessions map[sessionKey]*leased
	beliefs  map[lockKey][]Belief
	// forced are the tokens of holds that were ended by force, with the moment.
	forced map[tokenKey]int64
}

type tokenKey struct {
	group uint16
	token lockfsm.Token
}

type sessionKey struct {
	group   uint16
	session lockfsm.SessionID
}

type lockKey struct {
	group uint16
	name  string
}

// leased is one session: when its last answered renewal was sent, and when the
// log ended it, zero while it lives.
type leased struct {
	sent, lease int64
	expired     int64
}

// Belief is a hold as its client sees it.
type Belief struct {
	Token lockfsm.Token
	Mode  lockfsm.Mode
	// Permits are taken of a semaphore of so large a Capacity; both are zero for a lock
	// with modes.
	Permits, Capacity lockfsm.Permits
	// Believes reports whether the client would act on the hold at this moment.
	Believes func() bool
	Client   int
}

// NewLeases makes the checker for nodes whose clocks run at most slack
// millionths too fast.
func NewLeases(slack int64) *Leases {
	return &Leases{
		slack:    slack,
		sessions: make(map[sessionKey]*leased),
		beliefs:  make(map[lockKey][]Belief),
		forced:   make(map[tokenKey]int64),
	}
}

// Renewed notes that a client learnt, of a renewal it sent at sent, that its
// session lives for lease nanoseconds more.
func (l *Leases) Renewed(group uint16, s lockfsm.SessionID, sent, lease int64) error {
	key := sessionKey{group, s}
	have := l.sessions[key]
	if have == nil {
		have = &leased{}
		l.sessions[key] = have
	}
	have.sent, have.lease = max(have.sent, sent), lease
	return l.early(key, have)
}

// Ended notes that the log ended a session at now, because its lease ran out.
func (l *Leases) Ended(group uint16, s lockfsm.SessionID, now int64) error {
	key := sessionKey{group, s}
	have := l.sessions[key]
	if have == nil {
		have = &leased{}
		l.sessions[key] = have
	}
	have.expired = now
	return l.early(key, have)
}

// early checks I21: whoever renewed at sent may rely on a lease from then on,
// as counted by the fastest clock allowed.
func (l *Leases) early(key sessionKey, s *leased) error {
	if s.expired == 0 || s.lease == 0 {
		return nil
	}
	least := s.lease - s.lease*l.slack/1_000_000
	if s.expired < s.sent+least {
		return fmt.Errorf("I21: session %d of group %d ended %d ms after the send of a renewal "+
			"that was answered, its lease is %d ms", key.session, key.group,
			(s.expired-s.sent)/1_000_000, s.lease/1_000_000)
	}
	return nil
}

// Believe notes that a client holds a lock from now on.
func (l *Leases) Believe(group uint16, name string, b Belief) {
	if _, forced := l.ForcedAt(group, b.Token); forced {
		return
	}
	key := lockKey{group, name}
	l.beliefs[key] = append(l.beliefs[key], b)
}

// Forget notes that a client has given a hold up, or knows that it lost it.
func (l *Leases) Forget(group uint16, name string, t lockfsm.Token) {
	key := lockKey{group, name}
	l.beliefs[key] = slices.DeleteFunc(l.beliefs[key], func(b Belief) bool { return b.Token == t })
}

// Forced notes that a hold was ended by force at now, which had these tokens one
// after the other. Its client may believe in it until it hears.
func (l *Leases) Forced(group uint16, name string, tokens []lockfsm.Token, now int64) {
	for _, t := range tokens {
		l.Forget(group, name, t)
		l.forced[tokenKey{group, t}] = now
	}
}

// ForcedAt returns when the hold with a token was ended by force, if it was.
func (l *Leases) ForcedAt(group uint16, t lockfsm.Token) (int64, bool) {
	at, ok := l.forced[tokenKey{group, t}]
	return at, ok
}

// Granted checks that nobody believes in a hold that excludes the one that the
// log has just granted, or in permits for which there is no room beside it (I25).
func (l *Leases) Granted(group uint16, g *Grant) error {
	taken := g.Permits
	for _, b := range l.beliefs[lockKey{group, g.Name}] {
		if b.Token == g.Token || slices.Contains(g.Was, b.Token) || !b.Believes() {
			continue
		}
		taken += b.Permits
		if !compatible(b.Mode, g.Mode) || b.Capacity != g.Capacity || taken > g.Capacity {
			return fmt.Errorf("I25: %q of group %d granted with token %d while client %d believes "+
				"that it holds it with token %d", g.Name, group, g.Token, b.Client, b.Token)
		}
	}
	return nil
}

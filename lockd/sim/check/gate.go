package check

import (
	"slices"

	"lockd/lockfsm"
)

// gateModel is a name at which one waits without holding anything. Whatever the
// machine does at gates it says in a result or an event.
type gateModel struct {
	kind   lockfsm.GateKind
	number uint32
	// stands says that the latch has a count or the event is set, by token, until
	// the deadline if there is one.
	stands   bool
	token    lockfsm.Token
	since    uint64 // log time at which it came to stand
	deadline uint64
	waiters  []*gateWait // in the order of their arrival
}

// inUse reports whether there is anything at the gate.
func (g *gateModel) inUse() bool { return g != nil && (g.stands || len(g.waiters) > 0) }

// gateWait is a request that waits at a gate.
type gateWait struct {
	key     claimKey
	name    string
	session *Session
}

// kept is what became of a request at a gate that had an effect.
type kept struct {
	op    lockfsm.Op
	code  lockfsm.Code
	value uint64
}

// gates are the gates of a group.
type gates struct {
	byName map[string]*gateModel
	waits  map[claimKey]*gateWait
	// kept are the answers to all requests that had an effect, for ever: a second
	// effect of one would be a second execution (I19).
	kept map[claimKey]kept
	// unread are by session the requests of which the machine may still keep the answer,
	// in the order in which they were given, or may have been: a reset of which only
	// waits of ended sessions were left may have been what ended them.
	unread map[lockfsm.SessionID][]lockfsm.RequestID
	// done is below which number each session has said it is answered.
	done map[lockfsm.SessionID]lockfsm.RequestID
}

func newGates() gates {
	return gates{
		byName: make(map[string]*gateModel),
		waits:  make(map[claimKey]*gateWait),
		kept:   make(map[claimKey]kept),
		unread: make(map[lockfsm.SessionID][]lockfsm.RequestID),
		done:   make(map[lockfsm.SessionID]lockfsm.RequestID),
	}
}

// keep notes the answer to a request that had an effect.
func (g *gates) keep(key claimKey, k kept) {
	g.kept[key] = k
	g.mayKeep(key)
}

// mayKeep notes that the machine may keep an answer to a request.
func (g *gates) mayKeep(key claimKey) {
	g.unread[key.session] = append(g.unread[key.session], key.request)
}

// confirmed takes in what a command at a gate says has been answered, whether or not
// it is refused for want of room. It goes for the answers that have been given: one to
// a wait that its client has given up may come later, and is kept until the next command.
func (s *step) confirmed(c *lockfsm.Command) {
	if c.Gate == 0 || c.Done > c.Request {
		return
	}
	g := &s.gates
	g.done[c.Session] = max(g.done[c.Session], c.Done)
	unread := g.unread[c.Session]
	for len(unread) > 0 && unread[0] < c.Done {
		unread = unread[1:]
	}
	g.unread[c.Session] = unread
}

// gate judges a command at a gate.
func (s *step) gate(c *lockfsm.Command, r *lockfsm.Result, p *Session) error {
	key := claimKey{c.Session, c.Request, false}
	s.touch(string(c.Name))
	s.confirmed(c)
	if k, ok := s.gates.kept[key]; ok {
		value := uint64(r.Token)
		if c.Op == lockfsm.OpCountDown {
			value = uint64(r.Left)
		}
		if k != (kept{c.Op, r.Code, value}) {
			return s.bad("I19: %v of request %d of session %d again: answered %v %d, it had %v %d", c.Op,
				c.Request, c.Session, r.Code, value, k.code, k.value)
		}
		return nil
	}
	if w := s.gates.waits[key]; w != nil {
		if r.Code != lockfsm.CodeQueued || c.Op != lockfsm.OpAwait || w.name != string(c.Name) {
			return s.bad("I19: request %d of session %d waits at %q and is answered %v", c.Request,
				c.Session, w.name, r.Code)
		}
		return nil
	}
	if done, err := s.otherThanGate(c, r); done || err != nil {
		return err
	}
	g := s.gates.byName[string(c.Name)]
	if !g.inUse() {
		g = &gateModel{kind: c.Gate, number: c.Count}
		s.gates.byName[string(c.Name)] = g
	}
	switch c.Op {
	case lockfsm.OpAwait:
		return s.arrive(g, c, r, p)
	case lockfsm.OpCountDown:
		return s.countDown(g, c, r)
	case lockfsm.OpSet:
		return s.setGate(g, c, r)
	default:
		return s.resetGate(g, c, r)
	}
}

// otherThanGate judges whether a name is what a command takes it for, and reports
// whether that decides the result.
func (s *step) otherThanGate(c *lockfsm.Command, r *lockfsm.Result) (bool, error) {
	other, surely := false, true
	if g := s.gates.byName[string(c.Name)]; g.inUse() {
		barrier := c.Op == lockfsm.OpAwait && c.Gate == lockfsm.GateBarrier
		other = g.kind != c.Gate || barrier && g.number != c.Count
	}
	if l := s.locks[string(c.Name)]; l != nil && !other {
		for _, k := range slices.Concat(l.holders, l.waiters) {
			other, surely = true, surely && !k.gone()
		}
	}
	if l := s.locks[string(c.Name)]; l != nil && l.value.data != "" {
		other, surely = true, true
	}
	if (r.Code == lockfsm.CodeOtherKind) != other && (surely || !other) {
		return true, s.bad("I14: %q as a %v answered %v to request %d of session %d", c.Name, c.Gate,
			r.Code, c.Request, c.Session)
	}
	return r.Code == lockfsm.CodeOtherKind, nil
}

// arrive judges an arrival: nobody is let through who must wait, and nobody waits
// for nothing.
func (s *step) arrive(g *gateModel, c *lockfsm.Command, r *lockfsm.Result, p *Session) error {
	open := g.kind == lockfsm.GateLatch && !g.stands || g.kind == lockfsm.GateEvent && g.stands
	here := 1
	for _, w := range g.waiters {
		if !w.session.ended {
			here++
		}
	}
	last := g.kind == lockfsm.GateBarrier && here >= int(g.number)
	switch {
	case open != (r.Code == lockfsm.CodeOK) && g.kind != lockfsm.GateBarrier,
		last != (r.Code == lockfsm.CodeOK) && g.kind == lockfsm.GateBarrier:
		return s.bad("I17: %v %q answered %v to request %d of session %d: number %d, set %t, %d here",
			g.kind, c.Name, r.Code, c.Request, c.Session, g.number, g.stands, here)
	case r.Code == lockfsm.CodeHeld && c.Flags&lockfsm.Wait == 0:
		return nil
	case r.Code == lockfsm.CodeOK && !last:
		if g.kind == lockfsm.GateEvent && r.Token != g.token {
			return s.bad("I15: event %q passed by token %d, it has %d", c.Name, r.Token, g.token)
		}
		return nil
	case r.Code != lockfsm.CodeOK && r.Code != lockfsm.CodeQueued:
		return s.bad("await answered %v", r.Code)
	}
	w := &gateWait{claimKey{c.Session, c.Request, false}, string(c.Name), p}
	g.waiters = append(g.waiters, w)
	s.gates.waits[w.key] = w
	if r.Code == lockfsm.CodeQueued {
		return nil
	}
	if r.Token <= s.results {
		return s.bad("I15: opening %d of %q after token %d", r.Token, c.Name, s.results)
	}
	s.results = r.Token
	return s.letThrough(g, w, kept{lockfsm.OpAwait, lockfsm.CodeOK, uint64(r.Token)})
}

// letThrough takes in the events by which all who wait at a gate are told: all of
// them, in order, and at once.
func (s *step) letThrough(g *gateModel, asking *gateWait, k kept) error {
	token := lockfsm.Token(k.value)
	for _, w := range g.waiters {
		delete(s.gates.waits, w.key)
		want := lockfsm.EventGranted
		switch {
		case w.session.ended:
			want = lockfsm.EventWaitEnded
		case k.code == lockfsm.CodeBroken:
			want = lockfsm.EventBroken
		}
		if want != lockfsm.EventWaitEnded {
			s.gates.keep(w.key, k)
		}
		if w == asking {
			continue
		}
		if s.event >= len(s.out.Events) {
			return s.bad("I17: request %d of session %d is not told that %v %q is %v", w.key.request,
				w.key.session, g.kind, w.name, k.code)
		}
		e := &s.out.Events[s.event]
		if e.Kind != want || e.Session != w.key.session || e.Request != w.key.request ||
			string(e.Name) != w.name || want == lockfsm.EventGranted && e.Token != token {
			return s.bad("I17: %v of session %d request %d token %d on %q, want %v of session %d "+
				"request %d token %d", e.Kind, e.Session, e.Request, e.Token, e.Name, want,
				w.key.session, w.key.request, token)
		}
		s.event++
		if want == lockfsm.EventGranted && token < s.events {
			return s.bad("I15: opening %d of %q after token %d", token, w.name, s.events)
		}
		s.events = max(s.events, e.Token)
	}
	switch {
	case k.code == lockfsm.CodeOK && len(g.waiters) > 1:
		s.Opened++
	case k.code == lockfsm.CodeBroken && len(g.waiters) > 0:
		s.Broken++
	}
	g.waiters = nil
	return nil
}

// countDown judges one count: it takes what it says, and opens at zero.
func (s *step) countDown(g *gateModel, c *lockfsm.Command, r *lockfsm.Result) error {
	if !g.stands {
		if r.Code != lockfsm.CodeOK || r.Left != 0 {
			return s.bad("count-down of %q, which is at zero, answered %v, %d left", c.Name, r.Code, r.Left)
		}
		return nil
	}
	left := g.number - min(g.number, c.Count)
	if r.Code != lockfsm.CodeOK || r.Left != left {
		return s.bad("I19: count-down of %q by %d from %d answered %v, %d left", c.Name, c.Count,
			g.number, r.Code, r.Left)
	}
	g.number = left
	s.gates.keep(claimKey{c.Session, c.Request, false}, kept{c.Op, r.Code, uint64(left)})
	if left > 0 {
		return nil
	}
	g.stands = false
	return s.openLatch(g)
}

// openLatch finds the token of an opening in the first event that has one.
func (s *step) openLatch(g *gateModel) error {
	k := kept{lockfsm.OpAwait, lockfsm.CodeOK, 0}
	first := slices.IndexFunc(g.waiters, func(w *gateWait) bool { return !w.session.ended })
	if first >= 0 && s.event+first < len(s.out.Events) {
		k.value = uint64(s.out.Events[s.event+first].Token)
		if lockfsm.Token(k.value) <= s.events {
			return s.bad("I15: opening %d after token %d", k.value, s.events)
		}
	}
	return s.letThrough(g, nil, k)
}

// setGate judges what gives a latch its count or sets an event.
func (s *step) setGate(g *gateModel, c *lockfsm.Command, r *lockfsm.Result) error {
	if g.kind == lockfsm.GateLatch && g.stands {
		if r.Code != lockfsm.CodeAlreadySet || r.Left != g.number {
			return s.bad("latch %q of %d set again, answered %v, %d", c.Name, g.number, r.Code, r.Left)
		}
		return nil
	}
	if r.Code != lockfsm.CodeOK || g.stands && r.Token != g.token {
		return s.bad("set of %v %q with token %d answered %v token %d", g.kind, c.Name, g.token, r.Code,
			r.Token)
	}
	if !g.stands {
		if r.Token <= s.results {
			return s.bad("I15: %q stands by token %d after %d", c.Name, r.Token, s.results)
		}
		s.results = r.Token
		g.number, g.token, g.stands, g.since = c.Count, r.Token, true, s.logTime
	}
	g.deadline = 0
	if c.Lease > 0 {
		g.deadline = s.logTime + uint64(c.Lease)
	}
	s.gates.keep(claimKey{c.Session, c.Request, false}, kept{c.Op, r.Code, uint64(r.Token)})
	if g.kind == lockfsm.GateEvent {
		return s.letThrough(g, nil, kept{lockfsm.OpAwait, lockfsm.CodeOK, uint64(r.Token)})
	}
	return nil
}

// resetGate judges what takes a gate back.
func (s *step) resetGate(g *gateModel, c *lockfsm.Command, r *lockfsm.Result) error {
	if r.Code != lockfsm.CodeOK {
		return s.bad("reset of %v %q answered %v", g.kind, c.Name, r.Code)
	}
	key := claimKey{c.Session, c.Request, false}
	if !g.stands && (g.kind == lockfsm.GateEvent || len(g.waiters) == 0) {
		s.gates.mayKeep(key)
		return nil
	}
	s.gates.keep(key, kept{c.Op, r.Code, 0})
	g.stands = false
	return s.letThrough(g, nil, kept{lockfsm.OpAwait, lockfsm.CodeBroken, 0})
}

// gateLost takes in that what stood of a gate has had its time, with all events
// that belong to it.
func (s *step) gateLost(e *lockfsm.Event) (bool, error) {
	g := s.gates.byName[string(e.Name)]
	if g == nil || !s.overdue(g) || g.token != e.Token {
		return false, nil
	}
	s.touch(string(e.Name))
	g.stands = false
	s.event++
	err := s.letThrough(g, nil, kept{lockfsm.OpAwait, lockfsm.CodeBroken, 0})
	s.event-- // the caller counts the last
	return err == nil, err
}

// overdue reports whether what stands of a gate has had its time.
func (s *step) overdue(g *gateModel) bool {
	return g.stands && g.deadline > 0 && g.deadline <= s.logTime
}

// gateWaitEnded takes in that a wait of an ended session is gone.
func (s *step) gateWaitEnded(e *lockfsm.Event) bool {
	w := s.gates.waits[claimKey{e.Session, e.Request, false}]
	if w == nil || !w.session.ended || w.name != string(e.Name) {
		return false
	}
	s.touch(w.name)
	g := s.gates.byName[w.name]
	g.waiters = slices.DeleteFunc(g.waiters, func(o *gateWait) bool { return o == w })
	delete(s.gates.waits, w.key)
	return true
}

// gateCancel judges a cancel of a request at a gate, and reports whether there is
// one.
func (s *step) gateCancel(c *lockfsm.Command, r *lockfsm.Result) (bool, error) {
	key := claimKey{c.Session, c.Request, false}
	if w := s.gates.waits[key]; w != nil {
		if r.Code != lockfsm.CodeCancelled {
			return true, s.bad("I19: cancel of request %d of session %d, which waits at %q, answered %v",
				c.Request, c.Session, w.name, r.Code)
		}
		s.touch(w.name)
		g := s.gates.byName[w.name]
		g.waiters = slices.DeleteFunc(g.waiters, func(o *gateWait) bool { return o == w })
		delete(s.gates.waits, key)
		return true, nil
	}
	k, ok := s.gates.kept[key]
	if !ok {
		return false, nil
	}
	passed := r.Code == lockfsm.CodeAlreadyGranted && uint64(r.Token) == k.value &&
		k.code == lockfsm.CodeOK
	gone := r.Code == lockfsm.CodeCancelled &&
		(k.code == lockfsm.CodeBroken || c.Request < s.gates.done[c.Session])
	if !passed && !gone {
		return true, s.bad("I19: cancel of request %d of session %d answered %v %d, it had %v %d",
			c.Request, c.Session, r.Code, r.Token, k.code, k.value)
	}
	return true, nil
}

// nobodyLeftAtGates checks that a machine which calls its endings done has ended
// all that was due there.
func (s *step) nobodyLeftAtGates() error {
	for _, w := range s.gates.waits { // order: any one is enough
		if w.session.ended {
			return s.bad("I16: request %d of ended session %d still waits at %q", w.key.request,
				w.key.session, w.name)
		}
	}
	for name, g := range s.gates.byName { // order: any one is enough
		if s.overdue(g) {
			return s.bad("I21: %v %q is past its deadline %d at %d", g.kind, name, g.deadline, s.logTime)
		}
		if !g.inUse() {
			delete(s.gates.byName, name)
		}
	}
	return nil
}

// Standing is how many gates stand: latches with a count, events that are set.
func (m *Model) Standing() int {
	n := 0
	for _, g := range m.gates.byName { // order: counts
		if g.stands {
			n++
		}
	}
	return n
}

// addTo adds to what a name looks like what a gate does: what stands as its only
// holder.
func (g *gateModel) addTo(v *Version) {
	if !g.inUse() {
		return
	}
	v.Waiters += len(g.waiters)
	v.gate, v.number = g.kind, g.number
	for _, w := range g.waiters {
		v.at = append(v.at, w.key)
	}
	if g.stands {
		v.Holders++
		v.Data = append(v.Data, DataText(nil, nil))
		v.Whose = append(v.Whose, Whose{since: g.since})
		v.Tokens, v.Modes = append(v.Tokens, g.token), append(v.Modes, lockfsm.ModeNL)
	}
}

package lockfsm

// A request of an owner may say Detect: as long as it waits, its owner gives nothing
// back. That is what makes a circle certain. A session is a process in which others
// may unlock while one waits, so a wait of a session for a session proves nothing;
// an owner who says so does one thing at a time. A session is the owner of what it
// has without one, and may say the same of that.
//
// Such a wait waits for every hold that keeps it out whatever the others do, and for
// all who wait before it. A hold of an owner stays for as long as a Detect of that owner waits,
// and who waits before with Detect stays too; anything else may go at any time. A
// request that would wait and close a circle of what stays is refused at once: as
// every edge appears with a request, whoever closes a circle is the one to be told.
// Parked waits count, for they come back; those of ended sessions do not.
//
// Two kinds of waits are of several claims or of a claim that holds. An acquire of
// several names waits for what is in the way of any of its parts: each is a wait of
// its own, and whoever waits for the acquire waits for all of them. Whoever gets along
// with a part that stands before it waits for less, for that part's turn at this lock:
// the others of the acquire are nothing to it. A conversion waits for all other holds
// that its mode does not get along with, and for the conversions before it; its owner is
// that of its hold, which stays as it is until then.
//
// So the graph has two kinds of nodes: the turn of a wait at its lock, of a part each, and
// the grant of a request. A grant comes when the turns of all its parts have; a turn when
// every hold in its way is gone, for which all its owner waits for must be granted first,
// when the waits before it are granted, and when the parts before it that it gets along
// with have their turn. All edges that a request brings begin or end at its own nodes, so
// a circle that it closes leads through its grant, or past that through the turn of one of
// its parts. From the grant all of it is reached, from a turn what that waits for: one
// search begins at the grant, and finds the turns to which something leads; only at each
// of those one more begins, for what leads from there back to it.
//
// All searches for a request together look at detectMost claims. A circle beyond that is
// not found: the request then waits.

// detectMost bounds the claims that one request makes the search look at.
const detectMost = 1024

// Step is one wait of a circle: the owner of a session waits for Name, where the
// hold with Token, of the owner of the next step, is in the way. Token is zero if it
// is the next step's wait, which stands before it in the queue.
type Step struct {
	Session SessionID
	Owner   Owner
	Token   Token
	Name    []byte // borrowed from the Outcome
}

// wait is a wait that the search has come to, from an earlier one.
type wait struct {
	claim ref
	from  int
	token Token // of the hold of its owner that is in the way of that
}

// search is the state of one search for a circle.
type search struct {
	m      *Machine
	start  *claim
	owner  Owner
	turn   ref            // the part to whose turn it is to lead back, zero for the grant
	turns  [MaxParts]bool // of which parts, from 0, something waits for the turn
	found  []wait
	looked int
}

// circleOf finds a circle that the waiting claim r closes, and reports it in out. It
// returns how many steps it has, zero if there is none.
func (m *Machine) circleOf(r ref, out *Outcome) int {
	c := m.claims.at(r)
	if c.flags&claimDetects == 0 || plantedIs("circle-not-seen") {
		return 0
	}
	s := search{m: m, start: c, owner: m.promiser(r), found: m.found[:0]}
	s.add(wait{claim: r, from: -1})
	for p := r; c.isPart() && p != 0; p = m.partAfter(p) {
		s.reach(p, wait{claim: p, from: -1})
	}
	steps := s.run(out)
	for p := r; c.isPart() && p != 0 && steps == 0; p = m.partAfter(p) {
		if s.turns[m.claims.at(p).part()-1] {
			s.turn = p
			s.add(wait{claim: p, from: -1})
			steps = s.run(out)
		}
	}
	m.found = s.found
	return steps
}

// run follows what was come to until a circle is closed, which it reports, and forgets
// where it has been. It returns how many steps the circle has, zero if there is none.
func (s *search) run(out *Outcome) int {
	steps := 0
	for i := 0; i < len(s.found) && s.looked < detectMost; i++ {
		if token, closes := s.follow(i); closes {
			steps = s.report(i, token, out)
			break
		}
	}
	for i := range s.found {
		s.m.claims.at(s.found[i].claim).flags &^= claimFound
	}
	s.found = s.found[:0]
	return steps
}

// add notes that the search has come to a wait.
func (s *search) add(w wait) {
	s.m.claims.at(w.claim).flags |= claimFound
	s.found = append(s.found, w)
}

// follow looks at what the i-th wait waits for. It reports whether that is something
// of the owner who asks, and the token of the hold.
func (s *search) follow(i int) (Token, bool) {
	m := s.m
	at := s.found[i]
	c := m.claims.at(at.claim)
	l := m.locks.at(c.lock)
	for h := l.holders; h != 0 && s.looked < detectMost; h = m.claims.at(h).next {
		hold := m.claims.at(h)
		s.looked++
		if !m.owned(hold) || m.ending(hold) || h == c.converting() || !l.bars(hold, c) {
			continue
		}
		owner := m.ownerOf(h)
		if hold.session == s.start.session && owner == s.owner {
			return hold.stamp, true
		}
		s.waitsOf(i, hold, owner)
	}
	for w := l.waiters; w != at.claim && s.looked < detectMost; w = m.claims.at(w).next {
		s.looked++
		b := m.claims.at(w)
		near := b.passable(c)
		if s.asks(b) && (!near || w == s.turn) {
			return 0, true
		}
		if near || !b.isPart() || plantedIs("circle-past-other-names") {
			if s.asks(b) {
				s.turns[b.part()-1] = true
			}
			s.reach(w, wait{claim: w, from: i})
			continue
		}
		for p := m.firstPart(w); p != 0 && s.looked < detectMost; p = m.partAfter(p) {
			s.looked++
			s.reach(p, wait{claim: p, from: i})
		}
	}
	return 0, false
}

// asks reports whether a claim is of the request that is looked at.
func (s *search) asks(c *claim) bool {
	return c.session == s.start.session && c.request == s.start.request
}

// passable reports whether c, which stands behind b, waits only until b is let in by
// their lock, be it that b waits on for others.
func (b *claim) passable(c *claim) bool {
	return b.isPart() && b.mode.Compatible(c.mode) && !plantedIs("circle-through-what-lets-pass")
}

// converting returns the hold that a waiting conversion is to convert, zero of any
// other claim.
func (c *claim) converting() ref {
	if c.state != claimConverts {
		return 0
	}
	return ref(c.extra)
}

// waitsOf comes to the waits of the owner of a hold.
func (s *search) waitsOf(i int, hold *claim, o Owner) {
	m := s.m
	of := m.sessions.at(hold.session)
	for r, last := of.claims, m.claims.at(of.claims).ownPrev; s.looked < detectMost; {
		s.looked++
		c := m.claims.at(r)
		if c.flags&claimDetects != 0 && m.promiser(r) == o {
			s.reach(r, wait{claim: r, from: i, token: hold.stamp})
		}
		if r == last {
			return
		}
		r = c.ownNext
	}
}

// reach adds a wait that stays, unless the search has been there.
func (s *search) reach(r ref, w wait) {
	c := s.m.claims.at(r)
	if c.flags&(claimDetects|claimFound) == claimDetects && !s.m.ending(c) {
		s.add(w)
	}
}

// report writes down the circle that the i-th wait closes, from the request on.
func (s *search) report(i int, token Token, out *Outcome) int {
	m, at, n := s.m, len(out.Steps), 0
	for ; i >= 0; n++ {
		w := s.found[i]
		c := m.claims.at(w.claim)
		out.Steps = append(out.Steps, Step{Session: m.sessions.at(c.session).id,
			Owner: m.promiser(w.claim), Token: token,
			Name: out.copyName(m.lockName(m.locks.at(c.lock)))})
		token, i = w.token, w.from
	}
	for a, b := at, at+n-1; a < b; a, b = a+1, b-1 {
		out.Steps[a], out.Steps[b] = out.Steps[b], out.Steps[a]
	}
	return n
}

// deadlock refuses the waiting claim r, which closes a circle of so many steps.
func (m *Machine) deadlock(steps int, res Result, out *Outcome) Result {
	at := len(out.Steps) - steps
	res.StepsAt, res.Steps = uint32(at), uint32(steps)
	res.Holder, res.HolderToken = out.Steps[at+1%steps].Session, out.Steps[at].Token
	return res.with(CodeDeadlock)
}

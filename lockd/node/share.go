package node

import "lockd/netio/wire"

// This file shares a turn among the conns. What a request costs is counted in
// units of about two microseconds of a core, and a turn serves requests for so
// many units. A conn that asks for more has the rest wait, in order, for later
// turns, in each of which all conns that wait are served in turn: one that
// asks for little is served within a turn or two, whatever others ask for. The
// same holds for questions, which wait in their group's list until its leader is
// confirmed: a conn with many of them there waits for answers, and answers come
// after requests.

const (
	// turnCost bounds what is served at once of conns that have nothing waiting,
	// and what is served of those that have. A turn of both takes some 3 ms.
	turnCost = 512
	// answerCost is the cost of a turn from which on questions that could be
	// answered are left for the next, unless requests have cost nearly as much: they
	// leave turnCost for answers.
	answerCost = 3 * turnCost
	// passingCost is what renewals may cost in a turn that pass what their conns wait
	// for: the rest of it is for those who wait.
	passingCost = turnCost / 4
	// mostOwed is how many questions may wait for their answers before a conn with
	// leastQuantum of them has what else it sends wait. It is what two turns answer:
	// who asks next is answered in the third, at most.
	mostOwed = 2 * turnCost
	// leastQuantum is what one conn is served when it is its turn, however many
	// conns wait.
	leastQuantum = 8
	// listsCost bounds what the lists, and the long questions about tokens, cost
	// that wait for an answer. Who asks for more is told Busy: a page looks at many
	// locks of its group in a turn, and a question is kept until it is answered.
	listsCost = 4 * turnCost
)

// costOf is what a request costs before it is answered.
func costOf(k wire.Kind, frame []byte) int {
	if k == wire.KindKeepalive {
		return 1 + len(frame)/32 // a renewal for each twelve bytes
	}
	return 1 + len(frame)/1024
}

// answerUnits is what so many bytes of answers cost.
func answerUnits(bytes int) int { return bytes / 1024 }

// walkCost is what it costs that a machine goes past so many claims, to find one or a place
// in a queue.
func walkCost(claims uint64) int { return int(claims / 32) }

// listCost is what one page of a group, of so many entries at most, costs one turn.
func (n *Node) listCost(g *group, entries int) int {
	locks := int(g.machine.Stats().Locks)
	return pageCost(min(entries, locks)) + min(locks, n.opts.SearchStep)/placesPerUnit
}

// listLimit is how many entries the page may have that a List asks for. Who does not say
// may know short ones only.
func listLimit(asked uint16) int {
	if asked == 0 {
		return wire.MaxPage
	}
	return min(int(asked), wire.MaxListPage)
}

// checkCost is what a question about tokens costs. A small one is as cheap as any
// other, and keeps no more memory.
func checkCost(body []byte) int { return len(body) / 512 }

// turnstile serves the conns that have requests waiting. The engine owns it.
type turnstile struct {
	spent int // cost of this turn so far
	// passed is what of it renewals cost that have passed what their conns wait for.
	passed int
	most   int     // cost of this turn from which on no question is answered any more
	ring   []*conn // conns with requests waiting, in the order they are served
	bytes  int     // of the requests that wait
	owed   int     // questions that wait for an answer, as many as conns have asked
	lists  int     // cost of the lists and checks that wait for an answer
	// paused are conns that are not read until they have been served.
	paused []*conn
	// late are groups with questions that could be answered and are not yet.
	late []*group
	// resumed is set when the client port has something to look at.
	resumed bool
}

// arrive serves a request, or has it wait.
func (n *Node) arrive(id ConnID, frame []byte) {
	c := n.conns.open(id)
	if len(c.waiting) == 0 && n.turnstile.spent < turnCost && !n.turnstile.owesEnough(c) {
		n.serve(c, frame)
		return
	}
	h, _, err := wire.Parse(frame)
	if err != nil {
		n.deps.Clients.CloseConn(id)
		return
	}
	t := &n.turnstile
	switch {
	case h.Kind == wire.KindKeepalive && t.passed < passingCost:
		// What it renews may be of other groups than what the conn waits for, and it
		// depends on nothing that comes before it: who renews has been told of the session.
		t.passed += n.serve(c, frame)
		return
	case !n.roomToWait(c, frame):
		// A conn above its share is told so. A keepalive is not answered: its
		// client sends the next.
		n.stats.Requests++
		if h.Kind != wire.KindKeepalive {
			n.busy(c, h)
		}
		return
	case len(c.waiting) == 0:
		t.ring = append(t.ring, c)
	}
	c.waiting = append(c.waiting, frame...)
	t.bytes += len(frame)
	if !c.behind && len(c.waiting) > enoughBytes {
		c.behind = true
		n.inbox.fallBehind(c.id)
	}
}

// roomToWait reports whether a request may wait for a later turn: all of them
// have a quarter of what the inbox has, and when that is crowded each conn has
// its share.
func (n *Node) roomToWait(c *conn, frame []byte) bool {
	all := n.turnstile.bytes + len(frame)
	return all <= n.opts.MaxInboxBytes/4 &&
		(all <= crowdedBytes || len(c.waiting)+len(frame) <= shareBytes)
}

// serve admits one request and counts what that costs, with what was spent on it
// already.
func (n *Node) serve(c *conn, frame []byte) int {
	before, spent := len(c.out), n.turnstile.spent
	cost := costOf(n.onRequest(c, frame), frame) + answerUnits(len(c.out)-before)
	n.turnstile.spent += cost
	return n.turnstile.spent - spent
}

// owesEnough reports whether a conn has asked so much that is not answered yet that
// it waits. Questions of a group are answered in the order in which they came, once
// its leader is confirmed: who asks without end would have others wait for that.
func (t *turnstile) owesEnough(c *conn) bool {
	return t.owed >= mostOwed && c.asked >= leastQuantum
}

// serveWaiting serves the conns that wait, one after the other, until the turn
// has cost enough, or all that still wait do so for answers.
func (n *Node) serveWaiting() {
	t := &n.turnstile
	if len(t.ring) == 0 {
		return
	}
	quantum := max(leastQuantum, turnCost/len(t.ring))
	k, passed := 0, 0 // conns looked at, and those of the last that could not be served
	for ; passed < len(t.ring)-k && t.spent < 2*turnCost; k++ {
		c := t.ring[k]
		t.ring[k] = nil
		if passed++; !t.owesEnough(c) {
			n.serveConn(c, quantum)
			passed = 0
		}
		if len(c.waiting) > 0 {
			t.ring = append(t.ring, c)
		}
	}
	t.ring = append(t.ring[:0], t.ring[k:]...)
	if len(t.ring) > passed {
		n.inbox.again()
	}
}

// resumeConns has those conns read again that had put in enough and have been
// served.
func (n *Node) resumeConns() {
	t := &n.turnstile
	for _, id := range n.box.paused {
		switch c := n.conns.find(id); {
		case c == nil: // nothing of it has found room yet
			n.deps.Clients.Resume(id)
			t.resumed = true
		case !c.closed && !c.paused:
			c.paused = true
			t.paused = append(t.paused, c)
		}
	}
	kept := t.paused[:0]
	for _, c := range t.paused {
		switch {
		case c.closed:
		case len(c.waiting) > 0:
			kept = append(kept, c)
		default:
			c.paused = false
			n.deps.Clients.Resume(c.id)
			t.resumed = true
		}
	}
	clear(t.paused[len(kept):])
	t.paused = kept
}

// serveConn serves requests of one conn that cost about quantum. Of one that is
// gone what gives back is carried out; nobody waits for the rest.
func (n *Node) serveConn(c *conn, quantum int) {
	done := 0
	for done < len(c.waiting) && quantum > 0 && !n.turnstile.owesEnough(c) {
		rest := c.waiting[done:]
		size, err := wire.FrameBytes(rest, len(rest))
		if err != nil || size == 0 {
			panic("node: a request that waits does not begin with a whole frame")
		}
		frame := rest[:size:size]
		done += size
		if h, _, _ := wire.Parse(frame); !c.closed || givesBack(h.Kind) {
			quantum -= n.serve(c, frame)
		}
	}
	n.turnstile.bytes -= done
	c.waiting = c.waiting[done:] // what is left stays where it is
	if len(c.waiting) > 0 {
		return
	}
	c.waiting = nil // its memory is as large as what waited
	if c.behind {
		c.behind = false
		n.inbox.catchUp(c.id)
	}
	if c.closed {
		n.endConn(c)
	}
}

// admitCost reports whether another question that costs so much may wait, and
// counts it. One that costs nothing always may, and one of any cost if no other
// waits.
func (n *Node) admitCost(cost int) bool {
	t := &n.turnstile
	if cost > 0 && t.lists > 0 && t.lists+cost > listsCost {
		return false
	}
	t.lists += cost
	return true
}

// answerLate answers questions that were left by the turn before. It comes when the
// requests of this turn have been served: one of them may cost more than a turn.
func (n *Node) answerLate() {
	t := &n.turnstile
	t.most = max(answerCost, t.spent+turnCost)
	late := t.late
	t.late = nil
	for _, g := range late {
		g.late = false
		if g.leading {
			n.answerReads(g, g.confirmed)
		}
	}
}

// leaveLate has the questions of a group that are due answered in the next turn.
func (n *Node) leaveLate(g *group) {
	if !g.late {
		g.late = true
		n.turnstile.late = append(n.turnstile.late, g)
	}
	n.inbox.again()
}

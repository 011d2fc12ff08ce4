package node

import (
	"bytes"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// admitRead puts a question on the list of those that wait for the proof that
// this node still leads the group.
func (n *Node) admitRead(g *group, c *conn, h wire.Header, body []byte) {
	r := read{conn: c.id, request: h.Request, kind: h.Kind, flags: h.Flags,
		bytes: questionBytes + len(body)}
	if !n.roomToAsk(g, &r) {
		n.busy(c, h)
		return
	}
	if s := r.decode(h, body, n.opts.Groups); s != wire.StatusOK {
		n.respond(c, h, s)
		return
	}
	switch h.Kind {
	case wire.KindList:
		r.cost = n.listCost(g, listLimit(r.limit))
	case wire.KindCheckTokens:
		r.cost = checkCost(body)
	case wire.KindChase:
		r.cost = chaseCost(len(r.chase.Flows), 1)
	case wire.KindWhy:
		s := g.machine.Summary(r.name)
		r.cost = whyCost(s.Holders, s.Waiters)
	}
	if !n.admitCost(r.cost) {
		n.busy(c, h)
		return
	}
	n.ask(g, c, &r)
}

// ask puts a question on its group's list.
func (n *Node) ask(g *group, c *conn, r *read) {
	n.roomForReads(g)
	g.reads = append(g.reads, *r)
	n.asked += r.bytes
	c.inFlight++
	c.count(g.id, r.kind, 1)
	n.turnstile.owed++
	n.touch(g)
}

// countOff takes a question off the counts, which leaves its group's list. Conns
// that wait for answers may have their turn.
func (n *Node) countOff(g *group, r *read) {
	t := &n.turnstile
	t.lists -= r.cost
	t.owed--
	n.asked -= r.bytes
	if c := n.conns.find(r.conn); c != nil {
		c.count(g.id, r.kind, -1)
	}
	if len(t.ring) > 0 {
		n.inbox.again()
	}
}

// decode takes what a question says; it copies what is kept.
func (r *read) decode(h wire.Header, body []byte, groups int) wire.Status {
	switch h.Kind {
	case wire.KindGet:
		x, err := wire.DecodeGet(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		r.name = append([]byte(nil), x.Name...)
		return belongs(h.Group, x.Name, groups)
	case wire.KindCheckTokens:
		x, err := wire.DecodeCheckTokens(append([]byte(nil), body...))
		if err != nil {
			return wire.StatusBadRequest
		}
		s := wire.StatusOK
		x.Each(func(_ int, ref wire.TokenRef) bool {
			s = belongs(h.Group, ref.Name, groups)
			return s == wire.StatusOK
		})
		r.checks = &x
		return s
	case wire.KindFindSession:
		x, err := wire.DecodeFindSession(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		r.find = &x
		return wire.StatusOK
	case wire.KindChase:
		x, err := wire.DecodeChase(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		r.chase = &x
		return wire.StatusOK
	case wire.KindWatch, wire.KindWhy:
		if r.decodeWatch(body) != nil {
			return wire.StatusBadRequest
		}
		if r.scope == wire.ScopePrefix {
			return wire.StatusOK
		}
		return belongs(h.Group, r.name, groups)
	default:
		x, err := wire.DecodeList(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		r.limit = x.Limit
		r.name = append([]byte(nil), x.Prefix...)
		r.after = append([]byte(nil), x.After...)
		return wire.StatusOK
	}
}

// belongs checks a name, and that it is of the group.
func belongs(group uint16, name []byte, groups int) wire.Status {
	if wire.CheckName(name, wire.MaxNameBytes) != nil {
		return wire.StatusNameTooLong
	}
	if group != wire.GroupOf("", name, uint16(groups)) {
		return wire.StatusWrongGroup
	}
	return wire.StatusOK
}

// admitTry takes a try that the machine would refuse as it stands. Once the
// leadership is confirmed the refusal is an answer like that of any read, and
// the log is spared. If the lock has become free by then, the try goes into the
// batch after all.
func (n *Node) admitTry(g *group, c *conn, h wire.Header, cmd *lockfsm.Command) {
	r := read{conn: c.id, request: h.Request, kind: h.Kind, flags: h.Flags, acquire: *cmd,
		bytes: questionBytes + len(cmd.Name) + cmd.Terms.Bytes()}
	if !n.roomToAsk(g, &r) {
		n.busy(c, h)
		return
	}
	r.acquire.Name = bytes.Clone(cmd.Name)
	r.acquire.Terms = cloneTerms(cmd.Terms)
	n.ask(g, c, &r)
}

// settleTries puts the conn's tries that wait for a confirmation into the
// batch, before a command that must not overtake them.
func (n *Node) settleTries(g *group, c *conn) {
	if c.pending[g.id].tries == 0 {
		return
	}
	n.takeReads(g, func(r *read) bool {
		return r.kind.Acquires() && r.conn == c.id
	}, func(r *read) {
		n.countOff(g, r)
		n.batchTry(g, r)
	})
}

// takeReads takes those questions off a group's list which are asked for, and hands each
// to fn. What is gone through is charged; what stands before the first of them, which in
// a flood is nearly all, is not moved.
func (n *Node) takeReads(g *group, is func(*read) bool, fn func(*read)) {
	n.turnstile.spent += len(g.reads) / readsPerUnit
	first := 0
	for first < len(g.reads) && !is(&g.reads[first]) {
		first++
	}
	kept := first
	for i := first; i < len(g.reads); i++ {
		if r := &g.reads[i]; is(r) {
			fn(r)
			continue
		}
		g.reads[kept] = g.reads[i]
		kept++
	}
	n.turnstile.spent += (len(g.reads) - first) / readsPerUnit
	clear(g.reads[kept:])
	g.reads = g.reads[:kept]
}

// readsPerUnit is how many questions are gone through for one unit of cost.
const readsPerUnit = 64

// batchTry puts a try into the batch after all, if that has room.
func (n *Node) batchTry(g *group, r *read) {
	if n.batchFull(g) {
		n.stats.Busy++
		n.reply(g, r.conn, r.request, &wire.Response{
			Status: wire.StatusBusy, RetryMillis: busyRetryMillis,
		})
		return
	}
	n.enqueue(g, &r.acquire, origin{conn: r.conn, request: r.request, kind: r.kind,
		flags: r.flags})
}

const (
	// maxReads bounds the questions of a group that wait for a confirmation, and
	// askedBytes the memory of those of all groups of a node: some twenty thousand with
	// names of an ordinary length.
	maxReads   = 1 << 14
	askedBytes = 10 << 20
	// questionBytes is what one of them takes beside what it says.
	questionBytes = 576
)

// QuestionBytes bounds the memory of the questions that wait for an answer.
func QuestionBytes() uint64 {
	return askedBytes + spareReads*mostSpareReads*questionBytes
}

// roomToAsk reports whether one more question may wait in a group.
func (n *Node) roomToAsk(g *group, r *read) bool {
	return len(g.reads) < maxReads && n.asked+r.bytes <= askedBytes
}

// startReads begins one confirmation round for all questions that have none. A
// round never serves a question that came after it began (I24). It waits until
// what was admitted before the questions has its slot.
func (n *Node) startReads(g *group) {
	k := len(g.reads)
	if k == 0 || g.reads[k-1].seq != 0 || g.batch.Len() > 0 {
		return
	}
	seq, err := g.replica.ConfirmRead()
	if err != nil {
		// Not leading: abandon answers them.
		return
	}
	for i := k - 1; i >= 0 && g.reads[i].seq == 0; i-- {
		g.reads[i].seq, g.reads[i].behind = seq, g.launched
	}
}

// answerReads answers the questions whose round has been confirmed, from the
// machine as it is after everything chosen by then has been applied. What would
// make the turn too long is left for the next.
func (n *Node) answerReads(g *group, confirmed uint64) {
	g.confirmed = max(g.confirmed, confirmed)
	k := 0
	for k < len(g.reads) && g.reads[k].seq != 0 &&
		(g.reads[k].seq <= g.confirmed || plantedIs("read-without-round")) &&
		g.reads[k].behind <= g.landed {
		if n.turnstile.spent > n.turnstile.most {
			n.leaveLate(g)
			break
		}
		if r := &g.reads[k]; r.kind == wire.KindList {
			g.lists = append(g.lists, *r)
		} else {
			n.turnstile.spent += 1 + r.cost
			n.countOff(g, r)
			n.answerRead(g, r)
		}
		k++
	}
	n.answerLists(g)
	if k > 0 {
		rest := copy(g.reads, g.reads[k:])
		clear(g.reads[rest:])
		n.keepReads(g, rest)
	}
}

const (
	// keepReads is for how many questions a group keeps room that has none.
	keepReads = 16
	// spareReads is how much of the room that groups had is kept for whichever needs
	// it next, and mostSpareReads for how many questions each is.
	spareReads, mostSpareReads = 8, 256
)

// keepReads keeps the first questions, and the memory of a flood only as long as it
// lasts: not for the few that may wait at any time. Requires: the others are clear.
func (n *Node) keepReads(g *group, count int) {
	g.reads = g.reads[:count]
	switch size := cap(g.reads); {
	case size <= max(keepReads, 4*count):
	case count > 0:
		g.reads = append([]read(nil), g.reads...)
	default:
		if size <= mostSpareReads && len(n.spareReads) < spareReads {
			n.spareReads = append(n.spareReads, g.reads)
		}
		g.reads = nil
	}
}

// roomForReads gives a group that has no room left for a question what another has
// left, if that is more.
func (n *Node) roomForReads(g *group) {
	k := len(n.spareReads) - 1
	if len(g.reads) < cap(g.reads) || k < 0 || cap(n.spareReads[k]) <= len(g.reads) {
		return
	}
	g.reads = append(n.spareReads[k], g.reads...)
	n.spareReads[k] = nil
	n.spareReads = n.spareReads[:k]
}

func (n *Node) answerRead(g *group, r *read) {
	c := n.conns.find(r.conn)
	if c == nil {
		return
	}
	n.stats.Reads++
	before, walked := len(c.out), g.machine.Walked()
	defer func() {
		n.turnstile.spent += answerUnits(len(c.out)-before) + walkCost(g.machine.Walked()-walked)
	}()
	if len(c.out) > maxAnswerBytes {
		n.stats.Busy++
		n.reply(g, r.conn, r.request, &wire.Response{
			Status: wire.StatusBusy, RetryMillis: busyRetryMillis,
		})
		return
	}
	x := wire.Response{Status: wire.StatusOK, Slot: g.machine.Applied()}
	switch r.kind {
	case wire.KindAcquire, wire.KindTake, wire.KindEnter, wire.KindAsk:
		res, refused := g.machine.Refusal(&r.acquire)
		if !refused {
			n.batchTry(g, r)
			return
		}
		n.fillHeld(g, &x, &res, r.acquire.Name, r.header())
	case wire.KindGet:
		x.Payload = n.describe(g, r.name, r.header().Version())
		if n.lockInfo.HolderCount == 0 && n.lockInfo.WaiterCount == 0 &&
			(len(n.lockInfo.Value.Data) == 0 || r.header().Version() < wire.VersionWhole) {
			x.Status, x.Payload = wire.StatusNotFound, nil
		}
	case wire.KindList:
		x.Payload = n.listPage(g, r)
	case wire.KindCheckTokens:
		x.Payload = n.checkTokens(g, r)
	case wire.KindFindSession:
		x.Status, x.Payload = n.findSession(g, r.find)
	case wire.KindChase:
		x.Payload = n.chased(r.chase, g)
	case wire.KindWhy:
		b := n.blockage(g, r)
		n.scratch = wire.AppendBlockage(n.scratch[:0], &b)
		x.Payload = n.scratch
	case wire.KindWatch:
		n.startWatch(g, c, r)
		return
	default:
		panic("node: read of kind " + r.kind.String())
	}
	n.reply(g, r.conn, r.request, &x)
}

// checkLooks bounds how many holds are looked at for one CheckTokens, after which
// the answer ends; the last token is looked for to the end.
const checkLooks = 1 << 14

// checkTokens encodes where the tokens stand. It is valid until the next answer.
func (n *Node) checkTokens(g *group, r *read) []byte {
	asked := r.checks
	states, looked := make([]wire.TokenState, 0, asked.Len()), 0
	asked.Each(func(_ int, ref wire.TokenRef) bool {
		t := g.machine.CheckToken(ref.Name, lockfsm.Token(ref.Token))
		state := wire.TokenState{Newest: uint64(t.Newest), LeftMillis: wire.NoMaxHold}
		if t.Current {
			state.Standing = wire.TokenCurrent
		}
		if t.Current && t.Capped {
			state.LeftMillis = uint32(t.Left)
		}
		states = append(states, state)
		looked += t.Looked
		return looked < checkLooks
	})
	n.turnstile.spent += looked / 32
	x := wire.TokenStates{States: states}
	if r.flags&wire.FlagDetails != 0 {
		n.scratch = wire.AppendTokensLeft(n.scratch[:0], &x)
	} else {
		n.scratch = wire.AppendTokenStates(n.scratch[:0], &x)
	}
	return n.scratch
}

// maxFoundBytes bounds the names in one answer to a FindSession.
const maxFoundBytes = 16 << 10

// findSession encodes a page of what a session has. It is valid until the next
// answer.
func (n *Node) findSession(g *group, asked *wire.FindSession) (wire.Status, []byte) {
	id := g.machine.FindSession(lockfsm.Nonce(asked.Nonce))
	var s lockfsm.SessionInfo
	if id == 0 || !g.machine.Session(id, &s) {
		return wire.StatusNotFound, nil
	}
	const limit = wire.MaxFound - lockfsm.MaxParts
	found := g.machine.SessionClaims(nil, id, lockfsm.RequestID(asked.After), limit)
	n.turnstile.spent += len(found) / 16
	page := wire.SessionClaims{Session: uint64(id), Epoch: uint32(s.Epoch),
		LeaseMillis: uint32(s.Lease)}
	if len(found) >= limit {
		page.More = wire.MorePages
	}
	bytes := 0
	for i := range found {
		c := &found[i]
		// A page does not end among the parts of one acquire.
		if bytes > maxFoundBytes && c.Request != found[i-1].Request {
			page.More = wire.MorePages
			break
		}
		if c.Token == 0 && plantedIs("found-without-waits") {
			continue
		}
		bytes += len(c.Name)
		var flags wire.ClaimFlags
		if c.Capped {
			flags |= wire.ClaimMaxHold
		}
		if c.Part {
			flags |= wire.ClaimPart
		}
		page.Claims = append(page.Claims, wire.Claim{Flags: flags, Request: uint64(c.Request),
			Token: uint64(c.Token), Owner: uint64(c.Owner), Permits: uint32(c.Permits),
			Capacity: uint32(c.Capacity), Mode: wire.Mode(c.Mode), Name: c.Name})
	}
	n.scratch = wire.AppendSessionClaims(n.scratch[:0], &page)
	return wire.StatusOK, n.scratch
}

// header is what of the question's header decides how it is answered.
func (r *read) header() wire.Header { return wire.Header{Kind: r.kind, Flags: r.flags} }

package node

import (
	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// onRequest admits one frame of a client: a question goes to its group's list
// of reads, anything that changes a machine becomes a command of its group's
// next batch, and what cannot be done is refused with a definite status. The
// frame is borrowed; what is kept is copied here, once. It returns the kind.
func (n *Node) onRequest(c *conn, frame []byte) wire.Kind {
	h, body, err := wire.Parse(frame)
	if err != nil || !h.Kind.IsRequest() {
		n.deps.Clients.CloseConn(c.id)
		return h.Kind
	}
	n.admitFrame(c, h, body, frame)
	return h.Kind
}

func (n *Node) admitFrame(c *conn, h wire.Header, body, frame []byte) {
	n.stats.Requests++
	switch h.Kind {
	case wire.KindKeepalive:
		n.onKeepalive(c, h, body)
		return
	case wire.KindSeen:
		n.onSeen(c, body)
		return
	case wire.KindStatus, wire.KindTop, wire.KindHistory:
		switch {
		case len(c.out) > maxAnswerBytes ||
			h.Kind == wire.KindHistory && c.inFlight >= n.opts.MaxInFlight:
			n.busy(c, h)
		case h.Kind == wire.KindHistory:
			n.onHistory(c, h, body)
		case h.Kind == wire.KindTop:
			n.onTop(c, h, body)
		default:
			n.respondStatus(c, h)
		}
		return
	}
	if h.Kind == wire.KindChase && asksNode(body) {
		n.onChase(c, h, body)
		return
	}
	if c.inFlight >= n.opts.MaxInFlight+spare(h.Kind) && !givesBack(h.Kind) {
		n.busy(c, h)
		return
	}
	if n.birth != nil {
		n.respond(c, h, wire.StatusNotLeader)
		return
	}
	if int(h.Group) >= n.opts.Groups {
		n.respond(c, h, wire.StatusWrongGroup)
		return
	}
	g := n.group(h.Group)
	if g == nil {
		n.notLeader(c, h, n.leaderHint(paxos.GroupID(h.Group)))
		return
	}
	if !g.leading || c.early[g.id] > 0 {
		n.refuseOrHold(g, c, h, frame)
		return
	}
	n.admit(g, c, h, body)
}

// spareQuestions is how many questions of its own a client may ask beside as many
// requests as a conn may have in flight.
const spareQuestions = 16

// spare is how much more than MaxInFlight a conn may have in flight for a request. If
// all of that waits for locks, the answer to one of these may be what ends the
// waiting: that it waits in a circle, or does not hold what it thinks it holds.
func spare(k wire.Kind) int {
	if k == wire.KindChase || k == wire.KindCheckTokens {
		return spareQuestions
	}
	return 0
}

// givesBack reports whether a request makes room. Such a one is never refused
// for what else its conn has in flight: if all of that waits for locks, nothing
// would ever come free. The size of a batch bounds them.
func givesBack(k wire.Kind) bool {
	return k.Releases() || k == wire.KindForce || k == wire.KindCancel || k == wire.KindCloseSession ||
		k == wire.KindCountDown || k == wire.KindResetGate || k == wire.KindUnwatch
}

// takes reports whether a request asks for something new. Such a one is refused
// while the log is nearly full, so that room is left for what gives back and
// for live sessions to be renewed (I33).
func takes(k wire.Kind) bool {
	return k == wire.KindOpenSession || k.Acquires() || k == wire.KindAwait || k == wire.KindSetGate
}

// busyRetryMillis is how long a client is asked to wait after Busy: a few
// batches.
const busyRetryMillis = 20

// busy refuses a request for want of room.
func (n *Node) busy(c *conn, h wire.Header) {
	n.stats.Busy++
	n.answer(c, h, &wire.Response{Status: wire.StatusBusy, RetryMillis: busyRetryMillis})
}

// maxAnswerBytes bounds what a conn is sent in one turn beyond which questions,
// whose answers are much longer than they are, find no room.
const maxAnswerBytes = 1 << 20

// commandRoom is more than a command is longer than the body it comes from. One
// of many names could else be longer than a slot has room for.
const commandRoom = 64

// admit takes a request at the leader of its group.
func (n *Node) admit(g *group, c *conn, h wire.Header, body []byte) {
	switch {
	case h.Kind.Asks():
		n.admitRead(g, c, h, body)
		return
	case h.Kind == wire.KindUnwatch:
		n.onUnwatch(g, c, h, body)
		return
	case h.Kind == wire.KindLetGo:
		n.onLetGo(g, c, h, body)
		return
	}
	if n.batchFull(g) || n.cramped && takes(h.Kind) {
		n.busy(c, h)
		return
	}
	if len(body) > n.opts.MaxBatchBytes-commandRoom {
		n.respond(c, h, wire.StatusBadRequest)
		return
	}
	cmd := &n.command
	if s := decodeCommand(cmd, h, body, n.opts.Groups); s != wire.StatusOK {
		n.respond(c, h, s)
		return
	}
	if f := cmd.Format(); f > n.activeFormat() {
		n.wantFormat(c, h, f)
		return
	}
	if cmd.Op != lockfsm.OpOpenSession && cmd.Flags&lockfsm.Detached == 0 &&
		cmd.Op != lockfsm.OpRenewHold && cmd.Op != lockfsm.OpForce {
		n.bind(g, c, cmd.Session, cmd.Epoch)
	}
	if cmd.Op == lockfsm.OpCancel || cmd.Op == lockfsm.OpCloseSession {
		n.settleTries(g, c)
	}
	walked := g.machine.Walked()
	g.machine.Foresee(cmd)
	_, refused := g.machine.Refusal(cmd)
	n.turnstile.spent += walkCost(g.machine.Walked() - walked)
	if refused && cmd.Terms.Bytes() <= maxTryBytes {
		n.admitTry(g, c, h, cmd)
		return
	}
	n.enqueue(g, cmd, origin{conn: c.id, request: h.Request, kind: h.Kind, flags: h.Flags})
	c.inFlight++
}

// originBytes is what a command takes besides its own bytes and a name that is kept for
// its answer, with what a list has room for.
const originBytes = 64

// batchFull reports whether a group takes no more commands before those it has are
// proposed. What is kept of who sent them is bounded with them.
func (n *Node) batchFull(g *group) bool {
	return g.batch.Size() > n.opts.MaxBatchBytes || g.originBytes > n.opts.MaxBatchBytes/4*3
}

// resetBatch empties the batch, whose origins have gone elsewhere.
func (g *group) resetBatch() {
	g.batch.Reset()
	g.originBytes = 0
}

// enqueue puts a command into the group's next batch.
func (n *Node) enqueue(g *group, cmd *lockfsm.Command, o origin) {
	if o.flags&(wire.FlagDetails|wire.FlagValue) != 0 {
		o.name = string(cmd.Name)
		if cmd.Op == lockfsm.OpAcquireAll {
			o.name = string(cmd.Parts)
		}
	}
	g.batch.Append(cmd)
	g.origins = append(g.origins, o)
	g.originBytes += originBytes + len(o.name)
	g.timed = g.timed || startsLease(cmd)
	n.touch(g)
}

// decodeCommand turns a request into a command whose name borrows the frame.
// The server, not the client, decides which group a name belongs to: a name
// sent to another group is refused before it can split a lock in two.
func decodeCommand(cmd *lockfsm.Command, h wire.Header, body []byte, groups int) wire.Status {
	*cmd = lockfsm.Command{}
	switch h.Kind {
	case wire.KindOpenSession:
		x, err := wire.DecodeOpenSession(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op, cmd.Nonce = lockfsm.OpOpenSession, lockfsm.Nonce(x.Nonce)
		cmd.Epoch = lockfsm.Epoch(x.Epoch)
		cmd.Lease, cmd.Name = lockfsm.Millis(x.LeaseMillis), x.Name
		return wire.StatusOK
	case wire.KindCloseSession:
		x, err := wire.DecodeCloseSession(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op = lockfsm.OpCloseSession
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		return wire.StatusOK
	case wire.KindAcquire:
		x, err := wire.DecodeAcquire(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op, cmd.Request = lockfsm.OpAcquire, lockfsm.RequestID(h.Request)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Mode, cmd.Weight, cmd.Name = lockfsm.Mode(x.Mode), x.Weight, x.Name
		cmd.Flags, cmd.Lease = acquireFlags(h, x.Session), lockfsm.Millis(x.TTLMillis)
	case wire.KindTake, wire.KindEnter, wire.KindLeave, wire.KindConvert, wire.KindGiveBack,
		wire.KindAsk, wire.KindAmend, wire.KindAwait, wire.KindCountDown, wire.KindSetGate,
		wire.KindResetGate, wire.KindForce:
		if s := decodeKinds(cmd, h, body); s != wire.StatusOK {
			return s
		}
	case wire.KindAcquireAll, wire.KindReleaseAll:
		return decodeAll(cmd, h, body, groups)
	case wire.KindRelease:
		x, err := wire.DecodeRelease(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op, cmd.Token, cmd.Name = lockfsm.OpRelease, lockfsm.Token(x.Token), x.Name
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Flags = commandFlags(h, x.Session)
	case wire.KindCancel:
		x, err := wire.DecodeCancel(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op, cmd.Request, cmd.Name = lockfsm.OpCancel, lockfsm.RequestID(x.Target), x.Name
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
	case wire.KindRenewHold:
		x, err := wire.DecodeRenewHold(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op, cmd.Token, cmd.Name = lockfsm.OpRenewHold, lockfsm.Token(x.Token), x.Name
		cmd.Session, cmd.Lease = lockfsm.SessionID(x.Session), lockfsm.Millis(x.TTLMillis)
	default:
		return wire.StatusBadRequest
	}
	if wire.CheckName(cmd.Name, wire.MaxNameBytes) != nil {
		return wire.StatusNameTooLong
	}
	if h.Group != wire.GroupOf("", cmd.Name, uint16(groups)) {
		return wire.StatusWrongGroup
	}
	return wire.StatusOK
}

// decodeKinds does the same for the requests of version 2 and 3, but for the name.
func decodeKinds(cmd *lockfsm.Command, h wire.Header, body []byte) wire.Status {
	var err error
	switch h.Kind {
	case wire.KindAsk, wire.KindAmend:
		return decodeTerms(cmd, h, body)
	case wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate:
		return decodeGate(cmd, h, body)
	case wire.KindForce:
		return decodeForce(cmd, body)
	case wire.KindTake:
		var x wire.Take
		x, err = wire.DecodeTake(body)
		cmd.Op, cmd.Request = lockfsm.OpTake, lockfsm.RequestID(h.Request)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Permits, cmd.Capacity = lockfsm.Permits(x.Permits), lockfsm.Permits(x.Capacity)
		cmd.Weight, cmd.Name = x.Weight, x.Name
		cmd.Flags, cmd.Lease = acquireFlags(h, x.Session), lockfsm.Millis(x.TTLMillis)
	case wire.KindEnter:
		var x wire.Enter
		x, err = wire.DecodeEnter(body)
		cmd.Op, cmd.Request = lockfsm.OpEnter, lockfsm.RequestID(h.Request)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Owner, cmd.Mode = lockfsm.Owner(x.Owner), lockfsm.Mode(x.Mode)
		cmd.Weight, cmd.Name, cmd.Flags = x.Weight, x.Name, acquireFlags(h, x.Session)
	case wire.KindConvert:
		var x wire.Convert
		x, err = wire.DecodeConvert(body)
		cmd.Op, cmd.Request = lockfsm.OpConvert, lockfsm.RequestID(h.Request)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Target, cmd.Token = lockfsm.RequestID(x.Target), lockfsm.Token(x.Token)
		cmd.Mode, cmd.Name, cmd.Flags = lockfsm.Mode(x.Mode), x.Name, acquireFlags(h, x.Session)
	case wire.KindGiveBack:
		var x wire.GiveBack
		x, err = wire.DecodeGiveBack(body)
		cmd.Op, cmd.Target = lockfsm.OpGiveBack, lockfsm.RequestID(x.Target)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Token, cmd.Name, cmd.Flags = lockfsm.Token(x.Token), x.Name, commandFlags(h, x.Session)
	default:
		var x wire.Leave
		x, err = wire.DecodeLeave(body)
		cmd.Op, cmd.Request = lockfsm.OpLeave, lockfsm.RequestID(x.Target)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Token, cmd.Name = lockfsm.Token(x.Token), x.Name
	}
	if err != nil {
		return wire.StatusBadRequest
	}
	return wire.StatusOK
}

// decodeAll does the same for requests of several names.
func decodeAll(cmd *lockfsm.Command, h wire.Header, body []byte, groups int) wire.Status {
	if h.Kind == wire.KindReleaseAll {
		x, err := wire.DecodeReleaseAll(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op, cmd.Request = lockfsm.OpReleaseAll, lockfsm.RequestID(x.Target)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Token = lockfsm.Token(x.Token)
		return wire.StatusOK
	}
	x, err := wire.DecodeAcquireAll(body)
	if err != nil {
		return wire.StatusBadRequest
	}
	cmd.Op, cmd.Request = lockfsm.OpAcquireAll, lockfsm.RequestID(h.Request)
	cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
	cmd.Weight, cmd.Parts = x.Weight, lockfsm.Parts(x.Wants)
	cmd.Flags = acquireFlags(h, x.Session)
	if cmd.Terms = termsOf(&x.Terms); x.Owner != 0 {
		cmd.Terms.Fields |= lockfsm.TermOwner
		cmd.Terms.Owner = lockfsm.Owner(x.Owner)
	}
	s := wire.StatusOK
	x.Wants.Each(func(_ int, w wire.Want) bool {
		s = belongs(h.Group, w.Name, groups)
		return s == wire.StatusOK
	})
	return s
}

// decodeGate does the same for the requests at a gate.
func decodeGate(cmd *lockfsm.Command, h wire.Header, body []byte) wire.Status {
	x, err := wire.DecodeGate(body)
	if err != nil {
		return wire.StatusBadRequest
	}
	switch h.Kind {
	case wire.KindAwait:
		cmd.Op = lockfsm.OpAwait
	case wire.KindCountDown:
		cmd.Op = lockfsm.OpCountDown
	case wire.KindSetGate:
		cmd.Op = lockfsm.OpSet
	default:
		cmd.Op = lockfsm.OpReset
	}
	cmd.Request, cmd.Done = lockfsm.RequestID(h.Request), lockfsm.RequestID(x.Done)
	cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
	cmd.Gate, cmd.Count, cmd.Lease = lockfsm.GateKind(x.Kind), x.Count, lockfsm.Millis(x.TTLMillis)
	cmd.Name, cmd.Flags = x.Name, commandFlags(h, x.Session)
	if cmd.Flags&lockfsm.Detached != 0 {
		return wire.StatusBadRequest // it belongs to a session
	}
	return wire.StatusOK
}

// commandFlags translates the flags of an acquire or a release. A detached hold
// is known by its owner id.
func commandFlags(h wire.Header, session uint64) lockfsm.Flags {
	var f lockfsm.Flags
	if h.Kind.Waits() && h.Flags&wire.FlagWait != 0 {
		f |= lockfsm.Wait
	}
	if session&wire.DetachedOwner != 0 {
		f |= lockfsm.Detached
	}
	return f
}

// hearsMajority reports whether this node and the peers it has heard within half
// an election timeout, which is two heartbeats at least, are a majority. A leader
// that steps down has not. It is a hint: nothing safe hangs on it.
func (n *Node) hearsMajority() bool {
	heard := 1
	for _, p := range n.peers {
		if p.up && n.now-p.heardAt < n.halfElection() {
			heard++
		}
	}
	return 2*heard > 1+len(n.peers)
}

// notLeader sends a request to the group's leader, as far as it is known, with
// the address: the client may not have heard of a node that joined later.
func (n *Node) notLeader(c *conn, h wire.Header, leader paxos.NodeID) {
	n.answer(c, h, &wire.Response{
		Status: wire.StatusNotLeader, Leader: uint16(leader), Payload: n.addressOf(leader),
	})
}

// addressOf is where clients dial a node, empty if that is not known.
func (n *Node) addressOf(id paxos.NodeID) []byte {
	x := n.listed(id)
	if x == nil {
		x = &placement.Node{ID: id} // the cluster is not born yet
	}
	return []byte(n.clientAddress(x))
}

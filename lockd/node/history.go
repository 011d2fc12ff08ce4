package node

import (
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// Each replica writes down, beside its machine, which holds ended: at which slot of the
// group's log, so that what several nodes wrote is one history, and what was applied
// twice is told once. None of it is replicated, and no turn waits for it.

// History keeps which holds ended. A node may have none.
type History interface {
	// Note takes in some slots of a group. It is called within a turn, or at a start by
	// several goroutines; it must be quick, must not call back, and keeps nothing of it.
	Note(*HistoryNote)
	// Ask looks for holds that ended; completed by Inbox.Recalled. False if it has no
	// room, or cannot.
	Ask(HistoryRequest) bool
}

// HistoryNote says what ended in the slots of a group above After, up to To. All that
// ended did so in To, so it is one slot if anything did.
type HistoryNote struct {
	Group     uint16
	After, To uint64
	// Before is the log time at After, LogTime that at To.
	Before, LogTime lockfsm.Time
	// Now is the clock of the turn, zero while the log of an earlier run is applied: then
	// it says nothing about when it was.
	Now Nanos
	// Begins says that nothing was held before now, in a group whose log time is zero: it
	// is born (To is zero), or used for the first time. Log time stands still in between.
	// Who does not lead cannot tell: what it applies may have been chosen long ago.
	Begins bool
	Ended  []lockfsm.Ended // borrowed
}

// HistoryRequest asks for the holds of a name of which some part lies within a time.
type HistoryRequest struct {
	Group   uint16
	Conn    ConnID // who asks, for the node
	Request uint64
	wire.History
}

// HistoryDone completes a HistoryRequest.
type HistoryDone struct {
	Conn    ConnID
	Request uint64
	Page    []byte // the payload, given up
	Err     error
}

// toldSlot is up to where the history was told of a group.
type toldSlot struct {
	slot uint64
	at   lockfsm.Time
	used bool // locks were, by then
}

// toldOf is where a machine is.
func toldOf(m *lockfsm.Machine) toldSlot { return toldSlot{m.Applied(), m.LogTime(), m.Used()} }

// notingEnds says whether anybody wants to know which holds end.
func (n *Node) notingEnds() lockfsm.Noting {
	if n.deps.History != nil {
		return lockfsm.NotingOn
	}
	return lockfsm.NotingOff
}

// noteEnds tells the history what an Apply ended, and how far log time has come. Slots
// with neither go with the next that has, but for the first use of a group, which
// x.Begins says to be now if it is in this slot. A slot that is applied again, to a
// machine that came of a snapshot, was told before.
func (n *Node) noteEnds(g *group, x *HistoryNote, out *lockfsm.Outcome) {
	at := toldOf(g.machine)
	first := at.at == 0 && at.used && !g.told.used
	if at.slot <= g.told.slot || len(out.Ended) == 0 && at.at == g.told.at && !first {
		return
	}
	*x = HistoryNote{Group: uint16(g.id), After: g.told.slot, To: at.slot, Before: g.told.at,
		LogTime: at.at, Now: x.Now, Begins: x.Begins && first, Ended: out.Ended}
	g.told = at
	n.deps.History.Note(x)
}

// noteStart tells the history where a group stands from which on all is told: it is known
// that nothing ended before the first slot. At the birth of the cluster, which is in a
// turn, log time begins, too.
func (n *Node) noteStart(g *group) {
	if n.deps.History == nil {
		return
	}
	n.ended = HistoryNote{Group: uint16(g.id), After: g.told.slot, To: g.told.slot,
		Before: g.told.at, LogTime: g.told.at}
	if n.recovery != nil {
		n.ended.Now, n.ended.Begins = n.now, n.now != 0 && g.told.slot == 0
	}
	n.deps.History.Note(&n.ended)
}

// noteAll tells the history of the slots that ended nothing, up to now: before a
// checkpoint, from which on the log is applied again.
func (n *Node) noteAll(g *group) {
	at := toldOf(g.machine)
	if n.deps.History == nil || at.slot <= g.told.slot {
		return
	}
	n.ended = HistoryNote{Group: uint16(g.id), After: g.told.slot, To: at.slot,
		Before: g.told.at, LogTime: at.at, Now: n.now}
	g.told = at
	n.deps.History.Note(&n.ended)
}

// onHistory puts a question to the history. It is this node's own: nobody need lead.
func (n *Node) onHistory(c *conn, h wire.Header, body []byte) {
	x, err := wire.DecodeHistory(body)
	switch {
	case err != nil:
		n.respond(c, h, wire.StatusBadRequest)
		return
	case wire.CheckName(x.Name, wire.MaxNameBytes) != nil:
		n.respond(c, h, wire.StatusNameTooLong)
		return
	case n.deps.History == nil:
		n.respond(c, h, wire.StatusNotFound)
		return
	}
	x.Name = append([]byte(nil), x.Name...)
	r := HistoryRequest{Group: wire.GroupOf("", x.Name, uint16(n.opts.Groups)), Conn: c.id,
		Request: h.Request, History: x}
	if g := n.group(r.Group); g != nil {
		n.noteAll(g) // so the answer says up to where it goes
	}
	if !n.deps.History.Ask(r) {
		n.busy(c, h)
		return
	}
	c.inFlight++
}

// onRecalled passes an answer of the history on.
func (n *Node) onRecalled(d HistoryDone) {
	c := n.conns.find(d.Conn)
	if c == nil {
		return
	}
	c.inFlight--
	x := wire.Response{Status: wire.StatusOK, Payload: d.Page}
	if d.Err != nil {
		x = wire.Response{Status: wire.StatusBusy, RetryMillis: busyRetryMillis}
	}
	n.answer(c, wire.Header{Request: d.Request}, &x)
}

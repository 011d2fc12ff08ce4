package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// An operator's change of the cluster may be asked of any node. It becomes a
// write of group 0's register at that group's leader; a node that does not lead
// it passes the question on.
//
//	PeerChange   id u64 | change (placement.Change)
//	PeerChanged  id u64 | verdict u8 | text

// ErrNoLeader means that nobody leads group 0 at the moment. Nothing changed.
var ErrNoLeader = errors.New("node: group 0 has no leader; ask again")

// ErrUncertain means that the leader of group 0 changed while a change was being
// made: it may have been made. Ask for the cluster's status.
var ErrUncertain = errors.New("node: the leader changed; the change may have been made")

// changeTimeout is how long an answer is waited for.
const changeTimeout = 5 * Second

// pendingChange is a change that somebody waits for.
type pendingChange struct {
	id       uint64
	peer     paxos.NodeID // who asked, if another node did
	asked    uint64       // under which id it asked
	done     func(error)  // who asked here
	deadline Nanos
}

// verdicts of a PeerChanged.
const (
	changeMade byte = iota
	changeRefused
	changeBusy
	changeNothing
	changeNoLeader
	changeUncertain
	changeSoon
)

func verdictOf(err error) byte {
	switch {
	case err == nil:
		return changeMade
	case errors.Is(err, placement.ErrSoon):
		return changeSoon
	case errors.Is(err, placement.ErrBusy):
		return changeBusy
	case errors.Is(err, placement.ErrNoChange):
		return changeNothing
	case errors.Is(err, ErrNoLeader):
		return changeNoLeader
	case errors.Is(err, ErrUncertain):
		return changeUncertain
	default:
		return changeRefused
	}
}

func errorOf(verdict byte, text string) error {
	var base error
	switch verdict {
	case changeMade:
		return nil
	case changeBusy:
		base = placement.ErrBusy
	case changeSoon:
		base = placement.ErrSoon
	case changeNothing:
		base = placement.ErrNoChange
	case changeNoLeader:
		return ErrNoLeader
	case changeUncertain:
		return ErrUncertain
	default:
		base = placement.ErrRefused
	}
	return &changeError{base, text}
}

// changeError is a refusal that came over a link with its text.
type changeError struct {
	base error
	text string
}

func (e *changeError) Error() string { return e.text }
func (e *changeError) Unwrap() error { return e.base }

// onChange takes a change that was asked for here. done is called once, within
// a turn.
func (n *Node) onChange(q changeRequest) {
	g := n.group(0)
	switch {
	case n.birth != nil:
		q.done(fmt.Errorf("%w: the cluster is not born yet", placement.ErrRefused))
	case g != nil && g.leading:
		n.beginChange(g, &q.change, &pendingChange{done: q.done})
	default:
		p := n.peer(uint16(n.groupZeroLeader()))
		if p == nil || !p.up {
			q.done(ErrNoLeader)
			return
		}
		c := n.await(&pendingChange{done: q.done})
		b := binary.LittleEndian.AppendUint64(nil, c.id)
		n.sendFrame(p, wire.PeerKindChange, placement.AppendChange(b, &q.change))
	}
}

// groupZeroLeader is who leads group 0 as far as is known here. A replica that the
// seats do not name yet may hear nobody, for as long as the move to it cannot begin.
func (n *Node) groupZeroLeader() paxos.NodeID {
	g := n.group(0)
	if g == nil {
		return n.leaderHint(0)
	}
	leader := g.replica.Leader()
	if leader == paxos.NoNode && !g.names(n.acceptor()) {
		return n.leaderHint(0)
	}
	return leader
}

// names reports whether the seats that are known here have an acceptor or an observer
// in its place.
func (g *group) names(a paxos.Acceptor) bool {
	return slices.Contains(g.seats.Now.Acceptors, a) ||
		slices.Contains(g.seats.Now.Observers, a.Node)
}

// onPeerChange takes a change that was asked for at another node.
func (n *Node) onPeerChange(p *peer, b []byte) {
	if len(b) < 8 {
		n.stats.BadFrames++
		return
	}
	c, err := placement.DecodeChange(b[8:])
	if err != nil {
		n.stats.BadFrames++
		return
	}
	from := &pendingChange{peer: p.id, asked: binary.LittleEndian.Uint64(b)}
	g := n.group(0)
	if g == nil || !g.leading {
		n.settleChange(from, ErrNoLeader)
		return
	}
	n.beginChange(g, &c, from)
}

// onPeerChanged hears what became of a change that was passed on.
func (n *Node) onPeerChanged(b []byte) {
	if len(b) < 9 {
		n.stats.BadFrames++
		return
	}
	id := binary.LittleEndian.Uint64(b)
	if c := n.changes[id]; c != nil {
		delete(n.changes, id)
		n.settleChange(c, errorOf(b[8], string(b[9:])))
	}
}

// beginChange proposes a change for somebody. Only an operator's kinds may be
// asked for, and by nodes that the format be raised.
func (n *Node) beginChange(g *group, c *placement.Change, from *pendingChange) {
	switch c.Kind {
	case placement.Add, placement.Remove, placement.Replace, placement.Move, placement.Keep:
	case placement.Raise:
		if known := n.knownFormat(); c.Format > uint16(known) {
			n.settleChange(from, fmt.Errorf("%w: not all nodes know format %d, or not all are linked",
				placement.ErrRefused, c.Format))
			return
		}
	default:
		n.settleChange(from, fmt.Errorf("%w: %v is not an operator's to ask", placement.ErrRefused,
			c.Kind))
		return
	}
	if short := n.short(c.Node); short > 0 && c.Kind == placement.Replace {
		n.settleChange(from, fmt.Errorf("%w: of %d groups no leader has been heard since the last "+
			"change, or they count on the disk of another node that was given up, or that is leaving and "+
			"down; a second one less could be one too many: wait until they are led or have moved, or "+
			"bring their nodes back",
			placement.ErrSoon, short))
		return
	}
	n.await(from)
	if err := n.proposeChange(g, c, from.id); err != nil {
		delete(n.changes, from.id)
		n.settleChange(from, err)
	}
}

// await remembers that somebody waits.
func (n *Node) await(c *pendingChange) *pendingChange {
	n.lastChange++
	c.id, c.deadline = n.lastChange, n.now+changeTimeout
	n.changes[c.id] = c
	return c
}

// proposeChange writes the record as it is after a change. The register refuses
// it if another change came first.
func (n *Node) proposeChange(g *group, c *placement.Change, id uint64) error {
	r, version, err := n.machineRecord(g)
	if err != nil {
		return err
	}
	next, err := r.Apply(c)
	if err != nil {
		return err
	}
	n.enqueue(g, &lockfsm.Command{
		Op: lockfsm.OpWrite, Name: []byte(registerCluster), Token: lockfsm.Token(version),
		Value: next.Append(nil),
	}, origin{change: id})
	return nil
}

// proposeOwn makes a change that nobody asked for. One that the record refuses is
// no longer due.
func (n *Node) proposeOwn(g *group, c *placement.Change) {
	err := n.proposeChange(g, c, 0)
	if err != nil && !errors.Is(err, placement.ErrNoChange) {
		n.observe(Event{Kind: EventChangeFailed, Node: c.Node, Text: err.Error()})
	}
}

// onChangeResult settles a change whose write has been applied.
func (n *Node) onChangeResult(id uint64, r *lockfsm.Result) {
	c := n.changes[id]
	if c == nil {
		return
	}
	delete(n.changes, id)
	switch r.Code {
	case lockfsm.CodeOK:
		n.settleChange(c, nil)
	case lockfsm.CodeConflict:
		n.settleChange(c, fmt.Errorf("%w: another change came first", placement.ErrSoon))
	default:
		n.settleChange(c, fmt.Errorf("%w: group 0 answers %v", placement.ErrRefused, r.Code))
	}
}

// settleChange tells whoever asked.
func (n *Node) settleChange(c *pendingChange, err error) {
	if c.done != nil {
		c.done(err)
		return
	}
	p := n.peer(uint16(c.peer))
	if p == nil {
		return
	}
	b := binary.LittleEndian.AppendUint64(nil, c.asked)
	b = append(b, verdictOf(err))
	if err != nil {
		b = append(b, err.Error()...)
	}
	n.sendFrame(p, wire.PeerKindChanged, b)
}

// expireChanges gives up what was not answered in time.
func (n *Node) expireChanges() {
	if len(n.changes) == 0 {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(n.changes)) {
		if c := n.changes[id]; n.now >= c.deadline {
			delete(n.changes, id)
			n.settleChange(c, ErrUncertain)
		}
	}
}

// moving counts the groups that are not at home yet, as far as it is known here.
func (n *Node) moving() int {
	count := 0
	for id := range n.heard {
		if h := &n.heard[id]; !n.isHeard(h) || h.standing != standsHome {
			count++
		}
	}
	return count
}

// short counts the groups of which it is not known that they can do without a
// node: whose leader is not heard, or whose acceptors' disks are not all good but
// for those of that node. A leader moves groups to disks that count, so what one
// says that knows the newest record stays true until there is a newer one.
func (n *Node) short(id paxos.NodeID) int {
	count := 0
	for g := range n.heard {
		h := &n.heard[g]
		switch {
		case !n.isHeard(h):
			count++
		case h.standing == standsWhole && n.leansOnLeaver(h, id):
			count++
		case h.standing == standsHome || h.standing == standsWhole:
		case h.standing != standsShort || len(h.nodes) == 0 || h.nodes[0] != id:
			count++
		}
	}
	return count
}

// leansOnLeaver reports whether beside a node one accepts for a group that is to leave
// and is not linked: to remove it is what is done about a node that is lost, and until
// the group has moved its disk is missing all the same. Who accepts is told before who
// observes.
func (n *Node) leansOnLeaver(h *heardSeats, id paxos.NodeID) bool {
	accept := h.nodes[:min(len(h.nodes), int(n.identity.Record.Replicas))]
	return slices.Contains(accept, id) && slices.ContainsFunc(accept, func(o paxos.NodeID) bool {
		x, p := n.listed(o), n.peer(uint16(o))
		return o != id && o != n.identity.Node && x != nil && x.State == placement.Leaving &&
			(p == nil || !p.up)
	})
}

// isHeard reports whether a group's leader, knowing the newest record, has spoken.
func (n *Node) isHeard(h *heardSeats) bool {
	return h.leader != paxos.NoNode && h.record >= n.identity.Version
}

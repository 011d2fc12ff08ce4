package node

import (
	"fmt"
	"slices"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/paxos"
)

// Each group says for itself who accepts in which of its slots: a register of
// its machine holds its seats. What the register says from slot s on was chosen
// a window before s (I5). The leader compares the seats with the group's home
// and proposes the next step; placement.Next says which.

// registerSeats is the register that holds a group's seats.
const registerSeats = "replicas"

// seatsOf returns the seats that a machine knows. A machine that knows none is
// at the beginning of its group: then those of the birth hold. A node that
// joined later does not know those, and one to which the group came back no
// longer knows what it accepted under them; it only learns until the log or a snapshot
// tells, and for that it needs to know whom to ask. The stand-in never names
// this node's own disk, so that nothing is promised or accepted by it.
func (n *Node) seatsOf(id paxos.GroupID, m *lockfsm.Machine, forgotten paxos.Slot,
) (placement.Seats, uint64, error) {
	b, version := m.Register(registerSeats)
	if version != 0 {
		s, err := placement.DecodeSeats(b, paxos.Slot(version)+paxos.Slot(n.opts.Window))
		return s, version, err
	}
	if n.identity.Birth != nil && forgotten == 0 {
		home, _ := n.identity.Birth.Home(id)
		return placement.Seats{Now: paxos.Configuration{From: 1, Acceptors: home}}, 0, nil
	}
	home, _ := n.identity.Record.Home(id)
	others := slices.DeleteFunc(home, func(a paxos.Acceptor) bool {
		return a.Node == n.identity.Node
	})
	for i := range n.identity.Record.Nodes {
		x := &n.identity.Record.Nodes[i]
		if len(others) == 0 && x.ID != n.identity.Node && x.Disk != 0 {
			others = append(others, paxos.Acceptor{Node: x.ID, Disk: x.Disk})
		}
	}
	if len(others) == 0 {
		return placement.Seats{}, 0, fmt.Errorf("node: nobody to learn group %d from", id)
	}
	return placement.Seats{Now: paxos.Configuration{From: 1, Acceptors: others}}, 0, nil
}

// onWritten acts on a register that was written in a slot just applied.
func (n *Node) onWritten(g *group, name string) {
	switch {
	case name == registerSeats:
		seats, version, err := n.seatsOf(g.id, g.machine, g.forgotten)
		if err == nil {
			err = g.replica.Configure(seats.Now)
		}
		if err != nil {
			n.fail(fmt.Errorf("node: group %d changes its acceptors in slot %d: %w", g.id,
				g.machine.Applied(), err))
			return
		}
		g.seats, g.seatsVersion = seats, version
		n.tellCut(g)
		n.observe(Event{Kind: EventSeats, Group: g.id, Slot: seats.Now.From,
			Text: seatsText(&seats.Now)})
		if g.leading && !slices.Contains(seats.Now.Acceptors, n.acceptor()) {
			// The replica hands over by itself once the slots before are chosen.
			n.observe(Event{Kind: EventTransfer, Group: g.id})
		}
	case name == registerCluster && g.id == 0:
		r, version, err := n.machineRecord(g)
		if err != nil {
			n.fail(fmt.Errorf("node: reading the cluster's record: %w", err))
			return
		}
		n.adoptRecord(r, version)
	}
}

// seatsText names acceptors and observers for people.
func seatsText(c *paxos.Configuration) string {
	text := "acceptors"
	for _, a := range c.Acceptors {
		text += fmt.Sprintf(" %d", a.Node)
	}
	if len(c.Observers) > 0 {
		text += fmt.Sprintf(", observers %v", c.Observers)
	}
	return text
}

// reseatEvery is how often a leader looks whether its groups are at home.
const reseatEvery = 100 * Millisecond

// maxMoves is how many groups a leader has on the move at a time. Each makes a
// newcomer learn all of it. One whose newcomers are down is not begun, and does not
// count: the others would wait for as long as that lasts. Nor does one that has
// come and lets others go.
const maxMoves = 2

// reseatGroups takes the next step for the groups this node leads that are not
// at home.
func (n *Node) reseatGroups() {
	if n.birth != nil || n.now < n.nextReseat {
		return
	}
	n.nextReseat = n.now + reseatEvery
	for _, g := range n.hosted {
		n.pace(g)
		n.showRecord(g)
	}
	moving := n.onTheMove()
	for _, g := range n.hosted {
		if n.mayReseat(g, moving) && n.reseat(g) && len(g.seats.Now.Observers) == 0 {
			moving++
		}
	}
}

// pace notes how far a group has come. What is chosen is known once this leader has taken
// over.
func (n *Node) pace(g *group) {
	switch {
	case !g.replica.TookOver():
		g.paced = false
	case !g.paced:
		g.paced, g.progress = true, progress{n.now, g.replica.Chosen(), g.replica.Chosen()}
	default:
		g.progress.note(n.now, g.replica.Chosen(), n.settle()/2)
	}
}

// reseatLate looks again at a group whose step was due while no slot had room for it.
func (n *Node) reseatLate(g *group) {
	if g.stepDue && n.mayReseat(g, n.onTheMove()) {
		n.reseat(g)
	}
}

// onTheMove counts the groups that this node is moving.
func (n *Node) onTheMove() (moving int) {
	for _, g := range n.hosted {
		if g.leading && len(g.seats.Now.Observers) > 0 {
			if some, up := n.newcomers(g); some && up {
				moving++
			}
		}
	}
	return moving
}

// mayReseat reports whether a group may take a step beside so many that are on the move.
// It may while a slot has room for it, so that what the step goes by is true when it is
// proposed: one that waited could make an acceptor of a node that has died meanwhile.
func (n *Node) mayReseat(g *group, moving int) bool {
	if !g.leading || n.now < g.reseatAfter || !n.mayStep(g) {
		return false
	}
	if _, up := n.newcomers(g); len(g.seats.Now.Observers) == 0 && (moving >= maxMoves || !up) {
		return false // one that is on the move goes on first
	}
	g.stepDue = !g.replica.CanPropose() || g.timed && n.outbid(g)
	return !g.stepDue
}

// newcomers reports whether a group is to be kept by some who do not accept for it
// yet, and whether all of these are up.
func (n *Node) newcomers(g *group) (some, up bool) {
	up = true
	for _, id := range n.home(g.id) {
		x := n.listed(id)
		if x == nil || slices.Contains(g.seats.Now.Acceptors, paxos.Acceptor{Node: id, Disk: x.Disk}) {
			continue
		}
		p := n.peer(uint16(id))
		some, up = true, up && (id == n.identity.Node || p != nil && p.up)
	}
	return some, up
}

// reseat proposes the next step of a group towards its home, if there is one
// and its condition holds, and reports whether it did.
func (n *Node) reseat(g *group) bool {
	home, known := n.identity.Record.Home(g.id)
	if !known || paxos.Slot(g.machine.Applied())+1 < g.seats.Now.From {
		return false // the last step is not in force yet; the replica sees to it
	}
	next, when, ok := placement.Next(&g.seats.Now, home)
	if !ok {
		if n.leansOnLost(g) {
			n.proposeNothing(g) // as below
		}
		return false
	}
	switch when {
	case placement.CaughtUp:
		for _, a := range placement.Newcomers(&g.seats.Now, &next) {
			if !n.isCurrent(g, a) && !plantedIs("observer-promoted-early") {
				return false
			}
		}
	case placement.Settled:
		if !g.replica.Settled() && !plantedIs("released-before-settled") {
			// Accepting shows what is synced; an idle group accepts nothing.
			n.proposeNothing(g)
			return false
		}
	case placement.Always:
	}
	value := placement.AppendSeats(nil, &g.seats.Now, &next)
	n.enqueue(g, &lockfsm.Command{
		Op: lockfsm.OpWrite, Name: []byte(registerSeats), Token: lockfsm.Token(g.seatsVersion),
		Value: value,
	}, origin{name: registerSeats})
	g.reseatAfter = n.now + reseatAgain
	g.stepping++
	return true
}

// reseatAgain is how long a proposed step may take before it is proposed again;
// the register's version sees to it that it is taken once.
const reseatAgain = Second

// progress is what a leader had chosen a while ago: taken is when it had chosen recent,
// and before is from an election timeout earlier, or from when it had taken over.
type progress struct {
	taken          Nanos
	recent, before paxos.Slot
}

func (p *progress) note(now Nanos, chosen paxos.Slot, timeout Nanos) {
	if now-p.taken >= timeout {
		p.taken, p.recent, p.before = now, chosen, p.recent
	}
}

// isCurrent reports whether an observer, on the disk that is to accept, has synced all
// but the newest slots, among them those that made it one: in a short log that takes more
// than to be near its end. What it has and has not synced may be lost, and a disk that
// does not move is no acceptor. In a rush it is never near: it hears once a
// heartbeat what it is to learn, and says as seldom what it has. Then it is to have
// what was chosen before the last election timeout (Ongaro, §4.2.1).
func (n *Node) isCurrent(g *group, a paxos.Acceptor) bool {
	if a.Node == n.identity.Node {
		return a.Disk == n.identity.Disk
	}
	p := n.peer(uint16(a.Node))
	holds, ok := g.replica.PeerHolds(a.Node)
	return ok && g.paced && p != nil && p.up && p.disk == a.Disk && holds+1 >= g.seats.Now.From &&
		(holds+maxTransferGap >= g.replica.Chosen() || holds >= g.progress.before)
}

// proposeNothing fills a slot with an empty batch, unless there is something to fill it
// with, or no room, and reports whether it did.
func (n *Node) proposeNothing(g *group) bool {
	if g.batch.Len() > 0 || !g.replica.CanPropose() {
		return false
	}
	n.ticker.Reset()
	n.ticker.Tick(0, nil)
	n.proposeValue(g, n.ticker.Bytes(), g.takeFlight())
	n.touch(g)
	return true
}

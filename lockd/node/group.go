package node

import (
	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// origin remembers who asked for a command, so that its result finds the way
// back.
type origin struct {
	conn    ConnID
	request uint64
	kind    wire.Kind
	flags   wire.Flags
	// change is the change of the cluster that waits for it, zero for none.
	change uint64
	// name is kept only where the answer may have to describe the lock; of several
	// it is their Parts. Of what the node itself proposes it is the register of seats.
	name string
}

// renewal is one session of a keepalive.
type renewal struct {
	conn    ConnID
	request uint64
	session lockfsm.SessionID
}

// flight is a slot this leader proposed and has not applied yet.
type flight struct {
	slot     paxos.Slot
	ballot   paxos.Ballot
	origins  []origin
	renewals []renewal
}

// read is a question that waits for the proof that this node still leads.
type read struct {
	conn    ConnID
	request uint64
	kind    wire.Kind
	flags   wire.Flags
	// seq is the confirmation round that covers it, zero before it has one.
	seq uint64
	// behind is the number of flights that must have been applied: everything
	// admitted before the question comes before its answer.
	behind uint64
	limit  uint16
	bytes  int    // that it takes, counted in the node's asked
	cost   int    // of a list or a check, counted in the turnstile
	name   []byte // or prefix
	after  []byte
	checks *wire.CheckTokens
	find   *wire.FindSession
	chase  *wire.Chase
	// claim is the request that a Why or a Watch is about, mode that of one that may
	// come; scope and from are those of a Watch.
	claim waitKey
	mode  wire.Mode
	scope wire.Scope
	from  uint64
	// acquire is the command of a try that would be refused, kind then one that
	// acquires.
	acquire lockfsm.Command
}

// binding says on which conn the events of a session go out.
type binding struct {
	conn  ConnID
	epoch lockfsm.Epoch
	// waited is set once a request of the session was queued: if the conn
	// goes, its waits are to be parked.
	waited bool
	// letsGo is set if the session is to end soon when the conn does, after grace.
	letsGo bool
	grace  lockfsm.Millis
	// renewals counts those since time step number step of its group.
	renewals uint8
	step     uint64
}

// group is one group on this node: a replica, a machine, and those who wait
// for the two. Only the fields of the first block matter on a node that does
// not lead it.
type group struct {
	id      paxos.GroupID
	replica *paxos.Replica
	machine *lockfsm.Machine
	told    toldSlot
	dirty   bool
	putOff  bool // until the disk moves
	leading bool
	leader  paxos.NodeID
	// movingTo is the node that was last asked to take over from this one.
	movingTo paxos.NodeID
	// moveAfter is the moment before which the group is not moved to its
	// preferred leader.
	moveAfter Nanos
	// asked is the hand-over of which it is not known yet what comes, resting are the
	// nodes of whom nothing came.
	asked   handover
	resting []rest
	// saved is the slot of the durable checkpoint.
	saved paxos.Slot
	// seats are who accepts, as the machine knows it, and seatsVersion the
	// version of its register; reseatAfter is the moment before which no step
	// is proposed again.
	seats        placement.Seats
	seatsVersion uint64
	progress     progress
	paced        bool // progress has begun: this leader has taken over
	// forgotten is that of the last departure from this node.
	forgotten   paxos.Slot
	reseatAfter Nanos
	// showAfter is that of the record that the log is to see.
	showAfter Nanos
	// stepDue says that a step may be due for which no slot had room.
	stepDue bool
	// stepping counts the steps that this leader proposed and that are not applied: one
	// that takes long is proposed again.
	stepping int
	// changes is a change set that is being saved, or could not be saved yet.
	changes *SaveRequest

	batch       lockfsm.BatchBuilder // admitted and not proposed yet
	origins     []origin             // of the commands in batch, in order
	originBytes int                  // what those count, with their names
	flights     []flight             // proposed and not applied, in slot order
	idle        []flight             // spent flights, for their memory
	reads       []read
	lists       []read // confirmed, of which names are looked for
	// searches are what is found of names, or being looked for, and touches what they
	// have to hear of.
	searches []*search
	touches  touches
	parks    []parked // sessions to be parked or let go as the batch has room
	// confirmed is the highest read round confirmed; launched and landed count
	// the flights of this node since it last began to lead.
	confirmed        uint64
	launched, landed uint64
	bound            map[lockfsm.SessionID]binding
	waits            map[waitKey]ConnID // queued in the machine, to be answered there
	// valued are those of waits whose grant is answered with the value of the lock; nil
	// until there is one.
	valued   map[waitKey]struct{}
	watches  *watches // nil while there are none
	late     bool     // on the turnstile's list
	renewals []renewal
	// step counts the time steps proposed, and strangers the renewals of sessions
	// that the machine does not know since the last.
	step      uint64
	strangers int
	// lastTick is the moment up to which time steps have been proposed, counting
	// whether this leadership has begun to. It begins when all that it took over
	// is chosen: a step of the leader before, found on the way, may speak of any
	// moment until then, and no moment may be counted twice (I20, I21).
	lastTick Nanos
	counting bool
	tickDue  bool
	// timed is set while a command in batch counts from the present log time.
	timed bool
	// early holds requests that came while the group had no leader and this
	// node is a likely one; earlyUntil is the moment at which they are
	// answered with a refusal. settling is set while they are being served.
	early      []earlyRequest
	earlyBytes int
	// earlyFull is set once there was no room for another; until those held
	// are settled nothing more is.
	earlyFull  bool
	settling   bool
	earlyUntil Nanos
}

func newGroup(id paxos.GroupID, r *paxos.Replica, m *lockfsm.Machine) *group {
	return &group{
		id:      id,
		replica: r,
		machine: m,
		told:    toldOf(m),
		saved:   paxos.Slot(m.Applied()),
		bound:   make(map[lockfsm.SessionID]binding),
		waits:   make(map[waitKey]ConnID),
	}
}

// takeFlight returns an empty flight with memory from an earlier one.
func (g *group) takeFlight() flight {
	if k := len(g.idle); k > 0 {
		f := g.idle[k-1]
		g.idle = g.idle[:k-1]
		return f
	}
	return flight{}
}

const (
	// keepFlights is how many spent flights a group keeps for their memory, and
	// keepOrigins for how many commands, or renewals, each of them has room. What a
	// flood took is not kept: one group after the other could be flooded.
	keepFlights, keepOrigins = 8, 512
)

// recycle gives a spent flight's memory back.
func (g *group) recycle(f flight) {
	if len(g.idle) >= keepFlights {
		return
	}
	clear(f.origins)
	x := flight{origins: f.origins[:0], renewals: f.renewals[:0]}
	if cap(x.origins) > keepOrigins {
		x.origins = nil
	}
	if cap(x.renewals) > keepOrigins {
		x.renewals = nil
	}
	g.idle = append(g.idle, x)
}

// popFlight removes the first flight if it is the one that filled slot with a
// value of ballot. A slot of this leader's ballot has exactly one value (I2),
// so the ballot tells whether what was chosen is what this node proposed.
func (g *group) popFlight(slot paxos.Slot, ballot paxos.Ballot) (flight, bool) {
	if !g.proposed(slot, ballot) {
		return flight{}, false
	}
	f := g.flights[0]
	g.flights = append(g.flights[:0], g.flights[1:]...)
	g.landed++
	return f, true
}

// proposed reports whether this node has proposed the next slot, since it last began to
// lead, and it was chosen as proposed.
func (g *group) proposed(slot paxos.Slot, ballot paxos.Ballot) bool {
	return len(g.flights) > 0 && g.flights[0].slot == slot && g.flights[0].ballot == ballot
}

// work lets a group do everything it can in this turn: propose what was
// admitted, record, speak, apply, answer.
func (n *Node) work(g *group) {
	for range maxRounds {
		n.noteLeadership(g)
		if g.leading {
			n.propose(g)
			n.startReads(g)
		}
		if !g.replica.HasReady() {
			return
		}
		n.ready(g)
		if n.failure != nil {
			return
		}
	}
	// What the last round applied may have made room for what waits.
	n.touch(g)
}

// maxRounds bounds what one group does before the others have their chance. A
// group with more to do is looked at again in the same turn.
const maxRounds = 4

// propose fills the next slot with everything that was admitted. It never waits
// for more to come: the batch is whatever arrived while earlier slots were on
// their way.
func (n *Node) propose(g *group) {
	if n.behind() {
		n.waitForDisk(g) // the log would keep it in memory
		return
	}
	n.reseatLate(g)
	if len(g.parks) > 0 {
		n.batchParks(g)
	}
	if g.tickDue || g.timed {
		n.proposeTick(g)
	}
	if g.batch.Len() == 0 || g.timed || !g.replica.CanPropose() {
		return
	}
	f := g.takeFlight()
	f.origins, g.origins = g.origins, f.origins
	n.proposeValue(g, g.batch.Bytes(), f)
	g.resetBatch()
}

// proposeValue hands a value to the replica, which copies it, and remembers who
// waits for it.
func (n *Node) proposeValue(g *group, value []byte, f flight) {
	slot, err := g.replica.Propose(value)
	if err != nil {
		// CanPropose has just said yes, so only a lost leadership can stand in
		// the way; noteLeadership tells those who asked.
		n.disown(g, f.origins, f.renewals)
		return
	}
	f.slot, f.ballot = slot, g.replica.Ballot()
	g.flights = append(g.flights, f)
	g.launched++
	n.stats.Proposed++
}

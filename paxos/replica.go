package paxos

import (
	"errors"
	"fmt"
	"slices"

	"lockd/paxos/quorum"
)

var (
	// ErrNotLeader means that this replica does not lead, has not finished what
	// it took over, or is handing over. Nothing was proposed.
	ErrNotLeader = errors.New("paxos: not the leader")
	// ErrWindowFull means that Config.Window slots are in flight. Nothing was
	// proposed; try again after the next Ready with Chosen.
	ErrWindowFull = errors.New("paxos: window full")
	// ErrValueSize means that a value is empty, which only a no-op is, or above
	// MaxValueBytes. Nothing was proposed.
	ErrValueSize = errors.New("paxos: bad value size")
	// ErrTarget means that leadership cannot be handed to the named node.
	ErrTarget = errors.New("paxos: bad transfer target")
)

// Replica is one group's protocol state on one node: proposer, acceptor and
// learner. It is pure and belongs to one goroutine. What it wants done stands
// in Ready; after any other method, look at HasReady.
type Replica struct {
	cfg     Config
	configs []config
	peers   []peer
	draws   draws
	// ticks counts calls of Tick. A leader beats when it is a multiple of
	// HeartbeatTicks, so that the beats of all groups of a node, whose replicas
	// are made and ticked together, fall into the same turn and frame.
	ticks Ticks

	// promised is the highest ballot this acceptor promised, accepted or learned.
	// Invariant: it never decreases, restarts included (I3).
	promised Ballot
	// recorded is the highest promise whose record was handed out.
	recorded Ballot
	log      window
	// hinted is the slot of the last RecordChosen.
	hinted Slot
	// durable is a slot up to which all are chosen and synced here, as the last
	// of this replica's own accepts that was synced knew it.
	durable Slot
	// synced is such a slot too, of a replica that only learns. Others than the
	// learner's own log say what of it is chosen, so it is no durable.
	synced Slot

	role Role
	// ballot is the one asked for, prepared or led.
	// Invariant: while preparing or leading, ballot = promised.
	ballot Ballot
	elect  election
	lead   leadership
	reads  reads

	// leader was last heard in leaderBallot, heard ticks ago; NoNode if that is too
	// long.
	leader       NodeID
	leaderBallot Ballot
	heard        Ticks

	transfer transfer
	learn    learning

	// out collects the next Ready, nil while there is nothing for it.
	out *outbox
	// told is the last Confirmed handed out.
	told uint64
	// floor is the promised ballot, checked the applied slot at the last check.
	floor   Ballot
	checked Slot
}

// config is a Configuration with its quorums.
type config struct {
	Configuration
	quorums quorum.System
	// age is how long it has been known; a leader gives its acceptors an
	// election timeout to answer.
	age Ticks
}

// New returns a replica that continues what rec remembers. rec may be nil for
// one that never ran and is given up to the replica. The error is ErrConfig or
// ErrIncomplete.
func New(cfg Config, rec *Recovered) (*Replica, error) {
	if rec == nil {
		rec = &Recovered{}
	}
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if from := c.Configurations[0].From; from > rec.base+1 {
		return nil, fmt.Errorf("%w: the first configuration starts at slot %d, after slot %d",
			ErrConfig, from, rec.base+1)
	}
	r := &Replica{cfg: c}
	r.draws = newDraws(c.Seed, uint64(c.Group)<<16|uint64(c.Self))
	for i := range c.Configurations {
		r.addConfig(c.Configurations[i])
		r.configs[i].age = c.ElectionTicks
	}
	if err := r.recover(rec); err != nil {
		return nil, err
	}
	r.elect.wait = r.electionWait()
	if len(c.Successors) > 0 && c.Successors[0] == c.Self {
		r.elect.wait = preferredWait
	}
	if rec.any {
		r.elect.grace = c.ElectionTicks
	}
	return r, nil
}

// recover takes over what the disk remembers.
func (r *Replica) recover(rec *Recovered) error {
	w := &r.log
	w.released, w.applied, w.chosen, w.last = rec.base, rec.base, rec.base, rec.base
	r.promised, r.hinted = rec.promised, rec.chosen
	for s := rec.base + 1; s <= rec.last; s++ {
		if e, ok := rec.entries[s]; ok {
			w.put(e)
			if r.promised.Less(e.Ballot) {
				r.promised = e.Ballot
			}
		}
	}
	r.recorded = r.promised
	for w.chosen < rec.chosen {
		if w.ballot(w.chosen + 1).IsZero() {
			if w.chosen+1 < r.cfg.Forgotten {
				// A hint, and perhaps entries, of a stay of the group that is over
				// were copied behind the mark that ended it.
				r.hinted = w.chosen
				return nil
			}
			return fmt.Errorf("%w: group %d: slot %d is missing, chosen up to %d, checkpoint %d",
				ErrIncomplete, r.cfg.Group, w.chosen+1, rec.chosen, rec.base)
		}
		w.chosen++
	}
	return nil
}

func (r *Replica) addConfig(c Configuration) {
	if k := len(r.configs); k > 0 {
		r.greet(&r.configs[k-1].Configuration, &c)
	}
	r.configs = append(r.configs,
		config{Configuration: c, quorums: quorum.Majority(len(c.Acceptors))})
	for _, a := range c.Acceptors {
		r.addPeer(a.Node)
	}
	for _, n := range c.Observers {
		r.addPeer(n)
	}
}

// greet forgets how far the nodes have come that next names and last does not: a
// group that left a node and comes back to it begins there anew.
func (r *Replica) greet(last, next *Configuration) {
	for i := range r.peers {
		if p := &r.peers[i]; next.names(p.node) && !last.names(p.node) {
			p.chosen, p.durable = 0, 0
			p.answered, p.unsynced = false, 0
		}
	}
}

// Configure adds a configuration that the value of an applied slot decided. It
// is called before any other method after the Ready that handed the slot out.
// A leader fills the slots below c.From with no-ops, so that an idle log gets
// there.
// Requires: c.From is at least Window above that slot. The error is ErrConfig.
func (r *Replica) Configure(c Configuration) error {
	c = c.clone()
	if err := c.validate(); err != nil {
		return err
	}
	last := r.configs[len(r.configs)-1].From
	switch {
	case c.From == last:
		return nil
	case c.From < last:
		return fmt.Errorf("%w: configuration from slot %d follows one from slot %d",
			ErrConfig, c.From, last)
	case c.From <= r.lead.last:
		return fmt.Errorf("%w: configuration from slot %d, proposed up to slot %d",
			ErrConfig, c.From, r.lead.last)
	}
	r.addConfig(c)
	r.check()
	return nil
}

// configOf returns the configuration of slot s: no other decides a quorum of it
// (I5).
func (r *Replica) configOf(s Slot) *config {
	if plantedIs("configuration-one-slot-early") {
		s++
	}
	for i := len(r.configs) - 1; i > 0; i-- {
		if r.configs[i].From <= s {
			return &r.configs[i]
		}
	}
	return &r.configs[0]
}

// knowsNext reports whether the configuration of the next slot is known: every slot
// that could decide it, a window below and earlier, was handed out.
func (r *Replica) knowsNext() bool { return r.log.chosen < r.log.applied+Slot(r.cfg.Window) }

// open returns the first slot, from s on, of which this acceptor knows what it
// accepted, and in which it may accept.
func (r *Replica) open(s Slot) Slot {
	if plantedIs("forgotten-slot-accepts") {
		return max(s, r.log.released+1)
	}
	return max(s, r.log.released+1, r.cfg.Forgotten)
}

// live returns the configurations of the slots that are not chosen yet, as far
// as they are known.
func (r *Replica) live() []config {
	for i := len(r.configs) - 1; i > 0; i-- {
		if r.configs[i].From <= r.log.chosen+1 {
			return r.configs[i:]
		}
	}
	return r.configs
}

// takesPart reports whether node is an acceptor of a slot that is not chosen
// yet: what others ask about leading is not heard (I29).
func (r *Replica) takesPart(node NodeID) bool {
	live := r.live()
	for i := range live {
		if live[i].has(node) {
			return true
		}
	}
	return false
}

// isStranger reports whether m comes in a ballot that is news here from a node
// that is no acceptor. A leader that was removed is heard in the ballot it had.
func (r *Replica) isStranger(m *Message) bool {
	return r.promised.Less(m.Ballot) && !r.takesPart(m.From)
}

// Step takes one message in. m is borrowed for the call; its Disk must be set.
// A message for another group or node, or one that makes no sense, is ignored.
func (r *Replica) Step(m *Message) {
	if m.Group != r.cfg.Group || m.To != r.cfg.Self {
		return
	}
	if m.From == r.cfg.Self {
		r.stepOwn(m)
		r.check()
		return
	}
	if p := r.peer(m.From); p != nil {
		r.heardPeer(p, m)
	}
	if m.Chosen > r.log.chosen {
		r.noteChosen(m.From, m.Chosen)
	}
	r.dispatch(m)
	r.check()
}

// stepOwn takes in what this replica said to itself through AfterSync.
func (r *Replica) stepOwn(m *Message) {
	switch {
	case m.Kind == KindPromise && m.Ballot == r.ballot && r.role == RolePreparing:
		r.elect.selfPromised = true
		r.maybeLead()
	case m.Kind == KindAccepted:
		r.onAccepted(m, nil)
	case m.Kind == KindHeartbeatAck:
		r.synced = max(r.synced, m.Chosen)
	}
}

func (r *Replica) dispatch(m *Message) {
	switch m.Kind {
	case KindPrePrepare:
		r.onPrePrepare(m)
	case KindPreAnswer:
		r.onPreAnswer(m)
	case KindPrepare:
		r.onPrepare(m)
	case KindPromise:
		r.onPromise(m)
	case KindAccept:
		r.onAccept(m)
	case KindAccepted:
		r.onAccepted(m, r.peer(m.From))
	case KindHeartbeat:
		r.onHeartbeat(m)
	case KindHeartbeatAck:
		r.onHeartbeatAck(m)
	case KindLearn:
		r.onLearn(m)
	case KindLearned:
		r.onLearned(m)
	case KindRefuse:
		r.onRefuse(m)
	case KindTakeOver:
		r.onTakeOver(m)
	default:
		// A kind of a later version: the sender asks again in ours or not at all.
	}
}

// Tick moves the replica's clock by one beat.
func (r *Replica) Tick() {
	r.ticks++
	for i := range r.peers {
		r.peers[i].tick()
	}
	for i := range r.configs {
		r.configs[i].age = r.configs[i].age.next()
	}
	r.heard = r.heard.next()
	if r.elect.grace > 0 {
		r.elect.grace--
	}
	if r.role != RoleLeading && r.leader != NoNode && r.heard >= r.cfg.ElectionTicks {
		r.leader = NoNode
	}
	switch r.role {
	case RolePassive, RoleAsking:
		r.tickPassive()
	case RolePreparing:
		r.tickPreparing()
	case RoleLeading:
		r.tickLeading()
	default:
		panic(fmt.Sprintf("paxos: role %v", r.role))
	}
	r.tickLearn()
	r.check()
}

// PeerDown is the hint that node's process died: its conn was reset. If it led,
// the first live successor asks at once and the others by rank, without waiting
// for an election timeout. The hint may be wrong: no safety rests on it.
func (r *Replica) PeerDown(node NodeID) {
	p := r.peer(node)
	if p == nil || p.down {
		return
	}
	p.down, p.cut = true, true
	if node != r.leader || r.role == RoleLeading {
		return
	}
	r.leader = NoNode
	if r.role != RolePassive || !r.canLead() {
		return
	}
	r.elect.wait = Ticks(r.rank()) * r.cfg.RankDelayTicks
	if r.elect.wait == 0 {
		r.ask()
	}
	r.check()
}

// PeerCut is the hint that no conn to node stands, whatever has become of its process.
// A replica that has none to a quorum says so, and does not take over.
func (r *Replica) PeerCut(node NodeID) {
	if p := r.peer(node); p != nil {
		p.cut = true
	}
}

// PeerUp is the hint that a conn to node stands. What was sent to it before may
// be lost, so a leader sends again. Nor does what it had said of itself count: it may have
// been started again, and what it had learned need not have been durable. It may even be
// on another disk, where an answer to a heartbeat of the old one would be taken for one
// of its own; so what was not handed out yet to be sent at once is not.
func (r *Replica) PeerUp(node NodeID) {
	if r.out != nil {
		r.out.ready.Messages = slices.DeleteFunc(r.out.ready.Messages,
			func(m Message) bool { return m.To == node })
	}
	if p := r.peer(node); p != nil {
		p.answered, p.unsynced, p.barred = false, 0, false
		p.down, p.cut = false, false
		p.chosen = 0
		r.rewind(p)
	}
}

// Release says that a checkpoint up to slot is durable. Of the entries up to
// there only the last RetainSlots are kept, and of these no more than have room
// in RetainBytes. A slot above the applied one counts as that.
func (r *Replica) Release(slot Slot) {
	slot = min(slot, r.log.applied)
	spare := r.log.spare(slot, r.cfg.RetainSlots, r.cfg.RetainBytes)
	if spare <= r.log.released {
		return
	}
	r.log.release(spare)
	r.pruneConfigs()
	r.check()
}

// pruneConfigs forgets the configurations of dropped slots.
func (r *Replica) pruneConfigs() {
	n := 0
	for n+1 < len(r.configs) && r.configs[n+1].From <= r.log.released+1 {
		n++
	}
	r.configs = slices.Delete(r.configs, 0, n)
	r.peers = slices.DeleteFunc(r.peers, func(p peer) bool {
		return !slices.ContainsFunc(r.configs, func(c config) bool { return c.names(p.node) })
	})
}

// SetSuccessors changes the order in which nodes take over, from the next
// attempt on. It copies the order.
func (r *Replica) SetSuccessors(order []NodeID) {
	r.cfg.Successors = append(r.cfg.Successors[:0:0], order...)
}

// Settled reports whether the newest configuration can do without any earlier
// one: an accept quorum of it has said, after a sync, that it holds every slot
// below its first. What the others hold of the group may then be destroyed. Only
// the leader knows.
func (r *Replica) Settled() bool {
	c := &r.configs[len(r.configs)-1]
	if r.role != RoleLeading {
		return false
	}
	has := r.others(c, func(p *peer) bool { return p.durable+1 >= c.From })
	if place := c.place(r.cfg.Self, r.cfg.Disk); place >= 0 && r.durable+1 >= c.From {
		has = has.Add(place)
	}
	return c.quorums.Accept(has)
}

// Value returns the value chosen in slot s, borrowed for good, if the slot is
// applied and not dropped yet.
func (r *Replica) Value(s Slot) (value []byte, ok bool) {
	if s > r.log.applied || s <= r.log.released {
		return nil, false
	}
	return r.log.entry(s).Value, true
}

// Install says that the state after slot came as a snapshot and is durable. A
// snapshot that is not newer than what was applied changes nothing: state never
// goes back. configs, if there are any, are all that the state knows: they
// replace those known here.
// Requires: the first of configs covers the slot after slot.
func (r *Replica) Install(slot Slot, configs []Configuration) {
	if slot <= r.log.applied {
		return
	}
	if len(configs) > 0 {
		if from := configs[0].From; from > slot+1 {
			panic(fmt.Sprintf("paxos: snapshot of slot %d: have configurations from slot %d",
				slot, from))
		}
		r.configs = r.configs[:0]
		for i := range configs {
			r.addConfig(configs[i].clone())
		}
	}
	if slot > r.log.chosen && r.role == RoleLeading {
		r.stepDown()
	}
	r.log.install(slot)
	r.hinted = max(r.hinted, slot)
	r.pruneConfigs()
	r.advanceKnown()
	r.learnProgress(NoNode)
	r.learn.wait = 0 // whoever is asked now has what follows
	r.maybeLead()
	r.check()
}

package paxos

// preferredWait is how soon after its start the preferred leader asks: enough
// for conns to stand, too little to be noticed.
const preferredWait Ticks = 2

// election is the state of trying to lead.
type election struct {
	// wait counts down to the next attempt, or to giving one up.
	wait Ticks
	// resend counts down to the next Prepare to those who have not promised.
	resend Ticks
	// grace counts down after a restart. Until it is over this replica cannot
	// know whether a leader lives, so it welcomes nobody (I29).
	grace Ticks
	// round is the highest round heard of in a refusal or an answer, or of a leader
	// that is followed no more.
	round uint64
	// selfPromised says that the own promise is synced.
	selfPromised bool
}

// electionWait is how long a silent leader is borne with: the election timeout,
// then by rank, so that successors do not collide.
func (r *Replica) electionWait() Ticks {
	return r.cfg.ElectionTicks + Ticks(r.rank())*r.cfg.RankDelayTicks +
		r.draws.below(r.cfg.RankDelayTicks)
}

// retryWait is how long after an attempt the next one follows.
func (r *Replica) retryWait() Ticks {
	return Ticks(1+r.rank())*r.cfg.RankDelayTicks + r.draws.below(r.cfg.RankDelayTicks)
}

// canLead reports whether this replica may propose in the next slot at all.
func (r *Replica) canLead() bool {
	next := r.log.chosen + 1
	return next == r.open(next) && r.configOf(next).place(r.cfg.Self, r.cfg.Disk) >= 0
}

// passive ends any attempt to lead.
func (r *Replica) passive() {
	if r.role == RolePassive {
		return
	}
	if r.leader == r.cfg.Self {
		r.leader = NoNode
	}
	r.role = RolePassive
	r.lead = leadership{}
	r.transfer = transfer{}
}

// stepDown ends leading or preparing; others get their turn first.
func (r *Replica) stepDown() {
	r.passive()
	r.elect.wait = r.electionWait()
}

func (r *Replica) tickPassive() {
	if !r.canLead() {
		r.passive()
		return
	}
	if r.elect.wait > 0 {
		r.elect.wait--
	}
	if r.elect.wait == 0 {
		r.ask()
	}
}

// nextBallot returns a ballot above all this replica ever used, or heard of in the life
// of the process: below that of a leader it would not be listened to by who heard both. Its
// own ones are among the promised, which are durable before they are used, so
// no ballot is used twice, restarts included (I2).
func (r *Replica) nextBallot() Ballot {
	round := max(r.promised.Round, r.elect.round, r.leaderBallot.Round)
	if plantedIs("ballot-reused") && r.promised.Node == r.cfg.Self && round == r.promised.Round {
		return r.promised
	}
	return Ballot{Round: round + 1, Node: r.cfg.Self}
}

// ask starts a pre-prepare round: Ongaro, "Consensus: Bridging Theory and
// Practice", §9.6, asks the same before raising a term. It changes no state
// anywhere, so that a node which was cut off cannot depose a healthy leader.
func (r *Replica) ask() {
	r.role = RoleAsking
	r.ballot = r.nextBallot()
	r.elect.wait = r.retryWait()
	for i := range r.peers {
		p := &r.peers[i]
		p.welcome, p.unwelcome = false, false
		r.send(Message{
			Kind: KindPrePrepare, To: p.node, Ballot: r.ballot,
			Slot: r.log.chosen + 1, Chosen: r.log.chosen,
		})
	}
	r.maybePrepare()
}

// onPrePrepare answers whether a Prepare would be welcome here.
func (r *Replica) onPrePrepare(m *Message) {
	if m.Slot == 0 || !r.takesPart(m.From) {
		return
	}
	answer := Message{
		Kind: KindPreAnswer, To: m.From, Ballot: m.Ballot,
		Promised: r.promised, Chosen: r.log.chosen,
	}
	if r.hearsLeader(m.From) && !plantedIs("welcome-despite-leader") ||
		m.Slot < r.open(m.Slot) {
		answer.Flags = FlagRefused
	}
	r.sendAfterSync(answer)
}

// hearsLeader reports whether a leader other than node is alive as far as this
// replica can tell.
func (r *Replica) hearsLeader(node NodeID) bool {
	switch {
	case r.role == RoleLeading:
		return true
	case r.leader == NoNode:
		return r.elect.grace > 0
	default:
		return r.leader != node && r.heard < r.cfg.ElectionTicks
	}
}

func (r *Replica) onPreAnswer(m *Message) {
	r.elect.round = max(r.elect.round, m.Promised.Round)
	p := r.peer(m.From)
	if p == nil || r.role != RoleAsking || m.Ballot != r.ballot {
		return
	}
	p.unwelcome = m.Flags.Has(FlagRefused)
	p.welcome = !p.unwelcome
	r.maybePrepare()
}

func (r *Replica) maybePrepare() {
	c := r.configOf(r.log.chosen + 1)
	if c.quorums.Prepare(r.withSelf(c, func(p *peer) bool { return p.welcome })) {
		r.prepare()
	}
}

// prepare starts phase 1 in a ballot of its own. The promise to itself is
// recorded first, and Prepare leaves after it is synced: the round of a ballot
// is durable before it is used.
func (r *Replica) prepare() {
	b := r.nextBallot()
	r.role = RolePreparing
	r.ballot = b
	r.lead = leadership{}
	r.elect.selfPromised = false
	r.elect.wait, r.elect.resend = r.cfg.ElectionTicks, r.cfg.RankDelayTicks
	r.promise(b)
	for i := range r.peers {
		p := &r.peers[i]
		p.forgetPromise()
		r.sendPrepare(p)
	}
	r.sendAfterSync(Message{Kind: KindPromise, To: r.cfg.Self, Ballot: b, Slot: r.log.chosen + 1})
}

// sendPrepare asks p for its promise, from the first slot it has not covered.
func (r *Replica) sendPrepare(p *peer) {
	m := Message{
		Kind: KindPrepare, To: p.node, Ballot: r.ballot,
		Slot: max(r.log.chosen, p.through) + 1, Chosen: r.log.chosen,
	}
	if plantedIs("prepare-unsynced") {
		r.send(m)
		return
	}
	r.sendAfterSync(m)
}

func (r *Replica) tickPreparing() {
	r.elect.resend--
	if r.elect.resend == 0 {
		r.elect.resend = r.cfg.RankDelayTicks
		r.prepareRest()
	}
	r.elect.wait--
	if r.elect.wait == 0 {
		r.passive()
		r.elect.wait = r.retryWait()
	}
}

// prepareRest sends Prepare to those who have not promised in full.
func (r *Replica) prepareRest() {
	for i := range r.peers {
		if p := &r.peers[i]; !p.promised {
			r.sendPrepare(p)
		}
	}
}

// onPromise collects what p accepted. A promise comes in pieces without gaps;
// it counts once the last piece is there, and only if this replica knows what
// was chosen below its first slot.
func (r *Replica) onPromise(m *Message) {
	p := r.peer(m.From)
	if p == nil || m.Ballot != r.ballot || p.promised || m.Slot == 0 ||
		(r.role != RolePreparing && r.role != RoleLeading) {
		return
	}
	p.refused, p.refusedFor = false, 0
	if p.first == 0 || m.Slot > p.through+1 {
		p.first = m.Slot
	}
	for i := range m.Entries {
		if !r.comesLate(&m.Entries[i]) {
			r.report(m, &m.Entries[i])
		}
	}
	p.through = max(p.through, m.Last, m.Slot-1)
	r.elect.wait = r.cfg.ElectionTicks
	if m.Flags.Has(FlagMore) {
		r.sendPrepare(p)
	} else {
		p.promised = true
	}
	r.advanceKnown()
	if r.log.chosen+1 < p.first {
		r.askLearn(p.node)
	}
	r.maybeLead()
}

// comesLate reports whether a prepare quorum of the entry's slot had promised,
// and thereby said that it was not chosen, before the promise that reports it
// came. Proposing it all the same would be safe for agreement, but would put
// what an earlier leader wanted behind what this one has begun. Above the
// window the configuration may be another than is known here, so there every
// promise counts.
func (r *Replica) comesLate(e *Entry) bool {
	return r.role == RoleLeading && e.Slot <= r.log.applied+Slot(r.cfg.Window) &&
		r.promisedTo(r.configOf(e.Slot))
}

// report keeps the entry of the highest ballot reported for its slot. What the
// acceptor knows to be chosen is learned at once.
func (r *Replica) report(m *Message, e *Entry) {
	if e.Slot <= r.log.chosen || e.Ballot.IsZero() || e.Slot < m.Slot || e.Slot > m.Last ||
		r.role == RoleLeading && e.Slot < r.lead.next {
		return
	}
	if e.Slot <= m.Chosen && e.Slot == r.log.chosen+1 && r.role == RolePreparing {
		r.learned(e)
		return
	}
	r.lead.report(e)
}

// promisedTo reports whether a prepare quorum of c promised, in full, all slots
// above the chosen watermark.
func (r *Replica) promisedTo(c *config) bool {
	next := r.log.chosen + 1
	has := func(p *peer) bool { return p.promised && p.first <= next }
	if !r.elect.selfPromised {
		return c.quorums.Prepare(r.others(c, has))
	}
	return c.quorums.Prepare(r.withSelf(c, has))
}

// mayLead reports whether phase 1 is over: a prepare quorum of the next slot's
// configuration, which has to be known, has promised.
func (r *Replica) mayLead() bool {
	return r.role == RolePreparing && r.knowsNext() && r.promisedTo(r.configOf(r.log.chosen+1))
}

func (r *Replica) maybeLead() {
	if r.mayLead() {
		r.startLeading()
	}
}

// onRefuse hears of a ballot above ours. While preparing, another is ahead. A
// leader steps down if too many refuse it; if few do, it keeps serving and
// raises its ballot after an election timeout to have them back, so that a
// returning node with a high promise does not depose it (I29).
func (r *Replica) onRefuse(m *Message) {
	r.elect.round = max(r.elect.round, m.Promised.Round)
	p := r.peer(m.From)
	if p == nil || m.Ballot != r.ballot || !r.ballot.Less(m.Promised) {
		return
	}
	switch r.role {
	case RolePreparing:
		r.passive()
		r.elect.wait = r.retryWait()
	case RoleLeading:
		if !p.refused {
			p.refused, p.refusedFor = true, 0
		}
		live := r.live()
		for i := range live {
			refused := r.others(&live[i], func(p *peer) bool { return p.refused })
			if !live[i].quorums.AcceptWithout(refused) {
				r.stepDown()
				return
			}
		}
	case RolePassive, RoleAsking:
	}
}

// hearLeader notes that the leader of m.Ballot lives, unless a later one does. One that
// is heard no more bars no other that is not below the promise: acceptors whom a
// configuration has brought in may know nothing of its ballot, and lead in lower ones
// for ever (I29).
func (r *Replica) hearLeader(m *Message) {
	if m.Ballot.Less(r.leaderBallot) &&
		(r.leader != NoNode || m.Ballot.Less(r.promised)) {
		return
	}
	if (r.role == RolePreparing || r.role == RoleLeading) && m.Ballot.Less(r.ballot) {
		return
	}
	r.passive()
	r.elect.round = max(r.elect.round, r.leaderBallot.Round)
	r.leader, r.leaderBallot, r.heard = m.From, m.Ballot, 0
	r.elect.grace = 0
	r.elect.wait = r.electionWait()
}

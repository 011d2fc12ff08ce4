package paxostest

import (
	"fmt"

	"lockd/paxos"
)

// Rand is a stream of draws fixed by its seed (SplitMix64).
type Rand struct{ state uint64 }

// NewRand returns the stream of a seed.
func NewRand(seed uint64) *Rand { return &Rand{state: seed} }

// Below draws a number in [0, n). Requires: n > 0.
func (r *Rand) Below(n int) int {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

func (r *Rand) percent(p int) bool { return r.Below(100) < p }

// Report is what one run of Chaos did.
type Report struct {
	// Violation is the first broken invariant; empty for none.
	Violation string
	// Slots is how many were chosen, Reads how many were begun.
	Slots paxos.Slot
	Reads int
}

// Chaos runs a World of random size and limits for the given number of steps
// under loss, duplication, reordering, crashes that lose unsynced records,
// partitions and hand-overs; then it heals a core of the nodes, freezes the
// rest, and demands a leader within four election timeouts (I28) and the same
// chosen slots on the whole core soon after (I32). The run is fixed by its seed;
// trace, if set, is told of everything that happens.
func Chaos(seed uint64, steps int, trace func(string, ...any)) (rep Report) {
	c := &chaos{rand: NewRand(seed), trace: trace}
	defer func() {
		if p := recover(); p != nil {
			rep.Violation = fmt.Sprintf("panic: %v", p)
		}
	}()
	if err := c.begin(seed); err != nil {
		return Report{Violation: err.Error()}
	}
	for i := 0; i < steps && c.w.Checker.Violation == ""; i++ {
		c.step()
	}
	if c.w.Checker.Violation == "" {
		c.settle()
	}
	rep = Report{Violation: c.w.Checker.Violation, Reads: c.reads}
	rep.Slots = paxos.Slot(len(c.w.Checker.chosen))
	return rep
}

type chaos struct {
	rand  *Rand
	trace func(string, ...any)
	w     *World
	loss  int
	twice int
	value int
	reads int
	crash int
	// stopped is a node whose clock stands still and whose links are cut for
	// so many steps: a paused process that still takes requests.
	stopped paxos.NodeID
	steps   int
	// changes says that the acceptors change during the run.
	changes bool
}

const chaosElectionTicks = 12

func (c *chaos) begin(seed uint64) error {
	nodes := 3
	switch c.rand.Below(8) {
	case 0:
		nodes = 5
	case 1:
		nodes = 2
	case 2:
		nodes = 1
	}
	c.loss, c.twice, c.crash = c.rand.Below(8), c.rand.Below(6), 1+c.rand.Below(6)
	acceptors := 0
	if c.changes = c.rand.Below(3) == 0; c.changes {
		nodes = 4
		acceptors = 2 + c.rand.Below(2)
	}
	opts := Options{Nodes: nodes, Acceptors: acceptors, Trace: c.trace}
	opts.Config = paxos.Config{
		Group: 7, ElectionTicks: chaosElectionTicks, HeartbeatTicks: 3, RankDelayTicks: 2,
		Window:           1 + c.rand.Below(5),
		RetainSlots:      paxos.Slot(1 + c.rand.Below(4)),
		MaxMessageBytes:  1 + c.rand.Below(200),
		MaxInflightBytes: 1 + c.rand.Below(300),
		Seed:             seed,
	}
	w, err := NewWorld(opts)
	c.w = w
	return err
}

func (c *chaos) node() *Node { return c.w.nodes[c.rand.Below(len(c.w.nodes))] }

// leading draws among all nodes that believe they lead.
func (c *chaos) leading() *Node {
	start := c.rand.Below(len(c.w.nodes))
	for i := range c.w.nodes {
		n := c.w.nodes[(start+i)%len(c.w.nodes)]
		if n.Replica != nil && n.Replica.Role() == paxos.RoleLeading {
			return n
		}
	}
	return nil
}

func (c *chaos) step() {
	if c.stopped != 0 {
		if c.steps--; c.steps == 0 {
			c.stopped = 0
			clear(c.w.cut)
		}
	}
	switch d := c.rand.Below(1000); {
	case d < 500:
		c.deliver()
	case d < 700:
		if n := c.node(); n.ID != c.stopped {
			c.w.Tick(n)
		}
	case d < 850:
		c.w.Sync(c.node())
	case d < 930:
		c.propose()
	case d < 970:
		if n := c.leading(); n != nil {
			if _, err := c.w.Read(n); err == nil {
				c.reads++
			}
		}
	case d < 970+c.crash:
		c.crashOne()
	case d < 985:
		c.restartOne()
	case d < 990:
		c.relink()
	case d < 992:
		c.stop()
	case d < 997:
		c.w.Checkpoint(c.node())
	default:
		if n := c.leading(); n != nil {
			_ = n.Replica.TransferLead(c.node().ID)
			c.w.Drain(n)
		}
	}
}

func (c *chaos) deliver() {
	if len(c.w.wire) == 0 {
		return
	}
	for len(c.w.wire) > 300 {
		c.w.wire = c.w.wire[1:]
	}
	i := c.rand.Below(min(len(c.w.wire), 1+c.rand.Below(12)))
	switch {
	case c.rand.percent(c.loss):
		c.w.wire = append(c.w.wire[:i:i], c.w.wire[i+1:]...)
	case c.rand.percent(c.twice):
		c.w.wire = append(c.w.wire, c.w.wire[i])
		c.w.Deliver(i)
	default:
		c.w.Deliver(i)
	}
}

func (c *chaos) propose() {
	n := c.leading()
	if n == nil {
		return
	}
	c.value++
	value := fmt.Appendf(nil, "v%d", c.value)
	if c.changes && c.rand.percent(15) {
		value = Change(c.node().ID)
	}
	if _, err := c.w.Propose(n, value); err != nil {
		c.value--
	}
}

func (c *chaos) crashOne() {
	n := c.node()
	if n.Replica == nil {
		return
	}
	c.w.Crash(n.ID, c.rand.Below(4))
	if c.rand.percent(50) {
		for _, m := range c.w.nodes {
			if m.Replica != nil && c.rand.percent(80) {
				m.Replica.PeerDown(n.ID)
				c.w.Drain(m)
			}
		}
	}
}

func (c *chaos) restartOne() {
	n := c.node()
	if n.Replica != nil {
		return
	}
	if err := c.w.Start(n.ID); err != nil {
		c.w.Checker.fail("restart of node %d: %v", n.ID, err)
		return
	}
	for _, m := range c.w.nodes {
		if m != n && m.Replica != nil && c.rand.percent(50) {
			m.Replica.PeerUp(n.ID)
			c.w.Drain(m)
		}
	}
}

// relink severs or mends a few directed links; one draw in three mends all.
func (c *chaos) relink() {
	if c.rand.percent(33) {
		clear(c.w.cut)
		return
	}
	for range 1 + c.rand.Below(3) {
		c.w.setCut(c.node().ID, c.node().ID, severed)
	}
}

// stop stops a node, a leader half of the time.
func (c *chaos) stop() {
	n := c.node()
	if l := c.leading(); l != nil && c.rand.percent(50) {
		n = l
	}
	c.stopped, c.steps = n.ID, 100+c.rand.Below(500)
	for _, m := range c.w.nodes {
		c.w.setCut(m.ID, n.ID, severed)
		c.w.setCut(n.ID, m.ID, severed)
	}
}

// settle heals a core and demands progress of it.
func (c *chaos) settle() {
	w := c.w
	core := len(w.nodes)/2 + 1 + c.rand.Below(len(w.nodes)-len(w.nodes)/2)
	if c.changes {
		core = len(w.nodes) // any node may be needed for a quorum
	}
	clear(w.cut)
	first := c.rand.Below(len(w.nodes))
	in := make(map[paxos.NodeID]bool)
	for i := range core {
		in[w.nodes[(first+i)%len(w.nodes)].ID] = true
	}
	for _, n := range w.nodes {
		if in[n.ID] && n.Replica == nil {
			if err := w.Start(n.ID); err != nil {
				w.Checker.fail("restart of node %d: %v", n.ID, err)
				return
			}
		}
		if !in[n.ID] {
			c.freeze(n, in)
		}
	}
	c.demandLeader(in)
	c.demandAgreement(in)
}

// freeze leaves n outside the core broken in one of three ways.
func (c *chaos) freeze(n *Node, in map[paxos.NodeID]bool) {
	switch c.rand.Below(3) {
	case 0:
		c.w.Crash(n.ID, 0)
	case 1:
		for _, m := range c.w.nodes {
			if in[m.ID] {
				c.w.setCut(m.ID, n.ID, severed)
			}
		}
	case 2:
		for _, m := range c.w.nodes {
			if in[m.ID] {
				c.w.setCut(n.ID, m.ID, severed)
			}
		}
	}
}

// round lets one tick pass on every node, with all messages and syncs done.
func (c *chaos) round() {
	for _, n := range c.w.nodes {
		c.w.Tick(n)
	}
	c.w.Stabilize()
}

// stabilizeSteps bounds the packets of one Stabilize.
const stabilizeSteps = 20000

// Stabilize delivers and syncs until nothing is in flight.
func (w *World) Stabilize() {
	for range stabilizeSteps {
		if w.Checker.Violation != "" {
			return
		}
		if len(w.wire) > 0 {
			w.Deliver(0)
			continue
		}
		for _, n := range w.nodes {
			w.Sync(n)
		}
		if len(w.wire) == 0 && !w.busy() {
			return
		}
	}
	w.Checker.fail("I32: still busy after %d packets", stabilizeSteps)
}

func (w *World) busy() bool {
	for _, n := range w.nodes {
		if len(n.unsynced) > 0 || n.Replica != nil && n.Replica.HasReady() {
			return true
		}
	}
	return false
}

func (c *chaos) demandLeader(in map[paxos.NodeID]bool) {
	for range 4 * chaosElectionTicks {
		c.round()
		if n := c.w.Leader(); n != nil && in[n.ID] && n.Replica.Status().Serving {
			return
		}
	}
	c.w.Checker.fail("I28: no leader within 4 election timeouts%s", c.w.summary())
}

func (c *chaos) demandAgreement(in map[paxos.NodeID]bool) {
	const wanted = 3
	proposed := 0
	for range 8 * chaosElectionTicks {
		c.round()
		if c.w.Checker.Violation != "" {
			return
		}
		if n := c.w.Leader(); n != nil && proposed < wanted && n.Replica.CanPropose() {
			c.value++
			if _, err := c.w.Propose(n, fmt.Appendf(nil, "v%d", c.value)); err == nil {
				proposed++
			}
			continue
		}
		if proposed == wanted && c.converged(in) {
			return
		}
	}
	c.w.Checker.fail("I32: the core does not converge%s", c.w.summary())
}

func (c *chaos) converged(in map[paxos.NodeID]bool) bool {
	var slot paxos.Slot
	for _, n := range c.w.nodes {
		if !in[n.ID] {
			continue
		}
		if n.Replica == nil || slot != 0 && n.machine.slot != slot || len(n.reads) > 0 {
			return false
		}
		slot = n.machine.slot
	}
	return true
}

// summary writes the state of all nodes, for failures.
func (w *World) summary() (s string) {
	for _, n := range w.nodes {
		if n.Replica == nil {
			s += fmt.Sprintf("; %d down", n.ID)
			continue
		}
		t := n.Replica.Status()
		s += fmt.Sprintf("; %d %v ballot=%v leader=%d promised=%v chosen=%d applied=%d last=%d",
			n.ID, t.Role, t.Ballot, t.Leader, t.Promised, t.Chosen, t.Applied, t.Last)
	}
	return s
}

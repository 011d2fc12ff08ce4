package paxostest

import (
	"bytes"
	"fmt"

	"lockd/paxos"
)

// at names an entry: a ballot in a slot.
type at struct {
	slot   paxos.Slot
	ballot paxos.Ballot
}

// Checker sees every record, sync, message and applied slot of a World, and
// names the first broken invariant. It decodes records itself and asks the
// replicas nothing but their promised ballot after a restart.
type Checker struct {
	// Violation is the first broken invariant; empty for none.
	Violation string

	// configs are the configurations the log decided, the first included.
	configs []paxos.Configuration
	// value is the one value of each entry (I2).
	value map[at][]byte
	// holders are the nodes whose disks hold an entry.
	holders map[at]map[paxos.NodeID]bool
	// chosen are the values that a quorum of disks held at one ballot (I1).
	chosen map[paxos.Slot][]byte
	// hash is the machine's after each slot.
	hash map[paxos.Slot]uint64
	// promised and durable are what each node's disk holds, spoken the highest
	// ballot it told others it promised.
	durable, spoken map[paxos.NodeID]paxos.Ballot
	pending         map[paxos.NodeID]map[paxos.Slot][]byte
	// answered is the last slot whose proposer saw it chosen: its clients have
	// their answers, and every later read must reflect it.
	answered paxos.Slot
}

func newChecker(w *World) *Checker {
	return &Checker{
		configs: []paxos.Configuration{w.firstConfig()},
		value:   make(map[at][]byte), holders: make(map[at]map[paxos.NodeID]bool),
		chosen: make(map[paxos.Slot][]byte), hash: make(map[paxos.Slot]uint64),
		durable: make(map[paxos.NodeID]paxos.Ballot),
		spoken:  make(map[paxos.NodeID]paxos.Ballot),
		pending: make(map[paxos.NodeID]map[paxos.Slot][]byte),
	}
}

func (c *Checker) fail(format string, args ...any) {
	if c.Violation == "" {
		c.Violation = fmt.Sprintf(format, args...)
	}
}

// recorded sees a record that is handed out: one value per slot and ballot.
func (c *Checker) recorded(n *Node, r paxos.Record) {
	if r.Kind != paxos.RecordAccept {
		return
	}
	e := entryOf(r)
	k := at{e.Slot, e.Ballot}
	if have, ok := c.value[k]; ok && !bytes.Equal(have, e.Value) {
		c.fail("I2: slot %d ballot %v: node %d has %q, another %q",
			e.Slot, e.Ballot, n.ID, e.Value, have)
	}
	c.value[k] = e.Value
}

// synced sees a record become durable. A slot is chosen once a majority of
// disks hold one entry of it, whoever knows that.
func (c *Checker) synced(n *Node, r paxos.Record) {
	switch r.Kind {
	case paxos.RecordPromise:
		if b := ballotOf(r); c.durable[n.ID].Less(b) {
			c.durable[n.ID] = b
		}
	case paxos.RecordAccept:
		e := entryOf(r)
		k := at{e.Slot, e.Ballot}
		if c.holders[k] == nil {
			c.holders[k] = make(map[paxos.NodeID]bool)
		}
		c.holders[k][n.ID] = true
		if !c.enough(e.Slot, c.holders[k]) {
			return
		}
		if have, ok := c.chosen[e.Slot]; ok && !bytes.Equal(have, e.Value) {
			c.fail("I1: slot %d: %q chosen at %v, %q before", e.Slot, e.Value, e.Ballot, have)
		}
		c.chosen[e.Slot] = e.Value
	case paxos.RecordChosen:
	}
}

// sent sees a message leave, those of a node to itself included (I4).
func (c *Checker) sent(n *Node, m *paxos.Message) {
	switch m.Kind {
	case paxos.KindPrepare, paxos.KindPromise:
		if c.durable[n.ID].Less(m.Ballot) {
			c.fail("I4: node %d sends %v of %v, synced promise %v",
				n.ID, m.Kind, m.Ballot, c.durable[n.ID])
		}
		c.spoke(n, m.Ballot)
	case paxos.KindAccepted:
		for s := m.Slot; s <= m.Last; s++ {
			if !c.holders[at{s, m.Ballot}][n.ID] {
				c.fail("I4: node %d sends Accepted of slot %d at %v before its sync",
					n.ID, s, m.Ballot)
			}
		}
		c.spoke(n, m.Ballot)
	case paxos.KindAccept:
		for _, e := range m.Entries {
			if have, ok := c.value[at{e.Slot, e.Ballot}]; ok && !bytes.Equal(have, e.Value) {
				c.fail("I2: slot %d ballot %v: node %d proposes %q, and %q before",
					e.Slot, e.Ballot, n.ID, e.Value, have)
			}
		}
	default:
	}
}

func (c *Checker) spoke(n *Node, b paxos.Ballot) {
	if c.spoken[n.ID].Less(b) {
		c.spoken[n.ID] = b
	}
}

// restarted sees a node come up: it must remember what it told others (I3).
func (c *Checker) restarted(n *Node) {
	delete(c.pending, n.ID)
	if have := n.Replica.Status().Promised; have.Less(c.spoken[n.ID]) {
		c.fail("I3: node %d restarts with promise %v, told others %v",
			n.ID, have, c.spoken[n.ID])
	}
}

func (c *Checker) proposed(n *Node, s paxos.Slot, value []byte) {
	if c.pending[n.ID] == nil {
		c.pending[n.ID] = make(map[paxos.Slot][]byte)
	}
	c.pending[n.ID][s] = value
}

// applied sees a slot handed out on a node: without a gap (I6), only what is
// chosen (I1), and answered if it was proposed there.
func (c *Checker) applied(n *Node, e paxos.Entry) {
	if e.Slot != n.machine.slot+1 {
		c.fail("I6: node %d applies slot %d after slot %d", n.ID, e.Slot, n.machine.slot)
	}
	switch have, ok := c.chosen[e.Slot]; {
	case !ok:
		c.fail("I1: node %d applies slot %d at %v, which no quorum holds", n.ID, e.Slot, e.Ballot)
	case !bytes.Equal(have, e.Value):
		c.fail("I1: node %d applies %q in slot %d, chosen is %q", n.ID, e.Value, e.Slot, have)
	}
	if v, ok := c.pending[n.ID][e.Slot]; ok {
		delete(c.pending[n.ID], e.Slot)
		if bytes.Equal(v, e.Value) && e.Slot > c.answered {
			c.answered = e.Slot
		}
	}
}

// folded sees a machine after a slot: equal slot, equal machine (I13).
func (c *Checker) folded(n *Node) {
	if have, ok := c.hash[n.machine.slot]; ok && have != n.machine.hash {
		c.fail("I13: node %d after slot %d: hash %x, another %x",
			n.ID, n.machine.slot, n.machine.hash, have)
	}
	c.hash[n.machine.slot] = n.machine.hash
}

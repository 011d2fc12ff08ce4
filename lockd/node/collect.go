package node

import "lockd/paxos"

const (
	// collectRecords and collectBytes bound what one turn collects: some half a
	// millisecond.
	collectRecords = 1024
	collectBytes   = 256 << 10
	// collectBlock is how much room for copies is made at once, at most, and
	// recordGuess the usual size of a record with its key.
	collectBlock = 256 << 10
	recordGuess  = 96
)

// collector takes the change set of one group's machine, a part in each turn,
// so that a group in which a million locks changed stops nobody. The machine
// goes on meanwhile; the last part completes the others to its state at one
// slot (lockfsm.Machine.DirtySome).
type collector struct {
	g *group // nil while there is nothing to collect
	// changes grows part by part, and so do the copies in block: neither is
	// ever moved.
	changes [][]KeyValue
	block   []byte
	taken   int // records in changes
	// records is the share of one turn, expected about how many there are in
	// all. Changes may come as fast as they are taken; from the moment at which
	// twice the expected number has been, each share is twice the last, and so
	// there is an end.
	records, expected int
	left, leftBytes   int // of the share of the running turn
}

func (c *collector) begin(g *group) {
	*c = collector{g: g, records: collectRecords, expected: g.machine.Changed()}
}

// collect takes one turn's share and, when it was the last, has it saved.
func (n *Node) collect() {
	c := &n.collector
	if c.g == nil {
		return
	}
	if c.taken > 2*c.expected+collectRecords {
		c.records *= 2
	}
	c.left, c.leftBytes = c.records, c.records*(collectBytes/collectRecords)
	m := c.g.machine
	m.DirtySome(c.take)
	if c.left <= 0 || c.leftBytes <= 0 {
		n.inbox.again()
		return
	}
	// Nothing but the meta record is left, which makes it the state of a slot.
	m.Dirty(func(key, value []byte) { c.take(key, value) })
	g := c.g
	g.changes = &SaveRequest{Group: uint16(g.id), Slot: m.Applied(), Changes: c.changes}
	n.collector = collector{}
	if plantedIs("log-cut-before-checkpoint") {
		g.saved = paxos.Slot(g.changes.Slot)
		n.release(g)
	}
	n.noteAll(g)
	n.deps.Checkpoints.Save(*g.changes)
}

// take copies a record and reports whether the turn has room for more.
func (c *collector) take(key, value []byte) bool {
	kv := KeyValue{Key: c.copy(key), Adds: c.g.machine.AddsRecord()}
	if value != nil {
		kv.Value = c.copy(value)
	}
	last := len(c.changes) - 1
	if last < 0 || len(c.changes[last]) == cap(c.changes[last]) {
		c.changes = append(c.changes, make([]KeyValue, 0, min(collectRecords, c.expected)))
		last++
	}
	c.changes[last] = append(c.changes[last], kv)
	c.taken++
	c.left--
	c.leftBytes -= len(key) + len(value)
	return c.left > 0 && c.leftBytes > 0
}

// copy copies into a block: an allocation for each record would cost more than
// all the rest.
func (c *collector) copy(b []byte) []byte {
	if len(b) > cap(c.block)-len(c.block) {
		c.block = make([]byte, 0, max(min(collectBlock, recordGuess*c.expected), len(b)))
	}
	at := len(c.block)
	c.block = append(c.block, b...)
	return c.block[at:len(c.block):len(c.block)]
}

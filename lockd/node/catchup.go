package node

import (
	"fmt"

	"lockd/lockfsm"
	"lockd/paxos"
)

// CatchUp applies what the log of this disk calls chosen and no checkpoint
// covers, so that no turn stands still for it. Groups have nothing in common:
// sideBySide is to call fn for 0 to n-1, on as many goroutines as it likes, and
// return when all calls have; with a Probe only one at a time. The first slot of
// a group that changes more than its machine, a write of a register or a value
// that is no batch, is left for the first turn, and so is what follows it. It
// returns how many slots it applied. Requires: no turn has run.
func (n *Node) CatchUp(sideBySide func(n int, fn func(i int))) (slots uint64) {
	applied := make([]uint64, len(n.hosted))
	sideBySide(len(n.hosted), func(i int) { applied[i] = n.catchUp(n.hosted[i]) })
	for _, k := range applied {
		slots += k
	}
	n.stats.Applied += slots
	return slots
}

// OneByOne calls fn for 0 to n-1, one after the other, for CatchUp.
func OneByOne(n int, fn func(i int)) {
	for i := range n {
		fn(i)
	}
}

// catchUp is CatchUp for one group, and returns how many slots it applied. Of what
// is shared by groups it touches nothing.
func (n *Node) catchUp(g *group) (slots uint64) {
	var out lockfsm.Outcome
	var ended HistoryNote
	g.machine.NoteEnds(n.notingEnds())
	g.replica.CatchUp(func(e *paxos.Entry) bool {
		if !g.machine.Plain(e.Value) {
			return false
		}
		if err := g.machine.Apply(uint64(e.Slot), e.Value, &out); err != nil {
			panic(fmt.Sprintf("node: group %d slot %d is plain, and does not apply: %v",
				g.id, e.Slot, err))
		}
		if n.deps.Probe != nil {
			n.deps.Probe.Applied(g.id, e, g.machine, &out)
		}
		if n.deps.History != nil {
			n.noteEnds(g, &ended, &out)
		}
		slots++
		return true
	})
	return slots
}

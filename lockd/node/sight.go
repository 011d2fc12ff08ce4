package node

import (
	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/paxos"
)

// A leader moves its group by the record that it knows, and one that has not heard of the
// newest could take in a node that is let go meanwhile, or count on a disk that was given
// up. So a register of each group says which record its log has seen. Who leads writes it
// when something is given up, and no leader that knows an older record takes a step. A
// step that was decided on before the register was written stands at most a window behind
// what was applied then. So once a window of slots has followed the write, what a leader
// tells of its seats stays true of all who will lead, or is changed by who knows better:
// only then it counts as told by somebody who knows that record.
//
// A build that does not know the register keeps it, as it does any other, and goes by the
// record that it knows; what leaders say counts for a while because of those
// (releaseLeavers).

// registerSeen is the register that holds the version of the record that the log has seen.
const registerSeen = "record"

// seen returns the version of the record that a group's log has seen, and the slot that
// says so, zero for none.
func (g *group) seen() (version uint64, at paxos.Slot, err error) {
	b, slot := g.machine.Register(registerSeen)
	if slot == 0 {
		return 0, 0, nil
	}
	version, err = placement.DecodeSeen(b)
	return version, paxos.Slot(slot), err
}

// mayStep reports whether a leader knows what there is to know for a step of its group:
// all that was chosen before it led, and a record as new as the log has seen. It may step
// by no record at all if that is said in a way it does not know.
func (n *Node) mayStep(g *group) bool {
	version, _, err := g.seen()
	return g.replica.TookOver() && err == nil && version <= n.identity.Version
}

// hasShown reports whether a group's log has seen the record of its leader for long
// enough, or need not see it.
func (n *Node) hasShown(g *group) bool {
	version, at, err := g.seen()
	return !n.identity.Record.GivesUp() || err == nil && (version > n.identity.Version ||
		version == n.identity.Version && paxos.Slot(g.machine.Applied()) >= n.through(at))
}

// through is the last slot in which a step may stand that was decided on before slot at
// was applied.
func (n *Node) through(at paxos.Slot) paxos.Slot { return at + paxos.Slot(n.opts.Window) - 1 }

// showRecord has the log of a group see the record, if something is given up in that, and
// then fills the slots in which an older step may stand.
func (n *Node) showRecord(g *group) {
	if !g.leading || !n.identity.Record.GivesUp() || !n.mayStep(g) || !g.replica.CanPropose() ||
		n.hasShown(g) {
		return
	}
	version, at, _ := g.seen()
	if version == n.identity.Version {
		on := paxos.Slot(g.machine.Applied() + g.launched - g.landed)
		for ; on < n.through(at) && n.proposeNothing(g); on++ {
		}
		return
	}
	if n.now < g.showAfter {
		return
	}
	g.showAfter = n.now + reseatAgain
	n.enqueue(g, &lockfsm.Command{
		Op: lockfsm.OpWrite, Name: []byte(registerSeen), Token: lockfsm.Token(at),
		Value: placement.AppendSeen(nil, n.identity.Version),
	}, origin{})
}

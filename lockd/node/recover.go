package node

import (
	"errors"
	"fmt"

	"lockd/lockfsm"
	"lockd/paxos"
	"lockd/wal"
)

// Recovery collects what a data directory remembers, in this order: the
// identity, every group's checkpoint, then every record of the WAL. Restart is
// checkpoint plus replay; what of the replayed log is chosen the replica finds
// out, from its own notes and from its peers.
type Recovery struct {
	identity Identity
	limits   lockfsm.Limits
	groups   map[uint16]*recoveredGroup
	// checkpoints are the groups that have one.
	checkpoints map[uint16]bool
	lastLSN     wal.LSN
	memories    map[paxos.NodeID]memory
	// bytes is how much data was replayed.
	bytes int64
}

type recoveredGroup struct {
	machine *lockfsm.Machine
	log     paxos.Recovered
	// saved is the slot of the newest checkpoint that the WAL relied on.
	saved uint64
	// left says that the group has left the node, as far as the log was read.
	left bool
	// forgotten is as in departure.
	forgotten paxos.Slot
}

// ErrLostCheckpoint means that the checkpoint store has an older state than the
// one on whose strength records were dropped from the WAL. Accepts are missing
// in between: the node must not start.
var ErrLostCheckpoint = errors.New("node: checkpoint is older than the WAL relies on")

// NewRecovery begins with the identity of the directory.
func NewRecovery(id Identity, o Options) *Recovery {
	limits := o.machineLimits()
	if id.bornWithoutAgeing(&o) {
		limits.AgeStep = 0
	}
	return &Recovery{
		identity: id,
		limits:   limits,
		groups:   make(map[uint16]*recoveredGroup),

		checkpoints: make(map[uint16]bool),
	}
}

func (r *Recovery) at(group uint16) (*recoveredGroup, error) {
	if g := r.groups[group]; g != nil {
		return g, nil
	}
	m, err := lockfsm.New(r.limits)
	if err != nil {
		return nil, err
	}
	g := &recoveredGroup{machine: m}
	r.groups[group] = g
	return g, nil
}

// Limits are the limits with which a group's machine must be built.
func (r *Recovery) Limits() lockfsm.Limits { return r.limits }

// Checkpoint hands over a group's machine as its checkpoint has it. Requires:
// no record of the group has been replayed.
func (r *Recovery) Checkpoint(group uint16, m *lockfsm.Machine) {
	g := &recoveredGroup{machine: m}
	g.log.Base(paxos.Slot(m.Applied()))
	r.groups[group] = g
	r.checkpoints[group] = true
}

// Replay takes one record of the WAL, in order; it copies what it keeps.
func (r *Recovery) Replay(lsn wal.LSN, rec wal.Record) error {
	r.lastLSN = max(r.lastLSN, lsn)
	r.bytes += int64(len(rec.Data))
	if rec.Group == memoryMark {
		of, err := decodeMemories(rec.Data)
		if err != nil {
			return fmt.Errorf("record %d: %w", lsn, err)
		}
		r.memories = of
		return nil
	}
	g, err := r.at(rec.Group &^ savedMark)
	if err != nil {
		return err
	}
	if rec.Group&savedMark != 0 {
		m, err := decodeMark(&rec)
		if err != nil {
			return fmt.Errorf("node: replaying mark %d: %w", lsn, err)
		}
		g.forgotten = m.forgotten
		if m.kind == markLeft {
			g.retire()
			return nil
		}
		if g.left {
			g.retire() // what the log copied meanwhile is of the earlier stay, too
		}
		g.saved, g.left = max(g.saved, rec.Slot), false
		return nil
	}
	if err := g.log.Add(recordOf(&rec)); err != nil {
		return fmt.Errorf("node: replaying record %d of group %d: %w", lsn, rec.Group, err)
	}
	return nil
}

// retire forgets what the node kept of a group that left it, but for what it
// promised: should the group come back to this disk, that still binds it. The
// checkpoint stays for the time being: if the group came back later on, it is
// from then.
func (g *recoveredGroup) retire() {
	g.left, g.saved = true, 0
	g.log.Forget()
	g.log.Base(paxos.Slot(g.machine.Applied()))
}

// has reports whether there is more of a group than a promise.
func (r *Recovery) has(group uint16) bool {
	g := r.groups[group]
	return g != nil && !g.left && (g.machine.Applied() > 0 || g.log.Slots() > 0)
}

// left reports whether a group has left the node and not come back.
func (r *Recovery) left(group uint16) bool {
	g := r.groups[group]
	return g != nil && g.left
}

// Opened says up to which position the opened WAL is durable. Requires: every
// record has been replayed.
func (r *Recovery) Opened(lsn wal.LSN) { r.lastLSN = max(r.lastLSN, lsn) }

// stored reports whether there is a checkpoint of a group.
func (r *Recovery) stored(group uint16) bool { return r.checkpoints[group] }

// marked is the slot of the newest checkpoint that the WAL relies on. A store may
// have a newer one, if the node died before the log said so.
func (r *Recovery) marked(group uint16) paxos.Slot {
	if g := r.groups[group]; g != nil {
		return paxos.Slot(g.saved)
	}
	return 0
}

// departure is what binds the disk since a group left it, if it ever did.
func (r *Recovery) departure(group uint16) departure {
	if g := r.groups[group]; g != nil {
		return departure{g.log.Promised(), g.forgotten}
	}
	return departure{}
}

// group gives up what was collected for a group.
func (r *Recovery) group(id uint16) (*lockfsm.Machine, *paxos.Recovered, error) {
	g, err := r.at(id)
	if err != nil {
		return nil, nil, err
	}
	delete(r.groups, id)
	if g.left {
		m, err := lockfsm.New(r.limits)
		g.log.Forget()
		return m, &g.log, err
	}
	if g.machine.Applied() < g.saved {
		return nil, nil, fmt.Errorf("%w: group %d has slot %d, and slot %d was saved",
			ErrLostCheckpoint, id, g.machine.Applied(), g.saved)
	}
	return g.machine, &g.log, nil
}

package node

import "lockd/wal"

const (
	// mostBehind is how many bytes of records may wait for the disk: the log keeps
	// them in memory. What a healthy disk takes in a tenth of a second is more.
	mostBehind = 8 << 20
	// behindStep is how exactly that is known, and recordRoom what a record takes
	// besides its data.
	behindStep, recordRoom = mostBehind / 128, 32
)

// BacklogBytes bounds the records of a node that wait for its disk, in a log whose
// batches have room for so many bytes. A batch is closed when the next record does
// not fit, so it may be half empty; one more is being filled, and one written.
func BacklogBytes(batchBytes int) uint64 {
	return 2*(mostBehind+maxSlotBytes) + 2*uint64(batchBytes)
}

// backlog counts what was given to the log and is not synced yet.
type backlog struct {
	given, synced int64
	// steps say that up to a record so many bytes were given, rising. There are at
	// most as many as mostBehind has of behindStep, and some more.
	steps []backlogStep
}

type backlogStep struct {
	lsn   wal.LSN
	bytes int64
}

// add counts a record with so many bytes of data.
func (b *backlog) add(lsn wal.LSN, data int) {
	b.given += int64(data) + recordRoom
	from, last := b.synced, len(b.steps)-1
	if last > 0 {
		from = b.steps[last-1].bytes
	}
	if last >= 0 && b.given-from <= behindStep {
		b.steps[last] = backlogStep{lsn, b.given}
		return
	}
	b.steps = append(b.steps, backlogStep{lsn, b.given})
}

// sync takes off what is durable, up to lsn.
func (b *backlog) sync(lsn wal.LSN) {
	k := 0
	for k < len(b.steps) && b.steps[k].lsn <= lsn {
		b.synced = b.steps[k].bytes
		k++
	}
	b.steps = append(b.steps[:0], b.steps[k:]...)
}

// behind reports that so much waits for the disk that nothing may be added to it that
// can come later: entries of peers, which send them again, and what this node would
// propose itself.
func (n *Node) behind() bool { return n.backlog.given-n.backlog.synced >= mostBehind }

// waitForDisk puts off what a group would propose until the disk is not behind.
func (n *Node) waitForDisk(g *group) {
	if !g.putOff {
		g.putOff = true
		n.waiting = append(n.waiting, g)
	}
}

// diskMoved takes off what has become durable, and has groups go on that waited for it:
// before others, which could else have the room that there is again and again.
func (n *Node) diskMoved() {
	n.backlog.sync(n.durable)
	if len(n.waiting) == 0 || n.behind() {
		return
	}
	first, others := n.waiting, n.dirty
	all := first
	for _, g := range others {
		if !g.putOff {
			all = append(all, g)
		}
	}
	for _, g := range first {
		g.putOff, g.dirty = false, true
	}
	n.dirty, n.waiting = all, others[:0]
}

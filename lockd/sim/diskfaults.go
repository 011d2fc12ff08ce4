package sim

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"lockd/lockd/node"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// mayLose reports whether the cluster is to survive the loss of another disk,
// that of s: a minority may be gone, and none before the cluster is born. What
// goes beyond is outside the guarantees, and no fault does it.
func (w *World) mayLose(s *site) bool {
	gone := 1
	for _, each := range w.sites {
		if each.out {
			continue
		}
		if !each.lost && !each.born() {
			return false
		}
		if each.bad() {
			gone++
		}
	}
	return !s.bad() && !s.out && gone <= (w.opts.Node.Replicas-1)/2 && w.seatsBear(s)
}

// seatsBear reports whether a quorum of the acceptors of every group has sound
// disks without that of s. A disk that was replaced is gone for those groups
// whose acceptors have not changed yet.
func (w *World) seatsBear(s *site) bool {
	sound := make([]int, 0, len(w.sites))
	for _, each := range w.sites {
		if each != s && !each.bad() && !each.out && each.disk != nil {
			sound = append(sound, each.number)
		}
	}
	for g := range w.opts.Groups {
		if !w.chosen.Survives(paxos.GroupID(g), sound) {
			return false
		}
	}
	return true
}

// bad reports whether a fault has taken the disk of a site, or may have.
func (s *site) bad() bool { return s.lost || s.damaged }

// born reports whether the directory says that the cluster is born.
func (s *site) born() bool {
	id, err := node.DecodeIdentity(s.drive.Content(identityName))
	return err == nil && id.Born
}

// wipe empties one directory.
func (w *World) wipe(s *site) {
	if w.mayLose(s) {
		s.crash("to be wiped")
		s.wipe()
		w.restart(s)
	}
}

// stall lets the disk stand still: no sync completes before it moves again.
func (s *site) stall(length Time) {
	s.stalledUntil = max(s.stalledUntil, s.w.agenda.Now()+length)
	s.troubled = max(s.troubled, s.stalledUntil)
	s.w.agenda.At(s.stalledUntil, s.unstick)
}

// unstick lets the disk go on, unless another stall began.
func (s *site) unstick() {
	if s.proc != nil && s.stalledUntil <= s.w.agenda.Now() {
		s.proc.log.unstick()
	}
}

// cutOnLeaving takes the power, now and then, while the log takes note that a group
// has left: what it drops then must not be missed if the note is lost (I10).
func (s *site) cutOnLeaving() {
	if d := s.w.dice.disk; s.proc != nil && s.w.faulty(FaultPower) && d.permille(600) {
		s.w.covered["power planned to go as a group left"]++
		s.plan(d.between(1, 20), simdisk.ErrCut)
	}
}

// hang lets a sync never return, until somebody ends the process. Who watches it
// leaves a process alone whose disk has moved again.
func (w *World) hang(s *site) {
	p := s.proc
	if p == nil {
		return
	}
	s.stall(never / 2)
	w.agenda.After(w.dice.faults.length(second, 20*second), func() {
		if p.alive && !w.healing {
			s.crash("by the hand of who watches it")
			w.restart(s)
		}
	})
}

// fill leaves a disk without room for another file, for a while.
func (w *World) fill(s *site) {
	if s.full {
		return
	}
	used := int64(0)
	for _, name := range s.drive.Names() {
		used += int64(len(s.drive.Content(name)))
	}
	s.full = true
	s.drive.SetCapacity(max(1, used))
	w.agenda.After(w.dice.faults.around(8*second), s.free)
}

// free makes room again.
func (s *site) free() {
	s.full = false
	s.drive.SetCapacity(0)
}

// damage changes what stands at a place that was synced long ago, while the node
// runs or while it does not.
func (w *World) damage(s *site) {
	if !w.mayLose(s) {
		return
	}
	var places []damagePlace
	for _, name := range s.drive.Names() {
		places = append(places, s.oldBatches(name)...)
	}
	if len(places) == 0 {
		return
	}
	d := w.dice.faults
	place, other := places[d.IntN(len(places))], places[d.IntN(len(places))]
	asleep := d.permille(500)
	if asleep {
		s.crash("to be damaged")
	}
	s.damaged = true
	if asleep && place.off/disk.AlignBytes%2 == 0 && s.loseCheckpoint() {
		w.restart(s)
		return
	}
	w.covered["damage: "+place.spoil(d, other)]++
	if asleep {
		w.restart(s)
	}
}

// loseCheckpoint takes the newest checkpoint away, of the last group that has
// one, and reports whether there was one. What the log dropped for its sake is
// gone with it, and the node must notice (I12, F-C2); if it dropped nothing yet,
// the node finds all it needs.
func (s *site) loseCheckpoint() bool {
	for g := s.w.opts.Groups - 1; g >= 0; g-- {
		if s.store.slot(uint16(g)) > 0 {
			delete(s.store.groups, uint16(g))
			s.w.covered["damage: lost checkpoint"]++
			return true
		}
	}
	return false
}

// damagePlace is the start of a batch on a disk.
type damagePlace struct {
	data []byte
	off  int
}

// spoil damages the place in one of the ways of disks and names it. Whatever it
// does changes the head of the batch.
func (p *damagePlace) spoil(d dice, other damagePlace) string {
	chunk := p.data[p.off : p.off+disk.AlignBytes]
	head := chunk[:simdisk.SectorBytes]
	switch d.IntN(5) {
	case 0:
		for i := range head {
			head[i] = byte(d.IntN(256))
		}
		return "garbage"
	case 1:
		clear(head)
		return "zeroed sector"
	case 2:
		// The write was acknowledged and never happened.
		clear(chunk)
		return "lost write"
	case 3:
		// A write for another place landed here as well.
		if from := other.data[other.off : other.off+disk.AlignBytes]; !slices.Equal(from, chunk) {
			copy(chunk, from)
			return "misdirected write"
		}
	}
	head[d.IntN(88)] ^= 1 << d.IntN(8)
	return "flipped bit"
}

// oldBatches finds the batches of a segment which a later batch of the same
// segment calls durable. Damage to others could pass for a torn write. It reads
// the format by its description, not by the code that writes it.
func (s *site) oldBatches(name string) (places []damagePlace) {
	hex, ok := strings.CutSuffix(name, ".wal")
	number, err := strconv.ParseUint(hex, 16, 64)
	if !ok || err != nil {
		return nil
	}
	le := binary.LittleEndian
	data := s.drive.Content(name)
	durable := uint64(0)
	for off := len(data) - disk.AlignBytes; off >= disk.AlignBytes; off -= disk.AlignBytes {
		b := data[off:]
		if string(b[:4]) != "LDBH" || le.Uint64(b[8:]) != number {
			continue
		}
		if last := le.Uint64(b[16:]) + uint64(le.Uint32(b[44:])); last <= durable+1 {
			places = append(places, damagePlace{data, off})
		}
		durable = max(durable, le.Uint64(b[24:]))
	}
	return places
}

// copied is a copy of a directory, as an operator makes one.
type copied struct {
	drive *simdisk.Disk
	store *store
	// position is how far the log was synced, lives how often each site had been
	// started.
	position wal.LSN
	lives    []uint64
}

// copyAndRestore has a directory copied, and the copy put in its place a while
// later. That is to be noticed by those who know of more (I7), so all peers must
// have heard of more, and none may have died since: what a peer heard in its last
// second it may forget with its process.
func (w *World) copyAndRestore(s *site) {
	if s.proc == nil || s.copied != nil || !w.mayLose(s) {
		return
	}
	s.copied = &copied{}
	w.agenda.After(w.dice.faults.length(2*second, 8*second), func() {
		if s.proc == nil || s.copied == nil || s.copied.drive == nil || !s.copied.asKnown(w, s) ||
			!s.outdated() || !w.mayLose(s) || w.healing {
			s.copied = nil
			return
		}
		s.crash("to be restored from a copy")
		died := w.agenda.Now()
		// Those who heard of it write it down within a second or so.
		w.agenda.After(3*second, func() { w.rollBack(s, died) })
	})
}

// duplicate makes the copy that is wanted, at a moment at which all that was
// appended is synced.
func (s *site) duplicate() *copied {
	c := &copied{drive: s.drive.Clone(s.w.dice.disk.IntN), store: newStore(),
		position: s.proc.log.writer.Durable()}
	for g, have := range s.store.groups { // order: fills a map
		c.store.groups[g] = have
	}
	for _, other := range s.w.sites {
		c.lives = append(c.lives, other.lives)
	}
	return c
}

// asKnown reports whether nobody but s has died since the copy was made.
func (c *copied) asKnown(w *World, s *site) bool {
	for i, other := range w.sites {
		if other != s && !other.out && (other.lives != c.lives[i] || other.proc == nil) {
			return false
		}
	}
	return true
}

// outdated reports whether every peer knows of more than the copy holds.
func (s *site) outdated() bool {
	for i, other := range s.w.sites {
		if other != s && !other.out && !other.bad() && s.heard[i] <= s.copied.position {
			return false
		}
	}
	return true
}

// rollBack puts the copy in the place of the directory and starts the node.
// If somebody who should know of more may have forgotten it, it does not.
func (w *World) rollBack(s *site, died Time) {
	known := s.copied != nil && s.proc == nil && w.mayLose(s) && s.copied.asKnown(w, s) && !w.healing
	for _, other := range w.sites {
		known = known && other.troubled <= died
	}
	if known {
		w.note("rollback", uint64(s.id))
		w.covered["directory rolled back"]++
		s.lost = true
		s.drive, s.store = s.copied.drive, s.copied.store
		s.free() // the copy may be of a time when the disk was full
	}
	s.copied = nil
	if !s.lost || !w.healing {
		s.start()
	}
}

package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"lockd/lockfsm"
)

// Installer writes a snapshot from a peer beside a group's checkpoint and then
// replaces it as a whole. It is steppable and belongs to one goroutine.
//
// What was added is kept by the store, over a restart too, until a Begin with
// the same Content goes on with it or something newer makes it stale. A crash
// before Commit returned leaves the old checkpoint or, if Commit was under way,
// perhaps the new one; it takes along at most the last few MiB that were added.
type Installer struct {
	s        *Store
	group    uint16
	stage    stage
	complete bool
	// unsynced are the bytes that were added since the last sync.
	unsynced int
	plain    []byte
}

// Begin starts to install a snapshot that a peer announced, or goes on with it
// where the last Installer of the same content came to. It fails with ErrOldSlot
// unless the snapshot is ahead of the stored checkpoint.
// Requires: no other Installer of the group is used from now on.
func (s *Store) Begin(group uint16, content Content) (*Installer, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if mk := s.marker(group); content.Slot <= mk.slot {
		return nil, fmt.Errorf("%w: group %d: have %d, got %d", ErrOldSlot, group, mk.slot,
			content.Slot)
	}
	st, ok := s.staged(group)
	if !ok || st.want != content {
		if err := s.dropStage(group); err != nil {
			return nil, err
		}
		st = stage{want: content, generation: s.nextGeneration(group)}
		s.setStage(group, st)
	}
	return &Installer{s: s, group: group, stage: st}, nil
}

// Position returns the number of the chunk that Add wants and, unless that is
// zero, the key of the last record before it. The last chunk is wanted again
// after a restart.
func (in *Installer) Position() (next uint32, after []byte) {
	return in.stage.next, in.stage.lastKey
}

// Add writes the records of a chunk, which it does not keep. A chunk that was
// added before is ignored. It fails with ErrChunk, having changed nothing, with
// ErrOldSlot when a Save has overtaken the snapshot, and with an error of the
// disk.
func (in *Installer) Add(chunk []byte) error {
	if err := in.current(); err != nil {
		return err
	}
	h, plain, err := openChunk(chunk, in.plain)
	if err != nil {
		return err
	}
	if h.codec == codecS2 {
		in.plain = plain
	}
	if h.content != in.stage.want {
		return fmt.Errorf("%w: of %v, want %v", ErrChunk, h.content, in.stage.want)
	}
	if h.number < in.stage.next {
		return nil
	}
	if h.number > in.stage.next || in.complete {
		return fmt.Errorf("%w: number %d, want %d", ErrChunk, h.number, in.stage.next)
	}
	return in.write(h, plain)
}

// current fails with ErrOldSlot if what was added is gone.
func (in *Installer) current() error {
	st, ok := in.s.staged(in.group)
	if !ok || st.generation != in.stage.generation {
		return fmt.Errorf("%w: the snapshot of group %d at slot %d was given up", ErrOldSlot,
			in.group, in.stage.want.Slot)
	}
	return nil
}

// write adds the records of one chunk, and how far that takes the snapshot, in
// one batch. The last chunk is not noted: until Commit it may be wanted again.
func (in *Installer) write(h chunkHeader, plain []byte) error {
	pb := in.s.db.NewBatch()
	st := in.stage
	last := st.lastKey
	var full []byte
	for len(plain) > 0 {
		key, value, rest, err := cutRecord(plain)
		if err == nil && last != nil && bytes.Compare(key, last) <= 0 {
			err = fmt.Errorf("%w: record %x after %x", ErrChunk, key, last)
		}
		if err != nil {
			return errors.Join(err, pb.Close())
		}
		st.records++
		st.hash += lockfsm.RecordHash(key, value)
		full = append(recordKey(full[:0], in.group, st.generation), key...)
		if err := pb.Set(full, value, nil); err != nil {
			return errors.Join(err, pb.Close())
		}
		last, plain = key, rest
	}
	st.next++
	st.lastKey = bytes.Clone(last)
	if !h.last {
		if err := pb.Set(stageKey(in.group), appendStage(nil, st), nil); err != nil {
			return errors.Join(err, pb.Close())
		}
	}
	if err := pb.Commit(in.durability(pb.Len())); err != nil {
		return in.s.judge(err)
	}
	in.s.noteBuffers()
	if !h.last {
		in.s.setStage(in.group, st)
	}
	in.stage, in.complete = st, h.last
	return pb.Close()
}

// stageSyncBytes is how much of a snapshot a power cut may take along. Less makes
// more syncs, for which the log of the node would have to wait.
const stageSyncBytes = 4 << 20

// durability says whether the next batch, so many bytes long, is to be synced.
func (in *Installer) durability(bytes int) *pebble.WriteOptions {
	if in.unsynced += bytes; in.unsynced < in.s.stageSyncBytes {
		return pebble.NoSync
	}
	in.unsynced = 0
	return pebble.Sync
}

// cutRecord takes the first record off b, borrowing from it.
func cutRecord(b []byte) (key, value, rest []byte, err error) {
	k, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, nil, nil, fmt.Errorf("%w: record length", ErrChunk)
	}
	b = b[n:]
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, nil, nil, fmt.Errorf("%w: record length", ErrChunk)
	}
	b = b[n:]
	if k == 0 || k > uint64(len(b)) || v > uint64(len(b))-k {
		return nil, nil, nil, fmt.Errorf("%w: record of %d and %d bytes in %d",
			ErrChunk, k, v, len(b))
	}
	return b[:k:k], b[k : k+v : k+v], b[k+v:], nil
}

// Load calls fn with every record that was added, as Store.Load does, so that a
// machine can be built of a snapshot before it replaces anything. It fails with
// ErrChunk unless the records are all that was announced.
func (in *Installer) Load(fn func(key, value []byte) error) error {
	if err := in.checkWhole(); err != nil {
		return err
	}
	return in.s.walk(in.group, in.marker(), fn)
}

// marker is the marker under which the snapshot becomes the checkpoint.
func (in *Installer) marker() marker {
	st := &in.stage
	return marker{st.want.Slot, st.generation, st.records, st.hash}
}

// checkWhole fails with ErrChunk unless all that was announced was added.
func (in *Installer) checkWhole() error {
	if err := in.current(); err != nil {
		return err
	}
	if !in.complete {
		return fmt.Errorf("%w: %d chunks and the last is missing", ErrChunk, in.stage.next)
	}
	if have := in.marker().content(); have != in.stage.want {
		return fmt.Errorf("%w: whole snapshot of group %d: have %v, want %v", ErrChunk, in.group,
			have, in.stage.want)
	}
	return nil
}

// Commit makes the snapshot the group's checkpoint, durably and at once. It
// fails with ErrChunk if it is not complete or its content is not what was
// announced, and with ErrOldSlot if the group's own checkpoint has overtaken it.
// On error the checkpoint is what it was.
func (in *Installer) Commit() error {
	if err := in.checkWhole(); err != nil {
		return err
	}
	mk, old := in.marker(), in.s.marker(in.group)
	if old.slot >= mk.slot {
		return fmt.Errorf("%w: group %d: have %d, got %d", ErrOldSlot, in.group, old.slot, mk.slot)
	}
	pb := in.s.db.NewBatch()
	if old.generation != 0 {
		if err := deleteGeneration(pb, in.group, old.generation); err != nil {
			return errors.Join(err, pb.Close())
		}
	}
	if err := in.s.commit(pb, in.group, mk); err != nil {
		return fmt.Errorf("checkpoint: install group %d: %w", in.group, err)
	}
	return nil
}

// Abort removes what was added, unless it has become the checkpoint or is gone.
func (in *Installer) Abort() error {
	if in.current() != nil {
		return nil
	}
	return in.s.dropStage(in.group)
}

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
// replaces it as a whole. It is steppable and belongs to one goroutine. It ends
// by Commit or Abort; a crash before Commit returned leaves the old checkpoint
// or, if Commit was under way, perhaps the new one.
type Installer struct {
	s     *Store
	group uint16
	// want are slot, records and hash as the first chunk names them; have is
	// what was added, under its own generation.
	want, have marker
	slot       uint64
	next       uint32
	complete   bool
	ended      bool
	lastKey    []byte
	plain      []byte
}

// Begin starts to install a snapshot that a peer announced at slot. It fails
// with ErrOldSlot unless that is ahead of the stored checkpoint. The group's
// Saves may go on meanwhile.
func (s *Store) Begin(group uint16, slot uint64) (*Installer, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if mk := s.marker(group); slot <= mk.slot {
		return nil, fmt.Errorf("%w: group %d: have %d, got %d", ErrOldSlot, group, mk.slot, slot)
	}
	in := &Installer{s: s, group: group, slot: slot}
	in.have.generation = s.nextGeneration(group)
	return in, nil
}

// Next returns the number of the chunk that Add wants.
func (in *Installer) Next() uint32 { return in.next }

// Complete reports whether the last chunk has been added.
func (in *Installer) Complete() bool { return in.complete }

// Add writes the records of a chunk, which it does not keep. A chunk that was
// added before is ignored. It fails with ErrChunk, having changed nothing, and
// with an error of the disk, after which only Abort is left.
func (in *Installer) Add(chunk []byte) error {
	if in.ended {
		return fmt.Errorf("%w: the install has ended", ErrChunk)
	}
	h, plain, err := openChunk(chunk, in.plain)
	if err != nil {
		return err
	}
	if h.codec == codecS2 {
		in.plain = plain
	}
	if in.next == 0 {
		in.want = h.mk
	}
	if h.mk != in.want || h.mk.slot != in.slot {
		return fmt.Errorf("%w: of a snapshot at slot %d, want slot %d",
			ErrChunk, h.mk.slot, in.slot)
	}
	if h.number < in.next {
		return nil
	}
	if h.number > in.next || in.complete {
		return fmt.Errorf("%w: number %d, want %d", ErrChunk, h.number, in.next)
	}
	if err := in.write(plain); err != nil {
		return err
	}
	in.next++
	in.complete = h.last
	return nil
}

// write adds the records of one chunk in one batch.
func (in *Installer) write(plain []byte) error {
	pb := in.s.db.NewBatch()
	have, last := in.have, in.lastKey
	var full []byte
	for len(plain) > 0 {
		key, value, rest, err := cutRecord(plain)
		if err == nil && last != nil && bytes.Compare(key, last) <= 0 {
			err = fmt.Errorf("%w: record %x after %x", ErrChunk, key, last)
		}
		if err != nil {
			return errors.Join(err, pb.Close())
		}
		have.records++
		have.hash += lockfsm.RecordHash(key, value)
		full = append(recordKey(full[:0], in.group, have.generation), key...)
		if err := pb.Set(full, value, nil); err != nil {
			return errors.Join(err, pb.Close())
		}
		last, plain = key, rest
	}
	if err := pb.Commit(pebble.NoSync); err != nil {
		return in.s.judge(err)
	}
	in.have, in.lastKey = have, append(in.lastKey[:0], last...)
	return pb.Close()
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
// ErrChunk unless the records are all that the chunks announced.
func (in *Installer) Load(fn func(key, value []byte) error) error {
	if err := in.checkWhole(); err != nil {
		return err
	}
	mk := in.have
	mk.slot = in.slot
	return in.s.walk(in.group, mk, fn)
}

// checkWhole fails with ErrChunk unless all that was announced was added.
func (in *Installer) checkWhole() error {
	if in.ended || !in.complete {
		return fmt.Errorf("%w: %d chunks and the last is missing", ErrChunk, in.next)
	}
	if in.have.records != in.want.records || in.have.hash != in.want.hash {
		return fmt.Errorf("%w: whole snapshot of group %d: have %d records, hash %x, want %d, %x",
			ErrChunk, in.group, in.have.records, in.have.hash, in.want.records, in.want.hash)
	}
	return nil
}

// Commit makes the snapshot the group's checkpoint, durably and at once. It
// fails with ErrChunk if it is not complete or its content is not what its
// chunks announced, and with ErrOldSlot if the group's own checkpoint has
// overtaken it; unless chunks are missing the installer has then ended, as
// after Abort.
func (in *Installer) Commit() error {
	if in.ended || !in.complete {
		return fmt.Errorf("%w: %d chunks and the last is missing", ErrChunk, in.next)
	}
	mk := in.have
	mk.slot = in.slot
	old := in.s.marker(in.group)
	var err error
	switch {
	case mk.records != in.want.records || mk.hash != in.want.hash:
		err = fmt.Errorf("%w: whole snapshot of group %d: have %d records, hash %x, want %d, %x",
			ErrChunk, in.group, mk.records, mk.hash, in.want.records, in.want.hash)
	case old.slot >= mk.slot:
		err = fmt.Errorf("%w: group %d: have %d, got %d", ErrOldSlot, in.group, old.slot, mk.slot)
	}
	if err != nil {
		return errors.Join(err, in.Abort())
	}
	in.ended = true
	pb := in.s.db.NewBatch()
	if old.generation != 0 {
		err := pb.DeleteRange(recordKey(nil, in.group, old.generation),
			recordKey(nil, in.group, old.generation+1), nil)
		if err != nil {
			return errors.Join(err, pb.Close())
		}
	}
	if err := in.s.commit(pb, in.group, mk); err != nil {
		return fmt.Errorf("checkpoint: install group %d: %w", in.group, err)
	}
	return nil
}

// Abort removes what was added. After Commit or Abort it does nothing.
func (in *Installer) Abort() error {
	if in.ended {
		return nil
	}
	in.ended = true
	return in.s.removeGeneration(in.group, in.have.generation)
}

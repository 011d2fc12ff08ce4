package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Content names the state of a group: checkpoints of one group with equal
// Content have the same records.
type Content struct {
	// Slot is the last slot of which the state is.
	Slot uint64
	// Records is their number and Hash the sum of their lockfsm.RecordHash.
	Records, Hash uint64
}

// String shows a content in errors.
func (c Content) String() string {
	return fmt.Sprintf("slot %d with %d records, hash %x", c.Slot, c.Records, c.Hash)
}

func (mk marker) content() Content { return Content{mk.slot, mk.records, mk.hash} }

// stage is a snapshot that has arrived in part. Its records stand under a
// generation of their own.
type stage struct {
	want       Content
	generation uint64
	// next is the number of chunks that were added, records and hash are what
	// they held, and lastKey is their last key.
	next          uint32
	records, hash uint64
	lastKey       []byte
}

const stageFixedBytes = 53

func stageKey(group uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{keyStage}, group)
}

func appendStage(dst []byte, st stage) []byte {
	le := binary.LittleEndian
	dst = append(dst, storeFormat)
	dst = le.AppendUint64(dst, st.want.Slot)
	dst = le.AppendUint64(dst, st.want.Records)
	dst = le.AppendUint64(dst, st.want.Hash)
	dst = le.AppendUint64(dst, st.generation)
	dst = le.AppendUint32(dst, st.next)
	dst = le.AppendUint64(dst, st.records)
	dst = le.AppendUint64(dst, st.hash)
	return append(dst, st.lastKey...)
}

func decodeStage(b []byte) (stage, error) {
	le := binary.LittleEndian
	switch {
	case len(b) > 0 && b[0] > storeFormat:
		return stage{}, fmt.Errorf("%w: stage of version %d", ErrTooNew, b[0])
	case len(b) <= stageFixedBytes || b[0] == 0:
		return stage{}, fmt.Errorf("%w: stage %x", ErrDamaged, b)
	}
	st := stage{
		want:       Content{le.Uint64(b[1:]), le.Uint64(b[9:]), le.Uint64(b[17:])},
		generation: le.Uint64(b[25:]),
		next:       le.Uint32(b[33:]),
		records:    le.Uint64(b[37:]),
		hash:       le.Uint64(b[45:]),
		lastKey:    append([]byte(nil), b[stageFixedBytes:]...),
	}
	if st.generation == 0 || st.next == 0 {
		return stage{}, fmt.Errorf("%w: stage %x", ErrDamaged, b)
	}
	return st, nil
}

// staged returns the snapshot of group that has arrived in part.
func (s *Store) staged(group uint16) (stage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.mu.stages[group]
	return st, ok
}

func (s *Store) setStage(group uint16, st stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.stages[group] = st
	s.mu.generations[group] = max(s.mu.generations[group], st.generation)
}

func (s *Store) forgetStage(group uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.stages, group)
}

// dropStage removes what has arrived of a snapshot of group.
func (s *Store) dropStage(group uint16) error {
	st, ok := s.staged(group)
	if !ok {
		return nil
	}
	pb := s.db.NewBatch()
	err := errors.Join(deleteGeneration(pb, group, st.generation),
		pb.Delete(stageKey(group), nil))
	if err != nil {
		return errors.Join(err, pb.Close())
	}
	if err := pb.Commit(pebble.NoSync); err != nil {
		return s.judge(err)
	}
	s.forgetStage(group)
	return pb.Close()
}

// endStage removes from pb's moment on the stage that a checkpoint at mk makes
// pointless. It keeps the records if they are what mk stands for.
func (s *Store) endStage(pb *pebble.Batch, group uint16, mk marker) (ended bool, err error) {
	st, ok := s.staged(group)
	if !ok || st.want.Slot > mk.slot {
		return false, nil
	}
	if st.generation != mk.generation {
		err = deleteGeneration(pb, group, st.generation)
	}
	return true, errors.Join(err, pb.Delete(stageKey(group), nil))
}

func deleteGeneration(pb *pebble.Batch, group uint16, generation uint64) error {
	return pb.DeleteRange(recordKey(nil, group, generation),
		recordKey(nil, group, generation+1), nil)
}

// readStages reads how far snapshots had arrived. One that the checkpoint has
// overtaken is a stray.
func (s *Store) readStages() error {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyStage}, UpperBound: []byte{keyStage + 1}})
	if err != nil {
		return s.judge(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		st, err := decodeStage(it.Value())
		if err == nil && len(key) != 3 {
			err = fmt.Errorf("%w: key %x", ErrDamaged, key)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
		group := binary.BigEndian.Uint16(key[1:])
		s.setStage(group, st)
		if st.want.Slot <= s.marker(group).slot {
			err = s.dropStage(group)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return s.judge(errors.Join(it.Error(), it.Close()))
}

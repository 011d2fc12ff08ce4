package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// readMarkers reads what the store has, and removes records that belong neither
// to a checkpoint nor to a snapshot that has arrived in part.
func (s *Store) readMarkers() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyGroup}, UpperBound: []byte{keyGroup + 1}})
	if err != nil {
		return s.judge(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		mk, err := decodeMarker(it.Value())
		if err == nil && len(key) != 3 {
			err = fmt.Errorf("%w: key %x", ErrDamaged, key)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
		s.setMarker(binary.BigEndian.Uint16(key[1:]), mk)
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return s.judge(err)
	}
	if err := s.readStages(); err != nil {
		return err
	}
	return s.removeStrays()
}

// checkFormat reads the version of the store, and writes it into an empty one.
func (s *Store) checkFormat() error {
	value, closer, err := s.db.Get([]byte{keyFormat})
	if errors.Is(err, pebble.ErrNotFound) {
		return s.initialize()
	}
	if err != nil {
		return s.judge(err)
	}
	have := append([]byte(nil), value...)
	if err := closer.Close(); err != nil {
		return err
	}
	switch {
	case len(have) == 1 && have[0] == storeFormat:
		return nil
	case len(have) >= 1 && have[0] > storeFormat:
		return fmt.Errorf("%w: store of version %d, want at most %d",
			ErrTooNew, have[0], storeFormat)
	default:
		return fmt.Errorf("%w: store version %x", ErrDamaged, have)
	}
}

// initialize marks an empty store. One with content but no version is damaged.
func (s *Store) initialize() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return s.judge(err)
	}
	used := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return s.judge(err)
	}
	if used {
		return fmt.Errorf("%w: store without version", ErrDamaged)
	}
	return s.db.Set([]byte{keyFormat}, []byte{storeFormat}, pebble.Sync)
}

// removeStrays deletes every generation of a group but the valid one and the one
// that arrives.
func (s *Store) removeStrays() error {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyRecord}, UpperBound: []byte{keyRecord + 1}})
	if err != nil {
		return s.judge(err)
	}
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < recordPrefixBytes {
			return errors.Join(fmt.Errorf("%w: key %x", ErrDamaged, key), it.Close())
		}
		group := binary.BigEndian.Uint16(key[1:])
		generation := binary.BigEndian.Uint64(key[3:])
		st, arrives := s.staged(group)
		if generation != s.marker(group).generation &&
			(!arrives || generation != st.generation) {
			if err := s.removeGeneration(group, generation); err != nil {
				return errors.Join(err, it.Close())
			}
		}
		ok = it.SeekGE(recordKey(nil, group, generation+1))
	}
	return s.judge(errors.Join(it.Error(), it.Close()))
}

func (s *Store) removeGeneration(group uint16, generation uint64) error {
	return s.judge(s.db.DeleteRange(recordKey(nil, group, generation),
		recordKey(nil, group, generation+1), pebble.NoSync))
}

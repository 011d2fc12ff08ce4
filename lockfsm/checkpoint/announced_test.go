package checkpoint

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lockd/lockfsm"
)

// plainRecord is a record as it stands in a chunk.
func plainRecord(key, value string) []byte {
	b := binary.AppendUvarint(nil, uint64(len(key)))
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(append(b, key...), value...)
}

// TestFC3SnapshotIsWhatWasAnnounced: what has arrived whole, in chunks whose checksums hold,
// is installed only if its records are those that were announced, in order, and nothing
// newer has been saved meanwhile.
func TestFC3SnapshotIsWhatWasAnnounced(t *testing.T) {
	a, b, other := plainRecord("a", "1"), plainRecord("b", "2"), plainRecord("b", "3")
	content := Content{Slot: 5, Records: 2, Hash: lockfsm.RecordHash([]byte("a"), []byte("1")) +
		lockfsm.RecordHash([]byte("b"), []byte("2"))}
	for _, c := range []struct {
		what    string
		records [][]byte
		last    bool
		slot    uint64 // of a checkpoint that is there by then
		want    error
	}{
		{"as announced", [][]byte{a, b}, true, 0, nil},
		{"another value", [][]byte{a, other}, true, 0, ErrChunk},
		{"a record less", [][]byte{a}, true, 0, ErrChunk},
		{"out of order", [][]byte{b, a}, true, 0, ErrChunk},
		{"without the last chunk", [][]byte{a, b}, false, 0, ErrChunk},
		{"overtaken", [][]byte{a, b}, true, 5, ErrOldSlot},
	} {
		s := mustOpen(t, vfs.NewMem(), testOptions(t))
		in, err := s.Begin(1, content)
		if err != nil {
			t.Fatal(err)
		}
		var plain []byte
		for _, r := range c.records {
			plain = append(plain, r...)
		}
		err = in.Add(appendChunk(nil, chunkHeader{last: c.last, content: content}, plain))
		if c.slot > 0 {
			s.setMarker(1, marker{slot: c.slot, generation: 1})
		}
		if err == nil {
			err = in.Commit()
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFC2DamagedStoreIsNotUsed: once Pebble has said that it is damaged nothing is read of
// it, or written to it.
func TestFC2DamagedStoreIsNotUsed(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOptions(t))
	defer s.Close()
	s.damaged.Store(true)
	_, begin := s.Begin(1, Content{Slot: 1})
	_, load := s.Load(1, func(_, _ []byte) error { return nil })
	for what, err := range map[string]error{
		"begin": begin, "load": load, "save": s.Save(1, 1, &Batch{}), "drop": s.Drop(1),
	} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", what, err)
		}
	}
}

package checkpoint

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lockd/lockfsm"
)

// fuzzStore is a store without ceremony, shared by all inputs of a fuzzer.
func fuzzStore(tb testing.TB) *Store {
	tb.Helper()
	s, err := open(vfs.NewMem(), "db", Options{
		Fatal:      func(err error) { panic(err) },
		Report:     func(r Report) { panic(r.Err) },
		CacheBytes: 1 << 20, MemTableBytes: 1 << 20,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// fuzzChunks are the chunks of a snapshot of a machine in use.
func fuzzChunks(tb testing.TB) [][]byte {
	tb.Helper()
	s := fuzzStore(tb)
	w := newMachineWorld(tb)
	w.take(40)
	w.give(10)
	w.save(s)
	n, err := s.OpenSnapshot(7)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	var all [][]byte
	for last := false; !last; {
		var chunk []byte
		if chunk, last, err = n.Next(nil, 900); err != nil {
			tb.Fatal(err)
		}
		all = append(all, chunk)
	}
	return all
}

// FuzzChunk: whatever a peer sends as a snapshot, of which the checksum is made
// right for the fuzzer, it is taken or refused as what it is, and a machine is
// built of it or not.
func FuzzChunk(f *testing.F) {
	chunks := fuzzChunks(f)
	for i := range chunks {
		f.Add(chunks[i], chunks[(i+1)%len(chunks)], true)
	}
	f.Add(chunks[0], []byte{}, false)
	store := fuzzStore(f)
	f.Fuzz(func(t *testing.T, first, second []byte, sealed bool) {
		c := Content{Slot: 1}
		if len(first) >= chunkHeaderBytes {
			le := binary.LittleEndian
			c = Content{le.Uint64(first[7:]), le.Uint64(first[15:]), le.Uint64(first[23:])}
		}
		in, err := store.Begin(3, c)
		if err != nil {
			if c.Slot != 0 && !errors.Is(err, ErrOldSlot) {
				t.Fatalf("begin: %v", err)
			}
			return
		}
		// Nothing is committed for good, or the slots of the group would run out.
		defer func() { _ = in.Abort() }()
		for _, chunk := range [][]byte{first, second} {
			chunk = append([]byte(nil), chunk...)
			if sealed && len(chunk) >= chunkHeaderBytes {
				sum := checksum(chunk[:chunkCRCAt], chunk[chunkHeaderBytes:])
				binary.LittleEndian.PutUint32(chunk[chunkCRCAt:], sum)
			}
			if err := in.Add(chunk); err != nil {
				if !errors.Is(err, ErrChunk) && !errors.Is(err, ErrTooNew) {
					t.Fatalf("add: got %v, want %v or %v", err, ErrChunk, ErrTooNew)
				}
				return
			}
		}
		loadFuzzed(t, store, in)
	})
}

// loadFuzzed builds a machine of what an installer has taken.
func loadFuzzed(t *testing.T, store *Store, in *Installer) {
	t.Helper()
	it, err := store.records(store.db, in.group, in.stage.generation)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = it.Close() }()
	m := newMachine(t, 1)
	for ok := it.First(); ok; ok = it.Next() {
		if err := m.Load(it.Key()[recordPrefixBytes:], it.Value()); err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooNew) {
				t.Fatalf("load: got %v, want %v or %v", err, ErrDamaged, ErrTooNew)
			}
			return
		}
	}
	if err := m.Loaded(); err == nil {
		_ = m.Digest()
	} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, lockfsm.ErrLimits) {
		t.Fatalf("loaded: got %v, want %v or %v", err, ErrDamaged, lockfsm.ErrLimits)
	}
}

// FuzzMarker: the marker of a checkpoint reads as it was written, or as damaged
// or too new.
func FuzzMarker(f *testing.F) {
	f.Add(appendMarker(nil, marker{slot: 9, generation: 2, records: 3, hash: 4}))
	f.Add([]byte{storeFormat + 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		mk, err := decodeMarker(b)
		switch {
		case err == nil:
			if got := appendMarker(nil, mk); string(got) != string(b) {
				t.Fatalf("written again: got %x, want %x", got, b)
			}
		case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooNew):
			t.Fatalf("got %v, want %v or %v", err, ErrDamaged, ErrTooNew)
		}
	})
}

// FuzzStage: the note of a snapshot that has arrived in part reads as it was
// written, or as damaged or too new.
func FuzzStage(f *testing.F) {
	f.Add(appendStage(nil, stage{want: Content{9, 2, 3}, generation: 4, next: 5, records: 6,
		hash: 7, lastKey: []byte("k")}))
	f.Add([]byte{storeFormat + 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := decodeStage(b)
		switch {
		case err == nil:
			if got := appendStage(nil, st); string(got) != string(b) {
				t.Fatalf("written again: got %x, want %x", got, b)
			}
		case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooNew):
			t.Fatalf("got %v, want %v or %v", err, ErrDamaged, ErrTooNew)
		}
	})
}

package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lockd/lockfsm"
)

// TestBufferBytes: what the store holds besides the machine grows while it is
// written, and stays within its bounds.
func TestBufferBytes(t *testing.T) {
	opts := testOptions(t)
	opts.MemTableBytes, opts.CacheBytes = 1<<20, 1<<20
	s := mustOpen(t, vfs.NewMem(), opts)
	defer func() { _ = s.Close() }()
	before := s.BufferBytes()
	w := newMachineWorld(t)
	for range 20 {
		w.take(1000)
		w.save(s)
	}
	// Two buffers, one that is kept for reuse, and the cache.
	if got := s.BufferBytes(); got <= before || got > 4<<20 {
		t.Errorf("got %d bytes, want more than %d and at most %d", got, before, 4<<20)
	}
}

// TestFD8BuffersAreToldWithoutPebble: what the node tells of itself comes while the disk
// stands still, and Pebble may keep its lock then.
func TestFD8BuffersAreToldWithoutPebble(t *testing.T) {
	if got := (&Store{}).BufferBytes(); got != 0 { // there is no Pebble to ask
		t.Errorf("got %d bytes of nothing", got)
	}
}

// machineWorld drives a machine with random locks and saves it.
type machineWorld struct {
	tb    testing.TB
	rng   *rand.Rand
	m     *lockfsm.Machine
	batch lockfsm.BatchBuilder
	out   lockfsm.Outcome
	saved Batch
	// held are tokens by name, in the order of their grants.
	held []hold
	next uint64
}

type hold struct {
	name  []byte
	token lockfsm.Token
}

func newMachineWorld(tb testing.TB) *machineWorld {
	tb.Helper()
	w := &machineWorld{tb: tb, rng: rand.New(rand.NewPCG(1, 6)), m: newMachine(tb, 1)}
	w.batch.Append(&lockfsm.Command{Op: lockfsm.OpOpenSession, Lease: 10_000,
		Nonce: lockfsm.Nonce{1}, Name: []byte("world")})
	w.apply()
	return w
}

func newMachine(tb testing.TB, seed uint64) *lockfsm.Machine {
	tb.Helper()
	l := lockfsm.DefaultLimits()
	l.Seed, l.ClaimsPerSession = seed, l.Claims
	m, err := lockfsm.New(l)
	if err != nil {
		tb.Fatalf("new: got %v, want no error", err)
	}
	return m
}

func (w *machineWorld) apply() {
	if err := w.m.Apply(w.m.Applied()+1, w.batch.Bytes(), &w.out); err != nil {
		w.tb.Fatalf("apply: got %v, want no error", err)
	}
	w.batch.Reset()
}

// take acquires n fresh names.
func (w *machineWorld) take(n int) {
	first := len(w.held)
	for range n {
		w.next++
		name := binary.BigEndian.AppendUint64([]byte("tenant/orders/"), w.rng.Uint64())
		w.held = append(w.held, hold{name: name})
		w.batch.Append(&lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1,
			Request: lockfsm.RequestID(w.next), Name: name, Mode: lockfsm.ModeEX})
	}
	w.apply()
	for i, r := range w.out.Results {
		w.held[first+i].token = r.Token
	}
}

// give releases n random holds.
func (w *machineWorld) give(n int) {
	for range min(n, len(w.held)) {
		i := w.rng.IntN(len(w.held))
		h := w.held[i]
		w.held[i] = w.held[len(w.held)-1]
		w.held = w.held[:len(w.held)-1]
		w.batch.Append(&lockfsm.Command{Op: lockfsm.OpRelease, Session: 1, Name: h.name,
			Token: h.token})
	}
	w.apply()
}

func (w *machineWorld) save(s *Store) {
	w.saved.Reset()
	w.m.Dirty(func(key, value []byte) {
		if w.m.AddsRecord() {
			w.saved.Add(key, value)
			return
		}
		w.saved.Set(key, value)
	})
	if err := s.Save(7, w.m.Applied(), &w.saved); err != nil {
		w.tb.Fatalf("save: got %v, want no error", err)
	}
}

func loadMachine(tb testing.TB, s *Store, seed uint64) *lockfsm.Machine {
	tb.Helper()
	m := newMachine(tb, seed)
	if _, err := s.Load(7, m.Load); err != nil {
		tb.Fatalf("load: got %v, want no error", err)
	}
	if err := m.Loaded(); err != nil {
		tb.Fatalf("loaded: got %v, want no error", err)
	}
	return m
}

// TestMachine saves a machine incrementally and finds the same one (I13): its
// digest is the store's hash, and going on from it changes nothing.
func TestMachine(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOptions(t))
	w := newMachineWorld(t)
	for round := range 30 {
		w.take(w.rng.IntN(60))
		w.give(w.rng.IntN(50))
		w.save(s)
		if got, want := s.marker(7).hash, w.m.Digest(); got != want {
			t.Fatalf("round %d: hash: got %x, want the digest %x", round, got, want)
		}
		m := loadMachine(t, s, uint64(round))
		if m.Digest() != w.m.Digest() || m.Applied() != w.m.Applied() {
			t.Fatalf("round %d: got slot %d digest %x, want %d and %x", round, m.Applied(), m.Digest(),
				w.m.Applied(), w.m.Digest())
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if round%3 == 0 {
			w.m = m
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.TempDir(), Options{Fatal: func(err error) { panic(err) },
		Report: func(r Report) { b.Logf("%v: %v", r.Kind, r.Err) }})
	if err != nil {
		b.Fatalf("open: got %v, want no error", err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Errorf("close: got %v, want no error", err)
		}
	})
	return s
}

// BenchmarkSave replaces 1000 of 100,000 locks between two saves.
func BenchmarkSave(b *testing.B) {
	s, w := benchStore(b), newMachineWorld(b)
	for range 100 {
		w.take(1000)
	}
	w.save(s)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		w.give(1000)
		w.take(1000)
		b.StartTimer()
		w.save(s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/record")
}

// TestSaveAfterFailureLooks: a save that failed may have come through, so the
// next one does not believe that what it adds is new.
func TestSaveAfterFailureLooks(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOptions(t))
	w := newMachineWorld(t)
	w.take(20)
	w.save(s)
	s.mu.doubted[7] = true // as a failed commit leaves it
	if err := s.Save(7, w.m.Applied(), &w.saved); err != nil {
		t.Fatal(err)
	}
	if got, want := s.marker(7).hash, w.m.Digest(); got != want {
		t.Errorf("hash: got %x, want the digest %x", got, want)
	}
	if s.mu.doubted[7] {
		t.Error("a save that succeeded left the doubt")
	}
}

// BenchmarkSaveNew adds 1000 locks to the 100,000 and more that are saved.
func BenchmarkSaveNew(b *testing.B) {
	s, w := benchStore(b), newMachineWorld(b)
	for range 100 {
		w.take(1000)
	}
	w.save(s)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		w.take(1000)
		b.StartTimer()
		w.save(s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

// BenchmarkLoad rebuilds a machine with 100,000 locks from disk.
func BenchmarkLoad(b *testing.B) {
	s, w := benchStore(b), newMachineWorld(b)
	for range 100 {
		w.take(1000)
	}
	w.save(s)
	b.ResetTimer()
	for range b.N {
		loadMachine(b, s, 3)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/lock")
}

// BenchmarkSnapshot sends 100,000 locks in chunks of 1 MiB and installs them.
func BenchmarkSnapshot(b *testing.B) {
	s, w := benchStore(b), newMachineWorld(b)
	for range 100 {
		w.take(1000)
	}
	w.save(s)
	bytes := 0
	b.ResetTimer()
	for i := range b.N {
		n, err := s.OpenSnapshot(7)
		if err != nil {
			b.Fatalf("snapshot: got %v, want no error", err)
		}
		in, err := s.Begin(uint16(100+i), n.Content())
		if err != nil {
			b.Fatalf("begin: got %v, want no error", err)
		}
		bytes += copySnapshot(b, n, in)
		if err := n.Close(); err != nil {
			b.Fatalf("close: got %v, want no error", err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/lock")
	b.ReportMetric(float64(bytes)/float64(b.N)/100_000, "B/lock")
}

func copySnapshot(b *testing.B, n *Snapshot, in *Installer) int {
	bytes := 0
	var chunk []byte
	for last := false; !last; {
		var err error
		if chunk, last, err = n.Next(chunk[:0], 1<<20); err != nil {
			b.Fatalf("next: got %v, want no error", err)
		}
		bytes += len(chunk)
		if err := in.Add(chunk); err != nil {
			b.Fatalf("add: got %v, want no error", err)
		}
	}
	if err := in.Commit(); err != nil {
		b.Fatalf("commit: got %v, want no error", fmt.Errorf("install: %w", err))
	}
	return bytes
}

// TestSaveReadsForward: a save of many new records among many old ones reads
// each block about once, not one for every record. Otherwise a checkpoint of a
// node with ten million locks costs minutes of a core.
func TestSaveReadsForward(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOptions(t))
	defer func() { _ = s.Close() }()
	w := newMachineWorld(t)
	for range 20 {
		w.take(1000)
	}
	w.save(s)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	const fresh = 2000
	w.take(fresh)
	before := s.db.Metrics().BlockCache
	w.save(s)
	after := s.db.Metrics().BlockCache
	got := after.Hits + after.Misses - before.Hits - before.Misses
	if got > fresh/4 {
		t.Errorf("blocks looked up for %d new records: got %d, want at most %d", fresh, got, fresh/4)
	}
}

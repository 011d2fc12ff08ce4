package wal

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// TestSyncerMakesEverythingDurable appends from one goroutine while the loop
// flushes, with copying forward and recycling going on.
func TestSyncerMakesEverythingDurable(t *testing.T) {
	dir, err := disk.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	w, _, err := open(dir, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	durable := make(chan LSN, 1)
	s := StartSyncer(w, SyncerOptions{
		OnDurable: func(lsn LSN) {
			select {
			case <-durable:
			default:
			}
			durable <- lsn
		},
		OnFailed:        func(err error) { t.Errorf("failed: %v", err) },
		OnPrepareFailed: func(err error) { t.Errorf("prepare failed: %v", err) },
	})
	s.Append(Record{Group: 9, Kind: KindState, Data: []byte("promise")})
	var last LSN
	for round := range uint64(60) {
		for i := range uint64(20) {
			last = s.Append(Record{Group: 1, Kind: KindEntry, Slot: 20*round + i + 1,
				Data: make([]byte, 200)})
		}
		s.Submit()
		for <-durable < last {
		}
		s.Release(1, 20*round)
	}
	stats := s.Stats()
	if stats.Recycled == 0 || stats.CopiedRecords == 0 || stats.Durable < last {
		t.Errorf("got %+v, want recycled segments, copies, and LSN %d durable", stats, last)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	_, got, err := open(dir, smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got); n == 0 || got[n-1].lsn < last || !holdsPromise(got) {
		t.Fatalf("got %d records back, want LSN %d and the promise among them", n, last)
	}
}

func holdsPromise(got []replayed) bool {
	for _, g := range got {
		if g.record.Group == 9 && string(g.record.Data) == "promise" {
			return true
		}
	}
	return false
}

// TestSyncerSealsWhenIdle waits for the seal that covers the last batch.
func TestSyncerSealsWhenIdle(t *testing.T) {
	d := simdisk.New(drawFrom(1))
	w, _, err := open(mustMount(d), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Prepare(); err != nil { // so that the spare loop stays away
		t.Fatal(err)
	}
	batches := make(chan LSN, 8)
	s := StartSyncer(w, SyncerOptions{
		OnDurable: func(lsn LSN) { batches <- lsn },
		OnFailed:  func(err error) { t.Errorf("failed: %v", err) },
	})
	lsn := s.Append(Record{Group: 1, Kind: KindState, Data: []byte("x")})
	s.Submit()
	for range 2 { // the batch, then its seal
		if got := <-batches; got != lsn {
			t.Fatalf("durable up to %d, want %d", got, lsn)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Batches; got != 2 {
		t.Fatalf("wrote %d batches, want 2", got)
	}
}

// TestFD5SyncerFailureIsFinal fails a sync under the loop (I11).
func TestFD5SyncerFailureIsFinal(t *testing.T) {
	d := simdisk.New(drawFrom(1))
	opts := smallOptions()
	w, _, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	// These keep the spare loop away.
	w.front.spares = append(w.front.spares, []string{"a", "b"}[:opts.Spares]...)
	d.Plan(d.Ops()+2, simdisk.Fault{Err: simdisk.ErrIO})
	failed := make(chan error, 2)
	var calls sync.Map
	s := StartSyncer(w, SyncerOptions{
		OnDurable: func(lsn LSN) { calls.Store(lsn, true) },
		OnFailed:  func(err error) { failed <- err },
	})
	s.Append(Record{Group: 1, Kind: KindState})
	s.Submit()
	if err := <-failed; !errors.Is(err, simdisk.ErrIO) {
		t.Fatalf("got %v, want ErrIO", err)
	}
	s.Append(Record{Group: 1, Kind: KindState})
	s.Submit()
	if err := s.Stop(); !errors.Is(err, simdisk.ErrIO) {
		t.Fatalf("stop: got %v, want ErrIO", err)
	}
	calls.Range(func(lsn, _ any) bool {
		t.Errorf("LSN %v was called durable", lsn)
		return true
	})
	if len(failed) != 0 {
		t.Errorf("OnFailed was called twice")
	}
}

// TestFD10SyncerWithoutSpares fills the disk under the loop. It says so, goes
// on with the room there is, and Stop does not wait for the next attempt.
func TestFD10SyncerWithoutSpares(t *testing.T) {
	d := simdisk.New(drawFrom(1))
	d.SetCapacity(smallOptions().SegmentBytes)
	w, _, err := open(mustMount(d), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	durable, full := make(chan LSN, 8), make(chan error, 1)
	s := StartSyncer(w, SyncerOptions{
		OnDurable:       func(lsn LSN) { durable <- lsn },
		OnFailed:        func(err error) { t.Errorf("failed: %v", err) },
		OnPrepareFailed: func(err error) { full <- err },
	})
	if err := <-full; !errors.Is(err, simdisk.ErrNoSpace) {
		t.Fatalf("got %v, want ErrNoSpace", err)
	}
	lsn := s.Append(Record{Group: 1, Kind: KindState})
	s.Submit()
	if got := <-durable; got != lsn {
		t.Errorf("durable up to %d, want %d", got, lsn)
	}
	if room := s.Stats().RoomBytes; room >= smallOptions().SegmentBytes {
		t.Errorf("got room for %d bytes, want less than a segment", room)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

// watchedDir is a directory that looks whether a wait for it could be noticed.
type watchedDir struct {
	disk.Dir
	w    *Writer // nil until it is to look
	note func(what string)
	// gone is since when the disk was waited for at each end of a segment's name.
	gone []int64
}

func (d *watchedDir) look(what string) {
	if d.w != nil && d.w.SyncStarted() == 0 {
		d.note(what)
	}
}

func (d *watchedDir) goes() {
	if d.w != nil {
		d.gone = append(d.gone, d.w.SyncStarted())
	}
}

func (d *watchedDir) Rename(from, to string) error {
	d.look("rename")
	d.goes()
	return d.Dir.Rename(from, to)
}

func (d *watchedDir) Remove(name string) error {
	d.look("remove")
	d.goes()
	return d.Dir.Remove(name)
}

func (d *watchedDir) Sync() error {
	d.look("sync of the directory")
	return d.Dir.Sync()
}

func (d *watchedDir) Open(name string) (disk.File, error) {
	f, err := d.Dir.Open(name)
	return &watchedFile{f, d}, err
}

type watchedFile struct {
	disk.File
	dir *watchedDir
}

func (f *watchedFile) ReadAt(p []byte, off int64) (int, error) {
	f.dir.look("read")
	return f.File.ReadAt(p, off)
}

func (f *watchedFile) Sync() error {
	f.dir.look("sync")
	return f.File.Sync()
}

// TestFD8EveryWaitForTheDiskIsSeen: whatever a flush waits for the disk in, SyncStarted
// tells since when; who leads must notice that his disk has stopped (I30).
func TestFD8EveryWaitForTheDiskIsSeen(t *testing.T) {
	unseen := make(map[string]int)
	dir := &watchedDir{Dir: mustMount(simdisk.New(drawFrom(1))),
		note: func(what string) { unseen[what]++ }}
	opts, now := smallOptions(), int64(0)
	opts.Clock = func() int64 { now++; return now }
	w, _, err := open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	dir.w = w
	m, draw := newModel(), drawFrom(2)
	for range 2 * crashSteps {
		if err := m.work(w, draw, 1); err != nil {
			t.Fatal(err)
		}
		if since := w.SyncStarted(); since != 0 {
			t.Fatalf("waiting since %d, want no wait between flushes", since)
		}
	}
	if s := w.Stats(); s.Recycled == 0 || s.CopiedRecords == 0 {
		t.Errorf("got %+v, want recycled segments and copies", s)
	}
	for what, n := range unseen {
		t.Errorf("%d times: a %s could take for ever and nobody would notice", n, what)
	}
}

// TestFD8EachRecycledSegmentIsAWait: several segments may go behind one batch. A disk
// that is slow for all of them together moves all the same.
func TestFD8EachRecycledSegmentIsAWait(t *testing.T) {
	dir := &watchedDir{Dir: mustMount(simdisk.New(drawFrom(1))), note: func(string) {}}
	opts, now := smallOptions(), int64(0)
	opts.TargetSegments = opts.MaxSegments - 1 // so that nothing is copied forward
	opts.Clock = func() int64 { now++; return now }
	w, _, err := open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	flush := func() {
		if _, err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	slot := uint64(0)
	for w.Stats().Segments < 5 {
		slot++
		w.Append(Record{Group: 7, Kind: KindEntry, Slot: slot, Data: make([]byte, 300)})
		flush()
	}
	dir.w = w
	w.Release(7, slot)
	for range 3 {
		slot++
		w.Append(Record{Group: 7, Kind: KindEntry, Slot: slot})
		flush()
	}
	slices.Sort(dir.gone)
	if n := len(dir.gone); n < 3 || n != len(slices.Compact(dir.gone)) {
		t.Errorf("%d segments went in %d waits, want some, and a wait for each", n,
			len(slices.Compact(dir.gone)))
	}
}

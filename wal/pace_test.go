package wal

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// TestPace follows how the disk is judged: quick is one most of whose last syncs
// were, and that has not stalled lately.
func TestPace(t *testing.T) {
	const fast, slow = int64(100 * time.Microsecond), int64(2 * time.Millisecond)
	var p pace
	now := int64(0)
	see := func(n int, nanos int64) {
		for range n {
			now += nanos
			p.note(nanos, now)
		}
	}
	expect := func(when string, want bool) {
		t.Helper()
		if got := p.quick(now); got != want {
			t.Errorf("%s: quick is %t, want %t", when, got, want)
		}
	}
	expect("nothing known", false)
	see(8, fast)
	expect("after half of what counts", false)
	see(1, fast)
	expect("after more than half", true)
	see(7, fast)
	see(7, slow)
	expect("while most are quick", true)
	see(1, slow)
	expect("while half are slow", false)
	see(16, fast)
	expect("quick again", true)
	see(1, stalledSync+1)
	see(16, fast)
	expect("soon after a stall", false)
	now = p.until
	expect("long after it", true)
	see(1, int64(24*time.Hour)) // suspended meanwhile
	see(16, fast)
	expect("soon after a day", false)
	now += longestRest
	expect("not long after it", true)
}

// quickSyncer returns a Syncer of a disk whose syncs take as long as nanos says,
// and what it has called durable.
func quickSyncer(t *testing.T, d *simdisk.Disk, nanos *int64) (*Syncer, *LSN, chan error) {
	t.Helper()
	opts := smallOptions()
	opts.SegmentBytes = 64 * chunkBytes
	now := int64(0)
	opts.Clock = func() int64 { now += *nanos; return now }
	w, _, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Prepare(); err != nil {
		t.Fatal(err)
	}
	durable, failed := new(LSN), make(chan error, 2)
	s := &Syncer{writer: w, opts: SyncerOptions{
		OnDurable: func(lsn LSN) { *durable = lsn },
		OnFailed:  func(err error) { failed <- err },
	}}
	s.mu.writer = w
	return s, durable, failed
}

// TestFlushHere syncs on the caller's goroutine while the disk is quick, and only
// what is a plain sync.
func TestFlushHere(t *testing.T) {
	nanos := int64(1000)
	s, durable, _ := quickSyncer(t, simdisk.New(drawFrom(1)), &nanos)
	record := Record{Group: 1, Kind: KindEntry, Slot: 1, Data: make([]byte, 100)}
	flush := func() {
		t.Helper()
		if !s.round(s.flush) {
			t.Fatal("the log cannot go on")
		}
	}
	for range 9 {
		s.Append(record)
		if s.FlushHere() {
			t.Fatal("synced here on a disk that nothing is known of")
		}
		flush()
	}
	for range 20 {
		record.Slot++
		if lsn := s.Append(record); !s.FlushHere() || *durable != lsn {
			t.Fatalf("durable up to %d, want %d, at once", *durable, lsn)
		}
	}
	if s.Stats().Syncs != 29 {
		t.Errorf("got %d syncs, want one for each record", s.Stats().Syncs)
	}
	if before := s.Stats().Batches; !s.FlushHere() || s.Stats().Batches != before {
		t.Error("nothing waited, and a batch was written or left to others")
	}
	for s.writer.plain() { // until the next batch begins a segment
		record.Slot++
		s.Append(record)
		if s.writer.plain() && !s.FlushHere() {
			t.Fatal("a plain sync was left to others")
		}
	}
	if lsn := s.Append(record); s.FlushHere() || *durable >= lsn {
		t.Error("a segment was begun here")
	}
	flush()
	nanos = quickSync * 2
	for range 16 {
		s.Append(record)
		flush()
	}
	s.Append(record)
	if s.FlushHere() {
		t.Error("synced here on a slow disk")
	}
}

// TestFD5FailureOfFlushHereIsFinal fails a sync on the caller's goroutine (I11).
func TestFD5FailureOfFlushHereIsFinal(t *testing.T) {
	d := simdisk.New(drawFrom(1))
	nanos := int64(1000)
	s, durable, failed := quickSyncer(t, d, &nanos)
	record := Record{Group: 1, Kind: KindState}
	for range 9 {
		s.Append(record)
		s.round(s.flush)
	}
	was := *durable
	d.Plan(d.Ops()+2, simdisk.Fault{Err: simdisk.ErrIO})
	s.Append(record)
	if s.FlushHere() {
		t.Error("the sync that failed was reported done")
	}
	s.Append(record)
	if s.FlushHere() || s.round(s.flush) {
		t.Error("the log goes on after a failed sync")
	}
	if err := <-failed; !errors.Is(err, simdisk.ErrIO) || len(failed) != 0 {
		t.Errorf("got %v and %d more, want ErrIO once", err, len(failed))
	}
	if *durable != was {
		t.Errorf("LSN %d was called durable", *durable)
	}
}

// TestFlushHereIsSealed lets the log be idle, syncs once on the caller's goroutine,
// and waits for the seal that covers that batch too: until then damage to it would
// look like a torn write.
func TestFlushHereIsSealed(t *testing.T) {
	opts := smallOptions()
	opts.SegmentBytes = 64 * chunkBytes
	opts.Clock = disk.BootNanos
	w, _, err := open(mustMount(simdisk.New(drawFrom(1))), opts)
	if err != nil {
		t.Fatal(err)
	}
	for w.NeedsSpare() { // so that the spare loop stays away
		if err := w.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	batches := make(chan LSN, 64)
	s := StartSyncer(w, SyncerOptions{
		OnDurable: func(lsn LSN) { batches <- lsn },
		OnFailed:  func(err error) { t.Errorf("failed: %v", err) },
	})
	expect := func(what string, want LSN) {
		t.Helper()
		select {
		case got := <-batches:
			if got != want {
				t.Fatalf("%s: durable up to %d, want %d", what, got, want)
			}
		case <-time.After(20 * idleSealDelay):
			t.Fatalf("%s: not written", what)
		}
	}
	trust := func() { // however crowded the machine is
		s.flushing.Lock()
		s.flushing.pace = pace{quicks: 1<<16 - 1}
		s.flushing.Unlock()
	}
	record := Record{Group: 1, Kind: KindState}
	var lsn LSN
	for range 16 {
		lsn = s.Append(record)
		s.Submit()
		expect("a batch of the loop", lsn)
	}
	expect("its seal", lsn)
	for range 3 {
		lsn = s.Append(record)
		trust()
		for end := time.Now().Add(20 * idleSealDelay); !s.FlushHere(); trust() {
			if time.Now().After(end) {
				t.Fatal("the caller's sync was left to the loop")
			}
			runtime.Gosched() // the loop may not have let go yet
		}
		expect("a batch of the caller", lsn)
		expect("its seal", lsn)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

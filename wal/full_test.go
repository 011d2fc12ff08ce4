package wal

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"lockd/wal/disk/simdisk"
)

// TestFD10DiskFull lets the disk fill up under a caller that admits nothing
// when Room is small: nothing fails, and once slots are released the log goes
// on in the segments it has (I33).
func TestFD10DiskFull(t *testing.T) {
	opts := smallOptions()
	d := simdisk.New(drawFrom(1))
	d.SetCapacity(5 * opts.SegmentBytes)
	w, _, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	refused, prepareFailed := 0, 0
	for round := range 300 {
		if err := w.Prepare(); err != nil {
			if !errors.Is(err, simdisk.ErrNoSpace) {
				t.Fatalf("prepare: got %v, want ErrNoSpace", err)
			}
			prepareFailed++
		}
		if w.Room() < 2*chunkBytes {
			refused++
			m.released[0] = m.serial - 2
			m.releaseAll(w)
			if err := w.Seal(); err != nil {
				t.Fatalf("round %d: seal: %v", round, err)
			}
			continue
		}
		m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 3000)
		if err := m.flush(w); err != nil {
			t.Fatalf("round %d: %v, stats %+v", round, err, w.Stats())
		}
	}
	if refused == 0 || prepareFailed == 0 || w.Stats().Recycled < 20 {
		t.Fatalf("refused %d times, %d failed prepares, recycled %d; want some of each",
			refused, prepareFailed, w.Stats().Recycled)
	}
	d.PowerCut()
	_, got, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.check(got); err != nil {
		t.Fatal(err)
	}
}

// TestFD10NoSpaceInFlush goes on without looking at Room: the flush fails, the
// failure is final, and the log opens again with all that was durable.
func TestFD10NoSpaceInFlush(t *testing.T) {
	tests := []struct {
		name     string
		capacity int64
		want     error
	}{
		{"disk", 3 * smallOptions().SegmentBytes, simdisk.ErrNoSpace},
		{"bound", 0, ErrFull},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := simdisk.New(drawFrom(1))
			d.SetCapacity(tt.capacity)
			w, _, err := open(mustMount(d), smallOptions())
			if err != nil {
				t.Fatal(err)
			}
			m := newModel()
			for err == nil && m.serial < 1000 {
				m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 3000)
				err = m.flush(w)
			}
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v after %d records, want %v", err, m.serial, tt.want)
			}
			if _, again := w.Flush(); again != err {
				t.Fatalf("flush again: got %v, want %v", again, err)
			}
			most := smallOptions().MaxSegments + smallOptions().Spares
			if n := w.Stats().Segments; n > most {
				t.Fatalf("got %d segments, want at most %d", n, most)
			}
			d.Unmount()
			reopenFull(t, d, m)
		})
	}
}

// reopenFull opens a log that was full, releases what a checkpoint covers, and
// appends as much again.
func reopenFull(t *testing.T, d *simdisk.Disk, m *model) {
	t.Helper()
	w, got, err := open(mustMount(d), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.check(got); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		m.released[0] = m.serial
		m.releaseAll(w)
		if err := w.Seal(); err != nil {
			t.Fatalf("after release: %v, stats %+v", err, w.Stats())
		}
		m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 3000)
		if err := m.flush(w); err != nil {
			t.Fatalf("after release: %v, stats %+v", err, w.Stats())
		}
	}
}

// TestFD10IdleLogMakesItsSpare: room on a full disk is found by a log to which nothing
// is written, because its owner admits nothing until there is room.
func TestFD10IdleLogMakesItsSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := simdisk.New(drawFrom(1))
		d.SetCapacity(smallOptions().SegmentBytes)
		w, _, err := open(mustMount(d), smallOptions())
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		s := StartSyncer(w, SyncerOptions{
			OnDurable:       func(LSN) {},
			OnFailed:        func(err error) { t.Error(err) },
			OnPrepareFailed: func(error) { failed++ },
		})
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if failed < 10 || failed > 12 {
			t.Errorf("in ten seconds without space: got %d attempts, want one a second", failed)
		}
		d.SetCapacity(100 * smallOptions().SegmentBytes)
		time.Sleep(2 * spareRetryDelay)
		if got := s.Stats().Spares; got == 0 {
			t.Error("there is space, and no spare was made")
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFD10SealsTakeNoRoomFromSpares: a segment that seals have filled beyond what
// records may take leaves all the room that its spare has. Less would be told for
// ever, because who admits nothing rotates nothing.
func TestFD10SealsTakeNoRoomFromSpares(t *testing.T) {
	opts := smallOptions()
	opts.Spares = 1
	w, _, err := open(mustMount(simdisk.New(drawFrom(1))), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Prepare(); err != nil {
		t.Fatal(err)
	}
	m := newModel()
	for w.front.offset+chunkBytes <= w.front.currentSize-reservedBytes {
		m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 100)
		if err := m.flush(w); err != nil {
			t.Fatal(err)
		}
	}
	before := w.Room()
	if err := w.Seal(); err != nil {
		t.Fatal(err)
	}
	if got := w.Room(); got != before || w.Stats().Segments != 1 {
		t.Errorf("room after a seal: got %d in %d segments, want %d as before", got,
			w.Stats().Segments, before)
	}
}

// TestFD10BacklogBeyondTheReserve has more waiting, when the oldest segment must be
// copied from, than the reserve has room for, as after a sync that took long. What
// was copied makes the oldest free only once it is synced, behind all that waits:
// until then a spare stands in.
func TestFD10BacklogBeyondTheReserve(t *testing.T) {
	opts := smallOptions()
	opts.MaxSegments = 4
	d := simdisk.New(drawFrom(1))
	w, _, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	m.append(w, Record{Group: 9, Kind: KindState}, 100) // only a copy keeps it
	entry := func() { m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 3000) }
	for w.back.victim == 0 {
		entry()
		if err := m.flush(w); err != nil {
			t.Fatal(err)
		}
		m.released[0] = m.serial - 1
		m.releaseAll(w)
	}
	for range 12 {
		entry()
	}
	if err := m.flush(w); err != nil {
		t.Fatalf("backlog: %v, stats %+v", err, w.Stats())
	}
	if n := w.segments(); n > opts.MaxSegments+opts.Spares {
		t.Errorf("got %d segments, want at most %d", n, opts.MaxSegments+opts.Spares)
	}
	m.released[0] = m.serial
	m.releaseAll(w)
	for range 20 {
		entry()
		if err := m.flush(w); err != nil {
			t.Fatalf("after the backlog: %v, stats %+v", err, w.Stats())
		}
		m.released[0] = m.serial
		m.releaseAll(w)
	}
	if n := w.segments(); n > opts.MaxSegments {
		t.Errorf("after the backlog: got %d segments, want at most %d", n, opts.MaxSegments)
	}
	d.PowerCut()
	_, got, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.check(got); err != nil {
		t.Fatal(err)
	}
}

// TestFD10WhatStaysLeavesNoRoom appends what nothing releases, as while no checkpoint
// can be saved, and looks at Room only now and then, as its caller does. Room ends
// while the log can still be tidied up: what is not new has a segment's worth of
// places left, and no flush meets ErrFull (I33).
//
// It fails if Room counts only what is not written yet: a log of which all is alive
// is copied forward for ever, and that frees nothing.
func TestFD10WhatStaysLeavesNoRoom(t *testing.T) {
	for _, most := range []int{3, 4, 6, 8, 16} {
		t.Run(fmt.Sprint(most), func(t *testing.T) { fillUp(t, most) })
	}
}

// fillUp appends records that stay to a log of so many segments at most.
func fillUp(t *testing.T, most int) {
	t.Helper()
	opts := Options{Stamp: 0x1234, SegmentBytes: 64 * chunkBytes, MaxBatchBytes: 16 * chunkBytes,
		TargetSegments: 2, MaxSegments: most, Spares: 1}
	w, _, err := open(mustMount(simdisk.New(drawFrom(1))), opts)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	flush := func() {
		t.Helper()
		if err := w.Prepare(); err != nil {
			t.Fatal(err)
		}
		if err := m.flush(w); err != nil {
			t.Fatalf("after %d records: %v, stats %+v", m.serial, err, w.Stats())
		}
	}
	full := int64(0)
	for refused := 0; refused < 400; {
		if w.Room() < opts.SegmentBytes/2 {
			full = max(full, w.Stats().LiveBytes)
			m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 100) // a renewal
			flush()
			refused++
			continue
		}
		for range 8 { // until it looks again: a quarter of a segment at most
			for range 8 {
				m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 1000)
			}
			flush()
		}
	}
	if want := int64(most-3) * opts.SegmentBytes / 2; full < want {
		t.Errorf("room ended with %d bytes of records, want at least %d", full, want)
	}
	m.released[0] = m.serial
	m.releaseAll(w)
	if err := w.Seal(); err != nil {
		t.Fatal(err)
	}
	if w.Room() < opts.SegmentBytes/2 {
		t.Errorf("got room %d after all was released, want at least half a segment", w.Room())
	}
}

// TestCopyOfASegmentTakesLittleMemory: however much of the oldest segment is alive, a
// flush that has to free it copies it in steps, and a large record that was copied
// leaves no large buffer behind.
func TestCopyOfASegmentTakesLittleMemory(t *testing.T) {
	opts := Options{Stamp: 0x1234, SegmentBytes: 1 << 20, MaxBatchBytes: 4 * chunkBytes,
		TargetSegments: 2, MaxSegments: 5, Spares: 1}
	w, _, err := open(mustMount(simdisk.New(drawFrom(1))), opts)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	flush := func() {
		t.Helper()
		if err := m.flush(w); err != nil {
			t.Fatalf("after %d records: %v, stats %+v", m.serial, err, w.Stats())
		}
	}
	m.append(w, Record{Group: 9, Kind: KindState}, 600<<10)
	flush()
	most := 0
	for m.serial < 9000 && w.Stats().Recycled < 4 {
		for range 8 {
			m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 1700)
		}
		flush()
		if w.Stats().Recycled > 1 { // the large record was copied with the first
			most = max(most, cap(w.back.copier.bytes)+cap(w.back.copier.reader.buf))
		}
		if m.serial%800 == 1 {
			m.released[0] = m.serial / 2
			m.releaseAll(w)
		}
	}
	s := w.Stats()
	if s.Recycled < 4 || s.CopiedRecords < 100 {
		t.Fatalf("got %d segments recycled and %d records copied, want more", s.Recycled, s.CopiedRecords)
	}
	if limit := 600 << 10; most > limit {
		t.Errorf("copying keeps %d bytes, want at most %d", most, limit)
	}
}

// TestFD8BacklogIsNotKept: what waited for a disk that stood is not kept as room for
// batches once it is written (I22).
func TestFD8BacklogIsNotKept(t *testing.T) {
	d := simdisk.New(func(int) int { return 0 })
	dir, err := d.Mount()
	if err != nil {
		t.Fatal(err)
	}
	w, _, err := open(dir, Options{SegmentBytes: 1 << 20, MaxBatchBytes: 64 << 10, MaxSegments: 16,
		Spares: 8})
	if err != nil {
		t.Fatal(err)
	}
	for w.NeedsSpare() {
		if err := w.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	data := make([]byte, 1000)
	slot, n := uint64(0), 0
	for w.Room() > 8<<10 { // while a disk stands
		slot++
		n += len(data)
		w.Append(Record{Group: 1, Kind: KindEntry, Slot: slot, Data: data})
	}
	if _, err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	w.Release(1, slot)
	w.Append(Record{Group: 1, Kind: KindState, Data: data})
	if _, err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, b := range w.front.idle {
		kept += cap(b.buf)
	}
	if kept > 8*(64<<10) {
		t.Errorf("%d bytes waited; %d batches with %d bytes are kept for ever", n, len(w.front.idle),
			kept)
	}
}

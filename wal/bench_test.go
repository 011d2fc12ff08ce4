package wal

import (
	"testing"

	"lockd/wal/disk"
)

// warmWriter returns a Writer in a directory of its own that has flushed a few
// times.
func warmWriter(tb testing.TB) *Writer {
	tb.Helper()
	dir, err := disk.OpenDir(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { dir.Close() })
	w, err := Open(dir, Options{SegmentBytes: 8 << 20}, func(LSN, Record) error { return nil })
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { w.Close() })
	return w
}

// TestNothingAllocatedPerRecord appends and flushes as a busy node does.
func TestNothingAllocatedPerRecord(t *testing.T) {
	w := warmWriter(t)
	data := make([]byte, 120)
	slot := uint64(0)
	round := func() {
		for range 100 {
			slot++
			w.Append(Record{Group: 1, Kind: KindEntry, Slot: slot, Data: data})
		}
		w.Append(Record{Group: 2, Kind: KindState, Data: data})
		if _, err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		w.Release(1, slot-min(slot, 50))
	}
	for range 20 {
		round()
	}
	if got := testing.AllocsPerRun(50, round); got > 0 {
		t.Errorf("got %v allocations for 101 records and a flush, want 0", got)
	}
}

func BenchmarkAppend(b *testing.B) {
	w := warmWriter(b)
	data := make([]byte, 120)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	slot := uint64(0)
	for b.Loop() {
		slot++
		w.Append(Record{Group: 1, Kind: KindEntry, Slot: slot, Data: data})
		if slot%4096 == 0 {
			b.StopTimer()
			if _, err := w.Flush(); err != nil {
				b.Fatal(err)
			}
			w.Release(1, slot)
			b.StartTimer()
		}
	}
}

// BenchmarkFlush appends 100 records of 120 bytes and syncs them.
func BenchmarkFlush(b *testing.B) {
	w := warmWriter(b)
	data := make([]byte, 120)
	b.ReportAllocs()
	slot := uint64(0)
	for b.Loop() {
		for range 100 {
			slot++
			w.Append(Record{Group: 1, Kind: KindEntry, Slot: slot, Data: data})
		}
		if _, err := w.Flush(); err != nil {
			b.Fatal(err)
		}
		w.Release(1, slot)
	}
}

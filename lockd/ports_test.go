package main

import (
	"testing"

	"lockd/wal"
	"lockd/wal/disk"
)

// TestSmallLogIsNotCramped opens logs of the smallest and the default size of
// segments: with nothing in them new work is welcome.
func TestSmallLogIsNotCramped(t *testing.T) {
	for _, segment := range []int64{64 << 10, 1 << 20, 16 << 20} {
		dir, err := disk.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		w, err := wal.Open(dir, wal.Options{SegmentBytes: segment},
			func(wal.LSN, wal.Record) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		s := wal.StartSyncer(w, wal.SyncerOptions{
			OnDurable: func(wal.LSN) {},
			OnFailed:  func(err error) { t.Error(err) },
		})
		if p := newLogPort(s, segment); p.Cramped() {
			t.Errorf("segments of %d bytes: an empty log has room for %d bytes, wanted are %d",
				segment, s.Stats().RoomBytes, p.leastRoom)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}
}

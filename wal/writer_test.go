package wal

import (
	"fmt"
	"testing"

	"lockd/wal/disk"
)

// TestWriterOnRealDisk appends, closes, opens again and compares.
func TestWriterOnRealDisk(t *testing.T) {
	dir, err := disk.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	opts := Options{Stamp: 7, SegmentBytes: 64 << 10, TargetSegments: 15}
	var want []string
	for round := range 5 {
		var got []string
		w, err := Open(dir, opts, func(lsn LSN, r Record) error {
			got = append(got, fmt.Sprintf("%d %v %d/%d %s", lsn, r.Kind, r.Group, r.Slot, r.Data))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: replayed\n%q\nwant\n%q", round, got, want)
		}
		for i := range 40 {
			r := Record{Group: uint16(i % 3), Kind: KindEntry, Slot: uint64(round*40 + i),
				Data: fmt.Appendf(nil, "value %d", i)}
			lsn := w.Append(r)
			want = append(want, fmt.Sprintf("%d %v %d/%d %s", lsn, r.Kind, r.Group, r.Slot, r.Data))
			if i%3 == 0 {
				if durable, err := w.Flush(); err != nil || durable != lsn {
					t.Fatalf("flushed up to %d (%v), want %d", durable, err, lsn)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

package wal

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockd/wal/disk/simdisk"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// exampleLog is the log that FORMAT.md shows: one group promises, accepts a
// value and hears that it is chosen; then the log is closed.
func exampleLog(t *testing.T) *simdisk.Disk {
	t.Helper()
	d := simdisk.New(drawFrom(1))
	opts := Options{Stamp: 0x0123456789abcdef, SegmentBytes: 5 * chunkBytes}
	w, _, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	w.Append(Record{Group: 3, Kind: KindState, Data: []byte("promise 7.2")})
	w.Append(Record{Group: 3, Kind: KindEntry, Slot: 1, Data: []byte("first value")})
	if _, err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	w.Append(Record{Group: 3, Kind: KindHint, Slot: 1})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d.Unmount()
	return d
}

// inspect returns the lines that lockd dump would print.
func inspect(t *testing.T, d *simdisk.Disk) string {
	t.Helper()
	var out strings.Builder
	err := Inspect(mustMount(d), func(i Item) error {
		fmt.Fprintln(&out, i)
		return nil
	})
	d.Unmount()
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// compareGolden compares got with a file of testdata/wal.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("..", "testdata", "wal", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant, by %s\n%s", got, path, want)
	}
}

// TestGoldenBytes pins the format: the bytes of version 1 never change.
func TestGoldenBytes(t *testing.T) {
	content := exampleLog(t).Content(segmentName(1))
	var out strings.Builder
	for off := 0; off < len(content); off += 16 {
		row := content[off : off+16]
		if strings.Trim(string(row), "\x00") != "" {
			fmt.Fprintf(&out, "%06x  %s  %s\n", off,
				hex.EncodeToString(row[:8]), hex.EncodeToString(row[8:]))
		}
	}
	compareGolden(t, "example.hex", out.String())
}

func TestGoldenDump(t *testing.T) {
	compareGolden(t, "example.txt", inspect(t, exampleLog(t)))
}

// TestInspectReportsDamage damages one thing after the other and wants it
// named with its place, the rest of the log shown, and nothing changed.
func TestInspectReportsDamage(t *testing.T) {
	ref := newReference(t, sealed)
	first, last := segmentName(ref.segments[0]), segmentName(ref.segments[1])
	tests := []struct {
		name string
		harm func(d *simdisk.Disk)
		want string
	}{
		{"nothing", func(*simdisk.Disk) {}, "end at 24576"},
		{"record", func(d *simdisk.Disk) { d.FlipBit(first, 8*(chunkBytes+200)) },
			"DAMAGE at 4096 of " + first + ": wal: synced record damaged: damaged record at LSN"},
		{"batch", func(d *simdisk.Disk) { d.ZeroSector(last, 16) },
			"DAMAGE at 8192 of " + last + ": wal: synced record damaged: no batch header"},
		{"end of a full segment", func(d *simdisk.Disk) { d.ZeroSector(first, 5*8) },
			"DAMAGE at 20480 of " + first},
		{"header", func(d *simdisk.Disk) { d.FlipBit(last, 100) }, "DAMAGE at 0 of " + last},
		{"version", func(d *simdisk.Disk) { setVersion(d.Content(last), 9) }, "newer than this"},
		{"torn end", func(d *simdisk.Disk) { d.ZeroSector(last, 6*8) }, "end at 24576"},
	}
	for _, tt := range tests {
		d := ref.disk.Clone(drawFrom(1))
		tt.harm(d)
		before := string(d.Content(first)) + string(d.Content(last))
		got := inspect(t, d)
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: got\n%s\nwant %q in it", tt.name, got, tt.want)
		}
		_, err := ref.read(d)
		if broken := errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion); broken !=
			strings.Contains(got, "DAMAGE") {
			t.Errorf("%s: Open says %v, Inspect says\n%s", tt.name, err, got)
		}
		if before != string(d.Content(first))+string(d.Content(last)) {
			t.Errorf("%s: Inspect changed the log", tt.name)
		}
	}
}

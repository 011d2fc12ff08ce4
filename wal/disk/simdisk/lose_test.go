package simdisk

import (
	"slices"
	"testing"

	"lockd/wal/disk"
)

// TestLostNameStaysLost loses the name of a file whose changes of name are not durable
// yet, whichever of them a power cut keeps: it comes back under no name.
func TestLostNameStaysLost(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *Dir){
		"renamed": func(t *testing.T, d *Dir) {
			makeFile(t, d, "old", true)
			must(t, d.Rename("old", "name"))
		},
		"made again": func(t *testing.T, d *Dir) {
			makeFile(t, d, "name", false)
			must(t, d.Remove("name"))
			makeFile(t, d, "name", false)
		},
		"removed and made again": func(t *testing.T, d *Dir) {
			makeFile(t, d, "name", false)
			must(t, d.Remove("name"))
			makeFile(t, d, "other", false)
			must(t, d.Rename("other", "name"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for bits := range 1 << 6 {
				at := 0
				d := New(func(n int) int { at++; return bits >> (at % 6) & 1 % n })
				dir, err := d.Mount()
				must(t, err)
				makeFile(t, dir, "beside", true)
				change(t, dir)
				d.Lose("name")
				if slices.Contains(d.Names(), "name") {
					t.Fatal("it is still there")
				}
				d.PowerCut()
				if got := d.Names(); !slices.Equal(got, []string{"beside"}) {
					t.Fatalf("after a power cut that keeps %06b: got %v, want what is beside it", bits, got)
				}
			}
		})
	}
}

func makeFile(t *testing.T, d *Dir, name string, durable bool) {
	t.Helper()
	f, err := d.Create(name, disk.AlignBytes)
	must(t, err)
	must(t, f.Close())
	if durable {
		must(t, d.Sync())
	}
}

// TestLostNameLeavesItsFileAnother loses a name that a file does not bear any more.
func TestLostNameLeavesItsFileAnother(t *testing.T) {
	for keep := range 2 {
		d := New(func(n int) int { return keep % n })
		dir, err := d.Mount()
		must(t, err)
		makeFile(t, dir, "name", true)
		must(t, dir.Rename("name", "other"))
		d.Lose("name")
		d.PowerCut()
		if got := d.Names(); !slices.Equal(got, []string{"other"}) {
			t.Fatalf("after a power cut: got %v, want the file under its other name", got)
		}
	}
}

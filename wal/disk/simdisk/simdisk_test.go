package simdisk

import (
	"errors"
	"slices"
	"testing"

	"lockd/wal/disk"
)

// script returns a Draw that makes the given choices, then zeros.
func script(choices ...int) Draw {
	return func(n int) int {
		if len(choices) == 0 {
			return 0
		}
		c := choices[0]
		choices = choices[1:]
		return min(c, n-1)
	}
}

func block(b byte) []byte {
	p := disk.AlignedBuffer(disk.AlignBytes)
	for i := range p {
		p[i] = b
	}
	return p
}

func TestPowerCutSettlesUnsyncedSectors(t *testing.T) {
	// Eight sectors: lost, survived, garbage of zeros, then all survive.
	choices := append([]int{1, 0, 2}, make([]int, SectorBytes)...)
	d := New(script(choices...))
	dir := mount(t, d)
	f := create(t, dir, "a")
	must(t, errors.Join(f.WriteAt([][]byte{block(1)}, 0), f.Sync(), dir.Sync()))
	must(t, f.WriteAt([][]byte{block(2)}, 0))
	d.PowerCut()
	if err := f.Sync(); !errors.Is(err, ErrCut) {
		t.Errorf("sync after the cut: got %v, want ErrCut", err)
	}
	got := d.Content("a")
	for sector, want := range []byte{1, 2, 0, 2, 2, 2, 2, 2} {
		if b := got[sector*SectorBytes]; b != want {
			t.Errorf("sector %d: got %d, want %d", sector, b, want)
		}
	}
}

func TestPowerCutSettlesNames(t *testing.T) {
	for choice, want := range [][]string{{"b", "c"}, {"a"}} {
		d := New(func(n int) int { return choice })
		dir := mount(t, d)
		create(t, dir, "a")
		must(t, dir.Sync())
		must(t, dir.Rename("a", "b"))
		create(t, dir, "c")
		d.PowerCut()
		if got := d.Names(); !slices.Equal(got, want) {
			t.Errorf("choice %d: got names %v, want %v", choice, got, want)
		}
	}
}

// What vanished for good does not come back with a change that was not durable.
func TestLostFileStaysLost(t *testing.T) {
	d := New(func(int) int { return 0 })
	dir := mount(t, d)
	create(t, dir, "a")
	must(t, dir.Rename("a", "b"))
	d.Lose("b")
	create(t, dir, "c")
	must(t, dir.Sync())
	d.PowerCut()
	if got, want := d.Names(), []string{"c"}; !slices.Equal(got, want) {
		t.Errorf("names: got %v, want %v", got, want)
	}
}

// A name that was changed, but not durably, does not come back to an emptied disk.
func TestEmptiedDiskStaysEmpty(t *testing.T) {
	d := New(script())
	dir := mount(t, d)
	create(t, dir, "a")
	must(t, errors.Join(dir.Sync(), dir.Rename("a", "b")))
	d.Empty()
	d.PowerCut()
	if names := d.Names(); len(names) != 0 {
		t.Errorf("names: got %q, want none", names)
	}
}

func TestUnmountKeepsUnsyncedVisible(t *testing.T) {
	d := New(script(1, 1, 1, 1, 1, 1, 1, 1))
	dir := mount(t, d)
	f := create(t, dir, "a")
	must(t, dir.Sync())
	must(t, f.WriteAt([][]byte{block(7)}, 0))
	d.Unmount()
	if got := d.Content("a")[0]; got != 7 {
		t.Errorf("after the process ended: got %d, want 7", got)
	}
	d.PowerCut()
	if got := d.Content("a")[0]; got != 0 {
		t.Errorf("after the power cut: got %d, want 0", got)
	}
}

func TestFaultsHitTheirOperation(t *testing.T) {
	d := New(script(3))
	d.Plan(2, Fault{Err: ErrIO, Effect: EffectPart})
	d.Plan(4, Fault{Err: ErrCut})
	f := create(t, mount(t, d), "a")
	if err := f.WriteAt([][]byte{block(9)}, 0); !errors.Is(err, ErrIO) {
		t.Errorf("write: got %v, want ErrIO", err)
	}
	got := d.Content("a")
	if got[3*SectorBytes-1] != 9 || got[3*SectorBytes] != 0 {
		t.Errorf("a short write did not end after three sectors")
	}
	must(t, f.WriteAt([][]byte{block(9)}, 0))
	for range 2 {
		if err := f.Sync(); !errors.Is(err, ErrCut) {
			t.Errorf("sync: got %v, want ErrCut", err)
		}
	}
	if d.Ops() != 4 {
		t.Errorf("got %d operations, want 4", d.Ops())
	}
}

func TestFailedSyncIsNotRepaired(t *testing.T) {
	d := New(func(n int) int { return 1 }) // every sector is lost
	d.Plan(3, Fault{Err: ErrIO})
	f := create(t, mount(t, d), "a")
	must(t, f.WriteAt([][]byte{block(9)}, 0))
	if err := f.Sync(); !errors.Is(err, ErrIO) {
		t.Fatalf("sync: got %v, want ErrIO", err)
	}
	must(t, f.Sync())
	if got := d.Content("a")[0]; got != 0 {
		t.Errorf("a second sync brought lost data back: got %d, want 0", got)
	}
}

func TestCapacityAndClone(t *testing.T) {
	d := New(script())
	d.SetCapacity(disk.AlignBytes)
	dir := mount(t, d)
	f := create(t, dir, "a")
	if _, err := dir.Create("b", 1); !errors.Is(err, ErrNoSpace) {
		t.Errorf("create: got %v, want ErrNoSpace", err)
	}
	c := d.Clone(script())
	must(t, f.WriteAt([][]byte{block(5)}, 0))
	if c.Content("a")[0] != 0 || d.Content("a")[0] != 5 {
		t.Errorf("a clone shares content with its origin")
	}
	if _, err := d.Mount(); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("second mount: got %v, want ErrLocked", err)
	}
}

func TestSmallFilesAreAtomic(t *testing.T) {
	for k := 1; ; k++ {
		d := New(func(n int) int { return k % n })
		must(t, disk.WriteFileAtomic(mount(t, d), "ID", []byte("old")))
		last := d.Ops()
		d.Plan(last+k, Fault{Err: ErrCut, Effect: EffectAll})
		err := disk.WriteFileAtomic(d.mounted, "ID", []byte("new one"))
		after := d.Clone(func(n int) int { return k % n })
		after.PowerCut()
		got, readErr := disk.ReadFile(mount(t, after), "ID")
		must(t, readErr)
		if s := string(got); s != "new one" && (s != "old" || err == nil) {
			t.Fatalf("cut at operation %d: got %q (write: %v)", k, s, err)
		}
		if err == nil {
			if k < 5 {
				t.Fatalf("only %d operations", k)
			}
			return
		}
	}
}

func mount(t *testing.T, d *Disk) *Dir {
	t.Helper()
	dir, err := d.Mount()
	must(t, err)
	return dir
}

func create(t *testing.T, dir *Dir, name string) disk.File {
	t.Helper()
	f, err := dir.Create(name, disk.AlignBytes)
	must(t, err)
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

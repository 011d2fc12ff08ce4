package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestOpenDirRefusesSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wal")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	// flock belongs to the open file, so a second open in this process is
	// refused like one in another.
	_, err = OpenDir(path)
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: got %v, want ErrLocked", err)
	}
	for _, part := range []string{path, strconv.Itoa(os.Getpid())} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %s", err, part)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: got %v, want ErrClosed", err)
	}
	d, err = OpenDir(path)
	if err != nil {
		t.Fatalf("open after close: %v", err)
	}
	d.Close()
}

func TestFileKeepsVectorsAndPads(t *testing.T) {
	d := openTestDir(t)
	f, err := d.Create("a", 4*AlignBytes)
	if err != nil {
		t.Fatal(err)
	}
	x, y := AlignedBuffer(AlignBytes), AlignedBuffer(2*AlignBytes)
	x[0], y[0], y[len(y)-1] = 1, 2, 3
	if err := f.WriteAt([][]byte{x, y}, AlignBytes); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), d.Rename("a", "b"), d.Sync()); err != nil {
		t.Fatal(err)
	}
	f, err = d.Open("b")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := AlignedBuffer(4 * AlignBytes)
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(make([]byte, AlignBytes), x, y)
	if !slices.Equal(got, want) {
		t.Error("file does not hold what was written")
	}
	if n, err := f.ReadAt(got, 2*AlignBytes); n != 2*AlignBytes || err != io.ErrUnexpectedEOF {
		t.Errorf("read across the end: got %d bytes (%v), want %d and ErrUnexpectedEOF",
			n, err, 2*AlignBytes)
	}
	if size, err := f.Size(); size != 4*AlignBytes || err != nil {
		t.Errorf("size: got %d (%v), want %d", size, err, 4*AlignBytes)
	}
}

func TestCreateRefusesExistingName(t *testing.T) {
	d := openTestDir(t)
	if err := WriteFileAtomic(d, "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create("a", AlignBytes); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v, want ErrExist", err)
	}
}

func TestWriteFileAtomicReplaces(t *testing.T) {
	d := openTestDir(t)
	if _, err := ReadFile(d, "IDENTITY"); !errors.Is(err, ErrNotExist) {
		t.Errorf("before: got %v, want ErrNotExist", err)
	}
	for _, size := range []int{0, 1, 100, AlignBytes, AlignBytes + 1} {
		want := []byte(strings.Repeat("x", size))
		if err := WriteFileAtomic(d, "IDENTITY", want); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		got, err := ReadFile(d, "IDENTITY")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d bytes: got %d (%v)", size, len(got), err)
		}
	}
	names, err := d.List()
	if err != nil || !slices.Equal(names, []string{"IDENTITY"}) {
		t.Errorf("got names %v (%v), want IDENTITY alone", names, err)
	}
}

func TestViewChangesNothing(t *testing.T) {
	d := openTestDir(t)
	if err := WriteFileAtomic(d, "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	v, err := View(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got, err := ReadFile(v, "a"); err != nil || string(got) != "x" {
		t.Errorf("read: got %q (%v), want x", got, err)
	}
	_, err = v.Create("b", 1)
	for name, err := range map[string]error{
		"create": err, "rename": v.Rename("a", "b"), "remove": v.Remove("a"), "sync": v.Sync(),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: got %v, want ErrReadOnly", name, err)
		}
	}
}

func TestAlignedBuffer(t *testing.T) {
	for _, n := range []int{0, 1, AlignBytes, 3*AlignBytes + 5} {
		b := AlignedBuffer(n)
		if len(b) != n || cap(b) != RoundUp(n) {
			t.Errorf("%d bytes: got length %d and capacity %d", n, len(b), cap(b))
		}
	}
}

func openTestDir(t *testing.T) *RealDir {
	t.Helper()
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

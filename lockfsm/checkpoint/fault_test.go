package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"lockd/lockfsm/checkpoint/checkpointtest"
)

// image is a directory with every state its group was ever saved in.
type image struct {
	files  map[string][]byte
	states []state
}

// makeImage saves a group some times. With a flush all but the last save is in
// tables; without, all of it is in Pebble's log.
func makeImage(t *testing.T, flush bool) image {
	fs := vfs.NewMem()
	s := mustOpen(t, fs, testOptions(t))
	c := checkpointtest.Content{}
	im := image{files: map[string][]byte{}}
	for i := range 4 {
		if err := s.Save(1, uint64(i+1), c.Change(i, 0, 60+i*40)); err != nil {
			t.Fatalf("save: got %v, want no error", err)
		}
		im.states = append(im.states, state{slot: uint64(i + 1), content: maps.Clone(c)})
		if flush && i == 2 {
			if err := s.db.Flush(); err != nil {
				t.Fatalf("flush: got %v, want no error", err)
			}
		}
	}
	names, err := fs.List("db")
	if err != nil {
		t.Fatalf("list: got %v, want no error", err)
	}
	for _, n := range names {
		f, err := fs.Open("db/" + n)
		if err != nil {
			t.Fatalf("open: got %v, want no error", err)
		}
		b, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatalf("read %s: got %v, want no error", n, err)
		}
		im.files[n] = b
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: got %v, want no error", err)
	}
	return im
}

// restore writes the image with one bit of one file flipped, of none if the name
// is empty.
func (im *image) restore(t *testing.T, name string, at int) *vfs.MemFS {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("db", 0o755); err != nil {
		t.Fatalf("mkdir: got %v, want no error", err)
	}
	for n, b := range im.files {
		if n == name {
			b = append([]byte(nil), b...)
			b[at] ^= 1 << (at % 8)
		}
		f, err := fs.Create("db/"+n, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(b)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatalf("write %s: got %v, want no error", n, err)
		}
	}
	return fs
}

// read opens a file system and returns what its group holds.
func read(t *testing.T, fs vfs.FS) (state, error) {
	opts := testOptions(t)
	opts.Report = func(Report) {}
	s, err := open(fs, "db", opts)
	if err != nil {
		return state{}, err
	}
	c, slot, err := checkpointtest.Read(subject{s}, 1)
	if closed := s.Close(); err == nil && closed != nil {
		err = fmt.Errorf("close: %w", closed)
	}
	return state{slot: slot, content: c}, err
}

// TestFC2Damage is F-C2: with one bit flipped anywhere, the store says that it is
// damaged, or has a checkpoint that was saved, whole; never a mixture.
func TestFC2Damage(t *testing.T) {
	for _, flush := range []bool{false, true} {
		im := makeImage(t, flush)
		outcomes := map[string]int{}
		for name, b := range im.files {
			for at := 0; at < len(b); at += 1 + len(b)/30 {
				got, err := read(t, im.restore(t, name, at))
				outcomes[im.judge(t, fmt.Sprintf("%s byte %d", name, at), got, err)]++
			}
		}
		t.Logf("flushed %t: %v", flush, outcomes)
		if outcomes["damaged"] < 15 {
			t.Errorf("flushed %t: got %v, want damage found at least 15 times", flush, outcomes)
		}
	}
}

func (im *image) judge(t *testing.T, where string, got state, err error) string {
	t.Helper()
	if errors.Is(err, ErrDamaged) {
		return "damaged"
	}
	if err != nil {
		return fmt.Sprintf("other: %.40v", err)
	}
	if got.slot == 0 && len(got.content) == 0 {
		return "empty"
	}
	for i, st := range im.states {
		if got.slot == st.slot && maps.Equal(got.content, st.content) {
			if i == len(im.states)-1 {
				return "harmless"
			}
			return "older"
		}
	}
	t.Fatalf("%s: got slot %d with %d records, want a state that was saved", where, got.slot,
		len(got.content))
	return ""
}

// TestFC2MissingFile: a store without one of its files is refused, as damaged if
// a table or manifest is gone, or has a checkpoint that was saved, whole. That it
// may be an older one the node finds out by the marks in its log.
func TestFC2MissingFile(t *testing.T) {
	for _, flush := range []bool{false, true} {
		im := makeImage(t, flush)
		outcomes := map[string]int{}
		for name := range im.files {
			fs := im.restore(t, "", 0)
			if err := fs.Remove("db/" + name); err != nil {
				t.Fatalf("remove: got %v, want no error", err)
			}
			got, err := read(t, fs)
			outcomes[im.judge(t, "without "+name, got, err)]++
		}
		t.Logf("flushed %t: %v", flush, outcomes)
		if outcomes["damaged"] == 0 {
			t.Errorf("flushed %t: got %v, want some damaged", flush, outcomes)
		}
	}
}

// TestFC2BackgroundError lets table writes fail while flushing.
func TestFC2BackgroundError(t *testing.T) {
	var failing atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return os.ErrPermission
		}
		return nil
	}))
	reports := make(chan Report, 100)
	opts := testOptions(t)
	opts.Report = func(r Report) { reports <- r }
	s := mustOpen(t, fs, opts)
	c := checkpointtest.Content{}
	if err := s.Save(1, 5, c.Change(0, 0, 50)); err != nil {
		t.Fatalf("save: got %v, want no error", err)
	}
	failing.Store(true)
	done, err := s.db.AsyncFlush()
	if err != nil {
		t.Fatalf("flush: got %v, want no error", err)
	}
	if r := <-reports; r.Kind != ReportBackground || !errors.Is(r.Err, os.ErrPermission) {
		t.Errorf("report: got %v %v, want %v", r.Kind, r.Err, ReportBackground)
	}
	failing.Store(false)
	<-done
	checkpointtest.Expect(t, subject{s}, 1, 5, c)
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
}

// failTables opens a store with something to flush, whose tables cannot be
// created while failing is set, and starts a flush.
func failTables(t *testing.T, failing *atomic.Bool, cause error, opts Options) *Store {
	t.Helper()
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return cause
		}
		return nil
	}))
	s := mustOpen(t, fs, opts)
	if err := s.Save(1, 5, checkpointtest.Content{}.Change(0, 0, 50)); err != nil {
		t.Fatalf("save: got %v, want no error", err)
	}
	failing.Store(true)
	if _, err := s.db.AsyncFlush(); err != nil {
		t.Fatalf("flush: got %v, want no error", err)
	}
	return s
}

// TestFC2FullDiskIsTriedAgain: a flush that fails for want of space is tried
// again after a while, not at once, and for as long as it takes.
func TestFC2FullDiskIsTriedAgain(t *testing.T) {
	var failing atomic.Bool
	reports := make(chan Report, 100)
	opts := testOptions(t)
	opts.Retry = 20 * time.Millisecond
	opts.Report = func(r Report) { reports <- r }
	began := time.Now()
	s := failTables(t, &failing, syscall.ENOSPC, opts)
	const times = 2 * maxFailures
	for range times {
		if r := <-reports; r.Kind != ReportBackground || !errors.Is(r.Err, syscall.ENOSPC) {
			t.Errorf("report: got %v %v, want %v", r.Kind, r.Err, ReportBackground)
		}
	}
	if took, want := time.Since(began), (times-1)*opts.Retry; took < want {
		t.Errorf("%d tries took %v, want at least %v", times, took, want)
	}
	failing.Store(false)
	if err := s.db.Flush(); err != nil {
		t.Errorf("flush with space: got %v, want no error", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
}

// TestFC2FailingFlushesAreFatal: a flush that fails again and again for another
// reason ends the node.
func TestFC2FailingFlushesAreFatal(t *testing.T) {
	var failing atomic.Bool
	reports, fatal := make(chan Report, 100), make(chan error, 1)
	opts := testOptions(t)
	opts.Retry = time.Millisecond
	opts.Report = func(r Report) { reports <- r }
	opts.Fatal = func(err error) {
		fatal <- err
		select {} // as a process that ends
	}
	failTables(t, &failing, syscall.EIO, opts)
	if err := <-fatal; !errors.Is(err, syscall.EIO) {
		t.Errorf("fatal: got %v, want %v", err, syscall.EIO)
	}
	if got, want := len(reports), maxFailures-1; got != want {
		t.Errorf("got %d reports before, want %d", got, want)
	}
}

// TestFC2FailedSyncIsFatal: a save whose sync fails never returns; Fatal is called
// instead.
func TestFC2FailedSyncIsFatal(t *testing.T) {
	var failing atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData ||
			op.Kind == errorfs.OpFileSyncTo
		if failing.Load() && sync && strings.HasSuffix(op.Path, ".log") {
			return os.ErrPermission
		}
		return nil
	}))
	fatal, saved := make(chan error, 1), make(chan error, 1)
	opts := testOptions(t)
	opts.Report = func(Report) {}
	opts.Fatal = func(err error) {
		fatal <- err
		select {} // as a process that ends
	}
	s := mustOpen(t, fs, opts)
	failing.Store(true)
	go func() { saved <- s.Save(1, 5, checkpointtest.Content{}.Change(0, 0, 5)) }()
	select {
	case err := <-fatal:
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("fatal: got %v, want %v", err, os.ErrPermission)
		}
	case err := <-saved:
		t.Errorf("save: got %v, want Fatal to be called", err)
	}
}

// TestFC2DirectorySyncIsFatal: each sync of the directory that opening a store
// takes fails in turn. Pebble panics then, or reports it and goes on; Fatal must
// be called before that, with the error.
func TestFC2DirectorySyncIsFatal(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem, testOptions(t))
	if err := s.Close(); err != nil {
		t.Fatalf("close: got %v, want no error", err)
	}
	k := 1
	for failDirectorySync(t, mem, k) {
		k++
	}
	if k < 4 {
		t.Errorf("opening synced the directory %d times, want at least 3", k-1)
	}
}

// TestFC2ChangeOfANameWhileOpeningIsFatal: each change of a name that opening a store
// takes fails in turn. Fatal must be called at once, with the error: what Pebble does at
// it may be a panic.
func TestFC2ChangeOfANameWhileOpeningIsFatal(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem, testOptions(t))
	if err := s.Save(1, 1, checkpointtest.Content{}.Change(0, 0, 60)); err != nil {
		t.Fatalf("save: got %v, want no error", err)
	}
	if err := errors.Join(s.db.Flush(), s.Close()); err != nil { // nothing writes any more
		t.Fatalf("flush and close: got %v, want no error", err)
	}
	for _, kind := range []errorfs.OpKind{errorfs.OpRename, errorfs.OpCreate, errorfs.OpRemove} {
		for k := int64(1); failChange(t, mem, kind, k); k++ {
			if k > 100 {
				t.Fatalf("kind %v: opening never ends", kind)
			}
		}
	}
}

// failChange opens a store whose k-th change of a kind fails, and reports whether there
// was one.
func failChange(t *testing.T, mem *vfs.MemFS, kind errorfs.OpKind, k int64) (reached bool) {
	t.Helper()
	var calls atomic.Int64
	clone := mem.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 2))})
	fs := errorfs.Wrap(clone, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == kind && calls.Add(1) == k {
			return syscall.EIO
		}
		return nil
	}))
	fatal, opened := make(chan error, 8), make(chan error, 1)
	opts := testOptions(t)
	opts.Report = func(Report) {}
	opts.Fatal = func(err error) {
		fatal <- err
		select {} // as a process that ends
	}
	var s *Store
	go func() {
		var err error
		s, err = open(fs, "db", opts)
		opened <- err
	}()
	select {
	case err := <-fatal:
		if !strings.Contains(err.Error(), syscall.EIO.Error()) {
			t.Errorf("change %d of kind %v: got %v, want %v", k, kind, err, syscall.EIO)
		}
		return true
	case err := <-opened:
		if err != nil {
			t.Fatalf("change %d of kind %v: got %v, want Fatal to be called", k, kind, err)
		}
	}
	before := calls.Load()
	if err := s.Close(); err != nil {
		t.Fatalf("close: got %v, want no error", err)
	}
	return before >= k
}

// failDirectorySync opens a copy of a store whose k-th sync of the directory
// fails, and reports whether there was one.
func failDirectorySync(t *testing.T, mem *vfs.MemFS, k int) (reached bool) {
	t.Helper()
	var syncs atomic.Int64
	clone := mem.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 2))})
	fs := errorfs.Wrap(clone, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync && op.Path == "db" && syncs.Add(1) == int64(k) {
			return os.ErrPermission
		}
		return nil
	}))
	fatal, opened := make(chan error, 1), make(chan error, 1)
	opts := testOptions(t)
	opts.Fatal = func(err error) {
		fatal <- err
		select {} // as a process that ends
	}
	go func() {
		s, err := open(fs, "db", opts)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-fatal:
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("sync %d: got %v, want %v", k, err, os.ErrPermission)
		}
		return true
	case err := <-opened:
		if reached := syncs.Load() >= int64(k); reached || err != nil {
			t.Fatalf("sync %d: open and close gave %v, want Fatal to be called", k, err)
		}
		return false
	}
}

// TestTooNew: stores and markers of a later version are refused as such (I27).
func TestTooNew(t *testing.T) {
	for name, key := range map[string][]byte{"store": {keyFormat}, "marker": groupKey(1)} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs, testOptions(t))
		if err := s.Save(1, 5, &Batch{}); err != nil {
			t.Fatalf("save: got %v, want no error", err)
		}
		if err := s.db.Set(key, []byte{storeFormat + 1, 7}, nil); err != nil {
			t.Fatalf("set: got %v, want no error", err)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("close: got %v, want no error", err)
		}
		_, err := open(fs, "db", testOptions(t))
		if !errors.Is(err, ErrTooNew) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s of a later version: got %v, want %v", name, err, ErrTooNew)
		}
	}
}

// TestFC2LostRecord: a record that vanished without Pebble noticing is found by
// count and hash.
func TestFC2LostRecord(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOptions(t))
	c := checkpointtest.Content{}
	if err := s.Save(1, 5, c.Change(0, 0, 50)); err != nil {
		t.Fatalf("save: got %v, want no error", err)
	}
	key := append(recordKey(nil, 1, 1), "key-00001"...)
	if err := s.db.Delete(key, nil); err != nil {
		t.Fatalf("delete: got %v, want no error", err)
	}
	if _, _, err := checkpointtest.Read(subject{s}, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("load: got %v, want %v", err, ErrDamaged)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
}

// TestFC2SlowDiskIsReported lets a write of Pebble's log stand still until the
// store has said so.
func TestFC2SlowDiskIsReported(t *testing.T) {
	var stands atomic.Bool
	moves := make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if stands.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") {
			<-moves
		}
		return nil
	}))
	opts := testOptions(t)
	opts.DiskSlow = 10 * time.Millisecond
	reports := make(chan Report, 100)
	opts.Report = func(r Report) { reports <- r }
	s := mustOpen(t, fs, opts)
	stands.Store(true)
	saved := make(chan error)
	go func() { saved <- s.Save(1, 5, checkpointtest.Content{}.Change(0, 0, 50)) }()
	if r := <-reports; r.Kind != ReportDiskSlow || !strings.Contains(r.Err.Error(), ".log") {
		t.Errorf("report: got %v %v, want %v of the log", r.Kind, r.Err, ReportDiskSlow)
	}
	stands.Store(false)
	close(moves)
	if err := errors.Join(<-saved, s.Close()); err != nil {
		t.Errorf("save and close on a disk that moves again: got %v, want no error", err)
	}
}

// fullFS is a file system of which one per cent is left.
type fullFS struct {
	vfs.FS
	left uint64 // bytes
}

// GetDiskUsage says what is left.
func (fs fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: fs.left, TotalBytes: 100 * fs.left,
		UsedBytes: 99 * fs.left}, nil
}

// TestFC2LowSpaceIsReported proves that little space is reported, and that one per cent of
// a large disk is not little.
func TestFC2LowSpaceIsReported(t *testing.T) {
	opts := testOptions(t)
	reports := make(chan Report, 100)
	opts.Report = func(r Report) { reports <- r }
	opts.LowSpaceBytes = 2 << 20
	for _, left := range []uint64{2 << 20, 1 << 20} {
		s := mustOpen(t, fullFS{vfs.NewMem(), left}, opts)
		if err := s.Save(1, 5, checkpointtest.Content{}.Change(0, 0, 50)); err != nil {
			t.Fatalf("save: got %v, want no error", err)
		}
		if err := s.db.Flush(); err != nil {
			t.Fatalf("flush: got %v, want no error", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: got %v, want no error", err)
		}
		if left >= opts.LowSpaceBytes && len(reports) > 0 {
			r := <-reports
			t.Errorf("report with %d bytes left: got %v %v, want none", left, r.Kind, r.Err)
		}
	}
	if r := <-reports; r.Kind != ReportLowSpace {
		t.Errorf("report: got %v %v, want %v", r.Kind, r.Err, ReportLowSpace)
	}
}

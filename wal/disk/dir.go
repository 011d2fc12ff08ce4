package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is the file whose flock keeps a second process out. It holds the
// process id of the owner, for the error message of the second one.
const lockName = "LOCK"

// zeroStepBytes is how much Create writes at a time.
const zeroStepBytes = 1 << 20

// RealDir is a directory of the operating system. Its methods are safe for
// use by several goroutines, except Close.
type RealDir struct {
	path string
	// handle is kept open for syncing the directory.
	handle *os.File
	// lock holds the flock; nil in a View.
	lock *os.File
}

// OpenDir opens the directory at path, creating it (but not its parents) if it
// is missing, and locks it. A directory that another process has open gives
// ErrLocked. The caller must call Close.
func OpenDir(path string) (*RealDir, error) {
	made, err := makeDir(path)
	if err != nil {
		return nil, err
	}
	if made {
		if err := syncPath(filepath.Dir(filepath.Clean(path))); err != nil {
			return nil, err
		}
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	handle, err := os.Open(path)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("disk: open directory: %w", err)
	}
	return &RealDir{path: path, handle: handle, lock: lock}, nil
}

// View opens the directory at path for reading only. It takes no lock, so a
// running process may be changing what is read.
func View(path string) (*RealDir, error) {
	handle, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("disk: open directory: %w", err)
	}
	return &RealDir{path: path, handle: handle}, nil
}

// Close releases the directory and its lock. Open files stay usable, but
// nothing keeps another process away from them.
func (d *RealDir) Close() error {
	if d.handle == nil {
		return ErrClosed
	}
	err := d.handle.Close()
	d.handle = nil
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// Path is the path the directory was opened with.
func (d *RealDir) Path() string { return d.path }

// Create implements Dir. Blocks are reserved first, so that a full disk is
// noticed before anything is written, and then written with zeros, so that no
// later write has to change the file's extents.
func (d *RealDir) Create(name string, sizeBytes int64) (File, error) {
	if d.lock == nil {
		return nil, fmt.Errorf("disk: create %s: %w", d.join(name), ErrReadOnly)
	}
	f, err := openFile(d.join(name), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, sizeBytes)
	if err != nil {
		return nil, err
	}
	if err := f.fill(sizeBytes); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Open implements Dir.
func (d *RealDir) Open(name string) (File, error) {
	path := d.join(name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	if d.lock == nil {
		return openFile(path, unix.O_RDONLY, info.Size())
	}
	f, err := openFile(path, unix.O_RDWR, info.Size())
	if err != nil {
		return nil, err
	}
	if err := f.dropCached(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Rename implements Dir.
func (d *RealDir) Rename(from, to string) error {
	if d.lock == nil {
		return fmt.Errorf("disk: rename %s: %w", d.join(from), ErrReadOnly)
	}
	if err := os.Rename(d.join(from), d.join(to)); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

// Remove implements Dir.
func (d *RealDir) Remove(name string) error {
	if d.lock == nil {
		return fmt.Errorf("disk: remove %s: %w", d.join(name), ErrReadOnly)
	}
	if err := os.Remove(d.join(name)); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

// List implements Dir. Directories and the lock file are left out.
func (d *RealDir) List() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("disk: list: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() && e.Name() != lockName {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Sync implements Dir.
func (d *RealDir) Sync() error {
	if d.lock == nil {
		return fmt.Errorf("disk: sync %s: %w", d.path, ErrReadOnly)
	}
	if err := d.handle.Sync(); err != nil {
		return fmt.Errorf("disk: sync directory: %w", err)
	}
	return nil
}

func (d *RealDir) join(name string) string { return filepath.Join(d.path, name) }

// makeDir creates path and reports whether it was missing.
func makeDir(path string) (made bool, err error) {
	err = os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("disk: create directory: %w", err)
	}
	return true, nil
}

// syncPath makes the entries of the directory at path durable.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("disk: open parent directory: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("disk: sync parent directory: %w", err)
	}
	return nil
}

// takeLock locks the lock file of the directory at path and writes our process
// id into it. The lock goes away with the process, whatever way it ends.
func takeLock(path string) (*os.File, error) {
	name := filepath.Join(path, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("disk: open lock file: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := "process unknown"
		text, _ := os.ReadFile(name)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			holder = "process " + strconv.Itoa(pid)
		}
		f.Close()
		return nil, fmt.Errorf("%w: %s (%s)", ErrLocked, path, holder)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("disk: lock %s: %w", name, err)
	}
	// The process id is a courtesy to whoever reads the error; failing to
	// write it does not weaken the lock.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

package history

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Files is where segments are kept, by their numbers.
type Files interface {
	// List returns the numbers that are there, ascending.
	List() ([]uint64, error)
	// Open opens a segment, which is made if it is not there. It belongs to the caller.
	Open(number uint64) (File, error)
	// Remove removes a segment.
	Remove(number uint64) error
}

// File is one segment.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is how long it is, in bytes.
	Size() (int64, error)
	// Sync makes durable what was written.
	Sync() error
}

// segmentSuffix is how the names of segments end.
const segmentSuffix = ".hist"

// directory keeps segments as files.
type directory struct{ path string }

// Directory returns Files in a directory, which is made if it is not there.
func Directory(path string) (Files, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("history: making the directory: %w", err)
	}
	return directory{path}, nil
}

func (d directory) name(number uint64) string {
	return filepath.Join(d.path, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

// List, Open and Remove make it Files.
func (d directory) List() ([]uint64, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	var all []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if number, err := strconv.ParseUint(name, 16, 64); ok && err == nil {
			all = append(all, number)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Open opens a segment.
func (d directory) Open(number uint64) (File, error) {
	f, err := os.OpenFile(d.name(number), os.O_RDWR, 0o600)
	if err == nil {
		return diskFile{f}, nil
	}
	f, err = os.OpenFile(d.name(number), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if err := d.sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return diskFile{f}, nil
}

// sync makes the names of segments durable.
func (d directory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// Remove removes a segment.
func (d directory) Remove(number uint64) error {
	if err := os.Remove(d.name(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// diskFile is a file of the system.
type diskFile struct{ *os.File }

// Size is how long it is.
func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("history: %w", err)
	}
	return info.Size(), nil
}

// memory keeps segments in memory, for tests.
type memory struct {
	mu struct {
		sync.Mutex
		files map[uint64]*memoryFile
	}
}

// Memory returns Files that end with the process.
func Memory() Files {
	m := &memory{}
	m.mu.files = make(map[uint64]*memoryFile)
	return m
}

// List, Open and Remove make it Files.
func (m *memory) List() ([]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]uint64, 0, len(m.mu.files))
	for n := range m.mu.files { // order: sorted below
		all = append(all, n)
	}
	slices.Sort(all)
	return all, nil
}

// Open opens a segment.
func (m *memory) Open(number uint64) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.mu.files[number]
	if f == nil {
		f = &memoryFile{}
		m.mu.files[number] = f
	}
	return f, nil
}

// Remove removes a segment.
func (m *memory) Remove(number uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.files, number)
	return nil
}

// memoryFile is a segment in memory.
type memoryFile struct {
	mu struct {
		sync.Mutex
		b []byte
	}
}

// ReadAt and the others make it a File.
func (f *memoryFile) ReadAt(b []byte, at int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at >= int64(len(f.mu.b)) {
		return 0, io.EOF
	}
	n := copy(b, f.mu.b[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes, and makes the file as long as that takes.
func (f *memoryFile) WriteAt(b []byte, at int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := int(at) + len(b) - len(f.mu.b); k > 0 {
		f.mu.b = append(f.mu.b, make([]byte, k)...)
	}
	return copy(f.mu.b[at:], b), nil
}

// Size is how long it is.
func (f *memoryFile) Size() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.mu.b)), nil
}

// Sync and Close do nothing.
func (f *memoryFile) Sync() error { return nil }

// Close leaves what is in it.
func (f *memoryFile) Close() error { return nil }

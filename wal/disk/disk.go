package disk

import (
	"errors"
	"io/fs"
	"unsafe"
)

// AlignBytes is the unit of the WAL's I/O. Offsets, lengths and buffer
// addresses handed to a File whose size is a multiple of it must be multiples
// of it too, because such a file may be open for direct I/O.
const AlignBytes = 4096

// Errors of every Dir. What does not exist matches fs.ErrNotExist.
var (
	// ErrLocked means that another process has the directory open. Its text
	// names the directory and, if known, the process.
	ErrLocked = errors.New("disk: directory is in use by another process")

	// ErrReadOnly means that a View was asked to change something.
	ErrReadOnly = errors.New("disk: directory is open for reading only")

	// ErrClosed means use of a Dir or File after Close.
	ErrClosed = errors.New("disk: already closed")

	// ErrNotExist is what opening, renaming or removing a missing name matches.
	ErrNotExist = fs.ErrNotExist
)

// Dir is one directory of files. All methods are safe for use by several
// goroutines at once; a File is not.
//
// Create, Rename and Remove change the directory in memory. They survive a
// power cut only once Sync has returned nil; until then each of them may or
// may not be found done.
type Dir interface {
	// Create makes a new file of exactly sizeBytes zero bytes, written out and
	// synced, so that later writes inside it change no metadata. It fails if
	// the name exists. After a failure a part of the file may remain.
	Create(name string, sizeBytes int64) (File, error)
	// Open opens an existing file for reading and writing. What it reads is
	// what the disk holds, not what the page cache hopes.
	Open(name string) (File, error)
	// Rename gives a file another name, replacing what bore it.
	Rename(from, to string) error
	// Remove deletes a name.
	Remove(name string) error
	// List returns the names of all files, sorted.
	List() ([]string, error)
	// Sync makes all changes of names durable.
	Sync() error
}

// File is one file of fixed size. It belongs to one goroutine.
type File interface {
	// WriteAt writes the buffers one after the other, starting at off. The
	// data survives a power cut only after Sync. A short write is an error.
	WriteAt(bufs [][]byte, off int64) error
	// ReadAt fills p from off. It returns io.EOF or io.ErrUnexpectedEOF and
	// the number of bytes read when the file ends before.
	ReadAt(p []byte, off int64) (int, error)
	// Sync makes everything written durable. If it fails, nothing may be
	// assumed about what was written since the last success, and calling it
	// again proves nothing.
	Sync() error
	// Size is the length in bytes.
	Size() (int64, error)
	// Close releases the file without syncing it.
	Close() error
}

// AlignedBuffer returns a zeroed buffer of n bytes whose address is a multiple
// of AlignBytes and whose capacity is n rounded up to one.
func AlignedBuffer(n int) []byte {
	size := RoundUp(n)
	raw := make([]byte, size+AlignBytes)
	skip := 0
	if over := int(uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % AlignBytes); over != 0 {
		skip = AlignBytes - over
	}
	return raw[skip : skip+n : skip+size]
}

// RoundUp returns n rounded up to a multiple of AlignBytes.
func RoundUp(n int) int {
	return (n + AlignBytes - 1) &^ (AlignBytes - 1)
}

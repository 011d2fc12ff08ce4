package disk

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxVector is how many buffers one pwritev takes (IOV_MAX on Linux).
const maxVector = 1024

// realFile is a file of the operating system.
type realFile struct {
	// f owns the descriptor; a bare number would be closed by the collector.
	f *os.File
	// direct says that the page cache is bypassed.
	direct bool
}

// openFile opens path with flags, for direct I/O if its size is a multiple of
// AlignBytes and the file system agrees.
func openFile(path string, flags int, sizeBytes int64) (*realFile, error) {
	flags |= unix.O_CLOEXEC
	if sizeBytes%AlignBytes == 0 {
		f, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600)
		if err == nil {
			return &realFile{f: f, direct: true}, nil
		}
		if !errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("disk: %w", err)
		}
		// Some file systems refuse O_DIRECT only after they have made the file.
		flags &^= unix.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	return &realFile{f: f}, nil
}

// fill reserves sizeBytes, writes them with zeros and syncs.
func (r *realFile) fill(sizeBytes int64) error {
	if sizeBytes == 0 {
		return r.Sync()
	}
	var err error = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(r.f.Fd()), 0, 0, sizeBytes)
	}
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("disk: reserve %d bytes for %s: %w", sizeBytes, r.f.Name(), err)
	}
	zeros := AlignedBuffer(int(min(sizeBytes, zeroStepBytes)))
	vec := [][]byte{zeros}
	for off := int64(0); off < sizeBytes; off += int64(len(vec[0])) {
		vec[0] = zeros[:min(int64(len(zeros)), sizeBytes-off)]
		if err := r.WriteAt(vec, off); err != nil {
			return err
		}
	}
	return r.Sync()
}

// dropCached makes the next reads come from the disk. After a failed sync the
// kernel may keep pages that it never wrote and calls clean; an earlier
// process may have died of just that, and its pages must not be believed.
// Direct reads go past them anyway.
func (r *realFile) dropCached() error {
	if r.direct {
		return nil
	}
	if err := r.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(r.f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("disk: drop cached pages of %s: %w", r.f.Name(), err)
	}
	return nil
}

// WriteAt implements File with one pwritev, or more if the kernel stops short.
func (r *realFile) WriteAt(bufs [][]byte, off int64) error {
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	for written := 0; written < total; {
		n, err := unix.Pwritev(int(r.f.Fd()), remainder(bufs, written), off+int64(written))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("disk: write %d bytes at %d of %s: %w", total, off, r.f.Name(), err)
		}
		if n == 0 || (r.direct && n%AlignBytes != 0) {
			return fmt.Errorf("disk: write %d bytes at %d of %s: got %d: %w",
				total, off, r.f.Name(), written+n, io.ErrShortWrite)
		}
		written += n
	}
	return nil
}

// remainder is bufs without their first skip bytes, cut to what one system
// call takes. It allocates only after a short write.
func remainder(bufs [][]byte, skip int) [][]byte {
	for len(bufs) > 0 && skip >= len(bufs[0]) {
		skip -= len(bufs[0])
		bufs = bufs[1:]
	}
	if len(bufs) > maxVector {
		bufs = bufs[:maxVector]
	}
	if skip == 0 {
		return bufs
	}
	rest := make([][]byte, len(bufs))
	copy(rest, bufs)
	rest[0] = rest[0][skip:]
	return rest
}

// ReadAt implements File.
func (r *realFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.f.ReadAt(p, off)
	if err == io.EOF && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		err = fmt.Errorf("disk: %w", err)
	}
	return n, err
}

// Sync implements File. The size never changes after Create, which syncs all
// of it once, so data alone is enough.
func (r *realFile) Sync() error {
	for {
		err := unix.Fdatasync(int(r.f.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("disk: sync %s: %w", r.f.Name(), err)
		}
		return nil
	}
}

// Size implements File.
func (r *realFile) Size() (int64, error) {
	info, err := r.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("disk: %w", err)
	}
	return info.Size(), nil
}

// Close implements File.
func (r *realFile) Close() error {
	if err := r.f.Close(); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

package disk

import (
	"errors"
	"fmt"
	"io"
)

// tempSuffix marks a small file that is being written. One that is found after
// a crash means nothing and is replaced by the next write.
const tempSuffix = ".new"

// WriteFileAtomic stores data under name, so that a crash at any moment leaves
// either the old content or the new one, whole, and after return the new one.
// It is meant for files of a few KiB that change rarely.
func WriteFileAtomic(dir Dir, name string, data []byte) error {
	temp := name + tempSuffix
	if err := dir.Remove(temp); err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	f, err := dir.Create(temp, int64(len(data)))
	if err != nil {
		return err
	}
	if err := fillFile(f, data); err != nil {
		return errors.Join(fmt.Errorf("disk: write %s: %w", temp, err), f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := dir.Rename(temp, name); err != nil {
		return err
	}
	return dir.Sync()
}

// fillFile writes data at the start of f and syncs it.
func fillFile(f File, data []byte) error {
	if len(data) > 0 {
		buf := AlignedBuffer(len(data))
		copy(buf, data)
		if err := f.WriteAt([][]byte{buf}, 0); err != nil {
			return err
		}
	}
	return f.Sync()
}

// ReadFile returns the whole content of name. A missing file gives an error
// that matches ErrNotExist.
func ReadFile(dir Dir, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("disk: read %s: %w", name, err), f.Close())
	}
	return data, f.Close()
}

// readAll reads a whole file.
func readAll(f File) ([]byte, error) {
	size, err := f.Size()
	if err != nil || size == 0 {
		return nil, err
	}
	buf := AlignedBuffer(int(size))
	n, err := f.ReadAt(buf, 0)
	if err == nil && n != len(buf) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return buf, nil
}

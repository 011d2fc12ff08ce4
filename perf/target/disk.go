package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"lockd/perf/launch"
)

const (
	diskFileBytes = 8 << 20
	// diskRecordBytes is about what a service writes for one request.
	diskRecordBytes = 128
	// diskSectorBytes is what a write begins and ends at.
	diskSectorBytes = 512
)

// disk takes no lock: each half of a pair is one record that is written and
// synced, together with all that wait at that moment. It is the most that any
// service can do which syncs before it answers. With several writers each has a
// file of its own, all get every record, and a majority must have synced it.
type disk struct {
	writers []*diskWriter
	running sync.WaitGroup
}

func openDisk(_ context.Context, c *launch.Cluster) (Locker, error) { return newDisk(c.Dir, 1) }

func openDiskOfThree(_ context.Context, c *launch.Cluster) (Locker, error) {
	return newDisk(c.Dir, 3)
}

func newDisk(dir string, writers int) (Locker, error) {
	d := &disk{}
	for range writers {
		w, err := newDiskWriter(dir)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.writers = append(d.writers, w)
		d.start(w)
	}
	return d, nil
}

// diskWriter appends records to a file that was written with zeros before.
type diskWriter struct {
	file *os.File
	at   int64
	mu   struct {
		sync.Mutex
		waiting []chan<- error
		closed  error
		// wake tells the writer that somebody waits or that it is over.
		wake *sync.Cond
	}
}

func newDiskWriter(dir string) (*diskWriter, error) {
	file, err := os.CreateTemp(dir, "records-*")
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	_, err = file.Write(make([]byte, diskFileBytes))
	if err = errors.Join(err, file.Sync()); err != nil {
		return nil, errors.Join(fmt.Errorf("target: %w", err), file.Close())
	}
	w := &diskWriter{file: file}
	w.mu.wake = sync.NewCond(&w.mu)
	return w, nil
}

// append asks for a record; done gets the result. Requires: done has room.
func (w *diskWriter) append(done chan<- error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed != nil {
		done <- w.mu.closed
		return
	}
	w.mu.waiting = append(w.mu.waiting, done)
	w.mu.wake.Signal()
}

// take waits for records that are asked for and leaves an empty list.
func (w *diskWriter) take(empty []chan<- error) (full []chan<- error, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.mu.waiting) == 0 && w.mu.closed == nil {
		w.mu.wake.Wait()
	}
	full = w.mu.waiting
	w.mu.waiting = empty[:0]
	return full, w.mu.closed == nil
}

// write makes n records durable.
func (w *diskWriter) write(buffer []byte, n int) ([]byte, error) {
	size := (n*diskRecordBytes + diskSectorBytes - 1) / diskSectorBytes * diskSectorBytes
	if size > len(buffer) {
		buffer = make([]byte, size)
	}
	if w.at+int64(size) > diskFileBytes {
		w.at = 0
	}
	if _, err := w.file.WriteAt(buffer[:size], w.at); err != nil {
		return buffer, fmt.Errorf("target: %w", err)
	}
	w.at += int64(size)
	if err := syscall.Fdatasync(int(w.file.Fd())); err != nil {
		return buffer, fmt.Errorf("target: sync %s: %w", filepath.Base(w.file.Name()), err)
	}
	return buffer, nil
}

// stop ends the writer; what waits gets an error.
func (w *diskWriter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.closed = errDiskClosed
	w.mu.wake.Signal()
}

var errDiskClosed = errors.New("target: files closed")

func (d *disk) Lock(context.Context, string) (Hold, error) { return d, d.record() }

// Unlock implements Hold.
func (d *disk) Unlock(context.Context) error { return d.record() }

// record makes one record durable with a majority of the writers.
func (d *disk) record() error {
	done := make(chan error, len(d.writers))
	for _, w := range d.writers {
		w.append(done)
	}
	for range len(d.writers)/2 + 1 {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

// Close ends the writers and removes their files.
func (d *disk) Close() error {
	for _, w := range d.writers {
		w.stop()
	}
	d.running.Wait()
	var errs []error
	for _, w := range d.writers {
		errs = append(errs, w.file.Close(), os.Remove(w.file.Name()))
	}
	return errors.Join(errs...)
}

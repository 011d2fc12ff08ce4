package measure

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	syncRecordBytes = 512
	syncFileBytes   = 4 << 20
	syncSpan        = 400 * time.Millisecond
)

// syncLatency is the median time of writing 512 bytes into a zero-written file
// and making them durable with fdatasync, with some writers at once, each with
// a file of its own.
func syncLatency(dir string, writers int) (time.Duration, error) {
	recorder := NewRecorder()
	errs := make([]error, writers)
	var group sync.WaitGroup
	for i := range writers {
		startWriter(&group, func() { errs[i] = syncFor(dir, recorder, i) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("measure: sync latency in %s: %w", dir, err)
	}
	return recorder.Latency().P50, nil
}

// syncFor writes and syncs one file over and over for syncSpan.
func syncFor(dir string, recorder *Recorder, writer int) (err error) {
	f, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err = f.Write(make([]byte, syncFileBytes)); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	record := make([]byte, syncRecordBytes)
	end := time.Now().Add(syncSpan)
	for at := int64(0); time.Now().Before(end); at += syncRecordBytes {
		began := time.Now()
		if _, err = f.WriteAt(record, at%(syncFileBytes-syncRecordBytes)); err != nil {
			return err
		}
		if err = syscall.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		recorder.Record(writer, time.Since(began))
	}
	return nil
}

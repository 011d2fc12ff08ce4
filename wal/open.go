package wal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lockd/wal/disk"
)

// Open reads the log in dir, hands every record to replay in LSN order, and
// returns a Writer that continues it. A directory without a log gets one. The
// Record's Data is valid during the call of replay only; an error of replay
// ends Open.
//
// A torn end is cut: those records were never durable. What replay was given
// is durable when Open returns, and marked as such on disk. Damage gives
// ErrCorrupt, a newer format ErrVersion, another disk's log ErrStamp; in these
// cases nothing was written.
func Open(dir disk.Dir, opts Options, replay func(LSN, Record) error) (*Writer, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Writer{opts: opts}
	w.back.dir = dir
	w.back.sums = newSums(opts.Stamp)
	if err := w.recover(replay); err != nil {
		for _, f := range w.back.files {
			f.file.Close()
		}
		return nil, err
	}
	return w, nil
}

// recover does the steps of Open.
func (w *Writer) recover(replay func(LSN, Record) error) error {
	// A process that died without a power cut leaves names and data that are
	// visible but not durable. They must be both before we build on them.
	if err := w.back.dir.Sync(); err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	l, err := list(w.back.dir)
	if err != nil {
		return err
	}
	if len(l.segments) == 0 {
		if err := w.create(); err != nil {
			return err
		}
		l.segments = []uint64{1}
	}
	r := recovery{writer: w, replay: replay}
	if err := r.run(l.segments); err != nil {
		return err
	}
	if err := w.adoptSpares(l.spares); err != nil {
		return err
	}
	made, err := w.recycle(&job{oldest: w.front.oldest, keep: w.opts.Spares - len(w.front.spares)})
	if err != nil {
		return err
	}
	w.front.spares = append(w.front.spares, made...)
	w.newBatch()
	return w.Seal()
}

// create makes the first segment of a log.
func (w *Writer) create() error {
	spare := freshPrefix + "0" + spareSuffix
	if err := w.back.dir.Remove(spare); err != nil && !isNotExist(err) {
		return fmt.Errorf("wal: first segment: %w", err)
	}
	file, err := w.back.dir.Create(spare, w.opts.SegmentBytes)
	if err != nil {
		return fmt.Errorf("wal: first segment: %w", err)
	}
	err = nameSegment(w.back.dir, file, spare, segmentHeader{
		number: 1,
		stamp:  w.opts.Stamp,
		size:   w.opts.SegmentBytes,
		first:  1,
		oldest: 1,
	})
	if e := file.Close(); err == nil && e != nil {
		err = fmt.Errorf("wal: first segment: %w", e)
	}
	return err
}

// adoptSpares keeps the spares that fit and removes the others: a crash inside
// Create leaves one too short, a change of options one too many.
func (w *Writer) adoptSpares(names []string) error {
	for _, name := range names {
		if number, ok := parseFreshName(name); ok {
			w.front.fresh = max(w.front.fresh, number)
		}
		fits, err := w.spareFits(name)
		switch {
		case isNotExist(err):
			continue
		case err != nil:
			return fmt.Errorf("wal: spare segment: %w", err)
		case fits && len(w.front.spares) < w.opts.Spares:
			w.front.spares = append(w.front.spares, name)
		default:
			if err := w.back.dir.Remove(name); err != nil {
				return fmt.Errorf("wal: spare segment: %w", err)
			}
		}
	}
	return nil
}

// spareFits reports whether a spare has the size of a segment.
func (w *Writer) spareFits(name string) (bool, error) {
	file, err := w.back.dir.Open(name)
	if err != nil {
		return false, err
	}
	size, err := file.Size()
	if e := file.Close(); err == nil {
		err = e
	}
	return size == w.opts.SegmentBytes, err
}

// parseFreshName returns the number in the name of a spare that was made.
func parseFreshName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(name, spareSuffix), freshPrefix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}

// isNotExist reports whether err says that a name does not exist.
func isNotExist(err error) bool { return errors.Is(err, disk.ErrNotExist) }

package wal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockd/wal/disk"
)

// Names of the files of a log. Whatever else lies in the directory is left
// alone.
const (
	segmentSuffix = ".wal"
	spareSuffix   = ".spare"
	freshPrefix   = "fresh-"
)

// segmentName is the file of a segment in use.
func segmentName(number uint64) string {
	return fmt.Sprintf("%016x%s", number, segmentSuffix)
}

// spareName is the file of a segment that is not in use any more.
func spareName(number uint64) string {
	return fmt.Sprintf("%016x%s", number, spareSuffix)
}

// freshName is a name for a spare that has never been a segment.
func (w *Writer) freshName() string {
	w.front.fresh++
	return freshPrefix + strconv.FormatUint(w.front.fresh, 10) + spareSuffix
}

// parseSegmentName returns the number in the name of a segment in use.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && segmentName(number) == name
}

// listing is what a directory holds of a log.
type listing struct {
	// segments are the numbers in use, rising.
	segments []uint64
	spares   []string
}

// list reads the directory.
func list(dir disk.Dir) (listing, error) {
	names, err := dir.List()
	if err != nil {
		return listing{}, fmt.Errorf("wal: %w", err)
	}
	var l listing
	for _, name := range names {
		if number, ok := parseSegmentName(name); ok {
			l.segments = append(l.segments, number)
		} else if strings.HasSuffix(name, spareSuffix) {
			l.spares = append(l.spares, name)
		}
	}
	slices.Sort(l.segments)
	return l, nil
}

// rotate makes the segment of a job and appends it to the open ones. All that
// the current one holds is synced, since a flush ends with a sync. The header
// is synced before the file gets its name, and the name before anything is
// written behind the header.
func (w *Writer) rotate(j *job) error {
	file, err := w.openSpare(j)
	if err != nil {
		return fmt.Errorf("wal: new segment %d: %w", j.segment, err)
	}
	err = nameSegment(w.back.dir, file, j.spare, segmentHeader{
		number: j.segment,
		stamp:  w.opts.Stamp,
		size:   j.size,
		first:  j.batch.first,
		oldest: j.oldest,
	})
	if err != nil {
		return errors.Join(err, file.Close())
	}
	w.back.files = append(w.back.files, segmentFile{
		number: j.segment,
		size:   j.size,
		first:  j.batch.first,
		file:   file,
	})
	return nil
}

// openSpare opens or makes the file of a job.
func (w *Writer) openSpare(j *job) (disk.File, error) {
	if j.rotation == rotateSpare {
		return w.back.dir.Open(j.spare)
	}
	return w.back.dir.Create(j.spare, j.size)
}

// nameSegment turns the spare into the segment that h describes.
func nameSegment(dir disk.Dir, file disk.File, spare string, h segmentHeader) error {
	chunk := disk.AlignedBuffer(chunkBytes)
	appendSegmentHeader(chunk[:0], h)
	if err := file.WriteAt([][]byte{chunk}, 0); err != nil {
		return fmt.Errorf("wal: write header of segment %d: %w", h.number, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("wal: sync header of segment %d: %w", h.number, err)
	}
	if err := dir.Rename(spare, segmentName(h.number)); err != nil {
		return fmt.Errorf("wal: name segment %d: %w", h.number, err)
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("wal: sync name of segment %d: %w", h.number, err)
	}
	return nil
}

// recycle takes the segments that a finished job calls not needed out of use.
// It returns the names of those that became spares. Each change of a name is
// durable before the next is made, so that the numbers in use have no gap.
func (w *Writer) recycle(j *job) ([]string, error) {
	if w.back.files[0].number >= j.oldest {
		return nil, nil
	}
	defer w.waited(w.wait())
	var made []string
	for w.back.files[0].number < j.oldest {
		w.wait() // each is a wait of its own: the disk moves between them
		old := w.back.files[0]
		w.back.files = append(w.back.files[:0], w.back.files[1:]...)
		if err := old.file.Close(); err != nil {
			return made, fmt.Errorf("wal: close segment %d: %w", old.number, err)
		}
		name, spare := segmentName(old.number), spareName(old.number)
		var err error
		if old.size == w.opts.SegmentBytes && len(made) < j.keep {
			err = w.back.dir.Rename(name, spare)
			made = append(made, spare)
		} else {
			err = w.back.dir.Remove(name)
		}
		if err != nil {
			return nil, fmt.Errorf("wal: recycle segment %d: %w", old.number, err)
		}
		if err := w.back.dir.Sync(); err != nil {
			return nil, fmt.Errorf("wal: recycle segment %d: %w", old.number, err)
		}
	}
	return made, nil
}

// NeedsSpare reports whether Prepare would make a file.
func (w *Writer) NeedsSpare() bool {
	n := len(w.front.spares)
	return w.front.failed == nil && n < w.opts.Spares &&
		w.segments()+n < w.opts.MaxSegments
}

// Prepare makes one spare segment if there are fewer than wanted. It writes a
// whole segment of zeros, so it belongs off the hot path. An error (a full
// disk, say) is not final: nothing that was appended depends on the spare, and
// Room says how far the log still reaches.
func (w *Writer) Prepare() error {
	if !w.NeedsSpare() {
		return nil
	}
	name := w.freshName()
	if err := makeSpare(w.back.dir, name, w.opts.SegmentBytes); err != nil {
		return err
	}
	w.front.spares = append(w.front.spares, name)
	return nil
}

// makeSpare creates a spare, or leaves nothing behind.
func makeSpare(dir disk.Dir, name string, sizeBytes int64) error {
	file, err := dir.Create(name, sizeBytes)
	if err != nil {
		err = fmt.Errorf("wal: prepare segment: %w", err)
		if e := dir.Remove(name); e != nil && !errors.Is(e, disk.ErrNotExist) {
			return errors.Join(err, e)
		}
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("wal: prepare segment: %w", err)
	}
	return nil
}

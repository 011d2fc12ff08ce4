package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lockd/wal/disk"
)

// ItemKind says what Inspect found.
type ItemKind uint8

const (
	// ItemSegment is the header of a segment.
	ItemSegment ItemKind = iota + 1
	// ItemBatch is the header of a whole batch; a seal if Count is zero.
	ItemBatch
	// ItemRecord is a record of the batch before it.
	ItemRecord
	// ItemTorn is the end of the last segment: a batch that is not whole and
	// that nothing later proves to have been synced.
	ItemTorn
	// ItemDamage is what Open would refuse with ErrCorrupt, ErrVersion or
	// ErrStamp.
	ItemDamage
	// ItemSpare is a file that waits to become a segment.
	ItemSpare
)

// Item is one thing that Inspect found. Which fields count is said by Kind.
type Item struct {
	Kind ItemKind
	// File and Offset, in bytes, are the place. For a record it is the place of
	// its batch.
	File   string
	Offset int64
	// Segment is the number of the segment.
	Segment uint64
	// First is the LSN of the first record of a segment or batch, or the LSN
	// of a record, or the first LSN lost by damage.
	First LSN
	// Count is the number of records in a batch.
	Count int
	// Durable is what a batch says was synced when it was written.
	Durable LSN
	// Copied says that a record was copied forward.
	Copied bool
	// Record is a record. Its Data is valid during the call only.
	Record Record
	// Err says what is damaged.
	Err error
}

// String is a line of lockd dump.
func (i Item) String() string {
	switch i.Kind {
	case ItemSegment:
		return fmt.Sprintf("segment %d  %s  from LSN %d", i.Segment, i.File, i.First)
	case ItemBatch:
		if i.Count == 0 {
			return fmt.Sprintf("  seal at %d  durable %d", i.Offset, i.Durable)
		}
		return fmt.Sprintf("  batch at %d  LSN %d to %d  durable %d",
			i.Offset, i.First, i.First+LSN(i.Count)-1, i.Durable)
	case ItemRecord:
		copied := ""
		if i.Copied {
			copied = "  copied"
		}
		return fmt.Sprintf("    %d  %v  group %d  slot %d  %d bytes%s", i.First,
			i.Record.Kind, i.Record.Group, i.Record.Slot, len(i.Record.Data), copied)
	case ItemTorn:
		return fmt.Sprintf("  end at %d  next LSN %d", i.Offset, i.First)
	case ItemDamage:
		return fmt.Sprintf("  DAMAGE at %d of %s: %v", i.Offset, i.File, i.Err)
	case ItemSpare:
		return fmt.Sprintf("spare  %s", i.File)
	default:
		return fmt.Sprintf("item(%d)", uint8(i.Kind))
	}
}

// Inspect walks over a log without changing it and calls fn for each thing it
// finds, in the order of the log. It goes on behind damage where the next
// segment gives it a footing, and takes the stamp from the first segment, so
// that it needs no key. Its error is that of fn or of reading the directory;
// damage is not an error but an Item. A log that is being written may look
// damaged.
func Inspect(dir disk.Dir, fn func(Item) error) error {
	l, err := list(dir)
	if err != nil {
		return err
	}
	in := inspector{dir: dir, fn: fn, numbers: l.segments}
	for i := range l.segments {
		if err := in.segment(i); err != nil {
			return err
		}
	}
	for _, name := range l.spares {
		if err := fn(Item{Kind: ItemSpare, File: name}); err != nil {
			return err
		}
	}
	return nil
}

// inspector is the state of one Inspect.
type inspector struct {
	dir     disk.Dir
	fn      func(Item) error
	numbers []uint64
	// sums is nil until a segment header has told the stamp.
	sums  *sums
	stamp uint64
}

// segment walks over the i-th segment.
func (in *inspector) segment(i int) error {
	number := in.numbers[i]
	if i > 0 && in.numbers[i-1]+1 != number {
		name := segmentName(in.numbers[i-1] + 1)
		err := fmt.Errorf("%w: segment %s is missing", ErrCorrupt, name)
		if err := in.fn(Item{Kind: ItemDamage, File: name, Err: err}); err != nil {
			return err
		}
	}
	if in.sums == nil {
		in.stamp = in.readStamp(number)
		in.sums = newSums(in.stamp)
	}
	r, err := openSegment(in.dir, number, in.sums, in.stamp)
	if err != nil {
		return in.fn(Item{Kind: ItemDamage, File: segmentName(number), Segment: number, Err: err})
	}
	defer r.file.Close()
	err = in.fn(Item{Kind: ItemSegment, File: r.name, Segment: number, First: r.header.first})
	if err != nil {
		return err
	}
	next := uint64(0)
	if i < len(in.numbers)-1 {
		next = number + 1
	}
	return in.batches(r, next)
}

// readStamp returns the stamp in the header of a segment, zero if it cannot be
// read; the header is checked by openSegment.
func (in *inspector) readStamp(number uint64) uint64 {
	file, err := in.dir.Open(segmentName(number))
	if err != nil {
		return 0
	}
	defer file.Close()
	b := disk.AlignedBuffer(chunkBytes)
	if _, err := file.ReadAt(b, 0); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[24:])
}

// batches walks over the batches of a segment. The number of the segment after
// it is zero if there is none.
func (in *inspector) batches(r *segmentReader, after uint64) error {
	next := r.header.first
	for off := int64(chunkBytes); ; {
		h, records, bad, f, err := r.batch(off, next)
		if err != nil {
			return err
		}
		if f != faultNone {
			return in.end(r, off, next, bad, f, after)
		}
		err = in.fn(Item{Kind: ItemBatch, File: r.name, Offset: off, Segment: h.segment,
			First: h.first, Count: int(h.count), Durable: h.durable})
		if err != nil {
			return err
		}
		for rest := records; len(rest) > 0; next++ {
			record, flags, size, _ := parseRecord(rest)
			err := in.fn(Item{Kind: ItemRecord, File: r.name, Offset: off, Segment: h.segment,
				First: next, Copied: flags&flagCopy != 0, Record: record})
			if err != nil {
				return err
			}
			rest = rest[size:]
		}
		off += h.extent()
	}
}

// end reports what stops the walk: the end of the segment, a torn batch, or
// damage.
func (in *inspector) end(
	r *segmentReader, off int64, next LSN, bad int, f fault, after uint64,
) error {
	item := Item{Kind: ItemTorn, File: r.name, Offset: off, Segment: r.header.number, First: next}
	from := off
	if f == faultRecord {
		h, _, err := r.batchHeader(off)
		if err != nil {
			return err
		}
		from += h.extent()
	}
	at, found, err := r.laterBatch(from, next)
	if err != nil {
		return err
	}
	short := false
	if after != 0 {
		short, err = in.endsBefore(after, next)
		if err != nil {
			return err
		}
	}
	switch {
	case found:
		item.Err = fmt.Errorf("%w: %s at LSN %d, but a later batch at %d",
			ErrCorrupt, f, next+LSN(bad), at)
	case short:
		item.Err = fmt.Errorf("%w: %s at LSN %d, but the next segment begins later",
			ErrCorrupt, f, next+LSN(bad))
	case after != 0:
		return nil
	}
	if item.Err != nil {
		item.Kind = ItemDamage
	}
	return in.fn(item)
}

// endsBefore reports whether the segment of that number begins after next,
// which is where the one before it ends.
func (in *inspector) endsBefore(number uint64, next LSN) (bool, error) {
	r, err := openSegment(in.dir, number, in.sums, in.stamp)
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) ||
		errors.Is(err, ErrStamp) || isNotExist(err) {
		return false, nil // reported when its turn comes
	}
	if err != nil {
		return false, err
	}
	return r.header.first != next, r.file.Close()
}

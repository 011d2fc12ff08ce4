package wal

import (
	"errors"
	"fmt"
	"io"

	"lockd/wal/disk"
)

// readAheadBytes is how much of a segment is read at a time, at least.
const readAheadBytes = 256 << 10

// segmentReader reads one segment front to back. It never writes. It belongs
// to one goroutine.
type segmentReader struct {
	file   disk.File
	name   string
	header segmentHeader
	sums   *sums
	// window is what was read last, from offset windowAt.
	window   []byte
	windowAt int64
	buf      []byte
}

// openSegment opens the segment file of that number and checks its header
// against its name, its size and the stamp.
func openSegment(dir disk.Dir, number uint64, s *sums, stamp uint64) (*segmentReader, error) {
	name := segmentName(number)
	file, err := dir.Open(name)
	if err != nil {
		return nil, fmt.Errorf("wal: open segment: %w", err)
	}
	r := &segmentReader{file: file, name: name, sums: s}
	if err := r.readHeader(number, stamp); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// readHeader fills r.header. A segment gets its name only after its header is
// synced, so that any fault in it is damage.
func (r *segmentReader) readHeader(number, stamp uint64) error {
	size, err := r.file.Size()
	if err != nil {
		return err
	}
	if size < chunkBytes {
		return fmt.Errorf("%w: segment %s has %d bytes, less than its header",
			ErrCorrupt, r.name, size)
	}
	r.header.size = chunkBytes
	b, err := r.read(0, chunkBytes)
	if err != nil {
		return err
	}
	h, err := decodeSegmentHeader(b)
	if err != nil {
		return fmt.Errorf("segment %s: %w", r.name, err)
	}
	if h.number != number {
		return fmt.Errorf("%w: segment %s says it is number %d", ErrCorrupt, r.name, h.number)
	}
	if h.stamp != stamp {
		return fmt.Errorf("%w: segment %s says %016x, this disk is %016x",
			ErrStamp, r.name, h.stamp, stamp)
	}
	if h.size != size || h.size%chunkBytes != 0 {
		return fmt.Errorf("%w: segment %s has %d bytes, was made with %d",
			ErrCorrupt, r.name, size, h.size)
	}
	r.header, r.window = h, nil
	return nil
}

// read returns n bytes from off, both multiples of chunkBytes and inside the
// segment. The bytes are valid until the next read.
func (r *segmentReader) read(off int64, n int) ([]byte, error) {
	if off >= r.windowAt && off+int64(n) <= r.windowAt+int64(len(r.window)) {
		at := off - r.windowAt
		return r.window[at : at+int64(n)], nil
	}
	want := int(min(int64(max(n, readAheadBytes)), r.header.size-off))
	if cap(r.buf) < want {
		r.buf = disk.AlignedBuffer(want)
	}
	r.window, r.windowAt = nil, off
	b := r.buf[:want]
	if got, err := r.file.ReadAt(b, off); err != nil && !(err == io.EOF && got == want) {
		return nil, fmt.Errorf("wal: read segment %s at %d: %w", r.name, off, err)
	}
	r.window = b
	return b[:n], nil
}

// fault says why there is no good batch at an offset; empty if there is one.
type fault string

const (
	faultNone    fault = ""
	faultEnd     fault = "end of segment"
	faultEmpty   fault = "no batch header"
	faultSegment fault = "batch of another segment"
	faultPlace   fault = "batch of another place"
	faultOrder   fault = "batch of another position in the log"
	faultRecord  fault = "damaged record"
)

// batchHeader decodes the batch header at off and checks that it was written for
// this very place.
func (r *segmentReader) batchHeader(off int64) (batchHeader, fault, error) {
	if off+chunkBytes > r.header.size {
		return batchHeader{}, faultEnd, nil
	}
	b, err := r.read(off, chunkBytes)
	if err != nil {
		return batchHeader{}, faultNone, err
	}
	h, ok := decodeBatchHeader(b, r.sums)
	switch {
	case !ok:
		return h, faultEmpty, nil
	case h.segment != r.header.number:
		return h, faultSegment, nil
	case int64(h.chunk)*chunkBytes != off || h.extent() > r.header.size-off:
		return h, faultPlace, nil
	default:
		return h, faultNone, nil
	}
}

// batch reads the batch at off, whose first record must be next, and verifies
// all of it: a batch counts whole or not at all. With faultRecord the header
// is good and bad is the place of the first bad record in the batch.
func (r *segmentReader) batch(off int64, next LSN) (
	h batchHeader, records []byte, bad int, f fault, err error,
) {
	h, f, err = r.batchHeader(off)
	if err != nil || f != faultNone {
		return h, nil, 0, f, err
	}
	if h.first != next {
		return h, nil, 0, faultOrder, nil
	}
	b, err := r.read(off, int(h.extent()))
	if err != nil {
		return h, nil, 0, faultNone, err
	}
	records = b[batchHeaderBytes : batchHeaderBytes+int(h.bytes)]
	if bad = checkRecords(records, r.sums, &h); bad >= 0 {
		return h, records, bad, faultRecord, nil
	}
	return h, records, 0, faultNone, nil
}

// laterBatch looks from off to the end of the segment for a batch header that
// proves a batch at next to have been synced: the Writer has one unsynced
// batch at a time, so a header that calls next durable, or that continues the
// log at or after next, was written when all before it was synced.
func (r *segmentReader) laterBatch(off int64, next LSN) (at int64, found bool, err error) {
	for ; off+chunkBytes <= r.header.size; off += chunkBytes {
		h, f, err := r.batchHeader(off)
		if err != nil {
			return 0, false, err
		}
		if f == faultNone && (h.durable >= next || h.first >= next) {
			return off, true, nil
		}
	}
	return 0, false, nil
}

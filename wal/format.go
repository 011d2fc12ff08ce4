package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"lockd/wal/disk"
)

// formatVersion is what this package writes and the newest it reads.
const formatVersion = 1

// chunkBytes is the unit of writing: segment headers and batches start at
// multiples of it.
const chunkBytes = disk.AlignBytes

const (
	// segmentMagic opens every segment file, in every version.
	segmentMagic = "LKDWAL\r\n"
	// batchMagic opens every batch. It is not zero, so that a preallocated
	// chunk reads as the end of the log.
	batchMagic = 0x4842444c // "LDBH"
)

const (
	// batchHeaderBytes = magic 4 + checksum 4 + segment 8 + first LSN 8 +
	// durable 8 + oldest 8 + chunk 4 + count 4 + bytes 4 + reserved 12.
	batchHeaderBytes = 64
	// recordHeaderBytes = length 4 + checksum 4 + kind 1 + flags 1 + group 2 +
	// reserved 4 + slot 8.
	recordHeaderBytes = 24
	// recordAlign is what the start of a record in a batch is a multiple of.
	recordAlign = 8
)

// flagCopy marks a record that was appended to save it from removal.
const flagCopy = 1

// castagnoli is the polynomial that processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sums computes the checksums of one log. It belongs to one goroutine.
type sums struct {
	// seed starts every checksum but that of the segment header, so that a
	// file of another disk has no valid chunk in it.
	seed uint32
	// place is scratch; on the stack it would be allocated per record.
	place [16]byte
}

// newSums returns the checksums of the log with this stamp.
func newSums(stamp uint64) *sums {
	s := &sums{}
	binary.LittleEndian.PutUint64(s.place[:], stamp)
	s.seed = crc32.Checksum(s.place[:8], castagnoli)
	return s
}

// header is the checksum of the batch header at the start of b.
func (s *sums) header(b []byte) uint32 {
	return crc32.Update(s.seed, castagnoli, b[8:batchHeaderBytes])
}

// record is the checksum of the record at the start of b, with n bytes of data,
// at its place in the log.
func (s *sums) record(b []byte, n int, segment uint64, lsn LSN) uint32 {
	binary.LittleEndian.PutUint64(s.place[0:], segment)
	binary.LittleEndian.PutUint64(s.place[8:], uint64(lsn))
	sum := crc32.Update(s.seed, castagnoli, s.place[:])
	sum = crc32.Update(sum, castagnoli, b[0:4])
	return crc32.Update(sum, castagnoli, b[8:recordHeaderBytes+n])
}

// segmentHeader is the first chunk of a segment.
type segmentHeader struct {
	number uint64
	stamp  uint64
	size   int64
	// first is the LSN of the segment's first record. All before it were
	// synced before the segment was made.
	first LSN
	// oldest is the number of the oldest segment in use at that time.
	oldest uint64
}

// appendSegmentHeader appends the encoded header to dst.
func appendSegmentHeader(dst []byte, h segmentHeader) []byte {
	at := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, formatVersion)
	dst = append(dst, make([]byte, 6)...)
	dst = binary.LittleEndian.AppendUint64(dst, h.number)
	dst = binary.LittleEndian.AppendUint64(dst, h.stamp)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.size))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.first))
	dst = binary.LittleEndian.AppendUint64(dst, h.oldest)
	dst = append(dst, make([]byte, 4)...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

// decodeSegmentHeader decodes the start of a segment file. Magic, version and
// checksum keep their places in every version, so that a newer file is told
// from a damaged one.
func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	if string(b[:8]) != segmentMagic {
		return segmentHeader{}, fmt.Errorf("%w: segment magic is %q, want %q",
			ErrCorrupt, b[:8], segmentMagic)
	}
	got := crc32.Checksum(b[:60], castagnoli)
	if want := binary.LittleEndian.Uint32(b[60:]); got != want {
		return segmentHeader{}, fmt.Errorf("%w: segment header sums to %08x, says %08x",
			ErrCorrupt, got, want)
	}
	version := binary.LittleEndian.Uint16(b[8:])
	if version > formatVersion {
		return segmentHeader{}, fmt.Errorf("%w: version %d, this binary reads up to %d",
			ErrVersion, version, formatVersion)
	}
	if version == 0 {
		return segmentHeader{}, fmt.Errorf("%w: segment has version 0", ErrCorrupt)
	}
	return segmentHeader{
		number: binary.LittleEndian.Uint64(b[16:]),
		stamp:  binary.LittleEndian.Uint64(b[24:]),
		size:   int64(binary.LittleEndian.Uint64(b[32:])),
		first:  LSN(binary.LittleEndian.Uint64(b[40:])),
		oldest: binary.LittleEndian.Uint64(b[48:]),
	}, nil
}

// batchHeader is the start of each batch.
type batchHeader struct {
	segment uint64
	first   LSN
	// durable is the last LSN synced when the batch was written.
	durable LSN
	// oldest is the number of the oldest segment that was still needed.
	oldest uint64
	// chunk is where the batch stands, in chunks from the segment's start.
	chunk uint32
	count uint32
	// bytes is the length of the records, without this header and padding.
	bytes uint32
}

// extent is the length of the whole batch in the file.
func (h *batchHeader) extent() int64 {
	return int64(disk.RoundUp(batchHeaderBytes + int(h.bytes)))
}

// putBatchHeader encodes h into the first bytes of b.
func putBatchHeader(b []byte, s *sums, h *batchHeader) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], batchMagic)
	le.PutUint64(b[8:], h.segment)
	le.PutUint64(b[16:], uint64(h.first))
	le.PutUint64(b[24:], uint64(h.durable))
	le.PutUint64(b[32:], h.oldest)
	le.PutUint32(b[40:], h.chunk)
	le.PutUint32(b[44:], h.count)
	le.PutUint32(b[48:], h.bytes)
	clear(b[52:batchHeaderBytes])
	le.PutUint32(b[4:], s.header(b))
}

// decodeBatchHeader decodes the first bytes of a chunk. It reports false for
// anything that is not a whole header, without saying why: zeros, a batch of
// an earlier life of the file and damage look the same from here.
func decodeBatchHeader(b []byte, s *sums) (batchHeader, bool) {
	le := binary.LittleEndian
	if le.Uint32(b) != batchMagic || le.Uint32(b[4:]) != s.header(b) {
		return batchHeader{}, false
	}
	return batchHeader{
		segment: le.Uint64(b[8:]),
		first:   LSN(le.Uint64(b[16:])),
		durable: LSN(le.Uint64(b[24:])),
		oldest:  le.Uint64(b[32:]),
		chunk:   le.Uint32(b[40:]),
		count:   le.Uint32(b[44:]),
		bytes:   le.Uint32(b[48:]),
	}, true
}

// recordBytes is how much room a record with n bytes of data takes.
func recordBytes(n int) int {
	return (recordHeaderBytes + n + recordAlign - 1) &^ (recordAlign - 1)
}

// appendRecord appends r to dst, which has room for it and starts at an
// address that is a multiple of recordAlign. The checksum is left open until
// the place of the record is known.
func appendRecord(dst []byte, r *Record, flags uint8) []byte {
	at := len(dst)
	end := at + recordBytes(len(r.Data))
	dst = dst[:end]
	b := dst[at:end]
	le := binary.LittleEndian
	le.PutUint32(b[0:], uint32(len(r.Data)))
	le.PutUint32(b[4:], 0)
	b[8] = uint8(r.Kind)
	b[9] = flags
	le.PutUint16(b[10:], r.Group)
	le.PutUint32(b[12:], 0)
	le.PutUint64(b[16:], r.Slot)
	n := recordHeaderBytes + copy(b[recordHeaderBytes:], r.Data)
	clear(b[n:])
	return dst
}

// sealRecords writes the checksums of the records in b, the first of which has
// the LSN first.
func sealRecords(b []byte, s *sums, segment uint64, first LSN) {
	for lsn := first; len(b) > 0; lsn++ {
		n := int(binary.LittleEndian.Uint32(b))
		binary.LittleEndian.PutUint32(b[4:], s.record(b, n, segment, lsn))
		b = b[recordBytes(n):]
	}
}

// parseRecord decodes the record at the start of b without checking its sum
// and returns how many bytes it takes. The record's Data is part of b.
func parseRecord(b []byte) (r Record, flags uint8, size int, ok bool) {
	if len(b) < recordHeaderBytes {
		return Record{}, 0, 0, false
	}
	le := binary.LittleEndian
	n := int(le.Uint32(b))
	if n > len(b)-recordHeaderBytes || recordBytes(n) > len(b) {
		return Record{}, 0, 0, false
	}
	end := recordHeaderBytes + n
	r = Record{
		Kind:  Kind(b[8]),
		Group: le.Uint16(b[10:]),
		Slot:  le.Uint64(b[16:]),
		Data:  b[recordHeaderBytes:end:end],
	}
	return r, b[9], recordBytes(n), true
}

// checkRecords verifies the records of a batch and reports the place in the
// batch of the first bad one, or −1.
func checkRecords(b []byte, s *sums, h *batchHeader) (bad int) {
	for i := range int(h.count) {
		r, _, size, ok := parseRecord(b)
		if !ok || binary.LittleEndian.Uint32(b[4:]) !=
			s.record(b, len(r.Data), h.segment, h.first+LSN(i)) {
			return i
		}
		b = b[size:]
	}
	if len(b) != 0 {
		return int(h.count)
	}
	return -1
}

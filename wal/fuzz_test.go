package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"lockd/wal/disk/simdisk"
)

// fuzzOptions make a log whose first segment is small enough to be an input.
func fuzzOptions() Options { return Options{Stamp: 7, SegmentBytes: 4 * chunkBytes} }

// fuzzSegment is the file of a first segment with a few records of each kind.
func fuzzSegment(tb testing.TB) []byte {
	tb.Helper()
	d := simdisk.New(drawFrom(1))
	w, _, err := open(mustMount(d), fuzzOptions())
	if err != nil {
		tb.Fatal(err)
	}
	m := newModel()
	for i := range 3 {
		m.append(w, Record{Group: uint16(i), Kind: KindState, Slot: 1}, 20)
		m.append(w, Record{Group: uint16(i), Kind: KindEntry, Slot: 2}, 40)
		m.append(w, Record{Group: uint16(i), Kind: KindHint, Slot: 2}, 0)
		if err := m.flush(w); err != nil {
			tb.Fatal(err)
		}
	}
	d.Unmount()
	return d.Content(segmentName(1))
}

// reseal makes every checksum of a segment right, so that what the fuzzer
// changed is read and not merely noticed.
func reseal(b []byte) {
	if len(b) < chunkBytes {
		return
	}
	s := newSums(fuzzOptions().Stamp)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	for off := chunkBytes; off+chunkBytes <= len(b); off += chunkBytes {
		h := b[off:]
		if binary.LittleEndian.Uint32(h) != batchMagic {
			continue
		}
		binary.LittleEndian.PutUint32(h[4:], s.header(h))
		segment, lsn := binary.LittleEndian.Uint64(h[8:]), LSN(binary.LittleEndian.Uint64(h[16:]))
		for at := batchHeaderBytes; at < len(h); lsn++ {
			r, _, size, ok := parseRecord(h[at:])
			if !ok {
				break
			}
			sum := s.record(h[at:], len(r.Data), segment, lsn)
			binary.LittleEndian.PutUint32(h[at+4:], sum)
			at += size
		}
	}
}

// FuzzSegment: whatever stands in a segment, Open takes it or says which of the
// three faults it has, and what it took it takes again (I8, I9).
func FuzzSegment(f *testing.F) {
	whole := fuzzSegment(f)
	used := 4 * chunkBytes
	for used > 0 && whole[used-1] == 0 {
		used--
	}
	f.Add(whole[:used], false)
	f.Add(whole[:used], true)
	f.Add(whole[:chunkBytes+200], true)
	f.Add(whole[:64], true)
	f.Fuzz(func(t *testing.T, content []byte, sealed bool) {
		segment := make([]byte, 4*chunkBytes)
		copy(segment, content)
		if sealed {
			reseal(segment)
		}
		d := simdisk.New(drawFrom(1))
		d.Put(segmentName(1), segment)
		w, first, err := open(mustMount(d), fuzzOptions())
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) &&
				!errors.Is(err, ErrStamp) {
				t.Fatalf("open: got %v, want damage, a newer version or another disk", err)
			}
			return
		}
		if len(first) == 0 && w.Stats().Durable != w.front.next-1 {
			t.Fatalf("durable: got %d, want %d", w.Stats().Durable, w.front.next-1)
		}
		d.Unmount()
		_, again, err := open(mustMount(d), fuzzOptions())
		if err != nil || len(again) != len(first) {
			t.Fatalf("opened again: got %d records, %v, want %d", len(again), err, len(first))
		}
	})
}

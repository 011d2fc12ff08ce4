package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// reference is a log of 64 KiB in two segments, all of it synced.
type reference struct {
	disk *simdisk.Disk
	opts Options
	// whole is what an undamaged log gives back.
	whole summary
	// segments are the numbers in use.
	segments []uint64
	// prefixes maps the number of records to the summary of so many.
	prefixes []summary
	// places are the records on disk; headers the batches.
	places  []simdisk.Place
	headers map[simdisk.Place]batchHeader
}

// summary stands for a sequence of replayed records.
type summary struct {
	count int
	sum   uint64
}

// newReference writes the log and ends it with seal: sealed or unsealed.
func newReference(t *testing.T, seal func(*Writer) error) *reference {
	t.Helper()
	ref := &reference{
		disk:    simdisk.New(drawFrom(5)),
		opts:    Options{Stamp: 99, SegmentBytes: 8 * chunkBytes, TargetSegments: 12},
		headers: map[simdisk.Place]batchHeader{},
	}
	w, _, err := open(mustMount(ref.disk), ref.opts)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	draw := drawFrom(6)
	for w.Stats().Segments < 2 || w.front.offset < 5*chunkBytes {
		for len(w.front.filling.buf) < chunkBytes-700 {
			r := Record{Group: uint16(draw(3)), Kind: KindEntry, Slot: m.serial + 1}
			m.append(w, r, draw(600))
		}
		if err := m.flush(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := seal(w); err != nil {
		t.Fatal(err)
	}
	ref.disk.Unmount()
	ref.locate(t)
	whole, err := ref.read(ref.disk)
	if err != nil || whole.count != int(m.last) {
		t.Fatalf("reference reads %d records (%v), want %d", whole.count, err, m.last)
	}
	ref.whole = whole
	return ref
}

func sealed(w *Writer) error   { return w.Seal() }
func unsealed(w *Writer) error { return nil }

// locate notes where the records are and what each prefix sums to.
func (ref *reference) locate(t *testing.T) {
	t.Helper()
	dir := mustMount(ref.disk)
	defer ref.disk.Unmount()
	l, err := list(dir)
	if err != nil || len(l.segments) != 2 {
		t.Fatalf("got segments %v (%v), want 2", l.segments, err)
	}
	ref.segments = l.segments
	s := newSummer()
	ref.prefixes = append(ref.prefixes, s.summary())
	at := int64(0)
	err = Inspect(dir, func(i Item) error {
		switch i.Kind {
		case ItemBatch:
			at = i.Offset + batchHeaderBytes
			h, ok := decodeBatchHeader(ref.disk.Content(i.File)[i.Offset:], newSums(ref.opts.Stamp))
			if !ok {
				t.Fatalf("no header at %d of %s", i.Offset, i.File)
			}
			ref.headers[simdisk.Place{Name: i.File, Off: i.Offset}] = h
		case ItemRecord:
			n := int64(recordBytes(len(i.Record.Data)))
			ref.places = append(ref.places, simdisk.Place{Name: i.File, Off: at, Bytes: n})
			at += n
			s.add(i.First, &i.Record)
			ref.prefixes = append(ref.prefixes, s.summary())
		case ItemDamage:
			return i.Err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// summer computes a summary.
type summer struct {
	count int
	sum   uint64
}

func newSummer() *summer { return &summer{} }

func (s *summer) add(lsn LSN, r *Record) {
	s.count++
	const prime = 1099511628211
	s.sum = (s.sum ^ uint64(lsn)) * prime
	s.sum = (s.sum ^ uint64(r.Kind)<<32 ^ uint64(r.Group)) * prime
	s.sum = (s.sum ^ r.Slot) * prime
	s.sum = (s.sum ^ uint64(crc32.Checksum(r.Data, castagnoli))) * prime
}

func (s *summer) summary() summary { return summary{s.count, s.sum} }

// read does what Open does up to the point where it would write.
func (ref *reference) read(d *simdisk.Disk) (summary, error) {
	dir := mustMount(d)
	defer d.Unmount()
	opts, err := ref.opts.withDefaults()
	if err != nil {
		return summary{}, err
	}
	w := &Writer{opts: opts}
	w.back.dir, w.back.sums = dir, newSums(opts.Stamp)
	s := newSummer()
	r := recovery{writer: w, replay: func(lsn LSN, r Record) error {
		s.add(lsn, &r)
		return nil
	}}
	err = r.run(ref.segments)
	return s.summary(), err
}

// wantWholeOrCorrupt fails the test unless the log reads whole or as corrupt.
func (ref *reference) wantWholeOrCorrupt(t *testing.T, what func() string) {
	t.Helper()
	got, err := ref.read(ref.disk)
	if err == nil && got != ref.whole {
		t.Fatalf("%s: got %d records without an error, want %d or ErrCorrupt",
			what(), got.count, ref.whole.count)
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%s: got %v, want ErrCorrupt", what(), err)
	}
}

// TestFD3EveryBitFlipped flips each bit of the log and looks at the batch or
// header it lies in: the fault must show there, or the records be the same.
// What Open makes of a fault depends only on its place, and is tested by
// TestFD3EveryPlaceDamaged.
func TestFD3EveryBitFlipped(t *testing.T) {
	ref := newReference(t, sealed)
	dir := mustMount(ref.disk)
	noticed := 0
	for _, number := range ref.segments {
		r, err := openSegment(dir, number, newSums(ref.opts.Stamp), ref.opts.Stamp)
		if err != nil {
			t.Fatal(err)
		}
		size := int(r.header.size)
		content, err := r.read(0, size)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range size * 8 {
			content[bit/8] ^= 1 << (bit % 8)
			if ref.noticed(t, r, content, bit/8&^(chunkBytes-1)) {
				noticed++
			}
			content[bit/8] ^= 1 << (bit % 8)
		}
	}
	// Records fill most of the log, and each of their bits matters.
	recordBits := 0
	for _, p := range ref.places {
		recordBits += int(p.Bytes-recordAlign+1) * 8
	}
	if noticed < recordBits {
		t.Fatalf("noticed %d flipped bits, want the %d of all records", noticed, recordBits)
	}
}

// noticed reports whether the batch or header at off of what r has read is
// damaged. If it does not read as damaged it must be what was written.
func (ref *reference) noticed(t *testing.T, r *segmentReader, content []byte, off int) bool {
	t.Helper()
	if off == 0 {
		got, err := decodeSegmentHeader(content)
		if err == nil && got != r.header || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("header of %s: got %+v (%v), want %+v or ErrCorrupt",
				r.name, got, err, r.header)
		}
		return err != nil
	}
	want := ref.headers[simdisk.Place{Name: r.name, Off: int64(off)}]
	h, records, _, f, err := r.batch(int64(off), want.first)
	if err != nil {
		t.Fatal(err)
	}
	if f == faultNone && h != want {
		t.Fatalf("%s at %d: got header %+v, want %+v", r.name, off, h, want)
	}
	if f == faultNone && checkRecords(records, r.sums, &want) >= 0 {
		t.Fatalf("%s at %d: damaged records pass", r.name, off)
	}
	return f != faultNone
}

func TestFD3EveryPlaceDamaged(t *testing.T) {
	ref := newReference(t, sealed)
	for _, number := range ref.segments {
		name := segmentName(number)
		for at := int64(0); at < int64(len(ref.disk.Content(name))); at += 5 {
			bit := at*8 + at%8
			ref.disk.FlipBit(name, bit)
			what := func() string { return fmt.Sprintf("bit %d of %s", bit, name) }
			ref.wantWholeOrCorrupt(t, what)
			ref.disk.FlipBit(name, bit)
		}
	}
}

// TestFD3LastBatchOfACrash flips a bit in each byte of the last batch, which no seal
// covers. This is the known gap of FORMAT.md: it reads as a torn write. What
// is before it must not be touched by that.
func TestFD3LastBatchOfACrash(t *testing.T) {
	ref := newReference(t, unsealed)
	last := ref.places[len(ref.places)-1]
	from := last.Off &^ (chunkBytes - 1)
	before := 0
	for _, p := range ref.places {
		if p.Name != last.Name || p.Off < from {
			before++
		}
	}
	for bit := from * 8; bit < (from+chunkBytes)*8; bit += 9 {
		ref.disk.FlipBit(last.Name, bit)
		got, err := ref.read(ref.disk)
		ref.disk.FlipBit(last.Name, bit)
		if err != nil || (got != ref.whole && got != ref.prefixes[before]) {
			t.Fatalf("bit %d: got %d records (%v), want %d or %d", bit, got.count, err,
				ref.whole.count, before)
		}
	}
}

// TestFD3OpenMarksWhatItGave: what a replay was given is durable, so damage to the last batch
// of a crash is damage from the next Open on, and no torn end any more.
func TestFD3OpenMarksWhatItGave(t *testing.T) {
	ref := newReference(t, unsealed)
	if _, _, err := open(mustMount(ref.disk), ref.opts); err != nil {
		t.Fatal(err)
	}
	ref.disk.Unmount()
	last := ref.places[len(ref.places)-1]
	ref.disk.FlipBit(last.Name, last.Off*8)
	if got, err := ref.read(ref.disk); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %d of %d records (%v), want ErrCorrupt", got.count, ref.whole.count, err)
	}
}

// TestMergedStretchKeepsItsKiller: records of a batch that waits may be dead through one of a
// later batch, which need not be durable when the segment that takes the first goes (I10).
func TestMergedStretchKeepsItsKiller(t *testing.T) {
	l := liveness{stretches: []stretch{{first: 1}, {first: 3}}}
	promise := Record{Group: 1, Kind: KindState}
	l.appended(&promise, 3)
	l.appended(&Record{Group: 2, Kind: KindState}, 4)
	l.stretches = append(l.stretches, stretch{first: 5})
	l.appended(&promise, 5)
	l.merge(0)
	if got := l.stretches[0]; got.killer != 5 || got.records != 1 {
		t.Errorf("got %d live records, the last dead through LSN %d, want 1 and 5", got.records,
			got.killer)
	}
}

// TestFD3SealBeforeTheLastBatch: a batch that goes on where a damaged seal does shows that
// the seal was synced. To cut the log there would take the batch along, which was, too.
func TestFD3SealBeforeTheLastBatch(t *testing.T) {
	ref := &reference{disk: simdisk.New(drawFrom(5)), segments: []uint64{1},
		opts: Options{Stamp: 99, SegmentBytes: 16 * chunkBytes}}
	w, _, err := open(mustMount(ref.disk), ref.opts)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	write := func() {
		m.append(w, Record{Group: 1, Kind: KindEntry, Slot: m.serial + 1}, 100)
		if err := m.flush(w); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if err := w.Seal(); err != nil {
		t.Fatal(err)
	}
	seal := w.front.offset - chunkBytes
	write()
	ref.disk.Unmount()
	if ref.whole, err = ref.read(ref.disk); err != nil || ref.whole.count != 2 {
		t.Fatalf("got %d records (%v), want 2", ref.whole.count, err)
	}
	name := segmentName(1)
	for bit := seal * 8; bit < (seal+batchHeaderBytes)*8; bit++ {
		ref.disk.FlipBit(name, bit)
		ref.wantWholeOrCorrupt(t, func() string { return fmt.Sprintf("bit %d of the seal", bit-seal*8) })
		ref.disk.FlipBit(name, bit)
	}
	ref.disk.ZeroSector(name, seal/simdisk.SectorBytes)
	if got, err := ref.read(ref.disk); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no seal before the last batch: got %d records (%v), want ErrCorrupt", got.count, err)
	}
}

func TestFD3EverySectorZeroedOrGarbage(t *testing.T) {
	ref := newReference(t, sealed)
	for _, number := range ref.segments {
		name := segmentName(number)
		kept := append([]byte(nil), ref.disk.Content(name)...)
		for unit := int64(1); unit <= chunkBytes/simdisk.SectorBytes; unit *= 8 {
			for first := int64(0); first < int64(len(kept))/simdisk.SectorBytes; first += unit {
				for n := range unit {
					ref.disk.ZeroSector(name, first+n)
				}
				what := func() string { return fmt.Sprintf("sector %d of %s", first, name) }
				ref.wantWholeOrCorrupt(t, what)
				for n := range unit {
					ref.disk.GarbleSector(name, first+n)
				}
				ref.wantWholeOrCorrupt(t, what)
				copy(ref.disk.Content(name), kept)
			}
		}
	}
}

// TestFD2TornAtEveryByte cuts the last segment at every byte with zeros behind
// the cut, and at some with garbage and another segment's old bytes.
func TestFD2TornAtEveryByte(t *testing.T) {
	for n, ref := range []*reference{newReference(t, unsealed), newReference(t, sealed)} {
		last := segmentName(ref.segments[1])
		kept := append([]byte(nil), ref.disk.Content(last)...)
		zeros := make([]byte, len(kept))
		garbage := make([]byte, len(kept))
		draw := drawFrom(7)
		for i := range garbage {
			garbage[i] = byte(draw(256))
		}
		old := append([]byte(nil), ref.disk.Content(segmentName(ref.segments[0]))...)
		for i, behind := range [][]byte{zeros, garbage, old} {
			for cut := chunkBytes; cut <= len(kept); cut += 1 + 30*(i+n) {
				content := ref.disk.Content(last)
				copy(content, kept[:cut])
				copy(content[cut:], behind[cut:])
				got, err := ref.read(ref.disk)
				if err != nil {
					t.Fatalf("cut at byte %d: %v", cut, err)
				}
				if want := ref.wholeBatches(last, content, kept); got != want {
					t.Fatalf("cut at byte %d: got %d records, want %d", cut, got.count, want.count)
				}
			}
			copy(ref.disk.Content(last), kept)
		}
	}
}

// wholeBatches is the prefix of the log whose batches in the last segment read
// as they were written.
func (ref *reference) wholeBatches(last string, content, kept []byte) summary {
	n := 0
	for _, p := range ref.places {
		if p.Name == last {
			batch := p.Off &^ (chunkBytes - 1)
			end := ref.batchEnd(last, batch)
			if string(content[batch:end]) != string(kept[batch:end]) {
				break
			}
		}
		n++
	}
	return ref.prefixes[n]
}

// batchEnd is where the records of the batch of one chunk at off end.
func (ref *reference) batchEnd(name string, off int64) int64 {
	end := off
	for _, p := range ref.places {
		if p.Name == name && p.Off >= off && p.Off < off+chunkBytes {
			end = p.Off + p.Bytes - padding(ref.disk.Content(name)[p.Off:])
		}
	}
	return end
}

// padding is how many bytes follow the data of the record at the start of b.
func padding(b []byte) int64 {
	r, _, size, ok := parseRecord(b)
	if !ok {
		return 0
	}
	return int64(size - recordHeaderBytes - len(r.Data))
}

// TestFD2FileTooShort truncates the files themselves. A segment has its full
// size before it has its name, so this is damage and never a torn write.
func TestFD2FileTooShort(t *testing.T) {
	ref := newReference(t, sealed)
	for _, number := range ref.segments {
		name := segmentName(number)
		kept := append([]byte(nil), ref.disk.Content(name)...)
		for size := 0; size < len(kept); size += 97 {
			ref.disk.Put(name, kept[:size])
			if _, err := ref.read(ref.disk); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d bytes: got %v, want ErrCorrupt", name, size, err)
			}
		}
		ref.disk.Put(name, kept)
	}
}

func TestFD4EveryRecordAtEveryOtherPlace(t *testing.T) {
	ref := newReference(t, sealed)
	for i, from := range ref.places {
		for j, to := range ref.places {
			if i != j {
				ref.misplace(t, from, to)
			}
		}
	}
}

func TestFD4EveryChunkAtEveryOtherPlace(t *testing.T) {
	ref := newReference(t, sealed)
	var places []simdisk.Place
	for _, number := range ref.segments {
		for chunk := range int64(8) {
			places = append(places, simdisk.Place{
				Name: segmentName(number), Off: chunk * chunkBytes, Bytes: chunkBytes,
			})
		}
	}
	for _, from := range places {
		for _, to := range places {
			ref.misplace(t, from, to)
		}
	}
}

// misplace copies one place over another, reads, and undoes it.
func (ref *reference) misplace(t *testing.T, from, to simdisk.Place) {
	t.Helper()
	target := ref.disk.Content(to.Name)[to.Off:]
	kept := append([]byte(nil), target[:min(from.Bytes, int64(len(target)))]...)
	ref.disk.Misplace(from, to)
	ref.wantWholeOrCorrupt(t, func() string { return fmt.Sprintf("%v over %v", from, to) })
	copy(target, kept)
}

// TestVersionAndStampAreNotDamage tells a newer log and another disk's log from
// a damaged one (I27).
func TestVersionAndStampAreNotDamage(t *testing.T) {
	ref := newReference(t, sealed)
	ref.opts.Stamp++
	if _, err := ref.read(ref.disk); !errors.Is(err, ErrStamp) || errors.Is(err, ErrCorrupt) {
		t.Errorf("other stamp: got %v, want ErrStamp", err)
	}
	ref.opts.Stamp--
	header := ref.disk.Content(segmentName(ref.segments[1]))
	setVersion(header, formatVersion+1)
	if _, err := ref.read(ref.disk); !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
		t.Errorf("newer version: got %v, want ErrVersion", err)
	}
	dir := mustMount(ref.disk)
	if _, err := dir.Open("missing"); !errors.Is(err, disk.ErrNotExist) {
		t.Errorf("missing file: got %v, want ErrNotExist", err)
	}
	if _, err := ref.disk.Mount(); !errors.Is(err, ErrLocked) {
		t.Errorf("second mount: got %v, want ErrLocked", err)
	}
}

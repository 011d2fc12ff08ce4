package wal

import (
	"encoding/binary"
	"fmt"

	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// drawFrom returns a Draw that repeats for a seed (splitmix64).
func drawFrom(seed uint64) simdisk.Draw {
	return func(n int) int {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return int((z ^ z>>31) % uint64(n))
	}
}

// drawAlways returns a Draw that always makes choice number c.
func drawAlways(c int) simdisk.Draw {
	return func(n int) int { return min(c, n-1) }
}

// key is what a newer record makes an older one dead for.
type key struct {
	group uint16
	kind  Kind
	slot  uint64
}

// keyOf returns the key of a record.
func keyOf(r *Record) key {
	k := key{group: r.Group, kind: r.Kind}
	if r.Kind == KindEntry {
		k.slot = r.Slot
	}
	return k
}

// model is what a log must give back, kept outside of it.
type model struct {
	// appended is what was appended at each LSN; other LSNs are copies.
	appended map[LSN]Record
	// serial numbers the records, in their data.
	serial uint64
	// durable is the last LSN that was called durable; last the last one given
	// out by Append.
	durable, last LSN
	// released is what Release was told.
	released map[uint16]uint64
	// large is how long every 20th record or so is, zero for none.
	large int
}

func newModel() *model {
	return &model{appended: map[LSN]Record{}, released: map[uint16]uint64{}}
}

// append appends a record of its own making to w.
func (m *model) append(w *Writer, r Record, size int) LSN {
	m.serial++
	r.Data = make([]byte, 8+size)
	binary.LittleEndian.PutUint64(r.Data, m.serial)
	for i := range size {
		r.Data[8+i] = byte(m.serial) + byte(i)
	}
	lsn := w.Append(r)
	m.appended[lsn] = r
	m.last = lsn
	return lsn
}

// replayed is what Open gave back.
type replayed struct {
	lsn    LSN
	record Record
}

// open opens the log and collects what it gives back.
func open(dir disk.Dir, opts Options) (*Writer, []replayed, error) {
	var got []replayed
	w, err := Open(dir, opts, func(lsn LSN, r Record) error {
		r.Data = append([]byte(nil), r.Data...)
		got = append(got, replayed{lsn, r})
		return nil
	})
	return w, got, err
}

// check compares what a log gave back with the model (I8, I10), and then
// follows it: what was lost without having been durable never was.
func (m *model) check(got []replayed) error {
	newest := map[key]uint64{}
	end := LSN(0)
	for i, g := range got {
		if i > 0 && g.lsn != end+1 {
			return fmt.Errorf("LSN %d follows %d", g.lsn, end)
		}
		end = g.lsn
		if len(g.record.Data) < 8 {
			return fmt.Errorf("LSN %d: invented record %v", g.lsn, g.record)
		}
		serial := binary.LittleEndian.Uint64(g.record.Data)
		k := keyOf(&g.record)
		if want, ok := m.appended[g.lsn]; ok {
			if !same(want, g.record) {
				return fmt.Errorf("LSN %d: got %v, want %v", g.lsn, g.record, want)
			}
		} else if err := m.checkCopy(g, serial); err != nil {
			return err
		}
		if serial < newest[k] {
			return fmt.Errorf("LSN %d: record %d of %v after record %d",
				g.lsn, serial, k, newest[k])
		}
		newest[k] = serial
	}
	if len(got) == 0 {
		end = m.durable
	}
	if end < m.durable {
		return fmt.Errorf("ends at LSN %d, but %d was durable", end, m.durable)
	}
	if err := m.checkLive(newest); err != nil {
		return err
	}
	for lsn := range m.appended {
		if lsn > end {
			delete(m.appended, lsn)
		}
	}
	m.durable, m.last = end, end
	return nil
}

// checkCopy verifies that a record nobody appended at its LSN is a copy of the
// newest one of its key at that time.
func (m *model) checkCopy(g replayed, serial uint64) error {
	want := keyOf(&g.record)
	newest := Record{}
	newestAt := LSN(0)
	for lsn, r := range m.appended {
		if keyOf(&r) == want && lsn < g.lsn && lsn > newestAt {
			newest, newestAt = r, lsn
		}
	}
	if newestAt == 0 || !same(newest, g.record) {
		return fmt.Errorf("LSN %d: invented record %d %v group %d slot %d",
			g.lsn, serial, g.record.Kind, g.record.Group, g.record.Slot)
	}
	return nil
}

// checkLive verifies that of every key the newest durable record came back, or
// a newer one, unless it was released.
func (m *model) checkLive(newest map[key]uint64) error {
	for lsn, r := range m.appended {
		k := keyOf(&r)
		released := r.Kind != KindState && r.Slot <= m.released[r.Group]
		if lsn > m.durable || released {
			continue
		}
		if serial := binary.LittleEndian.Uint64(r.Data); newest[k] < serial {
			return fmt.Errorf("record %d (LSN %d, %v group %d slot %d) was durable, is forgotten",
				serial, lsn, r.Kind, r.Group, r.Slot)
		}
	}
	return nil
}

func same(a, b Record) bool {
	return a.Group == b.Group && a.Kind == b.Kind && a.Slot == b.Slot &&
		string(a.Data) == string(b.Data)
}

// smallOptions make a log that rotates, copies forward and recycles every few
// flushes.
func smallOptions() Options {
	return Options{
		Stamp:          0x1234,
		SegmentBytes:   8 * chunkBytes,
		MaxBatchBytes:  2 * chunkBytes,
		TargetSegments: 2,
		MaxSegments:    8,
		Spares:         1,
	}
}

// work drives w with steps random calls. Group 9 stays idle after its first
// records, so that copying forward is all that keeps them.
func (m *model) work(w *Writer, draw simdisk.Draw, steps int) error {
	if m.serial == 0 {
		m.append(w, Record{Group: 9, Kind: KindState}, 20)
		m.append(w, Record{Group: 9, Kind: KindEntry, Slot: 1}, 30)
		m.append(w, Record{Group: 9, Kind: KindEntry, Slot: 2}, 30)
	}
	for range steps {
		for range 1 + draw(3) {
			m.appendDrawn(w, draw)
		}
		if err := m.act(w, draw(10)); err != nil {
			return err
		}
	}
	return m.flush(w)
}

// appendDrawn appends one record to one of three busy groups. Slots rise with
// the serial number; some are written again at a later ballot.
func (m *model) appendDrawn(w *Writer, draw simdisk.Draw) {
	group := uint16(draw(3))
	slot := m.serial + 1
	if m.large > 0 && draw(20) == 0 {
		m.append(w, Record{Group: group, Kind: KindEntry, Slot: slot}, m.large)
		return
	}
	switch draw(8) {
	case 0:
		m.append(w, Record{Group: group, Kind: KindState}, draw(60))
	case 1:
		m.append(w, Record{Group: group, Kind: KindHint, Slot: slot}, draw(10))
	case 2:
		back := uint64(1 + draw(6))
		slot = max(slot, back+1) - back
		m.append(w, Record{Group: group, Kind: KindEntry, Slot: slot}, draw(300))
	case 3:
		m.append(w, Record{Group: group, Kind: KindEntry, Slot: slot}, draw(6000))
	default:
		m.append(w, Record{Group: group, Kind: KindEntry, Slot: slot}, draw(900))
	}
}

// act makes one call besides Append.
func (m *model) act(w *Writer, choice int) error {
	switch choice {
	case 0:
		if err := w.Seal(); err != nil {
			return err
		}
		m.durable = w.Durable()
	case 1:
		// A failed Prepare is not final; the next Flush tells.
		_ = w.Prepare()
	case 2, 3:
		for g := range uint16(3) {
			if upTo := m.serial; upTo > 12 {
				m.released[g] = upTo - 12
				w.Release(g, upTo-12)
			}
		}
	default:
		return m.flush(w)
	}
	return nil
}

// flush flushes w and notes what it calls durable.
func (m *model) flush(w *Writer) error {
	durable, err := w.Flush()
	m.durable = max(m.durable, durable)
	return err
}

// releaseAll repeats the releases, as a node does after it loaded its
// checkpoint.
func (m *model) releaseAll(w *Writer) {
	for g := range uint16(3) {
		w.Release(g, m.released[g])
	}
}

// mustMount mounts a disk that is not mounted.
func mustMount(d *simdisk.Disk) *simdisk.Dir {
	dir, err := d.Mount()
	if err != nil {
		panic(err)
	}
	return dir
}

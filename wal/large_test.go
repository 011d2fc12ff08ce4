package wal

import (
	"fmt"
	"testing"

	"lockd/wal/disk/simdisk"
)

// TestRecordLargerThanASegment appends what no segment has room for, as a node with
// small ones is sent it by a peer with large batches. It is kept, copied forward
// while it is live, and read back; when it is dead its segment is removed and the
// log is as small as before.
func TestRecordLargerThanASegment(t *testing.T) {
	opts := smallOptions()
	for _, size := range []int{3 * chunkBytes, 8 * chunkBytes, 100*chunkBytes + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d := simdisk.New(drawFrom(1))
			w, _, err := open(mustMount(d), opts)
			if err != nil {
				t.Fatal(err)
			}
			m := newModel()
			m.append(w, Record{Kind: KindEntry, Slot: 1}, 100)
			m.append(w, Record{Group: 9, Kind: KindEntry, Slot: 1}, size)
			m.append(w, Record{Kind: KindEntry, Slot: 3}, 100)
			round := func() {
				t.Helper()
				for range 60 {
					m.append(w, Record{Kind: KindEntry, Slot: m.serial + 1}, 3000)
					if err := m.flush(w); err != nil {
						t.Fatalf("%v, stats %+v", err, w.Stats())
					}
					m.released[0] = m.serial
					m.releaseAll(w)
				}
			}
			round()
			d.PowerCut()
			w, got, err := open(mustMount(d), opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.check(got); err != nil {
				t.Fatal(err)
			}
			m.releaseAll(w)
			w.Release(9, 1)
			round()
			s := w.Stats()
			for _, name := range d.Names() {
				if have := int64(len(d.Content(name))); have > opts.SegmentBytes {
					t.Errorf("%s still has %d bytes, want at most %d", name, have, opts.SegmentBytes)
				}
			}
			if s.Segments > opts.TargetSegments+1 {
				t.Errorf("got %d segments, want at most %d", s.Segments, opts.TargetSegments+1)
			}
		})
	}
}

// TestLargeRecordsFreeTheirMemory gives back the buffer of a batch that held one.
func TestLargeRecordsFreeTheirMemory(t *testing.T) {
	opts := smallOptions()
	w, _, err := open(mustMount(simdisk.New(drawFrom(1))), opts)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	m.append(w, Record{Kind: KindEntry, Slot: 1}, 4<<20)
	m.append(w, Record{Kind: KindEntry, Slot: 2}, 100)
	if err := m.flush(w); err != nil {
		t.Fatal(err)
	}
	for _, b := range w.front.idle {
		if have, most := cap(b.buf), 4*opts.MaxBatchBytes; have > most {
			t.Errorf("an idle batch keeps %d bytes, want at most %d", have, most)
		}
	}
}

// TestFD1PowerCutWithLargeRecords cuts the power at every operation of a workload
// with records that no segment has room for.
func TestFD1PowerCutWithLargeRecords(t *testing.T) {
	for seed := range uint64(2) {
		for _, effect := range []simdisk.Effect{simdisk.EffectAll, simdisk.EffectPart} {
			t.Run(fmt.Sprintf("seed=%d/effect=%d", seed, effect), func(t *testing.T) {
				opts := smallOptions()
				opts.MaxSegments = 24 // a large one, and what it cuts short, count as any other
				crashRun{
					opts:  opts,
					fault: simdisk.Fault{Err: simdisk.ErrCut, Effect: effect},
					cut:   true,
					seed:  100 + seed,
					large: 10 * chunkBytes,
				}.everyOperation(t)
			})
		}
	}
}

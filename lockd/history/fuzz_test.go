package history

import (
	"testing"

	"lockd/lockd/node"
	"lockd/netio/wire"
)

// FuzzSegment opens a segment of any bytes: nothing panics, what is told decodes, and the
// store goes on (F-W1).
func FuzzSegment(f *testing.F) {
	w := newWorld(f, MinBytes)
	w.beats(1)
	e := ended("a", 7, 30)
	e.Permits, e.Owner, e.Who, e.Reason = 3, 4, []byte("ops"), []byte("stuck")
	w.note(1, 10, e, ended("b", 8, 5))
	w.sync()
	w.note(1, 10, ended("a", 9, 5))
	w.sync()
	f.Add(w.files.(*memory).mu.files[1].mu.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := Memory().(*memory)
		file := &memoryFile{}
		file.mu.b = b
		m.mu.files[1] = file
		s, err := Open(m, Options{Bytes: MinBytes, Wall: func() int64 { return epoch }})
		if err != nil {
			return
		}
		d := s.Answer(&node.HistoryRequest{Group: 1,
			History: wire.History{ToMillis: 1 << 62, Name: []byte("a")}})
		if _, err := wire.DecodeHistoryPage(d.Page); err != nil {
			t.Fatal(err)
		}
		s.Note(&node.HistoryNote{Group: 2, After: 5, To: 6})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzBlock reads head, index and holds of any bytes, whatever their checksums say.
func FuzzBlock(f *testing.F) {
	var b builder
	b.reset(1)
	b.addSpan(span{group: 1, to: 7, at: 900})
	b.clocks = append(b.clocks, clock{group: 1, offset: epoch})
	e := ended("a", 7, 30)
	b.addHold(holdAt{group: 1, slot: 7, at: 900}, &e)
	d, info := b.seal(kindHolds)
	from := headerBytes + info.head
	f.Add(d[headerBytes:from], d[from:from+info.body])
	info.offset = alignBytes
	x := index{number: 3, bytes: 1 << 20, blocks: []blockInfo{info, info}}
	x.blocks[1].offset += info.bytes() + alignBytes
	x.take(&head{spans: b.spans, clocks: b.clocks})
	f.Add(d[headerBytes:from], x.append(nil))
	f.Fuzz(func(t *testing.T, headPart, body []byte) {
		h, ok := parseHead(headPart)
		if ok {
			h.mayHave(1)
		}
		if x, ok := parseIndex(body); ok {
			if again, ok := parseIndex(x.append(nil)); !ok || len(again.blocks) != len(x.blocks) {
				t.Fatalf("got %+v of what %+v wrote", again, x)
			}
		}
		n := 0
		if err := eachHold(body, func(*hold) { n++ }); err == nil && len(body) > 0 && n == 0 {
			t.Fatalf("got no hold of %x", body)
		}
	})
}

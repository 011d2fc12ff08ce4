package history

import (
	"fmt"
	"testing"
	"unsafe"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// counted counts what is read of segments, by their numbers.
type counted struct {
	*memory
	reads map[uint64]int
}

// Open returns a file whose reads count.
func (c *counted) Open(number uint64) (File, error) {
	f, err := c.memory.Open(number)
	return countedFile{f, c, number}, err
}

type countedFile struct {
	File
	of     *counted
	number uint64
}

func (f countedFile) ReadAt(b []byte, at int64) (int, error) {
	f.of.reads[f.number]++
	return f.File.ReadAt(b, at)
}

// standingOf returns all that a Store knows but for holds, as text.
func (w *world) standingOf() string {
	s := fmt.Sprintf("number %d\n", w.s.mu.open.number)
	for i := range w.s.mu.groups {
		g := &w.s.mu.groups[i]
		s += fmt.Sprintf("group %d: %+v %+v\n", i, g.spans, g.clocks.all)
	}
	for _, x := range w.s.mu.segments {
		s += fmt.Sprintf("segment %d: %d %+v\n", x.number, x.bytes, x.carry)
	}
	return s + fmt.Sprintf("blocks: %+v\n", w.s.mu.blocks)
}

// A start reads one block of each segment, but of the last, however many it has, and knows
// what it would if it had read all of them.
func TestStartReadsOneBlockOfASegment(t *testing.T) {
	w := newWorld(t, 64<<20)
	files := &counted{w.files.(*memory), map[uint64]int{}}
	w.files = files
	w.open()
	w.beats(1)
	w.sync()
	token := lockfsm.Token(0)
	for i := range 5 {
		w.fill(&token, 1)
		if i == 2 { // slots are missing, and log time stands still
			x := w.group[1]
			x.To += 7
			w.group[1] = x
		}
		w.stand(5000)
		w.beats(1)
		w.beats(2)
	}
	w.sync()
	before, name := w.standingOf(), []byte("name-77")
	holds, _ := w.ask(wire.History{ToMillis: 1 << 62, Name: name})
	segments, blocks := len(w.s.mu.segments), len(w.s.mu.blocks)
	if segments < 6 || blocks < 20*segments || len(holds) < 10 {
		t.Fatalf("got %d segments of %d blocks, and %d holds", segments, blocks, len(holds))
	}
	check := func(what string) {
		t.Helper()
		if got := w.standingOf(); got != before {
			t.Errorf("%s: got\n%.2000s\nwant\n%.2000s", what, got, before)
		}
		got, _ := w.ask(wire.History{ToMillis: 1 << 62, Name: name})
		if fmt.Sprint(got) != fmt.Sprint(holds) {
			t.Errorf("%s: got holds %v, want %v", what, got, holds)
		}
	}
	clear(files.reads)
	w.open()
	for number, n := range files.reads { // order: each for itself
		if number != uint64(segments) && n > 6 {
			t.Errorf("segment %d: got %d reads at a start, want a few", number, n)
		}
	}
	check("by what the next segment says")
	for number, f := range files.memory.mu.files { // order: each for itself
		if number == 1 {
			continue
		}
		info, _, err := w.s.readHead(f, alignBytes)
		if err != nil || info.kind != kindCarry || info.body == 0 {
			t.Fatalf("segment %d: got %+v, %v", number, info, err)
		}
		f.mu.b[alignBytes+headerBytes+info.head+info.body/2] ^= 0x40
	}
	clear(files.reads)
	w.open()
	if n := files.reads[2]; n < 20 {
		t.Errorf("segment 2: got %d reads, want one of each block at least", n)
	}
	check("by its own heads")
}

// A Store that may take more has longer segments, not more open files without bound.
func TestSegmentsAreNotTooMany(t *testing.T) {
	for _, row := range []struct{ size, want int64 }{
		{MinBytes, MinBytes / segmentsAtLeast}, {256 << 20, 16 << 20}, {32 << 30, 16 << 20},
		{1 << 40, 512 << 20},
	} {
		if got := segmentLength(row.size); got != row.want {
			t.Errorf("%d bytes: got segments of %d, want %d", row.size, got, row.want)
		}
		if files := int64(OpenFiles(row.size)); files*row.want < row.size || files > segmentsAtMost+2 {
			t.Errorf("%d bytes: got %d open files", row.size, files)
		}
	}
}

// A segment that has too much for an index has none, and memory for it is bounded.
func TestIndexIsBounded(t *testing.T) {
	for _, size := range []uintptr{unsafe.Sizeof(span{}), unsafe.Sizeof(clock{})} {
		if size > indexBytes {
			t.Errorf("got %d bytes, want %d at most", size, indexBytes)
		}
	}
	var x index
	for at := range 3 * maxIndexed {
		x.take(&head{clocks: []clock{{group: 1, at: lockfsm.Time(at)}},
			spans: []span{{group: 1, after: uint64(3 * at), to: uint64(3*at + 1)}}})
		if len(x.clocks)+len(x.spans) > maxIndexed {
			t.Fatalf("got %d clocks and %d spans", len(x.clocks), len(x.spans))
		}
	}
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.sync()
	if w.s.closedIndex() == nil {
		t.Error("got no index of a segment that has little")
	}
	if w.s.writer.index = x; w.s.closedIndex() != nil {
		t.Error("got an index of a segment that has too much")
	}
}

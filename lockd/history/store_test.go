package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// world notes holds in a Store and remembers them. Log time goes with the wall clock, with
// an offset.
type world struct {
	t       testing.TB
	files   Files
	opts    Options
	s       *Store
	wall    int64
	stood   int64                       // for how long log time stood still
	group   map[uint16]node.HistoryNote // the last of each
	notes   []node.HistoryNote
	damaged []int64
}

const epoch = 1_764_338_400_000

func newWorld(t testing.TB, size int64) *world {
	w := &world{t: t, files: Memory(), wall: epoch, group: map[uint16]node.HistoryNote{}}
	w.opts = Options{Bytes: size, Wall: func() int64 { return w.wall },
		Damage: func(_ uint64, at int64) { w.damaged = append(w.damaged, at) }}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	s, err := Open(w.files, w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

func (w *world) sync() {
	w.t.Helper()
	if err := w.s.Sync(); err != nil {
		w.t.Fatal(err)
	}
}

// ended is a hold that began so many milliseconds before it ended.
func ended(name string, token lockfsm.Token, held int64) lockfsm.Ended {
	return lockfsm.Ended{How: lockfsm.HoldReleased, Mode: lockfsm.ModeEX, Session: 7, Token: token,
		Since: lockfsm.Time(held), Name: []byte(name), Client: []byte("worker (pid 1)")}
}

// note notes the next slot of a group, so many milliseconds after the last.
func (w *world) note(group uint16, later int64, holds ...lockfsm.Ended) {
	w.wall += later
	x := w.group[group]
	passed := w.wall - epoch
	x = node.HistoryNote{Group: group, After: x.To, To: x.To + 1, Before: x.LogTime,
		LogTime: lockfsm.Time(passed + 1000 - w.stood), Now: node.Nanos(passed+5000) * node.Millisecond,
		Ended: holds}
	for i := range x.Ended {
		x.Ended[i].Since = x.LogTime - min(x.Ended[i].Since, x.LogTime)
	}
	w.group[group] = x
	w.notes = append(w.notes, x)
	w.s.Note(&x)
}

// beats lets time pass while the clocks of a group settle.
func (w *world) beats(group uint16) {
	for range 3 {
		w.note(group, 200)
	}
}

// ask asks for all pages.
func (w *world) ask(q wire.History) (all []wire.PastHold, last wire.HistoryPage) {
	w.t.Helper()
	for {
		d := w.s.Answer(&node.HistoryRequest{Group: 1, History: q})
		page, err := wire.DecodeHistoryPage(d.Page)
		if err != nil {
			w.t.Fatal(err)
		}
		if q.Block != 0 && (page.Block > q.Block || page.Block == q.Block && page.Index >= q.Index) {
			w.t.Fatalf("page: got to go on at %d.%d after %d.%d", page.Block, page.Index, q.Block, q.Index)
		}
		for _, p := range page.Holds {
			p.Client = slices.Clone(p.Client)
			all = append(all, p)
		}
		if last = page; page.Block == 0 {
			return all, last
		}
		q.Block, q.Index = page.Block, page.Index
	}
}

func (w *world) tokens(name string) []uint64 {
	all, _ := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte(name)})
	var tokens []uint64
	for _, p := range all {
		tokens = append(tokens, p.Token)
	}
	return tokens
}

// What was noted is found, newest first, with its time, wherever it is: in the block that
// is being made, in one that waits, or in one of many that are written.
func TestFound(t *testing.T) {
	w := newWorld(t, 64<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	type kept struct {
		token      uint64
		start, end int64
	}
	want := map[string][]kept{}
	w.beats(1)
	for token := uint64(1); token <= 30_000; token++ {
		name := fmt.Sprintf("orders/%d", rng.IntN(300))
		e := ended(name, lockfsm.Token(token), rng.Int64N(500))
		held := int64(e.Since)
		w.note(1, rng.Int64N(3), e)
		want[name] = append(want[name], kept{token, w.wall - held, w.wall})
		switch {
		case token == 25_000:
			w.sync()
		case token < 25_000 && token%1000 == 0:
			if err := w.s.Write(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, again := range []string{"", "after a restart"} {
		for name, all := range want {
			from := all[len(all)/3].start
			to := all[len(all)/2].end
			got, page := w.ask(wire.History{FromMillis: uint64(from), ToMillis: uint64(to),
				Limit: 7, Name: []byte(name)})
			var held []kept
			for _, k := range slices.Backward(all) {
				if k.end >= from && k.start <= to {
					held = append(held, k)
				}
			}
			if len(got) != len(held) || len(page.Spans) != 1 || page.Flags != 0 {
				t.Fatalf("%s %s: got %d holds, spans %v, want %d", name, again, len(got), page.Spans, len(held))
			}
			for i, k := range held {
				p := &got[i]
				if p.Token != k.token || int64(p.StartMillis) != k.start || int64(p.EndMillis) != k.end ||
					p.StartAbout+p.EndAbout != 0 || string(p.Client) != "worker (pid 1)" {
					t.Fatalf("%s %s: got %+v, want %+v", name, again, p, k)
				}
			}
		}
		w.sync()
		w.open()
	}
}

// A lock may have the name of a client that was met before it.
func TestNameOfAClientAndALock(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	e := ended("a", 1, 5)
	e.Client = []byte("twice")
	w.note(1, 10, e, ended("twice", 2, 5))
	if got := w.tokens("twice"); !slices.Equal(got, []uint64{2}) {
		t.Errorf("got %v, want token 2", got)
	}
}

// After a crash that leaves any part of what was written last, all that was synced before is
// there, and what is noted again is there once.
func TestCrashAtEveryByte(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	for token := range lockfsm.Token(6) {
		w.note(1, 10, ended("a", token+1, 5), ended("b", token+11, 5))
		if token%2 == 1 {
			w.sync()
		}
	}
	w.note(1, 10, ended("a", 7, 5), ended("b", 17, 5))
	before := len(w.files.(*memory).mu.files[1].mu.b)
	w.sync()
	whole := slices.Clone(w.files.(*memory).mu.files[1].mu.b)
	for cut := before; cut <= len(whole); cut++ {
		w.files.(*memory).mu.files[1].mu.b = slices.Clone(whole[:cut])
		w.open()
		got := w.tokens("a")
		if len(got) != 6 && len(got) != 7 || got[len(got)-1] != 1 {
			t.Fatalf("cut at %d: got %v", cut, got)
		}
		for i := range w.notes[4:] {
			w.notes[4+i].Now = 0 // applied again
			w.s.Note(&w.notes[4+i])
		}
		w.sync()
		w.open()
		a, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
		b := w.tokens("b")
		if len(a) != 7 || len(b) != 7 || a[0].Token != 7 || b[0] != 17 || len(page.Spans) != 1 {
			t.Fatalf("cut at %d, noted again: got %v and %v, spans %v", cut, a, b, page.Spans)
		}
	}
	if len(w.damaged) != 0 {
		t.Errorf("torn ends: got %v told as damage", w.damaged)
	}
}

// A block that is not full yet is kept where it will be, longer each time, and a process that
// is killed loses nothing that was kept.
func TestKeep(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	size := func() int { return len(w.files.(*memory).mu.files[1].mu.b) }
	for token := lockfsm.Token(1); token <= 40; token++ {
		w.note(1, 10, ended(fmt.Sprintf("name-%d", token), token, 5))
		if err := w.s.Keep(); err != nil {
			t.Fatal(err)
		}
		before := size()
		if err := w.s.Keep(); err != nil || size() != before {
			t.Fatalf("nothing new: got %v, %d bytes after %d", err, size(), before)
		}
		if token%10 == 5 {
			w.sync()
		}
		if token%10 != 0 {
			continue
		}
		w.open() // what was not kept is lost
		for n := lockfsm.Token(1); n <= token; n++ {
			got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: fmt.Append(nil, "name-", n)})
			if len(got) != 1 || got[0].EndAbout != 0 || len(page.Spans) != 1 {
				t.Fatalf("after %d, name-%d: got %+v, spans %v", token, n, got, page.Spans)
			}
		}
		w.beats(1)
	}
}

// A block that is damaged is named and passed over, what it had is not known, and all
// others are found.
func TestDamage(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	var ends []int
	for token := range lockfsm.Token(3) {
		w.note(1, 10, ended("a", token+1, 5))
		w.sync()
		ends = append(ends, len(w.files.(*memory).mu.files[1].mu.b))
	}
	whole := slices.Clone(w.files.(*memory).mu.files[1].mu.b)
	for at := ends[0]; at < ends[1]; at++ {
		if whole[at] == 0 && at > ends[0]+200 {
			continue // padding
		}
		for _, when := range []string{"open", "asked"} {
			w.damaged = nil
			b := slices.Clone(whole)
			b[at] ^= 0x40
			if when == "open" {
				w.files.(*memory).mu.files[1].mu.b = b
				w.open()
			} else {
				w.files.(*memory).mu.files[1].mu.b = slices.Clone(whole)
				w.open()
				w.files.(*memory).mu.files[1].mu.b = b
			}
			got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
			if len(got) == 3 && got[1].Token == 2 && len(w.damaged) == 0 {
				continue // of no meaning
			}
			if len(got) != 2 || got[0].Token != 3 || got[1].Token != 1 || len(w.damaged) != 1 ||
				w.damaged[0] != int64(ends[0]) {
				t.Fatalf("byte %d, %s: got %+v, damage %v, want two holds, and damage at %d", at, when, got,
					w.damaged, ends[0])
			}
			for _, x := range page.Spans {
				if slot := w.notes[4].To; x.After < slot && x.To >= slot {
					t.Fatalf("byte %d, %s: got slot %d told as known: %+v", at, when, slot, page.Spans)
				}
			}
		}
	}
}

// Segments take no more than they may; the oldest go, and it is told how far back is known.
func TestBound(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	for token := range uint64(150_000) {
		w.note(1, 1, ended(fmt.Sprintf("name-%d", token%5000), lockfsm.Token(token+1), 3))
		if token%500 == 0 {
			if err := w.s.Write(); err != nil {
				t.Fatal(err)
			}
			if got := w.s.Stats().Bytes; got > MinBytes {
				t.Fatalf("bytes: got %d, want %d at most", got, MinBytes)
			}
		}
	}
	for range 2 {
		got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("name-77")})
		if len(page.Spans) != 1 || page.Spans[0].After < 50_000 || len(got) < 2 {
			t.Fatalf("got %d holds, spans %+v, want the newest", len(got), page.Spans)
		}
		known := page.Spans[0]
		want := 0
		for token := uint64(77); token < 150_000; token += 5000 {
			if slot := token + 4; slot > known.After {
				want++
			}
		}
		if len(got) < want {
			t.Errorf("holds: got %d, want %d, as all from slot %d on are known", len(got), want, known.After)
		}
		if at := int64(known.AfterMillis); at < epoch+50_000 || at > w.wall {
			t.Errorf("reach: got %d", at-epoch)
		}
		w.sync()
		w.open()
	}
	if n := w.s.Stats().Dropped; n != 0 {
		t.Errorf("dropped: got %d", n)
	}
}

// What was noted before a restart is not noted twice, and slots that were left out are
// told as such.
func TestAgainAndGap(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.note(1, 10, ended("a", 1, 5))
	w.note(1, 10, ended("a", 2, 5))
	w.sync()
	for range 2 {
		for i := range w.notes {
			w.s.Note(&w.notes[i])
		}
		if got := w.tokens("a"); !slices.Equal(got, []uint64{2, 1}) {
			t.Fatalf("noted again: got %v", got)
		}
		w.open()
	}
	part := w.notes[len(w.notes)-1]
	part.To += 2 // of which some is known
	part.LogTime += 20
	part.Ended = []lockfsm.Ended{ended("a", 3, 5)}
	w.s.Note(&part)
	gone := w.group[1]
	gone.To += 100
	gone.LogTime += 60_000
	w.wall += 60_000
	w.group[1] = gone
	w.note(1, 20, ended("a", 4, 5))
	for range 2 {
		got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
		if len(got) != 4 || got[0].Token != 4 || len(page.Spans) != 2 || page.Spans[0].After != 0 ||
			page.Spans[0].To != part.To || page.Spans[1].After != gone.To {
			t.Fatalf("gap: got %+v, spans %+v", got, page.Spans)
		}
		w.sync()
		w.open()
	}
}

// brokenFile fails while it is to.
type brokenFiles struct {
	Files
	err error
}

type brokenFile struct {
	File
	of *brokenFiles
}

func (b *brokenFiles) Open(n uint64) (File, error) {
	f, err := b.Files.Open(n)
	return brokenFile{f, b}, err
}

func (b brokenFile) WriteAt(d []byte, at int64) (int, error) {
	if b.of.err != nil {
		n, _ := b.File.WriteAt(d[:len(d)/2], at)
		return n, b.of.err
	}
	return b.File.WriteAt(d, at)
}

// While nothing can be written, what finds no room is dropped and counted, and told as
// not known; nothing else is lost.
func TestNothingCanBeWritten(t *testing.T) {
	w := newWorld(t, 64<<20)
	broken := &brokenFiles{Files: w.files}
	w.files = broken
	w.open()
	w.beats(1)
	w.note(1, 1, ended("first", 1, 0))
	w.sync()
	broken.err = errors.New("no space")
	token := lockfsm.Token(1)
	for w.s.Stats().Dropped == 0 {
		select {
		case <-w.s.more:
		default:
		}
		token++
		w.note(1, 1, ended(fmt.Sprintf("name-%d", token), token, 0))
		if token%10_000 == 0 && !errors.Is(w.s.Write(), broken.err) {
			t.Fatal("write: got no error")
		}
		if token > 1<<20 {
			t.Fatal("got nothing dropped")
		}
	}
	if len(w.s.more) != 0 {
		t.Error("what is dropped wakes who writes: it would try, and fail, without a pause")
	}
	broken.err = nil
	if err := w.s.Write(); err != nil {
		t.Fatal(err)
	}
	w.note(1, 1, ended("last", token+1, 0))
	for range 2 {
		got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte(fmt.Sprintf("name-%d", token-1))})
		lost := uint64(token) + 3
		if len(got) != 1 || len(page.Spans) != 2 || page.Spans[0].To != lost-1 ||
			page.Spans[1].After != lost || w.s.Stats().Dropped > 1 {
			t.Fatalf("got %v, spans %+v, want slot %d lost", got, page.Spans, lost)
		}
		if got := w.tokens("last"); len(got) != 1 {
			t.Errorf("last: got %v", got)
		}
		w.sync()
		w.open()
	}
}

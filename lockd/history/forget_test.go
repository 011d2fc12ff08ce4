package history

import (
	"fmt"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// fill notes holds and writes them, until so many segments were begun.
func (w *world) fill(token *lockfsm.Token, segments uint64) {
	w.t.Helper()
	for begun := w.s.newest().number + segments; w.s.newest().number < begun; {
		for range 500 {
			*token++
			w.note(1, 1, ended(fmt.Sprintf("name-%d", *token%5000), *token, 3))
		}
		if err := w.s.Write(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A segment goes with all that is told as known of it, also if the carry of the next, which
// says up to where that was, is damaged.
func TestForgottenWithoutCarry(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.note(1, 10, ended("first", 1, 5))
	w.sync()
	token := lockfsm.Token(1)
	w.fill(&token, 3)
	w.sync()
	w.files.(*memory).mu.files[2].mu.b[alignBytes] ^= 0x40
	w.open()
	if len(w.damaged) != 1 || len(w.tokens("first")) != 1 {
		t.Fatalf("got damage at %v, want one block, and the first hold", w.damaged)
	}
	for w.s.mu.segments[0].number == 1 {
		w.fill(&token, 1)
	}
	if _, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("first")}); w.s.mu.
		segments[0].number != 2 || page.Spans[0].After == 0 {
		t.Errorf("got segments from %d on, and slots known %+v, want not those of segment 1",
			w.s.mu.segments[0].number, page.Spans)
	}
}

// What goes while a question is answered is not told as known.
func TestForgottenMeanwhile(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.note(1, 10, ended("first", 1, 5))
	w.sync()
	token := lockfsm.Token(1)
	w.fill(&token, 3)
	q := question{History: &wire.History{ToMillis: 1 << 62, Name: []byte("first")}, s: w.s, group: 1,
		hash: uint32(hashText([]byte("first"))), now: w.wall, limit: wire.MaxPage}
	blocks, waiting := q.begin()
	for w.s.mu.segments[0].number == 1 {
		w.fill(&token, 1)
	}
	q.look(blocks, waiting)
	if len(q.page.Holds) != 0 || q.spans[0].after == 0 {
		t.Errorf("got holds %+v, slots known %+v, want neither the first hold nor its slot",
			q.page.Holds, q.spans)
	}
}

// The slots of a block whose holds cannot be told, as it has an end that only a later
// version knows, are not told as known.
func TestUnknownEnd(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	x := ended("a", 1, 5)
	x.How = 200
	w.note(1, 10, x)
	got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte("a")})
	if len(got) != 0 || page.Flags != wire.HistoryDamaged || len(page.Spans) != 0 {
		t.Errorf("got %+v, slots known %+v, want neither", got, page.Spans)
	}
}

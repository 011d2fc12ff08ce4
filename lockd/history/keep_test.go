package history

import (
	"fmt"
	"slices"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// fillBlock notes holds until a block waits to be written.
func (w *world) fillBlock(token *lockfsm.Token) {
	for queued := len(w.s.mu.queue); len(w.s.mu.queue) == queued; {
		*token++
		w.note(1, 1, ended(fmt.Sprintf("name-%d", *token), *token, 0))
	}
}

// A block that becomes full when the one before has just been written, and before the open one
// is kept, has its place first: the open one is kept behind it, and is not lost if the
// process is killed then.
func TestKeepBesideAFullBlock(t *testing.T) {
	w := newWorld(t, 64<<20)
	w.beats(1)
	token := lockfsm.Token(1)
	w.note(1, 1, ended("first", 1, 0))
	w.sync()
	w.fillBlock(&token) // as in the moment between the two parts of Keep
	w.note(1, 1, ended("last", token+1, 0))
	before := slices.Clone(w.files.(*memory).mu.files[1].mu.b)
	if err := w.s.keepOpen(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.files.(*memory).mu.files[1].mu.b, before) {
		t.Error("the open block was kept where the full one belongs")
	}
	for range 2 {
		if err := w.s.Keep(); err != nil {
			t.Fatal(err)
		}
	}
	w.open() // what was not kept is lost
	for _, name := range []string{"first", fmt.Sprint("name-", token), "last"} {
		got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: []byte(name)})
		if len(got) != 1 || len(page.Spans) != 1 {
			t.Errorf("%s: got %+v, slots known %+v, want one hold, and no gap", name, got, page.Spans)
		}
	}
}

// A block that is kept counts among what segments take.
func TestBoundWithKeptBlock(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	for token := range uint64(60_000) {
		w.note(1, 1, ended(fmt.Sprintf("name-%d", token%5000), lockfsm.Token(token+1), 3))
		if token%100 != 0 {
			continue
		}
		if err := w.s.Keep(); err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, f := range w.files.(*memory).mu.files { // order: a sum
			sum += len(f.mu.b)
		}
		if sum > MinBytes {
			t.Fatalf("bytes: got %d, want %d at most", sum, MinBytes)
		}
	}
}

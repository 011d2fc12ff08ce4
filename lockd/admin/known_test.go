package admin

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// What was printed of a watch is read again: the last of each name counts, of names
// that are no text too, and a torn end does not.
func TestReadKnown(t *testing.T) {
	odd := "a\xff\n"
	var text []byte
	for i, name := range []string{"a", odd, "a"} {
		e := client.WatchEvent{Name: name, Change: client.LockAcquired, Holders: 1,
			Version: client.Version{Slot: uint64(i + 1), State: 1<<63 + uint64(i)}}
		text = AppendEvent(text, &e, time.Now())
	}
	last := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	for _, torn := range [][]byte{nil, text[last : len(text)-1], []byte("{")} {
		known, err := ReadKnown(bytes.NewReader(append(bytes.Clone(text), torn...)))
		if err != nil || len(known) != 2 || known["a"] != (client.Version{Slot: 3, State: 1<<63 + 2}) ||
			known[odd] != (client.Version{Slot: 2, State: 1<<63 + 1}) {
			t.Errorf("torn %q: got %v, %v", torn, known, err)
		}
	}
	// Who goes on in the same file begins behind a torn line.
	for cut := 1; cut < last; cut++ {
		if text[cut-1] == '\n' {
			continue
		}
		known, err := ReadKnown(bytes.NewReader(append(bytes.Clone(text[:cut]), text[last:]...)))
		if err != nil || known["a"] != (client.Version{Slot: 3, State: 1<<63 + 2}) {
			t.Fatalf("torn in the middle, at %d: got %v, %v", cut, known, err)
		}
	}
	for _, bad := range []string{"\n", "[]\n", `{"name":"a"}` + "\n", `{"version":"1-1"}` + "\n",
		`{"name":"a","name_base64":"*","version":"1-1"}` + "\n"} {
		if known, err := ReadKnown(strings.NewReader(bad)); !errors.Is(err, ErrNoEvent) {
			t.Errorf("%q: got %v, %v", bad, known, err)
		}
	}
}

// FuzzReadKnown reads anything.
func FuzzReadKnown(f *testing.F) {
	f.Add([]byte(`{"name":"a","version":"1-1"}` + "\n"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if known, err := ReadKnown(bytes.NewReader(text)); (known == nil) != (err != nil) {
			t.Errorf("got %v, %v", known, err)
		}
	})
}

package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// syncedFiles remembers which segments have something that no Sync made durable, and fails
// every Sync while it is to.
type syncedFiles struct {
	Files
	dirty map[uint64]bool
	err   error
}

type syncedFile struct {
	File
	of     *syncedFiles
	number uint64
}

func (s *syncedFiles) Open(n uint64) (File, error) {
	f, err := s.Files.Open(n)
	return syncedFile{f, s, n}, err
}

func (f syncedFile) WriteAt(d []byte, at int64) (int, error) {
	f.of.dirty[f.number] = true
	return f.File.WriteAt(d, at)
}

func (f syncedFile) Sync() error {
	if f.of.err == nil {
		delete(f.of.dirty, f.number)
	}
	return f.of.err
}

// What Sync says is durable is so in every segment, also in one that became full since the last
// Sync, and what it failed to make durable it does not say is.
func TestSyncIsOfEverySegment(t *testing.T) {
	w := newWorld(t, MinBytes)
	files := &syncedFiles{Files: w.files, dirty: map[uint64]bool{}}
	w.files = files
	w.open()
	w.beats(1)
	w.sync()
	token := lockfsm.Token(0)
	for range 3 {
		w.fill(&token, 2)
		w.note(1, 1, ended(fmt.Sprint("last-", token), token+1, 0))
		if err := w.s.Keep(); err != nil {
			t.Fatal(err)
		}
		files.err = errors.New("no disk")
		if err := w.s.Sync(); !errors.Is(err, files.err) {
			t.Fatalf("a sync that fails: got %v", err)
		}
		files.err = nil
		if w.sync(); len(files.dirty) != 0 {
			t.Fatalf("after a sync: got segments %v that are not durable", files.dirty)
		}
	}
}

// A segment that is begun while blocks wait says where the groups stood before these, and not
// where they stand: when it has become the oldest, what it has is known.
func TestCarryOfWhatWaits(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	token := lockfsm.Token(0)
	w.fillBlock(&token)
	w.sync()
	stood, first := w.group[1].To, token+1
	w.fillBlock(&token) // it waits
	if err := w.s.begin(w.s.mu.queue[0].info.number); err != nil {
		t.Fatal(err)
	}
	carry := w.s.mu.segments[1].carry
	if len(carry) != 1 || carry[0].to != stood {
		t.Errorf("got %+v, want the group at slot %d", carry, stood)
	}
	w.sync()
	for w.s.mu.segments[0].number == 1 {
		w.fill(&token, 1)
	}
	for range 2 {
		got, page := w.ask(wire.History{ToMillis: 1 << 62, Name: fmt.Append(nil, "name-", first)})
		if len(got) == 0 || len(page.Spans) != 1 || page.Spans[0].After != stood {
			t.Errorf("got %d holds, slots known %+v, want those from %d on", len(got), page.Spans, stood)
		}
		w.open()
	}
}

// A directory that a later version wrote is not read, and stays as it is.
func TestTooNew(t *testing.T) {
	w := newWorld(t, MinBytes)
	w.beats(1)
	w.note(1, 10, ended("a", 1, 5))
	w.sync()
	b := w.files.(*memory).mu.files[1].mu.b
	block := b[w.s.mu.blocks[0].offset:]
	block[4] = blockVersion + 1
	head := w.s.mu.blocks[0].head
	binary.LittleEndian.PutUint32(block[48:],
		checksum(block[:48], block[headerBytes:headerBytes+head]))
	before := slices.Clone(b)
	if _, err := Open(w.files, w.opts); !errors.Is(err, ErrTooNew) {
		t.Errorf("got %v, want ErrTooNew", err)
	}
	if after := w.files.(*memory).mu.files[1].mu.b; !slices.Equal(after, before) {
		t.Error("the segment was changed")
	}
}

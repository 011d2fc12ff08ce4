package checkpointtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"lockd/lockfsm"
)

// Store is a checkpoint store as its users see it.
type Store interface {
	// Save changes a group's checkpoint to slot, whole or not at all. It fails
	// with ErrOldSlot for a slot behind the stored one.
	Save(group uint16, slot uint64, b *lockfsm.Records) error
	// Load calls fn with every record, keys ascending; slot is 0 if there is no
	// checkpoint.
	Load(group uint16, fn func(key, value []byte) error) (slot uint64, err error)
	// OpenSnapshot opens the current checkpoint for sending.
	OpenSnapshot(group uint16) (Snapshot, error)
	// Begin starts an install, or goes on with one of the same state. It fails
	// with ErrOldSlot unless the state is ahead of the stored checkpoint.
	Begin(group uint16, s State) (Installer, error)
}

// State names a checkpoint: its slot, how many records it has, and their hash.
type State struct{ Slot, Records, Hash uint64 }

// Snapshot is a checkpoint on its way out.
type Snapshot interface {
	// State names the checkpoint.
	State() State
	// Next appends a chunk of at most about maxBytes to dst.
	Next(dst []byte, maxBytes int) (chunk []byte, last bool, err error)
	// Seek makes Next go on where an Installer stands.
	Seek(number uint32, after []byte) error
	// Close lets go of the checkpoint.
	Close() error
}

// Installer is a checkpoint on its way in.
type Installer interface {
	// Add takes the next chunk, ignores an earlier one, and refuses any other
	// with ErrChunk, unchanged.
	Add(chunk []byte) error
	// Position says which chunk is wanted, and the last key before it.
	Position() (next uint32, after []byte)
	// Load calls fn with every record that was added, keys ascending.
	Load(fn func(key, value []byte) error) error
	// Commit replaces the group's checkpoint at once. It fails with ErrChunk if
	// chunks are missing and with ErrOldSlot if a Save has overtaken it.
	Commit() error
	// Abort drops what was added. It may be called again.
	Abort() error
}

// Subject is a kind of store under test.
type Subject struct {
	// Open returns an empty store and a function that closes it and opens it
	// again, as after a restart. Both belong to the test.
	Open func(t *testing.T) (s Store, reopen func() Store)
	// ErrOldSlot and ErrChunk are the errors of the contract.
	ErrOldSlot, ErrChunk error
}

// Run runs the contract.
func Run(t *testing.T, s Subject) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"EmptyGroup", emptyGroup},
		{"IncrementalEqualsFull", incremental},
		{"GroupsAreApart", groupsApart},
		{"OldSlotRefused", oldSlot},
		{"SnapshotIsOfOneMoment", snapshotMoment},
		{"SnapshotInstalls", snapshotInstalls},
		{"SnapshotResumes", snapshotResumes},
		{"ChunksChecked", chunksChecked},
		{"AbortLeavesOld", abortLeavesOld},
		{"InstallGoesOnAfterRestart", installGoesOn},
		{"InstallOfAnotherStateBeginsAnew", installOfAnother},
		{"LoadBeforeCommit", loadBeforeCommit},
		{"OvertakenInstallRefused", overtaken},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// Content is a checkpoint in a test: what a store must give back.
type Content map[string]string

// Records returns all of c as one save.
func (c Content) Records() *lockfsm.Records {
	var r lockfsm.Records
	for _, k := range slices.Sorted(maps.Keys(c)) {
		r.Set([]byte(k), []byte(c[k]))
	}
	return &r
}

// Change sets keys from to below to with values of round, deletes every third,
// and returns the save that says so.
func (c Content) Change(round, from, to int) *lockfsm.Records {
	var r lockfsm.Records
	for i := from; i < to; i++ {
		key := fmt.Sprintf("key-%05d", i)
		if (i+round)%3 == 0 {
			delete(c, key)
			r.Set([]byte(key), nil)
			continue
		}
		value := bytes.Repeat(fmt.Appendf(nil, "value %d of round %d. ", i, round), 1+i%5)
		c[key] = string(value)
		r.Set([]byte(key), value)
	}
	return &r
}

// Read loads a group and checks that keys ascend.
func Read(s Store, group uint16) (Content, uint64, error) {
	c := Content{}
	var last []byte
	slot, err := s.Load(group, func(key, value []byte) error {
		if last != nil && bytes.Compare(key, last) <= 0 {
			return fmt.Errorf("key %q comes after %q", key, last)
		}
		last = bytes.Clone(key)
		c[string(key)] = string(value)
		return nil
	})
	return c, slot, err
}

// Expect fails the test unless the group is at slot with that content.
func Expect(t *testing.T, s Store, group uint16, slot uint64, want Content) {
	t.Helper()
	got, at, err := Read(s, group)
	if err != nil {
		t.Fatalf("load group %d: got %v, want no error", group, err)
	}
	if at != slot || !maps.Equal(got, want) {
		t.Fatalf("group %d: got slot %d with %d records, want slot %d with %d",
			group, at, len(got), slot, len(want))
	}
}

// Chunks reads a whole snapshot.
func Chunks(t *testing.T, n Snapshot, maxBytes int) [][]byte {
	t.Helper()
	var all [][]byte
	for {
		chunk, last, err := n.Next(nil, maxBytes)
		if err != nil {
			t.Fatalf("chunk %d: got %v, want no error", len(all), err)
		}
		all = append(all, chunk)
		if last {
			return all
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got %v, want no error", err)
	}
}

func expectErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func emptyGroup(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	Expect(t, st, 3, 0, Content{})
	must(t, st.Save(3, 1, &lockfsm.Records{}))
	Expect(t, reopen(), 3, 1, Content{})
}

func incremental(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	c := Content{}
	for round := range 8 {
		must(t, st.Save(1, uint64(10+round), c.Change(round, round*20, round*20+60)))
		Expect(t, st, 1, uint64(10+round), c)
		if round%3 == 2 {
			st = reopen()
			Expect(t, st, 1, uint64(10+round), c)
		}
	}
}

func groupsApart(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	a, b := Content{}, Content{}
	must(t, st.Save(255, 5, a.Change(0, 0, 50)))
	must(t, st.Save(256, 9, b.Change(1, 0, 50)))
	must(t, st.Save(255, 6, a.Change(2, 0, 50)))
	st = reopen()
	Expect(t, st, 255, 6, a)
	Expect(t, st, 256, 9, b)
	Expect(t, st, 257, 0, Content{})
}

func oldSlot(t *testing.T, s Subject) {
	st, _ := s.Open(t)
	c := Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 9)))
	expectErr(t, st.Save(1, 6, Content{}.Change(1, 0, 9)), s.ErrOldSlot)
	Expect(t, st, 1, 7, c)
	_, err := st.Begin(1, State{Slot: 7, Records: 1, Hash: 1})
	expectErr(t, err, s.ErrOldSlot)
}

func snapshotMoment(t *testing.T, s Subject) {
	st, _ := s.Open(t)
	c := Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 300)))
	n, err := st.OpenSnapshot(1)
	must(t, err)
	was := maps.Clone(c)
	must(t, st.Save(1, 8, c.Change(1, 0, 300)))
	if got := n.State(); got.Slot != 7 || got.Records != uint64(len(was)) {
		t.Fatalf("state: got %v, want slot 7 and %d records", got, len(was))
	}
	install(t, st, 2, n.State(), Chunks(t, n, 1000))
	must(t, n.Close())
	Expect(t, st, 2, 7, was)
	Expect(t, st, 1, 8, c)
}

func install(t *testing.T, st Store, group uint16, state State, chunks [][]byte) {
	t.Helper()
	in, err := st.Begin(group, state)
	must(t, err)
	for _, c := range chunks {
		must(t, in.Add(c))
		if next, _ := in.Position(); int(next) < len(chunks) {
			must(t, in.Add(c)) // a repeated chunk does no harm
		}
	}
	must(t, in.Commit())
}

// open opens a group's snapshot and reads it.
func open(t *testing.T, st Store, group uint16, maxBytes int) (State, [][]byte) {
	t.Helper()
	n, err := st.OpenSnapshot(group)
	must(t, err)
	chunks := Chunks(t, n, maxBytes)
	must(t, n.Close())
	return n.State(), chunks
}

func snapshotInstalls(t *testing.T, s Subject) {
	from, _ := s.Open(t)
	to, reopen := s.Open(t)
	c := Content{}
	must(t, from.Save(1, 70, c.Change(0, 0, 400)))
	must(t, to.Save(1, 7, Content{}.Change(2, 100, 600)))
	for _, maxBytes := range []int{1, 700, 1 << 20} {
		state, chunks := open(t, from, 1, maxBytes)
		install(t, to, 1, state, chunks)
		Expect(t, to, 1, state.Slot, c)
		must(t, to.Save(1, state.Slot+1, &lockfsm.Records{}))
		must(t, from.Save(1, state.Slot+9, c.Change(maxBytes, 50, 90)))
	}
	to = reopen()
	_, slot, err := Read(to, 1)
	must(t, err)
	must(t, to.Save(1, slot+1, Content{}.Change(1, 0, 10)))
}

func snapshotResumes(t *testing.T, s Subject) {
	st, _ := s.Open(t)
	c := Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 300)))
	for _, cut := range []int{0, 1, 5} {
		// Two readers of equal content, with chunks of other sizes: the second
		// goes on where the first one's chunks end.
		first, err := st.OpenSnapshot(1)
		must(t, err)
		in, err := st.Begin(uint16(10+cut), first.State())
		must(t, err)
		for range cut {
			chunk, _, err := first.Next(nil, 900)
			must(t, err)
			must(t, in.Add(chunk))
		}
		must(t, first.Close())
		second, err := st.OpenSnapshot(1)
		must(t, err)
		must(t, second.Seek(in.Position()))
		for _, chunk := range Chunks(t, second, 1700) {
			must(t, in.Add(chunk))
		}
		must(t, second.Close())
		must(t, in.Commit())
		Expect(t, st, uint16(10+cut), 7, c)
	}
}

func chunksChecked(t *testing.T, s Subject) {
	st, _ := s.Open(t)
	c := Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	state, all := open(t, st, 1, 900)
	must(t, st.Save(1, 8, &lockfsm.Records{}))
	_, other := open(t, st, 1, 900)

	in, err := st.Begin(2, state)
	must(t, err)
	must(t, in.Add(all[0]))
	expectErr(t, in.Add(all[2]), s.ErrChunk)
	expectErr(t, in.Add(other[1]), s.ErrChunk)
	for i := range all[1] {
		bad := bytes.Clone(all[1])
		bad[i] ^= 0x10
		if err := in.Add(bad); err == nil {
			t.Fatalf("chunk with byte %d changed: got no error", i)
		}
	}
	expectErr(t, in.Add(all[1][:20]), s.ErrChunk)
	expectErr(t, in.Commit(), s.ErrChunk)
	for _, chunk := range all[1:] {
		must(t, in.Add(chunk))
	}
	must(t, in.Commit())
	Expect(t, st, 2, 7, c)
	_, err = st.Begin(1, State{Slot: 8})
	expectErr(t, err, s.ErrOldSlot)

	// Chunks that are fine one by one and are not what was announced.
	state.Slot, state.Hash = 9, state.Hash+1
	in, err = st.Begin(1, state)
	must(t, err)
	expectErr(t, in.Add(all[0]), s.ErrChunk)
	Expect(t, st, 1, 8, c)
}

func abortLeavesOld(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	c, d := Content{}, Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	must(t, st.Save(2, 9, d.Change(1, 0, 90)))
	state, all := open(t, st, 2, 900)
	in, err := st.Begin(1, state)
	must(t, err)
	must(t, in.Add(all[0]))
	must(t, in.Abort())
	must(t, in.Abort())
	expectErr(t, in.Add(all[1]), s.ErrOldSlot)
	Expect(t, st, 1, 7, c)
	in, err = st.Begin(1, state)
	must(t, err)
	if next, after := in.Position(); next != 0 || after != nil {
		t.Fatalf("position after abort: got %d, %q, want the start", next, after)
	}
	must(t, in.Add(all[0]))
	st = reopen() // without a word to the installer: the process died
	Expect(t, st, 1, 7, c)
	install(t, st, 1, state, all)
	Expect(t, reopen(), 1, 9, d)
}

// installGoesOn restarts after every chunk.
func installGoesOn(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	c, d := Content{}, Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	must(t, st.Save(2, 9, d.Change(1, 0, 200)))
	state, all := open(t, st, 2, 900)
	for i, chunk := range all {
		in, err := st.Begin(1, state)
		must(t, err)
		if next, _ := in.Position(); int(next) != i {
			t.Fatalf("after %d chunks and a restart: got %d, want to go on there", i, next)
		}
		must(t, in.Add(chunk))
		st = reopen()
		Expect(t, st, 1, 7, c)
	}
	in, err := st.Begin(1, state)
	must(t, err)
	expectErr(t, in.Commit(), s.ErrChunk) // the last chunk is wanted again
	must(t, in.Add(all[len(all)-1]))
	must(t, in.Commit())
	Expect(t, reopen(), 1, 9, d)
}

// installOfAnother gives up a half for another snapshot, and for a save.
func installOfAnother(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	c, d := Content{}, Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	must(t, st.Save(2, 9, d.Change(1, 0, 90)))
	old, oldChunks := open(t, st, 2, 900)
	in, err := st.Begin(1, old)
	must(t, err)
	must(t, in.Add(oldChunks[0]))
	must(t, in.Add(oldChunks[1]))
	must(t, st.Save(2, 11, d.Change(2, 30, 120)))
	state, chunks := open(t, st, 2, 900)
	next, err := st.Begin(1, state)
	must(t, err)
	if at, _ := next.Position(); at != 0 {
		t.Fatalf("another snapshot: got position %d, want the start", at)
	}
	expectErr(t, in.Add(oldChunks[2]), s.ErrOldSlot)
	must(t, next.Add(chunks[0]))
	must(t, st.Save(1, 11, c.Change(3, 0, 60)))
	expectErr(t, next.Add(chunks[1]), s.ErrOldSlot)
	Expect(t, reopen(), 1, 11, c)
}

func loadBeforeCommit(t *testing.T, s Subject) {
	st, _ := s.Open(t)
	c, d := Content{}, Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	must(t, st.Save(2, 9, d.Change(1, 0, 90)))
	state, all := open(t, st, 2, 900)
	in, err := st.Begin(1, state)
	must(t, err)
	got := Content{}
	keep := func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	}
	must(t, in.Add(all[0]))
	expectErr(t, in.Load(keep), s.ErrChunk)
	for _, chunk := range all[1:] {
		must(t, in.Add(chunk))
	}
	must(t, in.Load(keep))
	if !maps.Equal(got, d) {
		t.Fatalf("snapshot: got %d records, want %d and equal", len(got), len(d))
	}
	Expect(t, st, 1, 7, c)
	must(t, in.Commit())
	Expect(t, st, 1, 9, d)
}

func overtaken(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	c, d := Content{}, Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	must(t, st.Save(2, 9, d.Change(1, 0, 90)))
	state, all := open(t, st, 2, 1<<20)
	in, err := st.Begin(1, state)
	must(t, err)
	for _, chunk := range all {
		must(t, in.Add(chunk))
	}
	must(t, st.Save(1, 10, c.Change(2, 0, 60)))
	expectErr(t, in.Commit(), s.ErrOldSlot)
	Expect(t, reopen(), 1, 10, c)
}

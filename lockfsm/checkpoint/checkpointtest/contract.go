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
	// Begin starts an install at slot. It fails with ErrOldSlot unless slot is
	// ahead of the stored checkpoint.
	Begin(group uint16, slot uint64) (Installer, error)
}

// Snapshot is a checkpoint on its way out.
type Snapshot interface {
	// Slot is the slot of the checkpoint.
	Slot() uint64
	// Next appends a chunk of at most about maxBytes to dst.
	Next(dst []byte, maxBytes int) (chunk []byte, last bool, err error)
	// Seek makes Next return a chunk that it returned before.
	Seek(number uint32) error
	// Close lets go of the checkpoint.
	Close() error
}

// Installer is a checkpoint on its way in.
type Installer interface {
	// Add takes the next chunk, ignores an earlier one, and refuses any other
	// with ErrChunk, unchanged.
	Add(chunk []byte) error
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
	_, err := st.Begin(1, 7)
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
	if n.Slot() != 7 {
		t.Fatalf("slot: got %d, want 7", n.Slot())
	}
	install(t, st, 2, 7, Chunks(t, n, 1000))
	must(t, n.Close())
	Expect(t, st, 2, 7, was)
	Expect(t, st, 1, 8, c)
}

func install(t *testing.T, st Store, group uint16, slot uint64, chunks [][]byte) {
	t.Helper()
	in, err := st.Begin(group, slot)
	must(t, err)
	for _, c := range chunks {
		must(t, in.Add(c))
		must(t, in.Add(c)) // a repeated chunk does no harm
	}
	must(t, in.Commit())
}

func snapshotInstalls(t *testing.T, s Subject) {
	from, _ := s.Open(t)
	to, reopen := s.Open(t)
	c := Content{}
	must(t, from.Save(1, 70, c.Change(0, 0, 400)))
	must(t, to.Save(1, 7, Content{}.Change(2, 100, 600)))
	for _, maxBytes := range []int{1, 700, 1 << 20} {
		n, err := from.OpenSnapshot(1)
		must(t, err)
		install(t, to, 1, n.Slot(), Chunks(t, n, maxBytes))
		must(t, n.Close())
		Expect(t, to, 1, n.Slot(), c)
		must(t, to.Save(1, n.Slot()+1, &lockfsm.Records{}))
		must(t, from.Save(1, n.Slot()+9, c.Change(maxBytes, 50, 90)))
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
	n, err := st.OpenSnapshot(1)
	must(t, err)
	all := Chunks(t, n, 900)
	for _, number := range []int{0, 3, len(all) - 1, 1} {
		must(t, n.Seek(uint32(number)))
		for i, want := range all[number:] {
			got, last, err := n.Next(nil, 900)
			must(t, err)
			if !bytes.Equal(got, want) || last != (number+i == len(all)-1) {
				t.Fatalf("chunk %d after seek to %d differs", number+i, number)
			}
		}
	}
	must(t, n.Close())
}

func chunksChecked(t *testing.T, s Subject) {
	st, _ := s.Open(t)
	c := Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	n, err := st.OpenSnapshot(1)
	must(t, err)
	all := Chunks(t, n, 900)
	must(t, n.Close())
	must(t, st.Save(1, 8, &lockfsm.Records{}))
	n, err = st.OpenSnapshot(1)
	must(t, err)
	other := Chunks(t, n, 900)
	must(t, n.Close())

	in, err := st.Begin(2, 7)
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
	_, err = st.Begin(1, 8)
	expectErr(t, err, s.ErrOldSlot)
}

func abortLeavesOld(t *testing.T, s Subject) {
	st, reopen := s.Open(t)
	c, d := Content{}, Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	must(t, st.Save(2, 9, d.Change(1, 0, 90)))
	n, err := st.OpenSnapshot(2)
	must(t, err)
	all := Chunks(t, n, 900)
	must(t, n.Close())
	in, err := st.Begin(1, 9)
	must(t, err)
	must(t, in.Add(all[0]))
	must(t, in.Abort())
	must(t, in.Abort())
	Expect(t, st, 1, 7, c)
	if in, err = st.Begin(1, 9); err != nil {
		t.Fatalf("begin again: got %v, want no error", err)
	}
	must(t, in.Add(all[0]))
	st = reopen() // without a word to the installer: the process died
	Expect(t, st, 1, 7, c)
	install(t, st, 1, 9, all)
	Expect(t, reopen(), 1, 9, d)
}

func overtaken(t *testing.T, s Subject) {
	st, _ := s.Open(t)
	c, d := Content{}, Content{}
	must(t, st.Save(1, 7, c.Change(0, 0, 60)))
	must(t, st.Save(2, 9, d.Change(1, 0, 90)))
	n, err := st.OpenSnapshot(2)
	must(t, err)
	all := Chunks(t, n, 1<<20)
	must(t, n.Close())
	in, err := st.Begin(1, 9)
	must(t, err)
	for _, chunk := range all {
		must(t, in.Add(chunk))
	}
	must(t, st.Save(1, 10, c.Change(2, 0, 60)))
	expectErr(t, in.Commit(), s.ErrOldSlot)
	Expect(t, st, 1, 10, c)
}

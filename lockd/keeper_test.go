package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/lockfsm/checkpoint"
)

// openStore opens a store that fails the test where a node would stop.
func openStore(t *testing.T) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.Open(t.TempDir(), checkpoint.Options{
		Fatal:  func(err error) { panic(err) },
		Report: func(r checkpoint.Report) { t.Errorf("report: %v %v", r.Kind, r.Err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newTestKeeper(t *testing.T) *keeper {
	t.Helper()
	k := newKeeper(openStore(t), node.NewInbox(1<<20), lockfsm.DefaultLimits())
	t.Cleanup(func() {
		if err := k.sweep(time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	})
	return k
}

// machine applies n sessions, each holding one lock, from slot 1 on.
func machine(t *testing.T, n int) *lockfsm.Machine {
	t.Helper()
	m, err := lockfsm.New(lockfsm.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	extend(t, m, n)
	return m
}

func extend(t *testing.T, m *lockfsm.Machine, n int) {
	t.Helper()
	var out lockfsm.Outcome
	var b lockfsm.BatchBuilder
	for range n {
		slot := m.Applied() + 1
		b.Reset()
		b.Append(&lockfsm.Command{Op: lockfsm.OpOpenSession, Lease: 10_000,
			Nonce: lockfsm.Nonce{byte(slot), byte(slot >> 8), 1}})
		m.Apply(slot, b.Bytes(), &out)
		session := out.Results[0].Session
		b.Reset()
		b.Append(&lockfsm.Command{Op: lockfsm.OpAcquire, Session: session, Request: 1,
			Mode: lockfsm.ModeEX, Name: fmt.Appendf(nil, "lock/%d", slot)})
		m.Apply(slot+1, b.Bytes(), &out)
		if out.Results[0].Code != lockfsm.CodeOK {
			t.Fatalf("acquire: %v", out.Results[0].Code)
		}
	}
}

// release ends the sessions of the last n locks that are held.
func release(t *testing.T, m *lockfsm.Machine, n int) {
	t.Helper()
	var out lockfsm.Outcome
	var b lockfsm.BatchBuilder
	for id := lockfsm.SessionID(m.Applied()); id > 0 && n > 0; id-- {
		var info lockfsm.SessionInfo
		if m.Session(id, &info) {
			b.Append(&lockfsm.Command{Op: lockfsm.OpCloseSession, Session: id})
			n--
		}
	}
	if err := m.Apply(m.Applied()+1, b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
}

// changes collects records as the engine does.
func changes(walk func(func(key, value []byte))) []node.KeyValue {
	var all []node.KeyValue
	walk(func(key, value []byte) {
		kv := node.KeyValue{Key: append([]byte(nil), key...)}
		if value != nil {
			kv.Value = append([]byte{}, value...)
		}
		all = append(all, kv)
	})
	return all
}

func (k *keeper) mustHold(t *testing.T, group uint16, want *lockfsm.Machine) {
	t.Helper()
	got, err := loadMachine(k.store, group, lockfsm.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if got.Applied() != want.Applied() || got.Digest() != want.Digest() {
		t.Errorf("group %d: got slot %d digest %x, want slot %d digest %x", group, got.Applied(),
			got.Digest(), want.Applied(), want.Digest())
	}
}

func TestKeeperSavesChangeSets(t *testing.T) {
	k := newTestKeeper(t)
	m := machine(t, 20)
	for range 3 {
		r := node.SaveRequest{Group: 4, Slot: m.Applied(),
			Changes: [][]node.KeyValue{changes(m.Dirty)}}
		if err := k.save(r); err != nil {
			t.Fatal(err)
		}
		k.mustHold(t, 4, m)
		extend(t, m, 5)
	}
}

// What the history cannot make durable keeps no checkpoint from being saved, and it is asked
// before.
func TestKeeperSavesWithoutAHistory(t *testing.T) {
	k := newTestKeeper(t)
	m := machine(t, 20)
	asked := 0
	k.before = func() error {
		if asked++; asked > 1 {
			k.mustHold(t, 4, m)
			extend(t, m, 5)
		}
		return errors.New("history: no space")
	}
	mustSave(t, k, m)
	r := node.SaveRequest{Group: 4, Slot: m.Applied(), Changes: [][]node.KeyValue{changes(m.Dirty)}}
	was := m.Applied()
	if err := k.save(r); err != nil || asked != 2 || m.Applied() == was {
		t.Errorf("got %v, asked %d times, want the checkpoint saved after it", err, asked)
	}
}

func mustSave(t *testing.T, k *keeper, m *lockfsm.Machine) {
	t.Helper()
	err := k.save(node.SaveRequest{Group: 4, Slot: m.Applied(),
		Changes: [][]node.KeyValue{changes(m.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
}

// What a key's first change adds to the checkpoint counts, not what its last
// does: a record that was added and changed is new to the store, one that was
// deleted and made again is not.
func TestKeeperAddsWhatTheFirstWordAdds(t *testing.T) {
	kv := func(key string, value []byte, adds bool) node.KeyValue {
		return node.KeyValue{Key: []byte(key), Value: value, Adds: adds}
	}
	set := []byte{1}
	got := lastWords([][]node.KeyValue{
		{kv("b", set, true), kv("a", nil, false), kv("d", set, true)},
		{kv("a", set, true), kv("b", nil, false), kv("c", set, false), kv("b", set, true)},
		{kv("d", nil, false)},
	})
	want := []node.KeyValue{kv("a", set, false), kv("b", set, true), kv("c", set, false),
		kv("d", nil, true)}
	same := func(a, b node.KeyValue) bool {
		return string(a.Key) == string(b.Key) && (a.Value == nil) == (b.Value == nil) &&
			a.Adds == b.Adds
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A change set that was collected in parts may name a key several times.
func TestKeeperTakesTheLastWordOnAKey(t *testing.T) {
	k := newTestKeeper(t)
	m := machine(t, 300)
	mustSave(t, k, m)
	extend(t, m, 300)
	var parts []node.KeyValue
	for range 5 {
		left := 40
		m.DirtySome(func(key, value []byte) bool {
			parts = append(parts, node.KeyValue{Key: slices.Clone(key), Value: slices.Clone(value),
				Adds: m.AddsRecord()})
			left--
			return left > 0
		})
		release(t, m, 30)
	}
	err := k.save(node.SaveRequest{Group: 4, Slot: m.Applied(),
		Changes: [][]node.KeyValue{parts, changes(m.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
	k.mustHold(t, 4, m)
}

// transfer carries a group from one keeper to another, as the engines do, at
// most so many chunks of it; done is nil if that was not all.
func transfer(t *testing.T, from, to *keeper, group uint16, most int) (done *node.InstallDone,
	err error) {
	t.Helper()
	o := from.open(node.OpenRequest{Group: group, Peer: 2})
	if o.Err != nil {
		return nil, o.Err
	}
	b := to.begin(node.BeginRequest{Group: group, Peer: 1, Snapshot: o.Snapshot})
	if b.Err != nil {
		return nil, b.Err
	}
	r := node.ChunkRequest{Group: group, Peer: 2, Chunk: b.Next, After: b.After, Seek: true,
		Bytes: 64 << 10}
	for range most {
		c := from.read(r)
		if c.Err != nil {
			t.Fatal(c.Err)
		}
		d := to.install(node.InstallRequest{Group: group, Peer: 1, Slot: o.Snapshot.Slot,
			Chunk: r.Chunk, Data: c.Data, Last: c.Last})
		if d.Err != nil || d.Last {
			return &d, d.Err
		}
		r.Chunk, r.Seek, r.After = r.Chunk+1, false, nil
	}
	return nil, nil
}

const allChunks = 1 << 20

func TestKeeperCarriesASnapshotOver(t *testing.T) {
	from, to := newTestKeeper(t), newTestKeeper(t)
	m := machine(t, 10_000)
	err := from.save(node.SaveRequest{Group: 9, Slot: m.Applied(),
		Changes: [][]node.KeyValue{changes(m.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
	done, err := transfer(t, from, to, 9, allChunks)
	if err != nil || done.Machine == nil || done.Chunk == 0 {
		t.Fatalf("got %v and %+v, want a machine after several chunks", err, done)
	}
	if got, want := done.Machine.Digest(), m.Digest(); got != want {
		t.Errorf("digest: got %x, want %x", got, want)
	}
	to.mustHold(t, 9, m)
	if len(to.incoming) != 0 {
		t.Errorf("%d transfers are still open", len(to.incoming))
	}
	if _, err = transfer(t, from, to, 9, allChunks); !errors.Is(err, checkpoint.ErrOldSlot) {
		t.Errorf("the same snapshot again: got %v, want ErrOldSlot", err)
	}
}

// A transfer that was cut goes on where it was: with the snapshot that is open
// although the checkpoint has moved on, with one of equal content after a
// restart of the sender, and after one of the receiver.
func TestKeeperGoesOnWithASnapshot(t *testing.T) {
	from, to := newTestKeeper(t), newTestKeeper(t)
	m := machine(t, 10_000)
	save := func() {
		t.Helper()
		err := from.save(node.SaveRequest{Group: 9, Slot: m.Applied(),
			Changes: [][]node.KeyValue{changes(m.Dirty)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	save()
	at := func() uint32 {
		t.Helper()
		o := from.open(node.OpenRequest{Group: 9, Peer: 2})
		b := to.begin(node.BeginRequest{Group: 9, Peer: 1, Snapshot: o.Snapshot})
		if err := errors.Join(o.Err, b.Err); err != nil {
			t.Fatal(err)
		}
		return b.Next
	}
	cut := func() {
		t.Helper()
		if done, err := transfer(t, from, to, 9, 4); done != nil || err != nil {
			t.Fatalf("got %v and %v, want a part", done, err)
		}
	}
	cut()
	if err := from.closeOutgoing(2); err != nil { // as a restart of the sender
		t.Fatal(err)
	}
	if got := at(); got != 4 {
		t.Errorf("after a restart of the sender: got chunk %d, want 4", got)
	}
	cut()
	to = newKeeper(to.store, to.inbox, to.limits)
	if got := at(); got != 8 {
		t.Errorf("after a restart of the receiver: got chunk %d, want 8", got)
	}
	old := m.Applied()
	extend(t, m, 1)
	save()
	if got := at(); got != 8 {
		t.Errorf("after a save at the sender: got chunk %d, want 8", got)
	}
	done, err := transfer(t, from, to, 9, allChunks)
	if err != nil || done.Machine.Applied() != old {
		t.Fatalf("got %+v and %v, want the machine at slot %d", done, err, old)
	}
	// What the peer has by now is not sent again.
	o := from.open(node.OpenRequest{Group: 9, Peer: 2, Above: old})
	if o.Err != nil || o.Snapshot.Slot != m.Applied() {
		t.Errorf("snapshot above slot %d: got slot %d and %v, want slot %d", old, o.Snapshot.Slot,
			o.Err, m.Applied())
	}
}

func TestKeeperRefusesAChunkOutOfPlace(t *testing.T) {
	from, to := newTestKeeper(t), newTestKeeper(t)
	m := machine(t, 100)
	err := from.save(node.SaveRequest{Group: 1, Slot: m.Applied(),
		Changes: [][]node.KeyValue{changes(m.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
	if c := from.read(node.ChunkRequest{Group: 1, Peer: 2, Bytes: 1000}); c.Err == nil {
		t.Error("a chunk of a snapshot that is not open: got no error")
	}
	o := from.open(node.OpenRequest{Group: 2, Peer: 2})
	if !errors.Is(o.Err, checkpoint.ErrNoCheckpoint) {
		t.Errorf("a group without checkpoint: got %v, want ErrNoCheckpoint", o.Err)
	}
	o = from.open(node.OpenRequest{Group: 1, Peer: 2})
	c := from.read(node.ChunkRequest{Group: 1, Peer: 2, Bytes: 1000})
	r := node.InstallRequest{Group: 1, Peer: 1, Slot: o.Snapshot.Slot, Data: c.Data}
	if done := to.install(r); done.Err == nil {
		t.Error("a chunk of a snapshot that was not begun: got no error")
	}
	to.begin(node.BeginRequest{Group: 1, Peer: 1, Snapshot: o.Snapshot})
	r.Chunk = 1
	if done := to.install(r); !errors.Is(done.Err, checkpoint.ErrChunk) {
		t.Errorf("chunk 1 before chunk 0: got %v, want ErrChunk", done.Err)
	}
	r.Chunk = 0
	r.Data = append([]byte(nil), c.Data...)
	r.Data[len(r.Data)-1] ^= 1
	if done := to.install(r); !errors.Is(done.Err, checkpoint.ErrChunk) {
		t.Errorf("a damaged chunk: got %v, want ErrChunk", done.Err)
	}
	// None of this has done any harm.
	if done, err := transfer(t, from, to, 1, allChunks); err != nil || done.Machine == nil {
		t.Fatalf("got %+v and %v, want a machine", done, err)
	}
	to.mustHold(t, 1, m)
}

// A snapshot of which each chunk is fine and the whole is not the machine it
// should be replaces nothing, and is not gone on with.
func TestKeeperRefusesASnapshotThatIsNoMachine(t *testing.T) {
	from, to := newTestKeeper(t), newTestKeeper(t)
	m := machine(t, 100)
	all := changes(m.Dirty)
	err := from.save(node.SaveRequest{Group: 1, Slot: m.Applied(),
		Changes: [][]node.KeyValue{all[:len(all)-3]}})
	if err != nil {
		t.Fatal(err)
	}
	old := machine(t, 10)
	err = to.save(node.SaveRequest{Group: 1, Slot: old.Applied(),
		Changes: [][]node.KeyValue{changes(old.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := transfer(t, from, to, 1, allChunks); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Fatalf("got %+v and %v, want ErrDamaged", done, err)
	}
	to.mustHold(t, 1, old)
	o := from.open(node.OpenRequest{Group: 1, Peer: 2})
	b := to.begin(node.BeginRequest{Group: 1, Peer: 1, Snapshot: o.Snapshot})
	if b.Err != nil || b.Next != 0 {
		t.Errorf("begun again: got chunk %d and %v, want chunk 0", b.Next, b.Err)
	}
}

func TestKeeperLetsGoOfIdleTransfers(t *testing.T) {
	k := newTestKeeper(t)
	m := machine(t, 100)
	err := k.save(node.SaveRequest{Group: 1, Slot: m.Applied(),
		Changes: [][]node.KeyValue{changes(m.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
	if o := k.open(node.OpenRequest{Group: 1, Peer: 2}); o.Err != nil {
		t.Fatal(o.Err)
	}
	if err := k.sweep(time.Now().Add(-time.Minute)); err != nil || len(k.outgoing) != 1 {
		t.Errorf("a transfer in use was closed: %v", err)
	}
	if err := k.sweep(time.Now().Add(time.Minute)); err != nil || len(k.outgoing) != 0 {
		t.Errorf("an idle transfer stays open: %v", err)
	}
}

func TestKeeperAnswersWhenItsQueueIsFull(t *testing.T) {
	k := newTestKeeper(t)
	for range keeperQueue {
		k.Read(node.ChunkRequest{Group: 1})
	}
	// None of these may block; their answers wait in the inbox.
	k.Read(node.ChunkRequest{Group: 1})
	k.Save(node.SaveRequest{Group: 1})
	k.Install(node.InstallRequest{Group: 1})
	k.Open(node.OpenRequest{Group: 1})
	k.Begin(node.BeginRequest{Group: 1})
	if got := len(k.jobs); got != keeperQueue {
		t.Errorf("%d jobs wait, want %d", got, keeperQueue)
	}
}

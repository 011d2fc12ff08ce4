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

// A change set that was collected in parts may name a key several times.
func TestKeeperTakesTheLastWordOnAKey(t *testing.T) {
	k := newTestKeeper(t)
	m := machine(t, 300)
	var parts []node.KeyValue
	for range 5 {
		left := 40
		m.DirtySome(func(key, value []byte) bool {
			parts = append(parts, node.KeyValue{Key: slices.Clone(key), Value: slices.Clone(value)})
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

// transferSnapshot carries a group from one keeper to another.
func transferSnapshot(t *testing.T, from, to *keeper, group uint16) node.InstallDone {
	t.Helper()
	for chunk := uint32(0); ; chunk++ {
		c := from.read(node.ChunkRequest{Group: group, Peer: 2, Chunk: chunk})
		if c.Err != nil {
			t.Fatal(c.Err)
		}
		done := to.install(node.InstallRequest{Group: group, Peer: 1, Slot: c.Slot, Chunk: chunk,
			Data: c.Data, Last: c.Last})
		if done.Err != nil || done.Last {
			return done
		}
	}
}

func TestKeeperCarriesASnapshotOver(t *testing.T) {
	from, to := newTestKeeper(t), newTestKeeper(t)
	m := machine(t, 10_000)
	err := from.save(node.SaveRequest{Group: 9, Slot: m.Applied(),
		Changes: [][]node.KeyValue{changes(m.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
	done := transferSnapshot(t, from, to, 9)
	if done.Err != nil || done.Machine == nil || done.Chunk == 0 {
		t.Fatalf("got %v, machine %v, chunk %d, want a machine after several chunks", done.Err,
			done.Machine != nil, done.Chunk)
	}
	if got, want := done.Machine.Digest(), m.Digest(); got != want {
		t.Errorf("digest: got %x, want %x", got, want)
	}
	to.mustHold(t, 9, m)
	if len(from.outgoing)+len(to.incoming) != 0 {
		t.Errorf("%d transfers are still open", len(from.outgoing)+len(to.incoming))
	}
	again := transferSnapshot(t, from, to, 9)
	if !errors.Is(again.Err, checkpoint.ErrOldSlot) {
		t.Errorf("the same snapshot again: got %v, want ErrOldSlot", again.Err)
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
	if c := from.read(node.ChunkRequest{Group: 1, Peer: 2, Chunk: 3}); c.Err == nil {
		t.Error("chunk 3 of a snapshot that was not begun: got no error")
	}
	if c := from.read(node.ChunkRequest{Group: 2, Peer: 2}); !errors.Is(c.Err,
		checkpoint.ErrNoCheckpoint) {
		t.Errorf("a group without checkpoint: got %v, want ErrNoCheckpoint", c.Err)
	}
	c := from.read(node.ChunkRequest{Group: 1, Peer: 2})
	r := node.InstallRequest{Group: 1, Peer: 1, Slot: c.Slot, Chunk: 1, Data: c.Data}
	if done := to.install(r); done.Err == nil {
		t.Error("chunk 1 of a snapshot that was not begun: got no error")
	}
	r.Chunk, r.Last = 0, true
	r.Data = append([]byte(nil), c.Data...)
	r.Data[len(r.Data)-1] ^= 1
	if done := to.install(r); done.Err == nil || done.Machine != nil {
		t.Errorf("a damaged chunk: got %v and machine %v, want an error", done.Err,
			done.Machine != nil)
	}
	if len(to.incoming) != 0 {
		t.Error("a failed install is still open")
	}
}

func TestKeeperLetsGoOfIdleTransfers(t *testing.T) {
	k := newTestKeeper(t)
	m := machine(t, 10_000)
	err := k.save(node.SaveRequest{Group: 1, Slot: m.Applied(),
		Changes: [][]node.KeyValue{changes(m.Dirty)}})
	if err != nil {
		t.Fatal(err)
	}
	if c := k.read(node.ChunkRequest{Group: 1, Peer: 2}); c.Err != nil || c.Last {
		t.Fatalf("first chunk: %v, last %v", c.Err, c.Last)
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
	if got := len(k.jobs); got != keeperQueue {
		t.Errorf("%d jobs wait, want %d", got, keeperQueue)
	}
}

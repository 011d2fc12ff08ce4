package node

import (
	"testing"

	"lockd/paxos"
	"lockd/wal"
)

// FuzzReplay: no record that a WAL hands over makes the recovery panic. What it
// does not take it says, and a node can be made of what it took (I9, I26).
func FuzzReplay(f *testing.F) {
	var m memories
	m.init(map[paxos.NodeID]memory{2: {disk: 5, starts: 1, start: 9, position: 77}})
	f.Add(uint16(memoryMark), uint64(0), uint8(wal.KindState), m.appendTo(nil, []paxos.NodeID{2}))
	f.Add(uint16(1|savedMark), uint64(3), uint8(wal.KindState), []byte(nil))
	f.Add(uint16(1|savedMark), uint64(3), uint8(wal.KindState), []byte{1})
	f.Add(uint16(1), uint64(1), uint8(wal.KindState), make([]byte, 11))
	f.Add(uint16(1), uint64(1), uint8(wal.KindEntry), make([]byte, 24))
	f.Add(uint16(1), uint64(1), uint8(wal.KindHint), make([]byte, 8))
	f.Add(uint16(99), uint64(1), uint8(9), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, group uint16, slot uint64, kind uint8, data []byte) {
		o := testOptions()
		o.Self = 1
		r := NewRecovery(testIdentity(), o)
		for lsn := wal.LSN(1); lsn <= 2; lsn++ {
			rec := wal.Record{Group: group, Slot: slot, Kind: wal.Kind(kind), Data: data}
			if err := r.Replay(lsn, rec); err != nil {
				return
			}
		}
		r.Opened(2)
	})
}

// FuzzSnapshotHead: what decodes as the head of a frame of a snapshot is written
// as it was read.
func FuzzSnapshotHead(f *testing.F) {
	f.Add(appendSnapshotHead(nil, snapshotHead{1, 1, 99}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, ok := decodeSnapshotHead(b)
		if !ok {
			return
		}
		if again := append(appendSnapshotHead(nil, h), rest...); string(again) != string(b) {
			t.Errorf("got %x, want %x", again, b)
		}
	})
}

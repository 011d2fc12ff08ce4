package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"lockd/paxos"
	"lockd/wal"
)

// ErrRolledBack is wrapped when a peer proves that this directory forgot
// something: it was restored from a copy, it is a copy that runs beside the
// original, or its disk lost what it had called synced. It is final: catching
// up would not bring the forgotten promises back (I7).
var ErrRolledBack = errors.New("node: data directory has forgotten what it had synced")

// memory is what this node remembers of one peer's disk. A peer that comes back
// with less has lost part of its log, and with it perhaps promises.
type memory struct {
	disk paxos.DiskID
	// starts counts the starts of the peer on that disk, and start is the
	// random mark of the last one seen. Two processes on copies of a directory
	// reach the same count with different marks.
	starts, start uint64
	// position is the highest log position the peer said it had synced.
	position wal.LSN
	// record is the version of the cluster's record the peer knew at the link,
	// plus one; zero if it was not born. It is not kept.
	record uint64
	// format is the newest format the peer knows, zero for the first. It is not
	// kept either.
	format uint8
}

// memories is what this node remembers of all peers. Handshakes read it from
// any goroutine; only the engine writes it. It is kept in the WAL, where it
// follows what is heard by a beat or two: what a peer synced last may be
// forgotten if this node dies within that time.
type memories struct {
	mu struct {
		sync.Mutex
		of map[paxos.NodeID]memory
	}
	// stale is set while the record in the WAL is behind. The engine owns it
	// and the two below.
	stale  bool
	wrote  Nanos // when the record was last appended
	record []byte
}

func (m *memories) init(from map[paxos.NodeID]memory) {
	m.mu.of = from
	if m.mu.of == nil {
		m.mu.of = make(map[paxos.NodeID]memory)
	}
}

// get returns what is remembered of a disk of a peer.
func (m *memories) get(id paxos.NodeID, disk paxos.DiskID) (memory, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have, ok := m.mu.of[id]
	return have, ok && have.disk == disk
}

// meet notes a start of a peer.
func (m *memories) meet(id paxos.NodeID, seen memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.mu.of[id]
	seen.record, seen.format = 0, 0
	if have.disk == seen.disk {
		seen.position = max(seen.position, have.position)
	}
	if have != seen {
		m.mu.of[id] = seen
		m.stale = true
	}
}

// hear notes how far the log of a linked peer has got.
func (m *memories) hear(id paxos.NodeID, disk paxos.DiskID, position wal.LSN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have, ok := m.mu.of[id]
	if ok && have.disk == disk && have.position < position {
		have.position = position
		m.mu.of[id] = have
		m.stale = true
	}
}

// forgets says what a peer that shows itself as seen has forgotten, empty if
// nothing that is known here.
func (m *memories) forgets(id paxos.NodeID, seen memory) string {
	have, ok := m.get(id, seen.disk)
	switch {
	case !ok || plantedIs("rolled-back-node-admitted"):
		return ""
	case seen.position < have.position:
		return fmt.Sprintf("its log ends at %d, and %d had been synced", seen.position,
			have.position)
	case seen.starts < have.starts:
		return fmt.Sprintf("this would be its start number %d, and number %d has been seen",
			seen.starts, have.starts)
	case seen.starts == have.starts && seen.start != have.start &&
		!plantedIs("copied-node-admitted"):
		return fmt.Sprintf("its start number %d has been seen in another process, which runs on a "+
			"copy of the directory", seen.starts)
	default:
		return ""
	}
}

// memoryMark is the group under which the WAL keeps what is remembered of the
// peers. It is above the groups of savedMark.
const memoryMark = 2 * savedMark

// memoryEntryBytes is the size of one peer in the record:
//
//	node u16 | disk u64 | starts u64 | start u64 | position u64
const memoryEntryBytes = 34

// appendTo appends the record's data, peers in the order of ids.
func (m *memories) appendTo(dst []byte, ids []paxos.NodeID) []byte {
	le := binary.LittleEndian
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		have, ok := m.mu.of[id]
		if !ok {
			continue
		}
		dst = le.AppendUint16(dst, uint16(id))
		dst = le.AppendUint64(dst, uint64(have.disk))
		dst = le.AppendUint64(dst, have.starts)
		dst = le.AppendUint64(dst, have.start)
		dst = le.AppendUint64(dst, uint64(have.position))
	}
	return dst
}

// decodeMemories reads what appendTo wrote.
func decodeMemories(b []byte) (map[paxos.NodeID]memory, error) {
	if len(b)%memoryEntryBytes != 0 {
		return nil, fmt.Errorf("node: memory of peers has %d bytes, want a multiple of %d", len(b),
			memoryEntryBytes)
	}
	le := binary.LittleEndian
	of := make(map[paxos.NodeID]memory)
	for ; len(b) > 0; b = b[memoryEntryBytes:] {
		of[paxos.NodeID(le.Uint16(b))] = memory{
			disk:     paxos.DiskID(le.Uint64(b[2:])),
			starts:   le.Uint64(b[10:]),
			start:    le.Uint64(b[18:]),
			position: wal.LSN(le.Uint64(b[26:])),
		}
	}
	return of, nil
}

// memoryRides is how old the record in the WAL may be before the next sync takes
// a new one along, memoryWaits how old before one is synced for its own sake.
const (
	memoryRides = 100 * Millisecond
	memoryWaits = Second
)

// rememberPeers appends what is remembered of the peers to the WAL, if it has
// changed and it is time.
func (n *Node) rememberPeers() {
	m := &n.memories
	wait := memoryWaits
	if n.flushWAL {
		wait = memoryRides
	}
	if !m.stale || m.wrote != 0 && n.now-m.wrote < wait || plantedIs("memory-of-peers-not-kept") {
		return
	}
	m.stale, m.wrote = false, n.now
	ids := make([]paxos.NodeID, 0, len(n.peers))
	for _, p := range n.peers {
		ids = append(ids, p.id)
	}
	m.record = m.appendTo(m.record[:0], ids)
	n.lastLSN = n.deps.Log.Append(wal.Record{
		Group: memoryMark, Kind: wal.KindState, Data: m.record,
	})
	n.flushWAL = true
}

// position is what peers are told of this node's log: how far what replicas
// recorded is synced. What the node writes down about peers does not count, or
// two idle nodes would for ever have news of each other.
func (n *Node) position() wal.LSN { return min(n.durable, n.spokenLSN) }

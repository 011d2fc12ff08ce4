package node

import (
	"lockd/lockfsm"
	"lockd/wal"
)

// DownCause says why a link ended.
type DownCause uint8

// The causes: the peer's process probably died; silence; our own doing.
const (
	DownReset DownCause = iota
	DownTimeout
	DownClosed
)

// Log is where records become durable. The engine is its only producer.
type Log interface {
	// Append buffers a copy of r and returns its position.
	Append(r wal.Record) wal.LSN
	// Flush asks for everything appended to be made durable. Completion, or
	// failure, arrives through Inbox.Durable or Inbox.Failed.
	Flush()
	// Release says that a durable checkpoint covers the group up to slot.
	Release(group uint16, slot uint64)
	// Cramped reports that the log has so little room that nothing new should
	// be admitted. It is asked once a beat of the protocol clock.
	Cramped() bool
	// SyncingSince is the moment at which the sync now running began, zero
	// when none is running.
	SyncingSince() Nanos
}

// Peers sends frames to other nodes. Send copies the frame and never blocks; a
// frame to a peer that is not linked is dropped.
type Peers interface {
	Send(to uint16, frame []byte)
}

// Clients answers conns. A conn that is gone is ignored.
type Clients interface {
	// Send copies the frames to what goes out on the conn.
	Send(c ConnID, frames []byte)
	// Flush, once a turn, starts the writing of everything sent.
	Flush()
	// CloseConn ends a conn that breaks the protocol.
	CloseConn(c ConnID)
}

// Checkpoints keeps machines at rest. Each call returns at once; the matching
// completion arrives through the inbox.
type Checkpoints interface {
	// Save makes a change set durable; completed by Inbox.Saved.
	Save(SaveRequest)
	// Read produces the next chunk of a snapshot; completed by Inbox.Chunk.
	Read(ChunkRequest)
	// Install takes one chunk of a snapshot; completed by Inbox.Installed.
	Install(InstallRequest)
}

// Superblock keeps the node's identity file.
type Superblock interface {
	// Store replaces the identity atomically and returns once it is durable.
	Store(b []byte) error
}

// KeyValue is one record of a checkpoint. A nil value deletes.
type KeyValue struct{ Key, Value []byte }

// SaveRequest asks that a group's checkpoint be moved to Slot by applying
// Changes, all or nothing. They come in parts and in no order of keys; of
// several on one key the last counts. The receiver only reads them.
type SaveRequest struct {
	Group   uint16
	Slot    uint64
	Changes [][]KeyValue
}

// SaveDone completes a SaveRequest. On error nothing has changed, and the
// engine asks again.
type SaveDone struct {
	Request SaveRequest
	Err     error
}

// ChunkRequest asks for chunk number Chunk, from zero, of a snapshot of the
// group's checkpoint for a peer. Chunk zero begins a new snapshot.
type ChunkRequest struct {
	Group, Peer uint16
	Chunk       uint32
}

// ChunkDone completes a ChunkRequest. Slot is the slot of the checkpoint.
type ChunkDone struct {
	Request ChunkRequest
	Slot    uint64
	Data    []byte
	Last    bool
	Err     error
}

// InstallRequest hands over one chunk of an arriving snapshot. The receiver
// owns Data. Chunk zero begins, the last chunk installs atomically.
type InstallRequest struct {
	Group, Peer uint16
	Slot        uint64
	Chunk       uint32
	Data        []byte
	Last        bool
}

// InstallDone completes an InstallRequest. After the last chunk Machine is the
// group's new machine, given up to the engine. On error the group's checkpoint
// is what it was.
type InstallDone struct {
	Group, Peer uint16
	Slot        uint64
	Chunk       uint32
	Last        bool
	Machine     *lockfsm.Machine
	Err         error
}

// Deps is the world of a node, as far as the node touches it.
type Deps struct {
	Log         Log
	Peers       Peers
	Clients     Clients
	Checkpoints Checkpoints
	Superblock  Superblock
	// Observe is told what happened, within a turn. It must be
	// quick and must not call back.
	Observe func(Event)
	// Probe watches the machines, nil for none.
	Probe Probe
}

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
	// Release says that a durable checkpoint covers the group up to slot, and a durable
	// mark says so, or, with the largest slot there is, that a durable mark says that
	// the group has left.
	Release(group uint16, slot uint64)
	// Reopen takes back every release of a group: the node begins to keep it
	// anew, from its first slot.
	Reopen(group uint16)
	// Cramped reports that the log has so little room that nothing new should
	// be admitted. It is asked once a beat of the protocol clock.
	Cramped() bool
	// Full reports that what waits for the disk takes all the room that there is. It
	// is asked while the disk does not move.
	Full() bool
	// SyncingSince is the moment since which the log waits for the disk, zero when
	// it does not.
	SyncingSince() Nanos
}

// Peers sends frames to other nodes. Send copies the frame and never blocks; a
// frame to a peer that is not linked is dropped.
type Peers interface {
	Send(to uint16, frame []byte)
	// Meet says that a node belongs to the cluster. It is to be linked at
	// address, unless the configuration knows a better one; empty if only that
	// does. It may be called again.
	Meet(id uint16, address string)
	// Part says that a node belongs to the cluster no more.
	Part(id uint16)
}

// Clients answers conns. A conn that is gone is ignored.
type Clients interface {
	// Send copies the frames to what goes out on the conn.
	Send(c ConnID, frames []byte)
	// Flush, once a turn, starts the writing of everything sent.
	Flush()
	// Resume reads again from a conn of which Inbox.Request said that it had put
	// in enough.
	Resume(c ConnID)
	// CloseConn ends a conn that breaks the protocol.
	CloseConn(c ConnID)
}

// Checkpoints keeps machines at rest, and snapshots in flight. Each call returns
// at once; the matching completion arrives through the inbox. Jobs are carried
// out in the order in which they were asked for.
type Checkpoints interface {
	// Save makes a change set durable; completed by Inbox.Saved.
	Save(SaveRequest)
	// Open makes a snapshot ready to be sent; completed by Inbox.Opened.
	Open(OpenRequest)
	// Read produces a chunk of a snapshot; completed by Inbox.Chunk.
	Read(ChunkRequest)
	// Begin makes ready for a snapshot that arrives; completed by Inbox.Begun.
	Begin(BeginRequest)
	// Install takes one chunk of a snapshot; completed by Inbox.Installed.
	Install(InstallRequest)
	// Drop removes a group's checkpoint; completed by Inbox.Dropped.
	Drop(group uint16)
}

// Superblock keeps the node's identity file.
type Superblock interface {
	// Store replaces the identity atomically and returns once it is durable.
	Store(b []byte) error
}

// KeyValue is one record of a checkpoint. A nil value deletes. Adds says that
// what came before it left nothing under its key, so that nobody need look
// (lockfsm.Machine.AddsRecord).
type KeyValue struct {
	Key, Value []byte
	Adds       bool
}

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

// Snapshot names a snapshot of a group: two with equal names hold the same
// records, whoever sends them.
type Snapshot struct {
	Slot uint64
	// Records is how many there are and Hash a hash of them all.
	Records, Hash uint64
}

// OpenRequest asks for a snapshot of the group's checkpoint for a peer. One that
// is open for the peer already is used again, so that a transfer can go on,
// unless it is not above slot Above; Above is the peer's own.
type OpenRequest struct {
	Group, Peer uint16
	Above       uint64
	// Try tells it apart from earlier ones for the same peer, which it makes void.
	Try uint32
}

// OpenDone completes an OpenRequest.
type OpenDone struct {
	Request  OpenRequest
	Snapshot Snapshot
	Err      error
}

// ChunkRequest asks for chunk number Chunk of the snapshot that is open for a
// peer, which begins after the record of key After: chunk zero, and no key, are
// the start. Seek is set where it is not the one after the last that was read.
type ChunkRequest struct {
	Group, Peer uint16
	Chunk       uint32
	Seek        bool
	After       []byte
	// Bytes bounds the chunk before compression, as far as records allow.
	Bytes int
	// Try is for the engine, which asks for a chunk again where one was lost.
	Try uint32
}

// ChunkDone completes a ChunkRequest.
type ChunkDone struct {
	Request ChunkRequest
	Data    []byte
	Last    bool
	Err     error
}

// BeginRequest says that a peer is about to send a snapshot. The receiver goes
// on with what it has of one of that name, over a restart too, and forgets what
// it has of any other of the group.
type BeginRequest struct {
	Group, Peer uint16
	Snapshot    Snapshot
}

// BeginDone completes a BeginRequest: chunk number Next, after the record of key
// After, is the first that is missing.
type BeginDone struct {
	Request BeginRequest
	Next    uint32
	After   []byte
	Err     error
}

// InstallRequest hands over one chunk of an arriving snapshot. The receiver
// owns Data. The last chunk installs atomically.
type InstallRequest struct {
	Group, Peer uint16
	Slot        uint64
	Chunk       uint32
	Data        []byte
	Last        bool
}

// InstallDone completes an InstallRequest. After the last chunk Machine is the
// group's new machine, given up to the engine. On error the group's checkpoint
// is what it was, and Begin says which chunks are there.
type InstallDone struct {
	Group, Peer uint16
	Slot        uint64
	Chunk       uint32
	Last        bool
	Machine     *lockfsm.Machine
	Err         error
}

// DropDone completes a Drop. On error something may be left, and the engine asks
// again.
type DropDone struct {
	Group uint16
	Err   error
}

// Deps is the world of a node, as far as the node touches it.
type Deps struct {
	Log         Log
	Peers       Peers
	Clients     Clients
	Checkpoints Checkpoints
	Superblock  Superblock
	// History keeps which holds ended, nil for none.
	History History
	// Observe is told what happened, within a turn. It must be
	// quick and must not call back.
	Observe func(Event)
	// Probe watches the machines, nil for none.
	Probe Probe
}

package locktest

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/paxos"
	"lockd/wal"
)

// member is a place where a node lives, with all that outlasts it: its log, its
// identity, its address.
type member struct {
	cluster  *Cluster
	id       uint16
	listener net.Listener
	accepted chan struct{} // closed when nothing is accepted any more

	// Of the disk. They belong to the life that runs, and to the switches when none
	// does.
	records  []wal.Record // record i has position i+1
	durable  int          // records that were flushed
	identity []byte
	past     history.Files

	mu struct {
		sync.Mutex
		life *life
		away bool // isolated
	}
}

// life is a node that runs.
type life struct {
	*member
	inbox  *node.Inbox
	node   *node.Node
	engine *node.Loop
	past   *history.Loop

	lock struct {
		sync.Mutex
		dead  bool
		conns map[node.ConnID]*conn
		links map[uint16]*link
	}
}

// running returns the node that runs, nil if it is dead.
func (m *member) running() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.life
}

// status returns how the node is, nil if it does not run.
func (m *member) status() *node.Status {
	if l := m.running(); l != nil {
		return l.node.Status()
	}
	return nil
}

// begin starts a node with what the disk holds.
func (m *member) begin() error {
	o := m.cluster.opts
	o.Self, o.Seed = m.id, random()
	if err := o.Validate(); err != nil {
		return err
	}
	id := node.Identity{Cluster: o.Cluster, Node: paxos.NodeID(m.id), Groups: uint16(o.Groups),
		Disk: paxos.DiskID(random() | 1), Settings: o.Digest()}
	if m.identity == nil {
		m.identity = node.AppendIdentity(nil, &id)
	}
	id, err := node.DecodeIdentity(m.identity)
	if err != nil {
		return err
	}
	recovery := node.NewRecovery(id, o)
	m.records = m.records[:m.durable]
	for i, r := range m.records {
		if err := recovery.Replay(wal.LSN(i+1), r); err != nil {
			return err
		}
	}
	recovery.Opened(wal.LSN(m.durable))
	l := &life{member: m, inbox: node.NewInbox(o.MaxInboxBytes)}
	l.lock.conns = make(map[node.ConnID]*conn)
	l.lock.links = make(map[uint16]*link)
	store, err := history.Open(m.past, history.Options{Bytes: historyBytes,
		Wall: func() int64 { return time.Now().UnixMilli() }})
	if err != nil {
		return err
	}
	l.past = history.Start(store, l.inbox.Recalled, func(error) {}) // memory does not fail
	l.node, err = node.New(o, node.Deps{Log: memoryLog{l}, Peers: peers{l}, Clients: clients{l},
		Checkpoints: noCheckpoints{l}, Superblock: superblock{m}, History: l.past,
		Observe: func(node.Event) {}}, l.inbox, recovery)
	if err != nil {
		return errors.Join(err, l.past.Stop())
	}
	l.node.CatchUp(node.OneByOne)
	l.engine = node.Start(l.node, clock(), nil)
	m.mu.Lock()
	m.mu.life = l
	m.mu.Unlock()
	return nil
}

// historyBytes bounds the history of a node.
const historyBytes = 64 << 20

// stop ends the node that runs, if any: its conns end, and its peers hear why. The
// error is what the node failed of, if it did.
func (m *member) stop(cause node.DownCause) error {
	l := m.running()
	if l == nil {
		return nil
	}
	m.mu.Lock()
	m.mu.life = nil
	m.mu.Unlock()
	l.engine.Stop()
	if err := l.past.Stop(); err != nil {
		return fmt.Errorf("node %d: %w", m.id, err)
	}
	l.lock.Lock()
	l.lock.dead = true
	conns, links := l.lock.conns, l.lock.links
	l.lock.conns, l.lock.links = nil, nil
	l.lock.Unlock()
	for _, k := range conns { // order: all end
		k.close()
		<-k.done
	}
	for _, k := range links { // order: all end
		k.cut(cause)
	}
	if err := l.engine.Err(); err != nil {
		return fmt.Errorf("node %d: %w", m.id, err)
	}
	return nil
}

func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// memoryLog is a log that is synced at once. It belongs to the engine.
type memoryLog struct{ *life }

// Append implements node.Log.
func (l memoryLog) Append(r wal.Record) wal.LSN {
	r.Data = append([]byte(nil), r.Data...)
	l.records = append(l.records, r)
	return wal.LSN(len(l.records))
}

// Flush implements node.Log.
func (l memoryLog) Flush() {
	l.durable = len(l.records)
	l.inbox.Durable(wal.LSN(l.durable))
}

// Release implements node.Log: nothing is ever dropped.
func (l memoryLog) Release(uint16, uint64) {}

// Reopen implements node.Log.
func (l memoryLog) Reopen(uint16) {}

// Cramped implements node.Log.
func (l memoryLog) Cramped() bool { return false }

// Full implements node.Log.
func (l memoryLog) Full() bool { return false }

// SyncingSince implements node.Log.
func (l memoryLog) SyncingSince() node.Nanos { return 0 }

// superblock keeps the identity in memory.
type superblock struct{ *member }

// Store implements node.Superblock.
func (s superblock) Store(b []byte) error {
	s.identity = append([]byte(nil), b...)
	return nil
}

// errNoCheckpoints is what every job of the checkpoints ends with: the log is whole, so
// nobody needs them.
var errNoCheckpoints = errors.New("locktest: there are no checkpoints")

// noCheckpoints refuses every job.
type noCheckpoints struct{ *life }

// Save implements node.Checkpoints.
func (c noCheckpoints) Save(r node.SaveRequest) {
	c.inbox.Saved(node.SaveDone{Request: r, Err: errNoCheckpoints})
}

// Open implements node.Checkpoints.
func (c noCheckpoints) Open(r node.OpenRequest) {
	c.inbox.Opened(node.OpenDone{Request: r, Err: errNoCheckpoints})
}

// Read implements node.Checkpoints.
func (c noCheckpoints) Read(r node.ChunkRequest) {
	c.inbox.Chunk(node.ChunkDone{Request: r, Err: errNoCheckpoints})
}

// Begin implements node.Checkpoints.
func (c noCheckpoints) Begin(r node.BeginRequest) {
	c.inbox.Begun(node.BeginDone{Request: r, Err: errNoCheckpoints})
}

// Install implements node.Checkpoints.
func (c noCheckpoints) Install(r node.InstallRequest) {
	c.inbox.Installed(node.InstallDone{Group: r.Group, Peer: r.Peer, Slot: r.Slot, Chunk: r.Chunk,
		Last: r.Last, Err: errNoCheckpoints})
}

// Drop implements node.Checkpoints: there is nothing to remove.
func (c noCheckpoints) Drop(group uint16) { c.inbox.Dropped(node.DropDone{Group: group}) }

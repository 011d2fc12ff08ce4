package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/lockfsm/checkpoint"
)

const (
	// chunkBytes bounds the records of one chunk of a snapshot.
	chunkBytes = 1 << 20
	// keeperQueue is how many jobs may wait. The engine has one save on its way
	// and one transfer per peer in each direction.
	keeperQueue = 64
	// transferIdle is how long a snapshot may stay open without progress; it
	// keeps old files on the disk.
	transferIdle = time.Minute
)

// keeper carries out what the engine asks of its checkpoints, one job at a
// time. It is steppable: step belongs to one goroutine, which loop.go runs. The
// methods of node.Checkpoints only queue.
type keeper struct {
	store  *checkpoint.Store
	inbox  *node.Inbox
	limits lockfsm.Limits
	// jobs holds SaveRequest, ChunkRequest and InstallRequest. The engine
	// sends; it is never closed.
	jobs chan any
	stop chan struct{} // closed by end
	done chan struct{} // closed by the loop

	outgoing map[uint16]*outgoing // by peer
	incoming map[uint16]*incoming // by peer
}

// outgoing is a snapshot being read for a peer.
type outgoing struct {
	group    uint16
	snapshot *checkpoint.Snapshot
	used     time.Time
}

// incoming is a snapshot being installed from a peer.
type incoming struct {
	group     uint16
	slot      uint64
	installer *checkpoint.Installer
	used      time.Time
}

func newKeeper(store *checkpoint.Store, inbox *node.Inbox, limits lockfsm.Limits) *keeper {
	return &keeper{
		store:    store,
		inbox:    inbox,
		limits:   limits,
		jobs:     make(chan any, keeperQueue),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		outgoing: make(map[uint16]*outgoing),
		incoming: make(map[uint16]*incoming),
	}
}

// errKeeperBusy answers a job that found the queue full.
var errKeeperBusy = errors.New("too many checkpoint jobs wait")

// Save, Read and Install make it a node.Checkpoints.
func (k *keeper) Save(r node.SaveRequest) {
	if !k.queue(r) {
		k.inbox.Saved(node.SaveDone{Request: r, Err: errKeeperBusy})
	}
}

// Read queues the reading of a chunk.
func (k *keeper) Read(r node.ChunkRequest) {
	if !k.queue(r) {
		k.inbox.Chunk(node.ChunkDone{Request: r, Err: errKeeperBusy})
	}
}

// Install queues the storing of a chunk.
func (k *keeper) Install(r node.InstallRequest) {
	if !k.queue(r) {
		k.inbox.Installed(installDone(r, errKeeperBusy))
	}
}

func (k *keeper) queue(job any) bool {
	select {
	case k.jobs <- job:
		return true
	default:
		return false
	}
}

// step carries out one job and tells the engine.
func (k *keeper) step(job any) {
	switch r := job.(type) {
	case node.SaveRequest:
		k.inbox.Saved(node.SaveDone{Request: r, Err: k.save(r)})
	case node.ChunkRequest:
		k.inbox.Chunk(k.read(r))
	case node.InstallRequest:
		k.inbox.Installed(k.install(r))
	default:
		panic(fmt.Sprintf("lockd: checkpoint job of type %T", job))
	}
}

func (k *keeper) save(r node.SaveRequest) error {
	var b checkpoint.Batch
	for _, kv := range lastWords(r.Changes) {
		b.Set(kv.Key, kv.Value)
	}
	return k.store.Save(r.Group, r.Slot, &b)
}

// lastWords returns the last change of each key, keys ascending.
func lastWords(changes [][]node.KeyValue) []node.KeyValue {
	all := slices.Concat(changes...)
	slices.SortStableFunc(all, func(a, b node.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	n := 0
	for i := range all {
		if i+1 == len(all) || !bytes.Equal(all[i].Key, all[i+1].Key) {
			all[n] = all[i]
			n++
		}
	}
	return all[:n]
}

func (k *keeper) read(r node.ChunkRequest) node.ChunkDone {
	done := node.ChunkDone{Request: r}
	t, err := k.transfer(r)
	if err != nil {
		done.Err = err
		return done
	}
	t.used = time.Now()
	done.Slot = t.snapshot.Slot()
	done.Data, done.Last, done.Err = t.snapshot.Next(nil, chunkBytes)
	if done.Last || done.Err != nil {
		done.Err = errors.Join(done.Err, k.closeOutgoing(r.Peer))
	}
	return done
}

// transfer finds the snapshot that a chunk belongs to; chunk zero begins one.
func (k *keeper) transfer(r node.ChunkRequest) (*outgoing, error) {
	t := k.outgoing[r.Peer]
	if r.Chunk > 0 {
		if t == nil || t.group != r.Group {
			return nil, fmt.Errorf("the snapshot of group %d for node %d is closed", r.Group, r.Peer)
		}
		return t, t.snapshot.Seek(r.Chunk)
	}
	if err := k.closeOutgoing(r.Peer); err != nil {
		return nil, err
	}
	snapshot, err := k.store.OpenSnapshot(r.Group)
	if err != nil {
		return nil, err
	}
	t = &outgoing{group: r.Group, snapshot: snapshot}
	k.outgoing[r.Peer] = t
	return t, nil
}

func (k *keeper) closeOutgoing(peer uint16) error {
	t := k.outgoing[peer]
	if t == nil {
		return nil
	}
	delete(k.outgoing, peer)
	return t.snapshot.Close()
}

func installDone(r node.InstallRequest, err error) node.InstallDone {
	return node.InstallDone{Group: r.Group, Peer: r.Peer, Slot: r.Slot, Chunk: r.Chunk,
		Last: r.Last, Err: err}
}

func (k *keeper) install(r node.InstallRequest) node.InstallDone {
	t, err := k.arrival(r)
	if err == nil {
		t.used = time.Now()
		err = t.installer.Add(r.Data)
	}
	if err != nil || !r.Last {
		if err != nil {
			err = errors.Join(err, k.closeIncoming(r.Peer))
		}
		return installDone(r, err)
	}
	m, err := k.finish(t)
	if err != nil {
		err = errors.Join(err, k.closeIncoming(r.Peer))
	}
	delete(k.incoming, r.Peer)
	done := installDone(r, err)
	done.Machine = m
	return done
}

// finish builds the machine of a snapshot that has arrived and then makes it the
// group's checkpoint: one of which no machine can be made never is.
func (k *keeper) finish(t *incoming) (*lockfsm.Machine, error) {
	m, err := buildMachine(k.limits, t.group, t.installer.Load)
	if err == nil && m.Applied() != t.slot {
		err = fmt.Errorf("%w: snapshot of group %d at slot %d holds a machine at slot %d",
			checkpoint.ErrChunk, t.group, t.slot, m.Applied())
	}
	if err == nil {
		err = t.installer.Commit()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// arrival finds the install that a chunk belongs to; chunk zero begins one.
func (k *keeper) arrival(r node.InstallRequest) (*incoming, error) {
	t := k.incoming[r.Peer]
	if r.Chunk > 0 {
		if t == nil || t.group != r.Group || t.slot != r.Slot {
			return nil, fmt.Errorf("the snapshot of group %d from node %d was given up",
				r.Group, r.Peer)
		}
		return t, nil
	}
	if err := k.closeIncoming(r.Peer); err != nil {
		return nil, err
	}
	installer, err := k.store.Begin(r.Group, r.Slot)
	if err != nil {
		return nil, err
	}
	t = &incoming{group: r.Group, slot: r.Slot, installer: installer}
	k.incoming[r.Peer] = t
	return t, nil
}

func (k *keeper) closeIncoming(peer uint16) error {
	t := k.incoming[peer]
	if t == nil {
		return nil
	}
	delete(k.incoming, peer)
	return t.installer.Abort()
}

// sweep closes transfers without progress since a moment.
func (k *keeper) sweep(since time.Time) error {
	var problems []error
	for peer, t := range k.outgoing {
		if t.used.Before(since) {
			problems = append(problems, k.closeOutgoing(peer))
		}
	}
	for peer, t := range k.incoming {
		if t.used.Before(since) {
			problems = append(problems, k.closeIncoming(peer))
		}
	}
	return errors.Join(problems...)
}

// loadMachines builds the machines of all groups, as many at a time as there
// are cores: it is most of the time a restart takes.
func loadMachines(store *checkpoint.Store, groups []checkpoint.GroupInfo,
	l lockfsm.Limits) ([]*lockfsm.Machine, error) {
	machines := make([]*lockfsm.Machine, len(groups))
	problems := make([]error, len(groups))
	sideBySide(len(groups), runtime.GOMAXPROCS(0), func(i int) {
		machines[i], problems[i] = loadMachine(store, groups[i].Group, l)
	})
	return machines, errors.Join(problems...)
}

// loadMachine builds a group's machine from its checkpoint.
func loadMachine(store *checkpoint.Store, group uint16,
	l lockfsm.Limits) (*lockfsm.Machine, error) {
	slot := uint64(0)
	m, err := buildMachine(l, group, func(fn func(key, value []byte) error) error {
		var err error
		slot, err = store.Load(group, fn)
		return err
	})
	if err != nil {
		return nil, err
	}
	if slot != m.Applied() {
		return nil, fmt.Errorf("%w: checkpoint of group %d at slot %d holds a machine at slot %d",
			checkpoint.ErrDamaged, group, slot, m.Applied())
	}
	return m, nil
}

// buildMachine builds a machine from the records that walk hands out.
func buildMachine(l lockfsm.Limits, group uint16,
	walk func(fn func(key, value []byte) error) error) (*lockfsm.Machine, error) {
	m, err := lockfsm.New(l)
	if err != nil {
		return nil, err
	}
	if err := walk(m.Load); err != nil {
		return nil, fmt.Errorf("loading group %d: %w", group, err)
	}
	if err := m.Loaded(); err != nil {
		return nil, fmt.Errorf("loading group %d: %w", group, err)
	}
	return m, nil
}

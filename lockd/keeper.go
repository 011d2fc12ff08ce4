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
	// keeperQueue is how many jobs may wait. The engine has one save on its way,
	// and per peer one chunk to be read and 16 to be stored.
	keeperQueue = 128
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
	// before, which may be nil, is called before a checkpoint is saved, for what must be
	// durable by then; that it fails keeps no checkpoint from being saved.
	before func() error
	// jobs holds the requests of the engine, which sends; it is never closed.
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

// Save and the four that follow make it a node.Checkpoints.
func (k *keeper) Save(r node.SaveRequest) {
	if !k.queue(r) {
		k.inbox.Saved(node.SaveDone{Request: r, Err: errKeeperBusy})
	}
}

// Open queues the opening of a snapshot.
func (k *keeper) Open(r node.OpenRequest) {
	if !k.queue(r) {
		k.inbox.Opened(node.OpenDone{Request: r, Err: errKeeperBusy})
	}
}

// Read queues the reading of a chunk.
func (k *keeper) Read(r node.ChunkRequest) {
	if !k.queue(r) {
		k.inbox.Chunk(node.ChunkDone{Request: r, Err: errKeeperBusy})
	}
}

// Begin queues the beginning of an install.
func (k *keeper) Begin(r node.BeginRequest) {
	if !k.queue(r) {
		k.inbox.Begun(node.BeginDone{Request: r, Err: errKeeperBusy})
	}
}

// Install queues the storing of a chunk.
func (k *keeper) Install(r node.InstallRequest) {
	if !k.queue(r) {
		k.inbox.Installed(installDone(r, errKeeperBusy))
	}
}

// Drop queues the removal of a checkpoint.
func (k *keeper) Drop(group uint16) {
	if !k.queue(dropJob{group}) {
		k.inbox.Dropped(node.DropDone{Group: group, Err: errKeeperBusy})
	}
}

// dropJob asks for a group's checkpoint to be removed.
type dropJob struct{ group uint16 }

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
	case node.OpenRequest:
		k.inbox.Opened(k.open(r))
	case node.ChunkRequest:
		k.inbox.Chunk(k.read(r))
	case node.BeginRequest:
		k.inbox.Begun(k.begin(r))
	case node.InstallRequest:
		k.inbox.Installed(k.install(r))
	case dropJob:
		k.inbox.Dropped(node.DropDone{Group: r.group, Err: k.store.Drop(r.group)})
	default:
		panic(fmt.Sprintf("lockd: checkpoint job of type %T", job))
	}
}

func (k *keeper) save(r node.SaveRequest) error {
	if k.before != nil {
		_ = k.before() // who is asked tells of it
	}
	var b checkpoint.Batch
	for _, kv := range lastWords(r.Changes) {
		if kv.Adds {
			b.Add(kv.Key, kv.Value)
			continue
		}
		b.Set(kv.Key, kv.Value)
	}
	return k.store.Save(r.Group, r.Slot, &b)
}

// lastWords returns the last change of each key, keys ascending. It adds to the
// checkpoint what the first change of the key did.
func lastWords(changes [][]node.KeyValue) []node.KeyValue {
	all := slices.Concat(changes...)
	slices.SortStableFunc(all, func(a, b node.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	n := 0
	for i, first := 0, 0; i < len(all); i++ {
		if i+1 < len(all) && bytes.Equal(all[i].Key, all[i+1].Key) {
			continue
		}
		adds := all[first].Adds
		all[n] = all[i]
		all[n].Adds = adds
		n++
		first = i + 1
	}
	return all[:n]
}

// open opens a snapshot for a peer, or finds the one that was not sent to its
// end: a transfer that a lost link has cut goes on with it.
func (k *keeper) open(r node.OpenRequest) node.OpenDone {
	done := node.OpenDone{Request: r}
	t := k.outgoing[r.Peer]
	if t == nil || t.group != r.Group || t.snapshot.Content().Slot <= r.Above {
		if done.Err = k.closeOutgoing(r.Peer); done.Err != nil {
			return done
		}
		t = &outgoing{group: r.Group}
		if t.snapshot, done.Err = k.store.OpenSnapshot(r.Group); done.Err != nil {
			return done
		}
		k.outgoing[r.Peer] = t
	}
	t.used = time.Now()
	done.Snapshot = node.Snapshot(t.snapshot.Content())
	return done
}

func (k *keeper) read(r node.ChunkRequest) node.ChunkDone {
	done := node.ChunkDone{Request: r}
	t := k.outgoing[r.Peer]
	if t == nil || t.group != r.Group {
		done.Err = fmt.Errorf("the snapshot of group %d for node %d is closed", r.Group, r.Peer)
		return done
	}
	t.used = time.Now()
	if r.Seek {
		if done.Err = t.snapshot.Seek(r.Chunk, r.After); done.Err != nil {
			return done
		}
	}
	done.Data, done.Last, done.Err = t.snapshot.Next(nil, r.Bytes)
	return done
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

// begin finds out what is there of a snapshot. An installer that is open is
// asked nothing: what it added and could not note is added again.
func (k *keeper) begin(r node.BeginRequest) node.BeginDone {
	done := node.BeginDone{Request: r}
	delete(k.incoming, r.Peer)
	installer, err := k.store.Begin(r.Group, checkpoint.Content(r.Snapshot))
	if err != nil {
		done.Err = err
		return done
	}
	k.incoming[r.Peer] = &incoming{group: r.Group, slot: r.Snapshot.Slot, installer: installer,
		used: time.Now()}
	done.Next, done.After = installer.Position()
	return done
}

func (k *keeper) install(r node.InstallRequest) node.InstallDone {
	t := k.incoming[r.Peer]
	if t == nil || t.group != r.Group || t.slot != r.Slot {
		return installDone(r, fmt.Errorf("the snapshot of group %d from node %d was given up",
			r.Group, r.Peer))
	}
	t.used = time.Now()
	if next, _ := t.installer.Position(); next != r.Chunk {
		return installDone(r, fmt.Errorf("%w: group %d from node %d: number %d, want %d",
			checkpoint.ErrChunk, r.Group, r.Peer, r.Chunk, next))
	}
	if err := t.installer.Add(r.Data); err != nil || !r.Last {
		return installDone(r, err)
	}
	delete(k.incoming, r.Peer)
	m, err := k.finish(t)
	if errors.Is(err, checkpoint.ErrChunk) || errors.Is(err, checkpoint.ErrDamaged) {
		// No chunk is wrong, but all of them together are: begin anew.
		err = errors.Join(err, t.installer.Abort())
	}
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

// sweep closes transfers without progress since a moment. What has arrived of a
// snapshot stays in the store.
func (k *keeper) sweep(since time.Time) error {
	var problems []error
	for peer, t := range k.outgoing {
		if t.used.Before(since) {
			problems = append(problems, k.closeOutgoing(peer))
		}
	}
	for peer, t := range k.incoming {
		if t.used.Before(since) {
			delete(k.incoming, peer)
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

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"lockd/lockd/node"
	"lockd/lockfsm"
)

// errStore is a snapshot that is not there any more.
var errStore = errors.New("capacity: no such snapshot")

// store keeps the checkpoints of a node. Each job takes the time of a sync; what
// it costs the processor is not counted.
type store struct {
	s         *site
	limits    lockfsm.Limits
	busyUntil Time
	groups    map[uint16]*stored
	sending   map[uint16]*sending // by peer
	stages    map[uint16]*staged
	installed int
}

// stored is a group's checkpoint, records by rising key.
type stored struct {
	slot    uint64
	records []node.KeyValue
}

// sending is a snapshot that is open for a peer, and the record to be read next.
type sending struct {
	group uint16
	from  *stored
	at    int
}

// staged is what has arrived of a snapshot.
type staged struct {
	name    node.Snapshot
	next    uint32
	records []node.KeyValue
}

func (s *stored) name() node.Snapshot {
	n := node.Snapshot{Slot: s.slot, Records: uint64(len(s.records))}
	for _, kv := range s.records {
		n.Hash += lockfsm.RecordHash(kv.Key, kv.Value)
	}
	return n
}

// job completes something later, one thing after the other.
func (c *store) job(do func()) {
	a, costs := &c.s.w.agenda, &c.s.w.opts.Costs
	c.busyUntil = max(c.busyUntil, a.Now()) + a.around(costs.Sync+costs.SyncWait)
	a.At(c.busyUntil, func() {
		do()
		c.s.turn()
	})
}

func compareKeys(a node.KeyValue, key []byte) int { return bytes.Compare(a.Key, key) }

// Save implements node.Checkpoints.
func (c *store) Save(r node.SaveRequest) {
	c.job(func() {
		changes := map[string][]byte{}
		for _, kv := range slices.Concat(r.Changes...) {
			changes[string(kv.Key)] = kv.Value
		}
		next := &stored{slot: r.Slot}
		if have := c.groups[r.Group]; have != nil {
			for _, kv := range have.records {
				if _, changed := changes[string(kv.Key)]; !changed {
					next.records = append(next.records, kv)
				}
			}
		}
		for key, value := range changes { // order: sorted below
			if value != nil {
				next.records = append(next.records, node.KeyValue{Key: []byte(key), Value: value})
			}
		}
		slices.SortFunc(next.records, func(a, b node.KeyValue) int { return compareKeys(a, b.Key) })
		c.groups[r.Group] = next
		c.s.inbox.Saved(node.SaveDone{Request: r})
	})
}

// Open implements node.Checkpoints.
func (c *store) Open(r node.OpenRequest) {
	c.job(func() {
		done := node.OpenDone{Request: r}
		open := c.sending[r.Peer]
		if open == nil || open.group != r.Group || open.from.slot <= r.Above {
			open = &sending{group: r.Group, from: c.groups[r.Group]}
		}
		if open.from == nil {
			done.Err = errStore
		} else {
			c.sending[r.Peer] = open
			done.Snapshot = open.from.name()
		}
		c.s.inbox.Opened(done)
	})
}

// Read implements node.Checkpoints.
func (c *store) Read(r node.ChunkRequest) {
	c.job(func() {
		done := node.ChunkDone{Request: r}
		open := c.sending[r.Peer]
		if open == nil || open.group != r.Group {
			done.Err = errStore
			c.s.inbox.Chunk(done)
			return
		}
		if r.Seek {
			at, found := slices.BinarySearchFunc(open.from.records, r.After, compareKeys)
			if open.at = at; found {
				open.at++
			}
		}
		records := open.from.records
		for open.at < len(records) && len(done.Data) < r.Bytes {
			done.Data = appendBytes(done.Data, records[open.at].Key)
			done.Data = appendBytes(done.Data, records[open.at].Value)
			open.at++
		}
		done.Last = open.at == len(records)
		c.s.inbox.Chunk(done)
	})
}

// Begin implements node.Checkpoints.
func (c *store) Begin(r node.BeginRequest) {
	c.job(func() {
		c.stages[r.Group] = &staged{name: r.Snapshot}
		c.s.inbox.Begun(node.BeginDone{Request: r})
	})
}

// Install implements node.Checkpoints.
func (c *store) Install(r node.InstallRequest) {
	c.job(func() {
		done := node.InstallDone{Group: r.Group, Peer: r.Peer, Slot: r.Slot, Chunk: r.Chunk,
			Last: r.Last}
		st := c.stages[r.Group]
		if st == nil || st.name.Slot != r.Slot || st.next != r.Chunk {
			done.Err = errStore
			c.s.inbox.Installed(done)
			return
		}
		st.next++
		for b := r.Data; len(b) > 0; {
			var kv node.KeyValue
			kv.Key, b = cutBytes(b)
			kv.Value, b = cutBytes(b)
			st.records = append(st.records, kv)
		}
		if r.Last {
			done.Machine, done.Err = c.install(r.Group, st)
		}
		c.s.inbox.Installed(done)
	})
}

// install makes what has arrived the checkpoint, and a machine of it.
func (c *store) install(group uint16, st *staged) (*lockfsm.Machine, error) {
	whole := &stored{st.name.Slot, st.records}
	if whole.name() != st.name {
		c.s.w.failf("node %d group %d: snapshot %v has arrived as %v", c.s.id, group, st.name,
			whole.name())
	}
	m, err := lockfsm.New(c.limits)
	if err != nil {
		return nil, err
	}
	for _, kv := range whole.records {
		if err := m.Load(kv.Key, kv.Value); err != nil {
			return nil, err
		}
	}
	c.groups[group] = whole
	c.installed++
	delete(c.stages, group)
	return m, m.Loaded()
}

// Drop implements node.Checkpoints.
func (c *store) Drop(group uint16) {
	c.job(func() {
		delete(c.groups, group)
		delete(c.stages, group)
		c.s.inbox.Dropped(node.DropDone{Group: group})
	})
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(b))), b...)
}

func cutBytes(b []byte) (field, rest []byte) {
	n := binary.LittleEndian.Uint32(b)
	return b[4 : 4+n : 4+n], b[4+n:]
}

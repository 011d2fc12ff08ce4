package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/paxos"
)

// errStore is a checkpoint store that cannot at the moment.
var errStore = errors.New("sim: the checkpoint store fails by draw")

// store keeps the checkpoints of one site, and what has arrived of snapshots.
// What it holds is durable and whole; what it is still working on when the
// process dies did or did not happen.
type store struct {
	groups map[uint16]*stored
	stages map[uint16]*staged
}

// staged is what has arrived of a snapshot: whole chunks.
type staged struct {
	name    node.Snapshot
	next    uint32
	records []node.KeyValue
}

// stored is a group's checkpoint, records by rising key.
type stored struct {
	slot    uint64
	records []node.KeyValue
}

func newStore() *store {
	return &store{groups: make(map[uint16]*stored), stages: make(map[uint16]*staged)}
}

func (s *store) slot(group uint16) uint64 {
	if g := s.groups[group]; g != nil {
		return g.slot
	}
	return 0
}

func compareKeys(a node.KeyValue, key []byte) int { return bytes.Compare(a.Key, key) }

// save moves a group's checkpoint forward.
func (s *store) save(r *node.SaveRequest) {
	next := &stored{slot: r.Slot}
	if have := s.groups[r.Group]; have != nil {
		next.records = slices.Clone(have.records)
	}
	for _, kv := range slices.Concat(r.Changes...) {
		i, found := slices.BinarySearchFunc(next.records, kv.Key, compareKeys)
		switch {
		case kv.Value == nil && found:
			next.records = slices.Delete(next.records, i, i+1)
		case kv.Value == nil:
		case found:
			next.records[i] = kv
		default:
			next.records = slices.Insert(next.records, i, kv)
		}
	}
	s.groups[r.Group] = next
	if st := s.stages[r.Group]; st != nil && st.name.Slot <= r.Slot {
		delete(s.stages, r.Group)
	}
}

// name is what a checkpoint is called on its way to a peer.
func (s *stored) name() node.Snapshot {
	n := node.Snapshot{Slot: s.slot, Records: uint64(len(s.records))}
	for _, kv := range s.records {
		n.Hash += lockfsm.RecordHash(kv.Key, kv.Value)
	}
	return n
}

// load builds a machine from records.
func load(limits lockfsm.Limits, records []node.KeyValue) (*lockfsm.Machine, error) {
	m, err := lockfsm.New(limits)
	if err != nil {
		return nil, err
	}
	for _, kv := range records {
		if err := m.Load(kv.Key, kv.Value); err != nil {
			return nil, err
		}
	}
	return m, m.Loaded()
}

// checkpoints is the store as one life of a node uses it. Jobs take their time
// and fail at times, but complete in the order in which they were asked for.
type checkpoints struct {
	p      *process
	limits lockfsm.Limits
	// busyUntil is when the last job asked for completes.
	busyUntil Time
	saving    *node.SaveRequest
	// sending are the snapshots that are open, by peer.
	sending map[uint16]*sending
}

// sending is a snapshot that is open for a peer.
type sending struct {
	group uint16
	from  *stored
	at    int // the record to be read next
}

// job completes something later.
func (c *checkpoints) job(do func()) {
	w := c.p.w
	took := w.dice.disk.around(2 * w.opts.SyncTime)
	if w.faulty(FaultStore) && w.dice.disk.permille(100) {
		took += w.dice.disk.length(0, 2*second)
	}
	c.busyUntil = max(c.busyUntil, w.agenda.Now()) + took
	w.agenda.At(c.busyUntil, func() {
		if c.p.alive {
			do()
			c.p.wake()
		}
	})
}

func (c *checkpoints) fails() bool {
	w := c.p.w
	return w.faulty(FaultStore) && w.dice.disk.permille(150)
}

// Drop implements node.Checkpoints.
func (c *checkpoints) Drop(group uint16) {
	if !c.p.output() {
		return
	}
	if mark := c.p.log.marks[group]; mark > c.p.log.writer.Durable() {
		c.p.w.failf("I12: node %d drops the checkpoint of group %d before record %d is synced",
			c.p.site.id, group, mark)
	}
	c.job(func() {
		done := node.DropDone{Group: group}
		if c.fails() {
			done.Err = errStore
		} else {
			delete(c.p.site.store.groups, group)
			delete(c.p.site.store.stages, group)
			c.p.w.covered["checkpoint dropped"]++
		}
		c.p.inbox.Dropped(done)
	})
}

// Save implements node.Checkpoints.
func (c *checkpoints) Save(r node.SaveRequest) {
	if !c.p.output() {
		return
	}
	c.saving = &r
	c.job(func() {
		c.saving = nil
		c.p.w.check(c.p.past.Sync())
		done := node.SaveDone{Request: r}
		if c.fails() {
			done.Err = errStore
		} else {
			c.p.site.store.save(&r)
			c.p.w.covered["checkpoint"]++
		}
		c.p.w.note("saved", uint64(c.p.site.id), uint64(r.Group), r.Slot)
		c.p.inbox.Saved(done)
	})
}

// died decides about the save that was running when the process died.
func (c *checkpoints) died() {
	if c.saving != nil && c.p.w.dice.disk.permille(500) {
		c.p.site.store.save(c.saving)
	}
}

// Open implements node.Checkpoints.
func (c *checkpoints) Open(r node.OpenRequest) {
	if !c.p.output() {
		return
	}
	c.job(func() {
		done := node.OpenDone{Request: r}
		open := c.sending[r.Peer]
		if open == nil || open.group != r.Group || open.from.slot <= r.Above {
			open = &sending{group: r.Group, from: c.p.site.store.groups[r.Group]}
		}
		if open.from == nil || c.fails() {
			done.Err = errStore
		} else {
			c.sending[r.Peer] = open
			done.Snapshot = open.from.name()
		}
		c.p.inbox.Opened(done)
	})
}

// chunkRecords is how many records a chunk of a snapshot carries.
const chunkRecords = 3

// Read implements node.Checkpoints.
func (c *checkpoints) Read(r node.ChunkRequest) {
	if !c.p.output() {
		return
	}
	c.job(func() {
		done := node.ChunkDone{Request: r}
		open := c.sending[r.Peer]
		if open == nil || open.group != r.Group || c.fails() {
			done.Err = errStore
			c.p.inbox.Chunk(done)
			return
		}
		if r.Seek {
			at, found := slices.BinarySearchFunc(open.from.records, r.After, compareKeys)
			if open.at = at; found {
				open.at++
			}
		}
		last := min(open.at+chunkRecords, len(open.from.records))
		for _, kv := range open.from.records[open.at:last] {
			done.Data = binary.LittleEndian.AppendUint32(done.Data, uint32(len(kv.Key)))
			done.Data = append(done.Data, kv.Key...)
			done.Data = binary.LittleEndian.AppendUint32(done.Data, uint32(len(kv.Value)))
			done.Data = append(done.Data, kv.Value...)
		}
		open.at, done.Last = last, last == len(open.from.records)
		c.p.inbox.Chunk(done)
	})
}

// Begin implements node.Checkpoints.
func (c *checkpoints) Begin(r node.BeginRequest) {
	if !c.p.output() {
		return
	}
	c.job(func() {
		done := node.BeginDone{Request: r}
		s := c.p.site.store
		st := s.stages[r.Group]
		switch {
		case c.fails() || r.Snapshot.Slot <= s.slot(r.Group):
			done.Err = errStore
		case st != nil && st.next > 0 && st.name == r.Snapshot:
			c.p.w.covered["snapshot resumed"]++
			done.Next = st.next
			done.After = st.records[len(st.records)-1].Key
		default:
			s.stages[r.Group] = &staged{name: r.Snapshot}
		}
		c.p.w.note("begun", uint64(c.p.site.id), uint64(r.Group), r.Snapshot.Slot,
			uint64(done.Next))
		c.p.inbox.Begun(done)
	})
}

// Install implements node.Checkpoints. The store is whole at any moment: a chunk
// is there or not, and the last one makes all of them the checkpoint at once.
func (c *checkpoints) Install(r node.InstallRequest) {
	if !c.p.output() {
		return
	}
	c.job(func() {
		done := node.InstallDone{Group: r.Group, Peer: r.Peer, Slot: r.Slot, Chunk: r.Chunk,
			Last: r.Last}
		s := c.p.site.store
		st := c.arrived(&r)
		switch {
		case st == nil || c.fails():
			done.Err = errStore
		case r.Last:
			whole := &stored{r.Slot, st.records}
			if whole.name() != st.name {
				c.p.w.failf("I12: node %d group %d: snapshot %v has arrived as %v", c.p.site.id,
					r.Group, st.name, whole.name())
			}
			m, err := load(c.limits, whole.records)
			if c.p.site.format != 0 && errors.Is(err, lockfsm.ErrTooNew) {
				done.Err = err // what it had stays
				break
			}
			if err != nil {
				c.p.w.failf("I12: node %d group %d: snapshot at %d does not load: %v",
					c.p.site.id, r.Group, r.Slot, err)
			}
			c.p.w.check(c.p.w.chosen.Adopted(int(c.p.site.id), paxos.GroupID(r.Group),
				paxos.Slot(r.Slot), m.Digest()))
			done.Machine, done.Err = m, err
			s.groups[r.Group] = whole
			delete(s.stages, r.Group)
			c.p.w.covered["snapshot"]++
		default:
			s.stages[r.Group] = st
		}
		c.p.w.note("installed", uint64(c.p.site.id), uint64(r.Group), r.Slot, uint64(r.Chunk))
		c.p.inbox.Installed(done)
	})
}

// arrived returns the stage of a snapshot with one more chunk, nil if it is not
// the one that is missing.
func (c *checkpoints) arrived(r *node.InstallRequest) *staged {
	st := c.p.site.store.stages[r.Group]
	if st == nil {
		return nil
	}
	next := &staged{name: st.name, next: r.Chunk + 1, records: slices.Clone(st.records)}
	if st.name.Slot != r.Slot || st.next != r.Chunk {
		return nil
	}
	for b := r.Data; len(b) > 0; {
		var kv node.KeyValue
		kv.Key, b = cutBytes(b)
		kv.Value, b = cutBytes(b)
		next.records = append(next.records, kv)
	}
	return next
}

func cutBytes(b []byte) (field, rest []byte) {
	n := binary.LittleEndian.Uint32(b)
	return b[4 : 4+n : 4+n], b[4+n:]
}

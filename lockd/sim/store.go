package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"lockd/lockd/node"
	"lockd/lockfsm"
)

// errStore is a checkpoint store that cannot at the moment.
var errStore = errors.New("sim: the checkpoint store fails by draw")

// store keeps the checkpoints of one site. What it holds is durable and whole;
// what it is still working on when the process dies did or did not happen.
type store struct {
	groups map[uint16]*stored
}

// stored is a group's checkpoint, records by rising key.
type stored struct {
	slot    uint64
	records []node.KeyValue
}

func newStore() *store { return &store{groups: make(map[uint16]*stored)} }

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
	sending   map[uint16]*stored         // by peer
	arriving  map[uint16][]node.KeyValue // by group
}

// job completes something later.
func (c *checkpoints) job(do func()) {
	w := c.p.w
	took := w.dice.disk.around(2 * w.opts.SyncTime)
	if w.faulty(FaultStore) && w.dice.disk.permille(100) {
		took += w.dice.disk.length(0, 2*second)
	}
	c.busyUntil = max(c.busyUntil, w.agenda.now) + took
	w.agenda.at(c.busyUntil, func() {
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

// Save implements node.Checkpoints.
func (c *checkpoints) Save(r node.SaveRequest) {
	if !c.p.output() {
		return
	}
	c.saving = &r
	c.job(func() {
		c.saving = nil
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

// chunkRecords is how many records a chunk of a snapshot carries.
const chunkRecords = 3

// Read implements node.Checkpoints.
func (c *checkpoints) Read(r node.ChunkRequest) {
	if !c.p.output() {
		return
	}
	c.job(func() {
		done := node.ChunkDone{Request: r}
		if r.Chunk == 0 {
			delete(c.sending, r.Peer)
			if g := c.p.site.store.groups[r.Group]; g != nil {
				c.sending[r.Peer] = g
			}
		}
		from := c.sending[r.Peer]
		if from == nil || c.fails() {
			done.Err = errStore
			c.p.inbox.Chunk(done)
			return
		}
		first := int(r.Chunk) * chunkRecords
		last := min(first+chunkRecords, len(from.records))
		done.Slot, done.Last = from.slot, last == len(from.records)
		for _, kv := range from.records[first:last] {
			done.Data = binary.LittleEndian.AppendUint32(done.Data, uint32(len(kv.Key)))
			done.Data = append(done.Data, kv.Key...)
			done.Data = binary.LittleEndian.AppendUint32(done.Data, uint32(len(kv.Value)))
			done.Data = append(done.Data, kv.Value...)
		}
		c.p.inbox.Chunk(done)
	})
}

// Install implements node.Checkpoints.
func (c *checkpoints) Install(r node.InstallRequest) {
	if !c.p.output() {
		return
	}
	c.job(func() {
		done := node.InstallDone{Group: r.Group, Peer: r.Peer, Slot: r.Slot, Chunk: r.Chunk,
			Last: r.Last}
		if r.Chunk == 0 {
			c.arriving[r.Group] = nil
		}
		for b := r.Data; len(b) > 0; {
			var kv node.KeyValue
			kv.Key, b = cutBytes(b)
			kv.Value, b = cutBytes(b)
			c.arriving[r.Group] = append(c.arriving[r.Group], kv)
		}
		switch {
		case c.fails():
			done.Err = errStore
		case r.Last:
			m, err := load(c.limits, c.arriving[r.Group])
			if err != nil {
				c.p.w.failf("I12: node %d group %d: snapshot at %d does not load: %v",
					c.p.site.id, r.Group, r.Slot, err)
			}
			done.Machine, done.Err = m, err
			c.p.site.store.groups[r.Group] = &stored{r.Slot, c.arriving[r.Group]}
			c.p.w.covered["snapshot"]++
		}
		c.p.w.note("installed", uint64(c.p.site.id), uint64(r.Group), r.Slot, uint64(r.Chunk))
		c.p.inbox.Installed(done)
	})
}

func cutBytes(b []byte) (field, rest []byte) {
	n := binary.LittleEndian.Uint32(b)
	return b[4 : 4+n : 4+n], b[4+n:]
}

package node

import (
	"bytes"
	"encoding/binary"
	"errors"

	"lockd/lockfsm"
)

// shelf is what a test node keeps of snapshots in flight: those it sends, as
// long as it lives, and what has arrived, longer.
type shelf struct {
	open   map[uint16]*openSnapshot   // by peer
	staged map[uint16]*stagedSnapshot // by group
	opened int                        // snapshots that were opened
}

type openSnapshot struct {
	group uint16
	name  Snapshot
	kvs   []KeyValue
	at    int
}

type stagedSnapshot struct {
	name Snapshot
	next uint32
	kvs  []KeyValue
}

func newShelf() shelf { return shelf{staged: make(map[uint16]*stagedSnapshot)} }

var errShelf = errors.New("no such snapshot")

// Open implements Checkpoints.
func (n *testNode) Open(r OpenRequest) {
	n.later(func() { n.openNow(r) })
}

func (n *testNode) openNow(r OpenRequest) {
	d := OpenDone{Request: r}
	o := n.shelf.open[r.Peer]
	if o == nil || o.group != r.Group || o.name.Slot <= r.Above {
		n.shelf.opened++
		o = &openSnapshot{group: r.Group, kvs: sortedRecords(n.saved[r.Group])}
		o.name = nameOf(n.slots[r.Group], o.kvs)
		n.shelf.open[r.Peer] = o
	}
	d.Snapshot = o.name
	n.inbox.Opened(d)
}

func nameOf(slot uint64, kvs []KeyValue) Snapshot {
	s := Snapshot{Slot: slot, Records: uint64(len(kvs))}
	for _, kv := range kvs {
		s.Hash += lockfsm.RecordHash(kv.Key, kv.Value)
	}
	return s
}

// Read implements Checkpoints.
func (n *testNode) Read(r ChunkRequest) {
	n.later(func() { n.readNow(r) })
}

func (n *testNode) readNow(r ChunkRequest) {
	d := ChunkDone{Request: r}
	o := n.shelf.open[r.Peer]
	if o == nil || o.group != r.Group {
		d.Err = errShelf
		n.inbox.Chunk(d)
		return
	}
	if r.Seek {
		for o.at = 0; o.at < len(o.kvs) && bytes.Compare(o.kvs[o.at].Key, r.After) <= 0; o.at++ {
		}
	}
	for o.at < len(o.kvs) && (len(d.Data) == 0 || len(d.Data) < r.Bytes) {
		kv := o.kvs[o.at]
		d.Data = binary.LittleEndian.AppendUint16(d.Data, uint16(len(kv.Key)))
		d.Data = binary.LittleEndian.AppendUint16(d.Data, uint16(len(kv.Value)))
		d.Data = append(append(d.Data, kv.Key...), kv.Value...)
		o.at++
	}
	d.Last = o.at == len(o.kvs)
	n.inbox.Chunk(d)
}

// later carries a job out now, or when finish is called.
func (n *testNode) later(job func()) {
	if n.slow {
		n.jobs = append(n.jobs, job)
		return
	}
	job()
}

// Begin implements Checkpoints.
func (n *testNode) Begin(r BeginRequest) {
	n.later(func() {
		d := BeginDone{Request: r}
		st := n.shelf.staged[r.Group]
		if st == nil || st.name != r.Snapshot {
			st = &stagedSnapshot{name: r.Snapshot}
			n.shelf.staged[r.Group] = st
		}
		if d.Next = st.next; d.Next > 0 {
			d.After = st.kvs[len(st.kvs)-1].Key
		}
		n.inbox.Begun(d)
	})
}

// Install implements Checkpoints.
func (n *testNode) Install(r InstallRequest) {
	n.later(func() {
		d := InstallDone{Group: r.Group, Peer: r.Peer, Slot: r.Slot, Chunk: r.Chunk, Last: r.Last}
		d.Machine, d.Err = n.install(r)
		n.inbox.Installed(d)
	})
}

var errChunk = errors.New("damaged chunk")

func (n *testNode) install(r InstallRequest) (*lockfsm.Machine, error) {
	st := n.shelf.staged[r.Group]
	if st == nil || st.name.Slot != r.Slot || st.next != r.Chunk {
		return nil, errShelf
	}
	kvs := st.kvs[:len(st.kvs):len(st.kvs)]
	for b := r.Data; len(b) > 0; {
		if len(b) < 4 {
			return nil, errChunk
		}
		k, v := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		if b = b[4:]; k == 0 || k+v > len(b) {
			return nil, errChunk
		}
		kvs = append(kvs, KeyValue{Key: b[:k], Value: b[k : k+v]})
		b = b[k+v:]
	}
	if !r.Last {
		st.kvs, st.next = kvs, st.next+1
		return nil, nil
	}
	delete(n.shelf.staged, r.Group)
	if nameOf(r.Slot, kvs) != st.name || len(kvs) == 0 {
		return nil, errChunk
	}
	whole := make(map[string][]byte)
	for _, kv := range kvs {
		whole[string(kv.Key)] = kv.Value
	}
	m, err := n.tryLoad(whole)
	if err == nil {
		n.saved[r.Group], n.slots[r.Group] = whole, r.Slot
	}
	return m, err
}

// finish carries out what slow put off.
func (n *testNode) finish() {
	jobs := n.jobs
	n.jobs = nil
	for _, job := range jobs {
		job()
	}
}

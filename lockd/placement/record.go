package placement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lockd/paxos"
)

// State says how a node stands to its cluster.
type State uint8

// The states. Numbers are append-only.
const (
	// Joining: invited; it has joined once its disk is known.
	Joining State = 1
	// Member: has joined, and keeps groups. Without a disk it waits for one to be shown, its
	// old one being lost.
	Member State = 2
	// Leaving: its groups are moving to others.
	Leaving State = 3
	// Gone: keeps nothing, and its id is never used again.
	Gone State = 4
)

// String returns the word people read.
func (s State) String() string {
	switch s {
	case Joining:
		return "joining"
	case Member:
		return "joined"
	case Leaving:
		return "leaving"
	case Gone:
		return "gone"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}

// Bounds of a record; with them it fits a register.
const (
	// MaxNodes is how many nodes a record may name, gone ones included.
	MaxNodes = 256
	// MaxKeepers is how many nodes may keep groups at a time.
	MaxKeepers = 64
	// MaxReplicas is how many nodes may keep one group.
	MaxReplicas     = 7
	maxRetired      = 8
	maxAddressBytes = 255
	recordVersion   = 1
)

// ErrMalformed means that bytes are no record or seats of a version known here.
var ErrMalformed = errors.New("placement: malformed")

// Node is one node of a cluster.
type Node struct {
	ID    paxos.NodeID
	State State
	// Disk is the disk its promises stand on, zero while one is awaited.
	Disk paxos.DiskID
	// Retired are the disks it had before, the newest last. None of them may
	// come back.
	Retired []paxos.DiskID
	// Peer and Client are the addresses it is dialed at, as host:port; empty
	// where only the configuration files know them.
	Peer, Client string
}

// Record is of what nodes a cluster is made and where its groups are at home.
type Record struct {
	// Replicas is how many nodes keep each group, as far as there are so many.
	Replicas uint8
	// Format is the highest version of the formats that all nodes understand.
	Format uint16
	// Nodes ascend by ID.
	Nodes []Node
	// Homes are the nodes that are to keep each group, in the order in which
	// they take over its leadership.
	Homes [][]paxos.NodeID
}

// Node returns the node with an id, nil if there is none.
func (r *Record) Node(id paxos.NodeID) *Node {
	at, ok := slices.BinarySearchFunc(r.Nodes, id, func(n Node, id paxos.NodeID) int {
		return int(n.ID) - int(id)
	})
	if !ok {
		return nil
	}
	return &r.Nodes[at]
}

// Home returns the acceptors that are to keep a group, in the order of
// succession, and whether the disks of all of them are known.
func (r *Record) Home(g paxos.GroupID) (home []paxos.Acceptor, known bool) {
	known = true
	for _, id := range r.Homes[g] {
		n := r.Node(id)
		if n == nil || n.Disk == 0 {
			known = false
			continue
		}
		home = append(home, paxos.Acceptor{Node: id, Disk: n.Disk})
	}
	return home, known
}

// Clone returns a record that shares nothing with r.
func (r *Record) Clone() Record {
	c := *r
	c.Nodes = slices.Clone(r.Nodes)
	for i := range c.Nodes {
		c.Nodes[i].Retired = slices.Clone(c.Nodes[i].Retired)
	}
	c.Homes = slices.Clone(r.Homes)
	for i := range c.Homes {
		c.Homes[i] = slices.Clone(c.Homes[i])
	}
	return c
}

// Append appends the encoded record.
func (r *Record) Append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, recordVersion, r.Replicas)
	dst = le.AppendUint16(dst, r.Format)
	dst = le.AppendUint16(dst, uint16(len(r.Nodes)))
	for i := range r.Nodes {
		n := &r.Nodes[i]
		dst = le.AppendUint16(dst, uint16(n.ID))
		dst = le.AppendUint64(dst, uint64(n.Disk))
		dst = append(dst, byte(n.State), byte(len(n.Retired)))
		for _, d := range n.Retired {
			dst = le.AppendUint64(dst, uint64(d))
		}
		dst = append(append(dst, byte(len(n.Peer))), n.Peer...)
		dst = append(append(dst, byte(len(n.Client))), n.Client...)
	}
	dst = le.AppendUint16(dst, uint16(len(r.Homes)))
	for _, home := range r.Homes {
		dst = append(dst, byte(len(home)))
		for _, id := range home {
			dst = le.AppendUint16(dst, uint16(id))
		}
	}
	return dst
}

// GivesUp reports whether a node is to leave, or a disk was given up: whoever moves groups
// by an older record may count on it still.
func (r *Record) GivesUp() bool {
	return slices.ContainsFunc(r.Nodes, func(n Node) bool {
		return n.State == Leaving || len(n.Retired) > 0
	})
}

// DecodeRecord reads what Append wrote. The error is ErrMalformed.
func DecodeRecord(b []byte) (Record, error) {
	c := cursor{b: b}
	if v := c.u8(); v != recordVersion {
		return Record{}, fmt.Errorf("%w: record of version %d, want %d", ErrMalformed, v,
			recordVersion)
	}
	r := Record{Replicas: c.u8(), Format: c.u16()}
	nodes := int(c.u16())
	for range min(nodes, MaxNodes+1) {
		n := Node{ID: paxos.NodeID(c.u16()), Disk: paxos.DiskID(c.u64()), State: State(c.u8())}
		for range c.u8() {
			n.Retired = append(n.Retired, paxos.DiskID(c.u64()))
		}
		n.Peer = string(c.take(int(c.u8())))
		n.Client = string(c.take(int(c.u8())))
		r.Nodes = append(r.Nodes, n)
	}
	for range c.u16() {
		home := make([]paxos.NodeID, 0, MaxReplicas)
		for range c.u8() {
			home = append(home, paxos.NodeID(c.u16()))
		}
		if c.failed {
			break
		}
		r.Homes = append(r.Homes, home)
	}
	if c.failed || c.at != len(b) {
		return Record{}, fmt.Errorf("%w: record of %d bytes", ErrMalformed, len(b))
	}
	return r, r.check()
}

// check says what no record may be.
func (r *Record) check() error {
	if len(r.Nodes) > MaxNodes || r.Replicas < 1 || r.Replicas > MaxReplicas {
		return fmt.Errorf("%w: %d nodes, %d replicas", ErrMalformed, len(r.Nodes), r.Replicas)
	}
	for i := range r.Nodes {
		n := &r.Nodes[i]
		if n.ID == paxos.NoNode || i > 0 && r.Nodes[i-1].ID >= n.ID || n.State < Joining ||
			n.State > Gone || len(n.Retired) > maxRetired {
			return fmt.Errorf("%w: node %d in state %d", ErrMalformed, n.ID, n.State)
		}
	}
	for g, home := range r.Homes {
		if len(home) == 0 || len(home) > MaxReplicas {
			return fmt.Errorf("%w: group %d is at home on %d nodes", ErrMalformed, g, len(home))
		}
		for i, id := range home {
			if r.Node(id) == nil || slices.Contains(home[:i], id) {
				return fmt.Errorf("%w: group %d is at home on node %d", ErrMalformed, g, id)
			}
		}
	}
	return nil
}

// cursor reads bytes in order; the first read beyond the end sets failed, and
// every later one returns zeros.
type cursor struct {
	b      []byte
	at     int
	failed bool
}

func (c *cursor) take(n int) []byte {
	if c.failed || len(c.b)-c.at < n {
		c.failed = true
		return nil
	}
	p := c.b[c.at : c.at+n]
	c.at += n
	return p
}

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

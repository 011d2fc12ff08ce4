package placement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lockd/paxos"
)

// Kind says what a Change changes.
type Kind uint8

// The kinds. Add, Remove, Replace, Move and Keep are an operator's, the others
// the cluster's own.
const (
	// Add invites a node: Node, Peer, Client.
	Add Kind = 1
	// Remove has a node's groups moved away and then lets it go: Node.
	Remove Kind = 2
	// Replace gives a node's disk up, and takes the next one it shows: Node, and
	// Peer and Client if it comes back elsewhere.
	Replace Kind = 3
	// Bind takes the disk that an awaited node showed: Node, Disk.
	Bind Kind = 4
	// Release lets a leaving node go that keeps nothing any more: Node.
	Release Kind = 5
	// Raise raises the format, all nodes being able to: Format.
	Raise Kind = 6
	// Move makes a node the first that is to lead a group: Node, Group.
	Move Kind = 7
	// Keep takes a Remove back, as long as the node has not gone: Node.
	Keep Kind = 8
)

// String returns the word people read.
func (k Kind) String() string {
	switch k {
	case Add:
		return "add"
	case Remove:
		return "remove"
	case Replace:
		return "replace"
	case Bind:
		return "bind"
	case Release:
		return "release"
	case Raise:
		return "raise"
	case Move:
		return "move"
	case Keep:
		return "keep"
	default:
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
}

// Change is one change of a Record. Which fields a kind uses is said there.
type Change struct {
	Kind         Kind
	Node         paxos.NodeID
	Disk         paxos.DiskID
	Format       uint16
	Peer, Client string
	Group        paxos.GroupID
}

var (
	// ErrRefused means that a change cannot be made; the text says why and what
	// to do. Nothing has changed.
	ErrRefused = errors.New("placement: change refused")
	// ErrBusy means that an earlier change is not finished; the text says which.
	ErrBusy = errors.New("placement: a change is under way")
	// ErrSoon is an ErrBusy that ends by itself, within seconds as a rule.
	ErrSoon = fmt.Errorf("%w, or has just been made", ErrBusy)
	// ErrNoChange means that the record is already so.
	ErrNoChange = errors.New("placement: nothing to change")
)

// AppendChange appends the encoded change:
//
//	kind u8 | node u16 | disk u64 | format u16 | peer: length u8, bytes |
//	client: length u8, bytes | of a Move: group u16
func AppendChange(dst []byte, c *Change) []byte {
	le := binary.LittleEndian
	dst = append(dst, byte(c.Kind))
	dst = le.AppendUint16(dst, uint16(c.Node))
	dst = le.AppendUint64(dst, uint64(c.Disk))
	dst = le.AppendUint16(dst, c.Format)
	dst = append(append(dst, byte(len(c.Peer))), c.Peer...)
	dst = append(append(dst, byte(len(c.Client))), c.Client...)
	if c.Kind == Move {
		dst = le.AppendUint16(dst, uint16(c.Group))
	}
	return dst
}

// DecodeChange reads what AppendChange wrote. The error is ErrMalformed.
func DecodeChange(b []byte) (Change, error) {
	r := cursor{b: b}
	c := Change{Kind: Kind(r.u8()), Node: paxos.NodeID(r.u16()), Disk: paxos.DiskID(r.u64()),
		Format: r.u16()}
	c.Peer = string(r.take(int(r.u8())))
	c.Client = string(r.take(int(r.u8())))
	if c.Kind == Move {
		c.Group = paxos.GroupID(r.u16())
	}
	if r.failed || r.at != len(b) || c.Kind < Add || c.Kind > Keep {
		return Change{}, fmt.Errorf("%w: change of %d bytes", ErrMalformed, len(b))
	}
	return c, nil
}

// Birth returns the record of a new cluster whose nodes have all shown their
// disks. Nodes ascend by id and are members. No node keeps or leads more than
// one group above another.
func Birth(nodes []Node, groups int, replicas uint8, format uint16) Record {
	r := Record{Replicas: replicas, Format: format, Nodes: nodes}
	k := len(nodes)
	for g := range groups {
		first, turn := g%k, g/k
		home := []paxos.NodeID{nodes[first].ID}
		for i := range min(int(replicas), k) - 1 {
			// The others follow in a rotation that differs from one group of
			// the same first node to the next, so that a dead node's groups
			// fall to different nodes.
			home = append(home, nodes[(first+1+(i+turn)%(k-1))%k].ID)
		}
		r.Homes = append(r.Homes, home)
	}
	r.rehome()
	return r
}

// Apply returns the record after a change. The error is ErrRefused, ErrBusy or
// ErrNoChange.
func (r *Record) Apply(c *Change) (Record, error) {
	if len(c.Peer) > maxAddressBytes || len(c.Client) > maxAddressBytes {
		return Record{}, fmt.Errorf("%w: an address has at most %d bytes", ErrRefused,
			maxAddressBytes)
	}
	next := r.Clone()
	n := next.Node(c.Node)
	if n == nil && c.Kind != Add && c.Kind != Raise {
		return Record{}, fmt.Errorf("%w: the cluster has no node %d", ErrRefused, c.Node)
	}
	var err error
	switch c.Kind {
	case Add:
		err = next.add(c)
	case Remove:
		err = next.remove(n)
	case Replace:
		err = next.replace(n, c)
	case Bind:
		err = next.bind(n, c.Disk)
	case Release:
		if n.State != Leaving {
			return Record{}, fmt.Errorf("%w: node %d is %v", ErrNoChange, c.Node, n.State)
		}
		n.State = Gone
	case Raise:
		if c.Format <= r.Format {
			return Record{}, fmt.Errorf("%w: the format is %d", ErrNoChange, r.Format)
		}
		next.Format = c.Format
	case Move:
		err = next.move(n, c.Group)
	case Keep:
		err = next.keep(n)
	default:
		err = fmt.Errorf("%w: unknown kind %d", ErrRefused, c.Kind)
	}
	if err != nil {
		return Record{}, err
	}
	return next, next.check()
}

// busy names a change that is not finished, of another node than id. Moves of
// groups are not looked at: they may go on beside each other.
func (r *Record) busy(id paxos.NodeID) error {
	for i := range r.Nodes {
		if n := &r.Nodes[i]; n.ID != id && n.State == Leaving {
			return fmt.Errorf("%w: node %d is leaving; wait, or have it stay with: "+
				"lockd cluster remove --undo %d", ErrBusy, n.ID, n.ID)
		}
	}
	return r.expecting(id)
}

// expecting names a node other than id that is still to show a disk. Of what
// comes on top of it some groups could be left with one sound disk of three.
func (r *Record) expecting(id paxos.NodeID) error {
	for i := range r.Nodes {
		n := &r.Nodes[i]
		switch {
		case n.ID == id:
		case n.State == Joining:
			return fmt.Errorf("%w: node %d was invited and has not come; start it, or take the "+
				"invitation back with: lockd cluster remove %d", ErrBusy, n.ID, n.ID)
		case n.State == Member && n.Disk == 0:
			return fmt.Errorf("%w: node %d is to come back on a new disk; start it on an empty "+
				"directory, or give it up with: lockd cluster remove %d", ErrBusy, n.ID, n.ID)
		}
	}
	return nil
}

func (r *Record) add(c *Change) error {
	if have := r.Node(c.Node); have != nil && have.State == Gone {
		return fmt.Errorf("%w: node id %d was used before; ids are never used again", ErrRefused,
			c.Node)
	} else if have != nil {
		return fmt.Errorf("%w: node %d is there (%v)", ErrNoChange, c.Node, have.State)
	}
	if err := r.busy(c.Node); err != nil {
		return err
	}
	if c.Node == paxos.NoNode || c.Peer == "" || c.Client == "" {
		return fmt.Errorf("%w: a node needs an id above 0, a peer address and a client address",
			ErrRefused)
	}
	if err := r.checkAddresses(c); err != nil {
		return err
	}
	if len(r.Nodes) >= MaxNodes || len(r.keepers()) >= MaxKeepers {
		return fmt.Errorf("%w: a cluster has at most %d nodes, and %d in all its life", ErrRefused,
			MaxKeepers, MaxNodes)
	}
	r.Nodes = append(r.Nodes, Node{ID: c.Node, State: Joining, Peer: c.Peer, Client: c.Client})
	slices.SortFunc(r.Nodes, func(a, b Node) int { return int(a.ID) - int(b.ID) })
	return nil
}

// checkAddresses refuses addresses of another node, as far as the record has them.
func (r *Record) checkAddresses(c *Change) error {
	for i := range r.Nodes {
		if n := &r.Nodes[i]; n.ID != c.Node && n.State != Gone {
			if err := c.Clash(n.ID, n.Peer, n.Client); err != nil {
				return err
			}
		}
	}
	if c.Peer != "" && c.Peer == c.Client {
		return fmt.Errorf("%w: node %d needs two addresses, one for peers and one for clients",
			ErrRefused, c.Node)
	}
	return nil
}

// Clash is ErrRefused if a change gives its node an address that node id has, whose
// addresses are peer and client, empty if they are not known.
func (c *Change) Clash(id paxos.NodeID, peer, client string) error {
	for _, address := range []string{c.Peer, c.Client} {
		if address != "" && (address == peer || address == client) {
			return fmt.Errorf("%w: %s is an address of node %d; node %d needs addresses of its own",
				ErrRefused, address, id, c.Node)
		}
	}
	return nil
}

// remove has a node's groups move away. Others may be leaving, and groups may be
// on the move: nothing that was promised is given up before the node has gone, so
// one that was lost while groups moved to it can be left out of their homes.
func (r *Record) remove(n *Node) error {
	switch n.State {
	case Joining:
		n.State = Gone // it never had anything
		return nil
	case Leaving, Gone:
		return fmt.Errorf("%w: node %d is %v", ErrNoChange, n.ID, n.State)
	}
	n.State = Leaving
	left := len(r.keepers())
	n.State = Member
	if left < int(r.Replicas) {
		return fmt.Errorf("%w: without node %d there are %d nodes, and each group is kept by %d; "+
			"%sgive this one a new disk with: lockd cluster replace %d",
			ErrRefused, n.ID, left, r.Replicas, r.instead(), n.ID)
	}
	if err := r.expecting(n.ID); err != nil {
		return err
	}
	n.State = Leaving
	r.rehome()
	return nil
}

// instead says what else there is to do where too few nodes would stay.
func (r *Record) instead() string {
	for i := range r.Nodes {
		if n := &r.Nodes[i]; n.State == Leaving {
			return fmt.Sprintf("have node %d stay first with: lockd cluster remove --undo %d; or ",
				n.ID, n.ID)
		}
	}
	return "add another node first, or "
}

// keep has a node that was to leave stay. What has moved away from it comes back
// as far as that makes replicas even.
func (r *Record) keep(n *Node) error {
	switch {
	case n.State == Gone:
		return fmt.Errorf("%w: node %d has gone, and its id is never used again; add the machine "+
			"under another", ErrRefused, n.ID)
	case n.State != Leaving:
		return fmt.Errorf("%w: node %d is not leaving, it is %v", ErrNoChange, n.ID, n.State)
	}
	n.State = Member
	r.rehome()
	return nil
}

// replace gives a disk up. Who asks for it sees to it that every group does
// without: that no other of its disks was given up is not in the record.
func (r *Record) replace(n *Node, c *Change) error {
	if n.State == Joining {
		return fmt.Errorf("%w: node %d was invited and has not come: it needs no other disk; start it "+
			"on an empty directory", ErrRefused, n.ID)
	}
	if n.State != Member {
		return fmt.Errorf("%w: node %d is %v; only one that has joined is replaced", ErrRefused, n.ID,
			n.State)
	}
	elsewhere := c.Peer != "" && c.Peer != n.Peer || c.Client != "" && c.Client != n.Client
	if n.Disk == 0 && !elsewhere {
		return fmt.Errorf("%w: node %d is awaited with a new disk already", ErrNoChange, n.ID)
	}
	if err := r.expecting(n.ID); err != nil {
		return err
	}
	if err := r.checkAddresses(c); err != nil {
		return err
	}
	if n.Disk != 0 {
		n.Retired = append(n.Retired, n.Disk)
		n.Retired = n.Retired[max(0, len(n.Retired)-maxRetired):]
		n.Disk = 0
	}
	if c.Peer != "" {
		n.Peer = c.Peer
	}
	if c.Client != "" {
		n.Client = c.Client
	}
	return nil
}

func (r *Record) bind(n *Node, d paxos.DiskID) error {
	switch {
	case n.Disk == d:
		return fmt.Errorf("%w: node %d has disk %016x", ErrNoChange, n.ID, uint64(d))
	case n.Disk != 0 || d == 0 || n.State != Joining && n.State != Member:
		return fmt.Errorf("%w: node %d is %v with disk %016x", ErrRefused, n.ID, n.State,
			uint64(n.Disk))
	case slices.Contains(n.Retired, d):
		return fmt.Errorf("%w: disk %016x of node %d was given up", ErrRefused, uint64(d), n.ID)
	}
	n.Disk = d
	if n.State == Joining {
		n.State = Member
		r.rehome()
	}
	return nil
}

// move has a node change places with the first of a group's home: the way back
// leaves the record as it was. A later change of the members evens leaderships
// again (rehome).
func (r *Record) move(n *Node, g paxos.GroupID) error {
	if int(g) >= len(r.Homes) {
		return fmt.Errorf("%w: the cluster has no group %d; its groups are 0 to %d", ErrRefused, g,
			len(r.Homes)-1)
	}
	home := r.Homes[g]
	at := slices.Index(home, n.ID)
	switch {
	case at < 0 && n.State != Member:
		return fmt.Errorf("%w: node %d is %v; group %d is kept by nodes %s", ErrRefused, n.ID, n.State,
			g, listOf(home))
	case at < 0:
		return fmt.Errorf("%w: node %d does not keep group %d, nodes %s do, and can lead it",
			ErrRefused, n.ID, g, listOf(home))
	case at == 0:
		return fmt.Errorf("%w: node %d is the preferred leader of group %d", ErrNoChange, n.ID, g)
	case n.Disk == 0:
		return fmt.Errorf("%w: node %d is to come back on a new disk; start it on an empty directory",
			ErrBusy, n.ID)
	}
	home[0], home[at] = home[at], home[0]
	return nil
}

// listOf names nodes for people.
func listOf(ids []paxos.NodeID) string {
	text := ""
	for i, id := range ids {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(id)
	}
	return text
}

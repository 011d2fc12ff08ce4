package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"lockd/paxos"
)

// Identity is what a data directory knows about itself and its cluster. It is
// kept in a file of its own, replaced atomically.
//
// The roster names the disk of every node at the birth of the cluster. Once
// Born is set it never changes: a node whose directory was wiped comes back
// with another disk id and is refused (I7), because an acceptor that forgot a
// promise can make a quorum choose two values.
type Identity struct {
	Cluster string
	Node    paxos.NodeID
	Disk    paxos.DiskID
	Groups  uint16
	// Settings is the digest of the cluster settings at birth.
	Settings uint64
	// Roster is empty until all nodes have been seen once.
	Roster []paxos.Acceptor
	// Born is set once every node is known to have recorded the same roster.
	// Before that the node neither promises nor accepts.
	Born bool
	// Starts counts the starts of the node on this directory. Each is counted
	// before any peer hears of it.
	Starts uint64
}

const (
	identityMagic   = 0x44494b4c // "LKID"
	identityVersion = 1
)

// ErrIdentity is wrapped when an identity file cannot be used.
var ErrIdentity = errors.New("node: identity file unusable")

// ErrWiped is wrapped when a peer proves that this directory is not the one the
// cluster was born with. It is final: the directory must be put back.
var ErrWiped = errors.New("node: data directory is not the one the cluster knows")

// AppendIdentity appends the file form of id:
//
//	magic u32 | version u16 | node u16 | disk u64 | groups u16 | born u8 |
//	settings u64 | name length u8, name | roster count u8, (node u16, disk u64)… |
//	starts u64 | crc32c u32 over all before it
func AppendIdentity(dst []byte, id *Identity) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, identityMagic)
	dst = binary.LittleEndian.AppendUint16(dst, identityVersion)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(id.Node))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(id.Disk))
	dst = binary.LittleEndian.AppendUint16(dst, id.Groups)
	born := byte(0)
	if id.Born {
		born = 1
	}
	dst = append(dst, born)
	dst = binary.LittleEndian.AppendUint64(dst, id.Settings)
	dst = append(dst, byte(len(id.Cluster)))
	dst = append(dst, id.Cluster...)
	dst = appendRoster(dst, id.Roster)
	dst = binary.LittleEndian.AppendUint64(dst, id.Starts)
	sum := crc32.Checksum(dst[start:], crc32.MakeTable(crc32.Castagnoli))
	return binary.LittleEndian.AppendUint32(dst, sum)
}

func appendRoster(dst []byte, roster []paxos.Acceptor) []byte {
	dst = append(dst, byte(len(roster)))
	for _, a := range roster {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(a.Node))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(a.Disk))
	}
	return dst
}

// decodeRoster returns what follows the roster in b.
func decodeRoster(b []byte) (roster []paxos.Acceptor, rest []byte, ok bool) {
	if len(b) < 1 || len(b) < 1+10*int(b[0]) {
		return nil, nil, false
	}
	n, b := int(b[0]), b[1:]
	for range n {
		roster = append(roster, paxos.Acceptor{
			Node: paxos.NodeID(binary.LittleEndian.Uint16(b)),
			Disk: paxos.DiskID(binary.LittleEndian.Uint64(b[2:])),
		})
		b = b[10:]
	}
	return roster, b, true
}

// DecodeIdentity reads what AppendIdentity wrote.
func DecodeIdentity(b []byte) (Identity, error) {
	var id Identity
	const fixed = 4 + 2 + 2 + 8 + 2 + 1 + 8 + 1
	if len(b) < fixed+1+4 || binary.LittleEndian.Uint32(b) != identityMagic {
		return id, fmt.Errorf("%w: not an identity file (%d bytes)", ErrIdentity, len(b))
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v > identityVersion {
		return id, fmt.Errorf("%w: version %d is newer than this program understands (%d)",
			ErrIdentity, v, identityVersion)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)); got != sum {
		return id, fmt.Errorf("%w: checksum is %08x, must be %08x", ErrIdentity, got, sum)
	}
	id.Node = paxos.NodeID(binary.LittleEndian.Uint16(b[6:]))
	id.Disk = paxos.DiskID(binary.LittleEndian.Uint64(b[8:]))
	id.Groups = binary.LittleEndian.Uint16(b[16:])
	id.Born = b[18] == 1
	id.Settings = binary.LittleEndian.Uint64(b[19:])
	name := int(b[27])
	if len(body) < fixed+name {
		return id, fmt.Errorf("%w: cut short", ErrIdentity)
	}
	id.Cluster = string(body[fixed : fixed+name])
	roster, rest, ok := decodeRoster(body[fixed+name:])
	if !ok || len(rest) != 8 {
		return id, fmt.Errorf("%w: roster malformed", ErrIdentity)
	}
	id.Roster = roster
	id.Starts = binary.LittleEndian.Uint64(rest)
	return id, nil
}

// RosterHash is the fingerprint of a roster; zero means that there is none.
func RosterHash(roster []paxos.Acceptor) uint64 {
	if len(roster) == 0 {
		return 0
	}
	h := fnvOffset
	for _, a := range roster {
		h = fnvUint(h, uint64(a.Node))
		h = fnvUint(h, uint64(a.Disk))
	}
	if h == 0 {
		return 1
	}
	return h
}

// Check compares the identity of a directory with the options it is opened
// with.
func (id *Identity) Check(o *Options) error {
	switch {
	case id.Cluster != o.Cluster:
		return fmt.Errorf("%w: the directory belongs to cluster %q, not %q", ErrIdentity,
			id.Cluster, o.Cluster)
	case uint16(id.Node) != o.Self:
		return fmt.Errorf("%w: the directory belongs to node %d, not %d", ErrIdentity,
			id.Node, o.Self)
	case int(id.Groups) != o.Groups:
		return fmt.Errorf("%w: the cluster was born with %d groups, not %d", ErrIdentity,
			id.Groups, o.Groups)
	case id.Settings != o.Digest():
		return fmt.Errorf("%w: the cluster settings differ from those at its birth "+
			"(nodes, log tick or limits changed)", ErrIdentity)
	}
	return nil
}

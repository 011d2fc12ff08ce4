package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/paxos"
)

// Identity is what a data directory knows about itself and its cluster. It is
// kept in a file of its own, replaced atomically.
//
// Birth names the disk of every node at the birth of the cluster. A node whose
// directory was wiped comes back with another disk id and is refused (I7),
// because an acceptor that forgot a promise can make a quorum choose two values.
type Identity struct {
	Cluster string
	Node    paxos.NodeID
	Disk    paxos.DiskID
	Groups  uint16
	// Settings is the digest of the cluster settings at birth.
	Settings uint64
	// Birth is the record with which the cluster was born, nil until all nodes
	// have been seen once, and for ever on a node that joined later.
	Birth *placement.Record
	// Born is set once the node may promise: every node is known to have
	// recorded the same Birth, or the cluster has taken this node in.
	Born bool
	// Record is the newest record of the cluster known here, nil before Born,
	// and Version the slot of group 0 it was chosen in, zero for Birth.
	Record  *placement.Record
	Version uint64
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

// ErrSettings is wrapped when a directory is opened with another cluster, node or
// settings than it was made with. Nothing has changed.
var ErrSettings = errors.New("node: other settings than the directory was made with")

// ErrWiped is wrapped when a peer proves that this directory is not the one the
// cluster knows. It is final: the directory must be put back, or the node
// replaced.
var ErrWiped = errors.New("node: data directory is not the one the cluster knows")

// ErrRemoved is wrapped when the cluster let this node go. It is final.
var ErrRemoved = errors.New("node: the cluster has removed this node")

// AppendIdentity appends the file form of id:
//
//	magic u32 | version u16 | node u16 | disk u64 | groups u16 | born u8 |
//	settings u64 | starts u64 | name length u8, name |
//	birth length u32, birth | record version u64 | record length u32, record |
//	crc32c u32 over all before it
//
// A length of zero stands for no record; placement.Record says what is in one.
func AppendIdentity(dst []byte, id *Identity) []byte {
	le := binary.LittleEndian
	start := len(dst)
	dst = le.AppendUint32(dst, identityMagic)
	dst = le.AppendUint16(dst, identityVersion)
	dst = le.AppendUint16(dst, uint16(id.Node))
	dst = le.AppendUint64(dst, uint64(id.Disk))
	dst = le.AppendUint16(dst, id.Groups)
	born := byte(0)
	if id.Born {
		born = 1
	}
	dst = append(dst, born)
	dst = le.AppendUint64(dst, id.Settings)
	dst = le.AppendUint64(dst, id.Starts)
	dst = append(dst, byte(len(id.Cluster)))
	dst = append(dst, id.Cluster...)
	dst = appendRecord(dst, id.Birth)
	dst = le.AppendUint64(dst, id.Version)
	dst = appendRecord(dst, id.Record)
	sum := crc32.Checksum(dst[start:], crc32.MakeTable(crc32.Castagnoli))
	return le.AppendUint32(dst, sum)
}

func appendRecord(dst []byte, r *placement.Record) []byte {
	var b []byte
	if r != nil {
		b = r.Append(nil)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}

// takeRecord decodes a record with its length and returns what follows.
func takeRecord(b []byte) (*placement.Record, []byte, error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: cut short", ErrIdentity)
	}
	n, b := int(binary.LittleEndian.Uint32(b)), b[4:]
	if n > len(b) {
		return nil, nil, fmt.Errorf("%w: cut short", ErrIdentity)
	}
	if n == 0 {
		return nil, b, nil
	}
	r, err := placement.DecodeRecord(b[:n])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	return &r, b[n:], nil
}

// DecodeIdentity reads what AppendIdentity wrote.
func DecodeIdentity(b []byte) (Identity, error) {
	var id Identity
	const fixed = 4 + 2 + 2 + 8 + 2 + 1 + 8 + 8 + 1
	if len(b) < fixed+4 || binary.LittleEndian.Uint32(b) != identityMagic {
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
	le := binary.LittleEndian
	id.Node = paxos.NodeID(le.Uint16(b[6:]))
	id.Disk = paxos.DiskID(le.Uint64(b[8:]))
	id.Groups = le.Uint16(b[16:])
	id.Born = b[18] == 1
	id.Settings = le.Uint64(b[19:])
	id.Starts = le.Uint64(b[27:])
	name := int(b[35])
	if len(body) < fixed+name {
		return id, fmt.Errorf("%w: cut short", ErrIdentity)
	}
	id.Cluster = string(body[fixed : fixed+name])
	birth, rest, err := takeRecord(body[fixed+name:])
	if err != nil {
		return id, err
	}
	if len(rest) < 8 {
		return id, fmt.Errorf("%w: cut short", ErrIdentity)
	}
	id.Birth, id.Version = birth, le.Uint64(rest)
	id.Record, rest, err = takeRecord(rest[8:])
	if err == nil && (len(rest) != 0 || id.Born && id.Record == nil) {
		err = fmt.Errorf("%w: %d bytes too many, or no record", ErrIdentity, len(rest))
	}
	return id, err
}

// birthHash is the fingerprint of a birth record; zero means that there is none.
func birthHash(r *placement.Record) uint64 {
	if r == nil {
		return 0
	}
	h := fnvString(fnvOffset, string(r.Append(nil)))
	if h == 0 {
		return 1
	}
	return h
}

// earlierLimits are the options with the counts that were the defaults before they
// were made to fit a declared memory.
func earlierLimits(o *Options) *Options {
	earlier, d := *o, lockfsm.DefaultLimits()
	l := &earlier.Limits
	l.Sessions, l.Locks, l.Claims, l.Detached = d.Sessions, d.Locks, d.Claims, d.Detached
	l.ClaimsPerSession, l.WaitersPerLock = d.ClaimsPerSession, d.WaitersPerLock
	l.AgeStep = 0
	return &earlier
}

// bornWithoutAgeing reports whether the cluster was born before waiters aged, and is
// opened with the default of today. It goes on without: its replicas must agree, and
// some may run an earlier build.
func (id *Identity) bornWithoutAgeing(o *Options) bool {
	earlier := *o
	earlier.Limits.AgeStep = 0
	return o.Limits.AgeStep == lockfsm.DefaultLimits().AgeStep && id.Settings == earlier.Digest()
}

// Check compares the identity of a directory with the options it is opened
// with.
func (id *Identity) Check(o *Options) error {
	switch {
	case id.Cluster != o.Cluster:
		return fmt.Errorf("%w: the directory belongs to cluster %q, not %q", ErrSettings,
			id.Cluster, o.Cluster)
	case uint16(id.Node) != o.Self:
		return fmt.Errorf("%w: the directory belongs to node %d, not %d", ErrSettings,
			id.Node, o.Self)
	case int(id.Groups) != o.Groups:
		return fmt.Errorf("%w: the cluster was born with %d groups, not %d", ErrSettings,
			id.Groups, o.Groups)
	case id.Settings == o.Digest(), id.bornWithoutAgeing(o):
		return nil
	case id.Settings == earlierLimits(o).Digest():
		l := earlierLimits(o).Limits
		return fmt.Errorf("%w: the cluster was born with the default limits of an earlier version; "+
			"set them in its file: cluster.limits.sessions = %d, locks = %d, claims = %d, detached = %d, "+
			"claims_per_session = %d, waiters_per_lock = %d, and node.memory to what they may need",
			ErrSettings, l.Sessions, l.Locks, l.Claims, l.Detached, l.ClaimsPerSession,
			l.WaitersPerLock)
	default:
		return fmt.Errorf("%w: the cluster settings differ from those at its birth "+
			"(replicas, window, log tick or limits changed)", ErrSettings)
	}
}

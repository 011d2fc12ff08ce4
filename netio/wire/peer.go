package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
)

const peerMagic = "LKP1"

// PeerVersion is the version of the peer protocol this package writes;
// MinPeerVersion the oldest it still speaks.
const (
	PeerVersion    uint16 = 1
	MinPeerVersion uint16 = 1
)

// PeerKind says what a peer frame is; append-only.
type PeerKind uint8

// The kinds of peer frames.
const (
	PeerKindHello       PeerKind = 1
	PeerKindWelcome     PeerKind = 2
	PeerKindRefused     PeerKind = 3
	PeerKindProof       PeerKind = 4
	PeerKindMessages    PeerKind = 5
	PeerKindRoster      PeerKind = 6
	PeerKindSnapshot    PeerKind = 7
	PeerKindSnapshotAck PeerKind = 8
	PeerKindRecord      PeerKind = 9
	PeerKindSeats       PeerKind = 10
	PeerKindChange      PeerKind = 11
	PeerKindChanged     PeerKind = 12

	peerKindEnd = 13
)

// known reports whether this version knows k.
func (k PeerKind) known() bool { return k >= PeerKindHello && k < peerKindEnd }

// String returns the name of k as it appears in logs and documents.
func (k PeerKind) String() string {
	switch k {
	case PeerKindHello:
		return "PeerHello"
	case PeerKindWelcome:
		return "PeerWelcome"
	case PeerKindRefused:
		return "PeerRefused"
	case PeerKindProof:
		return "PeerProof"
	case PeerKindMessages:
		return "PeerMessages"
	case PeerKindRoster:
		return "PeerRoster"
	case PeerKindSnapshot:
		return "PeerSnapshot"
	case PeerKindSnapshotAck:
		return "PeerSnapshotAck"
	case PeerKindRecord:
		return "PeerRecord"
	case PeerKindSeats:
		return "PeerSeats"
	case PeerKindChange:
		return "PeerChange"
	case PeerKindChanged:
		return "PeerChanged"
	default:
		return "peer kind " + strconv.Itoa(int(k))
	}
}

// PeerHeaderBytes is the size of the header of a peer frame.
const PeerHeaderBytes = 9

// PeerFrameBytes returns the size of the peer frame that b begins with, header
// included, or zero if b is too short to tell. Errors as FrameBytes.
func PeerFrameBytes(b []byte, limit int) (int, error) {
	if len(b) < 4 {
		return 0, nil
	}
	length := binary.LittleEndian.Uint32(b)
	if length < PeerHeaderBytes-4 {
		return 0, fmt.Errorf("%w: peer frame length %d", ErrTruncated, length)
	}
	if uint64(length)+4 > uint64(limit) {
		return 0, fmt.Errorf("%w: peer frame of %d bytes, limit %d",
			ErrTooLarge, uint64(length)+4, limit)
	}
	return int(length) + 4, nil
}

// ParsePeer checks one whole peer frame and splits it. The payload borrows
// frame. ErrChecksum before anything else is believed; ErrKind on an unknown
// kind.
func ParsePeer(frame []byte) (PeerKind, []byte, error) {
	if len(frame) < PeerHeaderBytes {
		return 0, nil, fmt.Errorf("%w: peer frame of %d bytes", ErrTruncated, len(frame))
	}
	if have := uint64(binary.LittleEndian.Uint32(frame)) + 4; have != uint64(len(frame)) {
		return 0, nil, fmt.Errorf("%w: peer frame of %d bytes says %d",
			ErrTruncated, len(frame), have)
	}
	kind, payload := PeerKind(frame[4]), frame[PeerHeaderBytes:]
	if have, want := binary.LittleEndian.Uint32(frame[5:]), peerSum(frame); have != want {
		return 0, nil, fmt.Errorf("%w: %s of %d bytes: have %08x, computed %08x",
			ErrChecksum, kind, len(frame), have, want)
	}
	if !kind.known() {
		return 0, nil, fmt.Errorf("%w: %s", ErrKind, kind)
	}
	return kind, payload, nil
}

// peerSum is the CRC-32C over kind and payload of a whole frame.
func peerSum(frame []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, frame[4:5])
	return crc32.Update(sum, table, frame[PeerHeaderBytes:])
}

// BeginPeer begins a peer frame. The caller appends the payload and calls
// EndPeer with the length dst had before.
func BeginPeer(dst []byte, k PeerKind) []byte {
	return append(dst, 0, 0, 0, 0, byte(k), 0, 0, 0, 0)
}

// EndPeer writes length and checksum of the frame that BeginPeer began at
// start.
func EndPeer(dst []byte, start int) []byte {
	frame := dst[start:]
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-4))
	binary.LittleEndian.PutUint32(frame[5:], peerSum(frame))
	return dst
}

// AppendPeer appends a whole peer frame around a payload.
func AppendPeer(dst []byte, k PeerKind, payload []byte) []byte {
	start := len(dst)
	return EndPeer(append(BeginPeer(dst, k), payload...), start)
}

// Proof is an HMAC-SHA-256 by the cluster secret, or zero without one.
type Proof [32]byte

// PeerFeatureVerdict, in Features, says that its sender knows verdicts: if both sides
// do, the accepting one answers the PeerProof by a zero PeerProof or a PeerRefused.
// Only nodes with a cluster secret set it.
const PeerFeatureVerdict uint64 = 1 << 63

// PeerHello is the first frame in each direction of a link: PeerHello from the
// node that dials, PeerWelcome, with the same fields, from the one that accepts.
type PeerHello struct {
	Version    uint16
	MinVersion uint16
	Features   uint64 // low byte: newest format of batches the sender knows, zero the first
	Cluster    uint64 // hash of the cluster's name
	Settings   uint64 // digest of the settings that must be equal everywhere
	Disk       uint64 // random identity of the sender's data directory
	Durable    uint64 // highest log position the sender has synced
	Roster     uint64 // hash of the roster the sender knows; zero is none
	Starts     uint64 // how often the sender has started on that directory
	Start      uint64 // random mark of this start
	Record     uint64 // version of the cluster record the sender knows
	From, To   uint16 // node ids
	Nonce      Nonce  // challenge to the other side
	Proof      Proof  // in a PeerWelcome: answer to the challenge of the PeerHello
}

// PeerProofAt is where the proof stands in the payload of a PeerHello or
// PeerWelcome, behind magic, two versions, nine numbers, two nodes and the nonce.
const PeerProofAt = len(peerMagic) + 2*2 + 9*8 + 2*2 + len(Nonce{})

// AppendPeerHello appends a whole frame of kind PeerKindHello or
// PeerKindWelcome.
func AppendPeerHello(dst []byte, k PeerKind, x *PeerHello) []byte {
	start := len(dst)
	dst = BeginPeer(dst, k)
	dst = append(dst, peerMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, x.Version)
	dst = binary.LittleEndian.AppendUint16(dst, x.MinVersion)
	dst = binary.LittleEndian.AppendUint64(dst, x.Features)
	dst = binary.LittleEndian.AppendUint64(dst, x.Cluster)
	dst = binary.LittleEndian.AppendUint64(dst, x.Settings)
	dst = binary.LittleEndian.AppendUint64(dst, x.Disk)
	dst = binary.LittleEndian.AppendUint64(dst, x.Durable)
	dst = binary.LittleEndian.AppendUint64(dst, x.Roster)
	dst = binary.LittleEndian.AppendUint64(dst, x.Starts)
	dst = binary.LittleEndian.AppendUint64(dst, x.Start)
	dst = binary.LittleEndian.AppendUint64(dst, x.Record)
	dst = binary.LittleEndian.AppendUint16(dst, x.From)
	dst = binary.LittleEndian.AppendUint16(dst, x.To)
	dst = append(dst, x.Nonce[:]...)
	dst = append(dst, x.Proof[:]...)
	return EndPeer(dst, start)
}

// DecodePeerHello decodes the payload of a PeerHello or PeerWelcome. With
// ErrVersion the versions in the result are valid.
func DecodePeerHello(payload []byte) (PeerHello, error) {
	c := cursor{b: payload}
	if magic := c.take(4); magic == nil || string(magic) != peerMagic {
		return PeerHello{}, fmt.Errorf("PeerHello: %w", ErrMagic)
	}
	x := PeerHello{Version: c.u16(), MinVersion: c.u16()}
	if c.err == nil {
		if _, err := negotiatePeer(x.Version, x.MinVersion); err != nil {
			return x, fmt.Errorf("PeerHello: %w", err)
		}
	}
	x.Features, x.Cluster, x.Settings = c.u64(), c.u64(), c.u64()
	x.Disk, x.Durable, x.Roster = c.u64(), c.u64(), c.u64()
	x.Starts, x.Start, x.Record = c.u64(), c.u64(), c.u64()
	x.From, x.To = c.u16(), c.u16()
	copy(x.Nonce[:], c.take(len(x.Nonce)))
	copy(x.Proof[:], c.take(len(x.Proof)))
	if c.err == nil && x.Version > PeerVersion {
		c.b = nil
	}
	return x, c.end("PeerHello")
}

// negotiatePeer is Negotiate for the peer protocol.
func negotiatePeer(version, minVersion uint16) (uint16, error) {
	if minVersion > version {
		return 0, fmt.Errorf("%w: versions %d to %d", ErrField, minVersion, version)
	}
	if minVersion > PeerVersion || version < MinPeerVersion {
		return 0, fmt.Errorf("%w: they speak %d to %d, we speak %d to %d",
			ErrVersion, minVersion, version, MinPeerVersion, PeerVersion)
	}
	return min(version, PeerVersion), nil
}

// PeerRefused is the last frame before a link is closed.
type PeerRefused Refused

// AppendPeerRefused appends a whole PeerRefused frame.
func AppendPeerRefused(dst []byte, x *PeerRefused) []byte {
	start := len(dst)
	dst = appendRefused(BeginPeer(dst, PeerKindRefused), (*Refused)(x))
	return EndPeer(dst, start)
}

// DecodePeerRefused decodes the payload of a PeerRefused.
func DecodePeerRefused(payload []byte) (PeerRefused, error) {
	x, err := decodeRefused(payload, "PeerRefused")
	return PeerRefused(x), err
}

// AppendPeerProof appends a whole PeerProof frame: the dialing node's answer to
// the challenge of the PeerWelcome.
func AppendPeerProof(dst []byte, x *Proof) []byte {
	return AppendPeer(dst, PeerKindProof, x[:])
}

// DecodePeerProof decodes the payload of a PeerProof.
func DecodePeerProof(payload []byte) (Proof, error) {
	c := cursor{b: payload}
	var x Proof
	copy(x[:], c.take(len(x)))
	return x, c.end("PeerProof")
}

package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

const clientMagic = "LKD1"

// Nonce is 16 random bytes drawn by a client.
type Nonce [16]byte

// Hello is the first frame on a client conn.
type Hello struct {
	Version    uint16 // the newest version the client speaks
	MinVersion uint16 // the oldest it accepts
	Features   uint64 // bits it understands; none are defined in version 1
	Nonce      Nonce  // of the client process; the same on all its conns
	Name       []byte // for people, at most MaxClientNameBytes; borrowed when decoded
}

// AppendHello appends a whole Hello frame.
func AppendHello(dst []byte, h Header, x *Hello) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindHello, h)
	dst = append(dst, clientMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, x.Version)
	dst = binary.LittleEndian.AppendUint16(dst, x.MinVersion)
	dst = binary.LittleEndian.AppendUint64(dst, x.Features)
	dst = append(dst, x.Nonce[:]...)
	dst = appendText(dst, x.Name, MaxClientNameBytes)
	return finish(dst, start)
}

// DecodeHello decodes the body of a Hello. With ErrVersion the versions in the
// result are valid, so that the refusal can name them.
func DecodeHello(body []byte) (Hello, error) {
	c := cursor{b: body}
	if magic := c.take(4); magic == nil || string(magic) != clientMagic {
		return Hello{}, fmt.Errorf("Hello: %w", ErrMagic)
	}
	x := Hello{Version: c.u16(), MinVersion: c.u16()}
	if c.err == nil {
		if _, err := Negotiate(x.Version, x.MinVersion); err != nil {
			return x, fmt.Errorf("Hello: %w", err)
		}
	}
	x.Features = c.u64()
	copy(x.Nonce[:], c.take(len(x.Nonce)))
	x.Name = c.text(MaxClientNameBytes)
	c.skipNewer(x.Version)
	return x, c.end("Hello")
}

// Negotiate returns the version to speak with a side that speaks minVersion to
// version: the newest both know. ErrVersion if there is none.
func Negotiate(version, minVersion uint16) (uint16, error) {
	if minVersion > version {
		return 0, fmt.Errorf("%w: versions %d to %d", ErrField, minVersion, version)
	}
	if minVersion > Version || version < MinVersion {
		return 0, fmt.Errorf("%w: they speak %d to %d, we speak %d to %d",
			ErrVersion, minVersion, version, MinVersion, Version)
	}
	return min(version, Version), nil
}

// skipNewer drops the fields that a version after ours has appended to a
// greeting; those of our own version must end where we end.
func (c *cursor) skipNewer(version uint16) {
	if c.err == nil && version > Version {
		c.b = nil
	}
}

// Node is a node as clients reach it.
type Node struct {
	ID      uint16
	Address []byte // host:port of its client port; borrowed when decoded
}

const (
	welcomeFixedBytes = 48 + 12
	nodeFixedBytes    = 4
)

// Welcome is a node's answer to a Hello it accepts.
type Welcome struct {
	Version  uint16 // the version spoken on this conn from now on
	Node     uint16 // the answering node
	Cluster  uint64
	Features uint64
	Limits   Limits
	Leaders  []uint16 // one per group, in order; zero is unknown
	Nodes    []Node   // all nodes, the answering one included
}

// AppendWelcome appends a whole Welcome frame. Requires: at most MaxGroups
// leaders and MaxNodes nodes.
func AppendWelcome(dst []byte, h Header, x *Welcome) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindWelcome, h)
	dst = binary.LittleEndian.AppendUint16(dst, x.Version)
	dst = binary.LittleEndian.AppendUint16(dst, x.Node)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Leaders)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Nodes)))
	dst = binary.LittleEndian.AppendUint64(dst, x.Cluster)
	dst = binary.LittleEndian.AppendUint64(dst, x.Features)
	dst = binary.LittleEndian.AppendUint32(dst, x.Limits.FrameBytes)
	dst = binary.LittleEndian.AppendUint32(dst, x.Limits.InFlight)
	dst = binary.LittleEndian.AppendUint32(dst, x.Limits.MinLeaseMillis)
	dst = binary.LittleEndian.AppendUint32(dst, x.Limits.MaxLeaseMillis)
	dst = binary.LittleEndian.AppendUint16(dst, x.Limits.NameBytes)
	dst = binary.LittleEndian.AppendUint16(dst, x.Limits.PayloadBytes)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	for _, leader := range x.Leaders {
		dst = binary.LittleEndian.AppendUint16(dst, leader)
	}
	for i := range x.Nodes {
		dst = binary.LittleEndian.AppendUint16(dst, x.Nodes[i].ID)
		dst = appendText(dst, x.Nodes[i].Address, MaxAddressBytes)
	}
	if x.Version >= VersionWhole {
		dst = binary.LittleEndian.AppendUint32(dst, x.Limits.MinHoldMillis)
		dst = binary.LittleEndian.AppendUint32(dst, x.Limits.MaxHoldMillis)
		dst = binary.LittleEndian.AppendUint32(dst, x.Limits.DataBytes)
	}
	return finish(dst, start)
}

// DecodeWelcome decodes the body of a Welcome. ErrVersion if the node chose a
// version this package does not speak.
func DecodeWelcome(body []byte) (Welcome, error) {
	c := cursor{b: body}
	x := Welcome{Version: c.u16(), Node: c.u16()}
	if c.err == nil && (x.Version > Version || x.Version < MinVersion) {
		return x, fmt.Errorf("Welcome: %w: node chose %d", ErrVersion, x.Version)
	}
	groups, nodes := int(c.u16()), int(c.u16())
	x.Cluster, x.Features = c.u64(), c.u64()
	x.Limits.FrameBytes, x.Limits.InFlight = c.u32(), c.u32()
	x.Limits.MinLeaseMillis, x.Limits.MaxLeaseMillis = c.u32(), c.u32()
	x.Limits.NameBytes, x.Limits.PayloadBytes = c.u16(), c.u16()
	c.zero(4)
	if c.err == nil && (groups == 0 || groups > MaxGroups || nodes > MaxNodes) {
		c.fail(ErrField)
	}
	if c.err == nil && 2*groups+nodeFixedBytes*nodes > len(c.b) {
		c.fail(ErrTruncated)
	}
	if c.err != nil {
		return Welcome{}, c.end("Welcome")
	}
	x.Leaders = make([]uint16, groups)
	for i := range x.Leaders {
		x.Leaders[i] = c.u16()
	}
	x.Nodes = make([]Node, nodes)
	for i := range x.Nodes {
		x.Nodes[i] = Node{ID: c.u16(), Address: c.text(MaxAddressBytes)}
	}
	if x.Version >= VersionWhole {
		x.Limits.MinHoldMillis, x.Limits.MaxHoldMillis = c.u32(), c.u32()
		x.Limits.DataBytes = c.u32()
	}
	return x, c.end("Welcome")
}

// zero reads n reserved bytes, which must be zero.
func (c *cursor) zero(n int) {
	for _, b := range c.take(n) {
		if b != 0 {
			c.fail(ErrField)
			return
		}
	}
}

// Refusal says why a node does not talk to a conn, or no longer.
type Refusal uint8

// The refusals; append-only.
const (
	RefusedVersion    Refusal = 1 // no common version
	RefusedMagic      Refusal = 2 // not our protocol
	RefusedFrame      Refusal = 3 // a frame that breaks the protocol
	RefusedConns      Refusal = 4 // the node takes no more conns
	RefusedStopping   Refusal = 5 // the node is going down
	RefusedPermission Refusal = 6 // this client, or this peer, is not admitted
	RefusedTimeout    Refusal = 7 // no hello in time, or idle for too long
	RefusedCluster    Refusal = 8 // a peer of another cluster, or other settings
	RefusedNode       Refusal = 9 // a peer that is not who the link is for
	RefusedDisk       Refusal = 10
	RefusedRollback   Refusal = 11 // a peer that forgot what it had synced
	RefusedDuplicate  Refusal = 12 // a live link of the same node exists
	RefusedRemoved    Refusal = 13 // a node that the cluster let go
)

// String returns the name of r as it appears in logs and errors.
func (r Refusal) String() string {
	switch r {
	case RefusedVersion:
		return "no common version"
	case RefusedMagic:
		return "wrong magic"
	case RefusedFrame:
		return "bad frame"
	case RefusedConns:
		return "too many conns"
	case RefusedStopping:
		return "stopping"
	case RefusedPermission:
		return "permission denied"
	case RefusedTimeout:
		return "timeout"
	case RefusedCluster:
		return "other cluster"
	case RefusedNode:
		return "other node"
	case RefusedDisk:
		return "other disk"
	case RefusedRollback:
		return "rolled back"
	case RefusedDuplicate:
		return "duplicate"
	case RefusedRemoved:
		return "removed"
	default:
		return "refusal " + strconv.Itoa(int(r))
	}
}

// Refused is the last frame a node sends before it closes a conn.
type Refused struct {
	Code Refusal
	Text []byte // for people, at most MaxTextBytes; borrowed when decoded
}

// AppendRefused appends a whole Refused frame.
func AppendRefused(dst []byte, h Header, x *Refused) []byte {
	start := len(dst)
	dst = appendHeader(dst, KindRefused, h)
	return finish(appendRefused(dst, x), start)
}

// DecodeRefused decodes the body of a Refused.
func DecodeRefused(body []byte) (Refused, error) { return decodeRefused(body, "Refused") }

func appendRefused(dst []byte, x *Refused) []byte {
	return appendText(append(dst, byte(x.Code), 0), x.Text, MaxTextBytes)
}

func decodeRefused(body []byte, what string) (Refused, error) {
	c := cursor{b: body}
	x := Refused{Code: Refusal(c.u8())}
	c.zero(1)
	x.Text = c.text(MaxTextBytes)
	return x, c.end(what)
}

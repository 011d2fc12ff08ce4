package wire

import (
	"encoding/binary"
	"strconv"
)

const (
	lockInfoFixedBytes  = 14
	holderFixedBytes    = 32
	waiterFixedBytes    = 20
	listPageFixedBytes  = 4
	listEntryFixedBytes = 30
	maxListEntryBytes   = listEntryFixedBytes + permitBytes + gateInfoBytes + MaxNameBytes +
		MaxClientNameBytes
	// permitBytes is what version 2 adds to a LockInfo and to a ListEntry,
	// claimKindBytes what it adds to a Holder and to a Waiter.
	permitBytes    = 8
	gateInfoBytes  = 6 // what version 3 adds to both
	claimKindBytes = 16
	// dataFixedBytes is what version 3 adds to a Holder, its data apart.
	dataFixedBytes       = 5
	nodeStatusFixedBytes = 32
	groupStatusBytes     = 48
)

// NoEnd is the LeaseMillis of what stands of a gate and has no time of its own.
const NoEnd = 1<<32 - 1

// Holder is one hold of a lock.
type Holder struct {
	Session     uint64 // or owner id
	Token       uint64
	HeldMillis  uint64 // log time since the grant
	LeaseMillis uint32 // log time left, unless renewed
	Mode        Mode
	Client      []byte // the name its client gave; borrowed when decoded
	Kind        ClaimKind
	Data        HolderData
}

// HolderData is what a holder lets others read: version 3.
type HolderData struct {
	Flags   HolderFlags
	Payload []byte // borrowed when decoded
	Labels  []byte // see DecodeLabels; borrowed when decoded
}

// HolderFlags say more about a holder.
type HolderFlags uint8

// The flags of a holder.
const (
	// HolderDataLeftOut: it has data for which the answer has no room.
	HolderDataLeftOut HolderFlags = 1 << 0
	// HolderKept: the hold is over, and the lock stays taken by it until its lease
	// is: for its min hold or delay.
	HolderKept HolderFlags = 1 << 1
	// HolderDetached: the hold is detached. In a ListEntry only; elsewhere its session
	// says so.
	HolderDetached HolderFlags = 1 << 2

	knownHolderFlags = HolderDataLeftOut | HolderKept
	knownEntryFlags  = HolderDetached | HolderKept
)

// ClaimKind is what a claim is beyond a mode: version 2.
type ClaimKind struct {
	Permits uint32 // of a semaphore, else zero
	Depth   uint32 // requests of the owner that stand here; 1 without an owner
	Owner   uint64 // who may enter again; zero is nobody
}

// Waiter is one request in the queue of a lock.
type Waiter struct {
	Session      uint64
	WaitedMillis uint64 // log time since it came
	Mode         Mode
	Weight       uint8
	Client       []byte // borrowed when decoded
	Kind         ClaimKind
}

// LockInfo is what a group knows of one lock.
type LockInfo struct {
	HolderCount uint32 // exact; Holders lists the first MaxListed
	WaiterCount uint32 // exact; Waiters lists the first MaxListed
	Name        []byte // borrowed when decoded
	Holders     []Holder
	Waiters     []Waiter
	// Capacity is that of a semaphore, zero for a lock with modes; Taken is how
	// many permits are held. Version 2.
	Capacity, Taken uint32
	// Gate says that the name is a gate, of which Number is what is left of the count
	// of a latch or how many a barrier wants. What stands of a gate, a latch with a
	// count or an event that is set, is its only holder, without a client. Version 3.
	Gate   GateKind
	Number uint32
	// Value is that of the lock, which it may have without a holder. Version 3.
	Value LockValue
}

// AppendLockInfo appends the payload of a Get, and of a Held refusal that asked
// for details, as version 1 has it. Holders and waiters after the first
// MaxListed are left out.
func AppendLockInfo(dst []byte, x *LockInfo) []byte {
	return appendLockInfo(dst, x, MinVersion)
}

// AppendLockInfo2 appends the same as version 2 has it.
func AppendLockInfo2(dst []byte, x *LockInfo) []byte {
	return appendLockInfo(dst, x, VersionKinds)
}

// AppendLockInfo3 appends the same as version 3 has it.
func AppendLockInfo3(dst []byte, x *LockInfo) []byte {
	return appendLockInfo(dst, x, VersionWhole)
}

func appendLockInfo(dst []byte, x *LockInfo, version uint16) []byte {
	holders := x.Holders[:min(len(x.Holders), MaxListed)]
	waiters := x.Waiters[:min(len(x.Waiters), MaxListed)]
	dst = binary.LittleEndian.AppendUint32(dst, x.HolderCount)
	dst = binary.LittleEndian.AppendUint32(dst, x.WaiterCount)
	if version >= VersionKinds {
		dst = binary.LittleEndian.AppendUint32(dst, x.Capacity)
		dst = binary.LittleEndian.AppendUint32(dst, x.Taken)
	}
	if version >= VersionWhole {
		dst = appendGateInfo(dst, x.Gate, x.Number)
		dst[len(dst)-1] |= x.infoFlags()
	}
	dst = appendText(dst, x.Name, MaxNameBytes)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(holders)))
	room := MaxListedDataBytes
	for i := range holders {
		h := &holders[i]
		dst = binary.LittleEndian.AppendUint64(dst, h.Session)
		dst = binary.LittleEndian.AppendUint64(dst, h.Token)
		dst = binary.LittleEndian.AppendUint64(dst, h.HeldMillis)
		dst = binary.LittleEndian.AppendUint32(dst, h.LeaseMillis)
		dst = append(dst, byte(h.Mode), 0)
		dst = appendClaimKind(dst, &h.Kind, version)
		dst = appendText(dst, h.Client, MaxClientNameBytes)
		if version >= VersionWhole {
			dst, room = appendHolderData(dst, h.Data, room)
		}
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(waiters)))
	for i := range waiters {
		w := &waiters[i]
		dst = binary.LittleEndian.AppendUint64(dst, w.Session)
		dst = binary.LittleEndian.AppendUint64(dst, w.WaitedMillis)
		dst = append(dst, byte(w.Mode), w.Weight)
		dst = appendClaimKind(dst, &w.Kind, version)
		dst = appendText(dst, w.Client, MaxClientNameBytes)
	}
	if version >= VersionWhole && x.infoFlags()&infoValued != 0 {
		dst = AppendLockValue(dst, &x.Value)
	}
	return dst
}

// infoFlags are those of a LockInfo: whether it has a value.
func (x *LockInfo) infoFlags() byte {
	if len(x.Value.Data) == 0 {
		return 0
	}
	return infoValued
}

func appendGateInfo(dst []byte, g GateKind, number uint32) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, number)
	return append(dst, byte(g), 0)
}

// gateInfo reads what version 3 says of a gate, and the flags behind it, of which
// those in known may be set. A gate has no value.
func (c *cursor) gateInfo(known uint8) (GateKind, uint32, uint8) {
	number, g, flags := c.u32(), GateKind(c.u8()), c.u8()
	if g >= gateEnd || g == 0 && number != 0 || flags&^known != 0 {
		c.fail(ErrField)
	}
	return g, number, flags
}

// entryInfo is gateInfo with flags of the first holder behind it.
func (c *cursor) entryInfo() (GateKind, uint32, HolderFlags) {
	g, number, flags := c.gateInfo(uint8(knownEntryFlags))
	return g, number, HolderFlags(flags)
}

func appendClaimKind(dst []byte, x *ClaimKind, version uint16) []byte {
	if version < VersionKinds {
		return dst
	}
	dst = binary.LittleEndian.AppendUint32(dst, x.Permits)
	dst = binary.LittleEndian.AppendUint32(dst, x.Depth)
	return binary.LittleEndian.AppendUint64(dst, x.Owner)
}

// appendHolderData appends the data of a holder if it fits the room, and returns
// what is left of that.
func appendHolderData(dst []byte, x HolderData, room int) ([]byte, int) {
	if len(x.Payload)+len(x.Labels) > room {
		x = HolderData{Flags: x.Flags | HolderDataLeftOut}
	}
	dst = append(dst, byte(x.Flags))
	dst = appendText(dst, x.Payload, MaxPayloadBytes)
	dst = appendText(dst, x.Labels, MaxLabelBytes)
	return dst, room - len(x.Payload) - len(x.Labels)
}

func (c *cursor) holderData() HolderData {
	x := HolderData{Flags: HolderFlags(c.u8()), Payload: c.text(MaxPayloadBytes),
		Labels: c.text(MaxLabelBytes)}
	if x.Flags&^knownHolderFlags != 0 ||
		x.Flags&HolderDataLeftOut != 0 && len(x.Payload)+len(x.Labels) > 0 {
		c.fail(ErrField)
	}
	return x
}

func (c *cursor) claimKind(version uint16) ClaimKind {
	if version < VersionKinds {
		return ClaimKind{}
	}
	return ClaimKind{Permits: c.u32(), Depth: c.u32(), Owner: c.u64()}
}

// DecodeLockInfo decodes the payload of a Get, as version 1 has it.
func DecodeLockInfo(payload []byte) (LockInfo, error) {
	return decodeLockInfo(payload, MinVersion)
}

// DecodeLockInfo2 decodes the payload of a Get, as version 2 has it.
func DecodeLockInfo2(payload []byte) (LockInfo, error) {
	return decodeLockInfo(payload, VersionKinds)
}

// DecodeLockInfo3 decodes the payload of a Get, as version 3 has it.
func DecodeLockInfo3(payload []byte) (LockInfo, error) {
	return decodeLockInfo(payload, VersionWhole)
}

func decodeLockInfo(payload []byte, version uint16) (LockInfo, error) {
	c := cursor{b: payload}
	x, flags := LockInfo{HolderCount: c.u32(), WaiterCount: c.u32()}, uint8(0)
	if version >= VersionKinds {
		x.Capacity, x.Taken = c.u32(), c.u32()
	}
	if version >= VersionWhole {
		x.Gate, x.Number, flags = c.gateInfo(infoValued)
	}
	x.Name = c.text(MaxNameBytes)
	if n := c.count(MaxListed, holderFixedBytes); n > 0 {
		x.Holders = make([]Holder, n)
	}
	for i := range x.Holders {
		h := &x.Holders[i]
		h.Session, h.Token, h.HeldMillis = c.u64(), c.u64(), c.u64()
		h.LeaseMillis, h.Mode = c.u32(), c.mode()
		c.zero(1)
		h.Kind = c.claimKind(version)
		h.Client = c.text(MaxClientNameBytes)
		if version >= VersionWhole {
			h.Data = c.holderData()
		}
	}
	if n := c.count(MaxListed, waiterFixedBytes); n > 0 {
		x.Waiters = make([]Waiter, n)
	}
	for i := range x.Waiters {
		w := &x.Waiters[i]
		w.Session, w.WaitedMillis = c.u64(), c.u64()
		w.Mode, w.Weight = c.mode(), c.u8()
		w.Kind = c.claimKind(version)
		w.Client = c.text(MaxClientNameBytes)
	}
	if flags&infoValued != 0 {
		if x.Value = c.lockValue(); len(x.Value.Data) == 0 {
			c.fail(ErrField)
		}
	}
	return x, c.end("LockInfo")
}

func (c *cursor) mode() Mode {
	m := Mode(c.u8())
	if m >= modeEnd {
		c.fail(ErrField)
	}
	return m
}

// ListEntry is one lock in a ListPage.
type ListEntry struct {
	Token       uint64 // of the first holder, or zero
	HeldMillis  uint64 // log time since its grant
	HolderCount uint32
	WaiterCount uint32
	Mode        Mode   // of the first holder
	Name        []byte // borrowed when decoded
	Client      []byte // of the first holder; borrowed when decoded
	// Capacity is that of a semaphore, zero for a lock with modes; Taken is how
	// many permits are held. Version 2.
	Capacity, Taken uint32
	// Gate says that the name is a gate, of which Number is what is left of the count
	// of a latch or how many a barrier wants. What stands of a gate, a latch with a
	// count or an event that is set, is its only holder, without a client. Version 3.
	Gate   GateKind
	Number uint32
	// Flags say more about the first holder: HolderKept and HolderDetached. Version 3.
	Flags HolderFlags
}

// More says whether a ListPage is the last of its group.
type More uint8

// The two answers.
const (
	LastPage  More = 0
	MorePages More = 1
)

// ListPage is a part of a group's locks, in the order of their names.
type ListPage struct {
	More    More
	Entries []ListEntry
}

// Bytes is what the entry takes in a page, in whatever version.
func (e *ListEntry) Bytes() int {
	return listEntryFixedBytes + permitBytes + gateInfoBytes + len(e.Name) + len(e.Client)
}

// AppendListPage appends the payload of a List, as version 1 has it. Requires:
// at most MaxListPage entries, of MaxListBytes together.
func AppendListPage(dst []byte, x *ListPage) []byte {
	return appendListPage(dst, x, MinVersion)
}

// AppendListPage2 appends the same as version 2 has it.
func AppendListPage2(dst []byte, x *ListPage) []byte {
	return appendListPage(dst, x, VersionKinds)
}

// AppendListPage3 appends the same as version 3 has it.
func AppendListPage3(dst []byte, x *ListPage) []byte {
	return appendListPage(dst, x, VersionWhole)
}

func appendListPage(dst []byte, x *ListPage, version uint16) []byte {
	dst = append(dst, byte(x.More), 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Entries)))
	for i := range x.Entries {
		e := &x.Entries[i]
		dst = binary.LittleEndian.AppendUint64(dst, e.Token)
		dst = binary.LittleEndian.AppendUint64(dst, e.HeldMillis)
		dst = binary.LittleEndian.AppendUint32(dst, e.HolderCount)
		dst = binary.LittleEndian.AppendUint32(dst, e.WaiterCount)
		dst = append(dst, byte(e.Mode), 0)
		if version >= VersionKinds {
			dst = binary.LittleEndian.AppendUint32(dst, e.Capacity)
			dst = binary.LittleEndian.AppendUint32(dst, e.Taken)
		}
		if version >= VersionWhole {
			dst = appendGateInfo(dst, e.Gate, e.Number)
			dst[len(dst)-1] = byte(e.Flags)
		}
		dst = appendText(dst, e.Name, MaxNameBytes)
		dst = appendText(dst, e.Client, MaxClientNameBytes)
	}
	return dst
}

// DecodeListPage decodes the payload of a List, as version 1 has it.
func DecodeListPage(payload []byte) (ListPage, error) {
	return decodeListPage(payload, MinVersion)
}

// DecodeListPage2 decodes the payload of a List, as version 2 has it.
func DecodeListPage2(payload []byte) (ListPage, error) {
	return decodeListPage(payload, VersionKinds)
}

// DecodeListPage3 decodes the payload of a List, as version 3 has it.
func DecodeListPage3(payload []byte) (ListPage, error) {
	return decodeListPage(payload, VersionWhole)
}

func decodeListPage(payload []byte, version uint16) (ListPage, error) {
	c := cursor{b: payload}
	x := ListPage{More: More(c.u8())}
	c.zero(1)
	if x.More > MorePages {
		c.fail(ErrField)
	}
	if n := c.count(MaxListPage, listEntryFixedBytes); n > 0 {
		x.Entries = make([]ListEntry, n)
	}
	for i := range x.Entries {
		e := &x.Entries[i]
		e.Token, e.HeldMillis = c.u64(), c.u64()
		e.HolderCount, e.WaiterCount = c.u32(), c.u32()
		e.Mode = c.mode()
		c.zero(1)
		if version >= VersionKinds {
			e.Capacity, e.Taken = c.u32(), c.u32()
		}
		if version >= VersionWhole {
			e.Gate, e.Number, e.Flags = c.entryInfo()
		}
		e.Name = c.text(MaxNameBytes)
		e.Client = c.text(MaxClientNameBytes)
	}
	return x, c.end("ListPage")
}

// Role is what a node is in a group.
type Role uint8

// The roles; append-only.
const (
	RoleReplica   Role = 1 // an acceptor that does not lead
	RolePreparing Role = 2 // tries to become leader
	RoleLeader    Role = 3
	RoleNone      Role = 4 // keeps no replica of this group
)

// String returns the name of r as it appears in tables.
func (r Role) String() string {
	switch r {
	case RoleReplica:
		return "replica"
	case RolePreparing:
		return "preparing"
	case RoleLeader:
		return "leader"
	case RoleNone:
		return "none"
	default:
		return "role " + strconv.Itoa(int(r))
	}
}

// GroupStatus is the state of one group as one node sees it.
type GroupStatus struct {
	Round      uint64 // of the promised ballot
	Chosen     uint64 // slot up to which it knows the chosen values
	Applied    uint64 // slot up to which its machine has applied
	Sessions   uint32
	Locks      uint32 // held
	Waiters    uint32
	Group      uint16
	BallotNode uint16 // of the promised ballot
	Leader     uint16 // zero if unknown
	Role       Role
}

// NodeStatus is the state of a node.
type NodeStatus struct {
	Cluster      uint64
	UptimeMillis uint64
	Durable      uint64 // log position it has synced
	Node         uint16
	Flags        NodeFlags // version 3
	Build        []byte    // version of the binary, at most MaxTextBytes; borrowed when decoded
	Groups       []GroupStatus
}

// NodeFlags say more about a node.
type NodeFlags uint8

// The flags of a node.
const (
	// NodeDraining: it gives its leaderships away and takes none.
	NodeDraining NodeFlags = 1 << 0

	knownNodeFlags = NodeDraining
)

// AppendNodeStatus appends the payload of a Status, as version 1 has it. Requires:
// at most MaxGroups groups.
func AppendNodeStatus(dst []byte, x *NodeStatus) []byte { return appendNodeStatus(dst, x, 0) }

// AppendNodeStatus3 appends the same as version 3 has it.
func AppendNodeStatus3(dst []byte, x *NodeStatus) []byte {
	return appendNodeStatus(dst, x, x.Flags)
}

func appendNodeStatus(dst []byte, x *NodeStatus, flags NodeFlags) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, x.Cluster)
	dst = binary.LittleEndian.AppendUint64(dst, x.UptimeMillis)
	dst = binary.LittleEndian.AppendUint64(dst, x.Durable)
	dst = binary.LittleEndian.AppendUint16(dst, x.Node)
	dst = append(dst, byte(flags), 0)
	dst = appendText(dst, x.Build, MaxTextBytes)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(x.Groups)))
	for i := range x.Groups {
		g := &x.Groups[i]
		dst = binary.LittleEndian.AppendUint64(dst, g.Round)
		dst = binary.LittleEndian.AppendUint64(dst, g.Chosen)
		dst = binary.LittleEndian.AppendUint64(dst, g.Applied)
		dst = binary.LittleEndian.AppendUint32(dst, g.Sessions)
		dst = binary.LittleEndian.AppendUint32(dst, g.Locks)
		dst = binary.LittleEndian.AppendUint32(dst, g.Waiters)
		dst = binary.LittleEndian.AppendUint16(dst, g.Group)
		dst = binary.LittleEndian.AppendUint16(dst, g.BallotNode)
		dst = binary.LittleEndian.AppendUint16(dst, g.Leader)
		dst = append(dst, byte(g.Role), 0, 0, 0, 0, 0)
	}
	return dst
}

// DecodeNodeStatus decodes the payload of a Status, as version 1 has it.
func DecodeNodeStatus(payload []byte) (NodeStatus, error) { return decodeNodeStatus(payload, 0) }

// DecodeNodeStatus3 decodes the payload of a Status, as version 3 or 1 has it.
func DecodeNodeStatus3(payload []byte) (NodeStatus, error) {
	return decodeNodeStatus(payload, knownNodeFlags)
}

func decodeNodeStatus(payload []byte, known NodeFlags) (NodeStatus, error) {
	c := cursor{b: payload}
	x := NodeStatus{Cluster: c.u64(), UptimeMillis: c.u64(), Durable: c.u64(), Node: c.u16(),
		Flags: NodeFlags(c.u8())}
	c.zero(1)
	if x.Flags&^known != 0 {
		c.fail(ErrField)
	}
	x.Build = c.text(MaxTextBytes)
	if n := c.count(MaxGroups, groupStatusBytes); n > 0 {
		x.Groups = make([]GroupStatus, n)
	}
	for i := range x.Groups {
		g := &x.Groups[i]
		g.Round, g.Chosen, g.Applied = c.u64(), c.u64(), c.u64()
		g.Sessions, g.Locks, g.Waiters = c.u32(), c.u32(), c.u32()
		g.Group, g.BallotNode, g.Leader = c.u16(), c.u16(), c.u16()
		g.Role = Role(c.u8())
		c.zero(5)
	}
	return x, c.end("NodeStatus")
}

package wire

import "fmt"

// Bounds of the format. Those a cluster may lower are announced in Welcome.
const (
	// MaxFrameBytes is the default bound of a client frame, header included.
	// Raising it raises what one conn can make a node buffer.
	MaxFrameBytes = 64 << 10
	// MaxPeerFrameBytes is the bound of a peer frame, header included.
	MaxPeerFrameBytes = 8 << 20
	// MaxNameBytes bounds the name of a lock; the shortest is one byte.
	MaxNameBytes = 512
	// MaxClientNameBytes bounds the name a client gives itself.
	MaxClientNameBytes = 128
	// MaxTextBytes bounds a text meant for people.
	MaxTextBytes = 512
	// MaxAddressBytes bounds a host:port.
	MaxAddressBytes = 262
	// MaxPayloadBytes bounds the data a hold carries.
	MaxPayloadBytes = 4 << 10
	// MaxValueBytes bounds the value of a lock.
	MaxValueBytes = 4 << 10
	// MaxLabels bounds the labels of a hold, MaxLabelKeyBytes and MaxLabelValueBytes
	// the two parts of one, and MaxLabelBytes all of them as they are encoded.
	MaxLabels          = 8
	MaxLabelKeyBytes   = 63
	MaxLabelValueBytes = 127
	MaxLabelBytes      = 512
	// MaxListedDataBytes bounds the payloads and labels that a LockInfo lists; what
	// finds no room is left out and marked. The first holder's always has.
	MaxListedDataBytes = 32 << 10
	// MaxGroups bounds the number of groups of a cluster.
	MaxGroups = 1024
	// MaxNodes bounds the nodes listed in a Welcome.
	MaxNodes = 64
	// MaxListed bounds the holders and, separately, the waiters that a LockInfo
	// lists; its counts are exact whatever their number.
	MaxListed = 64
	// MaxPage bounds the entries of a TopPage, and those of a ListPage of which nobody
	// has said how many it may have.
	MaxPage = 64
	// MaxListPage bounds the entries of a ListPage, and MaxListBytes what they take
	// together. A node looks at every lock of a group for a page, so that a long list
	// costs the less the longer its pages are.
	MaxListPage  = 1024
	MaxListBytes = 48 << 10
	// MinLeaseMillis and MaxLeaseMillis bound a session lease, as long as no Welcome
	// has said other bounds.
	MinLeaseMillis = 1_000
	MaxLeaseMillis = 3_600_000
	// DefaultInFlight is how many requests a client has in flight at most that was not
	// told otherwise; a node says in its Welcome what it takes.
	DefaultInFlight = 16 << 10
)

// The largest frame of each kind whose size depends on a count. Each must fit
// a client frame, which the constants below prove when they compile: a
// negative constant does not convert to uint.
const (
	maxWelcomeBytes = HeaderBytes + welcomeFixedBytes + 2*MaxGroups +
		MaxNodes*(nodeFixedBytes+MaxAddressBytes)
	maxKeepaliveBytes = HeaderBytes + 2 + MaxGroups*renewalBytes
	maxLockInfoBytes  = HeaderBytes + responseFixedBytes + lockInfoFixedBytes + permitBytes +
		gateInfoBytes + valueFixedBytes + MaxValueBytes +
		MaxNameBytes + MaxListed*(holderFixedBytes+claimKindBytes+MaxClientNameBytes+dataFixedBytes) +
		MaxListedDataBytes +
		MaxListed*(waiterFixedBytes+claimKindBytes+MaxClientNameBytes)
	maxListPageBytes   = HeaderBytes + responseFixedBytes + listPageFixedBytes + MaxListBytes
	maxAcquireAllBytes = HeaderBytes + acquireAllFixedBytes + MaxWants*(wantFixedBytes+MaxNameBytes)
	maxCircleBytes     = HeaderBytes + responseFixedBytes + circleFixedBytes +
		MaxSteps*(stepFixedBytes+MaxClientNameBytes+MaxNameBytes)
	maxStatusBytes = HeaderBytes + responseFixedBytes + nodeStatusFixedBytes + MaxTextBytes +
		MaxGroups*groupStatusBytes
	maxTopBytes = HeaderBytes + responseFixedBytes + 2 + MaxPage*(topEntryFixedBytes+MaxNameBytes)

	maxHistoryBytes = HeaderBytes + responseFixedBytes + historyPageFixedBytes +
		MaxSpans*spanBytes + MaxPage*(pastFixedBytes+2*MaxClientNameBytes+MaxReasonBytes)

	_ = uint(MaxFrameBytes - maxWelcomeBytes)
	_ = uint(MaxFrameBytes - maxKeepaliveBytes)
	_ = uint(MaxFrameBytes - maxLockInfoBytes - blockageBytes)
	_ = uint(MaxFrameBytes - maxListPageBytes)
	_ = uint(MaxListBytes - maxListEntryBytes)
	_ = uint(MaxFrameBytes - maxAcquireAllBytes)
	_ = uint(MaxFrameBytes - maxCircleBytes)
	_ = uint(MaxFrameBytes - maxStatusBytes)
	_ = uint(MaxFrameBytes - maxTopBytes)
	_ = uint(MaxFrameBytes - maxHistoryBytes)
)

// Limits is what a node announces in its Welcome.
type Limits struct {
	FrameBytes     uint32 // client frame, header included
	InFlight       uint32 // requests in flight on one conn
	MinLeaseMillis uint32
	MaxLeaseMillis uint32
	NameBytes      uint16
	PayloadBytes   uint16
	// MinHoldMillis and MaxHoldMillis bound the time to live of a detached hold and of
	// what stands of a gate; a min hold and a delay are MaxHoldMillis at most.
	// DataBytes bounds the terms of all claims of a group. Version 3; zero, in all
	// three, is not said.
	MinHoldMillis uint32
	MaxHoldMillis uint32
	DataBytes     uint32
}

// DefaultLimits returns what a client goes by until a Welcome has said the limits.
func DefaultLimits() Limits {
	return Limits{
		FrameBytes:     MaxFrameBytes,
		InFlight:       DefaultInFlight,
		MinLeaseMillis: MinLeaseMillis,
		MaxLeaseMillis: MaxLeaseMillis,
		NameBytes:      MaxNameBytes,
		PayloadBytes:   MaxPayloadBytes,
	}
}

// CheckName reports whether name may name a lock: 1 to limit bytes, none of
// them zero. The error is ErrName with the reason.
func CheckName[N string | []byte](name N, limit int) error {
	if len(name) == 0 {
		return fmt.Errorf("%w: empty", ErrName)
	}
	if len(name) > limit {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrName, len(name), limit)
	}
	for i := 0; i < len(name); i++ {
		if name[i] == 0 {
			return fmt.Errorf("%w: zero byte at %d", ErrName, i)
		}
	}
	return nil
}

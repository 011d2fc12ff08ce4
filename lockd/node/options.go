package node

import (
	"errors"
	"fmt"

	"lockd/lockd/placement"
	"lockd/lockfsm"
)

// Nanos is a length or a moment on the suspend-aware monotonic clock, in
// nanoseconds. Moments are only ever compared with moments of the same process.
type Nanos int64

// Millisecond and Second are lengths in Nanos.
const (
	Millisecond Nanos = 1_000_000
	Second      Nanos = 1_000_000_000
)

// Peer names one node of the cluster, this one included.
type Peer struct {
	// ID is the node's number, 1 to 65535, never reused.
	ID uint16
	// ClientAddress is what clients are told to dial, as host:port.
	ClientAddress string
}

// Options are the settings of one node. Those of the first block are cluster
// settings: they must be equal on all nodes, and Digest covers them, so that a
// node with other settings is refused at the handshake.
type Options struct {
	// Cluster is the cluster's name, 1 to 64 bytes.
	Cluster string
	// Nodes lists every node at the birth of the cluster, ascending by ID. Later
	// on the cluster's record says who belongs to it; this list then gives the
	// addresses of those it names.
	Nodes []Peer
	// Groups is the number of groups, fixed for the life of the cluster,
	// 1 to 1024. More groups spread leaders more evenly; each costs a few
	// hundred bytes a heartbeat.
	Groups int
	// Replicas is how many nodes keep each group, 1 to 7. More survive more
	// losses and cost more per request; 3 survive one.
	Replicas int
	// Limits bound the lock machine of each group.
	Limits lockfsm.Limits
	// LogTick is the beat of log time: how often a leader with live sessions
	// proposes a time step. Expiry is exact to about two beats.
	LogTick Nanos

	// Self is this node's ID and must appear in Nodes.
	Self uint16
	// Tick is the beat of the protocol clock.
	Tick Nanos
	// HeartbeatTicks and ElectionTicks are counted in Tick. A leader is
	// deposed after an election timeout of silence.
	HeartbeatTicks, ElectionTicks uint32
	// RankDelayTicks separates the attempts of the successors of a group.
	RankDelayTicks uint32
	// Window is the number of slots of one group that may be in flight, and how
	// far ahead a change of acceptors takes effect; a cluster setting.
	Window int
	// MaxBatchBytes bounds the commands of one slot, and with it how much a
	// group keeps waiting: a request that finds more is told Busy. At most
	// MostBatchBytes. It may differ from node to node.
	MaxBatchBytes int
	// MaxMessageBytes bounds the values in one message of a group, where one
	// always fits. Less has a new leader told in more pieces.
	MaxMessageBytes int
	// MaxInFlight bounds the unanswered requests of one conn.
	MaxInFlight int
	// MaxInboxBytes bounds what may wait for the next turn.
	MaxInboxBytes int
	// RetainSlots is how many applied slots a group keeps in memory for peers
	// that lag.
	RetainSlots int
	// RetainBytes bounds the values of those slots, all groups together.
	RetainBytes int64
	// CheckpointBytes is how much WAL may be written before the groups are
	// checkpointed once round, so that segments can be freed.
	CheckpointBytes int64
	// SnapshotBytesPerSecond bounds what the node sends in snapshots, to all
	// peers together. More brings a node that was away back sooner and takes
	// bandwidth and disk from everybody meanwhile.
	SnapshotBytesPerSecond int64
	// Build is the version of the program, told to those who ask.
	Build string
	// Format is the newest format of batches and requests this node knows, 0 for
	// lockfsm.FormatLatest. Less makes it stand for an older build: what is newer
	// is refused to clients and stops the node when it stands in the log.
	Format uint8
	// SearchStep is how many locks of a group are looked at at once for a list or a
	// watch of many, 1 to 65536: what others wait for meanwhile. SearchNames is how many
	// names are found so for the pages that follow, 1 to 2048. More takes memory and
	// makes long lists of large groups cheaper.
	SearchStep, SearchNames int
	// Seed feeds the jitter of elections and the hash tables of the machines.
	Seed uint64
}

// Defaults returns production settings for a node; the caller fills in
// Cluster, Nodes and Self.
func Defaults() Options {
	return Options{
		Groups:          64,
		Replicas:        3,
		Limits:          lockfsm.DefaultLimits(),
		LogTick:         200 * Millisecond,
		Tick:            20 * Millisecond,
		HeartbeatTicks:  5,
		ElectionTicks:   50,
		RankDelayTicks:  5,
		Window:          16,
		MaxBatchBytes:   MostBatchBytes,
		MaxMessageBytes: 1 << 20,
		MaxInFlight:     1 << 16,
		MaxInboxBytes:   64 << 20,
		RetainSlots:     4096,
		RetainBytes:     64 << 20,
		CheckpointBytes: 128 << 20,
		SearchStep:      16 << 10,
		SearchNames:     mostSearchNames,

		SnapshotBytesPerSecond: 32 << 20,
	}
}

// MostBatchBytes is the largest MaxBatchBytes there is.
const MostBatchBytes = 1 << 20

// maxSlotBytes bounds the value of a slot, whichever node proposes it: a batch, the
// command that made it full, what the node itself has to say, and a time step. All
// acceptors take that much, whatever their own MaxBatchBytes.
const maxSlotBytes = 2 * MostBatchBytes

// ErrOptions is wrapped by every complaint about Options.
var ErrOptions = errors.New("node: bad option")

// Validate says which setting is unusable and what it may be.
func (o *Options) Validate() error {
	if n := len(o.Cluster); n < 1 || n > 64 {
		return fmt.Errorf("%w: cluster name is %d bytes long, must be 1 to 64", ErrOptions, n)
	}
	if o.Groups < 1 || o.Groups > 1024 {
		return fmt.Errorf("%w: groups is %d, must be 1 to 1024", ErrOptions, o.Groups)
	}
	if n := len(o.Nodes); n < 1 || n > placement.MaxKeepers {
		return fmt.Errorf("%w: %d nodes, must be 1 to %d", ErrOptions, n, placement.MaxKeepers)
	}
	if o.Replicas < 1 || o.Replicas > placement.MaxReplicas {
		return fmt.Errorf("%w: replicas is %d, must be 1 to %d", ErrOptions, o.Replicas,
			placement.MaxReplicas)
	}
	known := false
	for i, p := range o.Nodes {
		if p.ID == 0 || i > 0 && o.Nodes[i-1].ID >= p.ID {
			return fmt.Errorf("%w: node ids must be distinct, above 0 and ascending (node %d)",
				ErrOptions, p.ID)
		}
		known = known || p.ID == o.Self
	}
	if !known {
		return fmt.Errorf("%w: node %d is not among the nodes of the cluster", ErrOptions, o.Self)
	}
	if o.Format > lockfsm.FormatLatest {
		return fmt.Errorf("%w: format is %d, this build knows up to %d",
			ErrOptions, o.Format, lockfsm.FormatLatest)
	}
	return o.validateTimes()
}

// format is the newest format this node knows.
func (o *Options) format() uint8 {
	if o.Format == 0 {
		return lockfsm.FormatLatest
	}
	return o.Format
}

func (o *Options) validateTimes() error {
	if o.Tick < Millisecond || o.Tick > Second {
		return fmt.Errorf("%w: tick is %d ns, must be 1 ms to 1 s", ErrOptions, o.Tick)
	}
	if o.HeartbeatTicks < 1 || o.ElectionTicks < 4*o.HeartbeatTicks {
		return fmt.Errorf("%w: election timeout of %d ticks must be at least 4 heartbeats of %d",
			ErrOptions, o.ElectionTicks, o.HeartbeatTicks)
	}
	if o.LogTick < o.Tick {
		return fmt.Errorf("%w: log tick of %d ns is below the tick of %d ns",
			ErrOptions, o.LogTick, o.Tick)
	}
	if o.MaxBatchBytes > MostBatchBytes {
		return fmt.Errorf("%w: batch of %d bytes, must be at most 1 MiB: two of them and a "+
			"frame that is nearly full must fit a frame between nodes", ErrOptions, o.MaxBatchBytes)
	}
	if o.SnapshotBytesPerSecond < 64<<10 || o.SnapshotBytesPerSecond > 64<<30 {
		return fmt.Errorf("%w: snapshots at %d bytes a second, must be 64 KiB to 64 GiB",
			ErrOptions, o.SnapshotBytesPerSecond)
	}
	if o.SearchStep < 1 || o.SearchStep > 64<<10 || o.SearchNames < 1 ||
		o.SearchNames > mostSearchNames {
		return fmt.Errorf("%w: %d locks looked at once, must be 1 to 65536; %d names kept, must be "+
			"1 to %d", ErrOptions, o.SearchStep, o.SearchNames, mostSearchNames)
	}
	if o.Window < 1 || o.MaxBatchBytes < 4096 || o.MaxInFlight < 1 ||
		o.MaxInboxBytes < o.MaxBatchBytes || o.CheckpointBytes < 1 {
		return fmt.Errorf("%w: window %d, batch %d B, in flight %d, inbox %d B, checkpoint %d B",
			ErrOptions, o.Window, o.MaxBatchBytes, o.MaxInFlight, o.MaxInboxBytes,
			o.CheckpointBytes)
	}
	return nil
}

// Digest is a fingerprint of the cluster settings. Nodes whose digests differ
// refuse each other, because their machines would part ways.
func (o *Options) Digest() uint64 {
	h := fnvString(fnvOffset, o.Cluster)
	h = fnvUint(h, uint64(o.Groups))
	h = fnvUint(h, uint64(o.Replicas))
	h = fnvUint(h, uint64(o.Window))
	h = fnvUint(h, uint64(o.LogTick))
	return limitsDigest(h, &o.Limits)
}

// limitsDigest covers every limit that decides a result. The seed of the hash
// tables does not.
func limitsDigest(h uint64, l *lockfsm.Limits) uint64 {
	for _, v := range [...]uint32{l.Sessions, l.Locks, l.Claims, l.Detached, l.ClaimsPerSession,
		l.WaitersPerLock, l.HoldersPerLock, l.NameBytes, l.SessionNameBytes,
		uint32(l.LeaseMin), uint32(l.LeaseMax), uint32(l.HoldMin), uint32(l.HoldMax),
		l.WorkPerApply} {
		h = fnvUint(h, uint64(v))
	}
	// Clusters that were born before there was ageing have none.
	if l.AgeStep != 0 {
		h = fnvUint(h, uint64(l.AgeStep))
	}
	// Nodes that do not know of this limit yet go by the default.
	if l.DataBytes != lockfsm.DefaultLimits().DataBytes {
		h = fnvUint(h, uint64(l.DataBytes))
	}
	return h
}

// machineLimits are the limits with which machines are built: log time moves by
// at most two beats at a time (I20).
func (o *Options) machineLimits() lockfsm.Limits {
	l := o.Limits
	l.TickCap = lockfsm.Millis(2 * o.LogTick / Millisecond)
	l.Seed = o.Seed
	l.Format = o.Format
	return l
}

// clusterHash is the fingerprint of a cluster name in handshakes.
func clusterHash(name string) uint64 { return fnvString(fnvOffset, name) }

const (
	fnvOffset uint64 = 14695981039346656037
	fnvPrime  uint64 = 1099511628211
)

func fnvString(h uint64, s string) uint64 {
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

func fnvUint(h, v uint64) uint64 {
	for i := 0; i < 8; i++ {
		h = (h ^ v&0xff) * fnvPrime
		v >>= 8
	}
	return h
}

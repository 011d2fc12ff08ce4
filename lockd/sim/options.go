package sim

import (
	"fmt"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/wal"
)

// Fault is a class of things that go wrong. A seed switches whole classes on
// and off, so that rare ones are not drowned by common ones.
type Fault uint32

// The classes.
const (
	FaultCrash      Fault = 1 << iota // a process dies between two events
	FaultCrashInner                   // a process dies inside a turn
	FaultPower                        // and takes what was not synced with it
	FaultPause                        // a process gets no turns for a while
	FaultFreeze                       // and its clock stands still meanwhile
	FaultCut                          // links are cut, one way or both ways
	FaultLossy                        // messages are lost, doubled and reordered
	FaultReset                        // links and conns break
	FaultClog                         // links stand still and then deliver at once
	FaultStall                        // syncs take long
	FaultStore                        // checkpoints fail or take long
	FaultSilence                      // clients fall silent beyond their lease
	FaultStale                        // frames of given up conns arrive late
	FaultDrain                        // a node gives its leaderships away and restarts
	FaultWipe                         // a directory is wiped and comes back empty
	FaultAll                          // every node dies at once
	FaultError                        // an operation of a disk fails
	FaultDamage                       // what a log says at rest is not what was written
	FaultFull                         // a disk is full for a while
	FaultHang                         // a sync never returns
	FaultFlap                         // a link breaks again and again
	FaultStorm                        // clients retry without patience
	FaultDrift                        // clocks run up to a tenth fast or slow
	FaultDeath                        // a client dies with what it holds
	FaultRollback                     // a directory is restored from a copy
	FaultMixed                        // builds of different age run together
	FaultMember                       // nodes are added, removed and replaced

	faultEnd
)

// String names the classes in f, separated by commas.
func (f Fault) String() string {
	names := [...]string{"crash", "crash in turn", "power", "pause", "freeze", "cut", "lossy",
		"reset", "clog", "stall", "store", "silence", "stale", "drain", "wipe", "all down",
		"disk error", "damage", "disk full", "hang", "flap", "storm", "drift", "death", "rollback",
		"mixed builds", "change of nodes"}
	s := ""
	for i, name := range names {
		if f&(1<<i) != 0 {
			s += "," + name
		}
	}
	if s == "" {
		return "none"
	}
	return s[1:]
}

// Options are what a world is made of. Draw makes them from a seed.
type Options struct {
	// Seed decides everything that is drawn.
	Seed uint64
	// Shortened says that Short has cut the world.
	Shortened bool
	// Nodes, Groups, Clients and Names (per group) are the sizes.
	Nodes, Groups, Clients, Names int
	// Breaking is how long faults happen, Healing how long the world has at
	// most to become right afterwards.
	Breaking, Healing Time
	// Faults are the classes that are on, FaultEvery the mean time between two
	// faults.
	Faults     Fault
	FaultEvery Time
	// Spares is how many nodes may be added.
	Spares int
	// Cores is how many clients more are the client of production.
	Cores int
	// Watchers is how many more of those do nothing but watch.
	Watchers int
	// Search says that an order is searched that explains what clients saw.
	Search bool
	// SafetyOnly says that no question of liveness is put to the cluster once it is
	// right again.
	SafetyOnly bool
	// Semaphores says that names are used as semaphores too.
	Semaphores bool
	// Owners says that clients enter locks for owners who may enter again.
	Owners bool
	// Converts says that clients convert what they hold.
	Converts bool
	// Terms says that clients bring data with what they ask for.
	Terms bool
	// LetGo says that clients of production want to be let go with their conns.
	LetGo bool
	// Several says that clients ask for several names at once.
	Several bool
	// Gates says that clients wait at gates.
	Gates bool
	// Forces says that clients end holds of others by force.
	Forces bool
	// Episode names the only question of liveness that is put, empty for any.
	Episode string
	// SyncsHere says that event loops sync a quick disk themselves.
	SyncsHere bool
	// Think is the mean time between two tasks of a client.
	Think Time
	// Drift is how much faster or slower than true time clocks may run, in
	// millionths.
	Drift int64
	// Lease is the session lease that clients ask for.
	Lease lockfsm.Millis
	// Latency is the mean time of a frame on its way, SyncTime of a sync, and
	// TurnDelay from a wake to the turn.
	Latency, SyncTime, TurnDelay Time
	// Node, with Self and Seed open, and Log, with Stamp open, are what the
	// nodes are started with.
	Node node.Options
	Log  wal.Options
	// QueueBytes bounds what may be on its way in one direction of a link.
	QueueBytes int
	// DigestEvery is how many slots pass between two comparisons of machines.
	DigestEvery uint64
}

// tasksPerSecond is how much all clients of a world begin at most, in the mean.
const tasksPerSecond = 80

// Draw decides about a world. Small limits are as frequent as normal ones.
func Draw(seed uint64) Options {
	d := newDice(seed, "options")
	o := Options{
		Seed:        seed,
		Nodes:       pick(d, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5, 7),
		Groups:      pick(d, 1, 1, 2, 3, 4, 8),
		Clients:     pick(d, 1, 2, 3, 4, 6, 8, 16),
		Names:       pick(d, 1, 2, 3, 6),
		Breaking:    d.length(8*second, 30*second),
		Healing:     90 * second,
		FaultEvery:  pick(d, 300*millisecond, second, 3*second),
		Think:       pick(d, 30*millisecond, 100*millisecond, 300*millisecond, second),
		Lease:       pick[lockfsm.Millis](d, 1000, 1500, 3000, 6000),
		Latency:     pick(d, 100*microsecond, millisecond, 5*millisecond),
		SyncTime:    pick(d, 50*microsecond, millisecond, 8*millisecond),
		TurnDelay:   pick(d, 5*microsecond, 100*microsecond, millisecond),
		QueueBytes:  pick(d, 64<<10, 256<<10, 64<<20),
		DigestEvery: pick[uint64](d, 1, 4, 16),
	}
	// Most bugs show early; for those that need a long life some worlds have one.
	if long := newDice(seed, "life"); long.permille(200) {
		o.Breaking = long.length(30*second, 90*second)
	}
	for f := Fault(1); f < faultEnd; f <<= 1 {
		if d.permille(350) {
			o.Faults |= f
		}
	}
	if d.permille(50) {
		o.Faults = 0
	}
	o.Cores = pick(d, 0, 0, 1, 2, 4)
	// More tasks in a second take more time and show nothing that fewer do not.
	o.Think = max(o.Think, Time(o.Clients+o.Cores)*second/tasksPerSecond)
	o.Drift = maxDrift
	if o.Faults&FaultDrift != 0 {
		o.Drift = 10 * maxDrift
	}
	if d.permille(120) {
		searched(&o)
	}
	if o.Faults&FaultMixed == 0 { // an older node that leads knows no watches
		o.Watchers = pick(newDice(seed, "watchers"), 0, 1, 1, 2)
	}
	o.SafetyOnly = newDice(seed, "liveness").permille(400)
	// An older build could not read what then stands in the log.
	o.Semaphores = !o.Search && o.Faults&FaultMixed == 0 && newDice(seed, "kinds").permille(500)
	o.Gates = !o.Search && o.Faults&FaultMixed == 0 && newDice(seed, "gates").permille(500)
	o.Owners = !o.Search && o.Faults&FaultMixed == 0 && newDice(seed, "owners").permille(owners(&o))
	o.Converts = !o.Search && o.Faults&FaultMixed == 0 && newDice(seed, "converts").permille(500)
	o.Terms = !o.Search && o.Faults&FaultMixed == 0 && newDice(seed, "terms").permille(500)
	o.Forces = !o.Search && o.Faults&FaultMixed == 0 && newDice(seed, "forces").permille(400)
	o.LetGo = o.Faults&FaultMixed == 0 && newDice(seed, "let go").permille(500)
	o.Several = !o.Search && o.Faults&FaultMixed == 0 && newDice(seed, "several").permille(500)
	o.SyncsHere = newDice(seed, "syncs").permille(500)
	if o.Faults&FaultMember != 0 {
		o.Spares = pick(d, 1, 1, 2)
	}
	o.Node = drawNode(d, &o)
	o.Log = drawLog(d)
	// What waits for a checkpoint is live and must leave room to copy the rest.
	o.Node.CheckpointBytes = min(o.Node.CheckpointBytes,
		o.Log.SegmentBytes*int64(o.Log.TargetSegments)/8)
	o.Log.MaxBatchBytes = drawBatch(&o)
	return o
}

// owners is how many of 1000 worlds have owners: more where owners of two clients may wait
// for each other over several groups.
func owners(o *Options) int {
	if o.Cores > 1 && o.Groups > 1 {
		return 700
	}
	return 500
}

func drawLog(d dice) wal.Options {
	return wal.Options{
		SegmentBytes:   pick[int64](d, 32<<10, 64<<10, 256<<10),
		TargetSegments: pick(d, 2, 3, 4),
		MaxSegments:    256,
		Spares:         pick(d, 1, 2),
	}
}

// drawBatch decides what one batch of a log holds at most, zero for the log's default.
// Small ones have what waits written by several, between which the power may go. The
// largest slot of a node fits into one.
func drawBatch(o *Options) int {
	if o.Spares == 0 && newDice(o.Seed, "log batch").permille(500) {
		return 0
	}
	return 2*o.Node.MaxBatchBytes + 4096
}

func drawNode(d dice, o *Options) node.Options {
	n := node.Defaults()
	n.Cluster = "sim"
	for id := range o.Nodes {
		n.Nodes = append(n.Nodes, node.Peer{ID: uint16(id + 1), ClientAddress: fmt.Sprint(id + 1)})
	}
	n.Groups, n.Replicas = o.Groups, o.Nodes
	if o.Nodes >= 4 && d.permille(600) || o.Spares > 0 && d.permille(500) {
		n.Replicas = min(3, o.Nodes)
	}
	// One node that forgot something is a quorum of those who forgot it there.
	if o.Spares > 0 && o.Nodes <= 3 && newDice(o.Seed, "replicas").permille(300) {
		n.Replicas = 1
	}
	n.Tick = pick[node.Nanos](d, 20, 50, 50) * node.Millisecond
	n.HeartbeatTicks = uint32(d.between(1, 4))
	n.ElectionTicks = n.HeartbeatTicks*4 + uint32(pick(d, d.between(0, 20), d.between(20, 50)))
	n.RankDelayTicks = uint32(d.between(1, 5))
	n.LogTick = pick[node.Nanos](d, 100, 200, 400) * node.Millisecond
	n.Limits.Seed = 0
	if d.permille(500) {
		n.Window = d.between(1, 2)
		n.MaxBatchBytes = 4096
		n.MaxInFlight = d.between(1, 8)
		n.RetainSlots = d.between(0, 16)
		n.MaxInboxBytes = pick(d, 8<<10, 64<<10)
	} else {
		n.Window = 16
		n.MaxBatchBytes = 8 << 10
		n.RetainSlots = pick(d, 64, 1024)
		n.MaxInboxBytes = 1 << 20
	}
	if n.Replicas == 1 && o.Spares > 0 { // and learns it anew bit by bit
		n.RetainSlots = 1024
	}
	n.CheckpointBytes = pick[int64](d, 1<<10, 4<<10, 32<<10)
	// Small ones have lists and watches look for names over many turns.
	search := newDice(o.Seed, "search")
	n.SearchStep = pick(search, 1, 3, n.SearchStep)
	n.SearchNames = pick(search, 1, 3, n.SearchNames)
	// Small ones cut the answers to a new leader into pieces.
	n.MaxMessageBytes = pick(newDice(o.Seed, "messages"), 600, 1<<20)
	if n.Replicas == 1 && o.Spares > 0 {
		n.MaxMessageBytes = 600
	}
	l := &n.Limits
	l.AgeStep = pick[lockfsm.Millis](newDice(o.Seed, "age"), 0, 200, 1000)
	if d.permille(400) {
		l.Sessions = uint32(d.between(2, 16))
		l.Locks = uint32(d.between(2, 8))
		l.Claims = uint32(d.between(4, 24))
		l.Detached = uint32(d.between(1, 4))
		l.ClaimsPerSession = min(l.Claims, uint32(d.between(2, 6)))
		l.WaitersPerLock = min(l.Claims, uint32(d.between(1, 4)))
		l.HoldersPerLock = uint32(d.between(1, 3))
	}
	if newDice(o.Seed, "data").permille(400) {
		l.DataBytes = uint32(newDice(o.Seed, "data bytes").between(130, 1200))
	}
	if d.permille(300) {
		l.WorkPerApply = uint32(d.between(1, 3))
	}
	// Who has ended stands at gates for a while then.
	if o.Gates && newDice(o.Seed, "endings").permille(400) {
		l.WorkPerApply = 1
	}
	return n
}

package paxos

import (
	"errors"
	"fmt"
	"slices"

	"lockd/paxos/quorum"
)

// ErrConfig means that a Config or a Configuration cannot work; the text says
// which field and why.
var ErrConfig = errors.New("paxos: bad configuration")

// Acceptor is one acceptor of a configuration: a node on one particular disk.
type Acceptor struct {
	Node NodeID
	Disk DiskID
}

// Configuration is the set of acceptors of all slots from From up to the slot
// before the next Configuration's From. The value chosen in slot s may decide
// the configuration of slot s + Config.Window at the earliest: that is the α of
// Lamport, Malkhi and Zhou, "Reconfiguring a State Machine", §3.
type Configuration struct {
	From Slot
	// Acceptors count in quorums: 1 to 64, in any order, no node twice.
	Acceptors []Acceptor
	// Observers hear heartbeats and learn, and count for nothing.
	Observers []NodeID
}

// place returns the position of (node, disk) in the configuration, or -1.
func (c *Configuration) place(node NodeID, disk DiskID) int {
	for i, a := range c.Acceptors {
		if a.Node == node {
			if a.Disk == disk {
				return i
			}
			return -1
		}
	}
	return -1
}

// has reports whether node is an acceptor of the configuration on any disk.
func (c *Configuration) has(node NodeID) bool {
	for _, a := range c.Acceptors {
		if a.Node == node {
			return true
		}
	}
	return false
}

// names reports whether node is an acceptor or an observer of the
// configuration.
func (c *Configuration) names(node NodeID) bool {
	return c.has(node) || slices.Contains(c.Observers, node)
}

func (c *Configuration) clone() Configuration {
	return Configuration{
		From:      c.From,
		Acceptors: slices.Clone(c.Acceptors),
		Observers: slices.Clone(c.Observers),
	}
}

func (c *Configuration) validate() error {
	if c.From == 0 {
		return fmt.Errorf("%w: a configuration starts at slot 0; the first slot is 1", ErrConfig)
	}
	if n := len(c.Acceptors); n == 0 || n > quorum.MaxAcceptors {
		return fmt.Errorf("%w: %d acceptors from slot %d; want 1 to %d",
			ErrConfig, n, c.From, quorum.MaxAcceptors)
	}
	for i, a := range c.Acceptors {
		if a.Node == NoNode {
			return fmt.Errorf("%w: acceptor %d from slot %d has no node", ErrConfig, i, c.From)
		}
		for _, b := range c.Acceptors[:i] {
			if a.Node == b.Node {
				return fmt.Errorf("%w: node %d accepts twice from slot %d",
					ErrConfig, a.Node, c.From)
			}
		}
	}
	return nil
}

// Config is what a Replica is made of. It is copied by New and never changed.
// A zero number takes its default.
type Config struct {
	// Group stands in every message; those of other groups are ignored.
	Group GroupID
	// Self and Disk are this node and the disk its records stand on.
	Self NodeID
	Disk DiskID
	// Configurations are all configurations known when the replica starts, in
	// rising order of From; the first covers the slot after the checkpoint.
	// Configure adds the later ones.
	Configurations []Configuration
	// Forgotten is the first slot in which this disk may accept. It accepted in
	// earlier ones, left the group and forgot what; the group came back to it.
	// Those slots are chosen and known to others (Settled), so it promises and
	// accepts nothing in them and leads nobody through them (I5). 0 for none.
	Forgotten Slot
	// Successors are the nodes in the order in which they take over. The first
	// is the preferred leader: it asks soon after its start.
	Successors []NodeID

	// ElectionTicks is how long a leader may be silent before others ask to
	// replace it, and how long it may miss a quorum before it steps down.
	// Default 20. Shorter fails over sooner and tolerates shorter pauses.
	ElectionTicks Ticks
	// HeartbeatTicks is the beat of an idle leader. Default 4; at most a third
	// of ElectionTicks.
	HeartbeatTicks Ticks
	// RankDelayTicks is how long each successor waits for the one before it.
	// Default 3; it should exceed a round trip and a sync.
	RankDelayTicks Ticks

	// Window is how many slots may be proposed above the last one handed out in
	// Ready.Chosen; it is the α of reconfiguration too, so it must be equal on
	// all nodes. Default 64.
	Window int
	// RetainSlots is how many slots at or below the checkpoint are kept for
	// peers that are a little behind. Default 1024. Each costs its value.
	RetainSlots Slot
	// RetainBytes bounds the values of those slots. Default 1 MiB.
	RetainBytes int
	// MaxValueBytes bounds one value. An acceptor takes none that is larger, so it
	// must be equal on all nodes: a leader with more would wait for ever. Default
	// 1 MiB.
	MaxValueBytes int
	// MaxMessageBytes bounds the values of one Accept or Promise; one value
	// always fits. Default 1 MiB.
	MaxMessageBytes int
	// MaxLearnedBytes bounds the values of one Learned, which other messages have
	// to wait behind; one value always fits. Default 32 KiB.
	MaxLearnedBytes int
	// MaxInflightBytes bounds the values sent to one peer and not yet accepted
	// by it. Default 4 MiB.
	MaxInflightBytes int
	// Seed varies the jitter of failover; the same seed draws the same.
	Seed uint64
	// Outboxes is shared by the replicas of one goroutine; nil for one alone.
	Outboxes *Outboxes
}

func (c *Config) withDefaults() Config {
	d := *c
	orDefault(&d.ElectionTicks, 20)
	orDefault(&d.HeartbeatTicks, 4)
	orDefault(&d.RankDelayTicks, 3)
	orDefault(&d.Window, 64)
	orDefault(&d.RetainSlots, 1024)
	orDefault(&d.RetainBytes, 1<<20)
	orDefault(&d.MaxValueBytes, 1<<20)
	orDefault(&d.MaxMessageBytes, 1<<20)
	orDefault(&d.MaxLearnedBytes, min(32<<10, d.MaxMessageBytes))
	orDefault(&d.MaxInflightBytes, 4<<20)
	d.Configurations = nil
	for i := range c.Configurations {
		d.Configurations = append(d.Configurations, c.Configurations[i].clone())
	}
	d.Successors = slices.Clone(c.Successors)
	if d.Outboxes == nil {
		d.Outboxes = &Outboxes{}
	}
	return d
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	if c.Self == NoNode {
		return fmt.Errorf("%w: Self is 0; node ids start at 1", ErrConfig)
	}
	if len(c.Configurations) == 0 {
		return fmt.Errorf("%w: no Configurations; at least one must cover the next slot", ErrConfig)
	}
	for i := range c.Configurations {
		if err := c.Configurations[i].validate(); err != nil {
			return err
		}
		if i > 0 && c.Configurations[i].From <= c.Configurations[i-1].From {
			return fmt.Errorf("%w: configuration from slot %d follows one from slot %d",
				ErrConfig, c.Configurations[i].From, c.Configurations[i-1].From)
		}
	}
	if c.ElectionTicks < 3*c.HeartbeatTicks {
		return fmt.Errorf("%w: ElectionTicks %d is less than three HeartbeatTicks of %d",
			ErrConfig, c.ElectionTicks, c.HeartbeatTicks)
	}
	if c.Window < 1 || c.MaxValueBytes < 1 || c.MaxMessageBytes < 1 || c.MaxInflightBytes < 1 {
		return fmt.Errorf("%w: Window %d, MaxValueBytes %d, MaxMessageBytes %d and "+
			"MaxInflightBytes %d must be positive", ErrConfig, c.Window, c.MaxValueBytes,
			c.MaxMessageBytes, c.MaxInflightBytes)
	}
	return nil
}

// ahead is how far above its own chosen watermark a replica accepts. It bounds
// the window's memory; a replica further behind catches up first.
func (c *Config) ahead() Slot { return Slot(c.Window) + c.RetainSlots }

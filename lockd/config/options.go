package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/netio"
	"lockd/netio/wire"
	"lockd/wal"
)

// NodeOptions returns the options of the engine. Seed is left to the caller.
func (c *Config) NodeOptions() node.Options {
	o := node.Defaults()
	o.Cluster = c.Cluster
	o.Groups = c.Groups
	o.Replicas = c.Replicas
	o.Limits = c.Limits
	o.LogTick = node.Nanos(c.LogTick)
	for _, n := range c.Nodes {
		o.Nodes = append(o.Nodes, node.Peer{ID: n.ID, ClientAddress: n.Client})
	}
	o.Self = c.ID
	o.Tick = node.Nanos(tick)
	o.HeartbeatTicks = ticks(c.Heartbeat)
	o.ElectionTicks = ticks(c.ElectionTimeout)
	o.RankDelayTicks = ticks(c.RankDelay)
	o.Window = c.Window
	o.MaxBatchBytes = int(c.BatchBytes)
	o.MaxInFlight = c.ConnsInFlight
	o.MaxInboxBytes = int(c.InboxBytes)
	o.RetainSlots = c.RetainSlots
	o.RetainBytes = c.RetainBytes
	o.CheckpointBytes = c.CheckpointBytes
	o.SnapshotBytesPerSecond = c.SnapshotRate
	return o
}

// PeerAddresses are the peer addresses of the nodes that the settings name, this
// one left out.
func (c *Config) PeerAddresses() map[uint16]string {
	of := make(map[uint16]string, len(c.Nodes))
	for _, n := range c.Nodes {
		if n.ID != c.ID {
			of[n.ID] = n.Peer
		}
	}
	return of
}

// ticks converts a length that checkRelations found to be whole.
func ticks(d time.Duration) uint32 { return uint32(d / tick) }

// WALOptions returns the options of the log. Stamp and Clock are left to the
// caller.
func (c *Config) WALOptions() wal.Options {
	return wal.Options{
		SegmentBytes:   c.WALSegmentBytes,
		TargetSegments: c.WALTarget,
		MaxSegments:    c.WALBound,
	}
}

const (
	// usualFiles are what netio keeps away from conns unless it is told otherwise, which
	// is enough for most.
	usualFiles = 512
	// otherFiles are those of checkpoints, links, listeners and the program, beside the log
	// and the history, whose number is a matter of settings.
	otherFiles = 384
)

// ServerOptions returns the options of the client port.
func (c *Config) ServerOptions() netio.ServerOptions {
	files := otherFiles + c.WALBound + 2 + history.OpenFiles(c.HistoryBytes)
	if files <= usualFiles {
		files = 0
	}
	return netio.ServerOptions{
		Addr:             first(c.ClientListen, c.Self().Client),
		Loops:            c.EventLoops,
		MaxConns:         c.Conns,
		ReservedFiles:    files,
		MaxFrameBytes:    wire.MaxFrameBytes,
		MaxOutboundBytes: int(c.OutboundBytes),
		MaxBufferedBytes: int(max(bufferedBytes, netio.UnsentBytes(c.OutboundBytes))),
		IdleTimeout:      c.IdleTimeout,
	}
}

// LinkOptions returns the options of the links to peers. Hello and Seed are
// left to the caller. The error says why the secret cannot be read.
func (c *Config) LinkOptions() (netio.LinkOptions, error) {
	o := netio.LinkOptions{
		Self: c.ID,
		Addr: first(c.PeerListen, c.Self().Peer),
	}
	for _, n := range c.Nodes {
		if n.ID != c.ID {
			o.Peers = append(o.Peers, netio.Peer{Node: n.ID, Addr: n.Peer})
		}
	}
	if c.SecretFile == "" {
		return o, nil
	}
	secret, err := ReadSecret("node.secret_file", c.SecretFile)
	o.Secret = secret
	return o, err
}

// FaultsSecret returns the secret that who asks for faults must know, nil if the node
// takes none. The error says why it cannot be read.
func (c *Config) FaultsSecret() ([]byte, error) {
	if c.AllowFaults != "true" {
		return nil, nil
	}
	return ReadSecret("faults.secret_file", c.FaultsSecretFile)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ReadSecret returns the first line of a file, which is given by the setting or the
// flag what. An empty secret would be no secret, so it is refused.
func ReadSecret(what, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: reading %s: %w", what, err)
	}
	line, err := bufio.NewReader(io.LimitReader(f, 4*kib)).ReadString('\n')
	if closeErr := f.Close(); closeErr != nil {
		return nil, fmt.Errorf("config: reading %s: %w", what, closeErr)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("config: reading %s: %w", what, err)
	}
	secret := strings.TrimSpace(line)
	if len(secret) < 16 {
		return nil, fmt.Errorf("config: %s %s: the secret has %d bytes, must have "+
			"at least 16", what, path, len(secret))
	}
	return []byte(secret), nil
}

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lockd/lockd/config"
	"lockd/lockd/node"
	"lockd/paxos"
	"lockd/wal/disk"
)

// The layout of a data directory:
//
//	LOCK         keeps a second process out; holds the pid
//	IDENTITY     cluster, node, disk id, roster (node.Identity)
//	SETTINGS     what is fixed at birth, as text (config.AppendFixed); only to say
//	             what differs when the digest in IDENTITY does
//	wal/         the log (wal/FORMAT.md)
//	checkpoint/  the machines at rest (Pebble)
//	history/     which holds ended (lockd/history); nothing else depends on it
const (
	identityName   = "IDENTITY"
	settingsName   = "SETTINGS"
	walName        = "wal"
	checkpointName = "checkpoint"
	historyName    = "history"
)

// directory is an open and locked data directory.
type directory struct {
	path string
	root *disk.RealDir
	log  *disk.RealDir
}

// openDirectory opens a data directory and makes it when it is missing.
func openDirectory(path string) (*directory, error) {
	root, err := disk.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory %s: %w", path, err)
	}
	log, err := disk.OpenDir(filepath.Join(path, walName))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the log in %s: %w", path, err), root.Close())
	}
	return &directory{path: path, root: root, log: log}, nil
}

func (d *directory) checkpoints() string { return filepath.Join(d.path, checkpointName) }

// close gives the directory up. Requires: nothing in it is open any more.
func (d *directory) close() error { return errors.Join(d.log.Close(), d.root.Close()) }

// identity reads who the directory is. An empty one is given a new identity
// with a random disk id; whether the cluster takes it is for the peers to say.
func (d *directory) identity(o *node.Options) (node.Identity, error) {
	b, err := disk.ReadFile(d.root, identityName)
	if err == nil {
		return node.DecodeIdentity(b)
	}
	if !errors.Is(err, disk.ErrNotExist) {
		return node.Identity{}, fmt.Errorf("reading the identity: %w", err)
	}
	if err := d.checkEmpty(); err != nil {
		return node.Identity{}, err
	}
	id := node.Identity{
		Cluster:  o.Cluster,
		Node:     paxos.NodeID(o.Self),
		Disk:     newDiskID(),
		Groups:   uint16(o.Groups),
		Settings: o.Digest(),
	}
	return id, d.Store(node.AppendIdentity(nil, &id))
}

// noteSettings keeps the settings that are fixed at birth, for differs.
// Requires: they are those of the directory (node.Identity.Check).
func (d *directory) noteSettings(c *config.Config) error {
	fixed := c.AppendFixed(nil)
	if have, err := disk.ReadFile(d.root, settingsName); err == nil && bytes.Equal(have, fixed) {
		return nil
	}
	return disk.WriteFileAtomic(d.root, settingsName, fixed)
}

// differs makes of a mistaken setting (node.ErrSettings) an error of the
// configuration that names each setting which differs, as far as it is known.
func (d *directory) differs(c *config.Config, id *node.Identity, err error) error {
	if fixed, bad := disk.ReadFile(d.root, settingsName); bad == nil && id.Cluster == c.Cluster &&
		uint16(id.Node) == c.ID {
		for _, line := range c.FixedDifferences(fixed) {
			err = fmt.Errorf("%w\n  %s", err, line)
		}
	}
	return &failure{code: exitUsage, err: err}
}

// checkEmpty refuses to give a new identity to a directory that had one: its
// log and checkpoints would be taken for those of a new disk.
func (d *directory) checkEmpty() error {
	names, err := d.log.List()
	if err != nil {
		return fmt.Errorf("reading the log directory: %w", err)
	}
	for _, name := range names {
		if filepath.Ext(name) != "" {
			return fmt.Errorf("%w: %s has a log (%s) but no %s file", errNoIdentity, d.path, name,
				identityName)
		}
	}
	if _, err := os.Stat(d.checkpoints()); err == nil {
		return fmt.Errorf("%w: %s has checkpoints but no %s file", errNoIdentity, d.path,
			identityName)
	}
	return nil
}

// errNoIdentity means that a part of a data directory is gone.
var errNoIdentity = errors.New("data directory incomplete")

// Store replaces the identity file; it makes the directory a node.Superblock.
func (d *directory) Store(b []byte) error {
	return disk.WriteFileAtomic(d.root, identityName, b)
}

// newDiskID draws the id of a new directory, never zero.
func newDiskID() paxos.DiskID {
	var b [8]byte
	for {
		rand.Read(b[:])
		if id := binary.LittleEndian.Uint64(b[:]); id != 0 {
			return paxos.DiskID(id)
		}
	}
}

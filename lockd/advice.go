package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/lockfsm/checkpoint"
	"lockd/wal"
	"lockd/wal/disk"
)

// advise adds to an error what can be done about it.
func advise(err error) error {
	if text := advice(err); text != "" {
		return fmt.Errorf("%w\nWhat to do: %s", err, text)
	}
	return err
}

// advice is one sentence or two for each error that stops a node.
func advice(err error) string {
	switch {
	case errors.Is(err, disk.ErrLocked):
		return "stop the other process first, or give this node a data directory of its own."
	case errors.Is(err, node.ErrWiped):
		return "put the node's old data directory back. If it is lost for good, ask another node to " +
			"take this one in its place: lockd cluster replace."
	case errors.Is(err, node.ErrRolledBack):
		return "if the node's newest data directory still exists, start it on that one. Otherwise " +
			"move this directory away and give the node a new, empty one: lockd cluster replace, " +
			"asked of another node, admits it."
	case errors.Is(err, node.ErrRemoved):
		return "its data directory may be deleted. A new node needs an id that was never used."
	case errors.Is(err, errNoIdentity):
		return "put the missing file back, or move the whole directory away. Never start a node " +
			"that was part of a cluster on a part of its directory."
	case errors.Is(err, node.ErrSettings):
		return "check --data, --id, --cluster and the settings that are named against those the " +
			"directory was made with, and set them back: they cannot be changed after the cluster's " +
			"birth. lockd dump DIR shows the cluster, the node and the groups, and lockd config check " +
			"what another node of the cluster runs with."
	case errors.Is(err, node.ErrIdentity):
		return "put the node's IDENTITY file back as it was, with the rest of its directory; if it is " +
			"damaged for good, replace the node: lockd cluster replace, asked of another node."
	case errors.Is(err, wal.ErrCorrupt):
		return "do not repair, shorten or delete the log: this node may have promised something " +
			"in the damaged part. Keep it stopped and replace it; the other nodes go on. " +
			"lockd dump DIR shows the place."
	case errors.Is(err, checkpoint.ErrDamaged), errors.Is(err, node.ErrLostCheckpoint):
		return "do not repair or delete the checkpoints: the log alone no longer says what this node " +
			"accepted. Put its newest directory back if there is one; else keep it stopped and " +
			"replace it; the other nodes go on."
	case errors.Is(err, wal.ErrVersion), errors.Is(err, lockfsm.ErrTooNew):
		return "start the lockd that wrote it, or a newer one; nothing is damaged."
	case errors.Is(err, wal.ErrStamp):
		return "the log was copied from another directory; put this node's own back."
	case errors.Is(err, wal.ErrFull):
		return "free disk space and start again; raise node.wal_segments_max if it happens again."
	case errors.Is(err, syscall.EADDRINUSE):
		return "find the process that uses the address (ss -ltnp), or choose another one."
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "the address does not belong to this machine; set node.client_listen and " +
			"node.peer_listen to one that does, as 0.0.0.0:7600."
	case errors.Is(err, syscall.ENOSPC):
		return "free disk space and start again; nothing that was answered for is lost."
	case errors.Is(err, syscall.EIO), errors.Is(err, io.ErrShortWrite):
		return "the disk failed to write or sync. Check it before this node is started again."
	}
	return ""
}

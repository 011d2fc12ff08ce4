//go:build plant

package sim

import (
	"errors"
	"fmt"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/paxos"
	"lockd/wal"
)

// ErrNotPlantable means that no package has a planted bug of that name.
var ErrNotPlantable = errors.New("sim: no such planted bug")

// plantable lists the bugs that the simulator is to find, by package. The tests
// of paxos find more that need messages larger, or acceptors that change more
// often, than in the worlds here.
func plantable() map[*string][]string {
	return map[*string][]string{
		&node.Planted: {"answer-before-sync", "wiped-node-admitted", "rolled-back-node-admitted",
			"lease-without-step", "stalled-disk-leads"},
		&paxos.Planted: {"own-accept-early", "promise-unsynced", "ballot-reused", "gap-unfilled",
			"chosen-ignores-ballot", "read-before-own-slot", "confirmation-reused",
			"welcome-despite-leader"},
		&wal.Planted: {"wal-durable-before-sync", "wal-answer-after-failed-sync",
			"wal-removal-forgets-promise", "wal-damage-cut-as-torn"},
		&lockfsm.Planted: {"dedup-off", "unknown-session-recreated", "tick-uncapped",
			"expire-before-renew", "grant-to-dead-session", "token-per-key",
			"unlock-without-token", "dedup-not-in-checkpoint", "checkpoint-order-from-table"},
	}
}

// Plant plants the named bug in the package that has it, and takes out the one
// that was planted before. An empty name plants none.
func Plant(name string) error {
	found := name == ""
	for planted, names := range plantable() { // order: each package by itself
		*planted = ""
		for _, n := range names {
			if n == name {
				*planted = name
				found = true
			}
		}
	}
	if !found {
		return fmt.Errorf("%w: %q", ErrNotPlantable, name)
	}
	return nil
}

// planted names the bug that is planted now.
func planted() string {
	for name := range plantable() { // order: at most one is planted
		if *name != "" {
			return *name
		}
	}
	return ""
}

package sim

import (
	"fmt"
	"maps"
	"strings"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
)

// Sum adds counts to a total.
func Sum(total, counts map[string]uint64) {
	for name, n := range counts { // order: sums
		total[name] += n
	}
}

// counts are what a world has done so far, by name.
func (w *World) counts() map[string]uint64 {
	all := maps.Clone(w.covered)
	add := func(name string, n uint64) {
		if n > 0 {
			all[name] += n
		}
	}
	for k, n := range w.messages {
		add("message "+paxos.Kind(k).String(), n)
	}
	for k, n := range w.requests {
		add("request "+wire.Kind(k).String(), n)
	}
	for s, n := range w.statuses {
		add("status "+wire.Status(s).String(), n)
	}
	for k, n := range w.events {
		add("event "+node.EventKind(k).String(), n)
	}
	for k, n := range w.ops {
		add("command "+lockfsm.Op(k).String(), n)
	}
	return all
}

// Faults lists all classes.
func Faults() []Fault {
	var all []Fault
	for f := Fault(1); f < faultEnd; f <<= 1 {
		all = append(all, f)
	}
	return all
}

// ParseFaults is the inverse of String.
func ParseFaults(names string) (Fault, error) {
	var all Fault
	for name := range strings.SplitSeq(names, ",") {
		found := name == "" || name == "none"
		for _, f := range Faults() {
			if f.String() == name {
				all |= f
				found = true
			}
		}
		if !found {
			return 0, fmt.Errorf("sim: no class of faults is called %q", name)
		}
	}
	return all, nil
}

// Reachable names what some seed of a long run must reach. What is missing from
// a run's coverage is not tested by it any more.
func Reachable() []string {
	all := ReachableUnderFaults()
	for _, f := range Faults() {
		if f != FaultMember && f != FaultLossy && f != FaultStore && f != FaultStorm && f != FaultDrift {
			all = append(all, "fault "+f.String())
		}
	}
	for i := range graphs {
		all = append(all, fmt.Sprint("shape graph ", i))
	}
	for _, e := range episodes() {
		all = append(all, "episode: "+e.name)
	}
	return append(all, "graph with progress", "graph without", "session of a dead client checked",
		"operations searched", "change made: add", "change made: remove", "change made: replace",
		"change made: move", "change made: keep", "lost node removed", "node has gone",
		"node drained", "node leads again",
		"record of a stranger believed",
		"gap before new acceptors", "nobody heard while learning anew",
		"seats changed", "removed node stopped", "event acceptors changed", "event group has left",
		"build of format 1", "build of format 2", "older build stopped", "crowd of sessions",
		"segments recycled",
		"records copied forward", "snapshot resumed", "damage: lost checkpoint",
		"lost checkpoint found", "full disk stopped a node", "event snapshot resumed",
		"watch told present",
		"watch told acquired", "watch told released", "watch told expired", "watch told changed",
		"watch told forced",
		"prefix told", "watch knows the last", "place told", "why told")
}

// ReachableUnderFaults names what must happen while other things go wrong: each
// message between nodes, each request of a client, each command, and whatever
// else a rule exists for.
func ReachableUnderFaults() []string {
	var all []string
	for k := paxos.KindPrePrepare; k <= paxos.KindTakeOver; k++ {
		all = append(all, "message "+k.String())
	}
	for _, k := range []wire.Kind{wire.KindHello, wire.KindOpenSession, wire.KindCloseSession,
		wire.KindAcquire, wire.KindTake, wire.KindEnter, wire.KindLeave, wire.KindRelease,
		wire.KindConvert, wire.KindGiveBack, wire.KindAsk, wire.KindAmend,
		wire.KindAcquireAll, wire.KindReleaseAll,
		wire.KindCancel, wire.KindRenewHold,
		wire.KindAwait, wire.KindCountDown, wire.KindSetGate, wire.KindResetGate,
		wire.KindKeepalive, wire.KindGet, wire.KindList, wire.KindStatus, wire.KindCheckTokens,
		wire.KindFindSession, wire.KindForce, wire.KindChase,
		wire.KindWatch, wire.KindUnwatch, wire.KindWhy, wire.KindTop, wire.KindSeen,
		wire.KindLetGo} {
		all = append(all, "request "+k.String())
	}
	for _, op := range []lockfsm.Op{lockfsm.OpOpenSession, lockfsm.OpCloseSession,
		lockfsm.OpAcquire, lockfsm.OpTake, lockfsm.OpEnter, lockfsm.OpLeave, lockfsm.OpRelease,
		lockfsm.OpConvert, lockfsm.OpGiveBack, lockfsm.OpAmend,
		lockfsm.OpAcquireAll, lockfsm.OpReleaseAll,
		lockfsm.OpAwait, lockfsm.OpCountDown, lockfsm.OpSet, lockfsm.OpReset,
		lockfsm.OpCancel, lockfsm.OpPark, lockfsm.OpRenewHold, lockfsm.OpForce,
		lockfsm.OpLetGo, lockfsm.OpWrite} {
		all = append(all, "command "+op.String())
	}
	for _, k := range []node.EventKind{node.EventBorn, node.EventPeerUp, node.EventPeerDown,
		node.EventRefusedUs, node.EventLeader, node.EventLeading, node.EventDeposed,
		node.EventTransfer, node.EventCheckpoint, node.EventCheckpointFailed,
		node.EventSnapshotSent, node.EventSnapshotInstalled, node.EventSnapshotFailed,
		node.EventDrained, node.EventDiskStalled, node.EventDiskMoves, node.EventFailed} {
		all = append(all, "event "+k.String())
	}
	for _, s := range []wire.Status{wire.StatusOK, wire.StatusHeld, wire.StatusNotLeader,
		wire.StatusBusy, wire.StatusSessionUnknown, wire.StatusNotHolder,
		wire.StatusCancelled, wire.StatusAlreadyGranted, wire.StatusTooManyWaiters,
		wire.StatusOtherMode, wire.StatusDeadlock, wire.StatusTooMuchData,
		wire.StatusTooManySessions, wire.StatusAlreadySet, wire.StatusBroken,
		wire.StatusTooManyHolds, wire.StatusNotFound} {
		all = append(all, "status "+s.String())
	}
	all = append(append(all, reachableByClients()...), reachableModes()...)
	return append(all, "gate opened for several", "gate broken", "core let through",
		"waiter too old to be passed", "circle of owners refused", "circle told",
		"step of an earlier leader", "sync left to another loop", "synced by the loop of a turn",
		"circle told to AcquireAll", "circle told to Convert", "circle over groups told",
		"circle over groups told to AcquireAll",
		"circle over groups told for an owner",
		"convert ok", "convert held", "convert cancelled", "convert not holder",
		"held", "permits held", "several held", "data read", "value read", "value with a grant",
		"value in doubt", "kept hold seen", "hold kept", "kept hold freed",
		"session let go",
		"max hold over", "loss told: "+wire.ReasonMaxHold.String(), "core lost by max hold",
		"core asked what is left",
		"hold forced", "holder told of force", "force ok", "force not holder",
		"core paused", "checkpoint", "snapshot", "power cut",
		"power cut at start", "power cut at work", "power cut inside a flush",
		"died between two operations of a flush", "conn clogged", "core muted",
		"peers heard last after a pause", "stranger refused", "stranger misleads",
		"session expired", "lease ran out",
		"cancel lost to grant", "damage found", "damage found at work", "damage: flipped bit",
		"damage: garbage", "damage: zeroed sector", "damage: lost write",
		"damage: misdirected write",
		"disk error stopped a node", "wiped node stopped", "directory rolled back",
		"rolled back node stopped", "log cramped", "spare segment not made", "inbox full",
		"link overflow", "peer refused", "stale frames", "stale write refused", "write taken",
		"client died", "shape alone", "shape deaf", "shape mute", "shape halves",
		"shape quorum loss", "shape constrained", "shape chained", "shape one link",
		"shape leader apart")
}

// reachableModes names each mode, and each conversion of one to another: the model judges
// them by the matrix, so all of it has to be tried.
func reachableModes() (all []string) {
	for m := lockfsm.ModeNL; m.Valid(); m++ {
		all = append(all, heldText(m))
		for to := lockfsm.ModeNL; to.Valid(); to++ {
			if to != m {
				all = append(all, convertedText(m, to))
			}
		}
	}
	return all
}

func heldText(m lockfsm.Mode) string { return "held in " + m.String() }

func convertedText(m, to lockfsm.Mode) string {
	return "converted from " + m.String() + " to " + to.String()
}

// reachableByClients names what of it the client of production does, and what all do of
// several names.
func reachableByClients() []string {
	return []string{"core held", "core held several", "core held permits", "core entered",
		"core converted", "core forced", "core lost a hold", "core was brought a value",
		"core cut off when forced", "core heard late of a max hold", "circle opened while looked for",
		"client left a barrier", "conn broke before the answer",
		"core died", "core resumed", "core resumed a hold", "core gave up a wait",
		"several held with terms",
		"answer to an earlier send"}
}

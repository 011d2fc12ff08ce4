//go:build plant

package sim

import (
	"errors"
	"fmt"

	lockclient "lockd/client"
	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/paxos"
	"lockd/wal"
)

// ErrNotPlantable means that no package has a planted bug of that name.
var ErrNotPlantable = errors.New("sim: no such planted bug")

// plantable are the bugs that the simulator is to find, with the package that
// has each.
func plantable() []buggy {
	return []buggy{
		{&paxos.Planted, ofPaxos()},
		{&node.Planted, ofNode()},
		{&wal.Planted, ofLog()},
		{&lockfsm.Planted, ofMachine()},
		{&lockclient.Planted, ofClient()},
		{&history.Planted, ofHistory()},
	}
}

// buggy is a package with its bugs, and where it looks which one it has.
type buggy struct {
	in   *string
	bugs []Planting
}

// ofPaxos are the bugs of the protocol.
func ofPaxos() []Planting {
	return []Planting{
		{"own-accept-early", "I4 a leader's own accept waits for its sync"},
		{"accept-unsynced", "I4 an accept is told after its sync"},
		{"promise-unsynced", "I4 a promise is told after its sync"},
		{"prepare-unsynced", "I4 a ballot is promised durably before it is used"},
		{"ballot-reused", "I2 a ballot is used once"},
		{"accept-below-promise", "I3 nothing below the promise is accepted"},
		{"gap-unfilled", "I6 a new leader fills gaps"},
		{"promise-answer-cut", "I6 a promise that does not fit says so"},
		{"own-entry-preferred", "I1 the value of the highest ballot reported is proposed"},
		{"chosen-ignores-ballot", "I1 a watermark covers entries of its ballot only"},
		{"accept-of-removed-node", "I5 accepts count by the slot's acceptors"},
		{"configuration-one-slot-early", "I5 a configuration begins at its slot"},
		{"read-before-own-slot", "I24 a new leader confirms nothing before a slot of its own"},
		{"confirmation-reused", "I24 a round confirms only reads that came before it"},
		{"welcome-despite-leader", "I29 a pre-prepare is refused while a leader is heard"},
		{"leads-without-quorum", "I28 a leader that misses a quorum steps down"},
		{"left-group-forgets-promise", "I3 a group that left leaves its promise in the log"},
		{"settled-without-hint", "I5 who speaks for the past has noted what is chosen"},
		{"forgotten-slot-accepts", "I5 who left accepts nothing from before it came back"},
	}
}

// ofNode are the bugs of the node.
func ofNode() []Planting {
	return []Planting{
		{"answer-before-sync", "I4 messages wait for their record"},
		{"wiped-node-admitted", "I7 a wiped disk is refused"},
		{"rolled-back-node-admitted", "I7 a disk that forgot is refused"},
		{"stranger-believed", "F-N6 a stranger's record proves itself"},
		{"group-comes-back-without-promise", "I3 a group that comes back is bound by its promise"},
		{"observer-promoted-early", "I28 an observer catches up before it accepts"},
		{"released-before-settled", "I5 a leaver goes when a quorum can do without it"},
		{"dropped-before-marked", "I12 a checkpoint goes after its mark is synced"},
		{"left-released-before-marked", "I10 a group that left is dropped after its mark is synced"},
		{"released-before-marked", "I12 the log names a checkpoint before it drops for its sake"},
		{"log-cut-before-checkpoint", "I12 the log is cut after the checkpoint is durable"},
		{"snapshot-goes-back", "I13 the applied slot never goes back"},
		{"forced-holder-not-told", "I25 who is forced is told, as far as he can be"},
		{"watch-starts-silent", "I24 a watch begins with how the lock stands"},
		{"read-without-round", "I24 a read waits for its round"},
		{"list-misses-what-came", "I24 a list has what came while its names were looked for"},
		{"lease-without-step", "I21 a lease begins at a step of log time"},
		{"renewal-answered-from-memory", "I21 a renewal is answered when it is applied"},
		{"expiry-from-leader-memory", "I21 a new leader counts from its own beginning"},
		{"unknown-said-from-memory", "I19 that a session is over is said by the log"},
		{"let-go-too-soon", "I21 who is let go with its conn lives for its grace"},
		{"holders-told-as-the-first", "I24 a read tells each holder as the log has it"},
		{"found-without-waits", "I24 a session that is found has all that it waits for"},
		{"kept-listed-as-held", "I24 a list tells the first holder as the log has it"},
		{"status-of-an-earlier-turn", "I24 a node says how it is, not how it was"},
		{"top-by-name", "I24 what is wanted most is told first"},
		{"stalled-disk-leads", "I30 no heartbeat while the log stands still"},
	}
}

// ofLog are the bugs of the log.
func ofLog() []Planting {
	return []Planting{
		{"wal-durable-before-sync", "I4 durable means synced"},
		{"wal-answer-after-failed-sync", "I11 a failed sync is final"},
		{"wal-removal-forgets-promise", "I10 removal keeps the newest promise"},
		{"wal-removal-before-sync", "I10 a record is dead once its successor is synced"},
		{"wal-damage-cut-as-torn", "I9 damage below the watermark is no torn end"},
	}
}

// ofMachine are the bugs of the lock machine.
func ofMachine() []Planting {
	return []Planting{
		{"dedup-off", "I19 a request takes effect once"},
		{"dedup-not-in-checkpoint", "I19 what finds a retry is in the checkpoint"},
		{"stale-epoch-executed", "I19 a frame of an earlier conn is refused"},
		{"unknown-session-recreated", "I19 an unknown session is refused"},
		{"cancel-drops-grant", "I19 a cancel that comes too late says so"},
		{"tick-uncapped", "I20 log time moves by the cap at most"},
		{"late-step-counts", "I21 what an earlier leader measured is not counted beside a later one"},
		{"expire-before-renew", "I20 a step renews before it expires"},
		{"grant-to-dead-session", "I16 a session that ended is granted nothing"},
		{"grant-to-parked-session", "I17 who cannot hear of it is granted nothing"},
		{"try-refused-for-any-permit", "I23 a try is refused if there is no room for it"},
		{"try-refused-by-the-newest", "I23 a try is told of the oldest hold in its way"},
		{"close-leaves-waits", "I16 the end of a session releases its waits"},
		{"reader-passes-writer", "I17 readers queue behind a waiting writer"},
		{"token-per-key", "I15 tokens rise over all keys"},
		{"token-counter-not-in-checkpoint", "I15 the token counter is in the checkpoint"},
		{"clock-not-in-checkpoint", "I13 whose step moved log time last is in the checkpoint"},
		{"unlock-without-token", "I18 a release names its token"},
		{"claims-in-order-of-table", "I13 no order of a table outlives a checkpoint"},
		{"reentry-counted-twice", "I19 an acquire of an owner that is repeated counts once"},
		{"release-counted-twice", "I18 a release of an owner that is repeated takes back no other"},
		{"terms-forgotten-in-checkpoint", "I13 what a hold brings is in the checkpoint"},
		{"value-never-doubtful", "I13 a writer that is lost leaves the value in doubt"},
		{"nothing-kept", "I14 what is to stay taken after its end does"},
		{"max-hold-forgotten", "I20 a hold ends when it is as old as its max hold"},
		{"force-without-token", "I18 a force ends the hold that it names"},
		{"permits-over-capacity", "I14 permits taken never exceed the capacity"},
		{"capacity-forgotten-in-checkpoint", "I14 the capacity in force is in the checkpoint"},
		{"second-upgrader-waits", "I17 of two who wait for each other the second is refused"},
		{"circle-not-seen", "I17 an owner who would wait in a circle of owners is refused"},
		{"circle-past-other-names", "I17 who waits for several names waits for each"},
		{"circle-through-what-lets-pass", "I17 nobody waits for what keeps one who would let him pass"},
		{"upgrade-keeps-token", "I15 a mode that is stronger comes with a new token"},
		{"weight-never-ages", "I17 a heavier one passes those only who came little before"},
		{"list-ends-early", "I24 a list ends where no name is left"},
		{"any-token-current", "I24 a token is current if a present hold has it"},
		{"parts-granted-early", "I14 of several names all are in turn or none is granted"},
		{"parts-passed-by-all", "I17 who waits for several names is passed by whom it gets along with"},
		{"gate-dedup-off", "I19 a request at a gate takes effect once"},
		{"answers-not-in-checkpoint", "I19 answers that are kept are in the checkpoint"},
		{"barrier-counts-the-dead", "I16 a session that ended is at no barrier"},
		{"latch-opens-early", "I17 a latch opens at zero"},
		{"latch-releases-one", "I17 all who wait at a gate are let through at once"},
		{"register-conflict-ignored", "I5 a change names the version it replaces"},
	}
}

// ofClient are the bugs of the client.
func ofClient() []Planting {
	return []Planting{
		{"forced-while-away-unseen", "I25 who was cut off asks what he still holds"},
		{"watch-keeps-what-is-gone", "I24 what a prefix does not tell is free"},
		{"max-hold-counted-from-answer", "I25 a client counts a max hold from before the grant"},
		{"circle-not-chased", "I17 who waits in a circle over several groups is told"},
		{"circle-not-looked-at-twice", "I17 a circle over several groups stood at one moment"},
		{"lease-counted-from-answer", "I25 a client counts its lease from the send"},
	}
}

// ofHistory are the bugs of what nodes keep of holds that ended.
func ofHistory() []Planting {
	return []Planting{
		{"history-told-twice", "I13 what is applied again is told once"},
		{"history-gap-untold", "I13 slots that were left out are not known"},
	}
}

// Plantings are the bugs that the simulator is to find.
func Plantings() []Planting {
	var all []Planting
	for _, p := range plantable() {
		all = append(all, p.bugs...)
	}
	return all
}

// Plant plants the named bug in the package that has it, and takes out the one
// that was planted before. An empty name plants none.
func Plant(name string) error {
	found := name == ""
	for _, p := range plantable() {
		*p.in = ""
		for _, b := range p.bugs {
			if b.Name == name {
				*p.in = name
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
	for _, p := range plantable() {
		if *p.in != "" {
			return *p.in
		}
	}
	return ""
}

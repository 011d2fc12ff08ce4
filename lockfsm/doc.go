// Package lockfsm decides who holds which lock. It is the state machine that
// the replicas of one group run over the chosen values of their log: the same
// values in the same order give the same state, the same results and the same
// bytes at rest, on every replica. It is pure: it reads no clock, no file and
// no random number, and a Machine belongs to one goroutine.
//
// # A batch
//
// The value of a slot is a batch; an empty value is a no-op. All numbers are
// little-endian.
//
//	batch    version u8 (1 to 3) | flags u8 (1: tick, 2: clock) | tick? | command*
//	tick     clock? | delta u32 (ms) | n u32 | n × session u64
//	clock    round u64 | node u16
//	command  opcode u8, then
//	 1 open     epoch u32 | lease u32 | nonce 16 B | name
//	 2 close    session u64 | epoch u32
//	 3 acquire  flags u8 | mode u8 | weight u8 | session u64 | epoch u32 |
//	            request u64 | hold time u32 if detached | name
//	 4 release  flags u8 | session u64 | epoch u32 | token u64 | name
//	 5 cancel   session u64 | epoch u32 | request u64 | name
//	 6 park     session u64 | epoch u32
//	 7 renew    owner u64 | token u64 | hold time u32 | name
//	 8 write    version u64 | length u32 | value | name
//	16 take     flags u8 | weight u8 | session u64 | epoch u32 | request u64 |
//	            permits u32 | capacity u32 | hold time u32 if detached | name
//	17 enter    flags u8 | mode u8 | weight u8 | session u64 | epoch u32 |
//	            request u64 | owner u64 | name
//	18 leave    session u64 | epoch u32 | request u64 | token u64 | name
//	19 convert  flags u8 | mode u8 | session u64 | epoch u32 | request u64 |
//	            target u64 | token u64 | name
//	20 give back  flags u8 | session u64 | epoch u32 | target u64 | token u64 | name
//	21 with     terms, then an acquire, take, enter or acquire-all, which has them
//	22 amend    flags u8 | session u64 | epoch u32 | request u64 | target u64 |
//	            token u64 | terms | name
//	23 force    token u64 | length u8 | who | length u16 | reason | name
//	24 acquire-all
//	            flags u8 | weight u8 | session u64 | epoch u32 | request u64 |
//	            n u8 | n × (mode u8 | name)
//	25 release-all
//	            session u64 | epoch u32 | request u64 | token u64
//	26 let go   session u64 | epoch u32 | grace u32
//	28 await, 29 count down, 30 set, 31 reset
//	            flags u8 | gate u8 | session u64 | epoch u32 | request u64 |
//	            done u64 | count u32 | hold time u32 | name
//	name     length u16 | bytes
//	flags    1: wait, 2: detached; of acquire, take, enter, convert and acquire-all
//	         in version 3 also 4: detect
//	gate     1: latch, 2: event, 3: barrier
//	terms    fields u16 (1: payload, 2: labels, 4: max hold, 8: min hold,
//	         16: delay, 32: value, 64: owner) | length u16 | payload | length u16 |
//	         labels | max hold u32 | min hold u32 | delay u32 | length u16 | value |
//	         owner u64, each if it is there; times in ms; a value in an amend only,
//	         an owner before an acquire-all only
//
// A batch has version 1 unless it has a command from 16 on; then it has version
// 2, or 3 with one from 19 on or with the clock of its tick. A version, or an opcode
// or flag that its version does not have, is ErrTooNew, never damage. A batch is
// executed in full or not at all.
//
// # Rules
//
// Time. Only the tick of a batch moves log time, by at most Limits.TickCap, and only
// if no tick by the clock of a later leadership came before it.
// Within a batch: log time moves, the work left by earlier endings goes on, the
// listed sessions are renewed, what is past its deadline ends in the order of
// (deadline, kind, id), then the commands run. What sessions leave behind is
// released with bounded work per Apply; the rest is state, Pending says so, and
// the next Apply with a tick or a close continues it.
//
// Sessions. Ids come from a counter and never return; an unknown session is
// refused, never made anew. A session executes nothing below its epoch. A
// parked session keeps its places but is passed over, and may give back but not
// ask, until a higher epoch arrives. A session that is let go ends its grace after that
// unless it is renewed, or nothing of it if a higher epoch has arrived. The end of a
// session releases all it has, through the log.
//
// Locks. An acquire is put into the queue by its arrival in log time less its weight
// times Limits.AgeStep, so that it passes those only who came less than that before
// it, and with AgeStep zero by weight and then arrival. The queue is pumped: from
// its head waiters are granted while they are compatible with every holder, and
// the first that is not stops it. Release, cancel, expiry, parking and the end of
// a session pump in the same Apply, so a lock passes on in one commit. A request
// id finds its own claim again, which makes a retry safe without a cache of
// answers.
//
// Semaphores. A name in use is either a lock with modes or a semaphore. All who
// ask name its capacity, which stands as long as anybody holds or waits; what
// takes the name for anything else is refused with the capacity in force. Grants
// never exceed it, and the head of the queue is not passed by who asks for less.
//
// Owners. A lock with an owner can be entered again by that owner, in the same
// mode. Each acquire is a claim of its own with one token for all, and is left by
// its request id; the lock passes on with the last. All requests of an owner
// wait in one place of the queue and are granted together.
//
// Conversions. A hold, named by the request of the acquire it came of and a token
// it has or had, is converted in place to another mode, all levels of an owner
// together. To a mode that is no stronger (whoever gets along with the old gets
// along with the new) it is converted at once, with the token it has. Otherwise
// it keeps its mode until it is compatible with every other hold and no
// conversion waits before it, and then gets the new mode and a new token:
// what it may do now must be told from what others did since its old token. The
// conversions of a lock wait in the order of arrival and before all who hold
// nothing. One is refused as a deadlock if another waits, directly or behind
// others, for the mode that its hold has. As it stands behind all that wait, that
// is so exactly if one of those asks for a mode that is not compatible with it, be
// it parked; so waiting conversions never make a circle. A cancelled one leaves
// the old mode; the end of the hold or of its session ends it. The last granted
// request stays with the hold for retries. Semaphores are not converted, detached
// holds only to modes that are no stronger.
//
// Deadlocks. An enter that waits with detect says that its owner gives nothing back
// meanwhile; so does a convert, for the owner of its hold, an acquire of several names,
// for its owner if it has one, and any other acquire, for all that its session has
// without an owner. It waits for every hold beside which it cannot be granted, whatever
// the others do, and for all who wait before it: a convert for all but its own hold, an
// acquire of several names for all that is so at any of them. Who gets along with a
// part that stands before it waits for less, for its turn at that lock alone: all that
// makes a graph, see deadlock.go. A hold whose owner waits with detect, and a wait
// before it with detect, stay until that owner gets what it waits for. One that would
// close a circle of these is refused at once and told the circle; of up to 1,024 claims
// looked at. A circle through anything that does not say so is none: it may open by
// itself. For circles over several groups FlowWaits says what an owner of a client
// waits for here, and what is in the way; whose session it is the first half of its
// nonce tells.
//
// Several names. An acquire of up to 64 names, which ascend, is granted for all
// or waits for all, in the queue of each. Each name is a claim, a part; the parts
// are granted in one Apply, when all are in turn, with tokens that follow each other.
// All such acquires stand in every queue in one order, so none waits for another in
// a circle. A part that only waits for the others is passed by those it gets along
// with, and by nobody else, so neither it nor they starve. What holds is given back
// name by name or together.
//
// Gates. At a latch, an event or a barrier one waits and holds nothing: all who
// wait are let through in the Apply that opens it, parked ones too. A latch is
// shut while it has a count, an event while it is not set; a barrier opens for
// those who wait when they are as many as all of them say. Whoever gives up, or
// whose session ends, leaves the barrier, and the others wait on. What stands, a
// latch with a count or an event that is set, belongs to nobody; it ends when it is
// reset, or by a time of its own. Those whom that leaves without what they wait
// for are told that it broke. A request at a gate that had an effect leaves nothing
// behind in which a retry could find itself, so its answer is kept with the
// session until the client says, by the next command, that it has it.
//
// Terms. An acquire may bring data for others to read: a payload and labels, which
// are bytes here. It goes with the claim; who holds may change it, and a change
// that was repeated or overtaken has no second effect. What all claims bring is
// bounded in bytes. An owner who has the lock already brings nothing new. A hold
// with a min hold that is given back earlier, or with a delay that is lost with its
// session or its time, is kept: it stays taken in its mode, as a detached hold that
// nobody can name, until that is over. A hold with a max hold ends when it is that
// old, counted from its first grant and a tick more, whatever is renewed, entered or
// converted, as one does whose time ran out; all calls of an owner say the same. Who
// asks for it again after that, be it by a retry, asks anew.
//
// Force. Whoever names a present hold by its token may end it, with all that its
// owner entered, be it detached or kept: it is not kept after that, and the next are
// let in by the same Apply. It says who and why, which the log keeps. Of several names
// one ends, the others stay held. Who waits cannot be forced, nor what stands of a
// gate. A request whose hold was ended so and that comes again asks anew.
//
// Values. A lock with modes may have a value of its name, which outlives its holders:
// who holds in PW or EX may write it, and an empty one takes it away. As long as it
// has one the name is in use, as a lock with modes. If a hold that may write ends
// otherwise than by being given back, the value is doubtful until it is written again.
// Values count with data.
//
// Tokens. One counter per group gives a larger token to every later grant,
// whatever the name, and is part of the state, not of a lock.
//
// Registers. A few small records are the cluster's own: who accepts for the
// group, what the cluster is made of. A write names the version it replaces.
//
// Invariants I13 to I20 and I22 of the reliability page are upheld here;
// Validate checks those that one state can show, after every Apply in builds
// with the invariants tag.
//
// # For those who look on
//
// Note has every Apply say which locks it touched, and what was granted or given
// back; note.go. NoteEnds has it say which holds ended, and how; ended.go. No result
// depends on either, and they are no part of the state.
//
// # At rest
//
// Dirty writes what changed since the last checkpoint, All the whole; record.go
// specifies the records. Load and Loaded rebuild a machine from them.
package lockfsm

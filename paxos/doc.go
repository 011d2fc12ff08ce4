// Package paxos decides, for one group of replicas, which value fills each slot
// of a shared log. It is a pure machine: it holds state and does arithmetic,
// and it never reads a clock, a file, a socket or a source of randomness. What
// it needs is handed in through Step, Tick and Propose; what must happen in the
// world is handed out through Ready.
//
// One replica plays all three roles of Lamport's "Paxos Made Simple", §2. The
// proposer asks, the acceptor remembers, the learner counts:
//
//	kind          from      to        carries                             after sync of
//	PrePrepare    proposer  peers     ballot, slot, chosen                –
//	PreAnswer     acceptor  proposer  ballot, promised, chosen, refused?  earlier records
//	Prepare       proposer  peers     ballot, slot, chosen                own promise
//	Promise       acceptor  proposer  ballot, slot…last, entries, more?   the promise
//	Accept        leader    acceptors ballot, entries, chosen             –
//	Accepted      acceptor  leader    ballot, slot…last, chosen           the entries
//	Heartbeat     leader    peers     ballot, chosen, seq                 –
//	HeartbeatAck  peer      leader    ballot, chosen, seq, slot, refused? slots below slot
//	Learn         learner   any peer  slot, chosen                        –
//	Learned       learner   learner   slot…last, entries, released?       –
//	Refuse        acceptor  proposer  ballot, promised, chosen            the promise
//	TakeOver      leader    successor ballot, chosen                      –
//
// The last column is not a rule for callers to remember: what waits for a sync
// stands in Ready.AfterSync, the rest in Ready.Messages. A leader's own promise
// and its own accepts are messages to itself and wait like any other.
//
// Phase 1 runs once per leader and covers every slot above its chosen
// watermark. Phase 2 runs in up to Config.Window slots at a time, in any order.
// Before phase 1 a proposer asks, without changing any state, whether it would
// be welcome; nodes that hear a leader say no. A leader that a quorum does not
// answer for an election timeout steps down. Both rules are needed: the first
// keeps a returning node from deposing a healthy leader, the second keeps a
// leader that can only speak, or only listen, from blocking the others.
//
// Acceptors change through the log: the value of slot s may decide those of slot
// s + Config.Window and above, and the caller tells the replica with Configure.
// A slot's quorum is looked up by slot; a leader proposes in a slot only if a
// prepare quorum of that slot's acceptors promised its ballot, and leaves once
// it is no acceptor of the next slot.
//
// Invariants, by their names in the reliability notes; costly ones are checked
// after every step when built with the invariants tag:
//
//	I1  One value is chosen per slot.
//	I2  One value is ever proposed per slot and ballot: a ballot is promised
//	    durably by its own node before it is used, and never used again on that
//	    disk; and in a slot a node proposes on no other disk than the one it has
//	    in the slot's configuration.
//	I3  The promised ballot never decreases; nothing below it is accepted.
//	I4  What depends on a record leaves after its sync (AfterSync).
//	I5  A promise or an accept counts by (node, disk) in the configuration of
//	    its slot. No other configuration decides a quorum.
//	I6  A new leader finishes every slot it saw, fills gaps with no-ops, and
//	    takes new values only once all that is chosen.
//	I24 A read is confirmed by a heartbeat round that began after it, and by no
//	    leader before a slot of its own ballot is chosen.
//
// A Replica belongs to one goroutine. Nothing in this package locks.
package paxos

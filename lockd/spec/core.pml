/*
 * core.pml: Multi-Paxos of one group (lockd/paxos), with a crash that takes
 * what was not synced. README.md says what is left out and why that is sound.
 *
 * A message that left stays in the state for ever: it may be read late, twice,
 * out of order or never. Ballot b belongs to node (b + 1) % 2.
 *
 * run holds one-slot-crash-0        -DCRASHER=0 -DNS=1 -DMAXB=3
 * run holds one-slot-crash-1        -DCRASHER=1 -DNS=1 -DMAXB=3
 * run holds one-slot-crash-2        -DCRASHER=2 -DNS=1 -DMAXB=3
 * run holds two-slots-crash-0       -DCRASHER=0
 * run holds two-slots-crash-1       -DCRASHER=1
 * run holds two-slots-crash-2       -DCRASHER=2
 * run holds three-slots             -O -DCRASHER=2 -DNS=3
 * run deep three-ballots-crash-0    -DCRASHER=0 -DMAXB=3
 * run deep three-ballots-crash-2    -DCRASHER=2 -DMAXB=3
 * run fails promise-unsynced        I1 -DPROMISE_UNSYNCED
 * run fails promise-unsynced        I3 -DPROMISE_UNSYNCED
 * run fails accept-unsynced         I1 -DACCEPT_UNSYNCED
 * run fails own-accept-early        I1 -DOWN_ACCEPT_EARLY -DCRASHER=0
 * run fails own-accept-early        I4 -DOWN_ACCEPT_EARLY -DCRASHER=0
 * run fails ballot-reused           I2 -DBALLOT_REUSED -DCRASHER=0
 * run fails promise-answer-cut      I1 -DPROMISE_ANSWER_CUT
 * run fails accept-below-promise    I1 -DACCEPT_BELOW_PROMISE
 * run fails accept-below-promise    I3 -DACCEPT_BELOW_PROMISE
 * run fails gap-unfilled            I6 -DGAP_UNFILLED
 * run fails new-before-finished     I6 -DNEW_BEFORE_FINISHED
 * run fails apply-passes-gap        I6 -DAPPLY_PASSES_GAP
 * run fails chosen-ignores-ballot   I1 -DCHOSEN_IGNORES_BALLOT
 * run reached two-leaders           -DREACH_TWO_LEADERS
 * run reached filled-gap            -DREACH_FILLED_GAP
 * run reached finished-value        -DREACH_FINISHED_VALUE
 * run reached skipped-slot          -DREACH_SKIPPED_SLOT
 * run reached lost-accept           -DREACH_LOST_ACCEPT
 */

#ifndef NS
#define NS 2
#endif
#ifndef MAXB
#define MAXB 2
#endif
#ifndef CRASHER
#define CRASHER 2
#endif

#define I1 1
#define I2 2
#define I3 3
#define I4 4
#define I6 6
#ifndef ONLY
#define ONLY 0
#endif
/* must asserts an invariant; ONLY picks one of them, 0 means all. */
#define must(inv, holds) assert((ONLY != 0 && ONLY != inv) || (holds))

#define OWNER(b)   (((b) + 1) % 2)
#define BIT(n)     (1 << (n))
#define MAJ(set)   ((set) == 3 || (set) >= 5)
#define AT(x, s)   ((x) * NS + (s) - 1)
#define NOOP       (MAXB + 1)
#define OTHER      (MAXB + 2)

/* What the acceptors hold. acc is a ballot; with it and the slot goes val. */
byte promised[3];
byte acc[3 * NS];
/* What the disk of CRASHER holds. The others sync with every step: a message
 * that waits for a sync and one that is read late cannot be told apart. */
byte promisedDisk;
byte accDisk[NS];
bool crashed;
/* Of a proposer, and volatile: the ballot it prepares or leads, and the next
 * slot it proposes in, 0 while it prepares. */
byte cur[2];
byte nxt[2];
/* prom: who promised b. best: the highest ballot those promises reported for a
 * slot, until a quorum had promised. base: up to where the leader of b knew the
 * log to be chosen when it began. val: what Accept carries. accd: who said
 * Accepted. */
byte prom[MAXB + 1];
byte best[(MAXB + 1) * NS];
byte base[MAXB + 1];
byte val[(MAXB + 1) * NS];
byte accd[(MAXB + 1) * NS];
/* What a quorum accepted, seen from outside. */
byte chosen[NS];
#ifdef REACH_LOST_ACCEPT
byte lost;
#endif
hidden byte i, e, v;

#define LEADS(n)    (cur[n] != 0 && promised[n] == cur[n] && nxt[n] != 0)
#define LAZY(n)     (n == CRASHER && !crashed)

/* Written out per slot: an expression cannot loop. S2 and S3 are about slots 2
 * and 3, and false without them. */
#if NS > 1
#define S2(x) (x)
#else
#define S2(x) false
#endif
#if NS > 2
#define S3(x) (x)
#else
#define S3(x) false
#endif
#define ALLCHOSEN(k) ((k < 1 || chosen[0]) && (k < 2 || S2(chosen[1])) && (k < 3 || S3(chosen[2])))
#define DONE(b, s)   (base[b] >= s || MAJ(accd[AT(b, s)]))
#define SEEN(b) (S3(best[AT(b, 3)]) -> 3 : (S2(best[AT(b, 2)]) -> 2 : (best[AT(b, 1)] -> 1 : 0)))
#define PREFIX(b) (DONE(b, 1) -> (S2(DONE(b, 2)) -> (S3(DONE(b, 3)) -> 3 : 2) : 1) : 0)
/* CHOSENUPTO is what the leader of b may call chosen: the slots without a gap
 * that it knew or counted. */
#ifdef APPLY_PASSES_GAP
#define CHOSENUPTO(b) (S2(MAJ(accd[AT(b, 2)])) -> 2 : PREFIX(b))
#else
#define CHOSENUPTO(b) PREFIX(b)
#endif

/* sayPromise lets the promise of b leave, with a report of what is held. */
inline sayPromise(n, b) {
	must(I4, !LAZY(n) || promisedDisk >= b);
	if
	:: !MAJ(prom[b]) ->
		i = 1;
		do
		:: i <= NS ->
			e = acc[AT(n, i)];
#ifdef PROMISE_ANSWER_CUT
			if :: i > 1 -> e = 0 :: else fi;
#endif
			if :: e < b && e > best[AT(b, i)] -> best[AT(b, i)] = e :: else fi;
			i++
		:: else -> break
		od
	:: else
	fi;
	prom[b] = prom[b] | BIT(n)
}

/* sayAccepted lets the accept of (b, s) leave; a quorum of them chooses. */
inline sayAccepted(n, b, s) {
	must(I4, !LAZY(n) || accDisk[s - 1] == b);
	i = b + 1;
	do
	:: i <= MAXB -> must(I3, !(prom[i] & BIT(n))); i++
	:: else -> break
	od;
	accd[AT(b, s)] = accd[AT(b, s)] | BIT(n);
	if
	:: MAJ(accd[AT(b, s)]) ->
		must(I1, chosen[s - 1] == 0 || chosen[s - 1] == val[AT(b, s)]);
		chosen[s - 1] = val[AT(b, s)]
	:: else
	fi
}

/* raise moves the promise to b; a proposer of less stops. */
inline raise(n, b) {
	if
	:: promised[n] < b ->
		promised[n] = b;
		if :: n < 2 && cur[n] < b -> cur[n] = 0; nxt[n] = 0 :: else fi
	:: else
	fi
}

/* start prepares ballot b of node n's own. Prepare leaves with its promise. */
inline start(n, b) {
	promised[n] = b;
	cur[n] = b;
	nxt[n] = 0;
	if :: !LAZY(n) -> sayPromise(n, b) :: else fi
}

inline onPrepare(n, b) {
	raise(n, b);
#ifdef PROMISE_UNSYNCED
	sayPromise(n, b)
#else
	if :: !LAZY(n) -> sayPromise(n, b) :: else fi
#endif
}

inline onAccept(n, b, s) {
	raise(n, b);
	acc[AT(n, s)] = b;
#ifdef ACCEPT_UNSYNCED
	sayAccepted(n, b, s)
#else
	if :: !LAZY(n) -> sayAccepted(n, b, s) :: else fi
#endif
}

/* lead ends phase 1. The log up to k is known to be chosen, from any peer. */
inline lead(n, k) {
	base[cur[n]] = k;
	nxt[n] = k + 1
}

/* propose fills the next slot: with what was reported for it, with a no-op if
 * something was reported above it, else with a command. */
inline propose(n) {
	if
	:: nxt[n] <= SEEN(cur[n]) ->
		e = best[AT(cur[n], nxt[n])];
		v = (e != 0 -> val[AT(e, nxt[n])] : NOOP)
	:: else ->
		/* The ballot names the command, unless it carried one before. */
		v = (val[AT(cur[n], nxt[n])] == 0 -> cur[n] : OTHER);
		must(I6, ALLCHOSEN(SEEN(cur[n])))
	fi;
	if
#ifdef GAP_UNFILLED
	:: v == NOOP -> skip
#endif
	:: else ->
		must(I2, val[AT(cur[n], nxt[n])] == 0 || val[AT(cur[n], nxt[n])] == v);
		val[AT(cur[n], nxt[n])] = v;
		acc[AT(n, nxt[n])] = cur[n];
#ifdef OWN_ACCEPT_EARLY
		sayAccepted(n, cur[n], nxt[n])
#else
		if :: !LAZY(n) -> sayAccepted(n, cur[n], nxt[n]) :: else fi
#endif
	fi;
	nxt[n] = nxt[n] + 1
}

/* A leader takes commands once all that phase 1 saw is chosen. */
#ifdef NEW_BEFORE_FINISHED
#define TAKES(n) true
#else
#define TAKES(n) (nxt[n] <= SEEN(cur[n]) || PREFIX(cur[n]) >= SEEN(cur[n]))
#endif

#ifdef BALLOT_REUSED
#define MAYSTART(n, b) (b > promised[n] || (b == promised[n] && cur[n] == 0))
#else
#define MAYSTART(n, b) (b > promised[n])
#endif
#ifdef ACCEPT_BELOW_PROMISE
#define MAYACCEPT(n, b) true
#else
#define MAYACCEPT(n, b) (promised[n] <= b)
#endif
/* A node takes a slot that the leader of b calls chosen to be so here only if
 * its own entry is of that ballot. */
#ifdef CHOSEN_IGNORES_BALLOT
#define FITS(n, b, s) (acc[AT(n, s)] != 0)
#else
#define FITS(n, b, s) (acc[AT(n, s)] == b)
#endif

#define SLOT(b, s) \
	:: d_step { OWNER(b) != n && val[AT(b, s)] != 0 && MAYACCEPT(n, b) && \
		acc[AT(n, s)] < b -> onAccept(n, b, s) } \
	:: d_step { s <= CHOSENUPTO(b) && FITS(n, b, s) -> \
		must(I6, ALLCHOSEN(s)); must(I1, val[AT(acc[AT(n, s)], s)] == chosen[s - 1]) }

#if NS == 1
#define SLOTS(b) SLOT(b, 1)
#elif NS == 2
#define SLOTS(b) SLOT(b, 1) SLOT(b, 2)
#else
#define SLOTS(b) SLOT(b, 1) SLOT(b, 2) SLOT(b, 3)
#endif

#define BALLOT(b) \
	:: d_step { OWNER(b) != n && (prom[b] & BIT(OWNER(b))) && promised[n] < b -> \
		onPrepare(n, b) } \
	SLOTS(b)

#if MAXB == 2
#define BALLOTS BALLOT(1) BALLOT(2)
#else
#define BALLOTS BALLOT(1) BALLOT(2) BALLOT(3)
#endif

#define LEAD(k) \
	:: d_step { cur[n] != 0 && nxt[n] == 0 && MAJ(prom[cur[n]]) && ALLCHOSEN(k) -> lead(n, k) }

proctype acceptor(byte n) {
end:	do
	BALLOTS
	od
}

proctype proposer(byte n) {
end:	do
	:: d_step { MAYSTART(n, n + 1) -> start(n, n + 1) }
#if MAXB > 2
	:: d_step { n == 0 && MAYSTART(n, 3) -> start(n, 3) }
#endif
	LEAD(0) LEAD(1)
#if NS > 1
	LEAD(2)
#endif
	:: d_step { LEADS(n) && nxt[n] <= NS && TAKES(n) -> propose(n) }
	od
}

/* toDisk is what a sync does to the disk. */
inline toDisk() {
	promisedDisk = promised[CRASHER];
	v = 1;
	do
	:: v <= NS -> accDisk[v - 1] = acc[AT(CRASHER, v)]; v++
	:: else -> break
	od
}

/* release lets go what waited for the sync. What was said before is only said
 * again; what a later promise overtook was said by an earlier sync or never. A
 * promise of one's own ballot leaves only while it is being prepared. */
inline release() {
	v = 1;
	do
	:: v <= NS ->
		if
		:: acc[AT(CRASHER, v)] != 0 && acc[AT(CRASHER, v)] == promisedDisk ->
			sayAccepted(CRASHER, promisedDisk, v)
		:: else
		fi;
		v++
	:: else -> break
	od;
	if
#if CRASHER < 2
	:: OWNER(promisedDisk) == CRASHER && cur[CRASHER] != promisedDisk -> skip
#endif
	:: promisedDisk == 0 -> skip
	:: else -> sayPromise(CRASHER, promisedDisk)
	fi
}

/* restart comes back with the disk, no role, and no ballot in use. */
inline restart() {
	crashed = true;
#if CRASHER < 2
	cur[CRASHER] = 0;
	nxt[CRASHER] = 0;
#endif
	promised[CRASHER] = promisedDisk;
	v = 1;
	do
	:: v <= MAXB -> must(I3, !(prom[v] & BIT(CRASHER)) || promisedDisk >= v); v++
	:: else -> break
	od;
	v = 1;
	do
	:: v <= NS -> acc[AT(CRASHER, v)] = accDisk[v - 1]; v++
	:: else -> break
	od
}

#define CHANGED(s) (acc[AT(CRASHER, s)] != accDisk[s - 1])
#define DIRTY (promised[CRASHER] != promisedDisk || CHANGED(1) || S2(CHANGED(2)) || S3(CHANGED(3)))

/* disk syncs and crashes node CRASHER. A crash loses what is not synced, or
 * leaves it on the disk by luck: then nothing was said, and is later. */
proctype disk() {
end:	do
	:: d_step { !crashed && DIRTY -> toDisk(); release(); skip }
	:: d_step { !crashed ->
#ifdef REACH_LOST_ACCEPT
		if :: acc[AT(CRASHER, 1)] != accDisk[0] -> lost = acc[AT(CRASHER, 1)] :: else fi;
#endif
		restart(); skip }
	:: d_step { !crashed && DIRTY -> toDisk(); restart(); release(); skip }
	od
}

/* At rest, a leader whom a quorum still follows has finished what it saw. */
#define FOLLOWED(n) (((promised[0] <= cur[n]) + (promised[1] <= cur[n]) + \
	(promised[2] <= cur[n])) >= 2)
proctype rest() {
end:	timeout -> d_step {
		must(I6, !(LEADS(0) && FOLLOWED(0)) || PREFIX(cur[0]) >= SEEN(cur[0]));
		must(I6, !(LEADS(1) && FOLLOWED(1)) || PREFIX(cur[1]) >= SEEN(cur[1]))
	}
}

#ifdef REACH_TWO_LEADERS
#define REACH (LEADS(0) && LEADS(1) && val[AT(cur[0], 1)] && val[AT(cur[1], 1)])
#endif
#ifdef REACH_FILLED_GAP
#define REACH (chosen[0] == NOOP && chosen[1] != 0 && chosen[1] < NOOP)
#endif
#ifdef REACH_FINISHED_VALUE
#define REACH (chosen[0] == 1 && MAJ(accd[AT(2, 1)]) && !MAJ(accd[AT(1, 1)]))
#endif
#ifdef REACH_SKIPPED_SLOT
#define REACH (base[2] == 1 && chosen[0] == 1 && chosen[1] == 2)
#endif
#ifdef REACH_LOST_ACCEPT
#define REACH (lost != 0 && chosen[0] != 0 && chosen[0] != val[AT(lost, 1)])
#endif
#ifdef REACH
proctype reach() { REACH -> assert(false) }
#endif

init {
	atomic {
		run acceptor(0); run acceptor(1); run acceptor(2);
		run proposer(0); run proposer(1);
		run disk(); run rest();
#ifdef REACH
		run reach()
#endif
	}
}

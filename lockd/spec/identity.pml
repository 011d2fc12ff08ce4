/*
 * identity.pml: one slot, three nodes, and a third node whose directory is
 * wiped, copied, moved or rolled back (lockd/node: memory.go, handshake.go).
 * README.md says what is left out, and which windows stay open.
 *
 * Nodes 0 and 1 are well. Acceptor 2 is node 2 on its first directory; acceptor
 * 3 is node 2 on another: a copy, or a fresh one with a disk id of its own.
 *
 * run holds copied                  -O -DCOPIED
 * run deep copied-three-ballots      -DCOPIED -DMAXB=3 -DRESTARTS=2
 * run holds wiped                   -DWIPED
 * run holds replaced                -DWIPED -DREPLACED
 * run deep replaced-three-ballots    -DWIPED -DREPLACED -DMAXB=3
 * run fails wiped-admitted          I1 -DWIPED -DWIPED_ADMITTED
 * run fails catch-up-cures          I1 -DWIPED -DWIPED_ADMITTED -DCATCH_UP_CURES
 * run fails counted-by-node         I1 -DWIPED -DREPLACED -DCOUNTED_BY_NODE
 * run fails rolled-back-admitted    I1 -DCOPIED -DNO_POSITION -DNO_COUNT -DNO_MARK
 * run fails rolled-back-admitted    I7 -DCOPIED -DNO_POSITION -DNO_COUNT -DNO_MARK
 * run fails position-ignored        I1 -DCOPIED -DNO_POSITION
 * run fails count-ignored           I1 -DCOPIED -DRESTARTS=2 -DNO_COUNT
 * run fails mark-ignored            I1 -DCOPIED -DNO_MARK
 * run fails peers-forget            I1 -DCOPIED -DPEERS_FORGET
 * run fails grows-alone             I7 -DCOPIED -DGROWS_ALONE
 * run fails refused-goes-on         I7 -DCOPIED -DREFUSED_GOES_ON
 * run open unheard                  I1 -DCOPIED -DUNHEARD
 * run open refused-starts-again     I7 -DCOPIED -DREFUSED_STARTS_AGAIN
 * run reached copy-refused          -DCOPIED -DREACH_COPY_REFUSED
 * run reached move-admitted         -O -DCOPIED -DREACH_MOVE_ADMITTED
 * run reached restart-admitted      -DCOPIED -DREACH_RESTART_ADMITTED
 * run reached new-disk-chooses      -DWIPED -DREPLACED -DREACH_NEW_DISK_CHOOSES
 */

#ifndef MAXB
#define MAXB 2
#endif
/* How often the first directory is started again. What is remembered of starts
 * and positions plays no part where no directory is a copy. */
#ifdef WIPED
#define RESTARTS 0
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif

#define I1 1
#define I7 7
#ifndef ONLY
#define ONLY 0
#endif
#define must(inv, holds) assert((ONLY != 0 && ONLY != inv) || (holds))

/* Acceptors 2 and 3 are one node: they share a bit. */
#define OWNER(b) (((b) + 1) % 2)
#define BIT(n)   ((n) > 1 -> 4 : 1 << (n))
#define MAJ(set) ((set) == 3 || (set) >= 5)

byte promised[4];
byte acc[4];
/* Of acceptors 2 and 3: does it run, how many records its log has synced, how
 * often its directory was started, and the mark of this start. */
bool up[4];
byte pos[4];
byte starts[4];
byte mark[4];
byte marks = 1; /* no mark is drawn twice */
/* The copy that acceptor 3 starts from, 0 taken while nothing was copied. */
bool taken;
byte copyPromised;
byte copyAcc;
byte copyPos;
byte copyStarts;
bool moved;  /* the original stopped before it was copied, and for good */
bool begun;  /* acceptor 3 was started */
bool stopped; /* the original never runs again */
byte restarts;
bool refused;
/* What nodes 0 and 1 remember of node 2, and whom they are linked with. */
byte heardPos[2];
byte heardStarts[2];
byte heardMark[2];
byte link[2];

byte prom[MAXB + 1];
byte best[MAXB + 1];
byte val[MAXB + 1];
byte accd[MAXB + 1];
byte chosen;

/* counts says whether an acceptor is in the configuration of the slot. Node 2
 * stands in it with its first disk, or with the fresh one if REPLACED. */
#ifdef COUNTED_BY_NODE
#define COUNTS(n) true
#else
#ifdef WIPED
#ifdef WIPED_ADMITTED
#define COUNTS(n) true
#else
#ifdef REPLACED
#define COUNTS(n) (n != 2)
#else
#define COUNTS(n) (n != 3)
#endif
#endif
#else
#define COUNTS(n) true
#endif
#endif

/* forgetful: acceptor 3 lacks something that acceptor 2 had said. */
#define FORGETFUL(n) (n == 3 && !moved)
#ifdef COPIED
#define DISOWN(n) must(I7, !FORGETFUL(n))
#else
#define DISOWN(n) skip
#endif

inline countPromise(n, b) {
	if
	:: COUNTS(n) ->
		DISOWN(n);
		if
		:: !MAJ(prom[b]) && acc[n] < b && acc[n] > best[b] -> best[b] = acc[n]
		:: else
		fi;
		prom[b] = prom[b] | BIT(n)
	:: else
	fi
}

inline countAccepted(n, b) {
	if
	:: COUNTS(n) ->
		DISOWN(n);
		accd[b] = accd[b] | BIT(n);
		if
		:: MAJ(accd[b]) ->
			must(I1, chosen == 0 || chosen == val[b]);
			chosen = val[b]
		:: else
		fi
	:: else
	fi
}

/* hear remembers how far the log of the linked node has got. */
inline hear(n, q) {
	if
#ifdef WIPED
	:: true
#else
	:: heardPos[q] < pos[n] -> heardPos[q] = pos[n]
	:: else
#endif
	fi
}

/* REFUSES is what a node finds when node 2 comes from directory n. */
#ifdef NO_POSITION
#define FORGOT(n, q) false
#else
#define FORGOT(n, q) (pos[n] < heardPos[q])
#endif
#ifdef NO_COUNT
#define OLDER(n, q) false
#else
#define OLDER(n, q) (starts[n] < heardStarts[q])
#endif
#ifdef NO_MARK
#define TWIN(n, q) false
#else
#define TWIN(n, q) (starts[n] == heardStarts[q] && mark[n] != heardMark[q])
#endif
/* A fresh disk has a memory of its own, and so nothing to be compared with. */
#ifdef WIPED
#define REFUSES(n, q) false
#else
#define REFUSES(n, q) (FORGOT(n, q) || OLDER(n, q) || TWIN(n, q))
#endif

#ifdef WIPED
#define GROW(n) skip
#else
#define GROW(n) pos[n]++
#endif

inline hello(n, q) {
	if
	:: REFUSES(n, q) ->
		refused = true;
#ifdef REFUSED_GOES_ON
		link[q] = n
#else
		up[n] = false;
		if :: link[0] == n -> link[0] = 0 :: else fi;
		if :: link[1] == n -> link[1] = 0 :: else fi
#endif
	:: else ->
		link[q] = n;
		heardPos[q] = (heardPos[q] < pos[n] -> pos[n] : heardPos[q]);
		heardStarts[q] = starts[n];
		heardMark[q] = mark[n]
	fi
}

/* begins starts the process on directory n: the count is durable first. */
inline begins(n) {
	up[n] = true;
	starts[n]++;
	mark[n] = marks;
	marks++;
	if :: link[0] == n -> link[0] = 0 :: else fi;
	if :: link[1] == n -> link[1] = 0 :: else fi
}

proctype well(byte n) {
	byte b = n + 1; /* this node's ballot; with three, node 0 has two */
end:	do
	:: d_step { promised[n] < b -> promised[n] = b; countPromise(n, b); skip }
#if MAXB > 2
	:: atomic { n == 0 && b == 1 && promised[n] > 1 -> b = 3 }
#endif
	:: d_step { promised[n] == b && val[b] == 0 && MAJ(prom[b]) ->
		val[b] = (best[b] != 0 -> val[best[b]] : b);
		acc[n] = b; countAccepted(n, b); skip }
#define HEARS(b) \
	:: d_step { OWNER(b) != n && prom[b] != 0 && promised[n] < b -> \
		promised[n] = b; countPromise(n, b); skip } \
	:: d_step { OWNER(b) != n && val[b] != 0 && promised[n] <= b && acc[n] < b -> \
		promised[n] = b; acc[n] = b; countAccepted(n, b); skip }
	HEARS(1) HEARS(2)
#if MAXB > 2
	HEARS(3)
#endif
#ifdef PEERS_FORGET
	:: d_step { link[n] != 0 -> heardPos[n] = 0; heardStarts[n] = 0; heardMark[n] = 0; link[n] = 0 }
#endif
	od
}

/* proctype odd is node 2 on directory n. What it says is heard at once or lost
 * with the link it was said on: a frame that outlives its link is dropped. */
proctype odd(byte n) {
end:	do
#define LINKED(q) \
	:: d_step { up[n] && link[q] != n -> hello(n, q); skip } \
	:: d_step { up[n] && link[q] == n && heardPos[q] < pos[n] -> hear(n, q); skip }
	LINKED(0) LINKED(1)
#define HEARD(b) \
	:: atomic { up[n] && link[OWNER(b)] == n && prom[b] != 0 && promised[n] < b -> \
		promised[n] = b; GROW(n); \
		if :: countPromise(n, b); hear(n, OWNER(b)) :: true fi } \
	:: atomic { up[n] && link[OWNER(b)] == n && val[b] != 0 && promised[n] <= b && \
		acc[n] < b -> \
		promised[n] = b; acc[n] = b; GROW(n); \
		if :: countAccepted(n, b); hear(n, OWNER(b)) :: true fi }
	HEARD(1) HEARD(2)
#if MAXB > 2
	HEARD(3)
#endif
#ifdef GROWS_ALONE
	:: d_step { n == 3 && up[n] && pos[n] < 4 -> pos[n]++ }
#endif
#ifdef REFUSED_STARTS_AGAIN
	:: d_step { n == 3 && refused && !up[n] && begun && starts[n] < 4 -> begins(n); skip }
#endif
	:: d_step { n == 2 && !stopped && restarts < RESTARTS -> restarts++; begins(n); skip }
	:: d_step { n == 2 && !stopped && refused && !up[n] -> stopped = true }
	od
}

/* KNOWN says that node q has heard of the original what a copy lacks: a longer
 * log, or a start that the copy's own will not be above. */
#define KNOWN(q) (heardPos[q] > copyPos || heardStarts[q] > copyStarts)
#ifdef UNHEARD
#define SETTLED true
#else
#define SETTLED (moved || (KNOWN(0) && KNOWN(1)))
#endif

proctype fault() {
#ifdef COPIED
	/* A copy is taken at some moment, and started later: beside the original,
	 * or in its place. */
	if
	:: d_step { up[2] -> taken = true }
	:: d_step { up[2] -> taken = true; moved = true; up[2] = false; stopped = true;
		if :: link[0] == 2 -> link[0] = 0 :: else fi;
		if :: link[1] == 2 -> link[1] = 0 :: else fi; skip }
	fi;
	d_step {
		copyPromised = promised[2]; copyAcc = acc[2];
		copyPos = pos[2]; copyStarts = starts[2]
	};
	d_step {
		SETTLED ->
		promised[3] = copyPromised; acc[3] = copyAcc;
		pos[3] = copyPos; starts[3] = copyStarts;
		begun = true; begins(3); skip
	};
	run odd(3);
	/* The original may end at any time: then the copy is a rollback. */
	d_step { up[2] -> up[2] = false; stopped = true;
		if :: link[0] == 2 -> link[0] = 0 :: else fi;
		if :: link[1] == 2 -> link[1] = 0 :: else fi; skip }
#else
	/* The first directory is gone. The other one is empty. */
	d_step {
#ifndef REPLACED
		up[2] = false; stopped = true;
		if :: link[0] == 2 -> link[0] = 0 :: else fi;
		if :: link[1] == 2 -> link[1] = 0 :: else fi;
#endif
#ifdef CATCH_UP_CURES
		/* It copies what one peer holds: with itself that is a quorum. */
		promised[3] = promised[0]; acc[3] = acc[0];
#endif
		begun = true; begins(3); skip
	};
	run odd(3)
#endif
}

#ifdef REACH_COPY_REFUSED
#define REACH (begun && refused && !up[3] && !moved)
#endif
#ifdef REACH_MOVE_ADMITTED
#define REACH (moved && chosen != 0 && acc[3] != 0 && link[0] == 3)
#endif
#ifdef REACH_RESTART_ADMITTED
#define REACH (restarts == 1 && link[0] == 2 && link[1] == 2 && pos[2] > 1)
#endif
#ifdef REACH_NEW_DISK_CHOOSES
#define REACH (chosen != 0 && (accd[1] == 5 || accd[2] == 6) && acc[2] != 0)
#endif
#ifdef REACH
proctype reach() { REACH -> assert(false) }
#endif

init {
	atomic {
		begins(2);
		run well(0); run well(1); run odd(2); run fault();
#ifdef REACH
		run reach()
#endif
	}
}

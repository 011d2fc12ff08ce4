/*
 * reconfig.pml: one group moves from the acceptors A = {0, 1, 2} to B = {0, 1, 3}
 * and perhaps back, through its own log and ALPHA slots ahead (lockd/paxos:
 * replica.go, election.go, proposer.go; lockd/placement/seats.go;
 * lockd/node/seats.go, hosting.go). README.md says what is left out.
 *
 * As in core.pml, what was said may be heard late, in any order or never. All
 * disks sync at once. Ballot 1 belongs to node 0, ballot 2 to node 1.
 *
 * run holds apart-two-ahead         -DALPHA=2 -DNS=3 -DMOVE_ONLY
 * run holds half-two-ahead          -DALPHA=2 -DNS=3 -DMOVE_ONLY -DHALF
 * run holds apart-there-and-back    -DALPHA=1 -DNS=4
 * run fails one-slot-early          I1 -DALPHA=2 -DNS=3 -DMOVE_ONLY -DONE_SLOT_EARLY
 * run fails one-slot-early          I5 -DALPHA=2 -DNS=3 -DMOVE_ONLY -DONE_SLOT_EARLY
 * run fails window-ignored          I5 -DALPHA=2 -DNS=3 -DMOVE_ONLY -DWINDOW_IGNORED
 * run fails window-ignored          I1 -DALPHA=2 -DNS=3 -DMOVE_ONLY -DWINDOW_IGNORED
 * run fails removed-counted         I5 -DALPHA=2 -DNS=3 -DMOVE_ONLY -DREMOVED_COUNTED
 * run fails removed-counted         I1 -DALPHA=2 -DNS=3 -DMOVE_ONLY -DREMOVED_COUNTED
 * run fails first-quorum-only       I1 -DALPHA=2 -DNS=3 -DMOVE_ONLY -DFIRST_QUORUM_ONLY
 * run fails let-go-unsettled        G3 -DALPHA=1 -DNS=3 -DLET_GO_UNSETTLED
 * run fails promise-left-behind     I1 -DALPHA=1 -DNS=4 -DPROMISE_FORGOTTEN
 * run fails promise-left-behind     I3 -DALPHA=1 -DNS=4 -DPROMISE_FORGOTTEN
 * run fails comes-back-empty        I1 -DALPHA=1 -DNS=3 -DCOMES_BACK_EMPTY
 * run reached new-acceptor-chooses  -DALPHA=2 -DNS=3 -DMOVE_ONLY -DREACH_NEW_ACCEPTOR_CHOOSES
 * run reached between               -DALPHA=2 -DNS=3 -DMOVE_ONLY -DREACH_BETWEEN
 * run reached let-go                -DALPHA=1 -DNS=4 -DREACH_LET_GO
 * run reached back                  -DALPHA=1 -DNS=4 -DREACH_BACK
 */

#ifndef ALPHA
#define ALPHA 2
#endif
#ifndef NS
#define NS 3
#endif
#define MAXB 2

#define I1 1
#define I3 3
#define I5 5
#define G3 103
#ifndef ONLY
#define ONLY 0
#endif
#define must(inv, holds) assert((ONLY != 0 && ONLY != inv) || (holds))

#define OWNER(b)  ((b) - 1)
#define BIT(n)    (1 << (n))
#define AT(x, s)  ((x) * NS + (s) - 1)
/* Sets of acceptors, and whether a set of four holds two: the bits of 65256 are
 * the sets that do. Macros that name an argument often make a search that takes
 * longer to compile than to run. */
#define SETA      7
#define SETB      11
#define TWO(x)    ((65256 >> (x)) & 1)
#define QUORUM(set, of) TWO((set) & (of))

/* Values: the command of a ballot, a no-op, and the steps of the move. */
#define NOOP   3
#define MOVE   4  /* A to B: node 3 has observed, node 2 observes from now on */
#define LETGO  5  /* node 2 is named no more */
#define RETURN 6  /* B to A */

byte promised[4];
byte acc[4 * NS];
/* known: up to where a node knows the log to be chosen, and has applied it. */
byte known[4];
/* Node 2 has left, and what it had accepted is gone. If it is back, a promise
 * it makes is about the slots above floor. */
bool gone;
bool back;
byte floor;

byte prom[MAXB + 1];   /* who promised */
bool above[MAXB + 1];  /* node 2 did so when it was back */
byte best[(MAXB + 1) * NS];
byte val[(MAXB + 1) * NS];
byte accd[(MAXB + 1) * NS];
byte nxt[MAXB + 1];
byte chosen[NS];
byte chosenIn[NS];
/* Scratch: zero between steps. */
byte i, v;

inline tidy() { i = 0; v = 0 }

#define CHOSEN(s)   chosen[(s) - 1]
/* HAS says that a node which knows the log up to k knows of a step in slot s. */
#define HAS(step, s, k) ((s) <= NS && (s) <= (k) && chosen[((s) - 1) % NS] == step)
/* The slot of a step among the first k, 0 for none. The register's version sees
 * to it that a step is taken once: the first one counts. */
#if NS == 3
#define WHERE(step, k) (HAS(step, 1, k) -> 1 : (HAS(step, 2, k) -> 2 : \
	(HAS(step, 3, k) -> 3 : 0)))
#else
#define WHERE(step, k) (HAS(step, 1, k) -> 1 : (HAS(step, 2, k) -> 2 : \
	(HAS(step, 3, k) -> 3 : (HAS(step, 4, k) -> 4 : 0))))
#endif
#ifdef ONE_SLOT_EARLY
#define AHEAD (ALPHA - 1)
#else
#define AHEAD ALPHA
#endif
/* IN says whether a step is in force in slot s by what is known up to k: whether
 * it was taken there, and so many slots ahead. */
#define TAKEN(step, at, s, k, ahead) (HAS(step, at, k) && at + (ahead) <= (s))
#if NS == 3
#define IN(step, s, k, ahead) (TAKEN(step, 1, s, k, ahead) || \
	TAKEN(step, 2, s, k, ahead) || TAKEN(step, 3, s, k, ahead))
#else
#define IN(step, s, k, ahead) (TAKEN(step, 1, s, k, ahead) || \
	TAKEN(step, 2, s, k, ahead) || TAKEN(step, 3, s, k, ahead) || \
	TAKEN(step, 4, s, k, ahead))
#endif
/* CONF is Replica.configOf: the acceptors of slot s as a node knows them. */
#define CONFIG(s, k, ahead) (IN(RETURN, s, k, ahead) -> SETA : \
	(IN(MOVE, s, k, ahead) -> SETB : SETA))
#define CONF(n, s) CONFIG(s, known[n], AHEAD)
#define TRUTH(s)   CONFIG(s, (s) - 1, ALPHA)

/* A promise counts in the configuration of the slot (Replica.promisedTo); that
 * of a node that came back, only for who knows what it has forgotten. */
#ifdef COMES_BACK_EMPTY
#define COUNTED(b, n) prom[b]
#else
#define COUNTED(b, n) (above[b] && known[n] < floor -> prom[b] & ~BIT(2) : prom[b])
#endif
#ifdef FIRST_QUORUM_ONLY
#define PROMISEDTO(b, n, s) (QUORUM(COUNTED(b, n), CONF(n, s)) || nxt[b] > 0)
#else
#define PROMISEDTO(b, n, s) QUORUM(COUNTED(b, n), CONF(n, s))
#endif
#define LEADS(b) (promised[OWNER(b)] == b && (prom[b] & BIT(OWNER(b))))
#define NEXT(b)  (nxt[b] > known[OWNER(b)] + 1 -> nxt[b] : known[OWNER(b)] + 1)
#ifdef WINDOW_IGNORED
#define INWINDOW(b, s) ((s) <= NS)
#else
#define INWINDOW(b, s) ((s) <= NS && (s) <= known[OWNER(b)] + ALPHA)
#endif

/* say is a promise of node n, with a report of all it has accepted. What a slot
 * was proposed with is not changed by reports that come later. */
inline say(n, b) {
	promised[n] = b;
	i = 1;
	do
	:: i <= NS ->
		if
		:: val[AT(b, i)] == 0 && acc[AT(n, i)] < b && acc[AT(n, i)] > best[AT(b, i)] ->
			best[AT(b, i)] = acc[AT(n, i)]
		:: else
		fi;
		i++
	:: else -> break
	od;
	prom[b] = prom[b] | BIT(n);
	if :: n == 2 && back -> above[b] = true :: else fi
}

#ifdef REMOVED_COUNTED
#define ENOUGH(set, of) QUORUM(set, of) || ((set) & BIT(2)) && ((set) & (of) & 11)
#define SENT(n, b, s) true
#else
#define ENOUGH(set, of) QUORUM(set, of)
#define SENT(n, b, s) (CONF(OWNER(b), s) & BIT(n))
#endif

/* accept is an accept of node n, and its leader's count of it. */
inline accept(n, b, s) {
	must(I3, !(b == 1 && (prom[2] & BIT(n))));
	promised[n] = b;
	acc[AT(n, s)] = b;
	accd[AT(b, s)] = accd[AT(b, s)] | BIT(n);
	if
	:: ENOUGH(accd[AT(b, s)], CONF(OWNER(b), s)) ->
		must(I5, QUORUM(accd[AT(b, s)], TRUTH(s)));
		must(I1, CHOSEN(s) == 0 || CHOSEN(s) == val[AT(b, s)]);
		if :: CHOSEN(s) == 0 -> CHOSEN(s) = val[AT(b, s)]; chosenIn[s - 1] = b :: else fi
	:: else
	fi
}
/* HOLDS says that node n holds all slots below the first of B, and has said so in
 * an answer that waited for a sync (peer.durable). */
#define FIRSTB (WHERE(MOVE, NS) + ALPHA)
#define HOLDS(n) (known[n] + 1 >= FIRSTB)
#define SETTLED ((HOLDS(0) + HOLDS(1) + HOLDS(3)) >= 2)
#ifdef LET_GO_UNSETTLED
#define MAYLETGO true
#else
#define MAYLETGO SETTLED
#endif

/* propose puts a value in the next slot: what was found there, a no-op where
 * something was found above, or something new. */
inline propose(c, t, fresh) {
	v = best[AT(c, t)];
	if
	:: v != 0 -> v = val[AT(v, t)]
	:: else ->
		i = t + 1;
		do
		:: i <= NS && best[AT(c, i)] == 0 -> i++
		:: else -> break
		od;
		v = (i <= NS -> NOOP : fresh)
	fi;
	val[AT(c, t)] = v;
	nxt[c] = t + 1;
	accept(OWNER(c), c, t)
}

/* Steps of the move, by what the leader knows (placement.Next, Node.reseat): one
 * is in force before the next is proposed. */
#define KNOWS(n, step) (WHERE(step, known[n]) != 0)
#define INFORCE(n, step) (KNOWS(n, step) && known[n] + 1 >= WHERE(step, known[n]) + ALPHA)
#define MOVES(n)   (!KNOWS(n, MOVE))
#ifdef MOVE_ONLY
#define LETSGO(n)  false
#define RETURNS(n) false
#else
#define LETSGO(n)  (INFORCE(n, MOVE) && !KNOWS(n, LETGO) && !KNOWS(n, RETURN) && MAYLETGO)
#define RETURNS(n) (INFORCE(n, MOVE) && INFORCE(n, LETGO) && !KNOWS(n, RETURN) && \
	back && known[2] >= floor)
#endif

#define PROPOSE(b, s, may, what) \
	:: d_step { LEADS(b) && NEXT(b) == s && INWINDOW(b, s) && \
		PROMISEDTO(b, OWNER(b), s) && (CONF(OWNER(b), s) & BIT(OWNER(b))) && (may) -> \
		propose(b, s, what); tidy() }
/* What ballot 1 begins with is the move; without it this is core.pml. Ballot 2 has
 * no successor that could miss what it begins: unless ANYONE moves, it goes on. */
#ifdef ANYONE
#define MOVER(b) true
#else
#define MOVER(b) ((b) == 1)
#endif
#define PROPOSES(b, s) \
	PROPOSE(b, s, !(MOVER(b) && MOVES(OWNER(b)) && s == 1), b) \
	PROPOSE(b, s, MOVER(b) && MOVES(OWNER(b)) && s == 1, MOVE) \
	PROPOSE(b, s, MOVER(b) && LETSGO(OWNER(b)), LETGO) \
	PROPOSE(b, s, MOVER(b) && RETURNS(OWNER(b)), RETURN)

proctype proposer(byte b) {
end:	do
	:: d_step { promised[OWNER(b)] < b -> say(OWNER(b), b); tidy() }
	PROPOSES(b, 1) PROPOSES(b, 2) PROPOSES(b, 3)
#if NS > 3
	PROPOSES(b, 4)
#endif
	od
}

/* Nodes 0 and 1 may be cut off from each other: then both lead for long, and what
 * either sees of the other comes through nodes 2 and 3. HALF: node 1 hears node 0. */
#ifdef TOGETHER
#define LINKED(n, b) true
#else
#ifdef HALF
#define LINKED(n, b) ((n) > 0)
#else
#define LINKED(n, b) ((n) > 1)
#endif
#endif
#define HERE(n) ((n) != 2 || !gone || back)
#define HEAR(n, b, s) \
	:: d_step { HERE(n) && OWNER(b) != n && LINKED(n, b) && val[AT(b, s)] != 0 && SENT(n, b, s) && \
		promised[n] <= b && acc[AT(n, s)] < b -> accept(n, b, s); tidy() }
#if NS > 3
#define HEARS(n, b) HEAR(n, b, 1) HEAR(n, b, 2) HEAR(n, b, 3) HEAR(n, b, 4)
#else
#define HEARS(n, b) HEAR(n, b, 1) HEAR(n, b, 2) HEAR(n, b, 3)
#endif
#define PREPARED(n, b) \
	:: d_step { HERE(n) && OWNER(b) != n && LINKED(n, b) && \
		(prom[b] & BIT(OWNER(b))) && promised[n] < b -> \
		say(n, b); tidy() }

/* Who does not lead learns only for what hangs on it: settling and returning. */
#ifdef MOVE_ONLY
#define LEARNS(n) ((n) < 2)
#else
#define LEARNS(n) true
#endif

proctype acceptor(byte n) {
end:	do
	PREPARED(n, 1) PREPARED(n, 2)
	HEARS(n, 1) HEARS(n, 2)
	/* What is chosen can be learned from any peer that has it; the entry is kept
	 * like one that was accepted (Replica.learned). */
	:: d_step { HERE(n) && LEARNS(n) && known[n] < NS && chosen[known[n] % NS] != 0 ->
		v = chosenIn[known[n]];
		if :: acc[n * NS + known[n]] < v -> acc[n * NS + known[n]] = v :: else fi;
		if :: promised[n] < v -> promised[n] = v :: else fi;
		known[n]++; tidy() }
	od
}

/* leaver is node 2 when it is let go (Node.retire) and when it is spoken to once
 * more (Node.takeIn): a leader that was overtaken may not know that it left. */
proctype leaver() {
end:	do
	:: d_step { !gone && WHERE(LETGO, NS) != 0 ->
		must(G3, SETTLED);
		gone = true;
		floor = FIRSTB - 1;
		known[2] = 0;
		i = 1;
		do
		:: i <= NS -> acc[AT(2, i)] = 0; i++
		:: else -> break
		od;
#ifdef PROMISE_FORGOTTEN
		promised[2] = 0;
#endif
		tidy() }
	:: d_step { gone && !back -> back = true }
	od
}

#ifdef REACH_NEW_ACCEPTOR_CHOOSES
#define REACH (chosen[2] != 0 && (accd[AT(1, 3)] & BIT(3)) && !(accd[AT(1, 3)] & BIT(1)))
#endif
/* A leader has the promises of one configuration and not yet of the other. */
#ifdef REACH_BETWEEN
#define REACH (LEADS(2) && nxt[2] == 3 && known[1] >= 1 && \
	QUORUM(prom[2], SETA) && !QUORUM(prom[2], SETB) && CONF(1, 3) == SETB)
#endif
#ifdef REACH_LET_GO
#define REACH (gone && chosen[2] != 0 && chosenIn[2] == 2 && chosenIn[0] == 1)
#endif
#ifdef REACH_BACK
#define REACH (back && chosen[3] != 0 && (accd[AT(1, 4)] & BIT(2)))
#endif
#ifdef REACH
proctype reach() { REACH -> assert(false) }
#endif

init {
	atomic {
		run proposer(1); run proposer(2);
		run acceptor(0); run acceptor(1); run acceptor(2); run acceptor(3);
#ifndef MOVE_ONLY
		run leaver();
#endif
#ifdef REACH
		run reach()
#endif
	}
}

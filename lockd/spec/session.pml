/*
 * session.pml: log time, one session of one group, the leaders that move its
 * time and the client that believes in it (lockd/node/logtime.go, leadership.go,
 * loop.go; lockfsm/session.go; client/session.go, core.go). README.md says what
 * is left out.
 *
 * Time is told by how long ago things were, so it has no end. All node clocks
 * gain, and the client's loses, at most one unit in any DRIFT.
 *
 * run holds one-renewal             -O -DWINDOW=2 -DCREDIT
 * run holds two-renewals            -O -DREQUESTS=2
 * run holds passes-on               -DPROMPT -DREQUESTS=2 -DWINDOW=2
 * run fails tick-uncapped           I20 -DTICK_UNCAPPED
 * run fails expire-before-renew     I20 -DEXPIRE_FIRST
 * run fails gap-counted             I20 -DGAP_COUNTED -DCREDIT
 * run fails lease-without-step      I21 -DLEASE_WITHOUT_STEP
 * run fails expiry-from-memory      I21 -DEXPIRY_FROM_MEMORY
 * run fails answered-at-once        I25 -DANSWERED_AT_ONCE
 * run fails answered-at-once        I21 -DANSWERED_AT_ONCE
 * run fails counts-from-receive     I25 -DCOUNTS_FROM_RECEIVE
 * run fails drift-ignored           I25 -DDRIFT_IGNORED
 * run fails drift-taken-once        I25 -DDRIFT_TAKEN_ONCE
 * run fails client-clock-stops      I25 -DCLIENT_CLOCK_STOPS
 * run fails clock-from-promises     I21 -DCLOCK_FROM_PROMISES
 * run fails clock-from-promises     I20 -DCLOCK_FROM_PROMISES -DCREDIT
 * run fails clock-before-news       I21 -DCLOCK_BEFORE_NEWS
 * run fails rearmed                 G7 -DPROMPT -DREARMED
 * run fails renewals-kept           G7 -DPROMPT -DRENEWALS_KEPT
 * run fails no-idle-steps           G7 -DPROMPT -DNO_IDLE_STEPS
 * run reached ends                  -DREACH_ENDS
 * run reached late-step             -DREACH_LATE_STEP
 * run reached renewed-in-time       -DREACH_RENEWED_IN_TIME
 * run reached believes-to-the-end   -DREACH_BELIEVES_TO_THE_END
 */

/* The lease in log time, CAP of them a step at most, and the drift. LEAST is the
 * least true time in which the fastest clock counts a lease; SPAN is what the
 * client makes of a lease: lease * (1 - 2 * drift). The margin is left out. */
#ifndef LEASE
#define LEASE 3
#endif
#ifndef REQUESTS
#define REQUESTS 1
#endif
#define DRIFT 3
#define CAP   2
#if LEASE == 3
#define LEAST 2
#else
#define LEAST 4
#endif
#ifdef DRIFT_IGNORED
#define SPAN LEASE
#else
#ifdef DRIFT_TAKEN_ONCE
#define SPAN (LEASE - LEASE / DRIFT)
#else
#define SPAN (LEASE - 2 * LEASE / DRIFT)
#endif
#endif
/* How many slots may be proposed and not chosen. */
#ifndef WINDOW
#define WINDOW 1
#endif
/* Counters stop where more makes no difference. */
#define MOST   (CAP + 1)
#define SPENT  (WINDOW * CAP + CAP)
#define CEIL(x, m) ((x) < (m) -> (x) : (m))

#define I20 20
#define I21 21
#define I25 25
#define G7  7
#ifndef ONLY
#define ONLY 0
#endif
#define must(inv, holds) assert((ONLY != 0 && ONLY != inv) || (holds))

/* A node's role. One that was overtaken does not know it at once. */
#define PASSIVE 0
#define TAKING  1  /* a quorum promised; what was found is not chosen yet */
#define SERVING 2
byte role[2] = { SERVING, PASSIVE };
byte top;       /* whose ballot is the highest that a quorum promised */
/* clk: what a node's clock counted since its last step (group.lastTick). */
byte clk[2];
#ifdef CLOCK_BEFORE_NEWS
byte readAt[2];
bool reading[2];
#endif
#ifdef EXPIRY_FROM_MEMORY
byte memory[2];
#endif

/* The log above what is chosen: how long a step, and whom it renews. */
byte slots;
byte delta[WINDOW];
byte names[WINDOW];

/* Requests of the client: to open its session, or to renew it. */
#define FREE    0
#define SENT    1  /* on the way to a node, or in its inbox */
#define TAKEN   2  /* among the node's renewals, or in its batch */
#define NAMED   3  /* in a slot */
#define APPLIED 4  /* the answer is on its way */
byte st[REQUESTS];
byte to[REQUESTS];
byte age[REQUESTS];     /* true time since it was sent */
byte counted[REQUESTS]; /* the same on the client's clock */

/* The machine: is the session there, and how far is its deadline. */
#define NONE  0
#define ALIVE 1
#define ENDED 2
byte session;
byte left;
/* The client: does it know its session, and how long will it believe in it. */
bool knows;
byte believes;
/* Seen from outside: how long ago the newest renewal that counts was sent, how
 * much time passed under a leader and was not counted, how lately a clock was
 * off. */
byte since;
byte credit;
byte gained;
byte lost;
#ifdef PROMPT
bool dead;
byte deadFor;
byte changes;
byte vacant;
#define FAILOVER 2
#define MAXCHANGES 2
#define BOUND (LEASE + 2 + FAILOVER * changes)
#endif
#ifdef REACH_LATE_STEP
bool late;
#endif
/* Scratch: zero between steps. */
byte i, d, k, named;

inline tidy() { i = 0; d = 0; k = 0; named = 0 }

inline free(r) { st[r] = FREE; to[r] = 0; age[r] = 0; counted[r] = 0 }

inline ended() {
	must(I21, since >= LEAST);
	must(I25, believes == 0);
	session = ENDED
}

/* applyTick is lockfsm.Machine.tick, and what follows in the batch: advance,
 * renew, expire, then the commands of the same slot. */
inline applyTick() {
#ifdef TICK_UNCAPPED
	d = delta[0];
#else
	d = CEIL(delta[0], CAP);
#endif
	must(I20, d <= CAP);
#ifdef CREDIT
	must(I20, d <= credit);
	credit = (d <= credit -> credit - d : 0);
#endif
	left = (d < left -> left - d : 0);
	named = (session == ALIVE && names[0] != 0);
#ifdef EXPIRE_FIRST
	if :: session == ALIVE && left == 0 -> must(I20, !named); ended() :: else fi;
#endif
	i = 0;
	do
	:: i < REQUESTS ->
		if
		:: (names[0] & (1 << i)) && session != ENDED ->
			session = ALIVE;
			left = LEASE;
			since = CEIL(age[i], since);
			st[i] = APPLIED
		:: (names[0] & (1 << i)) && session == ENDED -> free(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
#ifdef EXPIRY_FROM_MEMORY
	if :: named -> memory[top] = LEASE :: else fi;
#else
	if :: session == ALIVE && left == 0 -> ended() :: else fi;
#endif
	drop(0)
}

/* drop takes a slot out of the queue; who was named in it is answered or not. */
inline drop(s) {
#if WINDOW > 1
	if
	:: s == 0 ->
		delta[0] = delta[1]; names[0] = names[1]
	:: else
	fi;
#endif
	delta[WINDOW - 1] = 0; names[WINDOW - 1] = 0;
	slots--
}

/* forget frees the requests in a set: their answers will never come. */
inline forget(set) {
	i = 0;
	do
	:: i < REQUESTS -> if :: (set) & (1 << i) -> free(i) :: else fi; i++
	:: else -> break
	od
}

inline take(n, r) {
	st[r] = TAKEN;
#ifdef ANSWERED_AT_ONCE
	if
	:: session == ALIVE -> since = CEIL(age[r], since); st[r] = APPLIED
	:: else
	fi;
#endif
	skip
}

/* put appends a slot of node n (Node.proposeTick) with all it has taken. Only
 * what reaches the leader that a quorum promised can be chosen: the slots of an
 * overtaken leader are found by the next one while that takes over, or never. */
inline put(n, length) {
	k = 0;
	i = 0;
	do
	:: i < REQUESTS ->
		if :: st[i] == TAKEN && to[i] == n -> st[i] = NAMED; k = k | (1 << i) :: else fi;
		i++
	:: else -> break
	od;
	if
	:: n == top || (role[top] == TAKING && slots < WINDOW) ->
		delta[slots] = length; names[slots] = k;
		slots++
	:: else -> forget(k)
	fi
}

/* propose is a time step with what waits. A slot that starts a lease has one. */
inline propose(n) {
#ifdef REACH_LATE_STEP
	if :: n != top && role[top] == TAKING -> late = true :: else fi;
#endif
#ifdef CLOCK_BEFORE_NEWS
	put(n, readAt[n]);
	clk[n] = clk[n] - readAt[n];
	readAt[n] = 0; reading[n] = false
#else
	put(n, clk[n]);
	clk[n] = 0
#endif
}

/* abandon is what a node does that leads no more (Node.abandon). */
inline abandon(n) {
	role[n] = PASSIVE;
#ifndef GAP_COUNTED
	clk[n] = 0;
#endif
#ifdef CLOCK_BEFORE_NEWS
	readAt[n] = 0; reading[n] = false;
#endif
#ifndef RENEWALS_KEPT
	i = 0;
	do
	:: i < REQUESTS -> if :: st[i] == TAKEN && to[i] == n -> free(i) :: else fi; i++
	:: else -> break
	od
#endif
}

/* promised: a quorum promised node n's ballot. Each slot that was not chosen is
 * found by it or not; a gap is a no-op. */
inline promised(n, keep0, keep1) {
#ifdef PROMPT
	changes++;
	abandon(top);
#endif
	if :: role[n] != PASSIVE -> abandon(n) :: else fi;
	top = n;
	role[n] = TAKING;
#ifdef CLOCK_FROM_PROMISES
	clk[n] = 0;
#endif
#if WINDOW > 1
	if :: slots == 2 && !(keep1) -> k = names[1]; forget(k); drop(1) :: else fi;
#endif
	if :: slots > 0 && !(keep0) -> k = names[0]; forget(k); drop(0) :: else fi
}

/* serve: all that was found is chosen and applied. */
inline serve(n) {
	role[n] = SERVING;
#ifndef CLOCK_FROM_PROMISES
#ifndef GAP_COUNTED
	clk[n] = 0;
#endif
#endif
#ifdef EXPIRY_FROM_MEMORY
	memory[n] = left;
#endif
#ifdef REARMED
	if :: session == ALIVE -> left = LEASE :: else fi;
#endif
	skip
}

#ifdef GAP_COUNTED
#define COUNTS(n) true
#else
#ifdef CLOCK_FROM_PROMISES
#define COUNTS(n) (role[n] != PASSIVE)
#else
#define COUNTS(n) (role[n] == SERVING)
#endif
#endif

inline older(r, slow) {
	if
	:: st[r] != FREE ->
		age[r] = CEIL(age[r] + 1, LEAST);
		counted[r] = CEIL(counted[r] + 1 - (slow), SPAN)
	:: else
	fi
}

/* pass lets a unit of true time go by. Node clocks count it as one or as two, the
 * client's as one or as none. A node may count less: its time is then behind. */
inline pass(gain, lose) {
	d = 1 + gain;
	gained = (gain -> 1 : CEIL(gained + 1, DRIFT));
	lost = (lose -> 1 : CEIL(lost + 1, DRIFT));
	if :: COUNTS(0) -> clk[0] = CEIL(clk[0] + d, MOST) :: else fi;
	if :: COUNTS(1) -> clk[1] = CEIL(clk[1] + d, MOST) :: else fi;
#ifdef EXPIRY_FROM_MEMORY
	memory[0] = (memory[0] > d -> memory[0] - d : 0);
	memory[1] = (memory[1] > d -> memory[1] - d : 0);
#endif
#ifdef CREDIT
	if
	:: role[0] == SERVING || role[1] == SERVING -> credit = CEIL(credit + d, SPENT)
	:: else
	fi;
#endif
	since = CEIL(since + 1, LEAST);
	if :: believes > 0 && !(lose) -> believes-- :: else fi;
	older(0, lose);
#if REQUESTS > 1
	older(1, lose);
#endif
#ifdef PROMPT
	vacant = (role[top] == SERVING -> 0 : vacant + 1);
	if
	:: dead ->
		deadFor++;
		must(G7, session != ALIVE || deadFor <= BOUND)
	:: else
	fi;
#endif
	skip
}

#ifdef PROMPT
/* What can be done within a unit of time is done: steps are proposed and chosen,
 * a vacancy ends. Frames that wait longer were lost. */
#define WAITS(r) (st[r] == SENT || (st[r] == TAKEN && role[to[r]] == SERVING))
#ifdef NO_IDLE_STEPS
#define DUE (st[0] == TAKEN || st[REQUESTS - 1] == TAKEN)
#else
#define DUE (clk[top] > 0)
#endif
#define MAYPASS (dead && slots == 0 && !WAITS(0) && !WAITS(REQUESTS - 1) && \
	(role[top] == SERVING -> !DUE : vacant < FAILOVER))
#define MAYCHANGE (changes < MAXCHANGES)
#else
#define MAYPASS true
#define MAYCHANGE true
#endif

proctype clocks() {
end:	do
	:: d_step { session != ENDED && MAYPASS -> pass(0, 0); tidy() }
	:: d_step { session != ENDED && MAYPASS && gained == DRIFT -> pass(1, 0); tidy() }
	:: d_step { session != ENDED && MAYPASS && lost == DRIFT -> pass(0, 1); tidy() }
	:: d_step { session != ENDED && MAYPASS && gained == DRIFT && lost == DRIFT -> pass(1, 1); tidy() }
#ifdef CLIENT_CLOCK_STOPS
	:: d_step { session != ENDED && MAYPASS -> pass(0, 1); tidy() }
#endif
#ifdef PROMPT
	:: d_step { !dead && session == ALIVE -> dead = true }
#endif
	od
}

/* NAMES says that node n has taken something that is to stand in a slot. */
#define HAS(n, r) (st[r] == TAKEN && to[r] == n)
#if REQUESTS > 1
#define NAMES(n) (HAS(n, 0) || HAS(n, 1))
#else
#define NAMES(n) HAS(n, 0)
#endif
#ifdef NO_IDLE_STEPS
#define STEPS(n) NAMES(n)
#else
#define STEPS(n) (NAMES(n) || (session == ALIVE && clk[n] > 0))
#endif
#ifdef CLOCK_BEFORE_NEWS
#define READ(n) reading[n]
#else
#define READ(n) true
#endif

proctype leader(byte n) {
end:	do
	/* A quorum's promises can be had at any time. */
#define PROMISED(keep0, keep1) \
	:: d_step { session != ENDED && n != top && MAYCHANGE -> promised(n, keep0, keep1); tidy() }
	PROMISED(true, true)
	PROMISED(false, true)
#if WINDOW > 1
	PROMISED(true, false)
	PROMISED(false, false)
#endif
	:: d_step { role[n] == TAKING && n == top && slots == 0 -> serve(n) }
	/* An overtaken leader hears of it, or misses its quorum, some time. */
	:: d_step { session != ENDED && role[n] != PASSIVE && n != top -> abandon(n); tidy() }
#ifdef CLOCK_BEFORE_NEWS
	:: d_step { session != ENDED && role[n] == SERVING && !reading[n] ->
		reading[n] = true; readAt[n] = clk[n] }
#endif
#define TAKE(r) \
	:: d_step { session != ENDED && role[n] == SERVING && READ(n) && st[r] == SENT && \
		to[r] == n -> take(n, r); tidy() }
	TAKE(0)
#if REQUESTS > 1
	TAKE(1)
#endif
	:: d_step { session != ENDED && role[n] == SERVING && READ(n) && STEPS(n) &&
		(n != top || slots < WINDOW) -> propose(n); tidy() }
#ifdef LEASE_WITHOUT_STEP
	:: d_step { session == NONE && role[n] == SERVING && NAMES(n) && n == top &&
		slots < WINDOW -> put(n, 0); tidy() }
#endif
#ifdef EXPIRY_FROM_MEMORY
	:: d_step { session == ALIVE && role[n] == SERVING && memory[n] == 0 -> ended() }
#endif
	:: d_step { n == top && session != ENDED && slots > 0 ->
		applyTick(); tidy() }
	od
}

/* believe: a renewal is worth its span from when it was sent. */
inline believe(r) {
	knows = true;
#ifdef COUNTS_FROM_RECEIVE
	d = SPAN;
#else
	d = SPAN - counted[r];
#endif
	believes = (d > believes -> d : believes);
	must(I25, session != ENDED || believes == 0);
	free(r)
}

#ifdef PROMPT
#define SENDS(n) (!dead)
#else
#define SENDS(n) true
#endif
proctype client() {
end:	do
#define REQUEST(r) \
	:: d_step { session != ENDED && SENDS(0) && st[r] == FREE -> st[r] = SENT; to[r] = 0 } \
	:: d_step { session != ENDED && SENDS(1) && st[r] == FREE -> st[r] = SENT; to[r] = 1 } \
	:: d_step { st[r] == SENT || st[r] == APPLIED -> free(r) } \
	:: d_step { st[r] == APPLIED -> believe(r); tidy() }
	REQUEST(0)
#if REQUESTS > 1
	REQUEST(1)
#endif
	od
}

#ifdef REACH_ENDS
#define REACH (session == ENDED && knows)
#endif
#ifdef REACH_LATE_STEP
#define REACH (late && session == ENDED)
#endif
#ifdef REACH_RENEWED_IN_TIME
#define REACH (knows && session == ALIVE && left == LEASE && since == LEAST)
#endif
#ifdef REACH_BELIEVES_TO_THE_END
#define REACH (session == ALIVE && believes > 0 && left == 1)
#endif
#ifdef REACH
proctype reach() { REACH -> assert(false) }
#endif

init {
	atomic {
		gained = DRIFT; lost = DRIFT;
		since = LEAST;
		run clocks(); run leader(0); run leader(1); run client();
#ifdef REACH
		run reach()
#endif
	}
}

// Package wire decides what clients and nodes, and nodes and nodes, say to each
// other, byte by byte. It is pure: it neither reads sockets nor looks at clocks.
// Clients in other languages are written against this page and the annotated
// frames in testdata/wire.
//
// All numbers are little-endian. A name, a text and an address are a u16 length
// and that many bytes, without a terminator. Reserved bytes are written as zero
// and refused otherwise. A body ends with its last field.
//
// Encoders append a whole frame to a buffer. Decoders copy nothing: what they
// return borrows the body and is valid as long as that. They allocate only for
// the lists of Welcome and of payloads. No bytes make them panic, and
// no count makes them allocate more than the body that carries it (I26).
//
// # Client frames
//
// Every frame has a header of 16 bytes:
//
//	length u32   bytes after this field: 12 and more, frame ≤ 64 KiB by default
//	kind u8 | flags u8 | group u16 | request u64
//
// The client chooses request, never the same twice in one session and never
// zero; a response carries that of its request. Group is the one that owns the
// name (see below), or zero where no group is meant.
//
//	client to node          body
//	  1 Hello               "LKD1" | version u16 | least version u16 |
//	                        features u64 | nonce [16] | client name
//	  2 OpenSession         nonce [16] | epoch u32 | lease ms u32 | client name
//	  3 CloseSession        session u64 | epoch u32
//	  4 Acquire             session u64 | epoch u32 | time to live ms u32 |
//	                        mode u8 | weight u8 | name
//	  5 Release             session u64 | token u64 | epoch u32 | 0 u16 | name
//	  6 Cancel              session u64 | target u64 | epoch u32 | 0 u16 | name
//	  7 RenewHold           session u64 | token u64 | ttl ms u32 | 0 u16 | name
//	  8 Keepalive           n u16 | n × (group u16 | session u64)
//	  9 Get                 name
//	 10 List                limit u16 | prefix | after
//	 11 Status              nothing
//	 12 Take                session u64 | epoch u32 | time to live ms u32 |
//	                        permits u32 | capacity u32 | weight u8 | 0 u8 | name
//	 13 Enter               session u64 | owner u64 | epoch u32 | mode u8 |
//	                        weight u8 | name
//	 14 Leave               session u64 | token u64 | target u64 | epoch u32 |
//	                        0 u16 | name
//	 17 Ask                 session u64 | owner u64 | epoch u32 |
//	                        time to live ms u32 | permits u32 | capacity u32 |
//	                        kind u8 | mode u8 | weight u8 | 0 u8 | terms | name
//	 18 Amend               session u64 | target u64 | token u64 | epoch u32 |
//	                        terms | name
//	node to client
//	128 Welcome             version u16 | node u16 | groups u16 | nodes u16 |
//	                        cluster u64 | features u64 | frame bytes u32 |
//	                        in flight u32 | least lease ms u32 | most lease ms u32 |
//	                        name bytes u16 | payload bytes u16 | 0 u32 |
//	                        groups × leader u16 | nodes × (node u16 | address) |
//	                        from version 3 on: least hold ms u32 |
//	                        most hold ms u32 | data bytes u32
//	129 Refused             code u8 | 0 u8 | text; then the node closes
//	130 Response            token u64 | slot u64 | leader u16 | position u16 |
//	                        retry ms u16 | status u8 | 0 u8 | payload to the end
//	131 KeepaliveAck        n u16 | n × (group u16 | session u64 | code u8)
//	132 Moved               leader u16
//	133 Lost                session u64 | token u64 | reason u32 | 0 u16 | name
//	134 SessionLost         session u64 | reason u8
//
// Flags of Acquire and Take: 1 wait, 2 detached, 4 details, 8 version 2; Enter has
// no detached. Release, Cancel and RenewHold repeat detached, Get and List have
// version 2. Modes: 0 NL, 1 CR, 2 CW, 3 PR, 4 PW, 5 EX. Statuses, codes,
// reasons and refusals are in status.go and hello.go; all such numbers are
// append-only.
//
// The payload of a Response with StatusNotLeader is the address at which clients
// dial the leader it names, if that is known.
//
// Payloads of a Response with StatusOK, and of StatusHeld where details were
// asked for (Get, Acquire), of List and of Status:
//
//	LockInfo    holders u32 | waiters u32 | name |
//	            n u16 | n × (session u64 | token u64 | held ms u64 |
//	                         lease left ms u32 | mode u8 | 0 u8 | client name) |
//	            n u16 | n × (session u64 | waited ms u64 | mode u8 | weight u8 |
//	                         client name)
//	ListPage    more u8 | 0 u8 |
//	            n u16 | n × (token u64 | held ms u64 | holders u32 | waiters u32 |
//	                         mode u8 | 0 u8 | name | client name)
//	NodeStatus  cluster u64 | uptime ms u64 | durable u64 | node u16 | 0 u16 |
//	            build | n u16 | n × (round u64 | chosen u64 | applied u64 |
//	            sessions u32 | locks u32 | waiters u32 | group u16 |
//	            ballot node u16 | leader u16 | role u8 | 0 [5])
//
// # Version 2
//
// Version 2 has Take, Enter and Leave, the flag 8, and the statuses from 22 on.
// They are used only on a conn whose Welcome says version 2. A Get, a List and an
// Acquire with the flag, every Take and every Enter are answered as version 2
// does, with these payloads:
//
//	LockInfo    as above, with capacity u32 | taken u32 before name, and
//	            permits u32 | depth u32 | owner u64 before every client name
//	ListPage    as above, with capacity u32 | taken u32 before every name
//
// Capacity is zero for a lock with modes. In version 1 permits look like holds in
// mode NL, and OtherKind like BadRequest.
//
// # Version 3
//
// Version 3 has the kinds from 15 on. They are used only on a conn whose Welcome
// says version 3, and refused as Unsupported as long as a node of the cluster does
// not know it; but CheckTokens, FindSession, Chase and those from 22 to 26, which no
// log has to say, are answered by every leader that knows them.
//
//	15 Convert             session u64 | token u64 | target u64 | epoch u32 |
//	                       mode u8 | 0 u8 | name
//	16 GiveBack            session u64 | token u64 | target u64 | epoch u32 |
//	                       0 u16 | name
//	19 Force               token u64 | client name | reason text | name
//	20 AcquireAll          session u64 | owner u64 | epoch u32 | weight u8 |
//	                       0 u8 | terms | n u16 | n × (mode u8 | name)
//	21 ReleaseAll          session u64 | token u64 | target u64 | epoch u32
//	22 Watch               from u64 | session u64 | target u64 | scope u8 | 0 u8 |
//	                       name
//	23 Unwatch             target u64
//	24 Why                 session u64 | target u64 | mode u8 | 0 u8 | name
//	25 Top                 limit u16
//	26 Seen                total u64
//	28 Await, 29 CountDown, 30 SetGate, 31 ResetGate
//	                        session u64 | done u64 | epoch u32 | count u32 |
//	                        time to live ms u32 | gate u8 | 0 u8 | name
//	32 CheckTokens         n u16 | n × (token u64 | name)
//	33 FindSession         nonce [16] | after u64
//	34 LetGo               session u64 | epoch u32 | grace ms u32
//	35 Chase               scope u8 | 0 u8 | after u32 | n u16 | n × flow
//	                       flow: client u64 | owner u64
//	36 History             from ms u64 | to ms u64 | block u64 | index u32 |
//	                       limit u16 | name
//
//	135 Watched            slot u64 | token u64 | session u64 | held ms u64 |
//	                       data u64 | holders u32 | waiters u32 | capacity u32 | taken u32 |
//	                       change u8 | mode u8 | name | client name
//	136 WatchSynced        slot u64 | phase u8 | 0 u8
//	137 Waiting            slot u64 | Blockage
//
// Payloads of Responses with StatusOK to CheckTokens, FindSession, Why, Top, Chase and
// History:
//
//	TokenStates   n u16 | n × (newest u64 | standing u8 | 0 u8)
//	SessionClaims session u64 | epoch u32 | lease ms u32 | more u8 | 0 u8 |
//	              n u16 | n × (request u64 | token u64 | owner u64 |
//	              permits u32 | capacity u32 | mode u8 |
//	              flags u8 (1: max hold, 2: of several) | name)
//	Blockage      position u32 | samples u32 | usual ms u32 | estimate ms u32 |
//	              LockInfo as in version 3
//	TopPage       n u16 | n × (score u32 | waits u64 | refusals u64 | usual ms u32 |
//	              name)
//	HistoryPage   now ms u64 | block u64 | index u32 | flags u8 (1: damaged) | 0 u8 |
//	              n u16 | n × (after slot u64 | to slot u64 | after ms u64 | to ms u64 |
//	              about ms u32) |
//	              n u16 | n × (slot u64 | index u16 | how u8 | flags u8 | mode u8 | to u8 |
//	              permits u32 | session u64 | token u64 | owner u64 | start ms u64 |
//	              end ms u64 | start about ms u32 | end about ms u32 |
//	              client name | who | reason text)
//	Chased        next u32 | n u16 | n × (flow | session u64 | request u64 |
//	              group u16 | weight u8 | near u8 | client name | name |
//	              n u16 | n × (flow | session u64 | request u64 | token u64))
//
// Convert turns a hold, with all that its owner entered, into another mode; the
// flags are those of Acquire. Target is the request id of the Acquire or Enter, and
// token that of the hold or one that it had before. What gets along with a hold in
// the old mode gets along with it in a mode that is no stronger: to that it is
// converted at once and keeps its token. Otherwise it keeps the old mode until all
// other holders agree with the new and no earlier Convert waits; the answer is
// OK with the new token, larger than all before. A client has one Convert of a hold
// open at a time: a second is refused with OtherMode. Deadlock: another Convert waits
// for this hold; the token is that of its hold. Cancel names the Convert as it
// does an Acquire; cancelled, the old mode stays. Who gives back a hold that waits to be
// converted has the Convert answered with NotHolder. Semaphores are refused with
// OtherKind; detached holds are only converted to modes that are no stronger, never
// with wait. GiveBack is what Release and Leave are, for a hold of which a Convert was sent:
// it needs no newer token.
//
// AcquireAll, with the flags 1, 4 and 32, asks for 1 to 64 names of the group, which
// ascend by their bytes, in a mode each. They are granted together or not at all. The
// token of the Response is that of the first name, and each name after it has the
// next number. In a refusal for one of them position is its number, from 0, and
// the payload of Held, where details were asked for, is about it. A Cancel names
// the first. Each name is given back by a Release with its token, or what is left
// of them by a ReleaseAll that names the AcquireAll and its token. An owner, zero for
// none, says who waits with it, and who has what it grants, where circles are looked for
// (flag 32, Chase). It enters nothing: what the owner has already is in the way like
// anything else, and an Enter of the owner waits behind what the AcquireAll has. A
// SessionClaims tells no owner of it, since no Leave gives it back. The terms, as an Ask
// has them, are those of each name: a max hold ends all at one moment, and a Lost tells
// each, by its token.
//
// The flag 32 of an Acquire, Take or Enter, of an Ask that is one, of an AcquireAll and of
// a Convert says together with wait that its owner gives nothing back until it has the
// answer. The owner of an Acquire or Take, and of an AcquireAll that names none, is the
// client, with all it has that names no owner; that of a Convert is the owner of the hold.
// If the request would wait in a circle of owners of the group who have all said so, it is
// refused with Deadlock at once, with this payload; the token is that of its first step. A
// refusal is not kept: the request sent again is looked at anew. Circles over several
// groups the clients find: see Chase.
//
//	Circle      count u16 | n u16 | n × (session u64 | owner u64 | token u64 |
//	            client name | name)
//
// The owner of a session waits for name, where the hold with token, of the owner of
// the next step, is in the way; token is zero if that only waits before it. The
// first step is the request, and after the last comes the first. Count is of all
// steps, of which the first 32 are listed.
//
// Force ends the hold with that token, whoever has it, with all that its owner
// entered, be it detached or kept; of several names it ends that one. It belongs to
// no session. The reason, 1 to 256 bytes of UTF-8, and the name that the client gives
// itself are for the nodes' logs. The holder is told by a Lost; it has the lock no
// more, as a Release, CheckTokens and all others say. NotHolder: no present hold has
// the token; that of the answer is the largest one of a present hold, zero if nobody
// holds the lock. A gate is refused with OtherKind; what stands of it can be reset. A
// Force sent again when the first had its effect is answered NotHolder, so one whose
// earlier send may have been executed has its effect either way. A client that comes
// to a group on another conn asks with CheckTokens whether what it holds still stands.
//
// CheckTokens asks of 1 to 1000 tokens, whose names all belong to the group, which
// are those of present holds: standing is 1 for them and else 0. Newest is the
// largest token of a present hold of the name, zero if nobody holds it. A hold whose
// session has ended is not present. The answer is about the first tokens asked
// about, in order, at least one; who wants the others asks again. It is as
// fresh as that to a Get.
//
// FindSession asks for the session that was opened with a nonce, for a client that
// was started again and has kept it; NotFound if there is none, or it has ended. The
// epoch is the highest that it has seen, the claims are its holds and waits in
// the order in which they were granted or asked for; token is zero for a wait. After
// is the request of the last claim of the page before, or zero. Who takes a session
// over opens it again with its nonce, its lease and an epoch well above, and numbers its
// requests above all of before: whatever another process that still uses the session
// sends is then refused with StaleEpoch, which tells that process that it has lost it.
// What that one had under way before may have changed what there is: so it is asked for
// again then, and with CheckTokens once the client goes by it, as after any new conn.
//
// Chase asks which requests with the flag 32 of up to 64 owners wait, and for what. The
// client of a flow is the first half of the nonces of its sessions: a client draws
// those 8 bytes once, for its sessions in all groups, and others are told them; the other
// half is its secret. Scope 0 asks a node, in no group, for the groups that it leads:
// what it says was so at some moment before. Scope 1 asks a group, and the answer is as
// fresh as that to a Get. In the way of a wait, which is one of up to 32, are up to 16
// holds beside which it cannot be granted, whatever the others do, each with its token,
// and requests with the flag 32 that go first, with token zero, as far as they are
// stopped by what would not stop it. An AcquireAll is a wait for each name at which
// something is in its way. The last near of those in the way of a wait are AcquireAlls
// with which it gets along: it waits until they are in turn for its name, and for nothing
// of what they wait for elsewhere. If next is not zero there was no room for all: the same
// question with that as after is answered with what follows. Whose request with the
// flag waits for long looks for a circle so: what it waits for, what the owners of that
// wait for, and so on. The victim of a circle is the wait of the least weight; of
// several with that the one whose rank (below) is the largest; of equal ones that of
// the largest group, then session, then request. So a client passes by all waits that
// would be the victim instead of its own, and a circle is found by its victim only. It
// then asks each group of the circle again, with scope 1: if the same requests still
// wait with the same in their way, the circle stood between the two. It cancels its
// request, and has no deadlock if it was granted meanwhile.
//
//	rank        h = mix(group), h = mix(h xor session), h = mix(h xor request);
//	            mix(z): z += 9e3779b97f4a7c15, z ^= z>>30, z *= bf58476d1ce4e5b9,
//	            z ^= z>>27, z *= 94d049bb133111eb, z ^= z>>31
//
// LetGo says that its session is to be let go when this conn ends: then the leader of
// the group has the log end it, as if its lease had run out, grace later, unless it is
// renewed before or the client has come back with a higher epoch. It holds for the
// conn on which it is said, and for as long as that node leads; a client says it on
// every conn to which it attaches the group. Who uses it counts no more than grace
// from the send of a renewal that was answered, if that is less than the lease.
//
// An Ask is an Acquire, a Take or an Enter (kind 4, 12 or 13, with its flags) that
// has more to say; what its kind does not have is zero. An Amend changes the data
// of a hold; one whose request id is not larger than that of one which has had its
// effect has none, and is answered OK, so that a retry counts once.
//
//	terms       fields u16 (1: payload, 2: labels, 4: max hold, 8: min hold,
//	            16: delay, 32: value) | length u16 | payload | length u16 | labels |
//	            max hold ms u32 | min hold ms u32 | delay ms u32 | length u16 |
//	            value, each if it is there; no times in an Amend, a value only there
//	labels      n u8 | n × (length u8 | key | length u8 | value), keys ascending
//
// The flag 16 of Acquire, Take, Enter, Ask, Get, List and Status asks for an answer as
// version 3 gives it; all kinds of version 3 are answered so:
//
//	LockInfo    as in version 2, with number u32 | gate u8 | flags u8 before name,
//	            flags u8 | length u16 | payload | length u16 | labels behind the
//	            client name of every holder, and LockValue at the end if the flag 1
//	            before name is set
//	LockValue   token u64 | flags u8 (1: doubtful) | length u16 | value
//	ListPage    as in version 2, with number u32 | gate u8 | flags u8 before every name
//	NodeStatus  as above, with flags u8 (1: draining) | 0 u8 behind node
//
// Number is what is left of the count of a latch or how many a barrier wants. What
// stands of a gate is its only holder, of no session: a latch that has a count, an
// event that is set, with a lease of ffffffff if it has no end. Flags of a holder: 1
// its data is left out, because the answer has no room; 2 the hold is over and is
// kept for its min hold or delay, until its lease is over. The flags in a ListPage are
// of the first holder: 2, and 4 it is detached. Neither has a client name. Where there
// are no flags, the session of what is kept tells: its two highest bits, and its token.
//
// A hold that is given back before it is as old as its min hold, and one with a
// delay that ended with its session or its own time, is kept: the lock stays taken
// as it was, and nobody can renew it or give it back.
//
// A hold with a max hold ends when it is that old, as one does whose lease ran out,
// whatever was renewed; a Lost with the reason 4 says so. All Enters of an owner say
// the same max hold: another is OtherMode. A client that was granted the lock at once
// counts from the send. If it may have waited, it cannot know since when it holds, and
// asks: a CheckTokens with the flag 4 is answered with TokenStates that have left ms
// u32 after each state, which is how long the hold may last, all ones for no max
// hold. The client counts that from when it sent the question.
//
// A lock with modes may have a value, of 1 to 4096 bytes, which outlives its holders:
// a Get finds a name that has one and is held by nobody. A hold in PW or EX writes it
// by an Amend of that term, an empty one takes it away; in another mode it is refused
// with NotWriter. Token is that of the hold that wrote it. It is doubtful if, since it
// was written, a hold that could have written it has ended otherwise than by being given
// back. The flag 64 of an Acquire or Enter, and of an Ask that is one, with the flag 16,
// asks for the LockValue as the payload of the Response with which it is granted, as it
// was in the slot of that; without a value all of it is zero.
//
// The four at a gate belong to a session. Gates: 1 latch, 2 event, 3 barrier. An
// Await has the flag 1 wait or not, with a barrier always; it is answered OK when the
// gate lets it through, with a token that tells openings apart (zero if nothing had
// to open), or Broken. Count is, of an Await, how many the barrier wants, which all
// who wait there say alike; of a CountDown and of the SetGate of a latch what is
// counted; and else zero. Time to live is of a SetGate, zero for ever. The token of
// the answer to a CountDown is what is left, as is that of AlreadySet.
//
// What has taken effect at a gate is found by session and request id when it is
// retried, as long as the node keeps its answer: that is until a request at a gate
// of the same session comes whose done is above it. Done is at most the request id of
// its frame; a client that numbers in ascending order says the lowest of its open
// requests at gates. A Cancel of a request that was let through is answered
// AlreadyGranted, and there is nothing to give back.
//
// # Watches
//
// A Watch is answered at its end, and until then by pushes with its request id.
// Scope 0 is one lock: a Watched says how it stands as of a slot, first when the
// Watch begins (unless the group has not come further than from), then whenever that
// has changed. A client that is slow misses what came between, never what is last.
// Change says what happened: 1 nothing, 2 acquired, 3 released, 4 expired, 5 anything
// else, 6 ended by force; token, session, mode and client are those of the newest hold, and
// data is a hash of its payload and labels and the value of the lock, zero if there is
// none.
//
// Scope 1 is all names of a group that begin so; a client asks all groups. It is
// framed by two WatchSynced: between phase 1 and phase 2 all names in use are told,
// and what changes meanwhile; a name the client knows and was not told by phase 2 is
// free as of its slot. The node begins anew when it could not keep what changed.
//
// Scope 2 is one request, target, that session has in the queue: a Waiting says what
// it waits for, when its position or the first holder has become another, a few
// times a second at most. Of an AcquireAll, whose first name the Watch has, it is about
// the first name at which something is in the way, which it says; each name beyond the
// first counts as a watch, and if there is no room for them it is told of the first only.
//
// Slots rise from push to push of one lock, over changes of leaders too, if the client
// asks the next leader when it hears Moved or the conn ends. A Watch of the same
// request on the same conn takes the place of the first. An Unwatch is answered with
// OK, its target with Cancelled. After 512 pushes that it has not Seen, or less, a conn is
// told nothing more; Seen says how many pushes the client has taken on the conn so
// far. It is answered only with Busy, and is then to be sent again. A node has
// 8192 watches at most, a conn 2048, a group 256 of scope 1; one more is
// TooManyWaiters. They do not count as requests in flight. CheckTokens and a Chase of a
// group are taken while 16 more are in flight than Welcome says.
//
// Why asks for the position of a request and what is before it or, with target zero,
// of one in that mode that came now: for one permit of a semaphore, to wait at a gate. A
// Waiting leaves the data of holders out, and both leave out the value. Usual is the
// middle one of the lengths of up to eight holds, estimate what that makes of the
// queue; both are all ones if unknown.
// Top asks a node, in no group, for the names of its groups that were waited for or
// refused most; the score counts those and is halved every minute.
//
// History asks a node, in no group, which holds of a name it knows that ended and of which
// some part lies between from and to, both included; newest first. It is answered by every
// node that keeps a history, whether or not it keeps the group now, out of what it
// wrote down itself; one that keeps none answers NotFound, one that is asked too much at a
// time Busy. Times are in ms since 1970, by the clock of the node when the end was applied
// there; an about says by how much the moment may be later than is said, all ones that
// it may be earlier by any length. If block is not zero the answer goes on: the same
// question with that block and index is answered with what follows. Spans are the slots
// of the group, above after and up to to, of which the node knows all that ended, at most
// the 64 newest: what lies between two it does not know. Slot and index name a hold of a
// group, on all nodes alike, so what several nodes say is merged by them. How: 1 released,
// 2 session closed, 3 session expired or let go with its conn, 4 its time to live was
// over, 5 its max hold was, 6 forced, 7 converted to the mode to, 8 what had stayed taken
// came free. Flags: 1 detached, 2 what ended was over and stayed taken, 4 the lock stays
// taken after it, 8 it had been converted before, and begins with its first grant.
// Holds that stand are not in it: a Get before it tells them.
//
// # Rules of the conversation
//
//  1. Greeting. The client sends Hello first, and nothing else before Welcome.
//     The node speaks the newest version both know, or sends Refused. A greeting
//     of a newer version may carry more fields at its end; a side that does not
//     know them skips them.
//  2. Requests may be pipelined. Those of one group on one conn are executed in
//     the order in which they were sent; their responses may come in any order,
//     and those of a waiting Acquire much later. Each request has one response.
//  3. Leaders. NotLeader: not executed here. Uncertain: proposed or queued when
//     the node stopped leading, so perhaps executed. Moved: the same for all
//     requests of a group in flight on the conn. After any of the three the node
//     answers no earlier request of that group on that conn with another
//     status. The client raises the epoch of the group and sends what is open
//     again, in order, to the leader.
//  4. Epochs. A client keeps one epoch per group and sends a request at most
//     once in it, unless it was refused as Busy. A command with a lower epoch than
//     its session has seen is refused as StaleEpoch, so that what is delayed on
//     an old conn cannot be executed any more. A retried Acquire finds its hold
//     or its place by session and request id, a Release its end by its token.
//  5. Giving up. Cancel answers Cancelled, and then the target will never be
//     granted, or AlreadyGranted with the token, which is then to be released.
//     In one epoch no target is sent after its Cancel, not even one that was
//     Busy: the nodes remember no Cancel, and would execute it.
//  6. Leases. A session is renewed by a Keepalive that names it. Each group
//     answers when its log has the renewal; one Keepalive may so have several
//     acks, each with the request id of the Keepalive. The client counts the
//     lease from when it sent the Keepalive that is answered, the nodes from
//     when it was applied. A Keepalive of no sessions is a ping: it is answered
//     at once by a KeepaliveAck of none.
//  7. Detached holds. Session is an owner id with its highest bit set, which
//     the client draws at random; session ids never have that bit. Epochs do
//     not apply to them.
//  8. Pushes (Moved, Lost, SessionLost) have request zero. Lost says that one
//     hold ended unasked, SessionLost that a session did with all its holds.
//  9. Kinds. A name in use is a lock with modes or a semaphore of one capacity,
//     which every Take names. What takes it for anything else is refused with
//     OtherKind, whose token is the capacity in force. An owner that has a lock
//     enters it again at once, with the same token, and gives back each Enter by
//     a Leave that names it. A retried Leave finds its end by that, as a retried
//     Release does. In another mode an owner is refused with OtherMode. As long as
//     a node of the cluster does not know version 2, Take, Enter and Leave are
//     refused as Unsupported.
//
// # Groups
//
// The group of a name: FNV-1a with 64 bits over tenant, one zero byte and name;
// then h ^= h>>33, h *= ff51afd7ed558ccd, h ^= h>>33, h *= c4ceb9fe1a85ec53,
// h ^= h>>33; then modulo the number of groups. Vectors, as tenant, name, hash
// and group of 64:
//
//	""      "a"          60de25dbfdce3954  20
//	""      "orders/42"  bc6e6f9cdd0f554a  10
//	""      "nightly"    2f130fab279f851d  29
//	"acme"  "orders/42"  b6ed4484803031be  62
//	""      "é" (UTF-8)  54aea08274287627  39
//
// # Peer frames
//
// Every frame has a header of 9 bytes; it is at most 8 MiB:
//
//	length u32   bytes after this field
//	kind u8 | CRC-32C u32 of kind and payload
//
//	1 PeerHello        "LKP1" | version u16 | least version u16 | features u64 |
//	                   cluster u64 | settings u64 | disk u64 | durable u64 |
//	                   roster u64 | starts u64 | start u64 | record u64 |
//	                   from u16 | to u16 | nonce [16] | proof [32]
//	2 PeerWelcome      the same, of the side that was dialed
//	3 PeerRefused      code u8 | 0 u8 | text; then the link is closed
//	4 PeerProof        proof [32]
//	5 PeerMessages     messages of the groups, as lockd/node encodes them
//	6 PeerRoster       opaque here
//	7 PeerSnapshot     opaque here
//	8 PeerSnapshotAck  opaque here
//	9 PeerRecord       opaque here
//	10 PeerSeats       opaque here
//	11 PeerChange      opaque here
//	12 PeerChanged     opaque here
//
// The node that dials sends PeerHello, the other PeerWelcome with the proof that
// answers the nonce of the PeerHello, the first PeerProof that answers the nonce
// of the PeerWelcome. Without a cluster secret proofs are zero, and the PeerProof is
// sent all the same. What a proof covers is netio's to say. The highest bit of features
// says that its sender, who has a secret, knows verdicts: if both know them, the PeerProof
// is answered by a PeerProof of zeros, which gives the link, or a PeerRefused. A side
// without that bit has the link once its proof is sent, and is refused on it. Where there
// is a secret a PeerRefused counts only from one who has proved that it knows it: the node
// that dials sends its PeerProof right after one that it means to be believed.
package wire

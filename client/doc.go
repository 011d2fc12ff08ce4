// Package client is the Go client of lockd. It imports the standard library and
// lockd/netio/wire, nothing else.
//
//	c, err := client.Dial(ctx, []string{"127.0.0.1:7600"}, client.Options{Name: "billing"})
//	h, err := c.Lock(ctx, "orders/42")
//	defer h.Unlock(context.WithoutCancel(ctx))
//
// # What there is
//
//	one lock                    Client.Lock, TryLock, LockWith, Do, DoWith, LockAsync, LockAgain
//	readers and writers         Client.RWMutex, Held.Convert; all six modes: LockOptions.Mode
//	entered again by an owner   LockOptions.Owner
//	some of so many permits     Client.Semaphore
//	several locks, all or none  Client.LockAll, TryLockAll
//	who leads                   Client.Election
//	to wait, and hold nothing   Client.Latch, Event, Barrier
//	held without a client       Client.TryDetached, Held.Renew, Client.FindDetached
//	times of a hold             LockOptions.MaxHold, MinHold, LockDelay
//	times of a client           Options.Lease, Heartbeat, ReleaseOnDisconnect
//	over a restart              Options.SessionFile, Client.Resumed, ReleaseOnExit
//	is it still mine            Held.Valid, SafeUntil, Lost, Context
//	for what a lock guards      Held.Token, Client.CheckToken; package fence
//	what others see of a hold   LockOptions.Payload, Labels; what stays: Held.SetValue
//	who holds it, who waits     Client.Get, List, Locks, Why, Top; LockOptions.OnWait
//	who held it then            Client.History
//	what becomes of it          Client.Watch, WatchAndLock
//	to end somebody else's      Client.ForceRelease
//	whom I am in a circle with  LockOptions.Detect, DeadlockError
//	nodes in a test             package locktest
//
// # What a caller can rely on
//
// A context governs a call, never the life of a hold. A Held is a value that can
// be passed between goroutines; it ends by Unlock or by being lost. It is lost
// when the client could not renew its session within the lease: Lost is closed
// and Context ends before the nodes can grant the lock to anybody else, as long
// as the clocks of this machine and of the nodes each keep to true time within
// Options.Drift and this process gets to run. Where that is not enough, ask
// Valid, which looks at the clock, and hand Token to what the lock guards: it
// should refuse a smaller token than it has seen. That is safe always.
//
// Conns that break and leaders that move are not errors. A Lock that waits goes
// on waiting, and keeps its place in the queue as long as the client's session
// lives; if the session was lost it queues anew. Every error matches one of the Err
// variables below, or both the error and the cause of the caller's context; the latter
// matches ErrUnavailable too, and says what is wrong at each address, if no leader could
// have answered. An
// outcome that is not known is never guessed: the request is sent again until it is,
// and if the caller has gone by then, a lock found granted is given back.
//
// A lock can be made re-entrant for an owner (LockOptions.Owner), and a name can
// be a semaphore (Client.Semaphore). The nodes count both, and only as often as
// was asked: a request that is sent again finds what it did before. An owner who does
// one thing at a time can say so (LockOptions.Detect, and for several locks or another
// mode LockAllOptions and ConvertOptions), and is told if it would wait in a circle of
// such owners, be it a request that is sent again. A group knows its own
// names only: for a circle through several groups the client of one that waits for
// long asks the nodes, and what it finds it asks again, so that it is certain.
//
// A client that is started again can go on with the locks of the one before
// (Options.SessionFile, Client.Resumed). Its file has the secret by which the nodes
// find a session; it opens that with an epoch far above what the session has seen.
// What an older process says in it is refused from then on (a stale epoch), which is how
// that learns that its locks are lost. On one machine the file is locked while its
// client runs, so there is no older process. With a copy of the file elsewhere
// there may be: until its first request is refused it believes in the same holds,
// with the same tokens. So do not copy the file.
//
// At a latch, an event and a barrier (Client.Latch, Client.Event, Client.Barrier)
// one waits and holds nothing. They live in the cluster, not in a client.
//
// What is made by a Client (an RWMutex, a Semaphore, an Election, a Latch, an Event, a
// Barrier) belongs to it: the use of a zero value panics. A Held, a HeldAll or a Leadership
// that was never granted, zero or nil, is as one that was given back: what can fail of
// it fails with ErrUnlocked. What only tells something takes a zero one, not nil.
//
// # For who brings his own loop
//
// Core is the client without sockets, goroutines and clocks: it is stepped with
// calls, bytes and time. The simulator runs it as it is. A program that uses locks
// needs neither it nor what belongs to it alone:
//
//	Call, ConnID, Core, CoreConfig, Instant, LostHold, NewConn, NewCore,
//	NewPrefixView, NewView, Place, Ready, State with its values, View
//
// These speak the types of lockd/netio/wire, and may change with any version of
// lockd. Nothing else that is exported here mentions that package.
//
// # How it works
//
// Client is the loop round a Core: a main loop for time, and a reader and a writer
// per conn, all in loop.go.
//
//	call.go      requests, the table that finds them by id
//	core.go      Start, Abandon, Tick, Close
//	route.go     conns, leaders, epochs, signs of life
//	debt.go      answers that a conn owes a group that has left it
//	session.go   sessions, keepalives, leases
//	gatecall.go  calls at latches, events and barriers
//	deadlock.go  circles of owners who wait
//	chase.go     how those over several groups are found
//	exchange.go  bytes out, bytes in, what an answer means
//	direct.go    questions to one node
//	view.go      what watches are told
//
// Callers append to the output of a conn under one short lock; the writer takes
// all of it with one write, after yielding once if it is little, so that
// callers who are about to run join in. The reader hands everything that came to
// the Core and then wakes everybody at once. Once warm nothing is allocated per
// request but the Held; LockAsync needs not even that.
//
// # Invariants
//
//   - A request is sent at most once per group and epoch, but for refusals as
//     busy. The epoch of a group rises whenever the group is attached to a conn.
//   - An answer counts only if it answers the last send of its request. It does
//     not say which send that is, only its conn does; so a request is not sent
//     on a conn that may still answer an earlier send of it. A group that comes
//     back to such a conn has it closed and dialed anew (debt.go). Otherwise a
//     refusal of the first send could end a call whose second is granted later:
//     a lock that nobody knows to hold. Moved answers nothing: what crossed it on
//     the way may yet be executed.
//   - A lease counts from the send of the renewal that was answered, and twice
//     Drift less than the nodes were asked for: each side may be off by once.
//   - An Acquire that waits and whose caller is gone is followed by a Cancel until
//     that is answered or the session is over; a try is let end. What either
//     turns out to have been granted is released.
//   - Queues are bounded by MaxInFlight; so is the output of a conn.
package client

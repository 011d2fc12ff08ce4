// Package sim runs whole clusters of real nodes in one goroutine, on a clock, a
// network and disks that a seed decides about, breaks them in every way the
// fault matrix of the reliability document names, and lets the checkers of
// package check judge from outside what nodes and clients did.
//
// What runs is the code of production: lockd/node with paxos and lockfsm below
// it, and wal on a simulated disk. What is simulated is what a node touches
// through its small interfaces: time, links, conns, the moment at which a sync
// completes, and the store of checkpoints.
//
// A World is made from a seed. It first breaks things and then heals them: in
// the first part nothing wrong may happen, in the second everything right must.
// The same seed gives the same run, event by event; its trace hash says so.
//
//	options.go   what a seed decides: sizes, limits, which fault classes are on
//	repeat.go    the command that runs the same world again
//	world.go     the run; time.go and agenda the order of events; clock.go, dice.go
//	site.go      a place where a node lives: disk, clock, crashes and starts
//	process.go   one life of a node, and what it touches; log.go, store.go
//	flush.go     how the log writes: the world goes on between two operations of
//	             the disk
//	link.go      between nodes; conn.go between clients and nodes
//	client.go    a client that follows the epoch rule; hear.go what it is told,
//	             tasks.go what it wants
//	coreclient.go, corework.go
//	             the client of production, stepped by the world; coretasks.go what
//	             it does with holds, corelife.go how it dies and goes on
//	register.go  what locks guard: it refuses a smaller token than it has seen
//	faults.go    what goes wrong; diskfaults.go with disks, shapes.go with the
//	             network; heal.go what must then become right
//	gap.go       what acceptors who are new, or have come back, do not hear of
//	episodes.go  one question of liveness at a time; prober.go asks
//	crowd.go     very many sessions that end together
//	told.go      what nodes say of themselves, and of what is wanted most
//	search.go    what clients saw, for a search blind to slots
//	bounds.go    how large things may become; coverage.go what a run reached
//	rows.go      which of that shows which row of the fault matrix
//
// Faults stay within a budget: a minority of the disks may be lost, each in a
// way that is to be noticed. Safety must hold throughout. A node that stops by
// itself must name a fault that was done to it, or the run fails.
//
// No node has a wall clock, so there is none to jump: a node knows only the
// moments that its turns are handed, and a test looks that it asks for no other.
//
// Package run is the command. Command capacity has a world of its own, without
// faults, where work takes time.
package sim

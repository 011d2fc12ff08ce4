// Package node is the engine room of one process: all its groups, the clients
// who wait for them, and the turn that deals with everything that has happened
// since the last one.
//
// A turn walks one way:
//
//	take      everything in the inbox, in order of arrival
//	share     each conn is served its share, the rest waits  share.go
//	admit     requests become commands of their group's next batch; a question
//	          joins its group's list of reads            admit.go reads.go
//	step      messages of peers go to the replicas       turn.go
//	durable   what waited for a sync is let go           append.go
//	clock     protocol ticks, the beat of log time       logtime.go
//	work      each group that was touched proposes all it has in one slot,
//	          gives its records to the WAL and its messages to the peers, applies
//	          what was chosen, and answers               group.go apply.go
//	tell      watches hear what has changed                watch.go tell.go why.go
//	finish    one frame per peer, one sync, one write per conn
//
// Batches are whatever arrived while earlier ones were on their way; there is
// no timer and no count. What depends on a record waits in the held queue until
// the WAL has synced it (I4), the node's own promise and accept included.
//
// The node knows neither sockets nor Pebble nor the wall clock. It declares what
// it needs in deps.go, and main, or the simulator, connects it. It owns no
// goroutine but that of the protocol clock in loop.go; turns run wherever news
// come from, one at a time.
//
// Before the first turn stand recover.go, which collects what the directory
// remembers, and catchup.go, which applies the end of the log on all cores.
//
// A Node is steppable and belongs to whoever runs the turn; Inbox and Status may
// be used from any goroutine.
package node

// Package verify tries a cluster that runs: it puts load on locks of its own,
// injects faults, writes down what every caller was told and when, and has package
// check judge that. It is what lockd verify does.
//
// It is a user of the cluster like any other: everything goes through ordinary
// Clients, several of them, so that there are several sessions, and through names
// below a prefix that nobody else has. What is theirs is given back at the end,
// however that comes.
//
//	options.go  what a run is told, Validate
//	run.go      one run from the first conn to the report
//	worker.go   callers: what they do, and how an answer becomes an operation
//	record.go   holds and what was promised of them
//	line.go     the conns of a client, which can be cut and stalled
//	probe.go    how long each group keeps callers waiting
//	faults.go   which fault is injected when, and healed
//	health.go   when the cluster is well
//	file.go     a history as lines of JSON
//	report.go   what came of it
//
// # What is believed of an answer
//
// Only what the client's documentation promises. An error that leaves open what
// happened is an operation without an outcome. A hold that was lost is held until
// the latest SafeUntil that its caller has seen, read so that it is never later
// than promised. An Acquire during whose time its client lost a conn may have been
// granted unheard in a session that then ended, as well as what it was told in the
// next. Time is one clock for all, which goes on while the machine is suspended.
//
// After the load everybody has given back what he had, so nobody holds a lock or waits
// for one for longer than leases last: what is taken still has leaked.
//
// # Faults
//
// One at a time. A fault that is over is healed and the cluster is well again
// before the next begins; if it does not get well none follows. Who calls Run brings
// the faults that need more than a client, and says which of them are safe.
package verify

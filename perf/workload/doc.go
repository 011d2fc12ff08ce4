// Package workload runs a load against a client and measures it.
//
//	uncontended  each worker locks and unlocks a fresh random key, closed loop, at
//	             once or after a pause
//	async        the same by asynchronous calls, without a goroutine per worker
//	contended    the same on a few shared keys, so that workers queue; each worker
//	             stays with one of them
//	readwrite    the same, some of the pairs only to read
//	semaphore    the same with a few permits of each key
//	open         pairs begin at a fixed rate whether or not earlier ones ended;
//	             latency counts from when a pair should have begun, so a stall
//	             is paid for by all it delayed (no coordinated omission)
//	handoff      two clients pass one lock to and fro: release to grant
//	crowd        many wait for one lock and get it one after another
//	failover     kill -9 of one server after another under load; the gap is the
//	             longest that any caller waited, until a call went well
//	keepalive    clients that hold one lock each and only keep it: CPU, memory
//	memory       locks that stay held: what the servers need for each
//	restart      the same; then all servers are killed and started again
//
// A pair is a lock and its unlock; the time a lock is held on purpose counts in
// neither latency. Workers warm up before anything is recorded. Unfit knows which
// load makes no sense for which target. One process carries a load, or several,
// each a share of it; Merge puts their histograms together.
package workload

// Package workload runs a load against a client and measures it.
//
//	uncontended  each worker locks and unlocks a fresh random key, closed loop
//	async        the same by asynchronous calls, without a goroutine per worker
//	contended    the same on a few shared keys, so that workers queue
//	open         pairs begin at a fixed rate whether or not earlier ones ended;
//	             latency counts from when a pair should have begun, so a stall
//	             is paid for by all it delayed (no coordinated omission)
//	handoff      two clients pass one lock to and fro: release to grant
//	failover     kill -9 of one server after another under load; the gap is the
//	             longest that any caller waited
//
// A pair is a lock and its unlock; the time a lock is held on purpose counts in
// neither latency. Workers warm up before anything is recorded.
package workload

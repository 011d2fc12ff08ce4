// Package paxostest is a small world of paxos replicas for tests: a network
// that carries encoded messages, disks that sync when told to, a machine that
// only folds what was chosen, and a checker outside the replicas.
//
// World moves only when a verb or a draw moves it: Env drives it from the
// scripts in testdata/paxos, Chaos from a seed. Both end in the same checker,
// which sees what no replica sees: what every disk holds. It names the first
// broken invariant and stops there.
//
// A World belongs to one goroutine.
package paxostest

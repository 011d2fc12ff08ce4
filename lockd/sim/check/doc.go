// Package check judges from outside what simulated nodes and clients did. Each
// checker is a small pure type that believes nothing but what it is shown: what
// reached a disk, what left a node, what a client was told, and which value was
// applied where. None shares code with what it checks, beyond the types in
// which that is told.
//
//	Disk     I3 I4 I8 I10  what one node may say, given what it has synced
//	Chosen   I1 I2 I13     one value per slot, chosen by a quorum of disks
//	Model    I14–I20 I22   one group's locks, from the log alone, and what of them
//	                       limits count
//	History  I19 I23 I24   responses against the log and against real time
//	Leases   I21 I25       no session early, no two who believe
//
// A checker returns an error that names the invariant, the place and what it
// saw. The first one ends the run.
package check

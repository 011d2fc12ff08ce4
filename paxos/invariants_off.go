//go:build !invariants

package paxos

// invariantsOn says whether each step is checked at length.
const invariantsOn = false

//go:build invariants

package lockfsm

// checkInvariants makes every Apply end with Validate.
const checkInvariants = true

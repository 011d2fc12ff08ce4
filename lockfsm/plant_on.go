//go:build plant

package lockfsm

// Planted names the bug that this build shall have, so that the tests can be
// tested. It is set before a machine is used and read without lock.
var Planted string

func plantedIs(bug string) bool { return Planted == bug }

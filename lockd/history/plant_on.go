//go:build plant

package history

// Planted names the bug that this build shall have, so that the simulator can be tested. It
// is set before a Store is opened and read without lock.
var Planted string

func plantedIs(bug string) bool { return Planted == bug }

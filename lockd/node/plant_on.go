//go:build plant

package node

// Planted names the defect that is switched on, to prove that the simulator
// finds it.
var Planted string

func plantedIs(name string) bool { return Planted == name }

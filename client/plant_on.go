//go:build plant

package client

// Planted names the bug that is planted, for tests that show that the checkers
// find it; empty for none. Tests set it before they make a Core.
var Planted string

// plantedIs reports whether the named bug is planted.
func plantedIs(name string) bool { return Planted == name }

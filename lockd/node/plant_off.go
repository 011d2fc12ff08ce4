//go:build !plant

package node

// plantedIs reports whether the named defect has been planted. Without the
// plant tag none can be, and the compiler removes the sites.
func plantedIs(string) bool { return false }

//go:build plant

package wal

// Planted names the bug to show. Empty means none. It is set before a Writer
// is opened and not changed while one is in use.
var Planted string

// plantedIs reports whether the bug of that name is planted.
func plantedIs(name string) bool { return Planted == name }

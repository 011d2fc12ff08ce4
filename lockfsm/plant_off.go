//go:build !plant

package lockfsm

func plantedIs(string) bool { return false }

//go:build !plant

package sim

import "errors"

// ErrNotPlantable means that this binary has no planted bugs in it.
var ErrNotPlantable = errors.New("sim: built without -tags plant")

// Plant plants the named bug in the package that has it.
func Plant(string) error { return ErrNotPlantable }

// planted names the bug that is planted now.
func planted() string { return "" }

// Plantings are the bugs that can be planted: none.
func Plantings() []Planting { return nil }

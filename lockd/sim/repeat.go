package sim

import "fmt"

// Short makes a drawn world small enough for a test that runs on each change.
func (o Options) Short() Options {
	o.Shortened = true
	o.Breaking = min(o.Breaking, 8*second)
	o.FaultEvery = min(o.FaultEvery, second)
	return o
}

// Command runs the world of these options again. Requires: Draw made them, and
// nothing but Short and what is off in Faults has changed since.
func (o Options) Command() string {
	tags, more := "invariants", ""
	if name := planted(); name != "" {
		tags += ",plant"
		more += fmt.Sprintf(" -planted %s", name)
	}
	if o.Shortened {
		more += " -short"
	}
	if off := Draw(o.Seed).Faults &^ o.Faults; off != 0 {
		more += fmt.Sprintf(" -without %q", off.String())
	}
	return fmt.Sprintf("go run -tags %s ./lockd/sim/run -seed %d%s", tags, o.Seed, more)
}

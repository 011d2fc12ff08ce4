package sim

import "lockd/lockd/sim/agenda"

// Time is a moment or a length of the world's true time, in nanoseconds.
type Time = agenda.Time

// The usual lengths.
const (
	microsecond = agenda.Microsecond
	millisecond = agenda.Millisecond
	second      = agenda.Second

	never = agenda.Never
)

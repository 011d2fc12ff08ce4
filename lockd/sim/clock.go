package sim

import "lockd/lockd/node"

// maxDrift is how much faster or slower than true time a clock may run if
// promises that rest on clocks are to hold (G6), in millionths. With FaultDrift
// clocks run worse than that, and only what needs no clock is asked for.
const maxDrift = 10_000

// clock is the monotonic clock of a node or a client. It starts anywhere, runs
// a little fast or slow, and stands still while frozen.
type clock struct {
	start node.Nanos
	drift int64 // millionths
	// frozen is the sum of all freezes that have ended; held is when the
	// present one began and thaw when it ends, both zero if there is none.
	frozen, held, thaw Time
}

func newClock(d dice, drift int64) clock {
	return clock{
		start: node.Nanos(d.length(second, 1_000_000*second)),
		drift: d.Int64N(2*drift+1) - drift,
	}
}

// freeze stops the clock from now to then.
func (c *clock) freeze(now, then Time) {
	c.read(now)
	c.held, c.thaw = now, then
}

// wake ends a freeze at now at the latest.
func (c *clock) wake(now Time) { c.thaw = min(c.thaw, now) }

// read is what the clock shows at the true time t, which never goes back.
func (c *clock) read(t Time) node.Nanos {
	if c.thaw != 0 && t >= c.thaw {
		c.frozen += c.thaw - c.held
		c.held, c.thaw = 0, 0
	}
	if c.thaw != 0 {
		t = c.held
	}
	t -= c.frozen
	return c.start + node.Nanos(int64(t)+int64(t)*c.drift/1_000_000)
}

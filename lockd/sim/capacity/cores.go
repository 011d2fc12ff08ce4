package main

// cores are the processors of one machine. Whoever wants some of their time
// waits in line, first come first served, and is never interrupted.
type cores struct {
	agenda *timeline
	wake   Time // from the call for an idle core until it runs
	free   int
	line   []job
	// spent is the time all cores together have worked.
	spent Time
}

// job is a piece of work: begin says how much time it takes, end follows when
// that is over.
type job struct {
	begin func() Time
	end   func()
}

func newCores(a *timeline, count int, wake Time) *cores {
	return &cores{agenda: a, free: count, wake: wake}
}

// run does a job as soon as a core is free. One that sleeps must wake up first;
// one that works goes on with what waits.
func (c *cores) run(begin func() Time, end func()) {
	if c.free == 0 {
		c.line = append(c.line, job{begin, end})
		return
	}
	c.free--
	c.agenda.After(c.agenda.around(c.wake), func() { c.work(job{begin, end}) })
}

func (c *cores) work(j job) {
	took := j.begin()
	c.spent += took
	c.agenda.After(took, func() {
		j.end()
		if len(c.line) == 0 {
			c.line = nil
			c.free++
			return
		}
		next := c.line[0]
		c.line = c.line[1:]
		c.work(next)
	})
}

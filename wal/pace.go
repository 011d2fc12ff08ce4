package wal

import (
	"math/bits"
	"time"
)

const (
	// quickSync is how long a sync takes at most that is as well waited for as handed
	// to another thread, of which the two wake-ups take some 0.1 ms each.
	quickSync = int64(time.Millisecond)
	// stalledSync is a sync after which the disk is not trusted for stalledRest times
	// as long, but no longer than longestRest: a machine that was suspended in a sync
	// says nothing of its disk.
	stalledSync = int64(50 * time.Millisecond)
	stalledRest = 20
	longestRest = int64(10 * time.Minute)
)

// pace remembers how quick the disk was. Single syncs that are slow say nothing,
// because a busy machine has such too; stalls do. The zero pace knows nothing, and
// is not quick.
type pace struct {
	quicks uint16 // one bit of each of the last 16 syncs
	until  int64  // of the clock: not trusted before
}

// note takes in a sync that took so long and ended now.
func (p *pace) note(nanos, now int64) {
	p.quicks <<= 1
	if nanos <= quickSync {
		p.quicks |= 1
	}
	if nanos > stalledSync {
		p.until = max(p.until, now+stalledRest*min(nanos, longestRest/stalledRest))
	}
}

// quick reports whether most syncs are, and the disk has not stalled lately.
func (p *pace) quick(now int64) bool {
	return bits.OnesCount16(p.quicks) > 8 && now >= p.until
}

package history

import (
	"sort"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

const (
	// beatMillis is how far the two clocks may drift apart before it is noted.
	beatMillis = 100
	// settleMillis is for how long the two must have gone together until that counts: long
	// enough that log time which runs ahead would have parted from the wall clock.
	settleMillis = 4 * beatMillis
	// maxClocks bounds what is remembered of a group, carriedClocks what is written
	// anew with each segment.
	maxClocks     = 512
	carriedClocks = 16
)

// sighting is log time beside the clock of turns and the wall clock, as differences
// in milliseconds.
type sighting struct {
	at         lockfsm.Time
	turn, wall int64
}

// near reports whether two sightings belong to one run of log time.
func (s *sighting) near(o *sighting) bool {
	return abs(s.turn-o.turn) <= beatMillis && abs(s.wall-o.wall) <= beatMillis
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

// clocks tell of one group when a log time was. It belongs to the Store.
type clocks struct {
	all []clock // ascending
	// dropped says that there were more, older ones: the segments have them.
	dropped bool
	// settled is the sighting behind the last of all, if isSet: this process has had one.
	settled sighting
	isSet   bool
	// maybe is what may be the next, while settling: it is, once the same is seen
	// settleMillis later. While the node applies what it missed, log time runs ahead of all
	// clocks, and nothing settles.
	maybe    sighting
	settling bool
	// last is the log time of the last sighting, seen of the last that was near settled, and
	// step how far log time went between the last two.
	last, seen, step lockfsm.Time
	found            clock // by the last see that made one
}

// see takes a sighting, and reports whether it makes a new clock, found.
func (c *clocks) see(s sighting) bool {
	if s.at <= c.last {
		return false
	}
	c.step, c.last = s.at-c.last, s.at
	if c.isSet && s.near(&c.settled) {
		c.settling, c.seen = false, s.at
		return false
	}
	if !c.settling || !s.near(&c.maybe) {
		c.maybe, c.settling = s, true
		return false
	}
	if s.at-c.maybe.at < settleMillis {
		return false
	}
	c.found = clock{at: c.maybe.at, offset: c.maybe.wall, seen: c.seen}
	if n := len(c.all); n > 0 {
		c.found.seen = max(c.seen, c.all[n-1].at)
	}
	c.settled, c.isSet, c.settling, c.seen = c.maybe, true, false, s.at
	return true
}

// add takes a clock over, which may have been known. Log time stands at zero from the
// birth of a group until it is used: the later clock of the two is the right one.
func (c *clocks) add(x clock) {
	switch n := len(c.all); {
	case n == 1 && x.at == 0 && c.all[0].at == 0:
		c.all[0].offset = max(c.all[0].offset, x.offset)
		return
	case n > 0 && c.all[n-1].at >= x.at:
		return
	}
	if len(c.all) >= maxClocks {
		c.all, c.dropped = append(c.all[:0], c.all[maxClocks/4:]...), true
	}
	c.all = append(c.all, x)
}

// doubt notes that from a log time on clocks may be missing, which is not before the last.
func (c *clocks) doubt(from lockfsm.Time) {
	n := len(c.all)
	if n == 0 {
		return // all is uncertain as it is
	}
	if x := c.all[n-1]; x.at < from {
		c.add(clock{group: x.group, at: from, offset: x.offset, seen: from})
		n = len(c.all)
	}
	c.all[n-1].unsure = true
}

// reaches reports whether what time it was at a log time is told as well as it can be.
func (c *clocks) reaches(at lockfsm.Time) bool {
	return !c.dropped || len(c.all) == 0 || c.all[0].at <= at
}

// carried are the last clocks.
func (c *clocks) carried() []clock { return c.all[max(0, len(c.all)-carriedClocks):] }

// copied returns clocks that tell the same and belong to the caller.
func (c *clocks) copied() clocks {
	x := *c
	x.all = append([]clock(nil), c.all...)
	return x
}

// doubt says whether the clocks were good when something was noted.
type doubt uint8

const (
	// sure: log time was seen to go with the last clock then.
	sure doubt = iota
	// late: it was noted while the node applied what it had missed, or after log time had
	// stood still.
	late
)

// judge says what is noted at a moment: log time may stand still for a step of it.
func (c *clocks) judge(s sighting) doubt {
	behind := s.turn - c.settled.turn
	if c.isSet && !c.settling && behind >= -beatMillis &&
		behind <= int64(min(c.step, maxStep))+beatMillis {
		return sure
	}
	return late
}

// maxStep is the longest step of log time that passes for one, in milliseconds: two beats
// by default.
const maxStep = 400

// same reports whether one clock stands for two log times.
func (c *clocks) same(a, b lockfsm.Time) bool { return c.index(a) == c.index(b) }

// index returns which clock stands for a log time, -1 for none.
func (c *clocks) index(at lockfsm.Time) int {
	return sort.Search(len(c.all), func(i int) bool { return c.all[i].at > at }) - 1
}

// when returns what time it was at a log time, in milliseconds since 1970, and by how
// much later it may have been; wire.UnknownMillis if it may have been any time before.
// Without any clock it was now at the latest.
func (c *clocks) when(at lockfsm.Time, now int64, d doubt) (ms int64, about uint32) {
	i := c.index(at)
	switch {
	case i < 0 && len(c.all) > 0:
		return min(int64(at)+c.all[0].offset, now), wire.UnknownMillis
	case i < 0 && c.settling:
		return min(int64(at)+c.maybe.wall, now), wire.UnknownMillis
	case i < 0:
		return now, wire.UnknownMillis
	}
	off := c.all[i].offset
	most := off
	switch newest := i+1 == len(c.all); {
	case c.all[i].unsure && newest:
		most = now - int64(at)
	case c.all[i].unsure:
		most = c.all[i+1].offset
	case d == sure:
	case !newest && c.all[i+1].seen <= at:
		most = c.all[i+1].offset
	case !newest || c.isSet && !c.settling:
	case c.settling && c.seen <= at:
		most = c.maybe.wall
	case !c.isSet:
		most = now - int64(at) // it was applied again, and nothing was seen yet
	}
	if most-off > beatMillis {
		about = uint32(min(most-off, maxAbout))
	}
	return int64(at) + off, about
}

// maxAbout is the most that is said, some weeks.
const maxAbout = 1<<32 - 2

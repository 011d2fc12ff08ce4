package witness

import (
	"cmp"
	"maps"
	"slices"
)

// sessions checks that no node called a session ended before its lease could be
// over, unless its client had closed it (I21).
func (c *checker) sessions() {
	keys := slices.SortedFunc(maps.Keys(c.Sessions), func(a, b SessionKey) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Session, b.Session))
	})
	for _, k := range keys {
		s := c.Sessions[k]
		if s.LeaseMillis == 0 {
			continue // its opening was not answered
		}
		c.rep.Sessions++
		c.group = k.Group
		if s.Over < s.End(c.opts.Drift) {
			c.bad("I21", "session %d is over at %s; its last renewal was sent at %s for %d ms, its "+
				"end at %s", k.Session, seconds(s.Over), seconds(s.Renewed), s.LeaseMillis,
				seconds(s.Closed))
		}
	}
}

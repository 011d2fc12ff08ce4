package witness

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// ErrViolation: the slots that answers name do not explain them.
var ErrViolation = errors.New("witness: history violated")

// maxViolations bounds the violations that are described.
const maxViolations = 20

// Options say what may be taken for granted.
type Options struct {
	// Drift is how fast, as a fraction, the clock of a node may run.
	Drift float64
}

// Report says what Check looked at and found.
type Report struct {
	Records, Uncertain int
	Groups, Sessions   int
	Slots              uint64 // the highest of each group, together
	Holds              int
	// Unasked is how many holds ended without a release that was answered,
	// Inferred how many are known from refusals alone, Resent how many grants
	// were found by an acquire that was sent again.
	Unasked, Inferred, Resent int
	// Refusals, Cancelled and Reads are answers of those kinds.
	Refusals, Cancelled, Reads int
	Took                       time.Duration
	Count                      int      // of violations
	Violations                 []string // the first ones
}

// Err returns what is violated, nil if nothing is.
func (r *Report) Err() error {
	if r.Count == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d times, the first: %s", ErrViolation, r.Count, r.Violations[0])
}

// String returns the figures in one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d sends, %.2f %% uncertain, %d slots of %d groups, %d sessions, %d holds "+
		"(%d ended unasked, %d inferred, %d found by a resend), %d refusals, %d cancelled, %d reads, "+
		"%.2fs of checking", r.Records, 100*float64(r.Uncertain)/float64(max(1, r.Records)), r.Slots,
		r.Groups, r.Sessions, r.Holds, r.Unasked, r.Inferred, r.Resent, r.Refusals, r.Cancelled,
		r.Reads, r.Took.Seconds())
}

// checker is one Check.
type checker struct {
	*History
	opts Options
	rep  *Report
	// The rest is of one group at a time; its memory is used again.
	group     uint16
	timeline  timeline
	holds     []hold
	reads     []Record
	cancelled map[requestKey]uint64
	unheard   map[requestKey]*Record
	tries     map[uint32]int
	entering  map[enteredKey]int
}

// enteredKey names an owner of a lock; its value counts Enters without an answer.
type enteredKey struct {
	session, owner uint64
	name           uint32
}

// requestKey names an acquire within a group.
type requestKey struct{ session, request uint64 }

// Check judges a history. It sorts the records where they are.
func Check(h *History, o Options) Report {
	began := time.Now()
	c := &checker{History: h, opts: o, rep: &Report{Records: len(h.Records)}}
	for _, text := range h.Strays {
		c.violate("%s", text)
	}
	c.sessions()
	all := h.Records
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Slot, b.Slot))
	})
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Group == all[0].Group {
			n++
		}
		c.oneGroup(all[:n:n])
		all = all[n:]
	}
	c.rep.Took = time.Since(began)
	return *c.rep
}

func (c *checker) violate(format string, args ...any) {
	if c.rep.Count++; c.rep.Count <= maxViolations {
		c.rep.Violations = append(c.rep.Violations, fmt.Sprintf(format, args...))
	}
}

// bad reports a violation in the group at hand.
func (c *checker) bad(invariant, format string, args ...any) {
	c.violate("%s: group %d: %s", invariant, c.group, fmt.Sprintf(format, args...))
}

func (c *checker) nameOf(i uint32) string {
	if int(i) < len(c.Names) {
		return c.Names[i]
	}
	return fmt.Sprintf("name %d", i)
}

// oneGroup judges the records of one group, which stand in the order of slots.
func (c *checker) oneGroup(all []Record) {
	c.group = all[0].Group
	c.rep.Groups++
	c.rep.Slots += all[len(all)-1].Slot
	c.survey(all)
	c.order(all)
	c.timeline.build(all)
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.subject(), b.subject()), cmp.Compare(a.Slot, b.Slot))
	})
	c.gather(all)
	c.ranges()
	c.requests()
	c.names()
}

// survey counts, and notes what later steps look up.
func (c *checker) survey(all []Record) {
	c.cancelled = make(map[requestKey]uint64)
	c.unheard = make(map[requestKey]*Record)
	c.tries = make(map[uint32]int)
	c.entering = make(map[enteredKey]int)
	c.reads = c.reads[:0]
	for i := range all {
		r := &all[i]
		if !r.answered() {
			c.rep.Uncertain++
			if r.Kind.Acquires() {
				copied := *r
				c.unheard[requestKey{r.Session, r.Request}] = &copied
				c.tries[r.Name]++
				c.entering[enteredKey{r.Session, r.Owner, r.Name}]++
			}
			continue
		}
		if r.Slot == 0 {
			c.slotless(r)
		}
		switch {
		case r.Kind == wire.KindGet:
			c.rep.Reads++
			c.reads = append(c.reads, *r)
		case r.Status == wire.StatusHeld:
			c.rep.Refusals++
		case r.Status == wire.StatusCancelled:
			c.rep.Cancelled++
			k := requestKey{r.Session, r.Request}
			if old, ok := c.cancelled[k]; !ok || r.Slot < old {
				c.cancelled[k] = r.Slot
			}
		}
	}
}

// slotless accepts only answers that say nothing of the state, and reads before
// the first slot.
func (c *checker) slotless(r *Record) {
	switch r.Status {
	case wire.StatusBadRequest, wire.StatusNameTooLong, wire.StatusWrongGroup,
		wire.StatusPermission, wire.StatusUnsupported:
		return
	}
	if r.Kind != wire.KindGet && r.Kind != wire.KindList {
		c.bad("I23", "no slot: %s", r.says())
	}
}

// order checks that real time and slots agree: from the highest slot down, no
// request may begin after an answer from a higher slot has come, and none that
// stands in the log after one from its own. Requires: all stand in the order of
// slots.
func (c *checker) order(all []Record) {
	const none = -1
	first := none // of those above the slot at hand, whose answer came first
	for end := len(all); end > 0 && all[end-1].Slot > 0; {
		start, within := end, first
		for start > 0 && all[start-1].Slot == all[end-1].Slot {
			start--
			if within == none || all[start].Ended < all[within].Ended {
				within = start
			}
		}
		for i := start; i < end; i++ {
			against := first
			if all[i].logged() {
				against = within
			}
			if against != none && all[against].Ended < all[i].Began {
				c.bad("I23", "began after what stands behind it was answered: %s; before it: %s",
					all[i].says(), all[against].says())
			}
		}
		end, first = start, within
	}
}

// timeline says which slots were surely chosen at a moment: for each
// millisecond, the highest that an answer had named before it.
type timeline struct {
	start int64
	slots []uint64
}

const tick = int64(time.Millisecond)

func (t *timeline) build(all []Record) {
	first, last := int64(Open), int64(0)
	for i := range all {
		if all[i].answered() {
			first, last = min(first, all[i].Ended), max(last, all[i].Ended)
		}
	}
	t.start, t.slots = first, t.slots[:0]
	if first == Open {
		return
	}
	t.slots = slices.Grow(t.slots, int((last-first)/tick)+2)[:int((last-first)/tick)+2]
	clear(t.slots)
	for i := range all {
		if r := &all[i]; r.answered() {
			at := (r.Ended-first)/tick + 1
			t.slots[at] = max(t.slots[at], r.Slot)
		}
	}
	for i := 1; i < len(t.slots); i++ {
		t.slots[i] = max(t.slots[i], t.slots[i-1])
	}
}

// before returns the highest slot that was surely chosen at a moment.
func (t *timeline) before(at int64) uint64 {
	if len(t.slots) == 0 || at <= t.start {
		return 0
	}
	return t.slots[min((at-t.start)/tick, int64(len(t.slots)-1))]
}

package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// HoldEnd says how a hold ended. Later versions may know more.
type HoldEnd uint8

// The ends.
const (
	// Standing: it has not ended.
	Standing HoldEnd = 0
	// EndReleased: its holder gave it back.
	EndReleased HoldEnd = 1
	// EndClosed: its session was closed by its client.
	EndClosed HoldEnd = 2
	// EndExpired: the lease of its session ran out, or it was let go with its conn.
	EndExpired HoldEnd = 3
	// EndTTL: it was detached, and its own time ran out.
	EndTTL HoldEnd = 4
	// EndMaxHold: it had lasted as long as it may.
	EndMaxHold HoldEnd = 5
	// EndForced: somebody else ended it.
	EndForced HoldEnd = 6
	// EndConverted: it went on in another mode.
	EndConverted HoldEnd = 7
	// EndFreed: it was over, and had stayed taken for its min hold or lock delay.
	EndFreed HoldEnd = 8
)

// String returns the end in a word or two: standing, released, session closed, session
// expired, ttl over, max hold over, forced, converted, freed, or other.
func (e HoldEnd) String() string {
	if e == Standing {
		return "standing"
	}
	return wire.HoldEnd(e).String()
}

// About says how far a time may be off: it may have been later by so much, or, if it
// is negative, earlier by any length. Zero is exact, which is a beat of log time (200 ms
// by default) and 100 ms.
type About time.Duration

// PastHold is one hold of a lock, be it that it ended or that it stands.
type PastHold struct {
	Client  string // the name its client gave, empty if it gave none
	Session uint64
	Token   uint64
	Mode    Mode
	Permits int    // of a semaphore, else zero
	Owner   uint64 // LockOptions.Owner; zero is nobody
	// Detached and Kept are as in a Holder. One that was kept begins when it was over for
	// its holder.
	Detached, Kept bool

	// Start is when it was granted, and End when it ended, zero while it stands.
	Start, End           time.Time
	StartAbout, EndAbout About
	How                  HoldEnd
	// To is the mode in which a converted hold went on, and Moved says that it had been
	// converted before: then Start is that of its first grant, if the conversion is not
	// within what was asked for.
	To    Mode
	Moved bool
	// Stays says that the lock stayed taken after it, for its min hold or lock delay.
	Stays bool
	// Who forced it, and why.
	Who, Reason string

	slot  uint64
	index uint16
}

// Stands reports whether it has not ended.
func (p *PastHold) Stands() bool { return p.How == Standing }

// Period is a part of time.
type Period struct{ From, To time.Time }

// NodeError is why one node did not answer.
type NodeError struct {
	Node uint16
	Err  error
}

// History is what is known of the holds of a lock.
type History struct {
	Name string
	// Holds are newest first: those that stand, then the others by their ends.
	Holds []PastHold
	// More says that there are more than were asked for, older ones.
	More bool
	// Complete says that all is known since the cluster began. Else it is since Since, but
	// for Unknown; Since is zero if nothing is known.
	Complete bool
	Since    time.Time
	// Unknown are times of which no node that answered knows what ended in them, oldest
	// first. They may be later than what was asked for: what ended then may have stood in it.
	Unknown []Period
	// Silent are nodes that did not answer, or that keep no history: they may know more.
	Silent []NodeError
	// Current is why it is not known who holds the lock now, nil if it is.
	Current error
}

// HistoryOptions say what is asked for.
type HistoryOptions struct {
	// At, if it is not zero, is the moment whose holders are asked for; From and To then
	// count for nothing.
	At time.Time
	// From and To bound the time of which some part must lie within a hold. Default: all
	// that is known, up to now.
	From, To time.Time
	// Limit bounds the holds, newest first. Default 1000, at most 100000.
	Limit int
}

const (
	defaultPast = 1000
	maxPast     = 100_000
	// busyTries is how often a node is asked again that is busy.
	busyTries = 10
)

// span is the time that is asked for.
func (o *HistoryOptions) span(now time.Time) (Period, error) {
	p := Period{o.From, o.To}
	if !o.At.IsZero() {
		p = Period{o.At, o.At}
	}
	if p.To.IsZero() {
		p.To = now
	}
	if p.From.After(p.To) {
		return p, fmt.Errorf("%w: history from %s to %s, which is before that", ErrOptions,
			p.From.Format(time.RFC3339), p.To.Format(time.RFC3339))
	}
	if o.Limit < 0 || o.Limit > maxPast {
		return p, fmt.Errorf("%w: history of %d holds, must be 0 to %d", ErrOptions, o.Limit, maxPast)
	}
	return p, nil
}

// History returns who held a lock, with which token, from when to when, and how each hold
// ended. It asks every node that the client knows, and merges what they wrote down, each
// by its own clock; one that is lost leaves no gap if another knows the same. Who holds
// the lock now the cluster says. ErrNoHistory if no node keeps one; ErrUnavailable if none
// answers.
func (c *Client) History(ctx context.Context, name string, opts HistoryOptions) (*History, error) {
	c.must()
	asked, err := opts.span(time.Now())
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(opts.Limit, defaultPast)
	h := &History{Name: name}
	// What ends between the two questions is told by both, and never by neither.
	standing, slot, err := c.get(ctx, name)
	switch {
	case err == nil:
		h.addStanding(standing)
	case errors.Is(err, ErrBadName) || errors.Is(err, ErrNameTooLong) || ctx.Err() != nil:
		return nil, err
	case !errors.Is(err, ErrNotFound):
		h.Current = err
	}
	if opts.To.IsZero() && opts.At.IsZero() {
		asked.To = time.Now()
	}
	tales, err := c.askPast(ctx, name, asked, limit+1)
	if err != nil {
		return nil, err
	}
	h.merge(tales)
	h.begin()
	h.trim(asked, limit)
	h.know(tales, asked, slot)
	return h, nil
}

// tale is what one node tells.
type tale struct {
	node  uint16
	call  *Call
	next  wire.History
	tries int
	done  bool
	err   error
	holds []PastHold
	spans []wire.Span
}

// askPast asks all nodes for page after page.
func (c *Client) askPast(ctx context.Context, name string, p Period, limit int) ([]tale, error) {
	c.mu.Lock()
	nodes := c.mu.core.nodes()
	c.mu.Unlock()
	tales := make([]tale, len(nodes))
	for i := range tales {
		tales[i] = tale{node: nodes[i].Node, next: wire.History{FromMillis: unixMillis(p.From),
			ToMillis: unixMillis(p.To), Name: []byte(name)}}
	}
	for open := true; open; {
		open = false
		for i := range tales {
			if t := &tales[i]; !t.done {
				past := t.next
				t.call = &Call{Kind: wire.KindHistory, Name: name, Node: t.node, Past: &past,
					Timeout: c.opts.RequestTimeout}
				c.begin(t.call)
			}
		}
		busy := false
		for i := range tales {
			if t := &tales[i]; !t.done {
				c.wait(ctx, t.call)
				busy = t.take(limit) || busy
				open = open || !t.done
			}
		}
		if busy {
			select {
			case <-ctx.Done():
			case <-time.After(busyPause):
			}
		}
	}
	return tales, c.failedPast(ctx, name, tales)
}

// busyPause is how long a node that is busy is left alone.
const busyPause = 50 * time.Millisecond

// failedPast is why nothing came of asking, nil if something did.
func (c *Client) failedPast(ctx context.Context, name string, tales []tale) error {
	var failures []error
	kept := len(tales) == 0
	for i := range tales {
		t := &tales[i]
		if t.err == nil {
			return nil
		}
		kept = kept || !errors.Is(t.err, ErrNoHistory)
		failures = append(failures, fmt.Errorf("node %d: %w", t.node, t.err))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("client: history of %q: %w", name, ended(ctx))
	}
	if !kept {
		return fmt.Errorf("%w: of %q; history.size is 0 on all nodes", ErrNoHistory, name)
	}
	return errors.Join(append(failures, fmt.Errorf("%w: history of %q", ErrUnavailable, name))...)
}

// take takes one answer of a node, and reports whether it was busy.
func (t *tale) take(limit int) (busy bool) {
	switch err := t.call.Err; {
	case errors.Is(err, ErrNotFound):
		t.done, t.err = true, fmt.Errorf("%w: history.size is 0 there", ErrNoHistory)
		return false
	case errors.Is(err, ErrBusy) && t.tries < busyTries:
		t.tries++
		return true
	case err != nil:
		t.done, t.err = true, err
		return false
	}
	page, err := wire.DecodeHistoryPage(t.call.Response.Payload)
	if err != nil {
		t.done, t.err = true, fmt.Errorf("%w: history of node %d: %w", ErrProtocol, t.node, err)
		return false
	}
	if page.Block > t.next.Block && t.next.Block != 0 ||
		page.Block == t.next.Block && page.Block != 0 && page.Index >= t.next.Index {
		t.done, t.err = true, fmt.Errorf("%w: history of node %d does not come to an end",
			ErrProtocol, t.node)
		return false
	}
	for i := range page.Holds {
		t.holds = append(t.holds, newPastHold(&page.Holds[i]))
	}
	if t.next.Block == 0 {
		t.spans = page.Spans
	} else { // what a later page cannot read, or the node has no more, is not known
		t.spans = inBoth(t.spans, page.Spans)
	}
	t.next.Block, t.next.Index = page.Block, page.Index
	t.done = page.Block == 0 || len(t.holds) >= limit
	return false
}

// inBoth returns the slots that are in a and in b, both of which are ascending.
func inBoth(a, b []wire.Span) []wire.Span {
	var both []wire.Span
	for len(a) > 0 && len(b) > 0 {
		s, end := a[0], b[0]
		if s.After < b[0].After {
			s.After, s.AfterMillis, s.AboutMillis = b[0].After, b[0].AfterMillis, b[0].AboutMillis
		}
		if a[0].To <= b[0].To {
			end, a = a[0], a[1:]
		} else {
			b = b[1:]
		}
		if s.To, s.ToMillis = end.To, end.ToMillis; s.After < s.To {
			both = append(both, s)
		}
	}
	return both
}

func unixMillis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(0, t.UnixMilli()))
}

// pastTime is a moment as nodes tell it.
func pastTime(ms uint64) time.Time { return time.UnixMilli(int64(min(ms, 1<<48))) }

func newAbout(ms uint32) About {
	if ms == wire.UnknownMillis {
		return -1
	}
	return About(time.Duration(ms) * time.Millisecond)
}

func newPastHold(x *wire.PastHold) PastHold {
	return PastHold{Client: string(x.Client), Session: x.Session, Token: x.Token,
		Mode: modeOf(x.Mode), Permits: int(x.Permits), Owner: x.Owner,
		Detached: x.Flags&wire.PastDetached != 0, Kept: x.Flags&wire.PastKept != 0,
		Start: pastTime(x.StartMillis), End: pastTime(x.EndMillis),
		StartAbout: newAbout(x.StartAbout), EndAbout: newAbout(x.EndAbout), How: HoldEnd(x.How),
		To: modeOf(x.To), Moved: x.Flags&wire.PastMoved != 0, Stays: x.Flags&wire.PastStays != 0,
		Who: string(x.Who), Reason: string(x.Reason), slot: x.Slot, index: x.Index}
}

// addStanding adds the holds that stand. What stands of a gate is nobody's.
func (h *History) addStanding(info *LockInfo) {
	if info.Gate != 0 {
		return
	}
	for i := range slices.Backward(info.Holders) {
		x := &info.Holders[i]
		h.Holds = append(h.Holds, PastHold{Client: x.Client, Session: x.Session, Token: x.Token,
			Mode: x.Mode, Permits: x.Permits, Owner: x.Owner, Detached: x.Detached, Kept: x.Kept,
			Start: x.Since})
	}
}

// pastKey names a hold that ended among those of a lock, on all nodes alike.
type pastKey struct {
	slot  uint64
	index uint16
}

// merge adds what the nodes tell, each hold once, by whoever knows its times best.
func (h *History) merge(tales []tale) {
	best := map[pastKey]PastHold{}
	for i := range tales {
		t := &tales[i]
		if t.err != nil {
			h.Silent = append(h.Silent, NodeError{t.node, t.err})
		}
		for _, p := range t.holds {
			key := pastKey{p.slot, p.index}
			if old, known := best[key]; !known || p.doubt() < old.doubt() {
				best[key] = p
			}
		}
	}
	past := make([]PastHold, 0, len(best))
	for key, p := range best { // order: sorted below
		// Who knows less exactly when it was tells more. A node that has the hold, and does
		// not tell of it, knows that it is none of what was asked for. But its clock may be
		// wrong: it does not overrule one that is sure.
		if p.doubt() == 0 ||
			!slices.ContainsFunc(tales, func(t tale) bool { return t.leavesOut(key) }) {
			past = append(past, p)
		}
	}
	slices.SortFunc(past, func(a, b PastHold) int {
		return cmp.Or(cmp.Compare(b.slot, a.slot), cmp.Compare(b.index, a.index))
	})
	// What stood when the cluster was asked and ended since is told as ended.
	h.Holds = slices.DeleteFunc(h.Holds, func(s PastHold) bool {
		return slices.ContainsFunc(past, func(p PastHold) bool {
			return p.Token == s.Token && p.Mode == s.Mode && p.Kept == s.Kept && p.Session == s.Session
		})
	})
	h.Holds = append(h.Holds, past...)
}

// leavesOut reports whether a node knows of a hold, and did not tell of it.
func (t *tale) leavesOut(key pastKey) bool {
	if t.err != nil || !t.done || t.next.Block != 0 && t.holds[len(t.holds)-1].slot >= key.slot {
		return false // it may not have come there yet
	}
	return slices.ContainsFunc(t.spans, func(s wire.Span) bool {
		return s.After < key.slot && key.slot <= s.To
	}) && !slices.ContainsFunc(t.holds, func(p PastHold) bool {
		return p.slot == key.slot && p.index == key.index
	})
}

// doubt orders those who tell of one hold by how well they know its times.
func (p *PastHold) doubt() uint64 {
	const unknown = 1 << 62
	sum := uint64(0)
	for _, a := range []About{p.StartAbout, p.EndAbout} {
		if a < 0 {
			sum += unknown
		} else {
			sum += uint64(a)
		}
	}
	return sum
}

// begin has holds that were converted begin with that, where it is known.
func (h *History) begin() {
	for i := range h.Holds {
		p := &h.Holds[i]
		for j := i + 1; j < len(h.Holds) && (p.Moved || p.Stands()); j++ {
			if q := &h.Holds[j]; q.How == EndConverted && q.To == p.Mode && q.Session == p.Session &&
				q.Owner == p.Owner && q.Token <= p.Token && !q.Start.After(p.Start.Add(time.Second)) &&
				!q.End.Before(p.Start) {
				p.Start, p.StartAbout, p.Moved = q.End, q.EndAbout, true
				break
			}
		}
	}
}

// trim leaves what may have held within the time that was asked for.
func (h *History) trim(asked Period, limit int) {
	h.Holds = slices.DeleteFunc(h.Holds, func(p PastHold) bool {
		end := p.End.Add(max(0, time.Duration(p.EndAbout)))
		return p.StartAbout >= 0 && p.Start.After(asked.To) ||
			!p.Stands() && p.EndAbout >= 0 && end.Before(asked.From)
	})
	if h.More = len(h.Holds) > limit; h.More {
		h.Holds = h.Holds[:limit]
	}
}

// know finds out what of the time that was asked for the nodes know together. The cluster
// has come to a slot at least, zero if that is not known.
func (h *History) know(tales []tale, asked Period, slot uint64) {
	var all []wire.Span
	for i := range tales {
		all = append(all, tales[i].spans...)
	}
	slices.SortFunc(all, func(a, b wire.Span) int {
		return cmp.Or(cmp.Compare(a.After, b.After), cmp.Compare(b.To, a.To))
	})
	var known []wire.Span
	for _, s := range all {
		n := len(known)
		switch {
		case n == 0 || s.After > known[n-1].To:
			known = append(known, s)
		case s.To > known[n-1].To:
			known[n-1].To, known[n-1].ToMillis = s.To, s.ToMillis
		}
	}
	since := func(s *wire.Span) time.Time {
		return pastTime(s.AfterMillis).Add(time.Duration(s.AboutMillis) * time.Millisecond)
	}
	if len(known) == 0 {
		h.Unknown = []Period{asked}
		return
	}
	h.Complete = known[0].After == 0
	h.Since = since(&known[0])
	if !h.Complete && asked.From.Before(h.Since) {
		h.unknown(Period{asked.From, h.Since}, asked)
	}
	for i := 1; i < len(known); i++ {
		p := Period{pastTime(known[i-1].ToMillis), since(&known[i])}
		if p.From.After(p.To) { // they are of two clocks
			p.From, p.To = p.To, p.From
		}
		h.unknown(p, asked)
	}
	if last := &known[len(known)-1]; last.To < slot { // who leads did not answer
		p := Period{pastTime(last.ToMillis), asked.To}
		if p.From.After(p.To) {
			p.To = time.Now()
		}
		h.unknown(p, asked)
	}
}

// unknown notes a period of which it is not known what ended in it. What ended before the
// time that was asked for did not stand in it; what ended later may have.
func (h *History) unknown(p, asked Period) {
	if p.From.Before(asked.From) {
		p.From = asked.From
	}
	if !p.From.After(p.To) {
		h.Unknown = append(h.Unknown, p)
	}
}

package history

import (
	"errors"
	"os"
	"slices"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

const (
	// maxHeads and maxBodies bound how many blocks are looked at for one page, by their
	// heads and as a whole.
	maxHeads  = 1024
	maxBodies = 64
	// slackMillis is how much the wall clock may be set without that a block is passed
	// over that should not be.
	slackMillis = 10_000
)

// question is one History while it is answered.
type question struct {
	*wire.History
	s      *Store
	group  uint16
	hash   uint32
	now    int64
	clocks clocks
	// older are the clocks of segments that have some which were dropped.
	older map[uint64]*clocks
	spans []span
	page  wire.HistoryPage
	limit int
}

// Answer answers a question. It reads a bounded part of what there is; the page says
// where to go on.
func (s *Store) Answer(r *node.HistoryRequest) node.HistoryDone {
	q := question{History: &r.History, s: s, group: r.Group, hash: uint32(hashText(r.Name)),
		now: s.opts.Wall(), limit: int(r.Limit)}
	if q.limit == 0 || q.limit > wire.MaxPage {
		q.limit = wire.MaxPage
	}
	blocks, waiting := q.begin()
	q.look(blocks, waiting)
	q.page.NowMillis = millisOf(q.now)
	for i := range q.spans {
		q.page.Spans = append(q.page.Spans, q.span(&q.spans[i]))
	}
	return node.HistoryDone{Conn: r.Conn, Request: r.Request,
		Page: wire.AppendHistoryPage(nil, &q.page)}
}

func millisOf(ms int64) uint64 { return uint64(max(ms, 0)) }

// begin takes down what there is to look at: the blocks that are written, oldest first, and
// behind them those that are not.
func (q *question) begin() ([]blockInfo, []sealed) {
	s := q.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.stats.Asked++
	if int(q.group) < len(s.mu.groups) {
		g := &s.mu.groups[q.group]
		q.clocks, q.spans = g.clocks.copied(), slices.Clone(g.spans)
	}
	blocks := s.mu.blocks
	if q.Block != 0 {
		end := len(blocks)
		for end > 0 && blocks[end-1].number > q.Block {
			end--
		}
		blocks = blocks[:end]
	}
	// What is older than it asks for is passed over without a look, and so is what is not
	// reached by this page.
	var reach []blockInfo
	for i := len(blocks) - 1; i >= 0 && len(reach) < maxHeads; i-- {
		if q.wants(&blocks[i]) {
			reach = append(reach, blocks[i])
		}
	}
	slices.Reverse(reach)
	waiting := slices.Clone(s.mu.queue)
	if s.mu.open.holds > 0 && s.mu.open.mayHave(q.hash) {
		// Sealing sorts and pads; the block goes on.
		bytes, info := s.mu.open.seal(kindHolds)
		waiting = append(waiting, sealed{info, bytes})
	}
	return reach, waiting
}

// wants reports whether some of the holds of a block may be asked for.
func (q *question) wants(x *blockInfo) bool {
	return x.last+slackMillis >= int64(min(q.FromMillis, 1<<62)) &&
		x.least-slackMillis <= int64(min(q.ToMillis, 1<<62)) && x.holds > 0
}

// look goes through the blocks from the newest on until the page is full.
func (q *question) look(blocks []blockInfo, waiting []sealed) {
	for i := len(waiting) - 1; i >= 0; i-- {
		w := &waiting[i]
		if q.Block != 0 && w.info.number > q.Block || !q.wants(&w.info) {
			continue
		}
		from := headerBytes + w.info.head
		if q.take(&w.info, w.bytes[from:from+w.info.body]) {
			return
		}
	}
	bodies := 0
	for i := len(blocks) - 1; i >= 0; i-- {
		x := &blocks[i]
		body, h, err := q.read(x)
		switch {
		case errors.Is(err, os.ErrClosed):
			q.forget() // the oldest segments are gone
			return
		case err != nil:
			q.lose(x, &h)
			continue
		case body == nil:
			continue
		}
		if q.take(x, body) {
			return
		}
		if bodies++; bodies == maxBodies && i > 0 {
			q.page.Block, q.page.Index = x.number, 0
			return
		}
	}
	if len(blocks) == maxHeads {
		q.page.Block, q.page.Index = blocks[0].number, 0
	}
}

// read returns the holds of a written block, nil if the name is not among them.
func (q *question) read(x *blockInfo) ([]byte, head, error) {
	q.s.mu.Lock()
	i := slices.IndexFunc(q.s.mu.segments, func(g segment) bool { return g.number == x.segment })
	if i < 0 {
		q.s.mu.Unlock()
		return nil, head{}, os.ErrClosed
	}
	file := q.s.mu.segments[i].file
	q.s.mu.Unlock()
	_, h, err := q.s.readHead(file, x.offset)
	if err != nil || !h.mayHave(q.hash) {
		return nil, h, err
	}
	body, err := q.s.readBody(file, x.offset, x)
	return body, h, err
}

// lose notes that a block cannot be read: what it had is not known.
func (q *question) lose(x *blockInfo, h *head) {
	q.s.damagedBlock(x)
	q.page.Flags |= wire.HistoryDamaged
	if h.spans == nil { // it may have had anything up to what is known of it now
		q.spans = nil
		return
	}
	for _, gone := range h.spans {
		if gone.group == q.group {
			q.spans = without(q.spans, gone)
		}
	}
}

// forget takes out of what is told as known what the Store has forgotten meanwhile.
func (q *question) forget() {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if int(q.group) >= len(q.s.mu.groups) || len(q.s.mu.groups[q.group].spans) == 0 {
		return
	}
	first := &q.s.mu.groups[q.group].spans[0]
	q.spans = without(q.spans, span{group: q.group, to: first.after, at: first.before})
}

// without takes a range out of spans.
func without(spans []span, gone span) []span {
	var rest []span
	for _, x := range spans {
		if gone.to <= x.after || gone.after >= x.to {
			rest = append(rest, x)
			continue
		}
		if x.after < gone.after {
			rest = append(rest, span{x.group, x.after, gone.after, x.before, gone.before})
		}
		if gone.to < x.to {
			rest = append(rest, span{x.group, gone.to, x.to, gone.at, x.at})
		}
	}
	return rest[max(0, len(rest)-maxSpans):]
}

// take adds the holds of a block, newest first, and reports whether the page is full.
func (q *question) take(x *blockInfo, body []byte) bool {
	holds, err := holdsOf(body, q.Name)
	if err != nil { // be it that a later version wrote of an end that is not known here
		q.page.Flags |= wire.HistoryDamaged
		q.spans = nil
		return false
	}
	for i := len(holds) - 1; i >= 0; i-- {
		h := &holds[i]
		if h.group != q.group || x.number == q.Block && h.place >= q.Index {
			continue
		}
		p := q.past(h, q.clocksAt(x.segment, h.Since))
		if !q.asks(&p) {
			continue
		}
		q.page.Holds = append(q.page.Holds, p)
		if len(q.page.Holds) == q.limit {
			q.page.Block, q.page.Index = x.number, h.place
			return true
		}
	}
	return false
}

// asks reports whether some part of a hold may lie within what is asked for.
func (q *question) asks(p *wire.PastHold) bool {
	if p.EndMillis < q.FromMillis &&
		(p.EndAbout == wire.UnknownMillis || p.EndMillis+uint64(p.EndAbout) < q.FromMillis) {
		return false
	}
	return p.StartMillis <= q.ToMillis || p.StartAbout == wire.UnknownMillis
}

// clocksAt returns the clocks that say when a log time was of which a segment tells: those in
// memory, unless it was before these. Between the last that the segment has and the first
// in memory some may be missing.
func (q *question) clocksAt(segment uint64, at lockfsm.Time) *clocks {
	if q.clocks.reaches(at) {
		return &q.clocks
	}
	if c := q.older[segment]; c != nil {
		return c
	}
	c := q.clocks
	c.all = q.s.clocksOf(segment, q.group)
	own := len(c.all)
	for _, x := range q.clocks.all {
		if own > 0 && x.at <= c.all[own-1].at {
			continue
		}
		if len(c.all) == own && x.at == q.clocks.all[0].at {
			x.seen = 0 // what is missing may come before
		}
		c.all = append(c.all, x)
	}
	if q.older == nil {
		q.older = make(map[uint64]*clocks)
	}
	q.older[segment] = &c
	return &c
}

// past puts a hold into the form in which it is told.
func (q *question) past(h *hold, c *clocks) wire.PastHold {
	began := late // one that began before the clock of its end is judged by itself
	if c.same(h.Since, h.at) {
		began = h.doubt
	}
	start, startAbout := c.when(h.Since, q.now, began)
	end, endAbout := c.when(h.at, q.now, h.doubt)
	p := wire.PastHold{Slot: h.slot, Index: uint16(min(h.index, 1<<16-1)), How: wire.HoldEnd(h.How),
		Flags: wire.PastFlags(h.Flags), Mode: wire.Mode(h.Mode), To: wire.Mode(h.To),
		Permits: uint32(h.Permits), Session: uint64(h.Session), Token: uint64(h.Token),
		Owner: uint64(h.Owner), StartMillis: millisOf(start), EndMillis: millisOf(end),
		StartAbout: startAbout, EndAbout: endAbout, Client: h.Client, Who: h.Who, Reason: h.Reason}
	if h.Flags&(lockfsm.EndedDetached|lockfsm.EndedKept) != 0 {
		p.Session |= wire.DetachedOwner
	}
	return p
}

// span puts a span into the form in which it is told.
func (q *question) span(x *span) wire.Span {
	before, about := q.clocksAt(q.s.oldest(), x.before).when(x.before, q.now, late)
	to, _ := q.clocks.when(x.at, q.now, late)
	if about == wire.UnknownMillis {
		about = 0 // it may be earlier, and then more is known
	}
	return wire.Span{After: x.after, To: x.to, AfterMillis: millisOf(before),
		ToMillis: millisOf(to), AboutMillis: about}
}

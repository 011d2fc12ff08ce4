package client

import (
	"container/heap"
	"fmt"
	"time"

	"lockd/netio/wire"
)

// A hold with a max hold ends at the nodes when it is that old. They count from the
// grant, and the client from before: from the send, if the grant came soon after.
// After a longer wait it cannot know when it was granted. Then the grant is not
// handed out before the nodes have said how long it may yet last, which counts from
// when they were asked. A request that has to be sent again meanwhile finds its
// hold, and the question is put again.

// soonShare is the part of a max hold that an answer may take to count as soon.
const soonShare = 16

// maxHold is the max hold that an Acquire asks for, zero for none.
func (x *Call) maxHold() time.Duration {
	if x.Terms == nil || !x.Kind.Acquires() || x.Terms.Fields&wire.TermMaxHold == 0 {
		return 0
	}
	return time.Duration(x.Terms.MaxHoldMillis) * time.Millisecond
}

// receive hands out a grant of the session, now or once it is known how long it may
// last.
func (c *Core) receive(g *group, x *Call) {
	until, known := never, true
	if x.maxHold() > 0 {
		until, known = c.grantedUntil(g, x)
	}
	if !known {
		c.askLeft(x)
		return
	}
	c.grantUntil(g, x, until)
	if x.unsure {
		c.doubtSeveral(g, x)
	}
}

// grantUntil hands out a grant that counts as lost at a moment.
func (c *Core) grantUntil(g *group, x *Call, until Instant) {
	c.grant(x, &g.session.holds)
	c.capAt(x, until)
}

// capAt has a hold count as lost at a moment, if that ever comes.
func (c *Core) capAt(x *Call, until Instant) {
	if until == never {
		return
	}
	x.cappedUntil = until
	heap.Push(&c.capped, x)
	c.schedule(until)
}

// grantedUntil returns how long a hold that was just granted may last, if that is
// known.
func (c *Core) grantedUntil(g *group, x *Call) (until Instant, known bool) {
	if x.Owner != 0 {
		// What the owner has already began earlier.
		for h := g.session.holds.head; h != nil; h = h.next {
			if h.Owner == x.Owner && h.Name == x.Name && h.cappedUntil != 0 {
				return h.cappedUntil, true
			}
		}
		return 0, false
	}
	if plantedIs("max-hold-counted-from-answer") {
		return c.now.Add(c.ttlSpan(x.maxHold())), true
	}
	until = x.firstSent.Add(c.ttlSpan(x.maxHold()))
	return until, c.now.Sub(x.firstSent) <= x.maxHold()/soonShare
}

// askLeft asks how long a hold may yet last.
func (c *Core) askLeft(x *Call) {
	q := &Call{Kind: wire.KindCheckTokens, Flags: wire.FlagDetails, Group: x.Group, of: x,
		Checks: []NameToken{{Name: x.Name, Token: x.Token}}}
	x.left, x.lost = q, nil
	c.startBackground(q)
}

// onLeft takes the answer. Of a hold that is over, or nearly so, the caller hears as
// of one that was lost.
func (c *Core) onLeft(g *group, q *Call, r *wire.Response) error {
	x, sent := q.of, q.firstSent
	c.end(q, nil)
	if x.left != q || x.state != StateOpen {
		return nil // it was sent again, or nobody waits for it any more
	}
	x.left = nil
	if r.Status != wire.StatusOK {
		c.giveBack(x, x.Token)
		c.end(x, c.statusError(x, r.Status))
		return nil
	}
	s, err := wire.DecodeTokensLeft(r.Payload)
	if err == nil && len(s.States) != 1 {
		err = fmt.Errorf("%w: %d answers about one token", ErrProtocol, len(s.States))
	}
	if err != nil {
		return err
	}
	until := c.Lasting(sent, s.States[0].LeftMillis)
	if s.States[0].Standing != wire.TokenCurrent || until <= c.now {
		c.giveBack(x, x.Token)
		c.end(x, &LostError{Name: x.Name, Token: x.Token, Cause: c.endedBy(x)})
		return nil
	}
	c.grantUntil(g, x, until)
	c.doubtSeveral(g, x) // the push of a loss was of none that is held, the answer of the first
	return nil
}

// endedBy is why a hold is over that was never handed out: what the push said that came
// meanwhile or, without one, the max hold if that can be over. An owner's began earlier.
func (c *Core) endedBy(x *Call) error {
	switch {
	case x.lost != nil:
		return x.lost
	case x.Owner == 0 && c.now < x.firstSent.Add(c.ttlSpan(x.maxHold())):
		return x.unknown()
	default:
		return ErrMaxHold
	}
}

// Lasting returns until when a hold counts of which the nodes, asked at sent, say how
// long it may last.
func (c *Core) Lasting(sent Instant, leftMillis uint32) Instant {
	if leftMillis == wire.NoMaxHold {
		return never
	}
	return sent.Add(c.ttlSpan(time.Duration(leftMillis) * time.Millisecond))
}

// expireCapped ends the holds whose max hold is over.
func (c *Core) expireCapped() {
	for len(c.capped) > 0 && c.capped[0].cappedUntil <= c.now {
		c.lose(c.capped[0], ErrMaxHold)
	}
	if len(c.capped) > 0 {
		c.schedule(c.capped[0].cappedUntil)
	}
}

// uncap forgets the max hold of a hold that ends.
func (c *Core) uncap(x *Call) {
	if x.cappedUntil != 0 && x.cappedAt < len(c.capped) && c.capped[x.cappedAt] == x {
		heap.Remove(&c.capped, x.cappedAt)
	}
	x.cappedUntil = 0
}

// cappedHeap has the holds of sessions that have a max hold, the first to end first.
type cappedHeap []*Call

// Len is the number of holds.
func (h cappedHeap) Len() int { return len(h) }

// Less orders them.
func (h cappedHeap) Less(i, j int) bool { return h[i].cappedUntil < h[j].cappedUntil }

// Swap exchanges two.
func (h cappedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].cappedAt, h[j].cappedAt = i, j
}

// Push adds a *Call at the end.
func (h *cappedHeap) Push(x any) {
	x.(*Call).cappedAt = len(*h)
	*h = append(*h, x.(*Call))
}

// Pop takes the last away.
func (h *cappedHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}

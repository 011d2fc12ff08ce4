package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// A request with FlagDetect that waits for long is chased: its Core asks the nodes what
// the owners in its way wait for, what the owners in the way of those do, and so on,
// until that leads back to the request or ends. The rule who is the victim of a circle
// (wire.ChasedWait.Yields) is known to all, so a chase passes by every wait that would be
// it instead: what it finds is a circle whose victim it is itself, and nobody else finds
// that.
//
// What is searched is the graph of lockfsm/deadlock.go, as far as it is told. Its nodes are
// the turns of waits, a request for several names having one at each of them, and the
// grants of requests. A turn waits for each hold in its way, and so for all that the owner
// of that waits for; for the grant of each request that goes before; and, if it gets along
// with one that goes before and is for several names (it is near), only for the turn of
// that at the same name. A grant waits for the turns of the request at all its names. A
// circle leads from the grant of the request back to it or, past it, from one of its turns
// back to that.
//
// What was found was true at some moment of each step, which need not be the same. So
// every step is asked for again, of its group. A wait, once over, never comes again
// under the same session and request, nor a hold under the same token: what stands
// both times stood all the while between. All of the circle therefore stood at the
// moment at which the first asking had ended and the second had not begun. As all who
// wait there have said that they give nothing back, it stands for ever, unless somebody
// gives up.

const (
	// A request is chased when it has waited for chaseAfter since a Tick first saw it
	// wait, which is as long after it was sent; then after twice that and so on, up to
	// chaseMost.
	chaseAfter = 25 * time.Millisecond
	chaseMost  = 2 * time.Second
	// chaseGrid is how exactly: what is due together is looked at together.
	chaseGrid = 10 * time.Millisecond
	// chaseTimeout bounds one question.
	chaseTimeout = 1 * time.Second
	// A round asks for this many owners, takes in this many waits, and looks this often
	// whether one leads to another each time it has new ones, and no more.
	chaseFlows = 512
	chaseWaits = 512
	chaseLooks = 1 << 20
)

// chase is the search of one request, over all its rounds. It is steppable; it belongs
// to the Core of the request.
type chase struct {
	of    *Call   // the request, a Convert too; nil once that has ended
	at    Instant // when the next round begins; zero until a Tick has seen it
	round int
	open  int  // questions without an answer
	again bool // the circle is asked about again
	waits []chaseWait
	// asked are the owners that were asked about; where their waits are in waits.
	asked map[wire.Flow][]int
	looks int // whether one wait leads to another
	// circle are the waits that lead from the request back to it, in order, and seen
	// which of them stood when they were asked about again.
	circle []*chaseWait
	seen   []bool
	// verdict is why the request is cancelled, nil if it is not.
	verdict *DeadlockError
}

// chaseWait is a wait that was told: the turn of a request at a name.
type chaseWait struct {
	wire.ChasedWait              // a copy
	from            int          // whose blocker led here, or one of the two below
	by              wire.Blocker // that one
	closing         wire.Blocker // of the last wait of a circle: what it leads back by
	turned          bool         // it is of the request, and something waits for this turn
}

const (
	fromNowhere = -2 // nothing has led here
	fromStart   = -1 // the walk began here
)

// startChase has a request chased that was just sent for the first time.
func (c *Core) startChase(x *Call) {
	if plantedIs("circle-not-chased") {
		return
	}
	x.chase = &chase{of: x}
	c.chases = append(c.chases, x.chase)
	c.chaseAt = min(c.chaseAt, c.now.Add(chaseAfter))
	c.schedule(c.chaseAt)
}

// tickChases begins the rounds that are due and goes on with those that have all
// their answers.
func (c *Core) tickChases() {
	ready := c.chaseReady
	c.chaseReady = nil
	for _, ch := range ready {
		if ch.of != nil && ch.open == 0 && ch.asked != nil {
			c.chaseOn(ch)
		}
	}
	if c.chaseAt > c.now {
		c.schedule(c.chaseAt)
		return
	}
	c.chaseAt = never
	c.chases = slices.DeleteFunc(c.chases, func(ch *chase) bool { return ch.of == nil })
	for _, ch := range c.chases {
		switch {
		case ch.verdict != nil || ch.asked != nil:
			continue
		case ch.at == 0:
			c.restChase(ch)
		case ch.at <= c.now:
			c.chaseFrom(ch)
		}
		if ch.asked == nil {
			c.chaseAt = min(c.chaseAt, ch.at)
		}
	}
	c.schedule(c.chaseAt)
}

// restChase ends a round, if there was one, and says when the next begins.
func (c *Core) restChase(ch *chase) {
	ch.waits, ch.asked, ch.circle, ch.seen = nil, nil, nil, nil
	ch.again = false
	at := c.now.Add(c.backoff(2*chaseAfter, chaseMost, ch.round-1))
	if ch.round == 0 {
		at = c.now.Add(chaseAfter)
	}
	ch.round++
	ch.at = at + Instant(chaseGrid) - at%Instant(chaseGrid)
	c.chaseAt = min(c.chaseAt, ch.at)
	c.schedule(c.chaseAt)
}

// chaseFrom begins a round: what is in the way of the request itself?
func (c *Core) chaseFrom(ch *chase) {
	x := ch.of
	g := &c.groups[x.Group]
	if !g.live || x.sentEpoch != g.epoch || g.session.state != sessionOpen {
		c.restChase(ch)
		return
	}
	own := c.flow(x)
	ch.asked = map[wire.Flow][]int{own: nil}
	c.ask(ch, &Call{Node: c.endpoints[g.via].node, Flows: []wire.Flow{own}})
}

// flow is whose a request is.
func (c *Core) flow(x *Call) wire.Flow {
	nonce := &c.groups[x.Group].session.nonce
	return wire.Flow{Client: binary.LittleEndian.Uint64(nonce[:8]), Owner: x.promiser()}
}

// promiser is the owner who waits with a request, and says Detect.
func (x *Call) promiser() uint64 { return x.Owner | x.For }

// ask puts one question of a chase, to a node or, if it names none, to a group.
func (c *Core) ask(ch *chase, q *Call) {
	q.Kind, q.Timeout, q.chase = wire.KindChase, chaseTimeout, ch
	ch.open++
	c.startBackground(q)
}

// chaseOn goes on with a round whose questions have been answered.
func (c *Core) chaseOn(ch *chase) {
	if ch.again {
		c.judge(ch)
		return
	}
	own := ch.own()
	ch.looks = 0
	reached := c.walk(ch, own, fromNowhere)
	if ch.circle == nil && c.chaseFurther(ch, reached) {
		return
	}
	for _, i := range own { // nothing more can be come to
		if ch.circle == nil && ch.waits[i].turned {
			c.walk(ch, []int{i}, i)
		}
	}
	if ch.circle == nil {
		c.restChase(ch)
		return
	}
	ch.again, ch.seen = true, make([]bool, len(ch.circle))
	for _, w := range ch.circle {
		c.ask(ch, &Call{Group: w.Group, Flows: []wire.Flow{w.Flow}})
	}
	if plantedIs("circle-not-looked-at-twice") {
		for i := range ch.seen {
			ch.seen[i] = true
		}
	}
}

// chaseFurther asks all nodes about the owners in the way of what was come to, and
// reports whether there are some that were not asked about.
func (c *Core) chaseFurther(ch *chase, reached []int) bool {
	var flows []wire.Flow
	for _, i := range reached {
		for _, b := range ch.waits[i].Blockers {
			if _, known := ch.asked[b.Flow]; !known && len(ch.asked) < chaseFlows {
				ch.asked[b.Flow] = nil
				flows = append(flows, b.Flow)
			}
		}
	}
	for _, n := range c.nodes() {
		for some := range slices.Chunk(flows, wire.MaxFlows) {
			c.ask(ch, &Call{Node: n.Node, Flows: some})
		}
	}
	return ch.open > 0
}

// onChased takes the answer to one question.
func (c *Core) onChased(x *Call, r *wire.Response) error {
	ch := x.chase
	if r.Status == wire.StatusOK && ch.of != nil {
		found, err := wire.DecodeChased(r.Payload)
		if err != nil {
			return err
		}
		if found.Next > x.Skip && len(ch.waits) < chaseWaits { // there was room for some only
			c.ask(ch, &Call{Node: x.Node, Group: x.Group, Flows: x.Flows, Skip: found.Next})
		}
		for i := range found.Waits {
			if n := found.Waits[i].Group; int(n) >= len(c.groups) {
				return fmt.Errorf("%w: wait in group %d of %d", ErrProtocol, n, len(c.groups))
			}
			if ch.again {
				ch.stands(&found.Waits[i])
			} else {
				ch.tell(&found.Waits[i])
			}
		}
	}
	c.end(x, nil)
	return nil
}

// chaseEnded counts a question that has ended, be it without an answer.
func (c *Core) chaseEnded(x *Call) {
	ch := x.chase
	x.chase = nil
	if ch.open--; ch.open == 0 {
		c.chaseReady = append(c.chaseReady, ch)
		c.schedule(0)
	}
}

// tell takes in a wait of an owner that was asked about.
func (ch *chase) tell(w *wire.ChasedWait) {
	of, asked := ch.asked[w.Flow]
	known := func(i int) bool { return sameWait(&ch.waits[i].ChasedWait, w) }
	if !asked || len(ch.waits) >= chaseWaits || slices.ContainsFunc(of, known) {
		return
	}
	at := chaseWait{ChasedWait: *w}
	at.Client, at.Name = bytes.Clone(w.Client), bytes.Clone(w.Name)
	ch.asked[w.Flow] = append(of, len(ch.waits))
	ch.waits = append(ch.waits, at)
}

// own are the waits of the request itself.
func (ch *chase) own() (all []int) {
	for i := range ch.waits {
		if w := &ch.waits[i]; ch.of.isAt(&w.ChasedWait) {
			all = append(all, i)
		}
	}
	return all
}

// isAt reports whether a wait is that of the request, or one of several.
func (x *Call) isAt(w *wire.ChasedWait) bool {
	return w.Group == x.Group && w.Session == x.Session && w.Request == x.request
}

// walk goes from some waits of the request, which are its own, to whatever they wait for,
// the nearest first, until something leads back: to the whole request or, if turn is one
// of its waits, to that. It returns what it came to.
func (c *Core) walk(ch *chase, from []int, turn int) []int {
	for i := range ch.waits {
		ch.waits[i].from = fromNowhere
	}
	for _, i := range from {
		ch.waits[i].from = fromStart
	}
	flow, reached := c.flow(ch.of), slices.Clone(from)
	for n := 0; n < len(reached); n++ {
		w := &ch.waits[reached[n]]
		for j, b := range w.Blockers {
			at := turn >= 0 && bytes.Equal(ch.waits[turn].Name, w.Name)
			switch {
			case c.closes(ch.of, &w.ChasedWait, &b) && (at || !w.near(j)):
				ch.close(reached[n], b)
				return reached
			case b.Token != 0 && b.Flow == flow: // it is given back
				continue
			}
			for _, to := range ch.asked[b.Flow] {
				if ch.looks++; ch.looks > chaseLooks {
					return reached
				}
				switch v := &ch.waits[to]; {
				case !w.leads(j, v):
				case v.from == fromStart:
					v.turned = true
				case v.from == fromNowhere && (ch.of.isAt(&v.ChasedWait) ||
					ch.waits[from[0]].Yields(&v.ChasedWait)): // else that is the victim
					v.from, v.by = reached[n], b
					reached = append(reached, to)
				}
			}
		}
	}
	return reached
}

// leads reports whether the i-th blocker of w leads to v, which is of the same owner.
func (w *chaseWait) leads(i int, v *chaseWait) bool {
	b := &w.Blockers[i]
	return b.Token != 0 || v.Group == w.Group && v.Session == b.Session && v.Request == b.Request &&
		(!w.near(i) || bytes.Equal(w.Name, v.Name))
}

// near reports whether the i-th blocker of a wait keeps it only until it is in turn for
// the same name.
func (w *chaseWait) near(i int) bool { return i >= len(w.Blockers)-int(w.Near) }

// closes reports whether a blocker of a wait is the request's own: a hold of its owner,
// which nobody has begun to give back, or the request itself.
func (c *Core) closes(x *Call, w *wire.ChasedWait, b *wire.Blocker) bool {
	if b.Token == 0 {
		return w.Group == x.Group && b.Session == x.Session && b.Request == x.request
	}
	s := &c.groups[w.Group].session
	if s.state != sessionOpen || s.id != b.Session || b.Flow.Owner != x.promiser() {
		return false
	}
	for h := s.holds.head; h != nil; h = h.next {
		if b.Token >= h.Token && b.Token < h.Token+uint64(max(1, h.Wants.Len())) {
			return true
		}
	}
	return false
}

// close writes down the circle that a wait closes by a blocker.
func (ch *chase) close(i int, b wire.Blocker) {
	ch.waits[i].closing = b
	for ; i >= 0; i = ch.waits[i].from {
		ch.circle = append(ch.circle, &ch.waits[i])
	}
	slices.Reverse(ch.circle)
}

// edge is what is in the way of the i-th wait of the circle.
func (ch *chase) edge(i int) *wire.Blocker {
	if i+1 < len(ch.circle) {
		return &ch.circle[i+1].by
	}
	return &ch.circle[i].closing
}

// stands notes that a wait of the circle still waits, with the same in its way.
func (ch *chase) stands(w *wire.ChasedWait) {
	for i, v := range ch.circle {
		b := ch.edge(i)
		ch.seen[i] = ch.seen[i] || sameWait(&v.ChasedWait, w) &&
			slices.ContainsFunc(w.Blockers, func(o wire.Blocker) bool {
				return o.Flow == b.Flow && o.Session == b.Session && o.Token == b.Token &&
					(b.Token != 0 || o.Request == b.Request)
			})
	}
}

func sameWait(v, w *wire.ChasedWait) bool {
	return v.Group == w.Group && v.Session == w.Session && v.Request == w.Request &&
		bytes.Equal(v.Name, w.Name)
}

// judge cancels the request if all of the circle stood. If it was granted meanwhile, it
// has the lock, and there was nothing to be told.
func (c *Core) judge(ch *chase) {
	x, last := ch.of, ch.circle[len(ch.circle)-1]
	stood := !slices.Contains(ch.seen, false) && c.closes(x, &last.ChasedWait, &last.closing)
	first := ch.circle[0]
	if !stood || !x.isAt(&first.ChasedWait) {
		c.restChase(ch)
		return
	}
	err := &DeadlockError{Name: string(first.Name), Token: ch.edge(0).Token, Count: len(ch.circle)}
	for i, w := range ch.circle[:min(len(ch.circle), wire.MaxSteps)] {
		err.Steps = append(err.Steps, DeadlockStep{Client: string(w.Client), Session: w.Session,
			Owner: w.Flow.Owner, Name: string(w.Name), Token: ch.edge(i).Token})
	}
	c.restChase(ch)
	c.condemn(x, err)
}

// condemn cancels a request. Until that is answered the request is not sent, be it to
// another node or after a refusal as busy: the nodes remember no Cancel, and one that
// comes behind its own would wait, and be granted, for nobody.
func (c *Core) condemn(x *Call, verdict *DeadlockError) {
	x.chase.verdict = verdict
	c.startBackground(&Call{Kind: wire.KindCancel, Name: x.Name, Session: x.Session, Flags: x.Flags,
		Group: x.Group, target: x.request, Owner: x.Owner, of: x})
}

// condemned takes the answer to the Cancel of a request that is in a circle. One that
// was granted before finds its hold when it is sent again.
func (c *Core) condemned(g *group, x *Call, target uint64, status wire.Status) {
	switch {
	case x.state != StateOpen || x.request != target || !x.cancelled():
	case status == wire.StatusCancelled:
		if x.Kind == wire.KindConvert && x.Hold.is(x) {
			c.setMode(x.Hold, x.was, 0)
		}
		c.end(x, x.chase.verdict)
	default:
		c.acquit(x)
		g.dirty = true
		c.schedule(0)
	}
}

// cancelled reports whether a request is cancelled for a circle.
func (x *Call) cancelled() bool { return x.chase != nil && x.chase.verdict != nil }

// acquit has a request looked after again that was cancelled, to no effect.
func (c *Core) acquit(x *Call) {
	if !x.cancelled() {
		return
	}
	x.chase.verdict = nil
	c.chaseAt = min(c.chaseAt, x.chase.at)
	c.schedule(c.chaseAt)
}

// refused is why a request is not granted: what it was cancelled for, or what a node says.
func (c *Core) refused(x *Call, status wire.Status) error {
	if status == wire.StatusCancelled && x.cancelled() {
		return x.chase.verdict
	}
	return c.statusError(x, status)
}

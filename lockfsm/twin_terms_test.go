package lockfsm

import "slices"

// twinTerms are the terms of a claim of the twin.
type twinTerms struct {
	payload, labels string
	minHold, delay  Millis
	maxHold         Millis
	amended         RequestID
	owner           Owner // of a part
}

func newTerms(t *Terms) *twinTerms {
	x := &twinTerms{}
	x.take(t)
	return x
}

// take changes what t names.
func (x *twinTerms) take(t *Terms) {
	if t.Fields&TermPayload != 0 {
		x.payload = string(t.Payload)
	}
	if t.Fields&TermLabels != 0 {
		x.labels = string(t.Labels)
	}
	if t.Fields&TermMaxHold != 0 {
		x.maxHold = t.MaxHold
	}
	if t.Fields&TermMinHold != 0 {
		x.minHold = t.MinHold
	}
	if t.Fields&TermDelay != 0 {
		x.delay = t.Delay
	}
	if t.Fields&TermOwner != 0 {
		x.owner = t.Owner
	}
}

func (x *twinTerms) lingers() bool { return x != nil && x.minHold+x.delay > 0 }

// most is the max hold asked for, zero for none.
func (x *twinTerms) most() Millis {
	if x == nil {
		return 0
	}
	return x.maxHold
}

// most is when a hold is over by its max hold, zero for never.
func (t *twin) most(c *twinClaim) Time {
	if c.terms == nil || c.terms.maxHold == 0 {
		return 0
	}
	return c.since + Time(c.terms.maxHold) + Time(t.l.TickCap)
}

// overstayed returns the hold whose max hold is over first.
func (t *twin) overstayed() *twinClaim {
	var first *twinClaim
	for _, c := range t.claims() { // by stamp
		if c.on == nil && c.hold == nil && c.holds() && t.most(c) != 0 && t.most(c) <= t.now &&
			(first == nil || t.most(c) < t.most(first)) {
			first = c
		}
	}
	return first
}

// overstay ends a hold with its levels.
func (t *twin) overstay(c *twinClaim) {
	t.work -= len(c.levels)
	c.levels = nil
	t.event(EventLost, c, c.stamp)
	t.out.Events[len(t.out.Events)-1].Reason = ReasonMaxHold
	t.work -= 1 + t.part(c, endLost)
}

func timely(t *Terms, l *Limits) bool {
	if t.Fields&TermMaxHold != 0 && (t.MaxHold < l.HoldMin || t.MaxHold > l.HoldMax ||
		t.Fields&TermMinHold != 0 && t.MinHold > t.MaxHold) {
		return false
	}
	for field, d := range map[TermFields]Millis{TermMinHold: t.MinHold, TermDelay: t.Delay} {
		if t.Fields&field != 0 && (d < 1 || d > l.HoldMax) {
			return false
		}
	}
	return true
}

// lingering is how many claims of sessions may be kept.
func (t *twin) lingering() int {
	n := 0
	for _, c := range t.claims() {
		if c.terms.lingers() && !c.detached {
			n++
		}
	}
	return n
}

func lostOrFreed(c *twinClaim) EventKind {
	if c.kept {
		return EventFreed
	}
	return EventLost
}

// part ends a hold, or keeps it taken for a while.
func (t *twin) part(c *twinClaim, how ending) int {
	t.doubt(c, how)
	if c.terms == nil || c.on != nil || c.hold != nil || len(c.levels) > 0 || !c.holds() {
		return t.drop(c)
	}
	until := Time(0)
	if c.terms.minHold > 0 {
		until = c.since + Time(c.terms.minHold) + Time(t.l.TickCap)
	}
	if c.terms.delay > 0 && how == endLost {
		until = max(until, t.now+Time(c.terms.delay)+Time(t.l.TickCap))
	}
	if until <= t.now {
		return t.drop(c)
	}
	t.event(EventKept, c, c.stamp)
	if c.turn != nil {
		t.endTurn(c.turn)
	}
	if c.all != nil {
		*c.all = slices.DeleteFunc(*c.all, func(p *twinClaim) bool { return p == c })
		c.all, c.part = nil, 0
	}
	c.moved, c.owner, c.kept = false, 0, true
	c.terms.minHold, c.terms.delay, c.terms.maxHold, c.terms.owner = 0, 0, 0, 0
	c.s = &twinSession{id: 1<<62 | SessionID(c.stamp), deadline: until}
	if !c.detached {
		c.detached = true
		t.detached = append(t.detached, c)
	}
	return t.pump(c.lock, nil)
}

// data is what others see, also of a claim without terms.
func (x *twinTerms) data() Terms {
	if x == nil {
		return Terms{}
	}
	return Terms{Payload: []byte(x.payload), Labels: []byte(x.labels)}
}

func (x *twinTerms) bytes() int { return 128 + len(x.payload) + len(x.labels) }

// dataBytes is what the terms of all claims count for.
func (t *twin) dataBytes() int {
	n := 0
	for _, c := range t.claims() {
		if c.terms != nil {
			n += c.terms.bytes()
		}
	}
	for _, l := range t.locks { // order: sums
		n += l.value.bytes()
	}
	return n
}

func fitting(t *Terms) bool {
	return len(t.Payload) <= 4096 && len(t.Labels) <= 512 && len(t.Value) <= 4096
}

func amendable(c *Command) bool {
	return c.Flags&Wait == 0 && c.Request != 0 && c.Target != 0 && fitting(&c.Terms) &&
		c.Terms.Fields&^TermValue < TermMaxHold
}

// amend changes the data of a hold, unless a newer request has.
func (t *twin) amend(c *Command, res Result) Result {
	cl := t.find(c.Session, c.Target, res.Detached)
	for i := 0; cl != nil && cl.all != nil && i < len(*cl.all); i++ {
		if p := (*cl.all)[i]; p.lock.name == string(c.Name) {
			cl = p
			break
		}
	}
	if cl == nil || cl.hold != nil || !cl.holds() || !cl.place().knows(c.Token) ||
		cl.lock.name != string(c.Name) {
		return res.with(CodeNotHolder)
	}
	h := cl.place()
	next, before := twinTerms{}, 0
	if h.terms != nil {
		next, before = *h.terms, h.terms.bytes()
	}
	if c.Request <= next.amended {
		return res.with(CodeOK)
	}
	next.take(&c.Terms)
	next.amended = c.Request
	after, writes := next.bytes(), c.Terms.Fields&TermValue != 0
	switch {
	case writes && h.lock.capacity > 0:
		res.Capacity = h.lock.capacity
		return res.with(CodeOtherKind)
	case writes && h.mode != ModePW && h.mode != ModeEX:
		return res.with(CodeNotWriter)
	case writes:
		next := twinValue{data: string(c.Terms.Value)}
		before, after = before+h.lock.value.bytes(), after+next.bytes()
	}
	if after > before && t.dataBytes()-before+after > int(t.l.DataBytes) {
		return res.with(CodeTooMuchData)
	}
	h.terms = &next
	if writes {
		h.lock.value = twinValue{data: string(c.Terms.Value), token: h.stamp}
	}
	return res.with(CodeOK)
}

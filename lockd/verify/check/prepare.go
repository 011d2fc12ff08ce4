package check

import (
	"cmp"
	"fmt"
	"slices"
)

// grant is what is known beforehand of one token of a name.
type grant struct {
	token uint64
	first *Operation // the first Acquire that was told it; nil of a ghost
	met   *Operation // of a ghost, the first to have met it
	// mayEnd is when the hold may end without an answered Release, Open if never.
	mayEnd int64
	owner  uint64
	// modes are those that the hold may have, a bit for each; a ghost may have
	// several. So its permits lie between least and most.
	modes       uint8
	unsure      int64 // from when on it may have any of modes, whatever it was converted to
	least, most uint32
	entries     int // Acquires that were told the token
}

// step is an Operation on its way through the walk.
type step struct {
	*Operation
	grant int32 // of Token in history.grants, -1 if there is none
	to    int32 // the same of what a Convert makes of it
	bit   int16 // while it is under way, else -1
	// changes says that it can change the state: all but questions.
	changes bool
	// optional says that it need not happen.
	optional bool
	// crowded says that others may have waited when an Acquire was refused, excused
	// that a grant nobody heard of may have been in the way.
	crowded, excused bool
}

// event is the call or the return of a step.
type event struct {
	at   int64
	step int32
	back bool // it is the return
}

// history is one name, ready for the walk.
type history struct {
	name     string
	capacity uint32
	grants   []grant // by token
	steps    []step
	events   []event
	// entered are the owners of which an Acquire has no outcome: by when the first
	// was called.
	entered map[uint64]int64
	ghosts  int
	unheard []*Operation // Acquires that may have been granted unheard
}

// newHistory prepares the operations of one name. A Violation is what no order can
// explain.
func newHistory(all []*Operation) (*history, *Violation) {
	h := &history{name: all[0].Name, entered: make(map[uint64]int64)}
	if v := h.findGrants(all); v != nil {
		return nil, v
	}
	if v := h.findGhosts(all); v != nil {
		return nil, v
	}
	seen := h.valuesSeen(all)
	for _, o := range all {
		h.add(o, seen)
	}
	h.order()
	h.crowds()
	return h, nil
}

// findGrants collects the tokens that callers were told.
func (h *history) findGrants(all []*Operation) *Violation {
	at := make(map[uint64]int)
	for _, o := range all {
		h.capacity = max(h.capacity, o.Capacity)
		if o.Kind == Convert && o.Outcome == Done {
			if v := h.findTurn(o, at); v != nil {
				return v
			}
			continue
		}
		if o.Kind != Acquire || o.Outcome != Done {
			continue
		}
		i, known := at[o.Token]
		if o.Token == 0 {
			return violation(RuleToken, o, nil, "token zero is granted to nobody")
		}
		if !known {
			at[o.Token] = len(h.grants)
			h.grants = append(h.grants, grant{token: o.Token, first: o, mayEnd: Open, unsure: Open,
				owner: o.Owner, modes: 1 << o.Mode, least: o.Permits, most: o.Permits, entries: 1})
			continue
		}
		g := &h.grants[i]
		if g.entries++; o.Owner == 0 || o.Owner != g.owner {
			return violation(RuleToken, o, g.first, "the same token was granted twice")
		}
		if o.Call < g.first.Call {
			g.first = o
		}
	}
	slices.SortFunc(h.grants, func(a, b grant) int { return cmp.Compare(a.token, b.token) })
	return nil
}

// findTurn collects the token of a Convert.
func (h *history) findTurn(o *Operation, at map[uint64]int) *Violation {
	weaker := o.Was.noStronger(o.Mode)
	i, known := at[o.Newest]
	switch {
	case o.Newest == o.Token && weaker:
		return nil
	case o.Newest <= o.Token:
		return violation(RuleToken, o, nil, "a mode that is stronger came without a larger token")
	case known:
		return violation(RuleToken, o, h.grants[i].first, "the same token was granted twice")
	}
	at[o.Newest] = len(h.grants)
	h.grants = append(h.grants, grant{token: o.Newest, first: o, mayEnd: Open, unsure: Open,
		modes: 1 << o.Mode, entries: 1})
	return nil
}

// find returns where the grant of a token is, or -1.
func (h *history) find(token uint64) int32 {
	i, ok := slices.BinarySearchFunc(h.grants, token, func(g grant, t uint64) int {
		return cmp.Compare(g.token, t)
	})
	if !ok {
		return -1
	}
	return int32(i)
}

// ghost is a token that somebody met and nobody was told of.
type ghost struct {
	token uint64
	by    *Operation // the first to have met it
	// known is what a Get says of it, nil if none does.
	known *Holder
}

// findGhosts adds grants, and the Acquires that they came of, for all ghosts.
func (h *history) findGhosts(all []*Operation) *Violation {
	met := h.meet(all)
	var asked []*Operation
	for _, o := range all {
		if o.Kind != Acquire && o.Kind != Convert {
			continue
		}
		n := o.Again
		if o.Outcome == Uncertain {
			n++
		}
		for range n {
			asked = append(asked, o)
		}
	}
	slices.SortStableFunc(asked, func(a, b *Operation) int { return cmp.Compare(a.Call, b.Call) })
	h.unheard, h.ghosts = asked, len(met)
	for i, g := range met {
		if i >= len(asked) || asked[i].Call > g.by.Return {
			return violation(RuleToken, g.by, nil,
				fmt.Sprintf("token %d was granted to nobody who asked before", g.token))
		}
		h.haunt(&met[i], asked, asked[i].Call)
	}
	slices.SortFunc(h.grants, func(a, b grant) int { return cmp.Compare(a.token, b.token) })
	return nil
}

// meet finds the ghosts, by token: that is the order in which they were granted, so
// the first to have asked is best taken for the first.
func (h *history) meet(all []*Operation) []ghost {
	at := make(map[uint64]int)
	var met []ghost
	see := func(o *Operation, token uint64, known *Holder) {
		if token == 0 || h.find(token) >= 0 {
			return
		}
		i, ok := at[token]
		if !ok {
			i = len(met)
			at[token], met = i, append(met, ghost{token: token, by: o})
		}
		if o.Return < met[i].by.Return {
			met[i].by = o
		}
		if known != nil {
			met[i].known = known
		}
	}
	for _, o := range all {
		switch {
		case o.Kind == Acquire && o.Outcome == Refused:
			see(o, o.Token, nil)
		case o.Kind == Get && o.Outcome == Done:
			for k := range o.Holders {
				see(o, o.Holders[k].Token, &o.Holders[k])
			}
		case o.Kind == Test && o.Outcome == Done:
			if see(o, o.Newest, nil); o.Current {
				see(o, o.Token, nil)
			}
		}
	}
	slices.SortFunc(met, func(a, b ghost) int { return cmp.Compare(a.token, b.token) })
	return met
}

// haunt adds the grant of a ghost, which may have been of any of those that had
// asked when it was met.
func (h *history) haunt(g *ghost, asked []*Operation, from int64) {
	add := grant{token: g.token, met: g.by, mayEnd: from, unsure: Open, least: ^uint32(0), entries: 1}
	for _, o := range asked {
		if o.Call > g.by.Return {
			break
		}
		could := uint8(1) << o.Mode
		if o.Kind == Convert { // it is undone, if nobody has heard of it
			could |= 1 << o.Was
		}
		if k := g.known; k != nil && (could>>k.Mode&1 == 0 || o.Permits != k.Permits) {
			continue
		}
		add.modes |= could
		add.least, add.most = min(add.least, o.Permits), max(add.most, o.Permits)
	}
	h.grants = append(h.grants, add)
	of := &Operation{Call: from, Return: g.by.Return, Name: h.name, Token: g.token, Kind: Acquire,
		Outcome: Done, Client: g.by.Client, Worker: g.by.Worker}
	h.steps = append(h.steps, step{Operation: of, grant: -1, bit: -1, changes: true})
}

// valuesSeen are the values that somebody read.
func (h *history) valuesSeen(all []*Operation) map[string]bool {
	seen := make(map[string]bool)
	for _, o := range all {
		if o.Reads != nil && o.Outcome == Done {
			seen[o.Reads.Data] = true
		}
	}
	return seen
}

// add takes an operation in, unless it makes no difference to anybody.
func (h *history) add(o *Operation, seen map[string]bool) {
	s := step{Operation: o, grant: h.find(o.Token), bit: -1}
	s.changes = o.Kind == Convert || o.Kind == Release || o.Kind == Force || o.Kind == Write ||
		o.Kind == Acquire && o.Outcome != Refused
	s.optional = o.Outcome == Uncertain
	switch {
	case o.Kind == Loss, o.Kind == Force && s.optional:
		h.loosen(s.grant, o.Call)
		return
	case o.Kind == Convert && s.optional:
		// What becomes of the hold, and of its token, only the nodes know.
		if h.loosen(s.grant, o.Call); s.grant >= 0 {
			g := &h.grants[s.grant]
			g.modes, g.unsure = g.modes|1<<o.Mode|1<<o.Was, min(g.unsure, o.Call)
		}
		return
	case o.Kind == Release && s.optional:
		if s.grant < 0 || h.grants[s.grant].entries < 2 {
			h.loosen(s.grant, o.Call)
			return
		}
	case o.Kind == Acquire && s.optional:
		if o.Owner == 0 || !h.owns(o.Owner) {
			return // a ghost, if anybody met it
		}
		if at, ok := h.entered[o.Owner]; !ok || o.Call < at {
			h.entered[o.Owner] = o.Call
		}
		return
	case o.Kind == Write && s.optional && !seen[o.Value]:
		return
	case s.optional && !s.changes:
		return
	}
	h.steps = append(h.steps, s)
}

// loosen notes that a hold may end from a moment on.
func (h *history) loosen(g int32, from int64) {
	if g >= 0 {
		h.grants[g].mayEnd = min(h.grants[g].mayEnd, from)
	}
}

// owns reports whether an owner was ever granted the lock.
func (h *history) owns(owner uint64) bool {
	return slices.ContainsFunc(h.grants, func(g grant) bool { return g.owner == owner })
}

// order sorts calls and returns. At one moment calls come first: they may overlap.
func (h *history) order() {
	h.events = make([]event, 0, 2*len(h.steps))
	for i := range h.steps {
		s := &h.steps[i]
		s.grant = h.find(s.Token) // ghosts have come between
		if s.Kind == Convert {
			s.to = h.find(s.Newest)
		}
		h.events = append(h.events, event{at: s.Call, step: int32(i)})
		if s.Return != Open {
			h.events = append(h.events, event{at: s.Return, step: int32(i), back: true})
		}
	}
	slices.SortStableFunc(h.events, func(a, b event) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case a.back == b.back:
			return 0
		case a.back:
			return 1
		default:
			return -1
		}
	})
}

// crowds finds the refused Acquires during which others may have waited, or a
// grant nobody heard of stood.
func (h *history) crowds() {
	firstUnheard := int64(Open)
	if len(h.unheard) > 0 {
		firstUnheard = h.unheard[0].Call
	}
	forEver := int64(Open) // since when one may wait of whom nobody knows better
	for _, o := range h.unheard {
		if o.Waits == Queues {
			forEver = min(forEver, o.Call)
		}
	}
	waiting := 0
	var refused []int32 // under way
	for _, e := range h.events {
		s := &h.steps[e.step]
		if s.Kind != Acquire && s.Kind != Convert {
			continue
		}
		switch waits := s.Waits == Queues; {
		case waits && e.back:
			waiting--
		case waits:
			waiting++
			for _, r := range refused {
				h.steps[r].crowded = true
			}
		case s.Outcome != Refused:
		case e.back:
			s.excused = s.excused || firstUnheard <= s.Return
			s.crowded = s.crowded || forEver <= s.Return
			refused = slices.DeleteFunc(refused, func(r int32) bool { return r == e.step })
		default:
			s.crowded = waiting > 0
			refused = append(refused, e.step)
		}
	}
}

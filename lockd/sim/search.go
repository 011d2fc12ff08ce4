package sim

import (
	"time"

	"lockd/lockd/faulttest/history"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// witness records what clients asked and were answered, by true time and without
// a slot, for a search that knows nothing of logs (G2). It takes part in worlds
// made for it: every lock is taken exclusively there, by sessions.
type witness struct {
	w   *World
	ops []*history.Operation
	// asked counts the operations of a name; what began after over is not
	// judged any more, because a search takes long in what is large.
	asked map[string]int
	over  map[string]int64
}

// maxAsked is how many operations of one name are judged, and maxOpen how many
// acquires among them may have no answer: the search tries each at any moment.
const (
	maxAsked = 120
	maxOpen  = 4
)

func newWitness(w *World) *witness {
	return &witness{w: w, asked: make(map[string]int), over: make(map[string]int64)}
}

// begin notes that a call is sent for the first time.
func (s *witness) begin(k *call) {
	if s == nil || k.op != nil {
		return
	}
	o := &history.Operation{Began: int64(s.w.agenda.Now()), Ended: history.Open, Name: k.q.Name,
		Owner: uint64(k.q.Group)<<48 | k.q.Session, Token: k.q.Token}
	switch k.q.Kind {
	case wire.KindAcquire:
		o.Kind = history.Acquire
		if k.flags&wire.FlagWait != 0 {
			o.Waits = history.Queues
		}
	case wire.KindRelease:
		o.Kind = history.Release
	case wire.KindGet:
		o.Kind, o.Owner = history.Look, 0
	default:
		return
	}
	k.op = o
	s.ops = append(s.ops, o)
	if s.asked[k.q.Name]++; s.asked[k.q.Name] == maxAsked {
		s.over[k.q.Name] = o.Began
	}
}

// answered notes the definite answer to a call.
func (s *witness) answered(k *call, x *wire.Response, holders []uint64) {
	if s == nil || k.op == nil {
		return
	}
	o := k.op
	o.Ended = int64(s.w.agenda.Now())
	switch {
	case x.Status == wire.StatusOK:
		o.Outcome, o.Holders = history.Granted, holders
		if o.Kind == history.Acquire {
			o.Token = x.Token
		}
	case o.Kind == history.Look && x.Status == wire.StatusNotFound:
		o.Outcome = history.Granted
	case o.Kind == history.Acquire && x.Status == wire.StatusHeld:
		o.Outcome, o.Token = history.Refused, x.Token
	case o.Kind == history.Release && x.Status == wire.StatusNotHolder && k.sends > 1:
		o.Ended = history.Open // an earlier send may have done it
	case o.Kind == history.Release && x.Status == wire.StatusNotHolder:
		o.Outcome = history.Refused
	default:
		o.Kind = 0 // it is known that nothing happened
	}
}

// cancelled notes that a call was given up before it was granted.
func (s *witness) cancelled(k *call) {
	if s != nil && k.op != nil {
		k.op.Kind = 0
	}
}

// mayEnd notes from when on a hold of a session may end unasked: not before the
// lease has passed since the last answered renewal was sent (G6), or the session
// began to be closed.
func (s *witness) mayEnd(m *membership, h *hold) {
	if s == nil || h.owner != 0 {
		return
	}
	lease := int64(s.w.opts.Lease) * int64(millisecond)
	at := int64(m.renewed) + lease - lease*(s.w.opts.Drift+1000)/1_000_000
	if m.closing != 0 {
		at = min(at, int64(m.closing))
	}
	if h.op == nil {
		h.op = &history.Operation{Kind: history.Expire, Name: h.name, Token: h.token,
			Ended: history.Open}
		s.ops = append(s.ops, h.op)
	}
	h.op.Began = at
}

// judge searches an order that explains all answers.
func (s *witness) judge() {
	if s == nil || s.w.failure != nil {
		return
	}
	s.bound()
	var all []history.Operation
	for _, o := range s.ops {
		over, cut := s.over[o.Name]
		switch {
		case o.Kind == 0 && o.Ended <= over, o.Kind == 0 && !cut:
			continue
		case cut && o.Began > over:
			continue
		}
		copied := *o
		if cut && o.Ended > over {
			copied.Ended, copied.Outcome = history.Open, history.Uncertain
			if o.Kind == 0 || o.Kind == history.Look {
				continue
			}
			if o.Kind == history.Acquire {
				copied.Token = 0
			}
		}
		all = append(all, copied)
	}
	// No search takes seconds: what is judged of a name is bounded. One that did would
	// be no verdict, and on another machine perhaps one.
	const patience = time.Minute
	r := history.Check(history.Mutex(), all, patience)
	s.w.covered["operations searched"] += uint64(r.Operations)
	s.w.covered["holds nobody was told of"] += uint64(r.Ghosts)
	for _, f := range r.Failures {
		s.w.failf("G2: %q: %w:\n%s", f.Name, f.Err, f.Text)
	}
}

// bound ends what is judged of a name before too much of it is open.
func (s *witness) bound() {
	open := make(map[string]int)
	for _, o := range s.ops {
		if o.Kind != history.Acquire || o.Ended != history.Open {
			continue
		}
		if open[o.Name]++; open[o.Name] == maxOpen+1 {
			if over, cut := s.over[o.Name]; !cut || o.Began <= over {
				s.over[o.Name] = o.Began - 1
			}
		}
	}
}

// searched makes a world whose histories can be searched.
func searched(o *Options) {
	o.Search, o.Cores = true, 0
	o.Clients = min(o.Clients, 6)
	o.Breaking = min(o.Breaking, 30*second)
	o.Think = max(o.Think, 100*millisecond)
	o.Names = max(o.Names, 3)
}

// exclusive is what every acquire of a searched world asks for.
func (k *call) exclusive() {
	k.mode, k.weight, k.q.Mode = wire.ModeEX, 0, lockfsm.ModeEX
}

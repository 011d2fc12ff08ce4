package sim

import (
	"cmp"
	"maps"
	"slices"

	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// past is which holds ended, as the nodes told it first. Every node keeps a history of its
// own, in memory that outlasts its lives, and must tell the same: what a node says that
// it knows, it knows whole, and each hold once.
type past struct {
	ended map[pastSlot][]pastEnd
	// of are the slots in which holds of a name ended.
	of map[lockName]map[uint64]bool
}

type pastSlot struct {
	group uint16
	slot  uint64
}

// pastEnd is one hold that ended.
type pastEnd struct {
	name  string
	how   lockfsm.HoldEnd
	token lockfsm.Token
	mode  lockfsm.Mode
}

func newPast() past {
	return past{ended: make(map[pastSlot][]pastEnd), of: make(map[lockName]map[uint64]bool)}
}

// remembers is the history of one life of a node. It answers nobody: judgePast asks.
type remembers struct{ *process }

// pastBytes bounds a history: as little as there can be, so that some of it goes.
const pastBytes = history.MinBytes

// openPast opens what earlier lives of the node noted.
func (p *process) openPast() error {
	var err error
	p.past, err = history.Open(p.site.past, history.Options{Bytes: pastBytes,
		Wall:   func() int64 { return int64(p.w.agenda.Now() / millisecond) },
		Damage: func(segment uint64, at int64) { p.w.failf("history: damage in %d at %d", segment, at) }})
	return err
}

// Note implements node.History.
func (r remembers) Note(x *node.HistoryNote) {
	if len(x.Ended) > 0 {
		r.w.noted(r.process, x)
	}
	r.past.Note(x)
	if r.notes++; r.notes%64 == 0 {
		r.w.check(r.past.Keep())
	}
}

// Ask implements node.History.
func (r remembers) Ask(node.HistoryRequest) bool { return false }

// noted compares what a node tells of a slot with what the first told.
func (w *World) noted(p *process, x *node.HistoryNote) {
	var all []pastEnd
	for i := range x.Ended {
		e := &x.Ended[i]
		all = append(all, pastEnd{string(e.Name), e.How, e.Token, e.Mode})
		name := lockName{x.Group, string(e.Name)}
		if w.past.of[name] == nil {
			w.past.of[name] = make(map[uint64]bool)
		}
		w.past.of[name][x.To] = true
		w.covered["hold ended: "+e.How.String()]++
		switch {
		case e.Permits > 0:
		case e.How == lockfsm.HoldConverted:
			w.covered[convertedText(e.Mode, e.To)]++
		default:
			w.covered[heldText(e.Mode)]++
		}
	}
	key := pastSlot{x.Group, x.To}
	if old, known := w.past.ended[key]; known && !slices.Equal(old, all) {
		w.failf("I13: node %d tells that in slot %d of group %d ended %v, another told %v", p.site.id,
			x.To, x.Group, all, old)
	}
	w.past.ended[key] = all
}

// judgePast asks the history of every node that runs for all names, after a restart.
func (w *World) judgePast() {
	names := slices.SortedFunc(maps.Keys(w.past.of), func(a, b lockName) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.name, b.name))
	})
	for _, s := range w.sites {
		if s.proc == nil || w.failure != nil {
			continue
		}
		w.check(s.proc.past.Sync())
		w.check(s.proc.openPast())
		for _, name := range names {
			if w.failure == nil {
				w.judgeName(s, name)
			}
		}
	}
}

// judgeName compares what one node knows of a name with what ended.
func (w *World) judgeName(s *site, name lockName) {
	q := wire.History{ToMillis: 1 << 62, Name: []byte(name.name)}
	told := make(map[uint64][]pastEnd)
	var spans []wire.Span
	for {
		d := s.proc.past.Answer(&node.HistoryRequest{Group: name.group, History: q})
		page, err := wire.DecodeHistoryPage(d.Page)
		if err != nil || page.Flags != 0 {
			w.failf("history of node %d: %w, flags %d", s.id, err, page.Flags)
			return
		}
		for i := range page.Holds { // newest first
			h := &page.Holds[i]
			told[h.Slot] = slices.Insert(told[h.Slot], 0, pastEnd{name.name, lockfsm.HoldEnd(h.How),
				lockfsm.Token(h.Token), lockfsm.Mode(h.Mode)})
		}
		if spans = page.Spans; page.Block == 0 {
			break
		}
		q.Block, q.Index = page.Block, page.Index
	}
	for slot := range w.past.of[name] { // order: all must hold
		known := slices.ContainsFunc(spans, func(x wire.Span) bool {
			return x.After < slot && slot <= x.To
		})
		want := slices.DeleteFunc(slices.Clone(w.past.ended[pastSlot{name.group, slot}]),
			func(e pastEnd) bool { return e.name != name.name })
		if got := told[slot]; !slices.Equal(got, want) && (known || got != nil) {
			w.failf("history: node %d tells that of %q in slot %d of group %d ended %v, not %v; it "+
				"knows %v", s.id, name.name, slot, name.group, got, want, spans)
			return
		}
		delete(told, slot)
	}
	if len(told) > 0 {
		w.failf("history: node %d tells of %q in group %d what never ended: %v", s.id, name.name,
			name.group, told)
	}
}

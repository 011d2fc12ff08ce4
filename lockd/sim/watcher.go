package sim

import (
	"fmt"
	"slices"

	lockclient "lockd/client"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// watcher is a client of production that does nothing but watch and ask. It is
// held to the end of the world against what the log says: it must never be told a
// state that never was, nor go back, and know the last when all is right again.
type watcher struct {
	*coreClient
	watches []*standing
	last    map[toldName]told
	// ended is the prefix of a watch that has ended, and what it was told.
	ended standing
}

// standing is one watch.
type standing struct {
	lockclient.Call
	// told is what it heard last of each name.
	told map[string]lockclient.WatchEvent
	// resumed says that it went on from what another was told.
	resumed bool
}

// toldName is a lock as one watch sees it, toldPush a push by its request.
type toldName struct {
	conn    *conn
	request uint64
	name    string
}

type told struct{ slot uint64 }

func newWatcher(w *World, id int) *watcher {
	return &watcher{coreClient: newCoreClient(w, 50+id), last: make(map[toldName]told)}
}

// begin lets the client dial and watch.
func (x *watcher) begin() {
	x.coreClient.after = x.look
	x.coreClient.frames = x.pushed
	x.core.Reach(x.now())
	x.carryOut()
	x.work()
}

func (x *watcher) work() {
	x.w.agenda.After(x.dice.around(max(x.w.opts.Think, 200*millisecond)), func() {
		if x.away <= x.w.agenda.Now() && x.core.Groups() > 0 && !x.leaving {
			x.task()
			x.carryOut()
		}
		x.work()
	})
}

// maxStanding bounds the watches of a watcher.
const maxStanding = 6

func (x *watcher) task() {
	switch n := x.dice.IntN(100); {
	case n < 40 && len(x.watches) < maxStanding:
		x.watch()
	case n < 50 && len(x.watches) > 1:
		x.end(x.dice.IntN(len(x.watches)))
	case n < 70 && len(x.calls) < maxCalls:
		x.start(&coreCall{Call: lockclient.Call{Kind: wire.KindWhy, Name: x.lockName(),
			Mode: wire.ModeEX, Timeout: x.timeout()}})
	case n < 80 && len(x.calls) < maxCalls:
		x.start(&coreCall{Call: lockclient.Call{Kind: wire.KindTop, Timeout: x.timeout(),
			Node: uint16(1 + x.dice.IntN(x.w.opts.Nodes))}})
	case n < 83 && !x.w.healing:
		// It reads nothing for a while: what comes meanwhile comes late.
		x.away = x.w.agenda.Now() + x.dice.length(0, 3*second)
	}
}

func (x *watcher) watch() {
	s := &standing{told: make(map[string]lockclient.WatchEvent)}
	s.Kind, s.Name = wire.KindWatch, x.lockName()
	s.View = lockclient.NewView(s.Name, lockclient.Version{})
	if x.dice.permille(400) {
		s.View, s.Group = lockclient.NewPrefixView(nil), uint16(x.dice.IntN(x.w.opts.Groups))
		s.Name = s.Name[:x.dice.IntN(len(s.Name))]
		if x.ended.told != nil {
			s = x.again()
		}
	}
	x.watches = append(x.watches, s)
	x.core.Start(&s.Call)
}

// again returns a watch of many that goes on from what one that has ended was told:
// it must hear of nothing that it knows, and know the last in the end.
func (x *watcher) again() *standing {
	s := &standing{told: x.ended.told, resumed: true}
	s.Kind, s.Name, s.Group = wire.KindWatch, x.ended.Name, x.ended.Group
	known := make(map[string]lockclient.Version, len(s.told))
	for name, e := range s.told { // order: a map is built
		known[name] = e.Version
	}
	s.View, x.ended = lockclient.NewPrefixView(known), standing{}
	return s
}

func (x *watcher) end(i int) {
	if s := x.watches[i]; s.Prefix() {
		x.ended = standing{told: s.told}
		x.ended.Name, x.ended.Group = s.Name, s.Group
	}
	x.core.Abandon(&x.watches[i].Call, errGaveUp)
	x.watches = slices.Delete(x.watches, i, i+1)
}

// look takes the events that have come and holds them against the log.
func (x *watcher) look() {
	for i := 0; i < len(x.watches); i++ {
		s := x.watches[i]
		for e, ok := s.View.Next(); ok; e, ok = s.View.Next() {
			x.heard(s, &e)
		}
		if s.State() == lockclient.StateDone {
			if s.Err != nil && !expected(s.Err) {
				x.w.failf("%s: watch of %q ended as %v", x.name(), s.Name, s.Err)
			}
			x.watches = slices.Delete(x.watches, i, i+1)
			i--
		}
	}
}

func (x *watcher) heard(s *standing, e *lockclient.WatchEvent) {
	x.w.covered["watch told"]++
	x.w.covered["watch told "+e.Change.String()]++
	last, known := s.told[e.Name]
	if known && e.Version.Slot < last.Version.Slot {
		x.w.failf("%s: watch of %q goes back from slot %d to %d", x.name(), e.Name,
			last.Version.Slot, e.Version.Slot)
	}
	if s.resumed {
		x.w.covered["watch told on from what is known"]++
	}
	if s.resumed && known && e.Version.State == last.Version.State {
		x.w.failf("%s: watch of %q is told of %q at slot %d what it knew at slot %d", x.name(), s.Name,
			e.Name, e.Version.Slot, last.Version.Slot)
	}
	x.w.check(x.w.models[s.Group].Told(e.Name, e.Version.Slot, check.Told{Holders: e.Holders,
		Waiters: e.Waiters, Token: lockfsm.Token(e.Token)}))
	s.told[e.Name] = *e
}

// pushed holds every push against the log, whether the client goes by it or not.
func (x *watcher) pushed(from *conn, h wire.Header, body []byte) {
	w := x.w
	switch h.Kind {
	case wire.KindWatched:
		p, err := wire.DecodeWatched(body)
		if err != nil {
			w.failf("node %d sends a push that does not decode: %v", from.p.site.id, err)
			return
		}
		key := toldName{from, h.Request, string(p.Name)}
		if p.Slot < x.last[key].slot {
			w.failf("node %d tells %q at slot %d after slot %d", from.p.site.id, p.Name, p.Slot,
				x.last[key].slot)
		}
		x.last[key] = told{p.Slot}
		if q := x.asked[h.Request]; q != nil && p.Slot < q.Floor {
			w.failf("I24: watch of group %d began after slot %d was answered, and is told slot %d",
				h.Group, q.Floor, p.Slot)
		}
		w.check(w.models[h.Group].Told(string(p.Name), p.Slot, check.Told{Holders: int(p.Holders),
			Waiters: int(p.Waiters), Token: lockfsm.Token(p.Token)}))
	case wire.KindWatchSynced:
		if _, err := wire.DecodeWatchSynced(body); err != nil {
			w.failf("node %d sends a push that does not decode: %v", from.p.site.id, err)
		}
		w.covered["prefix told"]++
	}
}

// placed holds what one who waits is told of its place against the log.
func (c *coreClient) placed(from *conn, h wire.Header, body []byte) {
	x, err := wire.DecodeWaiting(body)
	if err != nil {
		c.w.failf("node %d sends a push that does not decode: %v", from.p.site.id, err)
		return
	}
	c.w.covered["place told"]++
	info := &x.Info
	if x.Position == 0 || x.Position > info.WaiterCount {
		c.w.failf("node %d tells place %d of %d", from.p.site.id, x.Position, info.WaiterCount)
	}
	c.w.check(c.w.models[h.Group].Told(string(info.Name), x.Slot, toldBy(info)))
	c.w.check(c.w.models[h.Group].Shown(x.Slot, info))
}

// blocked holds what a Why says against the log.
func (w *World) blocked(group uint16, name string, slot uint64, payload []byte) {
	x, err := wire.DecodeBlockage(payload)
	if err != nil {
		w.failf("why of group %d does not decode: %v", group, err)
		return
	}
	w.covered["why told"]++
	w.check(w.models[group].Told(name, slot, toldBy(&x.Info)))
	w.check(w.models[group].Shown(slot, &x.Info))
}

// askedAbout is the lock that a Why is about.
func askedAbout(body []byte) (string, error) {
	x, err := wire.DecodeWhy(body)
	return string(x.Name), err
}

// toldBy is what a LockInfo says. A Waiting leaves out all holders but the first.
func toldBy(x *wire.LockInfo) check.Told {
	t := check.Told{Holders: int(x.HolderCount), Waiters: int(x.WaiterCount)}
	if k := len(x.Holders); k > 0 && k == t.Holders {
		t.Token = lockfsm.Token(x.Holders[k-1].Token)
	}
	return t
}

// allTold wants every watch to know how its locks stand.
func (w *World) allTold() string {
	for _, x := range w.watchers {
		if x.stranded() {
			continue
		}
		for _, s := range x.watches {
			m := w.models[s.Group]
			for _, name := range w.names[s.Group] {
				e, known := s.told[name]
				if s.Prefix() && !hasPrefix(name, s.Name) || !s.Prefix() && name != s.Name {
					continue
				}
				if !known && !s.Prefix() {
					return fmt.Sprintf("%s has heard nothing of %q", x.name(), name)
				}
				err := m.Told(name, m.Slot(), check.Told{Holders: e.Holders, Waiters: e.Waiters,
					Token: lockfsm.Token(e.Token)})
				if err != nil {
					return fmt.Sprintf("%s was told last as of slot %d: %v", x.name(),
						e.Version.Slot, err)
				}
			}
			w.covered["watch knows the last"]++
		}
	}
	return ""
}

// Prefix reports whether the watch is of many names.
func (s *standing) Prefix() bool { return s.View.Prefix() }

func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && name[:len(prefix)] == prefix
}

// judgeWatchers wants every watch to know the last, and to leave nothing behind.
func (w *World) judgeWatchers() {
	for _, x := range w.watchers {
		x.away = min(x.away, w.agenda.Now())
	}
	w.await("I24: every watch knows the last", 20*second, w.allTold)
	w.watchersLeave()
	w.await("I32: watchers gone", 20*second, w.watchersGone)
}

// watchersLeave ends the watchers.
func (w *World) watchersLeave() {
	for _, x := range w.watchers {
		x.leaving = true
		x.core.Close()
		x.watches = nil
		x.carryOut()
	}
}

// watchersGone wants them to have nothing open.
func (w *World) watchersGone() string {
	for _, x := range w.watchers {
		if !x.gone() {
			return fmt.Sprintf("%s has %d calls open", x.name(), len(x.calls))
		}
	}
	return ""
}

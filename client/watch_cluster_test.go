package client

import (
	"fmt"
	"slices"
	"strings"

	"lockd/netio/wire"
)

// dumbWatch is one watch of a dumbCluster: it remembers what it told of each name.
type dumbWatch struct {
	conn    int
	request uint64
	x       wire.Watch
	told    map[string]string
	synced  bool
}

// onWatch takes what is about watches.
func (d *dumbCluster) onWatch(g *dumbGroup, p proposal) (r wire.Response, answer bool) {
	switch p.h.Kind {
	case wire.KindWhy:
		return d.why(g, p), true
	case wire.KindWatch:
		if p.conn >= 0 {
			d.watch(g, p)
		}
		return wire.Response{}, false
	default:
		x, _ := wire.DecodeUnwatch(p.body)
		d.unwatch(g, p.conn, x.Target)
		return wire.Response{Status: wire.StatusOK}, true
	}
}

// watch takes a Watch; one of the same request takes the place of the first.
func (d *dumbCluster) watch(g *dumbGroup, p proposal) {
	x, err := wire.DecodeWatch(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	x.Name = slices.Clone(x.Name)
	d.unwatch(g, p.conn, p.h.Request)
	g.watches = append(g.watches, &dumbWatch{p.conn, p.h.Request, x, map[string]string{}, false})
}

func (d *dumbCluster) unwatch(g *dumbGroup, conn int, request uint64) bool {
	n := len(g.watches)
	g.watches = slices.DeleteFunc(g.watches, func(w *dumbWatch) bool {
		return w.conn == conn && w.request == request
	})
	return len(g.watches) < n
}

// stateOf is how a lock stands.
func (g *dumbGroup) stateOf(name string) wire.Watched {
	x := wire.Watched{Slot: g.slot, Name: []byte(name), Change: wire.ChangePresent}
	if l := g.locks[name]; l != nil && len(l.holds)+len(l.queue) > 0 {
		x.Holders, x.Waiters = uint32(len(l.holds)), uint32(len(l.queue))
		if k := len(l.holds); k > 0 {
			x.Token, x.Session, x.Mode = l.holds[k-1].token, l.holds[k-1].session, l.holds[k-1].mode
			for _, b := range l.holds[k-1].terms.Payload {
				x.Data = x.Data*31 + uint64(b) + 1
			}
		}
	}
	return x
}

// tellWatches tells every watch what has changed. Every look is a slot.
func (d *dumbCluster) tellWatches() {
	for i, g := range d.groups {
		g.slot++
		for _, w := range g.watches {
			if d.conns[w.conn] != nil && !d.quiet {
				d.tell(wire.Header{Group: uint16(i), Request: w.request}, g, w)
			}
		}
	}
}

func (d *dumbCluster) tell(h wire.Header, g *dumbGroup, w *dumbWatch) {
	switch w.x.Scope {
	case wire.ScopeLock:
		d.tellName(h, g, w, string(w.x.Name))
	case wire.ScopeWaiter:
		d.tellPlace(h, g, w)
	default:
		var names []string
		for name, l := range g.locks {
			inUse := len(l.holds)+len(l.queue) > 0
			if strings.HasPrefix(name, string(w.x.Name)) && (inUse || w.told[name] != "") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		first := !w.synced
		if first {
			w.synced = true
			d.send(w.conn, wire.AppendWatchSynced(nil, h, &wire.WatchSynced{Slot: g.slot, Phase: 1}))
		}
		for _, name := range names {
			d.tellName(h, g, w, name)
		}
		if first {
			d.send(w.conn, wire.AppendWatchSynced(nil, h, &wire.WatchSynced{Slot: g.slot, Phase: 2}))
		}
	}
}

func (d *dumbCluster) tellName(h wire.Header, g *dumbGroup, w *dumbWatch, name string) {
	x := g.stateOf(name)
	state := fmt.Sprint(x.Token, x.Holders, x.Waiters, x.Data)
	switch {
	case w.told[name] == state:
		return
	case w.told[name] == "":
	case x.Holders > 0 && !strings.HasPrefix(w.told[name], fmt.Sprint(x.Token, " ")):
		x.Change = wire.ChangeAcquired
	case x.Holders == 0:
		x.Change = wire.ChangeReleased
	default:
		x.Change = wire.ChangeOther
	}
	w.told[name] = state
	d.pushes++
	d.send(w.conn, wire.AppendWatched(nil, h, &x))
}

func (d *dumbCluster) tellPlace(h wire.Header, g *dumbGroup, w *dumbWatch) {
	l := g.lock(string(w.x.Name))
	at := slices.IndexFunc(l.queue, func(y dumbClaim) bool {
		return y.session == w.x.Session && y.request == w.x.Target
	})
	place := fmt.Sprint(at)
	if at < 0 || w.told[""] == place {
		return
	}
	w.told[""] = place
	d.pushes++
	d.send(w.conn, wire.AppendWaiting(nil, h, &wire.Waiting{Slot: g.slot,
		Blockage: d.blockage(g, string(w.x.Name), uint32(at+1))}))
}

func (d *dumbCluster) blockage(g *dumbGroup, name string, position uint32) wire.Blockage {
	b := wire.Blockage{Position: position, Samples: 2, UsualMillis: 1500,
		EstimateMillis: 1500 * position, Info: wire.LockInfo{Name: []byte(name)}}
	if r := d.info(g, name, wire.VersionKinds); r.Status == wire.StatusOK {
		b.Info, _ = wire.DecodeLockInfo2(r.Payload)
	}
	return b
}

// why answers a Why.
func (d *dumbCluster) why(g *dumbGroup, p proposal) wire.Response {
	x, err := wire.DecodeWhy(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	position := uint32(0)
	if l := g.lock(string(x.Name)); len(l.holds) > 0 {
		position = uint32(len(l.queue) + 1)
	}
	b := d.blockage(g, string(x.Name), position)
	return wire.Response{Status: wire.StatusOK, Payload: wire.AppendBlockage(nil, &b)}
}

// top answers a Top: each node names a lock after itself.
func (d *dumbCluster) top(k *dumbConn, h wire.Header) {
	page := wire.TopPage{Entries: []wire.TopEntry{{Score: uint32(10 * k.node), Waits: 7,
		UsualMillis: wire.UnknownMillis, Name: fmt.Append(nil, "hot/", k.node)}}}
	d.reply(k.id, h, wire.Response{Status: wire.StatusOK, Payload: wire.AppendTopPage(nil, &page)})
}

// countSeen checks that no more was seen than was sent.
func (d *dumbCluster) countSeen(k *dumbConn, body []byte) {
	x, err := wire.DecodeSeen(body)
	if err != nil || x.Total <= k.seen {
		d.fail("Seen %d after %d: %v", x.Total, k.seen, err)
	}
	k.seen = x.Total
}
